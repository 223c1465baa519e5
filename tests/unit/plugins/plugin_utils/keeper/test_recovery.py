# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The next keeper of a run takes over the ledger of one that was killed."""

from __future__ import annotations

import datetime
import os
import pathlib
import socket
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection, PortProxy
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.keeper import Keeper
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import State
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recap import Recap
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import list_open_connections
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import (
    STOPPED,
    WITH_ACCESS_KEY,
    MockApi,
    account,
    opened,
    refused,
)
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.keeper.keeper_calls import (
    ACCOUNT,
    INTENT_BYTES,
    A,
    B,
    C,
    acquire,
    host_request,
    ledger_events,
    release,
    states,
)
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.ledger.ledgers import kill_keeper

Successor = t.Callable[[], Keeper]


def note(ledger: Ledger, number: int, service: str, connectionid: str | None, **more: t.Any) -> None:
    """Write an entry of the killed keeper; without an ID, it was killed during the call."""
    who = more.get("who", ACCOUNT)
    ledger.intent(number, service, who.credentials.url, who.credentials.fingerprint())
    if connectionid is not None:
        proxy = PortProxy(*more.get("proxy", ("127.0.0.1", 1)), "caller")
        connection = Connection.unusable(service, connectionid, more.get("expires_at"), proxy)
        ledger.opened(number, connection, detached=more.get("detached", False))


@pytest.fixture
def successor(ledger: Ledger, run: Run, mock_api: MockApi) -> Successor:
    """Start the next keeper of the run."""

    def start() -> Keeper:
        kill_keeper(ledger)
        new, predecessors = Ledger.begin(os.path.dirname(ledger.path), run.id)
        return Keeper(run, new, predecessors)

    return start


def test_recovery_closes_before_it_opens(successor: Successor, mock_api: MockApi, ledger: Ledger) -> None:
    """The vendor might return the connection that is being stopped."""
    note(ledger, 1, A, "id-old")
    keeper = successor()
    mock_api.expect_disconnect(A, "id-old", STOPPED)
    mock_api.expect_connect(A, opened(A, "id-new"))
    assert acquire(keeper, host_request("a", A))[1].connectionid == "id-new"
    assert states(keeper) == [State.CLOSED, State.OPEN]
    assert not os.path.exists(ledger.path)
    mock_api.expect_disconnect(A, "id-new", STOPPED)
    assert keeper.finish() == Recap(opened=2, closed=2)
    assert list_open_connections(os.path.dirname(ledger.path), None) == []


def test_recovery_closes_connections_without_a_request(successor: Successor, mock_api: MockApi, ledger: Ledger) -> None:
    for number, service in enumerate((A, B)):
        note(ledger, number, service, f"id-of-{service}")
    keeper = successor()
    mock_api.unordered = True
    for service in (A, B):
        mock_api.expect_disconnect(service, f"id-of-{service}", STOPPED)
    mock_api.expect_connect(C, opened(C, "id-c"))
    mock_api.expect_disconnect(C, "id-c", STOPPED)
    acquire(keeper, host_request("c", C))
    assert keeper.finish() == Recap(opened=3, closed=3)


def test_recovery_is_reported_by_release_hosts(successor: Successor, mock_api: MockApi, ledger: Ledger) -> None:
    note(ledger, 1, A, "id-old")
    keeper = successor()
    mock_api.expect_disconnect(A, "id-old", STOPPED)
    assert release(keeper, "a", accounts=[ACCOUNT]) == {"id-old": "closed"}
    assert release(keeper, "a", accounts=[ACCOUNT]) == {}


def test_recovery_fails_while_a_proxy_responds(
    successor: Successor, mock_api: MockApi, ledger: Ledger, listener: socket.socket
) -> None:
    """The API does not know the connection, but it is open."""
    expires_at = format_utc(utc_now() + datetime.timedelta(hours=1))
    note(ledger, 1, A, "id-old", proxy=listener.getsockname(), expires_at=expires_at)
    keeper = successor()
    mock_api.expect_unknown(A, "id-old")
    mock_api.expect_disconnect(A, "id-old", *[refused("<error message>")] * 2)  # the proof is recent
    assert release(keeper, "a", accounts=[ACCOUNT])["id-old"].code == "api"
    assert [left.connectionid for left in keeper.finish().left_open] == ["id-old"]


