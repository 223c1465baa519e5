# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task runs on the device of its host and as its user, or nowhere.

Each way to redirect ssh has a decoy as its target: a device that would accept the task. A device proves its name from
within, and the simulator's log shows which proxies were used.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROLE, Fleet, Run, play, raw, role_play, task, themselves
from support import TIMEOUT, wait_until

DECOY, JUMP_HOST = "pi-0010", "pi-0009"
FIRST, SECOND, THIRD = ALL = ("pi-0001", "pi-0002", "pi-0003")
Variables = dict[str, Any]
FEW_FACTS = {"gather_subset": ["!all"]}
#: Enough for a device that lies; the facts of the others cost a second each.
GATHER = {"hosts": "fleet", "gather_facts": True, **FEW_FACTS}


def who(name: str = "who", **more: Any) -> dict[str, Any]:
    """Return a task that proves which device was reached, and leaves a trace there."""
    return raw(name, "touch reached; cat device-name", **more)


def transfer(fleet: Fleet, **more: Any) -> dict[str, Any]:
    """Return a task that transfers a file, which leaves the same trace."""
    fleet.write("script.sh", "#!/bin/sh\ntouch ~/reached; cat ~/device-name\n")
    return task("transfer", **{"ansible.builtin.script": "script.sh"}, **more)


# -- the decoy -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Decoy:
    """A device with an open proxy, a control master, and configuration files that name it."""

    fleet: Fleet
    host: str
    port: int

    @property
    def connectionid(self) -> str:
        return self.fleet.simulator.connections(self.fleet.simulator.service(DECOY))[-1]["connectionid"]

    @property
    def master(self) -> Path:
        return self.fleet.plain_masters / "decoy"

    @property
    def mark(self) -> Path:
        """A file that exists after one of the programs has run."""
        return self.fleet.directory / "program was run"

    def program(self, name: str) -> Path:
        """Return a program that connects to the decoy, whatever its arguments are."""
        login = f"-F {self.config('of_program')} -p {self.port}"
        path = self.fleet.write(
            name, f"#!/bin/sh\ntouch '{self.mark}'\nexec ssh {login} -W {self.host}:{self.port} {self.host}\n"
        )
        path.chmod(0o755)
        return path

    def config(self, name: str, *lines: str) -> Path:
        """Write an SSH configuration with which ssh can log in, and these lines before."""
        login = self.fleet.login
        lines = (
            *lines,
            f"User {login['ansible_user']}",
            f"IdentityFile {login['ansible_ssh_private_key_file']}",
            f"UserKnownHostsFile {self.fleet.known_hosts}",
            "StrictHostKeyChecking accept-new",
        )
        return self.fleet.write(name, "\n".join(["Host *", *lines, ""]))

    def start_master(self) -> None:
        options = ["-F", self.config("of_master"), "-S", self.master, "-p", str(self.port)]
        subprocess.run(
            ["ssh", "-M", "-N", "-f", *options, self.host],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=True, timeout=TIMEOUT,
        )  # fmt: skip
        wait_until(self.master.exists)

    def assert_untouched(self) -> None:
        (entry,) = (entry for entry in self.fleet.simulator.connections() if entry["connectionid"] == self.connectionid)
        assert entry["uses"] == 1  # by the control master
        home = self.fleet.simulator.home(DECOY)
        assert sorted(path.name for path in home.iterdir() if not path.name.startswith(".")) == ["bin", "device-name"]
        assert not self.mark.exists()


@pytest.fixture
def decoy(fleet: Fleet) -> Decoy:
    entry = fleet.simulator.connect(DECOY)
    decoy = Decoy(fleet, entry["host"], entry["port"])
    decoy.start_master()
    return decoy


def jump_config(decoy: Decoy) -> Path:
    """Write an SSH configuration with a jump host named ``jump``."""
    simulator = decoy.fleet.simulator
    jump = next((entry for entry in simulator.open_connections() if entry["device"] == JUMP_HOST), None)
    port = jump["port"] if jump else simulator.connect(JUMP_HOST)["port"]
    config = decoy.config("jump_config")
    config.write_text(f"Host jump\nHostName {decoy.host}\nPort {port}\n{config.read_text()}")
    return config


