# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules without the role and the connection plugin."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import CONNECT, DISCONNECT, Fleet

pytestmark = pytest.mark.each_api


def test_connect_and_disconnect(fleet: Fleet) -> None:
    """In check mode nothing is sent."""
    tasks = [
        {"name": "open", CONNECT: {"deviceaddress": fleet.services[0]}, "register": "opened"},
        {"name": "close", DISCONNECT: {"connections": "{{ opened }}"}},
    ]
    run = fleet.on_localhost(
        [*({**task, "name": f"check {task['name']}", "check_mode": True} for task in tasks), *tasks]
    )
    assert run.rc == 0
    opened = run.result("check open")
    assert (opened["changed"], opened["proxy"]) == (True, None)
    entry = opened["connections"][fleet.services[0]]
    assert (entry["deviceaddress"], entry["connectionid"]) == (fleet.services[0], None)
    assert run.result("check close")["failures"] == {}
    assert [(c["deviceaddress"], c["closed_by"]) for c in run.connections] == [(fleet.services[0], "stop")]
    assert [request["call"] for request in run.requests] == ["connect", "stop"]
    assert run.recap == "opened 1, closed 1, left open 0"
    assert fleet.ledgers() == []


def test_connect_for_each_host_sets_its_fact(fleet: Fleet) -> None:
    """Nothing runs on the hosts of the play."""
    fleet.record_ssh()
    run = fleet.run("""\
        - hosts: fleet
          gather_facts: false
          tasks:
            - name: open
              remoteit.fleet.remoteit_connect:
                deviceaddress: "{{ remoteit_deviceaddress }}"
            - name: fact
              ansible.builtin.debug:
                msg: "{{ remoteit_connection }}"
            - name: close
              remoteit.fleet.remoteit_disconnect:
                deviceaddress: "{{ remoteit_deviceaddress }}"
                connectionid: "{{ remoteit_connection.connectionid }}"
            - name: fact after
              ansible.builtin.debug:
                msg: "{{ remoteit_connection | length }}"
        """)
    assert run.rc == 0
    assert run.ssh_calls == []
    assert sorted(c["deviceaddress"] for c in run.connections) == sorted(fleet.services)
    by_service = {c["deviceaddress"]: c["connectionid"] for c in run.connections}
    for device, service in zip(fleet.devices, fleet.services, strict=True):
        result, fact = run.result("open", device), run.result("fact", device)["msg"]
        assert result["connectionid"] == fact["connectionid"] == by_service[service]
        assert {name: result[name] for name in ("proxy", "host", "port", "expirationsec")} == {
            name: fact[name] for name in ("proxy", "host", "port", "expirationsec")
        }
        assert (fact["scheme"], fact["reverse_proxy"], fact["restriction"], fact["reused"]) == (
            "tcp", False, fleet.restriction, False,
        )  # fmt: skip
        assert isinstance(fact["port"], int)
        assert isinstance(fact["expirationsec"], int)
        assert fact["expires_at"].endswith("Z")
        assert int(run.result("fact after", device)["msg"]) == 0


def test_connect_fails_as_fail_on_says(fleet: Fleet) -> None:
    fleet.simulator.device("pi-0002", online=False)
    online, offline = [fleet.services[0], fleet.services[2]], fleet.services[1]
    fleet.inventory = {}
    run = fleet.run(
        """\
        - hosts: localhost
          gather_facts: false
          tasks:
            - name: any
              remoteit.fleet.remoteit_connect:
                deviceaddress: "{{ services }}"
              ignore_errors: true
              register: any
            - name: close any
              remoteit.fleet.remoteit_disconnect:
                connections: "{{ any.connections }}"
            - name: all
              remoteit.fleet.remoteit_connect:
                deviceaddress: "{{ services }}"
                fail_on: all
              register: all
            - name: close all
              remoteit.fleet.remoteit_disconnect:
                connections: "{{ all }}"
            - name: none
              remoteit.fleet.remoteit_connect:
                service_id: "{{ services[1] }}"
                fail_on: all
              ignore_errors: true
            - name: the fact
              ansible.builtin.debug:
                msg: "{{ remoteit_connection | default({}) | length }}"
        """,
        "-e", str({"services": fleet.services}),
    )  # fmt: skip
    assert run.rc == 0
    assert {task: run.status(task)["localhost"] for task in ("any", "all", "none")} == {
        "any": "ignored", "all": "changed", "none": "ignored",
    }  # fmt: skip
    for task in ("any", "all"):
        result = run.result(task)
        assert sorted(result["connections"]) == online
        assert list(result["failures"]) == [offline]
        assert result["failures"][offline]["code"] == "offline"
        assert "inactive" in result["failures"][offline]["message"]
        assert "proxy" not in result
        assert len(run.result(f"close {task}")["closed"]) == 2
    assert run.result("any")["failure"]["code"] == "offline"
    assert offline in run.result("any")["msg"]
    assert run.result("none")["connections"] == {}
    assert int(run.result("the fact")["msg"]) == 0
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 4


