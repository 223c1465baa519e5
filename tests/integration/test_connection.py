# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection plugin does what ansible.builtin.ssh does, on every version of ansible-core that is tested.

One playbook covers most features. Each device proves its name from within.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import CONNECT, Fleet, Run, one_line, play, raw, task, themselves, who
from support import Simulator

REST, GRAPHQL = "rest", "graphql"
OFFLINE = "pi-0004"
FIRST, SECOND, THIRD = DEVICES = ("pi-0001", "pi-0002", "pi-0003")
PAIR = (FIRST, SECOND)
SHARED_CAUSE = "for the same reason as "

every_engine = pytest.mark.every_engine
each_inventory = pytest.mark.parametrize("inventory", ["handwritten", "source"])


@pytest.fixture
def inventory() -> str:
    return "handwritten"


@pytest.fixture(autouse=True)
def use_inventory(inventory: str, fleet: Fleet) -> None:
    if inventory == "source":
        _use_source(fleet)


def _use_source(fleet: Fleet) -> None:
    """Replace the handwritten inventory by a source of the inventory plugin, with the same group and one host more."""
    source = {
        "plugin": "remoteit.fleet.services",
        "device": [*DEVICES, OFFLINE],
        "groups": {"fleet": f"inventory_hostname in {list(DEVICES)}"},
    }
    fleet.inventory = fleet.write("fleet.remoteit.yml", source)
    fleet.write("group_vars/all.yml", {**fleet.login, **fleet.host_keys})


def connections_by_device(run: Run) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in run.connections:
        counts[entry["device"]] = counts.get(entry["device"], 0) + 1
    return counts


# -- everything works as with ssh --------------------------------------------------------------------------------------

HANDLER = "write down"
ROLE = {
    "tasks/main.yml": [
        task("copy", **{"ansible.builtin.copy": {"src": "motd", "dest": "copied"}}, notify=HANDLER),
        task("template", **{"ansible.builtin.template": {"src": "site.j2", "dest": "templated"}}, notify=HANDLER),
    ],
    "handlers/main.yml": [task(HANDLER, **{"ansible.builtin.command": "cp device-name handled"})],
    "files/motd": "welcome\n",
    "templates/site.j2": "{{ inventory_hostname }} in {{ ansible_facts.env.HOME }}\n",
}


def feature_tasks() -> list[dict[str, Any]]:
    """Return tasks that cover the actions which use the connection in their own ways."""
    return [
        who("raw"),
        task("command", **{"ansible.builtin.command": "cat device-name"}),
        task("script", **{"ansible.builtin.script": "who.sh"}),
        task("fetch", **{"ansible.builtin.fetch": {"src": "device-name", "dest": "fetched/"}}),
        task("start", **{"ansible.builtin.command": "cat device-name"}, register="job", **{"async": 60, "poll": 0}),
        task(
            "finish",
            **{"ansible.builtin.async_status": {"jid": "{{ job.ansible_job_id }}"}},
            register="status",
            until="status is finished",
            retries=100,
            delay=1,
        ),
        task("wait", **{"ansible.builtin.wait_for_connection": {"timeout": 60}}),
        task("boot", **{"ansible.builtin.copy": {"content": "0\n", "dest": "boot-time"}}),
        task(
            "reboot",
            **{
                "ansible.builtin.reboot": {
                    "reboot_command": "cp device-name boot-time",
                    "boot_time_command": "cat boot-time",
                    "test_command": "grep -q {{ inventory_hostname }} boot-time",
                    "reboot_timeout": 60,
                }
            },
        ),
        task("reset", meta="reset_connection"),
        who("after the reset"),
        who("delegated to a device", delegate_to=SECOND),
        task("delegated to localhost", **{"ansible.builtin.command": "printenv HOME"}, delegate_to="localhost"),
        who("once", run_once=True),
        task("become", **{"ansible.builtin.command": "printenv SUDO_USER"}, become=True),
    ]


