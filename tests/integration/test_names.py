# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices and services by their names: in the modules, and in the role."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Fleet
from support import WEB

pytestmark = pytest.mark.each_api

INFO = "remoteit.fleet.remoteit_service_info"
CONNECT = "remoteit.fleet.remoteit_connect"


def test_connect_by_name(fleet: Fleet) -> None:
    """One query for the whole list; a name that does not find one service fails alone."""
    fleet.simulator.device("pi-0003", fields={"name": "pi-0004"})
    wanted = [
        {"device": "pi-0001", "application": "ssh"},
        {"device": "pi-0001", "service": "pi-0001-web"},
        {"device": "pi-0002", "application": "28"},
        {"device": "PI-0002", "application": "ssh"},
        {"device": "pi-0005", "service": "ssh"},
        {"device": "pi-0004", "application": "ssh"},
    ]
    run = fleet.on_localhost([{"name": "open", CONNECT: {"services": wanted}, "ignore_errors": True}])
    result = run.result("open")
    opened = {key: (entry["deviceaddress"], entry["name"]) for key, entry in result["connections"].items()}
    assert opened == {
        "pi-0001/ssh": (fleet.services[0], "pi-0001-ssh"),
        "pi-0001/pi-0001-web": (fleet.simulator.service("pi-0001", WEB), "pi-0001-web"),
        "pi-0002/ssh": (fleet.services[1], "pi-0002-ssh"),
    }
    failures = {key: failure["message"] for key, failure in result["failures"].items()}
    assert {failure["code"] for failure in result["failures"].values()} == {"not_found"}
    assert "no device called 'PI-0002'" in failures["PI-0002/ssh"]
    assert fleet.simulator.service("pi-0005") in failures["pi-0005/ssh"]
    assert all(device in failures["pi-0004/ssh"] for device in ("80:00:00:00:01:00:00:30", "80:00:00:00:01:00:00:40"))
    assert [request["call"] for request in run.requests].count("list") == 1
    assert len(run.connections) == 3


def test_two_services_that_would_have_one_key_are_refused(fleet: Fleet) -> None:
    wanted = [{"device": "pi-0001", "application": "ssh"}, {"device": "pi-0001", "service": "ssh"}]
    run = fleet.on_localhost([{"name": "open", CONNECT: {"services": wanted}}])
    assert run.result("open")["failure"]["code"] == "options"
    assert run.requests == []


def test_one_service_by_name_gives_facts_and_ids_and_names_may_be_mixed(fleet: Fleet) -> None:
    by_name = {"services": [{"device": "pi-0001", "application": "ssh"}]}
    run = fleet.on_localhost(
        [
            {"name": "check", CONNECT: by_name, "check_mode": True},
            {"name": "one", CONNECT: by_name},
            {"name": "fact", "ansible.builtin.debug": {"msg": "{{ remoteit_connection.deviceaddress }}"}},
            {"name": "both", CONNECT: {"deviceaddress": fleet.services[0].lower(), **by_name}},
        ]
    )
    assert run.rc == 0
    entry = run.result("check")["connections"]["pi-0001/ssh"]
    assert (entry["deviceaddress"], entry["proxy"]) == (fleet.services[0], None)
    assert run.result("one")["port"] == run.connections[0]["port"]
    assert run.result("fact")["msg"] == fleet.services[0]
    both = run.result("both")["connections"]
    assert sorted(both) == sorted([fleet.services[0].lower(), "pi-0001/ssh"])
    assert len({entry["connectionid"] for entry in both.values()}) == 1
    assert len(run.connections) == 1


def test_delegated_by_name(fleet: Fleet) -> None:
    fleet.inventory = {"gateways": {"hosts": {"gateway": fleet.plain_way("pi-0005")}}}
    task = {"name": "open", CONNECT: {"services": [{"device": "pi-0001", "application": "ssh"}]}}
    run = fleet.on_localhost([{**task, "delegate_to": "gateway"}])
    assert run.rc == 0
    assert list(run.result("open")["connections"]) == ["pi-0001/ssh"]
    assert [entry["device"] for entry in run.connections] == ["pi-0001"]


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_a_session_by_device_names(fleet: Fleet, strategy: str) -> None:
    """With a service's name, or with the device's one SSH service; who is not found fails alone."""
    fleet.inventory["fleet"]["hosts"] = {
        "by-device": {"remoteit_device": "pi-0001"},
        "by-service": {"remoteit_device": "pi-0002", "remoteit_service": "pi-0002-ssh"},
        "by-id": {"remoteit_deviceaddress": fleet.services[2], "remoteit_device": "of no importance"},
        "nowhere": {"remoteit_device": "no such device"},
    }
    tasks = [{"name": "who", "ansible.builtin.raw": "cat device-name"}]
    run = fleet.session(tasks, play={"strategy": strategy})
    assert run.stdout_of("who") == {"by-device": "pi-0001", "by-service": "pi-0002", "by-id": "pi-0003"}
    assert list(run.failures()) == ["nowhere"]
    assert "no device called 'no such device'" in run.failures()["nowhere"]
    lists = [request for request in run.requests if request["call"] == "list"]
    assert len(lists) <= {"linear": 1, "free": 4}[strategy]  # who asks at the same time as others asks with them


