# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``hosts`` of ``remoteit_connect`` and ``remoteit_disconnect``, and to whom modules can be delegated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import Fleet, Run

CONNECT = "remoteit.fleet.remoteit_connect"
DISCONNECT = "remoteit.fleet.remoteit_disconnect"
WHO = {"name": "who", "ansible.builtin.raw": "cat device-name"}


def open_all(**options: Any) -> dict[str, Any]:
    return {"name": "open", CONNECT: {"hosts": "{{ groups['fleet'] }}", **options}, "run_once": True}


def close_all(name: str = "close") -> dict[str, Any]:
    return {"name": name, DISCONNECT: {"hosts": "{{ groups['fleet'] }}"}, "run_once": True}


def run_tasks(fleet: Fleet, *tasks: dict[str, Any], arguments: tuple[str, ...] = (), **keywords: Any) -> Run:
    """Run tasks on the fleet."""
    return fleet.run([{"hosts": "fleet", "gather_facts": False, "tasks": list(tasks), **keywords}], *arguments)


def control(fleet: Fleet, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return a task that changes the simulator."""
    url = f"{fleet.simulator.state['control_url']}/{path}"
    call = {"url": url, "method": "POST", "body_format": "json", "body": body}
    return {"name": path, "ansible.builtin.uri": call, "delegate_to": "localhost", "run_once": True}


def look(fleet: Fleet, name: str = "look") -> dict[str, Any]:
    """Return a task that records the vendor's connections."""
    url = f"{fleet.simulator.state['control_url']}/connections"
    return {"name": name, "ansible.builtin.uri": {"url": url}, "delegate_to": "localhost", "run_once": True}


def open_at(run: Run, name: str = "look") -> list[str]:
    """Return the run's connections that were open at the look."""
    ours = {entry["connectionid"] for entry in run.connections}
    return [c["connectionid"] for c in run.result(name)["json"] if c["open"] and c["connectionid"] in ours]


# -- hosts -------------------------------------------------------------------------------------------------------------


@pytest.mark.each_api
def test_hosts_are_the_keys_of_connections_and_failures(fleet: Fleet) -> None:
    fleet.simulator.device("pi-0002", online=False)
    run = run_tasks(fleet, open_all(fail_on="none"), look(fleet), close_all(), look(fleet, "look again"))
    assert run.rc == 0
    result = run.result("open")
    opened = {host: entry["deviceaddress"] for host, entry in result["connections"].items()}
    assert opened == {"pi-0001": fleet.services[0], "pi-0003": fleet.services[2]}
    assert {host: failure["code"] for host, failure in result["failures"].items()} == {"pi-0002": "offline"}
    ids = sorted(entry["connectionid"] for entry in result["connections"].values())
    assert sorted(open_at(run)) == ids
    assert sorted(entry["connectionid"] for entry in run.result("close")["closed"]) == ids
    assert open_at(run, "look again") == []


@pytest.mark.parametrize(("fail_on", "offline", "fails"), [("any", 1, True), ("all", 1, False), ("all", 3, True)])
def test_hosts_fail_as_fail_on_says(fleet: Fleet, fail_on: str, offline: int, fails: bool) -> None:
    for device in fleet.devices[:offline]:
        fleet.simulator.device(device, online=False)
    run = run_tasks(fleet, open_all(fail_on=fail_on))
    assert run.rc == (2 if fails else 0)
    assert sorted(run.result("open")["failures"]) == fleet.devices[:offline]


def test_hosts_have_their_own_accounts_and_hostips(fleet: Fleet) -> None:
    """One by an access key of its variables, two by the token of the environment."""
    state = fleet.simulator.state
    access_key = {f"remoteit_{name}": state[name] for name in ("access_key_id", "secret_access_key", "graphql_url")}
    fleet.write("host_vars/pi-0002.yml", {**access_key, "remoteit_hostip": "127.0.0.1"})
    fleet.write("host_vars/pi-0003.yml", {"remoteit_hostip": "{{ latching }}", "latching": "255.255.255.255"})
    run = run_tasks(fleet, open_all(), WHO, close_all(), look(fleet))
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices}
    apis = {r["deviceaddress"]: r["api"] for r in run.requests if r["call"] == "connect"}
    assert apis == dict(zip(fleet.services, ["rest", "graphql", "rest"], strict=True))
    hostips = {c["deviceaddress"]: c["hostip"] for c in run.connections}
    assert hostips[fleet.services[1]] == "127.0.0.1"
    assert hostips[fleet.services[2]] == "255.255.255.255"
    assert len(run.result("close")["closed"]) == 3
    assert open_at(run) == []