def test_recovery_leaves_detached_connections(successor: Successor, mock_api: MockApi, ledger: Ledger) -> None:
    note(ledger, 1, A, "id-old", detached=True)
    keeper = successor()
    release(keeper, accounts=[ACCOUNT])
    assert keeper.finish() == Recap(opened=1, closed=0)
    listed = list_open_connections(os.path.dirname(ledger.path), None)
    assert [(entry["connectionid"], entry["detached"]) for entry in listed] == [("id-old", True)]


def test_recovery_reports_a_call_without_a_response(successor: Successor, mock_api: MockApi, ledger: Ledger) -> None:
    note(ledger, 1, A, None)
    keeper = successor()
    release(keeper, accounts=[ACCOUNT])
    assert states(keeper) == [State.UNCONFIRMED]
    assert [call.service for call in keeper.finish().may_be_open] == [A]
    assert [entry["deviceaddress"] for entry in list_open_connections(os.path.dirname(ledger.path), None)] == [A]


def test_recovery_leaves_other_accounts(successor: Successor, mock_api: MockApi, ledger: Ledger) -> None:
    note(ledger, 1, A, "id-old", who=account(WITH_ACCESS_KEY))
    keeper = successor()
    release(keeper, accounts=[ACCOUNT])
    assert keeper.finish() == Recap()
    assert pathlib.Path(ledger.path).exists()


@pytest.mark.parametrize("room", [0, INTENT_BYTES])
def test_recovery_leaves_the_ledger_if_its_own_cannot_be_written(
    ledger: Ledger, run: Run, mock_api: MockApi, full_disk: t.Callable[..., t.ContextManager[None]], room: int
) -> None:
    """A teardown finds the entry there."""
    note(ledger, 1, A, "id-old")
    kill_keeper(ledger)
    new, predecessors = Ledger.begin(os.path.dirname(ledger.path), run.id)
    keeper = Keeper(run, new, predecessors)
    with full_disk(new.path, room):
        release(keeper, accounts=[ACCOUNT])
    assert states(keeper) == [State.FAILED]
    assert keeper.finish() == Recap()
    assert [entry["connectionid"] for entry in list_open_connections(os.path.dirname(ledger.path), None)] == ["id-old"]


def test_recovery_leaves_a_settling_call_to_the_teardown(
    successor: Successor, mock_api: MockApi, ledger: Ledger
) -> None:
    note(ledger, 1, A, "id-old")
    note(ledger, 2, B, None)
    ledger.settling(2)
    keeper = successor()
    mock_api.expect_disconnect(A, "id-old", STOPPED)
    release(keeper, accounts=[ACCOUNT])
    assert keeper.finish() == Recap(opened=1, closed=1)
    assert ledger_events(ledger)[-1] == ("closed", 1, "taken over")


def test_recovery_keeps_the_time_of_a_call(successor: Successor, ledger: Ledger) -> None:
    note(ledger, 1, A, None)
    path = pathlib.Path(ledger.path)
    path.write_text(path.read_text().replace('"at": "20', '"at": "21'))
    keeper = successor()
    release(keeper, accounts=[ACCOUNT])
    (call,) = keeper.finish().may_be_open
    (entry,) = list_open_connections(os.path.dirname(ledger.path), None)
    assert entry["opened_at"].startswith("21")
    assert call.service == A


def test_begin_returns_unlocked_ledgers_of_the_same_run(ledger: Ledger) -> None:
    directory = os.path.dirname(ledger.path)
    assert Ledger.begin(directory, "another-run")[1] == []
    assert Ledger.begin(directory, "a-run")[1] == []  # its keeper is running
    kill_keeper(ledger)
    _unused, found = Ledger.begin(directory, "a-run")
    assert ledger.path in [snapshot.path for snapshot, _unused in found]
    assert {snapshot.run_id for snapshot, _unused in found} == {"a-run"}