@every_engine
@pytest.mark.each_api
@each_inventory
def test_play_uses_the_devices_as_with_ssh(fleet: Fleet) -> None:
    for name, content in ROLE.items():
        fleet.write(f"roles/site/{name}", content)
    fleet.write("who.sh", "#!/bin/sh\ncat device-name\n")
    plays: list[dict[str, Any]] = [
        play(*feature_tasks(), hosts=f"{FIRST}:{SECOND}", gather_facts=True, roles=["site"]),
        play(who("serial"), serial=2),
        play(who("free"), who("free again", delegate_to=SECOND), strategy="free"),
        play(who("pinned"), who("pinned again", delegate_to=THIRD), strategy="host_pinned"),
    ]
    run = fleet.run(plays)
    assert run.rc == 0
    homes = {device: fleet.simulator.home(device) for device in PAIR}
    facts = run.results("Gathering Facts")
    assert {host: facts[host]["ansible_facts"]["ansible_env"]["HOME"] for host in facts} == {
        device: str(home) for device, home in homes.items()
    }
    for device, home in homes.items():
        assert (home / "copied").read_text() == "welcome\n"
        assert (home / "templated").read_text() == f"{device} in {home}\n"
        assert (home / "handled").read_text() == f"{device}\n"
        fetched = fleet.project / "fetched" / device / "device-name"
        assert fetched.read_text() == f"{device}\n"
    assert {entry["host"]: entry["status"] for entry in run.entries(HANDLER)} == dict.fromkeys(PAIR, "changed")
    for name in ("raw", "command", "script", "finish", "after the reset"):
        assert run.stdout_of(name) == themselves(*PAIR), name
    for name in ("serial", "free", "pinned"):
        assert run.stdout_of(name) == themselves(*DEVICES), name
    assert set(run.status("wait").values()) == {"ok"}
    assert {device: result["rebooted"] for device, result in run.results("reboot").items()} == dict.fromkeys(PAIR, True)
    assert run.stdout_of("delegated to a device") == dict.fromkeys(PAIR, SECOND)
    assert run.stdout_of("free again") == dict.fromkeys(DEVICES, SECOND)
    assert run.stdout_of("pinned again") == dict.fromkeys(DEVICES, THIRD)
    assert run.stdout_of("delegated to localhost") == dict.fromkeys(PAIR, str(fleet.home))
    assert run.stdout_of("once") == {FIRST: FIRST}
    assert set(run.stdout_of("become").values()) == {fleet.simulator.state["ssh_user"]}
    assert connections_by_device(run) == dict.fromkeys(DEVICES, 1)
    assert {entry["restriction"] for entry in run.connections} == {fleet.restriction}
    assert {request["api"] for request in run.requests if request["call"] == "connect"} == {fleet.api}
    assert run.recap == "opened 3, closed 3, left open 0"


@every_engine
@pytest.mark.each_api
def test_reset_connection_does_not_end_the_run(fleet: Fleet) -> None:
    """One host is offline, one drops every link, and one has an invalid variable. The first reset has no connection."""
    hosts = fleet.inventory["fleet"]["hosts"]
    hosts |= {name: {"remoteit_deviceaddress": fleet.simulator.service(name)} for name in (OFFLINE, "pi-0005")}
    hosts[THIRD]["remoteit_deviceaddress"] = "not an ID"
    fleet.inventory["fleet"]["vars"]["remoteit_wait_timeout"] = 1
    fleet.simulator.device(OFFLINE, online=False)
    fleet.simulator.device("pi-0005", drop=True)
    reset = task("reset", meta="reset_connection")
    run = fleet.run([play(reset, who(ignore_unreachable=True), reset, who("again", ignore_unreachable=True))])
    for name in ("who", "again"):
        assert run.stdout_of(name).items() >= themselves(FIRST, SECOND).items()
        assert set(run.status(name).items()) >= {(host, "unreachable") for host in (THIRD, OFFLINE, "pi-0005")}
    assert {device: connections_by_device(run)[device] for device in (FIRST, SECOND)} == {FIRST: 1, SECOND: 1}
    run.assert_all_closed()


@every_engine
@pytest.mark.each_api
@each_inventory
def test_check_limit_and_tags_choose_as_with_ssh(fleet: Fleet) -> None:
    tasks = [
        task("touch", **{"ansible.builtin.command": "touch checked"}, tags=["chosen"]),
        who("read", check_mode=False, tags=["chosen"]),
        who("left out"),
    ]
    run = fleet.run([play(*tasks)], "--check", "--limit", f"{FIRST},{THIRD}", "--tags", "chosen")
    assert run.rc == 0
    assert run.status("touch") == {FIRST: "skipped", THIRD: "skipped"}
    assert run.stdout_of("read") == themselves(FIRST, THIRD)
    assert run.entries("left out") == []
    assert not any((fleet.simulator.home(device) / "checked").exists() for device in DEVICES)
    assert connections_by_device(run) == {FIRST: 1, THIRD: 1}


# -- connections are opened ahead --------------------------------------------------------------------------------------


