# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of the audit trail, and the events of a teardown."""

from __future__ import annotations

import collections
import itertools
import json
import multiprocessing
import os
import pathlib
import re
import stat
import threading
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import DirectBackend
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.audit import AuditEvent, AuditLog
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.teardown import teardown
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import audit_log_path, ci_job_of
from ansible_collections.remoteit.fleet.tests.unit.plugins import mock_api as mock
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.ledger.ledgers import (
    RUN,
    begin_ledger,
    kill_keeper,
    record_connection,
)

ACCOUNT = mock.account()
FINGERPRINT = ACCOUNT.credentials.fingerprint()

#: Ten thousand lines.
WRITERS, LINES = 8, 1250


@pytest.fixture
def log(tmp_path: pathlib.Path) -> AuditLog:
    return AuditLog(str(tmp_path / "audit.jsonl"))


def event(connectionid: str | None = mock.ID, **fields: t.Any) -> AuditEvent:
    arguments: dict[str, t.Any] = {"event": "opened", "by": "api", "reason": None, "run_id": RUN, **fields}
    return AuditEvent(account=FINGERPRINT, deviceaddress=mock.SERVICE, connectionid=connectionid, **arguments)


def lines(*paths: str) -> list[dict[str, t.Any]]:
    return [json.loads(line) for path in paths for line in pathlib.Path(path).read_text().splitlines()]


def _append_many(path: str, writer: int) -> None:
    log = AuditLog(path)
    for number in range(LINES):
        log.append(event(f"{writer}-{number}", reason="r" * (number % 300)))
    assert log.error is None


