# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the GraphQL API: each has its own error, nothing is opened twice, and nothing is left open."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import Any

import pytest
from conftest import Fleet
from support import TIMEOUT, wait_until
from test_termination import running, the_keeper


@pytest.fixture
def api() -> str:
    return "graphql"


def broken(**connection: Any) -> dict[str, Any]:
    """A connection that is real, but whose proxy cannot be used."""
    return {"fault": "body", "override": {"data": {"connect": connection}}}


#: Name: the code and the words of its failure, how many connections the vendor opened, and the fault.
TROUBLES: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "HTML": ("bad_answer", "HTML page", 0, {"fault": "html"}),
    "empty body": ("bad_answer", "empty body", 0, {"fault": "empty"}),
    "a list": ("bad_answer", "list", 0, {"fault": "body", "json": []}),
    "no data": ("bad_answer", "no connection", 0, {"fault": "body", "json": {"data": None}}),
    "429": ("throttled", "429", 0, {"fault": "throttle"}),
    "500": ("api", "500", 0, {"fault": "http", "status": 500}),
    "an error": ("api", "it is Monday", 0, {"fault": "http", "status": 200, "reason": "it is Monday"}),
    "forbidden": ("auth", "access key", 0, {"fault": "http", "status": 403, "reason": "Forbidden"}),
    "dropped": ("network", "no answer", 0, {"fault": "drop"}),
    "option as host": ("bad_answer", "host", 1, broken(host="-oProxyCommand=evil")),
    "blank in the host": ("bad_answer", "host", 1, broken(host="a b")),
    "port 0": ("bad_answer", "port", 1, broken(port=0)),
    "port as a text with an option": ("bad_answer", "port", 1, broken(port="22 -oProxyCommand=x")),
    "answer lost": ("network", "no answer", 1, {"fault": "lost"}),
}


def test_connect_reports_each_fault(fleet: Fleet, subtests: Any) -> None:
    """One run has them all, each with its own service. What was opened is found and stopped at the end."""
    fleet.inventory = {}
    tasks: list[dict[str, Any]] = []
    for number, (name, (*_unused, fault)) in enumerate(TROUBLES.items(), 11):
        service = fleet.simulator.service(f"pi-{number:04}")
        fleet.simulator.inject_fault(service, call="connect", **fault)
        tasks.append(
            {"name": name, "remoteit.fleet.remoteit_connect": {"deviceaddress": service}, "ignore_errors": True}
        )
    for name, service in {"unknown": "80:00:00:00:01:FF:FF:F1", "foreign": "80:00:00:00:02:00:00:11"}.items():
        tasks.append(
            {"name": name, "remoteit.fleet.remoteit_connect": {"deviceaddress": service}, "ignore_errors": True}
        )
    run = fleet.on_localhost(tasks)
    assert run.rc == 0
    assert len([request for request in run.requests if request["call"] == "connect"]) == len(TROUBLES) + 2
    assert len(run.connections) == sum(opened for _unused, _unused, opened, _unused in TROUBLES.values())
    assert {entry["closed_by"] for entry in run.connections} == {"stop"}
    for name, (code, words, _unused, _unused) in {
        **TROUBLES,
        "unknown": ("not_found", "not found", 0, {}),
        "foreign": ("not_shared", "not shared", 0, {}),
    }.items():
        with subtests.test(name):
            (failure,) = run.result(name)["failures"].values()
            assert failure["code"] == code
            assert words in failure["message"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"access_key": False}, "disabled"),
        ({"clock_skew": 1000}, "1000 seconds behind"),
        ({"clock_skew": -1000}, "1000 seconds ahead"),
        ({"graphql_refusal": "unauthorized", "access_key": False}, "HTTP 401"),
    ],
)
def test_refused_signature_is_explained(fleet: Fleet, settings: dict[str, Any], words: str) -> None:
    fleet.simulator.settings(**settings)
    run = fleet.on_localhost(
        [{"name": "open", "remoteit.fleet.remoteit_connect": {"deviceaddress": fleet.services[0]}}]
    )
    assert run.result("open")["failure"]["code"] == "auth"
    message = run.result("open")["msg"]
    assert words in message.replace("999 ", "1000 ").replace("1001 ", "1000 ")
    assert "access key" in message


def test_api_that_refuses_connections(fleet: Fleet) -> None:
    """The reason is explained once, and the other hosts refer to it."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    fleet.environ["REMOTEIT_GRAPHQL_URL"] = f"http://127.0.0.1:{port}/graphql/v1"
    run = fleet.session([{"name": "never", "ansible.builtin.raw": "true"}])
    assert run.rc == 4
    reasons = {host: result["msg"] for host, result in run.results("never").items()}
    assert sorted(reasons) == fleet.devices
    (explained,) = (host for host, reason in reasons.items() if str(port) in reason and "refused" in reason)
    assert all(f"same reason as {explained}" in reason for host, reason in reasons.items() if host != explained)


@pytest.mark.parametrize("unknown", ["false", "error"])
def test_stop_of_a_gone_connection_is_no_failure(fleet: Fleet, unknown: str) -> None:
    """The API answers ``false`` or an error for an unknown connection, and may do so for an open one."""
    fleet.simulator.settings(disconnect_unknown=unknown)
    gone, stays = fleet.simulator.connect("pi-0001"), fleet.simulator.connect("pi-0002")
    fleet.simulator.stop(gone)
    fleet.simulator.inject_fault(fleet.services[1], call="stop", fault="body", json={"data": {"disconnect": False}})
    close = "remoteit.fleet.remoteit_disconnect"
    run = fleet.on_localhost(
        [
            {
                "name": name,
                close: {"deviceaddress": service, "connectionid": way["connectionid"]},
                "ignore_errors": True,
            }
            for name, service, way in (("gone", fleet.services[0], gone), ("stays", fleet.services[1], stays))
        ]
    )
    assert run.status("gone") == {"localhost": "ok"}
    assert run.status("stays") == {"localhost": "ignored"}
    fleet.simulator.stop(stays)


def test_teardown_finds_an_unrecorded_connection(fleet: Fleet) -> None:
    """The ledger has an intent, and the account's sessions show its connection. Those of others stay open."""
    other = fleet.simulator.session_of("somebody@example.com", fleet.services[0])
    fleet.simulator.settings(latency=3)
    task = {"remoteit.fleet.remoteit_connect": {"deviceaddress": fleet.services[0]}}
    playbook = fleet.write("play.yml", [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}])
    with running(fleet, [fleet.ansible_playbook, str(playbook)]) as process:
        wait_until(lambda: any(request["call"] == "connect" for request in fleet.simulator.requests()))
        os.kill(the_keeper(fleet), signal.SIGKILL)
        assert process.wait(TIMEOUT) != 0
    wait_until(lambda: len(fleet.simulator.open_connections()) == 2)
    teardown = fleet.run("remoteit.fleet.teardown")
    assert teardown.rc == 0
    assert [entry["connectionid"] for entry in fleet.simulator.open_connections()] == [other["connectionid"]]
    assert fleet.ledgers() == []