def use_devices(fleet: Fleet, count: int, **variables: Any) -> list[str]:
    """Make a handwritten inventory of the first devices, and return their names."""
    names = [f"pi-{number:04}" for number in range(1, count + 1)]
    group = fleet.inventory["fleet"]
    group["hosts"] = {name: {"remoteit_deviceaddress": fleet.simulator.service(name)} for name in names}
    group["vars"] |= variables
    return names


def hang(fleet: Fleet, *devices: str) -> None:
    for device in devices:
        fleet.simulator.device(device, hang=True)


def release(fleet: Fleet, *devices: str) -> None:
    for device in devices:
        fleet.simulator.device(device, hang=False)


@pytest.mark.each_api
@pytest.mark.parametrize("strategy", ["linear", "free", "host_pinned"])
def test_first_task_opens_every_host_in_bulk(fleet: Fleet, strategy: str) -> None:
    """All are open although no device lets a task through, and only two tasks run at a time."""
    names = use_devices(fleet, 12)
    hang(fleet, *names)
    seen: list[int] = []

    def release_when_all_are_open() -> None:
        if not seen and len(fleet.simulator.open_connections()) == len(names):
            seen.append(sum(entry["uses"] > 0 for entry in fleet.simulator.open_connections()))
            release(fleet, *names)

    run = fleet.run([play(who(), strategy=strategy)], "--forks", "2", while_running=release_when_all_are_open)
    assert run.rc == 0
    assert seen
    assert seen[0] <= 2
    assert run.stdout_of("who") == themselves(*names)
    assert connections_by_device(run) == dict.fromkeys(names, 1)


def test_prefetch_limits_the_unused_connections(fleet: Fleet) -> None:
    """While the first task cannot proceed, its own connection and those ahead of it are open, and no more."""
    ahead = 3
    names = use_devices(fleet, 8, remoteit_prefetch=ahead)
    hang(fleet, FIRST)
    most: list[int] = [0]
    released: list[bool] = []

    def watch() -> None:
        is_open = fleet.simulator.open_connections()
        unused = [entry for entry in is_open if not entry["uses"]]
        most[0] = max(most[0], len(unused))
        first_is_used = any(entry["uses"] for entry in is_open)
        if not released and first_is_used and len(is_open) >= 1 + ahead:
            assert len(is_open) == 1 + ahead
            release(fleet, FIRST)
            released.append(True)

    run = fleet.run([play(who())], "--forks", "1", while_running=watch)
    assert run.rc == 0
    assert released
    assert most[0] <= ahead + 1  # one is handed to a task before its ssh connects
    assert run.stdout_of("who") == themselves(*names)
    assert connections_by_device(run) == dict.fromkeys(names, 1)


def test_prefetch_zero_opens_one_by_one(fleet: Fleet) -> None:
    names = use_devices(fleet, 4, remoteit_prefetch=0)
    hang(fleet, FIRST)

    def release_first() -> None:
        is_open = fleet.simulator.open_connections()
        if any(entry["uses"] for entry in is_open):
            if fleet.simulator.device(FIRST)["hang"]:
                assert [entry["device"] for entry in is_open] == [FIRST]
            release(fleet, FIRST)

    run = fleet.run([play(who())], "--forks", "1", while_running=release_first)
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*names)
    assert connections_by_device(run) == dict.fromkeys(names, 1)


@every_engine
@pytest.mark.each_api
@each_inventory
def test_task_for_one_host_opens_one(fleet: Fleet) -> None:
    plays = [
        play(raw("here", "true", delegate_to="localhost")),
        play(raw("once", "true", run_once=True)),
        play(raw("delegated", "true", delegate_to=SECOND)),
    ]
    run = fleet.run(plays)
    assert run.rc == 0
    assert connections_by_device(run) == {FIRST: 1, SECOND: 1}


def test_host_on_another_connection_opens_none(fleet: Fleet) -> None:
    """The variable counts, or else the keyword of the play."""
    hosts = fleet.inventory["fleet"]["hosts"]
    del fleet.inventory["fleet"]["vars"]["ansible_connection"]
    hosts[SECOND] |= {"ansible_connection": "local"}
    hosts[THIRD] |= fleet.plain_way(THIRD)
    plays = [
        play(raw("local", "pwd"), hosts=f"{FIRST}:{SECOND}", connection="local"),
        play(raw("where", "pwd"), connection="remoteit.fleet.ssh"),
    ]
    run = fleet.run(plays)
    assert run.rc == 0
    assert set(run.stdout_of("local").values()) == {str(fleet.project)}
    assert run.stdout_of("where") == {
        FIRST: str(fleet.simulator.home(FIRST)),
        SECOND: str(fleet.project),
        THIRD: str(fleet.simulator.home(THIRD)),
    }
    assert connections_by_device(run) == {FIRST: 1}