# -- the setting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "", " ", "false", "No", "0", "off"])
def test_audit_is_off(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("REMOTEIT_AUDIT_LOG", raising=False)
    if value is not None:
        monkeypatch.setenv("REMOTEIT_AUDIT_LOG", value)
    assert audit_log_path() is None


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("true", "/state/audit.jsonl"),
        ("Yes", "/state/audit.jsonl"),
        ("1", "/state/audit.jsonl"),
        ("/var/log/remoteit.jsonl", "/var/log/remoteit.jsonl"),
        ("~/audit", "/home/me/audit"),
        ("./1", "{cwd}/1"),
        ("logs/audit", "{cwd}/logs/audit"),
    ],
)
def test_audit_path(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, value: str, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("REMOTEIT_STATE_DIR", "/state")
    monkeypatch.setenv("REMOTEIT_AUDIT_LOG", value)
    assert audit_log_path() == path.format(cwd=tmp_path)


@pytest.mark.parametrize(
    ("run_id", "job"), [("run-0123456789", None), ("4711-0123456789", "4711"), ("a-b-0123456789", "a-b")]
)
def test_run_id_contains_the_ci_job(run_id: str, job: str | None) -> None:
    assert ci_job_of(run_id) == job


# -- the file ----------------------------------------------------------------------------------------------------------


def test_line_has_all_fields(log: AuditLog) -> None:
    log.append(event(event="closed", by="task", reason="two\nlines", inventory_host="\x1b[31mpi", seconds_open=7))
    (line,) = lines(log.path)
    assert list(line) == [
        *("time", "event", "run_id", "ci_job", "user", "controller", "by", "reason", "account", "deviceaddress"),
        *("connectionid", "device", "inventory_host", "restriction", "hostip", "proxy", "seconds_open"),
    ]
    assert (line["ci_job"], line["reason"], line["inventory_host"]) == ("job", "two lines", "?[31mpi")
    assert line["seconds_open"] == 7
    assert stat.S_IMODE(os.stat(log.path).st_mode) == 0o600


def test_many_writers_lose_and_tear_no_line(log: AuditLog) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(log.path, number)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    found = collections.Counter(line["connectionid"] for line in lines(log.path))
    expected = itertools.product(range(WRITERS), range(LINES))
    assert found == collections.Counter(f"{writer}-{number}" for writer, number in expected)


def test_rotation_loses_no_line(log: AuditLog) -> None:
    """Rename the file while several threads write, as ``logrotate`` does."""
    writers = [threading.Thread(target=_append_many, args=(log.path, number)) for number in range(4)]
    for writer in writers:
        writer.start()
    rotated = []
    while any(writer.is_alive() for writer in writers):
        path = f"{log.path}.{len(rotated)}"
        try:
            os.rename(log.path, path)
        except FileNotFoundError:
            continue
        rotated.append(path)
    rest = [log.path] if os.path.exists(log.path) else []
    assert len(rotated) > 1
    assert len({line["connectionid"] for line in lines(*rotated, *rest)}) == 4 * LINES


def test_full_disk_is_an_error_and_not_raised() -> None:
    log = AuditLog("/dev/full")
    log.append(event())
    assert log.error is not None
    assert "'/dev/full'" in log.error
    assert "No space left on device" in log.error


def test_line_after_a_cut_line_is_complete(log: AuditLog, full_disk: t.Callable[..., t.ContextManager[None]]) -> None:
    log.append(event("before"))
    with full_disk(log.path, room=10):
        log.append(event("cut"))
    assert log.error is not None
    log.append(event("after"))
    before, cut, after = pathlib.Path(log.path).read_text().splitlines()
    assert [json.loads(line)["connectionid"] for line in (before, after)] == ["before", "after"]
    assert len(cut) == 10


@pytest.mark.parametrize("kind", ["missing directory", "directory", "pipe"])
def test_unusable_file_is_an_error_and_not_raised(tmp_path: pathlib.Path, kind: str) -> None:
    path = tmp_path / "audit"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    log = AuditLog(str(path / "missing" / "audit" if kind == "missing directory" else path))
    log.append(event())
    assert log.error is not None


# -- the teardown ------------------------------------------------------------------------------------------------------


def run_teardown(directory: str, log: AuditLog | None, *, check_mode: bool = False) -> None:
    list(teardown(directory, None, lambda: ACCOUNT, DirectBackend(), check_mode=check_mode, audit_log=log))


def outcomes(log: AuditLog) -> list[tuple[str, str]]:
    return [(line["event"], line["by"]) for line in lines(log.path)]


def test_teardown_records_closed_connections(
    mock_api: mock.MockApi, directory: str, ledger: Ledger, log: AuditLog
) -> None:
    record_connection(ledger, account=FINGERPRINT, host="pi-0001")
    kill_keeper(ledger)
    mock_api.expect_disconnect(mock.SERVICE, mock.ID, mock.STOPPED)
    run_teardown(directory, log)
    (line,) = lines(log.path)
    assert (line["event"], line["by"], line["run_id"]) == ("closed", "teardown", RUN)
    assert (line["connectionid"], line["deviceaddress"]) == (mock.ID, mock.SERVICE)
    assert (line["inventory_host"], line["account"]) == ("pi-0001", FINGERPRINT)
    assert line["seconds_open"] >= 0


def test_teardown_records_what_is_left(mock_api: mock.MockApi, directory: str, ledger: Ledger, log: AuditLog) -> None:
    record_connection(ledger, account=FINGERPRINT)
    kill_keeper(ledger)
    mock_api.expect_disconnect(mock.SERVICE, mock.ID, mock.refused("not today", 400))
    run_teardown(directory, log)
    assert outcomes(log) == [("left", "teardown")]
    assert "not today" in lines(log.path)[0]["reason"]


def test_teardown_records_connections_that_were_gone(
    mock_api: mock.MockApi, directory: str, ledger: Ledger, log: AuditLog
) -> None:
    record_connection(ledger, account=FINGERPRINT)
    kill_keeper(ledger)
    mock_api.expect_unknown(mock.SERVICE, mock.ID)
    run_teardown(directory, log)
    assert outcomes(log) == [("closed", "api")]


def test_teardown_records_shared_connections(directory: str, ledger: Ledger, log: AuditLog) -> None:
    record_connection(ledger, account=FINGERPRINT)
    kill_keeper(ledger)
    running = begin_ledger(directory, "other-0123456789")
    record_connection(running, account=FINGERPRINT)
    run_teardown(directory, log)
    assert outcomes(log) == [("left", "teardown")]


def test_teardown_settles_unconfirmed_calls(
    mock_api: mock.MockApi, directory: str, ledger: Ledger, log: AuditLog
) -> None:
    """A connect call whose outcome was unknown has a last line, and so does the connection that it opened."""
    account = mock.account(mock.WITH_ACCESS_KEY)
    record_connection(ledger, connectionid=None, account=account.credentials.fingerprint())
    kill_keeper(ledger)
    mock_api.expect_query(None, mock.sessions(mock.ID, started=format_utc(utc_now())))
    mock_api.expect_query(None, mock.Reply({"data": {"disconnect": True}}))
    list(teardown(directory, None, lambda: account, DirectBackend(), check_mode=False, audit_log=log))
    assert [(line["event"], line["by"], line["connectionid"]) for line in lines(log.path)] == [
        ("closed", "teardown", None),
        ("closed", "teardown", mock.ID),
    ]


def test_teardown_settles_expired_calls(directory: str, ledger: Ledger, log: AuditLog) -> None:
    record_connection(ledger, connectionid=None, account=FINGERPRINT)
    kill_keeper(ledger)
    text = pathlib.Path(ledger.path).read_text()
    pathlib.Path(ledger.path).write_text(re.sub(r'"at": "20\d\d', '"at": "2020', text))
    run_teardown(directory, log)
    (line,) = lines(log.path)
    assert (line["event"], line["connectionid"], line["reason"]) == ("closed", None, "it has expired")
    assert not os.path.exists(ledger.path)


def test_teardown_in_check_mode_records_nothing(directory: str, ledger: Ledger, log: AuditLog) -> None:
    record_connection(ledger, account=FINGERPRINT)
    kill_keeper(ledger)
    run_teardown(directory, log, check_mode=True)
    assert not os.path.exists(log.path)
