# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``hosts`` of ``remoteit_connect`` and ``remoteit_disconnect``, and to whom modules can be delegated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import CONNECT, DISCONNECT, Fleet, Run, play, themselves, who


def open_all(**options: Any) -> dict[str, Any]:
    return {"name": "open", CONNECT: {"hosts": "{{ groups['fleet'] }}", **options}, "run_once": True}


def close_all(name: str = "close") -> dict[str, Any]:
    return {"name": name, DISCONNECT: {"hosts": "{{ groups['fleet'] }}"}, "run_once": True}


def run_tasks(fleet: Fleet, *tasks: dict[str, Any], arguments: tuple[str, ...] = (), **keywords: Any) -> Run:
    """Run tasks on the fleet."""
    return fleet.run([play(*tasks, **keywords)], *arguments)


# -- hosts -------------------------------------------------------------------------------------------------------------


@pytest.mark.each_api
def test_hosts_are_the_keys_of_connections_and_failures(fleet: Fleet) -> None:
    """The option ``fail_on`` decides whether the task fails."""
    fleet.simulator.device("pi-0002", online=False)
    failing = {
        "any of two": ({"hosts": ["pi-0001", "pi-0002"], "fail_on": "any"}, "ignored"),
        "all of two": ({"hosts": ["pi-0002", "pi-0003"], "fail_on": "all"}, "changed"),
        "all of one": ({"hosts": ["pi-0002"], "fail_on": "all"}, "ignored"),
    }
    once = {"run_once": True, "ignore_errors": True}
    run = run_tasks(
        fleet,
        *[open_all(fail_on="none"), fleet.look(), close_all(), fleet.look("look again")],
        *[{"name": name, CONNECT: options, **once} for name, (options, _unused) in failing.items()],
    )
    assert run.rc == 0
    for name, (_unused, status) in failing.items():
        assert run.status(name) == {"pi-0001": status}
        assert list(run.result(name)["failures"]) == ["pi-0002"]
    result = run.result("open")
    opened = {host: entry["deviceaddress"] for host, entry in result["connections"].items()}
    assert opened == {"pi-0001": fleet.services[0], "pi-0003": fleet.services[2]}
    assert {host: failure["code"] for host, failure in result["failures"].items()} == {"pi-0002": "offline"}
    ids = sorted(entry["connectionid"] for entry in result["connections"].values())
    assert sorted(run.open_at()) == ids
    assert sorted(entry["connectionid"] for entry in run.result("close")["closed"]) == ids
    assert run.open_at("look again") == []


def test_hosts_have_their_own_accounts_and_hostips(fleet: Fleet) -> None:
    """One by an access key of its variables, two by the token of the environment."""
    state = fleet.simulator.state
    access_key = {f"remoteit_{name}": state[name] for name in ("access_key_id", "secret_access_key", "graphql_url")}
    fleet.write("host_vars/pi-0002.yml", {**access_key, "remoteit_hostip": "127.0.0.1"})
    fleet.write("host_vars/pi-0003.yml", {"remoteit_hostip": "{{ latching }}", "latching": "255.255.255.255"})
    run = run_tasks(fleet, open_all(), who(), close_all(), fleet.look())
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*fleet.devices)
    apis = {r["deviceaddress"]: r["api"] for r in run.requests if r["call"] == "connect"}
    assert apis == dict(zip(fleet.services, ["rest", "graphql", "rest"], strict=True))
    hostips = {c["deviceaddress"]: c["hostip"] for c in run.connections}
    assert hostips[fleet.services[1]] == "127.0.0.1"
    assert hostips[fleet.services[2]] == "255.255.255.255"
    assert len(run.result("close")["closed"]) == 3
    assert run.open_at() == []