# -- errors ------------------------------------------------------------------------------------------------------------


def _wrong_key(fleet: Fleet) -> None:
    fleet.environ |= {"REMOTEIT_TOKEN": "wrong", "R3_SECRET_ACCESS_KEY": "d3Jvbmc="}
    if fleet.api == GRAPHQL:
        del fleet.environ["REMOTEIT_TOKEN"]
    else:
        del fleet.environ["R3_SECRET_ACCESS_KEY"]


def _dead_api(fleet: Fleet) -> None:
    for name in ("REMOTEIT_API_URL", "REMOTEIT_GRAPHQL_URL"):
        if name in fleet.environ:
            fleet.environ[name] = "http://127.0.0.1:1/"


@pytest.mark.each_api
@pytest.mark.parametrize(("cause", "code"), [(_wrong_key, "auth"), (_dead_api, "network")], ids=["wrong key", "no API"])
def test_shared_cause_is_explained_once(fleet: Fleet, cause: Callable[[Fleet], None], code: str) -> None:
    names = use_devices(fleet, 8)
    cause(fleet)
    run = fleet.run([play(who())], "--forks", "10")
    assert run.rc == 4
    assert run.status("who") == dict.fromkeys(names, "unreachable")
    messages = {host: one_line(result["msg"]) for host, result in run.results("who").items()}
    explained = [host for host, message in messages.items() if SHARED_CAUSE not in message]
    assert len(explained) == 1
    (first,) = explained
    references = [message for host, message in messages.items() if host != first]
    assert all(message.endswith(f"{SHARED_CAUSE}{first} ({code})") for message in references)
    assert all(len(message.split()) < 25 for message in references)
    assert run.connections == []


@every_engine
@pytest.mark.parametrize("no_log", [True, "{{ 1 == 1 }}"])
def test_reason_that_no_log_hides_is_shown_for_another_host(fleet: Fleet, no_log: bool | str) -> None:
    fleet.environ["REMOTEIT_TOKEN"] = "wrong"
    hidden = play(who("hidden", no_log=no_log), hosts=",".join(PAIR), ignore_unreachable=True)
    run = fleet.run([hidden, play(who(), hosts=THIRD)])
    assert run.status("who") == {THIRD: "unreachable"}
    assert SHARED_CAUSE not in run.message("who")


@pytest.mark.each_api
def test_host_that_cannot_be_opened_leaves_the_others(fleet: Fleet) -> None:
    """An unknown ID, a name of two devices, no credentials, and no service: one message each."""
    names = {"REMOTEIT_TOKEN": "token", "REMOTEIT_DEVELOPER_KEY": "developer_key"}
    names |= {"R3_ACCESS_KEY_ID": "access_key_id", "R3_SECRET_ACCESS_KEY": "secret_access_key"}
    account = {f"remoteit_{option}": fleet.environ.pop(name) for name, option in names.items() if name in fleet.environ}
    fleet.simulator.device("pi-0007", fields={"name": "twin"})
    fleet.simulator.device("pi-0008", fields={"name": "twin"})
    unknown = "80:00:00:00:01:FF:FF:F1"
    fleet.inventory["fleet"]["hosts"] = {
        FIRST: {"remoteit_deviceaddress": fleet.services[0], **account},
        SECOND: {"remoteit_device": SECOND, **account},
        "unknown": {"remoteit_deviceaddress": unknown, **account},
        "twin": {"remoteit_device": "twin", **account},
        "stranger": {"remoteit_deviceaddress": fleet.services[2]},
        "nothing": account,
    }
    run = fleet.run([play(who())])
    assert run.rc == 4
    assert run.stdout_of("who")[FIRST] == FIRST
    assert run.stdout_of("who")[SECOND] == SECOND
    failed = {host: one_line(result["msg"]) for host, result in run.results("who").items() if "stdout" not in result}
    assert run.status("who") == {**dict.fromkeys(failed, "unreachable"), FIRST: "changed", SECOND: "changed"}
    expected = {
        "unknown": unknown,
        "twin": "pi-0007" if "pi-0007" in failed["twin"] else "twin",
        "stranger": "R3_ACCESS_KEY_ID",
        "nothing": "remoteit_deviceaddress",
    }
    assert set(failed) == set(expected)
    for host, part in expected.items():
        assert part in failed[host], failed[host]
        assert SHARED_CAUSE not in failed[host]
    assert connections_by_device(run) == {FIRST: 1, SECOND: 1}


