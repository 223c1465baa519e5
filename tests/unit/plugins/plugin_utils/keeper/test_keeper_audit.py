# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit trail of a run: each connection that the keeper opens, and how it ends."""

from __future__ import annotations

import json
import pathlib
import sys
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.keeper import Keeper
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recap import Recap
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run
from ansible_collections.remoteit.fleet.tests.unit.plugins import mock_api as mock
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.keeper.keeper_calls import (
    ACCOUNT,
    OFFLINE,
    A,
    B,
    acquire,
    acquire_error,
    await_connects,
    connect,
    connect_all,
    disconnect,
    host_request,
    prefetch,
)

LATCHING = "255.255.255.255"


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def keeper(mock_api: mock.MockApi, run: Run, ledger: Ledger, path: pathlib.Path) -> Keeper:
    return Keeper(run, ledger, audit_path=str(path))


def lines(path: pathlib.Path) -> list[dict[str, t.Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def events(path: pathlib.Path) -> list[tuple[str, str, str | None]]:
    return [(line["event"], line["by"], line["connectionid"]) for line in lines(path)]


def test_task_opens_and_closes(keeper: Keeper, mock_api: mock.MockApi, path: pathlib.Path) -> None:
    mock_api.expect_connect(A, mock.opened(A, "id-a"))
    mock_api.expect_disconnect(A, "id-a", mock.STOPPED)
    connect(keeper)
    disconnect(keeper, "id-a")
    keeper.finish()
    opened, closed = lines(path)
    assert (opened["event"], opened["by"], opened["reason"]) == ("opened", "task", None)
    assert (closed["event"], closed["by"], closed["reason"]) == ("closed", "task", "no task needs it any more")
    for line in (opened, closed):
        assert (line["run_id"], line["account"]) == ("a-run", ACCOUNT.credentials.fingerprint())
        assert (line["deviceaddress"], line["connectionid"], line["restriction"]) == (A, "id-a", "caller")
        assert line["proxy"] == "proxy40.rt3.io:34168"
    assert (opened["seconds_open"], type(closed["seconds_open"])) == (None, int)


def test_end_of_the_run_closes(keeper: Keeper, mock_api: mock.MockApi, path: pathlib.Path) -> None:
    mock_api.expect_connect(A, mock.opened(A, "id-a"))
    mock_api.expect_disconnect(A, "id-a", mock.STOPPED)
    acquire(keeper, host_request("pi-0001", A))
    keeper.finish()
    assert events(path) == [("opened", "task", "id-a"), ("closed", "keeper", "id-a")]
    assert [line["inventory_host"] for line in lines(path)] == ["pi-0001"] * 2
    assert lines(path)[1]["reason"] == "the run has ended"


def test_refusal(keeper: Keeper, mock_api: mock.MockApi, path: pathlib.Path) -> None:
    mock_api.expect_connect(A, OFFLINE)
    assert acquire_error(keeper, host_request("pi-0001", A)) == "offline"
    assert keeper.finish().opened == 0
    (line,) = lines(path)
    assert (line["event"], line["by"], line["inventory_host"]) == ("refused", "api", "pi-0001")
    assert "inactive" in line["reason"]


def test_prefetch_records_the_host(keeper: Keeper, mock_api: mock.MockApi, path: pathlib.Path) -> None:
    mock_api.expect_connect(A, mock.opened(A, "id-a"))
    mock_api.expect_disconnect(A, "id-a", mock.STOPPED)
    prefetch(keeper, A)
    await_connects(keeper)
    keeper.finish()
    assert [line["inventory_host"] for line in lines(path)] == [A, A]


def test_reopening(keeper: Keeper, mock_api: mock.MockApi, path: pathlib.Path) -> None:
    """A connection that the proxy refuses is replaced. One with another address is not a replacement."""
    mock_api.unordered = True
    for connectionid in ("id-1", "id-2"):
        mock_api.expect_connect(A, mock.opened(A, connectionid))
        mock_api.expect_disconnect(A, connectionid, mock.STOPPED)
    body = {"deviceaddress": A, "wait": "true", "hostip": LATCHING}
    mock_api.expect("POST", "/device/connect", mock.opened(A, "id-3"), body=body)
    mock_api.expect_disconnect(A, "id-3", mock.STOPPED)
    lease, _unused = acquire(keeper, host_request("pi-0001", A))
    acquire(keeper, host_request("pi-0001", A), replaces=lease)
    connect(keeper, A, hostip=LATCHING)
    keeper.finish()
    found = {line["connectionid"]: line for line in lines(path) if line["event"] != "closed"}
    assert {name: line["event"] for name, line in found.items()} == {
        "id-1": "opened",
        "id-2": "reopened",
        "id-3": "opened",
    }
    assert (found["id-3"]["restriction"], found["id-3"]["hostip"]) == ("latching", LATCHING)
    closed = {line["connectionid"]: line["by"] for line in lines(path) if line["event"] == "closed"}
    assert closed == dict.fromkeys(["id-1", "id-2", "id-3"], "keeper")


def test_connection_that_was_gone(keeper: Keeper, mock_api: mock.MockApi, path: pathlib.Path) -> None:
    mock_api.expect_connect(A, mock.opened(A, "id-a", proxy="http://127.0.0.1:9"))
    mock_api.expect_unknown(A, "id-a")
    connect(keeper)
    disconnect(keeper, "id-a")
    keeper.finish()
    assert events(path)[-1] == ("closed", "api", "id-a")


def test_connection_that_is_left(keeper: Keeper, mock_api: mock.MockApi, path: pathlib.Path) -> None:
    mock_api.unordered = True
    for service, connectionid in ((A, "id-a"), (B, "id-b")):
        mock_api.expect_connect(service, mock.opened(service, connectionid))
    mock_api.expect_disconnect(A, "id-a", mock.refused("not today", 400))
    connect(keeper, A)
    connect(keeper, B, detach=True)
    keeper.finish()
    left = {line["connectionid"]: line["reason"] for line in lines(path) if line["event"] == "left"}
    assert set(left) == {"id-a", "id-b"}
    assert "not today" in left["id-a"]
    assert left["id-b"] == "it was opened with detach"


def test_connection_of_another_run(keeper: Keeper, mock_api: mock.MockApi, path: pathlib.Path) -> None:
    mock_api.expect_disconnect(A, "foreign", mock.STOPPED)
    assert disconnect(keeper, "foreign") == "closed"
    keeper.finish()
    assert events(path) == [("closed", "task", "foreign")]


def test_url_of_a_reverse_proxy_is_not_recorded(keeper: Keeper, mock_api: mock.MockApi, path: pathlib.Path) -> None:
    url = "https://abcdef.connect.remote.it"
    mock_api.expect_connect(A, mock.opened(A, "id-a", url, reverseProxy=True))
    mock_api.expect_disconnect(A, "id-a", mock.STOPPED)
    connect(keeper)
    keeper.finish()
    assert [line["restriction"] for line in lines(path)] == ["public", "public"]
    assert "abcdef" not in path.read_text()


def test_no_secret_is_recorded(keeper: Keeper, mock_api: mock.MockApi, path: pathlib.Path) -> None:
    """An error of the API that repeats the credentials is recorded without them."""
    mock_api.unordered = True
    mock_api.expect_connect(A, mock.refused(f"bad {mock.TOKEN} and {mock.KEY}", 400))
    mock_api.expect_connect(B, mock.opened(B, "id-b"))
    mock_api.expect_disconnect(B, "id-b", mock.refused(f"bad {mock.TOKEN}", 400))
    connect_all(keeper, A, B)
    keeper.finish()
    assert [event for event, _unused, _unused in events(path)].count("refused") == 1
    assert mock.TOKEN not in path.read_text()
    assert mock.KEY not in path.read_text()


def test_full_disk_is_reported_once(mock_api: mock.MockApi, run: Run, ledger: Ledger) -> None:
    keeper = Keeper(run, ledger, audit_path="/dev/full")
    mock_api.expect_connect(A, mock.opened(A, "id-a"))
    mock_api.expect_disconnect(A, "id-a", mock.STOPPED)
    connect(keeper)
    recap = keeper.finish()
    assert (recap.opened, recap.closed) == (1, 1)
    assert recap.as_text().count("/dev/full") == 1


def test_run_without_audit_does_not_import_it(
    mock_api: mock.MockApi, run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = "ansible_collections.remoteit.fleet.plugins.plugin_utils"
    for name in (f"{base}._keeper.audit", f"{base}._ledger.audit"):
        monkeypatch.setitem(sys.modules, name, None)  # an import would fail
    mock_api.expect_connect(A, mock.opened(A, "id-a"))
    mock_api.expect_disconnect(A, "id-a", mock.STOPPED)
    keeper = Keeper(run, ledger)
    connect(keeper)
    assert keeper.finish() == Recap(opened=1, closed=1)