# -- arguments of ssh ----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    """Variables that lead a host to the decoy.

    :ivar refused: a word of the message, if no task may run.
    """

    name: str
    variables: Callable[[Decoy], Variables]
    refused: str | None = None


def in_args(option: str, text: str, refused: str | None = None, name: str | None = None) -> Case:
    """Return a case whose arguments end with a text, in which names in braces are replaced."""

    def variables(decoy: Decoy) -> Variables:
        fleet = decoy.fleet
        filled = text.format(
            host=decoy.host,
            port=decoy.port,
            master=decoy.master,
            program=decoy.program("program"),
            config=decoy.config(
                "elsewhere",
                f"HostName {decoy.host}",
                f"Port {decoy.port}",
                "HostKeyAlias decoy",
                "ControlMaster auto",
                f"ControlPath {decoy.master}",
            ),
            proxy_config=decoy.config("proxy_command", f"ProxyCommand {decoy.program('program')}"),
            jump_config=jump_config(decoy),
        )
        before = {
            "ansible_ssh_args": "-C -o ControlMaster=auto -o ControlPersist=60s -F /dev/null",
            "ansible_ssh_common_args": fleet.host_keys["ansible_ssh_common_args"],
        }
        if "-F " in text:
            before["ansible_ssh_args"] = before["ansible_ssh_args"].removesuffix("-F /dev/null")
        return {**before, option: f"{before.get(option, '')} {filled}".strip()}

    return Case(f"{text} in {option}".replace(" ", "_") if name is None else name, variables, refused)


ARGS, COMMON_ARGS, EXTRA_ARGS = "ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"
HOST_AND_PORT = "-o HostName={host} -o Port={port}"
ADDRESS = Case(
    "address variables",
    lambda decoy: {
        "ansible_host": decoy.host,
        "ansible_port": decoy.port,
        "ansible_ssh_host": decoy.host,
        "ansible_ssh_port": decoy.port,
    },
)
SSH_CASES = [
    ADDRESS,
    *[in_args(option, HOST_AND_PORT) for option in (ARGS, COMMON_ARGS, EXTRA_ARGS)],
    in_args(COMMON_ARGS, "-o 'hostname {host}' -o port={port}"),
    in_args(ARGS, "-Cp{port}"),
    in_args(COMMON_ARGS, "-p {port}"),
    in_args(ARGS, "-o ControlPath={master}"),
    in_args(COMMON_ARGS, "-o ControlPath={master}"),
    in_args(ARGS, "-F {config}"),
    in_args(COMMON_ARGS, "-o HostKeyAlias=decoy"),
    in_args(ARGS, "-F {jump_config} -o ProxyJump=jump"),
    in_args(ARGS, "-F {jump_config} -J jump"),
    in_args(ARGS, "-o 'ProxyCommand=ssh -F {jump_config} -W %h:%p jump'", name="ProxyCommand with a free target"),
    in_args(ARGS, "-S {master}", "-S"),
    in_args(COMMON_ARGS, "-S {master}", "-S"),
    in_args(EXTRA_ARGS, "-S {master}", "-S"),
    in_args(COMMON_ARGS, "-o ProxyCommand={program}", "ProxyCommand"),
    in_args(ARGS, "-F {proxy_config}", "ProxyCommand"),
    in_args(COMMON_ARGS, "-W {host}:{port}", "-W"),
    in_args(COMMON_ARGS, "{host}", "127.0.0.1"),
    *(in_args(COMMON_ARGS, text, text[:2]) for text in ("-G", "-V", "-Q cipher")),
    in_args("ansible_ssh_executable", "/bin/true", "/bin/true"),
    in_args(EXTRA_ARGS, "pi@{host}", "127.0.0.1"),
    in_args(ARGS, "-F /nowhere/ssh_config", "/nowhere/ssh_config"),
]
SFTP_ARGS, SCP_ARGS = "ansible_sftp_extra_args", "ansible_scp_extra_args"
FILE_CASES = [
    *[
        in_args(option, f"{legacy}{text}", refused)
        for option, legacy in ((SFTP_ARGS, ""), (SCP_ARGS, "-O "))  # the simulator has no scp over sftp
        for text, refused in (
            (HOST_AND_PORT, None),
            ("-o ControlPath={master}", None),
            ("-F {config}", None),
            ("-S {program}", "-S"),
            ("-D /usr/lib/sftp-server", "-D"),
            ("-P {port}", "-P"),
            ("-o ProxyCommand={program}", "ProxyCommand"),
            ("{host}", "127.0.0.1"),
        )
    ],
    in_args(SFTP_ARGS, "-s sftp", "-s"),
]


def one_host_each(fleet: Fleet, decoy: Decoy, cases: list[Case]) -> dict[str, str]:
    """Replace the inventory by a host for each case, and return the devices by host."""
    free = [f"pi-{number:04}" for number in range(11, 11 + len(cases))]
    devices = {case.name: device for case, device in zip(cases, free, strict=True)}
    fleet.inventory["fleet"]["hosts"] = {
        case.name: {
            "remoteit_deviceaddress": fleet.simulator.service(devices[case.name]),
            **case.variables(decoy),
        }
        for case in cases
    }
    return devices


def assert_isolated(run: Run, name: str, case: Case, device: str) -> None:
    if case.refused is None:
        assert run.status(name)[case.name] == "changed"
    else:
        assert run.status(name)[case.name] == "unreachable"
        assert case.refused in run.message(name, case.name)
    assert {entry["device"] for entry in run.connections} == {
        f"pi-{n:04}" for n in range(11, 11 + len(run.connections))
    }
    (entry,) = (entry for entry in run.connections if entry["device"] == device)
    assert entry["refused"] == 0


def test_decoy_is_where_plain_ssh_would_go(fleet: Fleet, decoy: Decoy) -> None:
    """The cases below prove something only if their arguments work."""
    texts = (HOST_AND_PORT, "-o ControlPath={master}", "-S {master}", "-F {config}", "-o ProxyCommand={program}")
    cases = [in_args(ARGS, text, name=text) for text in texts]
    trust = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    fleet.inventory["fleet"]["hosts"] = {
        case.name: {**fleet.plain_way(FIRST), **case.variables(decoy), "ansible_ssh_common_args": trust}
        for case in cases
    }
    for variables in fleet.inventory["fleet"]["hosts"].values():  # a master would hold up the end of its first command
        variables[ARGS] = variables[ARGS].replace("-o ControlMaster=auto -o ControlPersist=60s ", "")
    # with a port among the variables, ssh would not take that of the file
    del fleet.inventory["fleet"]["hosts"]["-F {config}"]["ansible_port"]
    run = fleet.run([play(who())])
    assert run.rc == 0
    assert run.stdout_of("who") == dict.fromkeys(texts, DECOY)


@pytest.mark.every_engine
def test_ssh_arguments_lead_to_no_other_device(fleet: Fleet, decoy: Decoy, subtests: Any) -> None:
    devices = one_host_each(fleet, decoy, SSH_CASES)
    run = fleet.run([play(who())])
    assert run.rc == 4
    decoy.assert_untouched()
    for case in SSH_CASES:
        with subtests.test(case.name):
            device = devices[case.name]
            assert_isolated(run, "who", case, device)
            (entry,) = (entry for entry in run.connections if entry["device"] == device)
            if case.refused is None:
                assert run.stdout_of("who")[case.name] == device
            else:
                assert entry["uses"] == 0
                assert not (fleet.simulator.home(device) / "reached").exists()


def test_file_arguments_lead_to_no_other_device(fleet: Fleet, decoy: Decoy, subtests: Any) -> None:
    devices = one_host_each(fleet, decoy, FILE_CASES)
    for case in FILE_CASES:
        method = "sftp" if SFTP_ARGS in case.name else "scp"
        fleet.inventory["fleet"]["hosts"][case.name]["ansible_ssh_transfer_method"] = method
    run = fleet.run([play(transfer(fleet))])
    assert run.rc == 4
    decoy.assert_untouched()
    for case in FILE_CASES:
        with subtests.test(case.name):
            device = devices[case.name]
            assert_isolated(run, "transfer", case, device)
            assert (fleet.simulator.home(device) / "reached").exists() == (case.refused is None)


@pytest.mark.every_engine
def test_extra_variables_lead_to_no_other_device(fleet: Fleet, decoy: Decoy) -> None:
    variables = {**ADDRESS.variables(decoy), **in_args(COMMON_ARGS, HOST_AND_PORT).variables(decoy)}
    fleet.environ["ANSIBLE_REMOTE_PORT"] = str(decoy.port)
    run = fleet.run([play(who(), port=decoy.port)], "-e", json.dumps(variables))
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*ALL)
    decoy.assert_untouched()


@pytest.mark.every_engine
def test_facts_lead_to_no_other_device(fleet: Fleet, decoy: Decoy) -> None:
    variables = ADDRESS.variables(decoy)
    lie_with(fleet, SECOND, {**variables, "ansible_ssh_args": "-F /dev/null", "ansible_connection": "local"})
    set_fact = task("set", **{"ansible.builtin.set_fact": variables})
    gather = task("gather", **{"ansible.builtin.setup": FEW_FACTS})
    run = fleet.run([play(set_fact, who(), gather, who("again"), transfer(fleet))])
    assert run.rc == 0
    assert run.stdout_of("who") == run.stdout_of("again") == run.stdout_of("transfer") == themselves(*ALL)
    decoy.assert_untouched()


# -- users ---------------------------------------------------------------------------------------------------------


def test_hosts_of_one_service_log_in_on_their_own(fleet: Fleet, subtests: Any) -> None:
    """They share a connection, and no control master."""
    hosts = fleet.inventory["fleet"]["hosts"]
    trust = fleet.host_keys["ansible_ssh_common_args"]
    others: dict[str, Variables] = {
        "user": {"ansible_user": "nobody"},
        "key": {"ansible_ssh_private_key_file": "/dev/null"},
        "common_args": {"ansible_user": None, "ansible_ssh_common_args": f"{trust} -l nobody"},
        "extra_args": {"ansible_user": None, "ansible_ssh_extra_args": "-l nobody"},
    }
    hosts |= {name: {**hosts[FIRST], **other} for name, other in others.items()}
    del hosts[SECOND], hosts[THIRD]
    own = who("own", when=f"inventory_hostname == '{FIRST}'")
    run = fleet.run([play(own, who(), who("again"))])
    assert run.rc == 4
    assert run.stdout_of("again") == themselves(FIRST)
    for name in others:
        with subtests.test(name):
            assert run.stdout_of("who")[name] == ""
            assert run.status("who")[name] == "unreachable"
    assert run.stdout_of("who")[FIRST] == FIRST
    assert [entry["device"] for entry in run.connections] == [FIRST]


# -- several runs --------------------------------------------------------------------------------------------------


def test_host_name_of_two_runs_has_two_devices(fleet: Fleet) -> None:
    fleet.inventory["fleet"]["hosts"] = {"kiosk": {"remoteit_deviceaddress": fleet.services[0]}}
    other = {"kiosk": {"remoteit_deviceaddress": fleet.services[1]}}
    inventory = fleet.write("other.yml", {"fleet": {**fleet.inventory["fleet"], "hosts": other}})
    playbook = fleet.write("other_play.yml", [play(who())])
    journal = fleet.directory / "other journal"

    def run_other() -> None:
        command = [fleet.ansible_playbook, "-i", str(inventory), str(playbook)]
        environ = {**fleet.environ, "TEST_JOURNAL": str(journal)}
        subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, check=True, timeout=TIMEOUT)

    plays = [play(who(), fleet.wait_here(), who("again"))]
    run = fleet.run(plays, while_running=fleet.once(lambda: fleet.has_ended("who", 1), run_other))
    assert run.rc == 0
    assert run.stdout_of("who") == run.stdout_of("again") == {"kiosk": FIRST}
    (entry,) = map(json.loads, journal.read_text().splitlines())
    assert entry["result"]["stdout"].strip() == SECOND
    assert sorted(entry["device"] for entry in run.connections) == [FIRST, SECOND]


def test_killed_keeper_leads_to_no_other_device(fleet: Fleet) -> None:
    hosts = fleet.inventory["fleet"]["hosts"]
    hosts["other"] = {**hosts[FIRST], "ansible_user": "nobody"}

    def kill() -> None:
        (keeper,) = fleet.keepers()
        os.kill(keeper, signal.SIGKILL)

    own = who("own", when="inventory_hostname != 'other'")
    run = fleet.run(
        [play(own, fleet.wait_here(), who())], while_running=fleet.once(lambda: fleet.has_ended("own", 4), kill)
    )
    assert run.rc == 4
    assert run.stdout_of("who") == {**themselves(*ALL), "other": ""}
    assert run.status("who")["other"] == "unreachable"


# -- facts of a device ---------------------------------------------------------------------------------------------

#: With the last one, the list of the facts would be empty if ansible-core did not remove it.
DECEPTION = {"remoteit_hostip": "0.0.0.0", "remoteit_session_on_failure": "skip", "ansible_facts": {}}


def lie_with(fleet: Fleet, device: str, facts: Variables) -> None:
    """Let the Python of a device answer every module with these facts."""
    answer = json.dumps({"changed": False, "ansible_facts": facts})
    python = fleet.write(f"python-of-{device}", f"#!/bin/sh\ncat >/dev/null\ncat <<'END'\n{answer}\nEND\n")
    python.chmod(0o755)
    fleet.inventory["fleet"]["hosts"][device]["ansible_python_interpreter"] = str(python)


def deceive(fleet: Fleet, decoy: Decoy, device: str = SECOND) -> None:
    """Let a device return facts that name the decoy and another tasks file."""
    fleet.write("chosen_by_device.yml", [who("chosen by the device")])
    facts = {
        **DECEPTION,
        "remoteit_deviceaddress": fleet.simulator.service(DECOY),
        "remoteit_session_tasks": str(fleet.project / "chosen_by_device.yml"),
    }
    lie_with(fleet, device, facts)


def assert_refused(run: Run, name: str, decoy: Decoy) -> None:
    assert run.rc == 4
    assert run.status(name)[SECOND] == "unreachable"
    assert "remoteit_deviceaddress, remoteit_hostip" in run.message(name, SECOND)
    assert run.stdout_of(name) == {**themselves(FIRST, THIRD), SECOND: ""}
    assert DECOY not in {entry["device"] for entry in run.connections}
    assert "public" not in {entry["restriction"] for entry in run.connections}
    assert run.status("chosen by the device") == {}
    decoy.assert_untouched()


@pytest.mark.every_engine
@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_device_chooses_nothing_by_its_facts(fleet: Fleet, decoy: Decoy, strategy: str) -> None:
    deceive(fleet, decoy)
    run = fleet.run(
        [play(who(), gather_facts=True, **FEW_FACTS, strategy=strategy), play(who("later"), strategy=strategy)]
    )
    assert_refused(run, "who", decoy)
    assert run.stdout_of("later") == themselves(FIRST, THIRD)


def test_device_chooses_nothing_by_a_fact_cache(fleet: Fleet, decoy: Decoy) -> None:
    deceive(fleet, decoy)
    fleet.environ |= {
        "ANSIBLE_CACHE_PLUGIN": "jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(fleet.directory / "facts"),
        "ANSIBLE_GATHERING": "smart",
    }
    assert fleet.run([GATHER]).rc == 0
    run = fleet.run([play(who())])
    assert_refused(run, "who", decoy)
    assert sorted(entry["device"] for entry in run.connections) == [FIRST, THIRD]


@pytest.mark.every_engine
def test_device_chooses_nothing_for_a_delegated_task(fleet: Fleet, decoy: Decoy) -> None:
    deceive(fleet, decoy)
    gather = task(
        "gather", **{"ansible.builtin.setup": FEW_FACTS}, delegate_to=SECOND, delegate_facts=True, run_once=True
    )
    delegated = who("delegated", delegate_to=SECOND, ignore_unreachable=True)
    looped = who("looped", delegate_to="{{ item }}", loop=[THIRD, SECOND], ignore_unreachable=True)
    run = fleet.run([play(gather, delegated, looped, who(), hosts=f"{FIRST},{THIRD}")])
    assert run.status("delegated") == dict.fromkeys([FIRST, THIRD], "unreachable")
    assert "remoteit_deviceaddress, remoteit_hostip" in run.message("delegated", FIRST)
    for result in run.results("looped").values():
        of_third, of_second = result["results"]
        assert of_third["stdout"].strip() == THIRD
        assert of_second["unreachable"]
    assert run.stdout_of("who") == themselves(FIRST, THIRD)
    assert not (fleet.simulator.home(SECOND) / "reached").exists()
    assert sorted(entry["device"] for entry in run.connections) == list(ALL)
    decoy.assert_untouched()


@pytest.mark.every_engine
def test_delegated_task_uses_the_name_of_its_host(fleet: Fleet) -> None:
    """In a variable of that host, ``inventory_hostname`` is the host that delegates the task."""
    fleet.inventory["fleet"]["hosts"] = {name: {} for name in ALL}
    fleet.inventory["fleet"]["vars"]["remoteit_device"] = "{{ inventory_hostname }}"
    delegated = who("delegated", delegate_to=SECOND)
    looped = who("looped", delegate_to="{{ item }}", loop=[THIRD, FIRST])
    run = fleet.run([play(who(), delegated, looped)])
    assert run.stdout_of("who") == themselves(*ALL)
    assert run.stdout_of("delegated") == dict.fromkeys(ALL, SECOND)
    for result in run.results("looped").values():
        assert [entry["stdout"].strip() for entry in result["results"]] == [THIRD, FIRST]


@pytest.mark.every_engine
def test_task_delegated_to_an_unknown_host_fails(fleet: Fleet) -> None:
    """The name of the host that delegates the task would choose the device."""
    variables = {"ansible_connection": "remoteit.fleet.ssh", "remoteit_device": "{{ inventory_hostname }}"}
    run = fleet.run([play(who(delegate_to="pi-0004", vars=variables))])
    assert run.status("who") == dict.fromkeys(ALL, "unreachable")
    assert "the inventory has no host 'pi-0004'" in run.text
    assert run.connections == []


@pytest.mark.every_engine
@pytest.mark.parametrize("liar", [FIRST, SECOND])
def test_device_chooses_nothing_for_the_role(fleet: Fleet, decoy: Decoy, liar: str) -> None:
    """The first host of a batch is the one whose variables count for a task that runs once."""
    deceive(fleet, decoy, liar)
    fleet.write("on_the_devices.yml", [who()])
    fleet.inventory["fleet"]["vars"]["remoteit_session_tasks"] = "on_the_devices.yml"
    run = fleet.run([GATHER, play(roles=[ROLE])])
    assert run.rc != 0
    assert run.status("chosen by the device") == {}
    assert run.stdout_of("who").get(liar, "") == ""
    others = [device for device in ALL if device != liar]
    assert {host: seen for host, seen in run.stdout_of("who").items() if seen} == themselves(*others)
    assert "remoteit_session_tasks" in run.text
    assert DECOY not in {entry["device"] for entry in run.connections}
    assert "public" not in {entry["restriction"] for entry in run.connections}
    decoy.assert_untouched()


@pytest.mark.every_engine
def test_device_chooses_no_directory_of_the_role(fleet: Fleet, decoy: Decoy) -> None:
    """Only a role that includes this one may add a directory in which the tasks file is looked for."""
    fleet.write("elsewhere/tasks/on_the_devices.yml", [who("chosen by the device")])
    fleet.write("on_the_devices.yml", [who()])
    lie_with(fleet, FIRST, {"ansible_parent_role_paths": [str(fleet.project / "elsewhere")]})
    run = fleet.run([GATHER, role_play()])
    assert run.rc != 0
    assert run.status("chosen by the device") == {}
    assert {host: seen for host, seen in run.stdout_of("who").items() if seen} == themselves(SECOND, THIRD)
    decoy.assert_untouched()