def test_connect_reuses_within_a_run(fleet: Fleet) -> None:
    """The same service is opened once, and closed when its last task disconnects."""
    fleet.inventory = {}
    run = fleet.run(
        """\
        - hosts: localhost
          gather_facts: false
          module_defaults:
            remoteit.fleet.remoteit_connect: {deviceaddress: "{{ service }}"}
          tasks:
            - {name: first, remoteit.fleet.remoteit_connect: , register: first}
            - {name: second, remoteit.fleet.remoteit_connect: , register: second}
            - {name: another, remoteit.fleet.remoteit_connect: {reuse: false}, register: another}
            - {name: close first, remoteit.fleet.remoteit_disconnect: {connections: "{{ first }}"}}
            - {name: close second, remoteit.fleet.remoteit_disconnect: {connections: "{{ second }}"}}
            - {name: close second again, remoteit.fleet.remoteit_disconnect: {connections: "{{ second }}"}}
        """,
        "-e", f"service={fleet.services[0]}",
    )  # fmt: skip
    assert run.rc == 0
    changed = {e["task"]: e["status"] for e in run.journal}
    assert changed == {
        "first": "changed",
        "second": "ok",
        "another": "changed",
        "close first": "ok",
        "close second": "changed",
        "close second again": "ok",
    }
    first, second, another = (run.result(task) for task in ("first", "second", "another"))
    assert first["connectionid"] == second["connectionid"] != another["connectionid"]
    assert (first["connections"][fleet.services[0]]["reused"], second["connections"][fleet.services[0]]["reused"]) == (
        False, True,
    )  # fmt: skip
    assert len(run.result("close first")["still_used"]) == 1
    assert len(run.result("close second")["closed"]) == 1
    assert len(run.result("close second again")["already_closed"]) == 1
    assert [request["call"] for request in run.requests] == ["connect", "connect", "stop", "stop"]


def test_detached_connection_outlives_its_run(fleet: Fleet) -> None:
    service = fleet.services[0]
    opening = fleet.on_localhost([{"name": "open", CONNECT: {"deviceaddress": service, "detach": True}}], leaves_open=1)
    assert opening.rc == 0
    connection = {"deviceaddress": service, "connectionid": opening.result("open")["connectionid"]}
    closing = fleet.on_localhost([{"name": "close", DISCONNECT: connection}])
    assert closing.status("close") == {"localhost": "changed"}
    assert fleet.simulator.open_connections() == []


def test_invalid_options_send_nothing(fleet: Fleet, subtests: Any) -> None:
    fleet.inventory = {}
    service = fleet.services[0]
    table: dict[str, tuple[dict[str, Any], str]] = {
        "malformed id": ({"deviceaddress": "80:00"}, "80:00"),
        "two sets": ({"deviceaddress": service, "token": "a", "username": "b", "password": "c"}, "mix"),
        "choice": ({"deviceaddress": service, "fail_on": "some"}, "fail_on"),
        "unknown option": ({"deviceaddress": service, "devceaddress": "x"}, "unsupported parameters: devceaddress"),
    }
    tasks = [
        {"name": name, "remoteit.fleet.remoteit_connect": options, "ignore_errors": True}
        for name, (options, _unused) in table.items()
    ]
    tasks.append(
        {"name": "half a stop", "remoteit.fleet.remoteit_disconnect": {"deviceaddress": service}, "ignore_errors": True}
    )
    table["half a stop"] = ({}, "connectionid")
    run = fleet.on_localhost(tasks)
    assert run.rc == 0
    assert run.requests == []
    for name, (_unused, words) in table.items():
        with subtests.test(name):
            assert run.status(name) == {"localhost": "ignored"}
            assert run.result(name)["failure"]["code"] == "options"
            assert words in run.result(name)["msg"]
