# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices and services by their names, in the modules."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import CONNECT, Fleet
from support import WEB

pytestmark = pytest.mark.each_api

INFO = "remoteit.fleet.remoteit_service_info"


def test_connect_by_names(fleet: Fleet) -> None:
    """One request finds all names. A name that does not match one service fails alone."""
    fleet.simulator.device("pi-0003", fields={"name": "pi-0004"})
    wanted = [
        {"device": "pi-0001", "application": "ssh"},
        {"device": "pi-0001", "service": "pi-0001-web"},
        {"device": "pi-0002", "application": "28"},
        {"device": "PI-0002", "application": "ssh"},
        {"device": "hq-0001", "application": "ssh"},
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
    assert "no device is named 'PI-0002'" in failures["PI-0002/ssh"]
    assert "a device of an organization needs a service ID" in failures["hq-0001/ssh"]
    assert fleet.simulator.service("pi-0005") in failures["pi-0005/ssh"]
    assert all(device in failures["pi-0004/ssh"] for device in ("80:00:00:00:01:00:00:30", "80:00:00:00:01:00:00:40"))
    assert [request["call"] for request in run.requests].count("list") == 1
    assert len(run.connections) == 3


def test_connect_by_name_and_by_id(fleet: Fleet) -> None:
    by_name = {"services": [{"device": "pi-0001", "application": "ssh"}]}
    one_key = {"services": [*by_name["services"], {"device": "pi-0001", "service": "ssh"}]}
    run = fleet.on_localhost(
        [
            {"name": "check", CONNECT: by_name, "check_mode": True},
            {"name": "one", CONNECT: by_name},
            {"name": "fact", "ansible.builtin.debug": {"msg": "{{ remoteit_connection.deviceaddress }}"}},
            {"name": "both", CONNECT: {"deviceaddress": fleet.services[0].lower(), **by_name}},
            {"name": "one key", CONNECT: one_key, "ignore_errors": True},
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
    assert run.result("one key")["failure"]["code"] == "options"
    assert len(run.connections) == 1


def test_service_info_filters(fleet: Fleet) -> None:
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
        {"name": "empty", INFO: {"organisation": ""}, "ignore_errors": True},
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
    assert "organisation is empty" in run.result("empty")["msg"]
    if fleet.api == "rest":
        assert "access key" in run.result("tag")["msg"]
        assert "access key" in run.result("organisation")["msg"]
    else:
        tagged = run.result("tag")["devices"]
        assert tagged
        assert all("kiosk" in device["tags"] for device in tagged)
        assert "not a member" in run.result("organisation")["msg"]


def test_connection_info_lists_sessions(fleet: Fleet) -> None:
    """Its own only, and also those that no run has opened. REST cannot list them."""
    by_hand = fleet.simulator.connect("pi-0002")
    fleet.simulator.session_of("other@example.com", fleet.services[2])
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