@pytest.mark.each_api
def test_hosts_are_found_by_their_names(fleet: Fleet) -> None:
    fleet.inventory["fleet"]["hosts"] = {
        "by-device": {"remoteit_device": "pi-0001"},
        "by-service": {"remoteit_device": "pi-0002", "remoteit_service": "pi-0002-ssh"},
        "by-id": {"remoteit_deviceaddress": fleet.services[2].lower()},
        "nowhere": {"remoteit_device": "no such device"},
    }
    run = run_tasks(fleet, open_all(fail_on="none"), who(), fleet.look(), close_all())
    opened = {host: entry["deviceaddress"] for host, entry in run.result("open")["connections"].items()}
    assert opened == {
        "by-device": fleet.services[0],
        "by-service": fleet.services[1],
        "by-id": fleet.services[2].lower(),
    }
    assert run.result("open")["failures"]["nowhere"]["code"] == "not_found"
    found = {host: out for host, out in run.stdout_of("who").items() if out}
    assert found == {"by-device": "pi-0001", "by-service": "pi-0002", "by-id": "pi-0003"}
    assert [request["call"] for request in run.requests][:4] == ["list", "connect", "connect", "connect"]
    assert len(run.connections) == len(run.open_at()) == 3


def test_hosts_of_the_task_alone_without_lockstep(fleet: Fleet) -> None:
    """With ``free``, which runs a ``run_once`` task on every host, each opens and closes its own."""
    run = run_tasks(fleet, open_all(), who(), close_all(), strategy="free")
    assert run.rc == 0
    assert {host: list(result["connections"]) for host, result in run.results("open").items()} == {
        device: [device] for device in fleet.devices
    }
    assert {len(result["closed"]) for result in run.results("close").values()} == {1}
    assert run.calls("connect") == run.calls("stop") == fleet.services


def test_hosts_refuse_what_comes_from_their_variables(fleet: Fleet, subtests: Any) -> None:
    options = {
        "token": {"token": "of-another", "developer_key": "of-another"},
        "profile": {"profile": "work"},
        "api_url": {"api_url": "http://127.0.0.1:1"},
        "deviceaddress": {"deviceaddress": fleet.services[0]},
        "hostip": {"hostip": "127.0.0.1"},
    }
    tasks = [{**open_all(**more), "name": name, "ignore_errors": True} for name, more in options.items()]
    for name in ("token", "profile"):
        given = {"hosts": fleet.devices, **options[name]}
        tasks.append({"name": f"close {name}", DISCONNECT: given, "run_once": True, "ignore_errors": True})
    for name, hosts in {"fleet": "fleet", "no-such-host": ["pi-0001", "no-such-host"]}.items():
        close = {"name": f"close {name}", DISCONNECT: {"hosts": hosts}, "run_once": True, "ignore_errors": True}
        tasks += [close, {**close, "name": f"check {name}", "check_mode": True}]
    unknown = {"name": "unknown", CONNECT: {"hosts": ["pi-0001", "no-such-host"]}, "run_once": True}
    run = run_tasks(fleet, *tasks, {**unknown, "ignore_errors": True})
    assert run.rc == 0
    assert run.calls("connect") == fleet.services[:1]  # by the last task
    assert run.result("unknown")["failures"]["no-such-host"]["code"] == "options"
    for task in tasks:
        with subtests.test(task["name"]):
            result = run.result(task["name"])
            assert result["failure"]["code"] == "options"
            assert task["name"].split()[-1] in result["msg"]


def test_hosts_without_credentials_fail_the_task(fleet: Fleet) -> None:
    given = {f"remoteit_{name.removeprefix('REMOTEIT_').lower()}": value for name, value in fleet.credentials.items()}
    for name in fleet.credentials:
        if not name.endswith("_URL"):
            del fleet.environ[name]
    for device in ("pi-0001", "pi-0003"):
        fleet.write(f"host_vars/{device}.yml", given)
    alone = {"name": "alone", CONNECT: {"hosts": ["pi-0002"], "fail_on": "none"}, "run_once": True}
    run = run_tasks(fleet, *[{**each, "ignore_errors": True} for each in (open_all(fail_on="none"), alone)])
    for name in ("open", "alone"):
        assert set(run.status(name).values()) == {"ignored"}
        assert run.result(name)["failure"]["code"] == "auth"
        assert list(run.result(name)["failures"]) == ["pi-0002"]


# -- what disconnect closes --------------------------------------------------------------------------------------------