@pytest.mark.each_api
def test_hosts_are_found_by_their_names(fleet: Fleet) -> None:
    fleet.inventory["fleet"]["hosts"] = {
        "by-device": {"remoteit_device": "pi-0001"},
        "by-service": {"remoteit_device": "pi-0002", "remoteit_service": "pi-0002-ssh"},
        "by-id": {"remoteit_deviceaddress": fleet.services[2].lower()},
        "nowhere": {"remoteit_device": "no such device"},
    }
    run = run_tasks(fleet, open_all(fail_on="none"), WHO, look(fleet), close_all())
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
    assert len(run.connections) == len(open_at(run)) == 3


def test_hosts_of_the_task_alone_without_lockstep(fleet: Fleet) -> None:
    """With ``free``, which runs a ``run_once`` task on every host, each opens and closes its own."""
    run = run_tasks(fleet, open_all(), WHO, close_all(), strategy="free")
    assert run.rc == 0
    assert {host: list(result["connections"]) for host, result in run.results("open").items()} == {
        device: [device] for device in fleet.devices
    }
    assert {len(result["closed"]) for result in run.results("close").values()} == {1}
    for call in ("connect", "stop"):
        assert sorted(r["deviceaddress"] for r in run.requests if r["call"] == call) == fleet.services


def test_hosts_refuse_what_comes_from_their_variables(fleet: Fleet, subtests: Any) -> None:
    options = {
        "token": {"token": "of-somebody", "developer_key": "of-somebody"},
        "profile": {"profile": "work"},
        "api_url": {"api_url": "http://127.0.0.1:1"},
        "deviceaddress": {"deviceaddress": fleet.services[0]},
        "hostip": {"hostip": "127.0.0.1"},
    }
    tasks = [{**open_all(**more), "name": name, "ignore_errors": True} for name, more in options.items()]
    for name in ("token", "profile"):
        given = {"hosts": fleet.devices, **options[name]}
        tasks.append({"name": f"close {name}", DISCONNECT: given, "run_once": True, "ignore_errors": True})
    run = run_tasks(fleet, *tasks)
    assert run.rc == 0
    assert run.requests == []
    for task in tasks:
        with subtests.test(task["name"]):
            result = run.result(task["name"])
            assert result["failure"]["code"] == "options"
            assert task["name"].removeprefix("close ") in result["msg"]


@pytest.mark.parametrize("missing", ["all", "one"])
def test_hosts_without_credentials_fail_the_task(fleet: Fleet, missing: str) -> None:
    given = {f"remoteit_{name.removeprefix('REMOTEIT_').lower()}": value for name, value in fleet.credentials.items()}
    for name in fleet.credentials:
        if not name.endswith("_URL"):
            del fleet.environ[name]
    if missing == "one":
        for device in ("pi-0001", "pi-0003"):
            fleet.write(f"host_vars/{device}.yml", given)
    run = run_tasks(fleet, open_all(fail_on="none"))
    assert run.rc == 2
    result = run.result("open")
    assert result["failure"]["code"] == "auth"
    assert sorted(result["failures"]) == (["pi-0002"] if missing == "one" else fleet.devices)


def test_hosts_in_check_mode_send_nothing(fleet: Fleet) -> None:
    run = run_tasks(fleet, open_all(), close_all(), arguments=("--check",))
    assert run.rc == 0
    connections = run.result("open")["connections"]
    assert {host: entry["deviceaddress"] for host, entry in connections.items()} == dict(
        zip(fleet.devices, fleet.services, strict=True)
    )
    assert {entry["connectionid"] for entry in connections.values()} == {None}
    assert run.result("close")["failures"] == {}
    assert run.requests == []
    assert run.recap is None


