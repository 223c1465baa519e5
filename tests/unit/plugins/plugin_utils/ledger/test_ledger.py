# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run writes down, and what can be read from it whatever happened to its keeper."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import stat
import subprocess
import threading
import time
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.ended_runs import lock_ended_ledgers
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.files import try_lock
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import list_open_connections
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import process_identity
from ansible_collections.remoteit.fleet.tests.unit.plugins.conversation import ID, SERVICE

FullDisk = t.Callable[..., t.ContextManager[None]]

API = "https://api.remot3.it/apv/v27"
LATER = format_utc(utc_now() + datetime.timedelta(hours=8))
CONNECTION = Connection(SERVICE, ID, "http://p:1", "p", 1, "tcp", False, "caller", expires_at=LATER)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "state" / "runs")


def begin(folder: str, run_id: str = "job-0123456789", controller: str | None = None) -> Ledger:
    ledger, _unused = Ledger.begin(folder, run_id, controller)
    return ledger


@pytest.fixture
def ledger(folder: str) -> Ledger:
    return begin(folder)


def lines(path: str) -> list[dict[str, t.Any]]:
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def end(ledger: Ledger) -> None:
    """The keeper dies."""
    ledger._file.close()


def test_what_is_written(ledger: Ledger) -> None:
    ledger.intent(1, SERVICE, API, "fingerprint")
    ledger.opened(1, CONNECTION, detached=False)
    ledger.closed(1, "closed")
    written = lines(ledger.path)
    assert all(datetime.datetime.strptime(line.pop("at"), "%Y-%m-%dT%H:%M:%SZ") for line in written)
    assert written == [
        {"event": "run", "run": "job-0123456789", "controller": None},
        {"event": "intent", "number": 1, "service": SERVICE, "api_url": API, "account": "fingerprint"},
        {"event": "opened", "number": 1, "connectionid": ID, "expires_at": LATER, "detached": False},
        {"event": "closed", "number": 1, "outcome": "closed"},
    ]


