# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules alone."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Fleet

pytestmark = pytest.mark.each_api

TEN_LINES = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - remoteit.fleet.remoteit_connect:
        deviceaddress: "{{ service }}"
      register: opened
    - ansible.builtin.debug:
        msg: "{{ opened.host }} {{ opened.port }}"
    - remoteit.fleet.remoteit_disconnect:
        connections: "{{ opened }}"
"""


def test_ten_lines_and_the_environment_are_enough(fleet: Fleet) -> None:
    fleet.inventory = {}
    run = fleet.run(TEN_LINES, "-e", f"service={fleet.services[0]}")
    assert run.rc == 0
    assert [(c["deviceaddress"], c["closed_by"]) for c in run.connections] == [(fleet.services[0], "stop")]
    assert [request["call"] for request in run.requests] == ["connect", "stop"]
    assert run.recap == "opened 1, closed 1, left open 0"
    assert fleet.ledgers() == []


def test_a_host_that_cannot_be_reached_yet_opens_its_own_connection(fleet: Fleet) -> None:
    """Nothing runs on the hosts of the play, although nobody wrote delegate_to."""
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


def test_bulk_with_one_device_offline(fleet: Fleet) -> None:
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


def test_reuse_inside_a_run(fleet: Fleet) -> None:
    """The same service is opened once, and closed when its last holder gives it back."""
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


def test_ids_in_several_spellings_are_opened_once(fleet: Fleet) -> None:
    fleet.inventory = {}
    service = fleet.simulator.service("pi-0010")
    spellings = [service, service.lower()]
    assert len(set(spellings)) == 2
    run = fleet.run(
        """\
        - hosts: localhost
          gather_facts: false
          tasks:
            - name: open
              remoteit.fleet.remoteit_connect:
                deviceaddress: "{{ spellings }}"
            - name: another
              remoteit.fleet.remoteit_connect: {deviceaddress: "{{ spellings[1] }}"}
        """,
        "-e", str({"spellings": [*spellings, service]}),
    )  # fmt: skip
    assert run.rc == 0
    assert len(run.connections) == 1
    opened = run.result("open")["connections"]
    assert [(key, entry["deviceaddress"]) for key, entry in opened.items()] == [(key, key) for key in spellings]
    assert run.status("another") == {"localhost": "ok"}
    assert list(run.result("another")["connections"]) == spellings[1:]


@pytest.mark.parametrize(
    ("variables", "prefix"),
    [
        ({"REMOTEIT_RUN_ID": "nightly 7", "GITHUB_RUN_ID": "1"}, "nightly-7-"),
        ({"CI_JOB_ID": "4711"}, "4711-"),
        ({}, ""),
    ],
)
def test_run_id(fleet: Fleet, variables: dict[str, str], prefix: str) -> None:
    fleet.environ.update(variables)
    run = fleet.run("""\
        - hosts: fleet
          gather_facts: false
          tasks:
            - {name: open, remoteit.fleet.remoteit_connect: {deviceaddress: "{{ remoteit_deviceaddress }}"}}
        """)
    (run_id,) = {result["run_id"] for result in run.results("open").values()}
    assert run_id.startswith(prefix)
    assert run_id != prefix


def test_check_mode_sends_nothing(fleet: Fleet) -> None:
    fleet.inventory = {}
    run = fleet.run(
        TEN_LINES.replace("- remoteit", "- name: call\n      remoteit"), "--check", "-e", "service=" + fleet.services[0]
    )
    assert run.rc == 0
    opened, closed = (entry["result"] for entry in run.entries("call"))
    assert (opened["changed"], opened["proxy"]) == (True, None)
    entry = opened["connections"][fleet.services[0]]
    assert entry["deviceaddress"] == fleet.services[0]
    assert entry["connectionid"] is None
    assert closed["failures"] == {}
    assert run.requests == []
    assert run.recap is None


def test_detached_connection_outlives_its_run(fleet: Fleet) -> None:
    fleet.inventory = {}
    service = ("-e", f"service={fleet.services[0]}")
    opening = fleet.run(
        """\
        - hosts: localhost
          gather_facts: false
          tasks:
            - name: open
              remoteit.fleet.remoteit_connect: {deviceaddress: "{{ service }}", detach: true}
        """,
        *service,
        leaves_open=1,
    )
    assert opening.rc == 0
    closing = fleet.run(
        """\
        - hosts: localhost
          gather_facts: false
          tasks:
            - name: close
              remoteit.fleet.remoteit_disconnect: {deviceaddress: "{{ service }}", connectionid: "{{ id }}"}
        """,
        *service, "-e", f"id={opening.result('open')['connectionid']}",
    )  # fmt: skip
    assert closing.status("close") == {"localhost": "changed"}
    assert fleet.simulator.open_connections() == []


def test_delegated_to_another_host_the_module_runs_there(fleet: Fleet) -> None:
    """The other host has no credentials; what it opens is closed with the run all the same."""
    python = fleet.write(
        "python", f'#!/bin/sh\necho "$@" >>"$HOME/python.log"\nexec {fleet.login["ansible_python_interpreter"]} "$@"\n'
    )
    python.chmod(0o755)
    fleet.environ["ANSIBLE_PIPELINING"] = "0"
    gateway = {**fleet.plain_way("pi-0005"), "ansible_python_interpreter": str(python)}
    fleet.inventory = {"gateways": {"hosts": {"gateway": gateway}}}
    run = fleet.run(
        """\
        - hosts: localhost
          gather_facts: false
          tasks:
            - name: open
              remoteit.fleet.remoteit_connect: {deviceaddress: "{{ services }}"}
              delegate_to: gateway
              register: opened
            - name: close one
              remoteit.fleet.remoteit_disconnect:
                deviceaddress: "{{ services[0] }}"
                connectionid: "{{ opened.connections[services[0]].connectionid }}"
              delegate_to: gateway
            - name: fail there
              remoteit.fleet.remoteit_connect: {deviceaddress: "80:00:00:00:01:FF:FF:F1"}
              delegate_to: gateway
              ignore_errors: true
        """,
        "-e", str({"services": fleet.services[:2]}), "-vvvv",
    )  # fmt: skip
    assert run.rc == 0
    log = (fleet.simulator.home("pi-0005") / "python.log").read_text()
    assert log.count("remoteit_connect.py") == 2
    assert log.count("remoteit_disconnect.py") == 1
    assert run.status("close one") == {"localhost": "changed"}
    assert "invocation" not in run.result("close one")
    assert run.result("fail there")["failure"]["code"] == "not_found"
    assert len(run.connections) == 2
    assert {c["closed_by"] for c in run.connections} == {"stop"}
    assert run.recap is not None
    assert run.recap.endswith("left open 0")


def test_delegated_with_an_alias_and_a_name_both_are_opened(fleet: Fleet) -> None:
    fleet.inventory = {"gateways": {"hosts": {"gateway": fleet.plain_way("pi-0005")}}}
    opening = {"service_id": fleet.services[0], "services": [{"device": "pi-0002", "application": "ssh"}]}
    run = fleet.on_localhost([{"name": "open", "remoteit.fleet.remoteit_connect": opening, "delegate_to": "gateway"}])
    assert run.rc == 0
    assert sorted(run.result("open")["connections"]) == sorted([fleet.services[0], "pi-0002/ssh"])
    assert "alias" not in run.text


def test_an_odd_entry_of_a_delegated_module_loses_no_other(fleet: Fleet) -> None:
    interpreter = fleet.login["ansible_python_interpreter"]
    python = fleet.write("python", f"""#!/bin/sh\n{interpreter} "$@" | sed 's/"port": [0-9]*/"port": 0/'\n""")
    python.chmod(0o755)
    gateway = {**fleet.plain_way("pi-0005"), "ansible_python_interpreter": str(python)}
    fleet.inventory = {"gateways": {"hosts": {"gateway": gateway}}}
    opening = {"deviceaddress": fleet.services, "fail_on": "all"}
    run = fleet.on_localhost([{"name": "open", "remoteit.fleet.remoteit_connect": opening, "delegate_to": "gateway"}])
    result = run.result("open")
    (failure,) = result["failures"].values()
    assert failure["code"] == "bad_answer"
    assert len(result["connections"]) == len(fleet.services) - 1
    assert failure["connectionid"] in {c["connectionid"] for c in run.connections}
    assert [c["closed_by"] for c in run.connections] == ["stop"] * len(fleet.services)
    assert run.recap == "opened 3, closed 3, left open 0"