def test_disconnect_of_hosts_closes_the_replacement(fleet: Fleet) -> None:
    """It needs no registered result, and closes whichever connection a host has by now.

    One host is opened again by the module, and the others by their next task.
    """
    again = {"name": "open again", CONNECT: {"hosts": ["pi-0001"]}, "run_once": True}
    expire = fleet.post("clock", "clock", {"advance": 30000})
    run = run_tasks(fleet, open_all(), expire, again, who(), close_all(), fleet.look())
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*fleet.devices)
    assert len(run.connections) == 6
    assert {c["closed_by"] for c in run.connections[:3]} <= {"idle", "expired"}
    closed = {entry["connectionid"] for entry in run.result("close")["closed"]}
    assert closed == {c["connectionid"] for c in run.connections[3:]}
    assert [c["closed_by"] for c in run.connections[3:]] == ["stop"] * 3
    assert run.open_at() == []


def test_disconnect_of_hosts_leaves_other_openings(fleet: Fleet) -> None:
    """Those of the connection plugin alone, and those that another task holds."""
    other = {"name": "other", CONNECT: {"deviceaddress": fleet.services[0]}, "run_once": True}
    run = run_tasks(
        fleet, who(), close_all("close first"), fleet.look(), other, open_all(), close_all(), fleet.look("look again")
    )
    assert run.rc == 0
    assert run.result("close first")["closed"] == []
    assert len(run.open_at()) == 3
    assert [entry["deviceaddress"] for entry in run.result("close")["still_used"]] == [fleet.services[0]]
    assert len(run.result("close")["closed"]) == 2
    assert len(run.open_at("look again")) == 1
    assert len(run.connections) == 3
    assert run.recap == "opened 3, closed 3, left open 0"


def test_disconnect_of_hosts_keeps_the_fact_of_another_opening(fleet: Fleet) -> None:
    """A host that ``add_host`` created, and hosts without a connection, are no error."""
    own = {"name": "open", CONNECT: {"deviceaddress": "{{ remoteit_deviceaddress }}"}}
    added = {"name": "add", "ansible.builtin.add_host": {"name": "added"}}
    close = {"name": "close hosts", DISCONNECT: {"hosts": "{{ groups['all'] }}"}, "run_once": True}
    by_fact = {"name": "close", DISCONNECT: {"connections": "{{ remoteit_connection }}"}}
    run = run_tasks(fleet, own, added, close, fleet.look(), by_fact, {**by_fact, "name": "close again"})
    assert run.rc == 0
    assert run.result("close hosts")["closed"] == []
    assert len(run.open_at()) == len(fleet.devices)
    assert {len(result["closed"]) for result in run.results("close").values()} == {1}
    assert {len(result["already_closed"]) for result in run.results("close again").values()} == {0}


def test_disconnect_of_hosts_twice_closes_once(fleet: Fleet) -> None:
    """Hosts that opened twice hold their connection once. In check mode nothing is opened.

    The connection of a device that then returned a fact, which is refused, is closed too.
    """
    answer = json.dumps({"changed": False, "ansible_facts": {"remoteit_hostip": "0.0.0.0"}})
    python = fleet.write("python", f"#!/bin/sh\ncat >/dev/null\ncat <<'END'\n{answer}\nEND\n")
    python.chmod(0o755)
    fleet.inventory["fleet"]["hosts"]["pi-0002"]["ansible_python_interpreter"] = str(python)
    lie = {"name": "lie", "ansible.builtin.ping": {}, "when": "inventory_hostname == 'pi-0002'"}
    checks = [{**each, "name": "check", "check_mode": True} for each in (open_all(), close_all())]
    run = run_tasks(fleet, *checks, open_all(), open_all(), lie, close_all(), close_all("close again"), fleet.look())
    assert run.rc == 0
    checked_open, checked_close = (entry["result"] for entry in run.entries("check"))
    assert {entry["connectionid"] for entry in checked_open["connections"].values()} == {None}
    assert list(checked_open["connections"]) == fleet.devices
    assert checked_close["failures"] == {}
    assert len(run.calls("connect")) == 3
    assert len(run.result("close")["closed"]) == 3
    assert run.result("close again")["closed"] == []
    assert len(run.calls("stop")) == 3
    assert run.open_at() == []


