# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a run: the keeper closes everything, and looks for the connections of calls without a response."""

from __future__ import annotations

import concurrent.futures
import datetime
import os
import threading
import typing as t

import pytest
import requests
from support import wait_until

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import MAY_BE_OPEN
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper import keeper as keeper_module
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.keeper import Keeper, ShuttingDownError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import State
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recap import LeftOpen, Recap
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import list_open_connections
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import (
    SERVICE,
    STOPPED,
    WITH_ACCESS_KEY,
    WITH_TOKEN,
    HeldReply,
    MockApi,
    Reply,
    account,
    not_sent,
    opened,
    refused,
    sessions,
)
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.keeper.keeper_calls import (
    WRONG_KEY,
    A,
    B,
    C,
    acquire,
    await_connects,
    connect,
    connect_all,
    connect_error,
    disconnect,
    host_request,
    ledger_events,
    open_connection,
    prefetch,
    release,
    states,
)

WITH_GRAPHQL = account(WITH_ACCESS_KEY)


def test_finish_closes_what_is_left(keeper: Keeper, mock_api: MockApi, ledger: Ledger) -> None:
    mock_api.unordered = True
    for service, connectionid in ((A, "id-a"), (B, "id-b"), (C, "id-c")):
        mock_api.expect_connect(service, opened(service, connectionid))
        mock_api.expect_disconnect(service, connectionid, STOPPED)
    connect_all(keeper, A, B, C)
    assert disconnect(keeper, "id-b", B) == "closed"
    assert keeper.finish() == Recap(opened=3, closed=3)
    assert keeper.finish() == Recap(opened=3, closed=3)  # without a call
    assert not os.path.exists(ledger.path)


def test_finish_needs_no_new_thread(keeper: Keeper, mock_api: MockApi, monkeypatch: pytest.MonkeyPatch) -> None:
    open_connection(keeper, mock_api, "id-a")

    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    mock_api.expect_disconnect(A, "id-a", STOPPED)
    assert keeper.finish() == Recap(opened=1, closed=1)


def test_finish_refuses_later_requests(keeper: Keeper) -> None:
    assert keeper.finish() == Recap()
    with pytest.raises(ShuttingDownError):
        connect_all(keeper, A)
    with pytest.raises(ShuttingDownError):
        keeper.acquire_host(host_request("a", A))
    prefetch(keeper, A)
    assert keeper.finish() == Recap()


def test_finish_waits_for_a_call_and_sends_no_other(keeper: Keeper, mock_api: MockApi) -> None:
    sent = threading.Event()

    def respond(request: requests.PreparedRequest) -> Reply:
        sent.set()
        assert keeper._lifecycle.shutting_down.wait(30)
        return opened(A, "id-a")

    mock_api.expect_connect(A, respond)
    mock_api.expect_disconnect(A, "id-a", STOPPED)
    prefetch(keeper, A, B, C, who=account(concurrency=1))
    assert sent.wait(30)
    assert keeper.finish() == Recap(opened=1, closed=1)
    await_connects(keeper)
    assert states(keeper) == [State.CLOSED, State.FAILED, State.FAILED]


def test_finish_ends_the_wait_for_the_rate_limit(keeper: Keeper, mock_api: MockApi) -> None:
    sent = threading.Event()

    def refuse(request: requests.PreparedRequest) -> Reply:
        sent.set()
        return Reply("", 429, {"Retry-After": "30"})

    mock_api.expect_connect(A, refuse)
    prefetch(keeper, A)
    assert sent.wait(30)
    assert keeper.finish() == Recap()
    await_connects(keeper)
    assert states(keeper) == [State.FAILED]


def test_finish_waits_for_the_older_of_two_calls(keeper: Keeper, mock_api: MockApi) -> None:
    held = HeldReply(opened(A, "id-late"))
    mock_api.unordered = True
    mock_api.expect_connect(A, held)
    mock_api.expect_disconnect(A, "id-2", STOPPED)
    mock_api.expect_disconnect(A, "id-late", STOPPED)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pool.submit(connect, keeper)
        assert held.arrived.wait(30)
        mock_api.expect_connect(A, opened(A, "id-2"))
        connect(keeper, reuse=False)
        recap = pool.submit(keeper.finish)
        concurrent.futures.wait([recap], 0.2)  # it has to wait for the late response
        held.release.set()
        assert recap.result(30) == Recap(opened=2, closed=2)


