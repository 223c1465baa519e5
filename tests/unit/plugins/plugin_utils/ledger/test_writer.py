# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The events that a keeper writes, and the file that contains them."""

from __future__ import annotations

import concurrent.futures
import datetime
import json
import os
import pathlib
import stat
import threading
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import DEFAULT_API_URL
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import ID, SERVICE
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.ledger.ledgers import RUN, begin_ledger

FullDisk = t.Callable[..., t.ContextManager[None]]

EXPIRES_AT = "2026-01-01T08:00:00Z"
CONNECTION = Connection(SERVICE, ID, "http://p:1", "p", 1, "tcp", False, "caller", expires_at=EXPIRES_AT)


def events(ledger: Ledger) -> list[dict[str, t.Any]]:
    return [json.loads(line) for line in pathlib.Path(ledger.path).read_text().splitlines()]


def write_intent(ledger: Ledger, number: int = 1) -> None:
    ledger.intent(number, SERVICE, DEFAULT_API_URL, "fingerprint", "pi-0001")


def test_ledger_contains_each_event(ledger: Ledger) -> None:
    write_intent(ledger)
    ledger.opened(1, CONNECTION, detached=False)
    ledger.closed(1, "closed")
    written = events(ledger)
    assert all(datetime.datetime.strptime(event.pop("at"), "%Y-%m-%dT%H:%M:%SZ") for event in written)
    assert written == [
        {"event": "run", "run": RUN, "job": "job", "controller": None},
        {
            "event": "intent",
            "number": 1,
            "service": SERVICE,
            "api_url": DEFAULT_API_URL,
            "account": "fingerprint",
            "host": "pi-0001",
        },
        {
            "event": "opened",
            "number": 1,
            "connectionid": ID,
            "expires_at": EXPIRES_AT,
            "proxy": {"host": "p", "port": 1, "restriction": "caller"},
            "detached": False,
        },
        {"event": "closed", "number": 1, "outcome": "closed"},
    ]


def test_detached_connection_is_on_disk(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(len(events(ledger))))
    write_intent(ledger)
    ledger.opened(1, CONNECTION, detached=False)
    assert synced == []
    ledger.detached(1)
    write_intent(ledger, 2)
    ledger.opened(2, CONNECTION, detached=True)
    assert synced == [4, 6]


def test_ledger_is_private_and_removed(ledger: Ledger, directory: str) -> None:
    assert ledger.path == os.path.join(directory, f"{RUN}.jsonl")
    assert stat.S_IMODE(os.stat(ledger.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    assert os.listdir(directory) == [f"{RUN}.jsonl"]
    ledger.remove()
    assert os.listdir(directory) == []


def test_second_keeper_of_a_run_gets_its_own_file(ledger: Ledger, directory: str) -> None:
    write_intent(ledger)
    before = events(ledger)
    second = begin_ledger(directory)
    write_intent(second)
    assert second.path != ledger.path
    assert events(ledger) == before


def test_threads_write_whole_lines(ledger: Ledger) -> None:
    barrier = threading.Barrier(8)

    def write(first: int) -> None:
        barrier.wait(30)
        for number in range(first, first + 50):
            write_intent(ledger, number)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(0, 400, 50)))
    assert sorted(event["number"] for event in events(ledger)[1:]) == list(range(400))


@pytest.mark.parametrize("room", [0, 10])
def test_ledger_on_a_full_disk_has_whole_lines(ledger: Ledger, full_disk: FullDisk, room: int) -> None:
    write_intent(ledger)
    with full_disk(ledger.path, room):
        with pytest.raises(RemoteItError, match=r"the ledger .* cannot"):
            ledger.opened(1, CONNECTION, detached=False)
        with pytest.raises(RemoteItError, match=r"nothing was opened: the ledger .* cannot"):
            write_intent(ledger, 2)
    ledger.closed(1, "closed")
    assert [event["event"] for event in events(ledger)] == ["run", "intent", "closed"]


def test_intent_fails_if_the_file_was_removed(ledger: Ledger) -> None:
    os.unlink(ledger.path)
    with pytest.raises(RemoteItError, match=r"nothing was opened: .* was removed"):
        write_intent(ledger)
    ledger.remove()


@pytest.mark.parametrize("shared", ["state", "state/runs"])
def test_begin_refuses_a_shared_directory(tmp_path: pathlib.Path, directory: str, shared: str) -> None:
    (tmp_path / "state" / "runs").mkdir(parents=True)
    (tmp_path / shared).chmod(0o777)
    with pytest.raises(PermissionError):
        begin_ledger(directory)