def test_disconnect_waits_for_a_running_command(fleet: Fleet) -> None:
    """Of another host, to which the command was delegated."""
    home = fleet.simulator.home("pi-0001")
    command = "touch started; until [ -e go ]; do sleep 0.1; done; cat device-name"
    run = fleet.run(
        [
            {
                "hosts": "fleet",
                "gather_facts": False,
                "strategy": "free",
                "tasks": [
                    {
                        "name": "command",
                        "ansible.builtin.raw": command,
                        "delegate_to": "pi-0001",
                        "when": "inventory_hostname == 'pi-0002'",
                    },
                    {
                        "when": "inventory_hostname == 'pi-0001'",
                        "block": [
                            {"ansible.builtin.wait_for": {"path": f"{home}/started"}, "delegate_to": "localhost"},
                            {"name": "open", CONNECT: {"hosts": ["pi-0001"]}},
                            {"name": "close", DISCONNECT: {"hosts": ["pi-0001"]}},
                        ],
                    },
                ],
            }
        ],
        while_running=lambda: has_run(fleet, "open") and (home / "go").touch(),
    )
    assert run.rc == 0
    assert run.stdout_of("command")["pi-0002"] == "pi-0001"
    assert len(run.result("close", "pi-0001")["closed"]) == 1
    assert [entry["task"] for entry in run.journal if entry["status"] == "changed"][-1] == "close"
    assert [(c["device"], c["closed_by"]) for c in run.connections] == [("pi-0001", "stop")]


def has_run(fleet: Fleet, task: str) -> bool:
    """Whether the task has run, and was not skipped."""
    lines = (fleet.directory / "journal").read_text().splitlines(keepends=True)
    entries = [json.loads(line) for line in lines if line.endswith("\n")]
    return any(entry["task"] == task and entry["status"] in ("ok", "changed") for entry in entries)


# -- delegation --------------------------------------------------------------------------------------------------------

MODULES = {
    CONNECT: {"deviceaddress": "80:00:00:00:01:00:00:11"},
    DISCONNECT: {"all": True},
    "remoteit.fleet.remoteit_connection_info": {},
    "remoteit.fleet.remoteit_service_info": {},
}


@pytest.mark.every_engine
def test_modules_are_not_delegated_to_another_host(fleet: Fleet, subtests: Any) -> None:
    fleet.record_ssh()
    fleet.inventory["gateways"] = {"hosts": {"gateway": fleet.plain_way("pi-0005")}}
    tasks = [
        {"name": f"{module} to {host}", module: options, "delegate_to": host, "ignore_errors": True}
        for module, options in MODULES.items()
        for host in ("gateway", "pi-0001")
    ]
    run = fleet.on_localhost(tasks)
    assert run.rc == 0
    assert run.requests == []
    assert run.ssh_calls == []
    for task in tasks:
        with subtests.test(task["name"]):
            result = run.result(task["name"])
            assert result["failure"]["code"] == "options"
            assert "hostip" in result["msg"]
            assert repr(task["delegate_to"]) in result["msg"]


def test_modules_are_delegated_to_the_controller(fleet: Fleet) -> None:
    """Under each name that Ansible takes as the controller's."""
    tasks: list[tuple[dict[str, Any], str]] = [
        ({"name": "open", CONNECT: {"hosts": fleet.devices}, "register": "opened"}, "localhost"),
        ({"name": "open again", CONNECT: {"hosts": fleet.devices}}, "127.0.0.1"),
        ({"name": "close", DISCONNECT: {"connections": "{{ opened }}"}}, "127.0.0.1"),
        ({"name": "info", "remoteit.fleet.remoteit_connection_info": {}}, "localhost"),
        ({"name": "find", "remoteit.fleet.remoteit_service_info": {"device": "pi-0001"}}, "127.0.0.1"),
    ]
    run = run_tasks(fleet, *[{**task, "delegate_to": name, "run_once": True} for task, name in tasks])
    assert run.rc == 0
    assert len(run.result("open")["connections"]) == 3
    assert [device["name"] for device in run.result("find")["devices"]] == ["pi-0001"]
