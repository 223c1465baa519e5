# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of both APIs: each has its own error, nothing is opened twice, and nothing is left open."""

from __future__ import annotations

import dataclasses
import os
import signal
from typing import Any

import pytest
from conftest import CONNECT, DISCONNECT, Fleet, one_line, play, who
from support import TIMEOUT, wait_until
from test_termination import output, running


@dataclasses.dataclass
class Trouble:
    """A fault of a connect call, and the failure that it causes."""

    name: str
    code: str
    words: str
    fault: dict[str, Any] | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    service: str | None = None
    opened: int = 0
    """The number of connections that the vendor opened, each of which has to be stopped."""


def unusable(name: str, words: str, **connection: Any) -> Trouble:
    """Return a connection of REST that is real, but whose proxy cannot be used."""
    fault = {"fault": "body", "override": {"connection": connection}}
    return Trouble(name, "bad_answer", words, fault, opened=1)


def unusable_graphql(name: str, words: str, **connection: Any) -> Trouble:
    fault = {"fault": "body", "override": {"data": {"connect": connection}}}
    return Trouble(name, "bad_answer", words, fault, opened=1)


MISSING_COMMA = '{"status": "true" "connection": {"proxy": "http://proxy1.rt3.io:33333"}}'
UNKNOWN, FOREIGN = "80:00:00:00:01:FF:FF:F1", "80:00:00:00:02:00:00:11"

BOTH = [
    Trouble("HTML", "bad_answer", "", {"fault": "html"}),
    Trouble("empty body", "bad_answer", "", {"fault": "empty"}),
    Trouble("a list", "bad_answer", "", {"fault": "body", "json": []}),
    Trouble("429", "throttled", "429", {"fault": "throttle", "times": 5}),
    Trouble("500", "api", "500", {"fault": "http", "status": 500}),
    Trouble("dropped", "network", "", {"fault": "drop"}),
]
TROUBLES: dict[str, list[Trouble]] = {
    "rest": [
        *BOTH,
        Trouble("wrong developer key", "auth", "", options={"developer_key": "A" * 40}),
        Trouble("expired token", "auth", "", options={"token": "b" * 32}),
        Trouble("unknown service", "not_found", "0861", service=UNKNOWN),
        Trouble("service of another account", "not_shared", "0405", service=FOREIGN),
        Trouble("HTML and success", "bad_answer", "", {"fault": "html", "status": 200}),
        Trouble("the page's sample", "bad_answer", "", {"fault": "body", "text": MISSING_COMMA}),
        Trouble("time-out", "timeout", "1 second", {"fault": "http", "seconds": 2}, {"timeout": 1}),
        Trouble("no reason", "api", "", {"fault": "body", "json": {"status": "false"}}),
        unusable(
            "option as host", "host", proxy="http://-oProxyCommand=evil:{port}", proxyserver="-oProxyCommand=evil"
        ),
        unusable("no URL", "proxy", proxy="nonsense"),
        unusable("another service", "", deviceaddress="80:00:00:00:01:00:00:21"),
    ],
    "graphql": [
        *BOTH,
        Trouble("unknown service", "not_found", "", service=UNKNOWN),
        Trouble("service of another account", "not_shared", "", service=FOREIGN),
        Trouble("no data", "bad_answer", "", {"fault": "body", "json": {"data": None}}),
        Trouble("an error", "api", "it is Monday", {"fault": "http", "status": 200, "reason": "it is Monday"}),
        Trouble("forbidden", "auth", "", {"fault": "http", "status": 403, "reason": "Forbidden"}),
        unusable_graphql("option as host", "host", host="-oProxyCommand=evil"),
        Trouble("answer lost", "network", "", {"fault": "lost"}, opened=1),
    ],
}