def test_the_file_is_ours_alone_and_named_by_the_run(ledger: Ledger, folder: str) -> None:
    assert ledger.path == os.path.join(folder, "job-0123456789.jsonl")
    assert stat.S_IMODE(os.stat(ledger.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert os.listdir(folder) == ["job-0123456789.jsonl"]


def test_two_who_read_it_do_not_take_each_other_for_its_keeper(ledger: Ledger, folder: str) -> None:
    ledger.intent(1, SERVICE, API, "fingerprint")
    end(ledger)
    with open(ledger.path, "rb") as file:
        assert try_lock(file)
        assert [entry["alive"] for entry in list_open_connections(folder, None)] == [False]


def test_removed_at_the_end(ledger: Ledger, folder: str) -> None:
    ledger.remove()
    assert os.listdir(folder) == []


def test_another_keeper_of_the_same_run_does_not_overwrite(ledger: Ledger, folder: str) -> None:
    ledger.intent(1, SERVICE, API, "fingerprint")
    before = lines(ledger.path)
    second = begin(folder)
    second.intent(1, SERVICE, API, "fingerprint")
    assert second.path != ledger.path
    assert lines(ledger.path) == before
    assert len(list_open_connections(folder, "job-0123456789")) == 2


def test_threads_write_whole_lines(ledger: Ledger) -> None:
    together = threading.Barrier(8)

    def write(first: int) -> None:
        together.wait(30)
        for number in range(first, first + 50):
            ledger.intent(number, SERVICE, API, "fingerprint")

    threads = [threading.Thread(target=write, args=(first * 50,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line["number"] for line in lines(ledger.path)[1:]) == list(range(400))


@pytest.mark.parametrize("room", [0, 10])
def test_an_intent_that_cannot_be_written_is_an_error(ledger: Ledger, full_disk: FullDisk, room: int) -> None:
    with full_disk(ledger.path, room), pytest.raises(RemoteItError, match=r"nothing was opened: the ledger .* cannot"):
        ledger.intent(1, SERVICE, API, "fingerprint")


@pytest.mark.parametrize("room", [0, 10])
def test_what_is_written_after_the_disk_was_full_reads_back_whole(
    ledger: Ledger, full_disk: FullDisk, room: int
) -> None:
    ledger.intent(1, SERVICE, API, "fingerprint")
    with full_disk(ledger.path, room):
        ledger.opened(1, CONNECTION, detached=False)  # may be missing: the intent is there
    ledger.closed(1, "closed")
    assert [line["event"] for line in lines(ledger.path)] == ["run", "intent", "closed"]


@pytest.mark.parametrize("where", ["state", "state/runs"])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: pathlib.Path, folder: str, where: str) -> None:
    (tmp_path / "state" / "runs").mkdir(parents=True)
    (tmp_path / where).chmod(0o777)
    with pytest.raises(OSError, match="not a folder of this user alone"):
        Ledger.begin(folder, "job-0123456789")


# -- reading -----------------------------------------------------------------------------------------------------------


def opened_entry(ledger: Ledger, number: int = 1) -> None:
    ledger.intent(number, SERVICE, API, "fingerprint")
    ledger.opened(number, CONNECTION, detached=False)


def test_what_is_open_and_whose_run_lives(ledger: Ledger, folder: str) -> None:
    opened_entry(ledger)
    (entry,) = list_open_connections(folder, None)
    assert (entry["run_id"], entry["alive"], entry["deviceaddress"], entry["connectionid"]) == (
        "job-0123456789",
        True,
        SERVICE,
        ID,
    )
    assert entry["ends_by_itself_at"] == LATER and not entry["detached"]
    assert (entry["account"], entry["api_url"]) == ("fingerprint", API)
    end(ledger)
    assert [entry["alive"] for entry in list_open_connections(folder, None)] == [False]


def test_what_is_closed_is_not_listed(ledger: Ledger, folder: str) -> None:
    opened_entry(ledger)
    ledger.closed(1, "closed")
    assert list_open_connections(folder, None) == []


def test_an_intent_without_an_answer_ends_by_idling(ledger: Ledger, folder: str) -> None:
    ledger.intent(1, SERVICE, API, "fingerprint")
    (entry,) = list_open_connections(folder, None)
    assert entry["connectionid"] is None
    assert 0 < entry["time_left"] <= 900


@pytest.mark.parametrize(
    ("asked", "found"),
    [(None, True), ("job-0123456789", True), ("job", True), ("job-", False), ("jo", False), ("job-0123456789a", False)],
)
def test_a_run_is_found_by_its_id_or_that_of_its_job(
    ledger: Ledger, folder: str, asked: str | None, found: bool
) -> None:
    opened_entry(ledger)
    assert bool(list_open_connections(folder, asked)) is found


@pytest.mark.parametrize(
    "cut", [b'{"event": "opened", "num', b"\xff\xfe\x00", b"[]", b'"x"', b'{"event": "opened", "number": 7}', b"{}\n{"]
)
def test_a_last_line_that_is_cut_or_none_of_ours_is_passed_over(ledger: Ledger, folder: str, cut: bytes) -> None:
    opened_entry(ledger)
    end(ledger)
    with open(ledger.path, "ab") as file:
        file.write(cut)
    assert [entry["connectionid"] for entry in list_open_connections(folder, None)] == [ID]


def test_only_dead_runs_are_given_to_a_teardown_and_each_to_one(
    ledger: Ledger, folder: str, pauses: list[float]
) -> None:
    opened_entry(ledger)
    with lock_ended_ledgers(folder, None, []) as found:
        assert found == []
    end(ledger)
    with lock_ended_ledgers(folder, None, []) as found:
        ((record, its_ledger),) = found
        assert [entry.connectionid for entry in record.open] == [ID]
        with lock_ended_ledgers(folder, None, []) as another:
            assert [its for _unused, its in another] == [None]
        its_ledger.closed(1, "closed")
    assert list_open_connections(folder, None) == []


def test_who_only_reads_it_does_not_hide_the_ledger_of_a_dead_run(
    ledger: Ledger, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another container's run, of which nothing but its lock tells who lives."""
    opened_entry(ledger)
    end(ledger)
    with open(ledger.path, "rb") as reader:
        assert try_lock(reader)
        monkeypatch.setattr(time, "sleep", lambda _unused: reader.close())
        with lock_ended_ledgers(folder, None, []) as found:
            assert [record.run_id for record, its_ledger in found if its_ledger] == ["job-0123456789"]


def test_a_run_whose_keeper_was_killed_lives_as_long_as_its_controller(folder: str) -> None:
    controller = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    ledger = begin(folder, controller=process_identity(controller.pid))
    opened_entry(ledger)
    end(ledger)
    assert [entry["alive"] for entry in list_open_connections(folder, None)] == [True]
    with lock_ended_ledgers(folder, None, []) as found:
        assert found == []
    controller.communicate()
    assert [entry["alive"] for entry in list_open_connections(folder, None)] == [False]
    with lock_ended_ledgers(folder, None, []) as found:
        assert [record.run_id for record, _unused in found] == ["job-0123456789"]


def test_a_teardown_that_looks_for_one_run_leaves_the_others_to_the_next(ledger: Ledger, folder: str) -> None:
    opened_entry(ledger)
    end(ledger)
    with lock_ended_ledgers(folder, "another", []) as found:
        assert found == []
        with lock_ended_ledgers(folder, "job-0123456789", []) as others:
            assert [record.run_id for record, _unused in others] == ["job-0123456789"]


def test_what_is_odd_in_a_line_does_not_hide_the_rest(ledger: Ledger, folder: str) -> None:
    opened_entry(ledger, 1)
    opened_entry(ledger, 2)
    path = pathlib.Path(ledger.path)
    path.write_text(path.read_text().replace(LATER, "later", 1))
    first, second = list_open_connections(folder, None)
    assert (first["connectionid"], second["connectionid"]) == (ID, ID)
    assert second["ends_by_itself_at"] == LATER
    path.write_text(path.read_text().replace(ID, "../id", 1))
    assert [entry["connectionid"] for entry in list_open_connections(folder, None)] == [None, ID]


def test_nothing_is_opened_when_somebody_has_removed_the_ledger(ledger: Ledger) -> None:
    os.unlink(ledger.path)
    with pytest.raises(RemoteItError, match=r"nothing was opened: .* somebody has removed it"):
        ledger.intent(1, SERVICE, API, "fingerprint")
    ledger.remove()


def test_a_folder_of_ledgers_that_is_not_ours_alone_is_said(ledger: Ledger, folder: str) -> None:
    os.chmod(folder, 0o777)
    with pytest.raises(RemoteItError, match="not a folder of this user alone"):
        list_open_connections(folder, None)


def test_without_a_folder_there_is_nothing(folder: str) -> None:
    assert list_open_connections(folder, None) == []
