# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the REST API: each has its own error, nothing is opened twice, and nothing is left open."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from typing import Any

import pytest
from conftest import Fleet, one_line


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


def evil(name: str, words: str, **connection: Any) -> Trouble:
    """A connection that is real, but whose proxy cannot be used."""
    fault = {"fault": "body", "override": {"connection": connection}}
    return Trouble(name, "bad_answer", words, fault, opened=1)


MISSING_COMMA = '{"status": "true" "connection": {"proxy": "http://proxy1.rt3.io:33333"}}'

TROUBLES = [
    Trouble("wrong developer key", "auth", "developer key", options={"developer_key": "A" * 40}),
    Trouble("expired token", "auth", "token", options={"token": "b" * 32}),
    Trouble("unknown service", "not_found", "0861", service="80:00:00:00:01:FF:FF:F1"),
    Trouble("service of somebody else", "not_shared", "0405", service="80:00:00:00:02:00:00:11"),
    Trouble("HTML", "bad_answer", "HTML page", {"fault": "html"}),
    Trouble("HTML and success", "bad_answer", "HTML page", {"fault": "html", "status": 200}),
    Trouble("empty body", "bad_answer", "empty body", {"fault": "empty"}),
    Trouble("the page's sample", "bad_answer", "not JSON", {"fault": "body", "text": MISSING_COMMA}),
    Trouble("a list", "bad_answer", "list", {"fault": "body", "json": []}),
    Trouble("429", "throttled", "429", {"fault": "throttle"}),
    Trouble("429 with a pause", "throttled", "429", {"fault": "throttle", "retry_after": 1}),
    Trouble("500", "api", "500", {"fault": "http", "status": 500}),
    Trouble("503", "api", "too busy", {"fault": "http", "status": 503, "reason": "too busy"}),
    Trouble("dropped", "network", "no answer", {"fault": "drop"}),
    Trouble("time-out", "timeout", "1 second", {"fault": "http", "seconds": 2}, {"timeout": 1}),
    Trouble("no reason", "api", "no reason", {"fault": "body", "json": {"status": "false"}}),
    evil("option as host", "host", proxy="http://-oProxyCommand=evil:{port}", proxyserver="-oProxyCommand=evil"),
    evil("option as host in the URL", "host", proxy="http://-oProxyCommand=evil:{port}", proxyserver=None),
    evil("blank in the host", "host", proxyserver="a b"),
    evil("port 0", "port", proxy="http://127.0.0.1:0", proxyport="0", proxyServerPort=0),
    evil("port 70000", "port", proxyport="70000", proxyServerPort=70000),
    evil("port with an option", "port", proxyport="22 -oProxyCommand=x", proxyServerPort=None),
    evil("no URL", "proxy", proxy="nonsense"),
    evil("line break", "proxy", proxy="http://127.0.0.1:80\n-oProxyCommand=x"),
    evil("user in the URL", "proxy", proxy="http://user@127.0.0.1:80"),
    evil("another service", "another service", deviceaddress="80:00:00:00:01:00:00:21"),
]


def test_connect_reports_each_fault(fleet: Fleet, subtests: Any) -> None:
    """One run has them all, each with its own service."""
    fleet.inventory = {}
    tasks: list[dict[str, Any]] = []
    for number, trouble in enumerate(TROUBLES, 11):
        service = trouble.service or fleet.simulator.service(f"pi-{number:04}")
        if trouble.fault:
            fleet.simulator.inject_fault(service, call="connect", **trouble.fault)
        connect = {"deviceaddress": service, **trouble.options}
        tasks.append({"name": trouble.name, "remoteit.fleet.remoteit_connect": connect, "ignore_errors": True})
    run = fleet.on_localhost(tasks)
    assert run.rc == 0
    assert len([request for request in run.requests if request["call"] == "connect"]) == len(TROUBLES)
    assert len(run.connections) == sum(trouble.opened for trouble in TROUBLES)
    assert {entry["closed_by"] for entry in run.connections} == {"stop"}
    for trouble in TROUBLES:
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
    assert "cannot be stopped" in failures[nameless]["message"]
    assert "15 minutes" in failures[nameless]["message"]
    assert list(run.result("open")["connections"]) == [fine]
    assert len(run.requests) == 4
    warnings = one_line(run.stderr)
    assert lost in warnings
    assert nameless in warnings
    assert len(fleet.ledgers()) == 1


def test_login_is_refused(fleet: Fleet, subtests: Any) -> None:
    for name in ("REMOTEIT_TOKEN", "REMOTEIT_DEVELOPER_KEY"):
        del fleet.environ[name]
    fleet.inventory = {}
    state = fleet.simulator.state
    fleet.simulator.settings(mfa="SMS_MFA")
    fleet.write("secrets.yml", {name: state[name] for name in ("username", "password", "developer_key")})
    run = fleet.run(
        """\
        - hosts: localhost
          gather_facts: false
          vars_files: secrets.yml
          module_defaults:
            group/remoteit.fleet.remoteit: {username: "{{ username }}", developer_key: "{{ developer_key }}"}
          tasks:
            - name: second factor
              remoteit.fleet.remoteit_connect: {deviceaddress: "{{ service }}", password: "{{ password }}"}
              ignore_errors: true
            - name: wrong password
              remoteit.fleet.remoteit_connect: {deviceaddress: "{{ service }}", password: wrong}
              ignore_errors: true
        """,
        "-e", f"service={fleet.services[0]}",
    )  # fmt: skip
    assert {request["call"] for request in run.requests} == {"login"}
    for name, words in {"second factor": "SMS_MFA", "wrong password": "password"}.items():
        with subtests.test(name):
            assert run.result(name)["failure"]["code"] == "auth"
            assert words in run.result(name)["msg"]