@pytest.mark.parametrize("on_failure", ["fail", "skip"])
def test_names_that_cannot_be_looked_up_are_the_trouble_of_those_who_have_them(fleet: Fleet, on_failure: str) -> None:
    fleet.inventory["fleet"]["hosts"] = {
        "by-name": {"remoteit_device": "pi-0001"},
        "by-id": {"remoteit_deviceaddress": fleet.services[1]},
    }
    fleet.simulator.fault(call="list", fault="http", status=400, times="always")
    tasks = [{"name": "who", "ansible.builtin.raw": "cat device-name"}]
    run = fleet.session(tasks, remoteit_session_on_failure=on_failure)
    assert run.rc == (2 if on_failure == "fail" else 0)
    assert run.stdout_of("who") == {"by-id": "pi-0002"}
    assert list(run.failures()) == (["by-name"] if on_failure == "fail" else [])


def test_a_keeper_that_cannot_start_is_not_the_trouble_of_a_name(fleet: Fleet) -> None:
    """Nobody is left out for it, or the run would be green without having done anything."""
    fleet.inventory["fleet"]["hosts"] = {"by-name": {"remoteit_device": "pi-0001"}}
    fleet.environ["REMOTEIT_STATE_DIR"] = f"{fleet.write('file', '')}/state"
    run = fleet.session([{"name": "never", "ansible.builtin.raw": "true"}], remoteit_session_on_failure="skip")
    assert run.rc == 2
    assert "keeper of this run cannot be started" in run.failures()["by-name"]


def test_service_info(fleet: Fleet) -> None:
    fleet.simulator.device("pi-0002", online=False)
    fleet.simulator.device("pi-0006", fields={"name": "pi-0007"})
    fleet.simulator.device("pi-0008", fields={"name": None})
    tasks: list[dict[str, Any]] = [
        {"name": "all", INFO: {}},
        {"name": "one", INFO: {"device": "pi-0001", "application": "ssh"}},
        {"name": "offline", INFO: {"state": "inactive"}},
        {"name": "by service", INFO: {"service": ["pi-0001-web", "pi-0003-ssh"]}},
        {"name": "none", INFO: {"device": "nobody"}},
        {"name": "two", INFO: {"device": "pi-0007"}, "ignore_errors": True},
        {"name": "no application", INFO: {"application": "sssh"}, "ignore_errors": True},
        {"name": "tag", INFO: {"tags_any": ["kiosk"]}, "ignore_errors": True},
        {"name": "organisation", INFO: {"organisation": "nobody's"}, "ignore_errors": True},
    ]
    run = fleet.on_localhost(tasks)
    assert run.rc == 0
    everything = run.result("all")["devices"]
    assert {"pi-0001", "pi-0002", None} <= {device["name"] for device in everything}
    (one,) = run.result("one")["devices"]
    assert (one["name"], one["online"]) == ("pi-0001", True)
    assert [(service["id"], service["application_name"]) for service in one["services"]] == [(fleet.services[0], "ssh")]
    assert run.result("one")["deviceaddresses"] == [fleet.services[0]]
    assert [device["name"] for device in run.result("offline")["devices"]] == ["pi-0002"]
    services = {service["name"] for device in run.result("by service")["devices"] for service in device["services"]}
    assert services == {"pi-0001-web", "pi-0003-ssh"}
    assert run.result("none")["devices"] == []
    assert run.result("two")["failure"]["code"] == "not_found"
    assert run.result("two")["msg"].count("80:00:") == 2
    assert "unknown application" in run.result("no application")["msg"]
    if fleet.api == "rest":
        assert "access key" in run.result("tag")["msg"]
        assert "access key" in run.result("organisation")["msg"]
    else:
        tagged = run.result("tag")["devices"]
        assert tagged
        assert all("kiosk" in device["tags"] for device in tagged)
        assert "not a member" in run.result("organisation")["msg"]


def test_the_sessions_of_the_account(fleet: Fleet) -> None:
    """Only one's own, also those that no run here has opened; REST cannot tell."""
    by_hand = fleet.simulator.connect("pi-0002")
    fleet.simulator.session_of("somebody@example.com", fleet.services[2])
    info = "remoteit.fleet.remoteit_connection_info"
    run = fleet.on_localhost(
        [
            {"name": "open", CONNECT: {"deviceaddress": fleet.services[0]}},
            {"name": "info", info: {}},
        ]
    )
    result = run.result("info")
    assert [entry["deviceaddress"] for entry in result["connections"]] == [fleet.services[0]]
    if fleet.api == "rest":
        assert result["sessions"] is None
    else:
        ids = {session["deviceaddress"]: session["connectionid"] for session in result["sessions"]}
        assert ids == {
            fleet.services[0]: run.result("open")["connectionid"],
            fleet.services[1]: by_hand["connectionid"],
        }