@pytest.mark.each_api
def test_connection_above_the_limit_says_what_to_do(fleet: Fleet) -> None:
    """The module reports it as throttled."""
    fleet.simulator.settings(max_connections=2)
    connect = {"deviceaddress": fleet.services, "fail_on": "none"}
    run = fleet.run([play(task("open", **{CONNECT: connect}), hosts="localhost"), play(who())])
    assert run.rc == 4
    assert len(run.result("open")["connections"]) == 2
    (failure,) = run.result("open")["failures"].values()
    assert failure["code"] == "throttled"
    statuses = run.status("who")
    assert sorted(statuses.values()) == ["changed", "changed", "unreachable"]
    (refused,) = (host for host, status in statuses.items() if status == "unreachable")
    assert "serial on the play and the role remoteit_session" in run.message("who", refused)
    assert [entry["closed_by"] for entry in run.connections] == ["stop"] * 2


# -- credentials -------------------------------------------------------------------------------------------------------


@pytest.fixture
def second_simulator(tmp_path: Path) -> Iterator[Simulator]:
    directory = tmp_path / "second"
    directory.mkdir()
    simulator = Simulator(directory, "--devices", "3")
    yield simulator
    simulator.end()


def account_variables(simulator: Simulator, api: str) -> dict[str, Any]:
    """Return the host variables of an account and of its devices."""
    options = {
        REST: ("api_url", "token", "developer_key"),
        GRAPHQL: ("graphql_url", "access_key_id", "secret_access_key"),
    }[api]
    return {
        **{f"remoteit_{option}": simulator.state[option] for option in options},
        "ansible_user": simulator.state["ssh_user"],
        "ansible_ssh_private_key_file": simulator.state["ssh_private_key_file"],
    }


def without_environment(fleet: Fleet) -> None:
    """Remove the account from the environment, so that only host variables are left."""
    for name in fleet.credentials:
        del fleet.environ[name]


@every_engine
@pytest.mark.each_api
def test_two_accounts_in_one_play(fleet: Fleet, second_simulator: Simulator, api: str) -> None:
    """The services of both accounts have the same IDs, and each host is connected by its own account."""
    without_environment(fleet)
    groups = {
        "ours": (fleet.simulator, api, {f"ours-{number}": service for number, service in enumerate(fleet.services)}),
        "theirs": (second_simulator, GRAPHQL, {f"theirs-{n}": service for n, service in enumerate(fleet.services)}),
    }
    children = {}
    homes = {}
    for name, (simulator, its_api, services) in groups.items():
        known = f"-o UserKnownHostsFile={fleet.directory}/known_hosts_{name} -o StrictHostKeyChecking=accept-new"
        variables = account_variables(simulator, its_api)
        fleet.write(f"group_vars/{name}.yml", {**variables, "ansible_ssh_common_args": known})
        children[name] = {"hosts": {host: {"remoteit_deviceaddress": service} for host, service in services.items()}}
        homes |= {host: str(simulator.home(device)) for host, device in zip(services, DEVICES)}
    fleet.inventory = {"fleet": {"children": children, "vars": fleet.inventory["fleet"]["vars"]}}
    tasks = [raw("where", "pwd"), raw("again", "pwd")]
    run = fleet.run([play(*tasks)], "-vvvv")
    assert run.rc == 0
    assert run.stdout_of("where") == homes
    assert run.stdout_of("again") == homes
    for simulator in (fleet.simulator, second_simulator):
        assert not [name for name, secret in simulator.secrets.items() if secret in run.stdout + run.stderr]
    assert connections_by_device(run) == dict.fromkeys(DEVICES, 1)
    theirs = second_simulator.connections()
    assert sorted(entry["device"] for entry in theirs) == sorted(DEVICES)
    assert {entry["closed_by"] for entry in theirs} == {"stop"}
    assert run.recap == "opened 6, closed 6, left open 0"


def test_number_of_a_wrong_type_names_its_variable(fleet: Fleet) -> None:
    wrong = {"remoteit_concurrency": "many", "remoteit_prefetch": -1, "remoteit_wait_timeout": "soon"}
    hosts = fleet.inventory["fleet"]["hosts"]
    hosts |= {variable: {**hosts[SECOND], variable: value} for variable, value in wrong.items()}
    run = fleet.run([play(who())])
    assert run.rc in (2, 4)
    assert {host: run.stdout_of("who")[host] for host in DEVICES} == themselves(*DEVICES)
    for variable in wrong:
        assert run.status("who")[variable] in ("unreachable", "failed")
        assert variable in run.message("who", variable)