def test_delegated_and_detached_it_is_in_the_ledger(fleet: Fleet) -> None:
    fleet.inventory = {"gateways": {"hosts": {"gateway": fleet.plain_way("pi-0005")}}}
    opening = {"deviceaddress": fleet.services[0], "detach": True}
    fleet.on_localhost([{"remoteit.fleet.remoteit_connect": opening, "delegate_to": "gateway"}], leaves_open=1)
    closing = fleet.run("remoteit.fleet.teardown")
    assert closing.rc == 0
    assert fleet.ledgers() == []


def test_delegated_to_a_host_that_cannot_be_reached_nothing_is_in_doubt(fleet: Fleet) -> None:
    """Unless the module has begun, nobody has to wonder what it opened."""
    fleet.inventory = {"gateways": {"hosts": {"gateway": {"ansible_host": "127.0.0.1", "ansible_port": 1}}}}
    opening = {"deviceaddress": fleet.services[0]}
    run = fleet.on_localhost([{"name": "open", "remoteit.fleet.remoteit_connect": opening, "delegate_to": "gateway"}])
    assert run.status("open") == {"localhost": "unreachable"}
    assert run.recap is None
    assert fleet.ledgers() == []


def test_bad_input_is_refused_before_any_request(fleet: Fleet, subtests: Any) -> None:
    fleet.inventory = {}
    fleet.write("folder/of", "files")
    fleet.write("no.ini", "\x00 [[[ nothing\n")
    fleet.write("credentials", "[work]\nR3_DEVELOPER_API_KEY=x\n")
    service = fleet.services[0]
    table: dict[str, tuple[dict[str, Any], str]] = {
        "malformed id": ({"deviceaddress": "80:00"}, "80:00"),
        "empty list": ({"deviceaddress": []}, "empty"),
        "no id": ({}, "deviceaddress"),
        "hostip": ({"deviceaddress": service, "hostip": "300.1.1.1"}, "300.1.1.1"),
        "hostip name": ({"deviceaddress": service, "hostip": "localhost"}, "localhost"),
        "misprint": ({"deviceaddress": service, "hostip": "255.255.255.25"}, "255.255.255.255"),
        "concurrency": ({"deviceaddress": service, "concurrency": 0}, "concurrency"),
        "two sets": ({"deviceaddress": service, "token": "a", "username": "b", "password": "c"}, "mix"),
        "half a set": ({"deviceaddress": service, "username": "b"}, "password"),
        "no file": ({"deviceaddress": service, "credentials_file": "absent"}, "absent"),
        "unreadable file": ({"deviceaddress": service, "credentials_file": "folder"}, "folder"),
        "profile": ({"deviceaddress": service, "credentials_file": "credentials", "profile": "home"}, "work"),
        "no ini": ({"deviceaddress": service, "credentials_file": "no.ini"}, "no.ini"),
        "choice": ({"deviceaddress": service, "fail_on": "some"}, "fail_on"),
        "unknown option": ({"deviceaddress": service, "devceaddress": "x"}, "devceaddress"),
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