@pytest.mark.parametrize("api", ["rest", "graphql"], ids=["REST", "GraphQL"])
def test_connect_reports_each_fault(fleet: Fleet, subtests: Any) -> None:
    """One run has them all, each with its own service."""
    tasks: list[dict[str, Any]] = []
    troubles = TROUBLES[fleet.api]
    for number, trouble in enumerate(troubles, 11):
        service = trouble.service or fleet.simulator.service(f"pi-{number:04}")
        if trouble.fault:
            fleet.simulator.inject_fault(service, call="connect", **trouble.fault)
        connect = {"deviceaddress": service, **trouble.options}
        tasks.append({"name": trouble.name, CONNECT: connect, "ignore_errors": True})
    run = fleet.on_localhost(tasks)
    assert run.rc == 0
    connects = [request for request in run.requests if request["call"] == "connect"]
    assert len(connects) == len(troubles) + 4  # the repetitions of the call that got HTTP 429
    assert len(run.connections) == sum(trouble.opened for trouble in troubles)
    assert {entry["closed_by"] for entry in run.connections} == {"stop"}
    for trouble in troubles:
        with subtests.test(trouble.name):
            result = run.result(trouble.name)
            assert run.status(trouble.name) == {"localhost": "ignored"}
            (failure,) = result["failures"].values()
            assert (failure["code"], result["failure"]["code"]) == (trouble.code, trouble.code)
            assert trouble.words in failure["message"]
            assert failure["message"] in result["msg"]
            assert result["connections"] == {}


def test_lost_answers_are_reported_with_their_expiry(fleet: Fleet) -> None:
    """A connection that cannot be stopped is named, with the time at which it expires."""
    lost, nameless, fine = fleet.services
    fleet.simulator.inject_fault(lost, call="connect", fault="lost")
    gone = {"connectionid": None, "connection": {"connectionid": None}}
    fleet.simulator.inject_fault(nameless, call="connect", fault="body", override=gone)
    fleet.inventory = {}
    run = fleet.run(
        """\
        - hosts: localhost
          gather_facts: false
          tasks:
            - name: open
              remoteit.fleet.remoteit_connect: {deviceaddress: "{{ services }}"}
              ignore_errors: true
        """,
        "-e", str({"services": fleet.services}),
        leaves_open=2,
    )  # fmt: skip
    failures = run.result("open")["failures"]
    assert {service: failure["code"] for service, failure in failures.items()} == {
        lost: "network", nameless: "bad_answer",
    }  # fmt: skip
    assert "cannot be closed" in failures[nameless]["message"]
    assert "15 minutes" in failures[nameless]["message"]
    assert list(run.result("open")["connections"]) == [fine]
    assert len(run.requests) == 4
    warnings = one_line(run.stderr)
    assert lost in warnings
    assert nameless in warnings
    assert warnings.count("may have opened a connection") == 2
    assert "could not be closed" not in warnings
    assert len(fleet.ledgers()) == 1


#: The faults, what the task does then, and how many calls it makes.
STOPS: dict[str, tuple[list[dict[str, Any]], str, int]] = {
    "no fault": ([], "changed", 1),
    "500 three times": ([{"fault": "http", "status": 500, "times": 3}], "changed", 4),
    "429": ([{"fault": "throttle", "retry_after": 1}], "changed", 2),
    "HTML": ([{"fault": "html", "status": 502}], "changed", 2),
    "answer lost": ([{"fault": "lost"}], "ok", 2),
    "500 always": ([{"fault": "http", "status": 500, "times": 5}], "ignored", 5),
}


def test_stop_is_repeated(fleet: Fleet, subtests: Any) -> None:
    """One run has all faults, each with another service."""
    tasks: list[dict[str, Any]] = []
    services = {name: fleet.simulator.service(f"pi-{number:04}") for number, name in enumerate(STOPS, 1)}
    for name, (faults, _unused, _unused) in STOPS.items():
        for fault in faults:
            fleet.simulator.inject_fault(services[name], call="stop", **fault)
        registered = {"connections": "{{ opened }}"}
        by_id = {"deviceaddress": services[name], "connectionid": "{{ opened.connectionid }}"}
        tasks += [
            {"name": "open", CONNECT: {"deviceaddress": services[name], "detach": True}, "register": "opened"},
            {"name": name, DISCONNECT: registered, "ignore_errors": True},
            {"name": f"{name}, again", DISCONNECT: registered},
            {"name": f"{name}, by ID", DISCONNECT: by_id},
        ]
    run = fleet.on_localhost(tasks)
    assert run.rc == 0
    for name, (_unused, status, stops) in STOPS.items():
        with subtests.test(name):
            assert run.status(name) == {"localhost": status}
            assert run.status(f"{name}, again") == {"localhost": "changed" if status == "ignored" else "ok"}
            assert len(run.result(f"{name}, by ID")["already_closed"]) == 1
            assert run.calls("connect").count(services[name]) == 1
            until_it_stopped = stops + (1 if status == "ignored" else 0)
            # the module asks the API for an ID that the run does not hold any more
            assert run.calls("stop").count(services[name]) in (until_it_stopped, until_it_stopped + 1)
    assert [c["closed_by"] for c in run.connections] == ["stop"] * len(STOPS)