def test_finish_waits_for_the_stop_of_a_detached_connection(keeper: Keeper, mock_api: MockApi) -> None:
    held = HeldReply(STOPPED)
    open_connection(keeper, mock_api, "id-1", detach=True)
    mock_api.expect_disconnect(A, "id-1", held)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pool.submit(disconnect, keeper, "id-1")
        assert held.arrived.wait(30)
        recap = pool.submit(keeper.finish)
        concurrent.futures.wait([recap], 0.2)  # it has to wait for the stop
        held.release.set()
        assert recap.result(30) == Recap(opened=1, closed=1)


@pytest.mark.parametrize("detach", [False, True])
def test_finish_retries_a_failed_stop(keeper: Keeper, mock_api: MockApi, detach: bool) -> None:
    open_connection(keeper, mock_api, "id-1", detach=detach)
    mock_api.expect_disconnect(A, "id-1", WRONG_KEY, STOPPED)
    assert disconnect(keeper, "id-1") == "auth"
    assert keeper.finish() == Recap(opened=1, closed=1)


def test_finish_does_not_wait_for_a_command(keeper: Keeper, mock_api: MockApi) -> None:
    """A release waits for a command in the only thread, and the command runs on after the controller was killed."""
    narrow = account(concurrency=1)
    for service, connectionid in ((A, "id-1"), (B, "id-2")):
        mock_api.expect_connect(service, opened(service, connectionid))
        connect(keeper, service, host=service, who=narrow)
    acquire(keeper, host_request(A, A, narrow))
    mock_api.unordered = True
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    mock_api.expect_disconnect(B, "id-2", STOPPED)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        closing = pool.submit(release, keeper, A)
        concurrent.futures.wait([closing], 0.2)  # it has to wait for the command
        assert states(keeper) == [State.DRAINING, State.OPEN]
        assert pool.submit(keeper.finish).result(30) == Recap(opened=2, closed=2)
        assert closing.result(30) == {"id-1": "closed"}


def test_finish_reports_what_could_not_be_closed(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, pauses: list[float]
) -> None:
    connection = open_connection(keeper, mock_api, "id-a")
    mock_api.expect_disconnect(A, "id-a", *[Reply({"status": "false"}, 500)] * 5)
    recap = keeper.finish()
    (left,) = recap.left_open
    assert recap == Recap(
        opened=1, closed=0, left_open=(LeftOpen(A, None, "id-a", connection.expires_at, left.reason),)
    )
    assert states(keeper) == [State.CLOSE_FAILED]
    assert ledger_events(ledger) == [("intent", 1, None), ("opened", 1, "id-a"), ("closing", 1, None)]


def test_finish_although_the_ledger_cannot_be_removed(keeper: Keeper, mock_api: MockApi, ledger: Ledger) -> None:
    mock_api.expect_connect(A, opened(A, "id-a"))
    mock_api.expect_disconnect(A, "id-a", STOPPED)
    connect(keeper)
    os.unlink(ledger.path)
    os.mkdir(ledger.path)
    assert keeper.finish() == Recap(opened=1, closed=1)