def test_unknown_host_is_an_option_error(fleet: Fleet) -> None:
    run = run_tasks(fleet, {"name": "open", CONNECT: {"hosts": ["pi-0001", "no-such-host"]}, "run_once": True})
    assert run.rc == 2
    assert {host: failure["code"] for host, failure in run.result("open")["failures"].items()} == {
        "no-such-host": "options"
    }


# -- what disconnect closes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reconnect", "connect again"])
def test_disconnect_of_hosts_closes_the_replacement(fleet: Fleet, how: str) -> None:
    """It needs no registered result, and closes whichever connection a host has by now."""
    again = [] if how == "reconnect" else [{**open_all(), "name": "open again"}]
    run = run_tasks(
        fleet, open_all(), control(fleet, "clock", {"advance": 30000}), *again, WHO, close_all(), look(fleet)
    )
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices}
    assert len(run.connections) == 6
    assert {c["closed_by"] for c in run.connections[:3]} <= {"idle", "expired"}
    closed = {entry["connectionid"] for entry in run.result("close")["closed"]}
    assert closed == {c["connectionid"] for c in run.connections[3:]}
    assert [c["closed_by"] for c in run.connections[3:]] == ["stop"] * 3
    assert open_at(run) == []


def test_disconnect_of_hosts_leaves_other_openings(fleet: Fleet) -> None:
    """Those of the connection plugin alone, and those that another task holds."""
    other = {"name": "other", CONNECT: {"deviceaddress": fleet.services[0]}, "run_once": True}
    run = run_tasks(
        fleet, WHO, close_all("close first"), look(fleet), other, open_all(), close_all(), look(fleet, "look again")
    )
    assert run.rc == 0
    assert run.result("close first")["closed"] == []
    assert len(open_at(run)) == 3
    assert [entry["deviceaddress"] for entry in run.result("close")["still_used"]] == [fleet.services[0]]
    assert len(run.result("close")["closed"]) == 2
    assert len(open_at(run, "look again")) == 1
    assert len(run.connections) == 3
    assert run.recap == "opened 3, closed 3, left open 0"


def test_disconnect_of_hosts_closes_for_a_lying_device(fleet: Fleet) -> None:
    """What was opened before the device returned a fact that is refused."""
    answer = json.dumps({"changed": False, "ansible_facts": {"remoteit_hostip": "0.0.0.0"}})
    python = fleet.write("python", f"#!/bin/sh\ncat >/dev/null\ncat <<'END'\n{answer}\nEND\n")
    python.chmod(0o755)
    fleet.inventory["fleet"]["hosts"]["pi-0002"]["ansible_python_interpreter"] = str(python)
    lie = {"name": "lie", "ansible.builtin.ping": {}}
    run = run_tasks(fleet, open_all(), lie, close_all(), look(fleet))
    assert run.rc == 0
    assert len(run.result("close")["closed"]) == 3
    assert open_at(run) == []


def test_disconnect_of_hosts_twice_closes_once(fleet: Fleet) -> None:
    """Hosts that opened twice hold their connection once."""
    run = run_tasks(fleet, open_all(), open_all(), close_all(), close_all("close again"), look(fleet))
    assert run.rc == 0
    assert len(run.result("close")["closed"]) == 3
    assert run.result("close again")["closed"] == []
    assert len([r for r in run.requests if r["call"] == "stop"]) == 3
    assert open_at(run) == []


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
    lines = (fleet.folder / "journal").read_text().splitlines(keepends=True)
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


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_modules_are_delegated_to_the_controller(fleet: Fleet, name: str) -> None:
    tasks: list[dict[str, Any]] = [
        {"name": "open", CONNECT: {"hosts": fleet.devices}, "register": "opened"},
        {"name": "close", DISCONNECT: {"connections": "{{ opened }}"}},
        {"name": "info", "remoteit.fleet.remoteit_connection_info": {}},
        {"name": "find", "remoteit.fleet.remoteit_service_info": {"device": "pi-0001"}},
    ]
    run = run_tasks(fleet, *[{**task, "delegate_to": name, "run_once": True} for task in tasks])
    assert run.rc == 0
    assert len(run.result("open")["connections"]) == 3
    assert [device["name"] for device in run.result("find")["devices"]] == ["pi-0001"]