@pytest.mark.parametrize("way", ["role", "plugin"])
def test_api_that_refuses_connections(fleet: Fleet, way: str) -> None:
    """The reason is explained once, and the other hosts refer to it."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    fleet.environ["REMOTEIT_API_URL"] = f"http://127.0.0.1:{port}/apv/v27"
    task = {"name": "never", "ansible.builtin.raw": "true"}
    run = fleet.session([task]) if way == "role" else fleet.run([{"hosts": "fleet", "tasks": [task]}])
    assert run.rc == 4
    (name,) = {entry["task"] for entry in run.journal if entry["status"] == "unreachable"}
    reasons = {host: result["msg"] for host, result in run.results(name).items()}
    assert sorted(reasons) == fleet.devices
    (explained,) = (host for host, reason in reasons.items() if str(port) in reason and "refused" in reason)
    assert all(f"same reason as {explained}" in reason for host, reason in reasons.items() if host != explained)


STOPS = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - name: open
      remoteit.fleet.remoteit_connect: {deviceaddress: "{{ service }}", detach: true}
      register: opened
    - name: faults
      ansible.builtin.uri: {url: "{{ control_url }}/faults", method: POST, body_format: json, body: "{{ faults }}"}
    - name: stop
      remoteit.fleet.remoteit_disconnect: {connections: "{{ opened }}"}
      ignore_errors: true
    - name: stop again
      remoteit.fleet.remoteit_disconnect: {connections: "{{ opened }}"}
    - name: stop once more, without its keeper
      remoteit.fleet.remoteit_disconnect: {deviceaddress: "{{ service }}", connectionid: "{{ opened.connectionid }}"}
"""


@pytest.mark.parametrize(
    ("faults", "status", "stops"),
    [
        pytest.param([], "changed", 1, id="well"),
        pytest.param([{"fault": "http", "status": 500, "times": 3}], "changed", 4, id="500 three times"),
        pytest.param([{"fault": "throttle", "retry_after": 1}], "changed", 2, id="429"),
        pytest.param([{"fault": "html", "status": 502}], "changed", 2, id="HTML"),
        pytest.param([{"fault": "lost"}], "ok", 2, id="answer lost"),
        pytest.param([{"fault": "http", "status": 500, "times": 5}], "ignored", 5, id="500 always"),
    ],
)
def test_stop_is_repeated(fleet: Fleet, faults: list[Any], status: str, stops: int) -> None:
    fleet.inventory = {}
    variables = {
        "service": fleet.services[0],
        "control_url": fleet.simulator.state["control_url"],
        "faults": [{**fault, "call": "stop"} for fault in faults],
    }
    run = fleet.run(STOPS, "-e", str(variables))
    assert run.rc == 0
    assert run.status("stop") == {"localhost": status}
    assert run.status("stop again") == {"localhost": "changed" if status == "ignored" else "ok"}
    assert len(run.result("stop once more, without its keeper")["already_closed"]) == 1
    calls = [request["call"] for request in run.requests]
    assert calls.count("connect") == 1
    assert [c["closed_by"] for c in run.connections] == ["stop"]
    until_it_stopped = stops + (1 if status == "ignored" else 0)
    assert calls.count("stop") in (
        until_it_stopped,
        until_it_stopped + 1,
    )  # an id that is not held any more is asked for


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


@pytest.mark.parametrize("way", ["bare", "bare-everywhere"])
def test_api_that_gives_no_reasons(fleet: Fleet, way: str) -> None:
    """A device fails, and a connection that is gone is not a failure."""
    fleet.simulator.settings(failures=way)
    fleet.simulator.device("pi-0002", online=False)
    gone = fleet.simulator.connect("pi-0003")
    fleet.simulator.stop(gone)
    fleet.inventory = {}
    run = fleet.run(
        """\
        - hosts: localhost
          gather_facts: false
          tasks:
            - name: open
              remoteit.fleet.remoteit_connect: {deviceaddress: "{{ services }}", fail_on: all}
            - name: gone
              remoteit.fleet.remoteit_disconnect: {deviceaddress: "{{ services[2] }}", connectionid: "{{ gone }}"}
        """,
        "-e", str({"services": fleet.services, "gone": gone["connectionid"]}),
    )  # fmt: skip
    assert run.rc == 0
    assert list(run.result("open")["failures"]) == [fleet.services[1]]
    assert run.status("gone") == {"localhost": "ok"}


@pytest.mark.parametrize(("body", "connectionid"), [("minimal", "inner"), ("override", "top")])
def test_every_form_of_an_answer_is_read(fleet: Fleet, body: str, connectionid: str) -> None:
    fleet.simulator.settings(body=body, connectionid=connectionid, nulls=True, extra_keys=True, numbers="strings")
    run = fleet.session([{"name": "who", "ansible.builtin.raw": "cat device-name"}])
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices}