# -- connect calls without a clear outcome -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        requests.exceptions.ReadTimeout(),
        requests.exceptions.ConnectionError("Connection aborted.", ConnectionResetError()),
        Reply(""),
        Reply("<p>", 502),
        Reply({"message": "Endpoint request timed out"}, 504),
        refused("Request Timeout", 408),
        Reply("", 499),
        refused("internal error", 200),
        opened(A, ""),  # opened, but without an ID it cannot be closed
        RuntimeError("unexpected"),
    ],
)
def test_unclear_call_is_reported(keeper: Keeper, mock_api: MockApi, ledger: Ledger, reply: t.Any) -> None:
    mock_api.expect_connect(A, reply)
    error = connect_error(keeper)
    assert states(keeper) == [State.UNCONFIRMED]
    recap = keeper.finish()
    assert (recap.opened, recap.closed, recap.left_open) == (0, 0, ())
    (call,) = recap.may_be_open
    assert (call.service, call.reason) == (A, error.message.removesuffix(f"; {MAY_BE_OPEN}"))
    assert datetime.datetime.strptime(call.at, "%Y-%m-%dT%H:%M:%SZ")
    assert ledger_events(ledger) == [("intent", 1, None)]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (refused("[0861]", 200), "not_found"),
        (WRONG_KEY, "auth"),
        (Reply({"status": "false"}), "api"),
        (refused("something new", 400), "api"),
        (not_sent, "network"),
    ],
)
def test_refused_call_opened_nothing(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, reply: t.Any, code: str
) -> None:
    mock_api.expect_connect(A, reply)
    assert connect_error(keeper).code == code
    assert states(keeper) == [State.FAILED]
    assert keeper.finish() == Recap()
    assert not os.path.exists(ledger.path)


@pytest.mark.parametrize("shown", [True, False])
def test_unclear_call_is_reconciled_with_the_sessions(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, shown: bool
) -> None:
    mock_api.expect_query({"serviceId": SERVICE}, requests.exceptions.ConnectionError())
    assert connect_error(keeper, SERVICE, who=WITH_GRAPHQL).as_failure()["may_be_open"]
    mock_api.expect_query({"id": [SERVICE]}, sessions(*(["id-x"] if shown else []), started=format_utc(utc_now())))
    if shown:
        mock_api.expect_query({"connectionId": "id-x", "serviceId": SERVICE}, Reply({"data": {"disconnect": True}}))
    recap = keeper.finish()
    assert (recap.opened, recap.closed, len(recap.may_be_open)) == ((1, 1, 0) if shown else (0, 0, 1))
    assert states(keeper) == [State.CLOSED if shown else State.UNCONFIRMED]
    assert os.path.exists(ledger.path)  # the call may still open a connection
    assert len(list_open_connections(os.path.dirname(ledger.path), None)) == (0 if shown else 1)


def refusal(message: str, status: int = 200) -> Reply:
    return Reply({"errors": [{"message": message}]}, status)


@pytest.mark.parametrize(
    "reply",
    [
        refusal("internal error"),
        refusal("internal error", 500),
        refusal("Request failed with status code 504"),
        refusal("socket hang up"),
        Reply({"message": "Request Timeout"}, 408),
    ],
)
@pytest.mark.parametrize(
    ("seconds", "listed", "state"),
    [(0, SERVICE, State.UNCONFIRMED), (300, SERVICE, State.FAILED), (300, A, State.UNCONFIRMED)],
)
def test_unclear_call_failed_if_it_is_settled(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, reply: Reply, seconds: int, listed: str, state: State
) -> None:
    """The API may open the connection after an error, at most four minutes after the call."""
    mock_api.expect_query({"serviceId": SERVICE}, reply)
    connect_error(keeper, SERVICE, who=WITH_GRAPHQL)
    (managed,) = keeper._registry.all
    managed.sent_at = format_utc(utc_now() - datetime.timedelta(seconds=seconds))
    mock_api.expect_query({"id": [SERVICE]}, sessions(service=listed))
    recap, is_unconfirmed = keeper.finish(), state is State.UNCONFIRMED
    assert [call.service for call in recap.may_be_open] == [SERVICE] * is_unconfirmed
    assert (recap.opened, recap.closed, recap.left_open) == (0, 0, ())
    assert states(keeper) == [state]
    assert os.path.exists(ledger.path) is is_unconfirmed