def test_stop_with_wrong_credentials_is_a_failure(fleet: Fleet) -> None:
    """The API gives the same answer for a connection that is gone."""
    way = fleet.simulator.connect("pi-0001")
    fleet.simulator.stop(way)
    alive = fleet.simulator.connect("pi-0002")
    fleet.write("secrets.yml", {"wrong": {"developer_key": "A" * 40}, "expired": {"token": "b" * 32}})
    fleet.inventory = {}
    variables = {"gone": way["connectionid"], "alive": alive["connectionid"], "services": fleet.services}
    run = fleet.run(
        """\
        - hosts: localhost
          gather_facts: false
          ignore_errors: true
          vars_files: secrets.yml
          vars:
            is_gone: {deviceaddress: "{{ services[0] }}", connectionid: "{{ gone }}"}
            is_open: {deviceaddress: "{{ services[1] }}", connectionid: "{{ alive }}"}
          tasks:
            - {name: gone, remoteit.fleet.remoteit_disconnect: "{{ is_gone }}"}
            - {name: gone and wrong, remoteit.fleet.remoteit_disconnect: "{{ is_gone | combine(wrong) }}"}
            - {name: gone and expired, remoteit.fleet.remoteit_disconnect: "{{ is_gone | combine(expired) }}"}
            - {name: open and wrong, remoteit.fleet.remoteit_disconnect: "{{ is_open | combine(wrong) }}"}
            - {name: open, remoteit.fleet.remoteit_disconnect: "{{ is_open }}"}
        """,
        "-e", str(variables),
    )  # fmt: skip
    assert {entry["task"]: entry["status"] for entry in run.journal} == {
        "gone": "ok",
        "gone and wrong": "ignored",
        "gone and expired": "ignored",
        "open and wrong": "ignored",
        "open": "changed",
    }
    for task in ("gone and wrong", "gone and expired", "open and wrong"):
        assert run.result(task)["failure"]["code"] == "auth"
    assert fleet.simulator.open_connections() == []


def test_api_that_gives_no_reasons(fleet: Fleet) -> None:
    """A device fails. A stop call that is refused without a reason does not prove that the connection is closed."""
    fleet.simulator.device("pi-0002", online=False)
    gone = fleet.simulator.connect("pi-0003")
    fleet.simulator.stop(gone)
    connection = {"deviceaddress": fleet.services[2], "connectionid": gone["connectionid"]}
    tasks = [
        task
        for way in ("bare", "bare-everywhere")
        for task in (
            fleet.post(f"set {way}", "settings", {"failures": way}),
            {"name": f"open {way}", CONNECT: {"deviceaddress": fleet.services, "fail_on": "all"}},
            {"name": f"gone {way}", DISCONNECT: connection, "ignore_errors": True},
        )
    ]
    run = fleet.on_localhost(tasks)
    assert run.rc == 0
    for way in ("bare", "bare-everywhere"):
        assert list(run.result(f"open {way}")["failures"]) == [fleet.services[1]]
    assert run.status("gone bare") == {"localhost": "ok"}
    assert "without a reason" in run.message("gone bare-everywhere")


def test_every_form_of_a_response_is_read(fleet: Fleet) -> None:
    common = {"nulls": True, "extra_keys": True, "numbers": "strings"}
    forms = {"minimal": "inner", "override": "top"}
    tasks = [
        task
        for body, connectionid in forms.items()
        for task in (
            fleet.post(f"set {body}", "settings", {**common, "body": body, "connectionid": connectionid}),
            {"name": body, CONNECT: {"deviceaddress": fleet.services[0], "reuse": False}, "register": "opened"},
            {"name": f"close {body}", DISCONNECT: {"connections": "{{ opened }}"}},
        )
    ]
    run = fleet.on_localhost(tasks)
    assert run.rc == 0
    opened = [run.result(body) for body in forms]
    assert [result["connectionid"] for result in opened] == [entry["connectionid"] for entry in run.connections]
    assert [result["port"] for result in opened] == [entry["port"] for entry in run.connections]
    assert [entry["closed_by"] for entry in run.connections] == ["stop"] * 2


# -- GraphQL ----------------------------------------------------------------------------------------------------------

graphql = pytest.mark.parametrize("api", ["graphql"], ids=["GraphQL"])


