# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A play survives what happens to its connections, and no command runs twice.

A command notes each execution in a file of its device.
"""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Fleet, play, raw, task, themselves, who

FIRST, SECOND, THIRD = ALL = ("pi-0001", "pi-0002", "pi-0003")
COUNT = "echo executed >>executions"


def executions(fleet: Fleet, device: str) -> int:
    path = fleet.simulator.home(device) / "executions"
    return len(path.read_text().splitlines()) if path.exists() else 0


# -- between two tasks ---------------------------------------------------------------------------------------------


def _idle(fleet: Fleet) -> None:
    fleet.simulator.advance(15 * 60 + 1)


def _override(fleet: Fleet) -> None:
    fleet.simulator.settings(second_connect="override")
    for device in ALL:
        fleet.simulator.connect(device)


def _stop(fleet: Fleet) -> None:
    for entry in fleet.simulator.open_connections():
        fleet.simulator.stop(entry)


#: Arguments of ssh that hide its messages.
QUIET = ("-o LogLevel=ERROR", "-Cq")
LOSSES = {"overridden": _override, "stop": _stop}


@pytest.mark.each_api
@pytest.mark.parametrize("loss", LOSSES)
def test_lost_connection_is_opened_for_the_next_task(fleet: Fleet, loss: str) -> None:
    plays = [play(who(), fleet.wait_here(), raw("again", f"{COUNT}; cat device-name"))]
    run = fleet.run(plays, while_running=fleet.once(lambda: fleet.has_ended("who", 3), lambda: LOSSES[loss](fleet)))
    assert run.rc == 0
    assert run.stdout_of("again") == themselves(*ALL)
    assert [executions(fleet, device) for device in ALL] == [1, 1, 1]
    lost = [entry for entry in run.connections if entry["closed_by"] == loss][:3]
    assert sorted(entry["device"] for entry in lost) == list(ALL)
    assert not fleet.simulator.open_connections()


@pytest.mark.parametrize(("keywords", "arguments"), [({"no_log": True}, ""), *(({}, words) for words in QUIET)])
def test_lost_connection_is_opened_without_messages(fleet: Fleet, keywords: dict[str, bool], arguments: str) -> None:
    """With ``no_log``, or if ssh is quiet, the error of a task does not contain the message of ssh."""
    # a control master would keep it in use
    fleet.environ["ANSIBLE_SSH_ARGS"] = f"-F /dev/null {arguments}"
    plays = [play(who(), fleet.wait_here(), raw("again", f"{COUNT}; cat device-name", **keywords))]

    def is_idle() -> bool:
        return fleet.has_ended("who", 3) and not any(entry["streams"] for entry in fleet.simulator.open_connections())

    run = fleet.run(plays, while_running=fleet.once(is_idle, lambda: _idle(fleet)))
    assert run.rc == 0
    assert [executions(fleet, device) for device in ALL] == [1, 1, 1]
    assert len(run.connections) == 6


# -- while a command runs ------------------------------------------------------------------------------------------

RUNNING = f"{COUNT}; sleep 60"


@pytest.mark.every_engine
def test_command_that_lost_its_connection_ran_once(fleet: Fleet) -> None:
    """It is unreachable, and the next task opens another connection. One host runs a module, the others ``raw``."""
    fleet.inventory["fleet"]["vars"]["ansible_ssh_retries"] = 3
    module = task("module", **{"ansible.builtin.shell": RUNNING}, ignore_unreachable=True)
    commands = {
        "raw": raw("raw", RUNNING, ignore_unreachable=True, when=f"inventory_hostname != '{FIRST}'"),
        "module": {**module, "when": f"inventory_hostname == '{FIRST}'"},
    }
    run = fleet.run(
        [play(*commands.values(), who(), strategy="free")],
        while_running=fleet.once(lambda: all(executions(fleet, device) for device in ALL), lambda: _stop(fleet)),
    )
    for name, hosts in {"raw": (SECOND, THIRD), "module": (FIRST,)}.items():
        assert {host: status for host, status in run.status(name).items() if status != "skipped"} == dict.fromkeys(
            hosts, "unreachable"
        )
    assert run.stdout_of("who") == themselves(*ALL)
    assert [executions(fleet, device) for device in ALL] == [1, 1, 1]
    assert len(run.connections) == 6


def test_silent_link_ends_the_command(fleet: Fleet) -> None:
    """The user's own settings come before those of the plugin."""
    trust = fleet.host_keys["ansible_ssh_common_args"]
    alive = "-o ServerAliveInterval=1 -o ServerAliveCountMax=2"
    fleet.inventory["fleet"]["vars"] |= {"ansible_ssh_common_args": f"{trust} {alive}", "ansible_ssh_retries": 3}
    fleet.record_ssh()

    def hang() -> None:
        fleet.simulator.device(SECOND, hang=True)

    run = fleet.run(
        [play(raw("long", RUNNING), hosts=SECOND)],
        while_running=fleet.once(lambda: executions(fleet, SECOND), hang),
    )
    fleet.simulator.device(SECOND, hang=False)
    assert run.rc == 4
    assert run.status("long") == {SECOND: "unreachable"}
    assert executions(fleet, SECOND) == 1
    call = run.ssh("sleep 60")
    assert call.options("ServerAliveInterval") == ["1", "10"]
    assert call.options("ServerAliveCountMax") == ["2", "3"]


# -- commands that look like a lost connection ---------------------------------------------------------------------