@pytest.mark.parametrize("trouble", ["ledgers", "sessions"])
def test_unclear_call_does_not_keep_other_connections_open(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, trouble: str
) -> None:
    """The sessions, or the ledgers of other runs, cannot be read."""
    open_connection(keeper, mock_api, "id-a")
    mock_api.expect_query({"serviceId": SERVICE}, requests.exceptions.ConnectionError())
    error = connect_error(keeper, SERVICE, who=WITH_GRAPHQL)
    mock_api.unordered = True
    mock_api.expect_disconnect(A, "id-a", STOPPED)
    if trouble == "ledgers":
        os.chmod(os.path.dirname(ledger.path), 0o777)
        mock_api.expect_query({"id": [SERVICE]}, sessions("id-x", started=format_utc(utc_now())))
    else:
        mock_api.expect_query({"id": [SERVICE]}, RuntimeError("unexpected"))
    recap = keeper.finish()
    assert (recap.opened, recap.closed) == (1, 1)
    (call,) = recap.may_be_open
    assert call.reason.startswith(error.message.removesuffix(MAY_BE_OPEN))
    assert len(call.reason) > len(error.message)
    assert states(keeper) == [State.CLOSED, State.UNCONFIRMED]
    assert os.path.exists(ledger.path)


# -- a response that arrives after the end of the run gave up waiting for it -------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Account:
    """Return an account for whose calls the end of the run does not wait."""
    monkeypatch.setattr(keeper_module, "SHUTDOWN_GRACE_SECONDS", 0.2)
    return Account(WITH_TOKEN, timeout=0.5)


@pytest.mark.parametrize(
    ("reply", "last_state"),
    [
        (opened(A, "id-late"), State.CLOSED),
        (refused("service is inactive", 200), State.FAILED),
        (Reply("<p>", 502), State.UNCONFIRMED),
        (opened(A, "id-late", "nonsense"), State.CLOSED),
    ],
)
def test_late_response_is_recorded(
    keeper: Keeper, mock_api: MockApi, impatient: Account, reply: Reply, last_state: State
) -> None:
    held = HeldReply(reply)
    mock_api.unordered = True
    mock_api.expect_connect(A, held)
    if last_state is State.CLOSED:
        mock_api.expect_disconnect(A, "id-late", *([WRONG_KEY] if "nonsense" in str(reply.body) else []), STOPPED)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        late = pool.submit(connect_all, keeper, A, who=impatient)
        assert held.arrived.wait(30)
        recap = keeper.finish()
        assert [call.service for call in recap.may_be_open] == [A]
        assert states(keeper) == [State.UNCONFIRMED]
        held.release.set()
        late.result(30)
    assert keeper._registry.all[0].disconnect_future is None or keeper._registry.all[0].disconnect_future.result(30)
    assert states(keeper) == [last_state]


@pytest.mark.parametrize("late_id", ["id-x", "id-y"])
def test_late_response_after_its_session_was_closed(
    keeper: Keeper, mock_api: MockApi, impatient: Account, late_id: str
) -> None:
    """The sessions show a connection, which may be another one than the response."""
    sent, gate = threading.Event(), threading.Event()
    fields = {"id": late_id, "host": "proxy18.rt3.io", "port": 37488, "reverseProxy": False, "timeout": 28800}

    def respond_late(request: requests.PreparedRequest) -> Reply:
        sent.set()
        gate.wait(30)
        return Reply({"data": {"connect": fields}})

    stopped = Reply({"data": {"disconnect": True}})
    mock_api.expect_query({"serviceId": SERVICE}, respond_late)
    mock_api.expect_query({"id": [SERVICE]}, sessions("id-x", started=format_utc(utc_now())))
    mock_api.expect_query({"connectionId": "id-x", "serviceId": SERVICE}, stopped)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        who = Account(WITH_ACCESS_KEY, timeout=0.5)
        late = pool.submit(connect_all, keeper, SERVICE, who=who)
        assert sent.wait(30)
        assert keeper.finish() == Recap(opened=1, closed=1)
        if late_id == "id-y":
            mock_api.expect_query({"connectionId": late_id, "serviceId": SERVICE}, stopped)
        gate.set()
        late.result(30)
    wait_until(lambda: set(states(keeper)) == {State.CLOSED})
    assert len(states(keeper)) == (1 if late_id == "id-x" else 2)