@graphql
def test_refused_signature_is_explained(fleet: Fleet, subtests: Any) -> None:
    refusals: dict[str, tuple[dict[str, Any], str]] = {
        "disabled": ({"access_key": False}, "disabled"),
        "slow clock": ({"access_key": True, "clock_skew": 1000}, "behind"),
        "fast clock": ({"access_key": True, "clock_skew": -1000}, "ahead"),
        "unauthorized": ({"access_key": False, "clock_skew": 0, "graphql_refusal": "unauthorized"}, "HTTP 401"),
    }
    tasks = [
        task
        for name, (settings, _unused) in refusals.items()
        for task in (
            fleet.post("set", "settings", settings),
            {"name": name, CONNECT: {"deviceaddress": fleet.services[0]}, "ignore_errors": True},
        )
    ]
    run = fleet.on_localhost(tasks)
    assert run.connections == []
    for name, (_unused, words) in refusals.items():
        with subtests.test(name):
            assert run.result(name)["failure"]["code"] == "auth"
            assert words in run.message(name)
            assert "access key" in run.message(name)


@graphql
def test_stop_of_a_gone_connection_is_no_failure(fleet: Fleet) -> None:
    """The API returns ``false`` or an error for an unknown connection, and may do so for an open one."""
    gone, stays = fleet.simulator.connect("pi-0001"), fleet.simulator.connect("pi-0002")
    fleet.simulator.stop(gone)
    stopped = {"data": {"disconnect": False}}
    fleet.simulator.inject_fault(fleet.services[1], call="stop", fault="body", json=stopped, times=2)
    tasks = []
    for way in ("false", "error"):
        tasks.append(fleet.post("set", "settings", {"disconnect_unknown": way}))
        for name, service, entry in (("gone", fleet.services[0], gone), ("stays", fleet.services[1], stays)):
            connection = {"deviceaddress": service, "connectionid": entry["connectionid"]}
            tasks.append({"name": f"{name} {way}", DISCONNECT: connection, "ignore_errors": True})
    run = fleet.on_localhost(tasks)
    for way in ("false", "error"):
        assert run.status(f"gone {way}") == {"localhost": "ok"}
        assert run.status(f"stays {way}") == {"localhost": "ignored"}
    fleet.simulator.stop(stays)


def test_run_reports_what_a_keeper_that_was_ended_left_open(fleet: Fleet) -> None:
    """Its stop calls fail. No later keeper takes its ledger over."""
    fleet.use_devices(1)
    plays = [play(who(), fleet.wait_here())]

    def end_keeper() -> None:
        fleet.simulator.inject_fault(call="stop", fault="body", status=400, json={"reason": "no"}, times="always")
        (keeper,) = fleet.keepers()
        os.kill(keeper, signal.SIGTERM)
        wait_until(lambda: not fleet.keepers())
        fleet.simulator.clear_faults()

    run = fleet.run(plays, leaves_open=1, while_running=fleet.once(lambda: fleet.has_ended("who"), end_keeper))
    assert run.recap == "opened 1, closed 0, left open 1"
    assert "the keeper that opened it ended before the run" in run.text
    assert fleet.run("remoteit.fleet.teardown").rc == 0
    assert not fleet.simulator.open_connections()


@graphql
def test_teardown_finds_an_unrecorded_connection(fleet: Fleet) -> None:
    """The ledger has an intent, and the account's sessions show its connection. Those of others stay open."""
    other = fleet.simulator.session_of("other@example.com", fleet.services[0])
    fleet.simulator.settings(latency=3)
    task = {CONNECT: {"deviceaddress": fleet.services[0]}}
    playbook = fleet.write("play.yml", [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}])
    with running(fleet, [fleet.ansible_playbook, str(playbook)]) as process:
        wait_until(lambda: any(request["call"] == "connect" for request in fleet.simulator.requests()))
        os.kill(fleet.keepers()[0], signal.SIGKILL)
        assert process.wait(TIMEOUT) != 0
    warning = one_line(output(fleet)).rsplit("[WARNING]: remote.it: ", maxsplit=1)[-1]
    assert warning.startswith(f"the call that was to open {fleet.services[0]} at ")
    assert "the keeper ended before the run, without the outcome" in warning
    wait_until(lambda: len(fleet.simulator.open_connections()) == 2)
    teardown = fleet.run("remoteit.fleet.teardown")
    assert teardown.rc == 0
    assert [entry["connectionid"] for entry in fleet.simulator.open_connections()] == [other["connectionid"]]
    assert fleet.ledgers_left_open() == []