#: Lines that a device can print; ssh or git prints them there if it fails.
LOOKALIKES = {
    "nothing": "",
    "refused": "ssh: connect to host 127.0.0.1 port 22: Connection refused",
    "timed out": "ssh: connect to host github.com port 22: Connection timed out",
    "closed": "kex_exchange_identification: Connection closed by remote host\nConnection closed by 192.0.2.7 port 22",
    "banner": "Connection timed out during banner exchange\nConnection to 192.0.2.7 port 22 timed out",
    "jump host": "channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed",
    "master": "mux_client_hello_exchange: write packet: Broken pipe",
    "unknown key": "Host key verification failed.",
}
#: The hosts that run a module, and what it prints.
MODULES = {"module, refused": "refused", "module, closed": "closed"}


@pytest.mark.every_engine
def test_command_that_exits_255_runs_once(fleet: Fleet, subtests: Any) -> None:
    """It is the first one on its connection, and then the second one. Two hosts run a module, by pipelining."""
    hosts = {name: f"pi-{number:04}" for number, name in enumerate((*LOOKALIKES, *MODULES), 1)}
    python = fleet.write("fails", f"#!/bin/sh\n{COUNT}\ncat >/dev/null\ncat text >&2\nexit 255\n")
    python.chmod(0o755)
    fleet.inventory["fleet"]["vars"] |= {"ansible_ssh_retries": 3, "remoteit_wait_timeout": 5}
    fleet.inventory["fleet"]["vars"]["ansible_python_interpreter"] = str(python)
    fleet.inventory["fleet"]["hosts"] = {
        name: {"remoteit_deviceaddress": fleet.simulator.service(device)} for name, device in hosts.items()
    }
    for name, device in hosts.items():
        home = fleet.simulator.home(device)
        home.mkdir(parents=True, exist_ok=True)
        (home / "text").write_text(LOOKALIKES[MODULES.get(name, name)])
    command = raw("raw", f"{COUNT}; cat text >&2; exit 255", ignore_unreachable=True)
    module = task("module", **{"ansible.builtin.ping": None}, ignore_unreachable=True)
    of_modules = f"inventory_hostname in {list(MODULES)}"
    fails = [{**command, "when": f"not ({of_modules})"}, {**module, "when": of_modules}]
    run = fleet.run([play(*fails, who(), *fails)])
    for name, device in hosts.items():
        with subtests.test(name):
            assert executions(fleet, device) == 2
            statuses = [e["status"] for e in run.journal if e["host"] == name and e["task"] in ("raw", "module")]
            assert sorted(statuses) == ["skipped", "skipped", "unreachable", "unreachable"]
            assert run.stdout_of("who")[name] == device
            assert [entry["device"] for entry in run.connections].count(device) == 1


def test_command_that_names_its_proxy_runs_once(fleet: Fleet) -> None:
    """The proxy still accepts connections, so it has not refused this one."""
    fleet.inventory["fleet"]["vars"]["ansible_ssh_retries"] = 3

    def write_ports() -> None:
        for entry in fleet.simulator.open_connections():
            line = f"ssh: connect to host 127.0.0.1 port {entry['port']}: Connection refused\n"
            (fleet.simulator.home(entry["device"]) / "text").write_text(line)

    command = raw("fails", f"{COUNT}; cat text >&2; exit 255", ignore_unreachable=True)
    run = fleet.run(
        [play(who(), fleet.wait_here(), command)],
        while_running=fleet.once(lambda: fleet.has_ended("who", 3), write_ports),
    )
    assert run.status("fails") == dict.fromkeys(ALL, "unreachable")
    assert [executions(fleet, device) for device in ALL] == [1, 1, 1]
    assert len(run.connections) == 3


# -- a device that does not respond yet ----------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ["", *QUIET])
def test_device_that_responds_late_is_waited_for(fleet: Fleet, arguments: str) -> None:
    """One drops its links until then, and the other one is silent."""
    fleet.inventory["fleet"]["vars"]["ansible_ssh_extra_args"] = arguments
    fleet.inventory["fleet"]["vars"]["ansible_timeout"] = 2
    late = {SECOND: "drop", THIRD: "hang"}
    for device, way in late.items():
        fleet.simulator.device(device, **{way: True})

    def have_tried_twice() -> bool:
        return {entry["device"] for entry in fleet.simulator.open_connections() if entry["uses"] >= 2} >= set(late)

    def respond() -> None:
        for device, way in late.items():
            fleet.simulator.device(device, **{way: False})

    run = fleet.run(
        [play(raw("who", f"{COUNT}; cat device-name"))], while_running=fleet.once(have_tried_twice, respond)
    )
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*ALL)
    assert [executions(fleet, device) for device in ALL] == [1, 1, 1]
    assert len(run.connections) == 3


def test_device_that_never_responds_is_unreachable(fleet: Fleet) -> None:
    fleet.inventory["fleet"]["vars"]["ansible_timeout"] = 2
    hosts = {f"{way}-{timeout}": (way, timeout) for way in ("drop", "hang") for timeout in (0, 3)}
    for number, (host, (way, timeout)) in enumerate(hosts.items(), 4):
        device = f"pi-{number:04}"
        fleet.simulator.device(device, **{way: True})
        service = {"remoteit_deviceaddress": fleet.simulator.service(device), "remoteit_wait_timeout": timeout}
        fleet.inventory["fleet"]["hosts"][host] = service
    run = fleet.run([play(who())], "--forks", "10")
    assert run.rc == 4
    assert {host for host, status in run.status("who").items() if status == "unreachable"} == set(hosts)
    for host, (_unused, timeout) in hosts.items():
        assert f"within {timeout} seconds (remoteit_wait_timeout)" in run.message("who", host)
