# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a module on another host returns, or a worker writes to the keeper: nothing is forgotten, nobody waits."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import socket
import threading
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.remoteit.fleet.plugins.action import remoteit_connect
from ansible_collections.remoteit.fleet.plugins.module_utils._connection import Connection, is_connection_id
from ansible_collections.remoteit.fleet.plugins.module_utils._errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.module_utils._fleet import Account, Order
from ansible_collections.remoteit.fleet.plugins.module_utils._values import as_dict
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper import Keeper
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper_client import KeeperClient, _plain
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper_server import _Server
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger import Ledger, listing
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run import Run
from ansible_collections.remoteit.fleet.tests.unit.plugins.robustness.adversary import (
    ID,
    REST,
    SECRETS,
    WELL,
    A,
    Adversary,
    B,
    Choices,
    Wire,
    check_connection,
    check_no_secret,
    drawn,
    dump,
    places,
    replaced,
    wires,
)

ACCOUNT = Account(REST, timeout=1, concurrency=2)
ORDER = Order((A, B))
#: An API that does what it should.
KIND = {call: [Wire("HTTP/1.1 200 x\r\n\r\n", json.dumps(WELL[call]).encode())] for call in ("connect", "stop", "list")}


class Keepers:
    """A keeper a test, at the other end of a real socket in this process."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.run = Run("a-run", os.getpid(), str(folder / "run"))
        self.client = KeeperClient(self.run)
        self._runs = str(folder / "runs")
        os.mkdir(self.run.folder, 0o700)
        self._server = _Server(self.new(), self.run.socket)
        self._server.handle_error = self._note  # type: ignore[method-assign]
        self.crashes = 0
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def _note(self, *_unused: t.Any) -> None:
        self.crashes += 1

    def new(self) -> Keeper:
        shutil.rmtree(self._runs, ignore_errors=True)
        self.keeper = Keeper(self.run, Ledger.begin(self._runs, self.run.id))
        if hasattr(self, "_server"):
            self._server.keeper = self.keeper
        return self.keeper

    def finish(self) -> dict[str, t.Any]:
        """The recap, which may not take long."""
        recaps: list[dict[str, t.Any]] = []
        finishing = threading.Thread(target=lambda: recaps.append(self.keeper.finish()), daemon=True)
        finishing.start()
        finishing.join(30)
        (recap,) = recaps
        return recap

    def written(self) -> set[tuple[str, str | None]]:
        """What the ledger says is open."""
        return {(entry["deviceaddress"], entry["connectionid"]) for entry in listing(self._runs, None)}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def keepers(tmp_path: pathlib.Path) -> t.Iterator[Keepers]:
    keepers = Keepers(tmp_path)
    yield keepers
    keepers.close()


class Action:
    """The part of an action that runs a module on another host."""

    def __init__(self, result: t.Any) -> None:
        self.result = result

    def reach(self) -> None:
        """It can be reached."""

    def run_module(self, *_unused: t.Any) -> t.Any:
        return self.result


_ENTRY = Connection(A, ID, "http://127.0.0.1:1", "127.0.0.1", 1, "tcp", False, "caller", 28800).as_result()
_FAILURE = {"code": "bad_answer", "message": "why", "connectionid": "another-id"}
_RESULT = {"changed": True, "failed": True, "msg": "x", "connections": {A: _ENTRY}, "failures": {B: _FAILURE}}


def _odd(choices: Choices, value: t.Any, most: int = 4) -> t.Any:
    """The value as JSON makes it, with a few things wrong with it."""
    for _unused in range(choices.one_of(range(most))):
        value = replaced(value, choices.one_of(list(places(value))[1:]), choices.value())
    text = dump(value).encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    try:
        return json.loads(text, parse_int=lambda digits: int(digits[:300]))
    except (ValueError, RecursionError):
        return {}


@given(drawn)
def test_a_connect(adversary: Adversary, keepers: Keepers, drawn: bytes) -> None:
    adversary.script(REST, KIND)
    keepers.new()
    result = _odd(Choices(drawn), _RESULT)
    elsewhere = remoteit_connect._Elsewhere(Action(result), {}, {})  # type: ignore[arg-type]
    elsewhere._run = keepers.run
    try:
        outcomes = dict(elsewhere.open(ACCOUNT, ORDER))
    except RemoteItError:
        outcomes = {}
    assert outcomes.keys() <= {A, B}
    for outcome in outcomes.values():
        if isinstance(outcome, Connection):
            check_connection(outcome)
        else:
            assert isinstance(outcome.message, str)
            json.dumps(outcome.as_failure())
    recap = keepers.finish()
    told = {**as_dict(result.get("connections")), **as_dict(result.get("failures"))}
    unsure = {event["service"] for event in recap["unsure"]}
    for service in (A, B):
        connectionid = as_dict(told.get(service)).get("connectionid")
        assert not is_connection_id(connectionid) or (service, connectionid) in adversary.stopped, told
        if not told.get(service) and "failure" not in result:
            assert service in unsure
    assert not recap["left"]
    assert not keepers.crashes


@given(drawn)
def test_a_disconnect(adversary: Adversary, keepers: Keepers, drawn: bytes) -> None:
    stop = {"deviceaddress": A, "connectionid": ID}
    result = _odd(Choices(drawn), {"changed": True, "closed": [stop, stop], "already_closed": [stop], "failures": {}})
    keepers.new()
    keepers.client.closed_elsewhere([result.get("closed")])
    assert not keepers.crashes


@pytest.mark.parametrize("line", [b"", b'{"80:00', b"[]\n", b"7\n", b"[" * 100000 + b"\n"], ids=lambda line: line[:9])
def test_a_worker_that_dies_in_the_middle_of_telling(adversary: Adversary, keepers: Keepers, line: bytes) -> None:
    """The end of the run waited a quarter of an hour for it."""
    adversary.script(REST, KIND)
    with socket.socket(socket.AF_UNIX) as worker:
        worker.connect(keepers.run.socket)
        request = {"do": "adopt", "account": _plain(ACCOUNT), "order": _plain(ORDER)}
        worker.sendall(json.dumps(request).encode() + b"\n" + line)
        worker.shutdown(socket.SHUT_WR)
        with worker.makefile("rb") as answers:
            first, *told, last = map(json.loads, answers)
    assert (first, last) == ({"ready": True}, {"end": True})
    assert {event["service"] for event in told if event["failure"]["may_be_open"]} == {A, B}
    assert {event["service"] for event in keepers.finish()["unsure"]} == {A, B}


_REQUESTS: list[dict[str, t.Any]] = [
    {"do": "open", "account": _plain(ACCOUNT), "order": _plain(ORDER), "claims": {A: [""], B: ["host"]}},
    {"do": "close", "account": _plain(ACCOUNT), "stops": [[A, ID, ""]]},
    {"do": "resolve", "account": _plain(ACCOUNT), "targets": [["kiosk-1", "ssh", None], ["kiosk-2", None, 28]]},
    {"do": "adopt", "account": _plain(ACCOUNT), "order": _plain(ORDER)},
    {"do": "closed_elsewhere", "connectionids": [ID]},
    {"do": "is_first", "batch": "a"},
    {"do": "finish"},
]


@given(st.lists(drawn, min_size=1, max_size=2), st.lists(wires("connect"), min_size=1, max_size=2))
def test_a_worker_gone_mad(adversary: Adversary, keepers: Keepers, lines: list[bytes], connects: list[Wire]) -> None:
    """The keeper answers with lines of JSON and outlives it; what it opened for it is closed, or in the ledger."""
    adversary.script(REST, {**KIND, "connect": connects})
    keepers.new()
    written = b""
    for each in lines:
        choices = Choices(each)
        request = json.loads(json.dumps(choices.one_of(_REQUESTS)))
        for _unused in range(choices.one_of(range(3))):
            # the account and the order are checked by whoever sends them: as a whole they are odd, or not at all
            where = [path for path in places(request) if len(path) < 2 or path[0] not in ("account", "order")]
            path, value = choices.one_of(where), choices.value()
            if not any(secret in dump(value) for secret in SECRETS):  # what the worker wrote, it may read
                request = replaced(request, path, value)
        text = (dump(request) + "\n").encode("utf-8", "surrogatepass")
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(60)
            line.connect(keepers.run.socket)
            if b'"adopt"' in text:
                text += choices.one_of([b"", b"{}\n", b"[]\n", b"7\n", b"x\n", b"[" * 100000 + b"\n"])
            line.sendall(text)
            written += text
            line.shutdown(socket.SHUT_WR)
            events: list[t.Any] = []
            with contextlib.suppress(ConnectionResetError), line.makefile("rb") as answers:  # a line was not read
                events.extend(map(json.loads, answers))
                assert not events or events[-1] == {"end": True}
        check_no_secret(events, adversary)
    recap = keepers.finish()
    if b'"closed_elsewhere"' not in written:  # which is believed
        assert adversary.opened - adversary.stopped <= keepers.written()  # it may have been told to detach it
    check_no_secret(recap, adversary)
    assert not keepers.crashes
