# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper for ``remoteit_connect`` and ``remoteit_disconnect``: services, their leases, and second connections."""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import socket
import threading
import typing as t

import pytest
import requests
from support import wait_until

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import LATCHING, PUBLIC, Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import DEFAULT_API_URL, Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import ConnectOutcome
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.http import Transport
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.keeper import Keeper
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import State
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recap import EndedEarly, Recap
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import (
    KEY,
    PASSWORD,
    SERVICE,
    SERVICES,
    STOPPED,
    TOKEN,
    WITH_PASSWORD,
    WITH_TOKEN,
    HeldReply,
    MockApi,
    Reply,
    account,
    not_sent,
    opened,
    refused,
)
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.keeper.keeper_calls import (
    ACCOUNT,
    INTENT_BYTES,
    OFFLINE,
    WRONG_KEY,
    A,
    B,
    C,
    acquire,
    close_connection,
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
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.ledger.ledgers import (
    kill_keeper,
    record_connection,
)

ANOTHER_ACCOUNT = account(Credentials(DEFAULT_API_URL, "another key", token="another"))
ANOTHER_LOGIN = account(Credentials(DEFAULT_API_URL, KEY, token="another"))


# -- connect -----------------------------------------------------------------------------------------------------------


def test_connect_writes_the_intent_before_the_call(keeper: Keeper, mock_api: MockApi, ledger: Ledger) -> None:
    def respond(request: requests.PreparedRequest) -> Reply:
        assert states(keeper) == [State.CONNECTING]
        assert ledger_events(ledger) == [("intent", 1, None)]
        return opened(A, "id-a")

    mock_api.expect_connect(A, respond)
    connection = connect(keeper)
    assert (connection.deviceaddress, connection.connectionid, connection.reused) == (A, "id-a", False)
    assert ledger_events(ledger) == [("intent", 1, None), ("opened", 1, "id-a")]
    assert states(keeper) == [State.OPEN]


def test_connect_returns_each_outcome(keeper: Keeper, mock_api: MockApi, ledger: Ledger) -> None:
    mock_api.unordered = True
    mock_api.expect_connect(A, opened(A, "id-a"))
    mock_api.expect_connect(B, refused("[0861]", 200))
    outcomes = connect_all(keeper, A, B)
    assert (outcomes[A].connectionid, t.cast(t.Any, outcomes[B]).code) == ("id-a", "not_found")
    assert states(keeper) == [State.OPEN, State.FAILED]
    assert ("closed", 2, "refused") in ledger_events(ledger)
    mock_api.expect_disconnect(A, "id-a", STOPPED)
    assert keeper.finish() == Recap(opened=1, closed=1)
    assert not os.path.exists(ledger.path)


@pytest.mark.parametrize("again", [SERVICE, SERVICE.lower()])
def test_connect_reuses_an_open_connection(keeper: Keeper, mock_api: MockApi, alive: str, again: str) -> None:
    open_connection(keeper, mock_api, "id-a", alive, service=SERVICE)
    connection = connect(keeper, again)
    assert (connection.deviceaddress, connection.connectionid, connection.reused) == (again, "id-a", True)


def test_connect_reuses_a_reverse_proxy_without_a_probe(keeper: Keeper, mock_api: MockApi) -> None:
    mock_api.expect_connect(A, opened(A, "id-a", "https://does-not-exist.invalid"))
    connect(keeper)
    assert connect(keeper).reused


@pytest.mark.parametrize("other", [{"hostip": "203.0.113.7"}, {"who": ANOTHER_LOGIN}, {"reuse": False}])
def test_connect_does_not_reuse_across_options(
    keeper: Keeper, mock_api: MockApi, alive: str, other: dict[str, t.Any]
) -> None:
    mock_api.expect("POST", "/device/connect", opened(A, "id-1", alive), opened(A, "id-2", alive))
    connect(keeper)
    connection = connect(keeper, **other)
    assert (connection.connectionid, connection.reused) == ("id-2", False)


def test_connect_replaces_a_proxy_that_is_gone(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, alive: str, dead: str
) -> None:
    open_connection(keeper, mock_api, "id-1", dead)
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    connection = open_connection(keeper, mock_api, "id-2", alive)
    assert (connection.connectionid, connection.reused) == ("id-2", False)
    assert states(keeper) == [State.CLOSED, State.OPEN]
    assert ("closed", 1, "closed") in ledger_events(ledger)


def test_connect_replaces_a_connection_near_its_end(keeper: Keeper, mock_api: MockApi, alive: str) -> None:
    """The task that has registered its ID closes it."""
    mock_api.expect_connect(A, opened(A, "id-1", alive, expirationsec="200"))
    connect(keeper)
    connection = open_connection(keeper, mock_api, "id-2", alive)
    assert (connection.connectionid, connection.reused) == ("id-2", False)
    assert states(keeper) == [State.REPLACED, State.OPEN]
    close_connection(keeper, mock_api, "id-1")


def test_connect_moves_the_lease_of_a_host_to_the_new_connection(keeper: Keeper, mock_api: MockApi, alive: str) -> None:
    mock_api.expect_connect(A, opened(A, "id-1", alive, expirationsec="200"))
    connect(keeper, host="a")
    mock_api.unordered = True
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    assert open_connection(keeper, mock_api, "id-2", alive, host="a").connectionid == "id-2"
    mock_api.expect_disconnect(A, "id-2", STOPPED)
    assert release(keeper, "a") == {"id-2": "closed"}


def test_connect_tries_again_after_a_failure_and_a_close(keeper: Keeper, mock_api: MockApi, alive: str) -> None:
    mock_api.expect_connect(A, OFFLINE)
    assert connect_error(keeper).code == "offline"
    open_connection(keeper, mock_api, "id-1", alive)
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    disconnect(keeper, "id-1")
    mock_api.expect_connect(A, opened(A, "id-2", alive))
    assert not connect(keeper).reused
    assert states(keeper) == [State.FAILED, State.CLOSED, State.OPEN]


def test_connect_opens_once_for_concurrent_requests(keeper: Keeper, mock_api: MockApi, alive: str) -> None:
    together = threading.Barrier(8)

    def worker(number: int) -> Connection:
        together.wait(30)
        return connect(keeper, A, host=f"host-{number}")

    mock_api.expect_connect(A, opened(A, "id-a", alive))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        connections = list(pool.map(worker, range(8)))
    assert {connection.connectionid for connection in connections} == {"id-a"}
    assert sorted(connection.reused for connection in connections) == [False] + [True] * 7
    mock_api.expect_disconnect(A, "id-a", STOPPED)
    outcomes = [release(keeper, f"host-{number}") for number in range(8)]
    assert outcomes == [{"id-a": "still_used"}] * 7 + [{"id-a": "closed"}]


def test_connect_sends_nothing_without_a_ledger(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, full_disk: t.Callable[..., t.ContextManager[None]]
) -> None:
    with full_disk(ledger.path):
        assert connect_error(keeper).code == "api"
    assert mock_api.sent == []
    assert states(keeper) == [State.FAILED]


@pytest.mark.parametrize("detach", [False, True])
def test_connect_closes_what_it_cannot_record(
    keeper: Keeper,
    mock_api: MockApi,
    ledger: Ledger,
    full_disk: t.Callable[..., t.ContextManager[None]],
    detach: bool,
) -> None:
    """The intent fits on the disk. A teardown would believe that the connection has been idle."""
    mock_api.expect_connect(A, opened(A, "id-a"))
    mock_api.expect_disconnect(A, "id-a", STOPPED)
    with full_disk(ledger.path, room=INTENT_BYTES):
        error = connect_error(keeper, detach=detach)
    assert (error.outcome, error.connectionid) == (ConnectOutcome.REFUSED, None)
    assert states(keeper) == [State.CLOSED]
    assert keeper.finish() == Recap(opened=1, closed=1)


def test_connect_reports_what_it_cannot_record_and_close(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, full_disk: t.Callable[..., t.ContextManager[None]]
) -> None:
    mock_api.expect_connect(A, opened(A, "id-a"))
    mock_api.expect_disconnect(A, "id-a", WRONG_KEY, WRONG_KEY)
    with full_disk(ledger.path, room=INTENT_BYTES):
        error = connect_error(keeper, detach=True)
        assert (error.outcome, error.connectionid) == (ConnectOutcome.OPENED, "id-a")
        assert [left.connectionid for left in keeper.finish().left_open] == ["id-a"]
    assert os.path.exists(ledger.path)


def test_ledger_has_no_call_before_the_login(keeper: Keeper, mock_api: MockApi, ledger: Ledger) -> None:
    """If the keeper is killed during the login, no call can have opened a connection."""
    found: list[str] = []

    def log_in(request: requests.PreparedRequest) -> Reply:
        found.append(pathlib.Path(ledger.path).read_text())
        return Reply({"status": "true", "token": TOKEN})

    mock_api.expect("POST", "/user/login", log_in)
    mock_api.expect_connect(A, opened(A, "id-a"))
    connect(keeper, who=Account(WITH_PASSWORD))
    assert "intent" not in found[0]
    mock_api.expect_disconnect(A, "id-a", STOPPED)
    keeper.finish()


def test_ledger_has_no_secret(keeper: Keeper, mock_api: MockApi, ledger: Ledger) -> None:
    mock_api.expect("POST", "/user/login", Reply({"status": "true", "token": TOKEN}))
    mock_api.expect_connect(A, opened(A, "id-a"))
    connect(keeper, who=account(Credentials(DEFAULT_API_URL, KEY, username="someone", password=PASSWORD)))
    text = pathlib.Path(ledger.path).read_text()
    assert not any(secret in text for secret in (KEY, TOKEN, PASSWORD, "someone"))
    mock_api.expect_disconnect(A, "id-a", STOPPED)
    keeper.finish()


# -- one account, many tasks -----------------------------------------------------------------------------------------


def test_tasks_share_a_login_and_have_their_timeouts(keeper: Keeper, mock_api: MockApi) -> None:
    mock_api.expect("POST", "/user/login", Reply({"status": "true", "token": TOKEN}))
    for number, (service, timeout) in enumerate(((A, 60), (B, 5), (C, 90))):
        mock_api.expect_connect(service, opened(service, f"id-{number}"))
        who = Account(WITH_PASSWORD, timeout=timeout, concurrency=number + 1)
        assert connect(keeper, service, who=who).connectionid == f"id-{number}"
    assert [options["timeout"] for options in mock_api.options] == [60, 60, 5, 90]
    mock_api.expect_disconnect(A, "id-0", STOPPED)
    disconnect(keeper, "id-0", who=Account(WITH_PASSWORD, timeout=7))
    assert mock_api.options[-1]["timeout"] == 7
    mock_api.unordered = True
    mock_api.expect_disconnect(B, "id-1", STOPPED)
    mock_api.expect_disconnect(C, "id-2", STOPPED)
    keeper.finish()


@pytest.mark.parametrize("timeouts", [(20, 4), (4, 20)])
def test_prefetch_has_the_timeout_of_each_host(keeper: Keeper, mock_api: MockApi, timeouts: tuple[int, int]) -> None:
    services = dict(zip((A, B), timeouts))
    for service in services:
        mock_api.expect_connect(service, opened(service, f"id-of-{service}"))
    hosts = [host_request(service, service, Account(WITH_TOKEN, timeout=each)) for service, each in services.items()]
    mock_api.unordered = True
    keeper.prefetch("a play", 100, hosts)
    for host in hosts:
        acquire(keeper, host)
    sent = [json.loads(request.body or "")["deviceaddress"] for request in mock_api.sent]
    assert dict(zip(sent, (options["timeout"] for options in mock_api.options))) == services


def test_calls_wait_for_a_shared_login_with_their_own_timeouts(keeper: Keeper, mock_api: MockApi) -> None:
    """The login of the patient task takes longer than the other one waits for it."""
    held = HeldReply(Reply({"status": "true", "token": TOKEN}))
    mock_api.expect("POST", "/user/login", held)
    mock_api.expect_connect(A, opened(A, "id-a"))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        patient = pool.submit(connect, keeper, A, who=Account(WITH_PASSWORD, timeout=60))
        assert held.arrived.wait(30)
        assert connect_error(keeper, B, who=Account(WITH_PASSWORD, timeout=0.01)).code == "timeout"
        held.release.set()
        assert patient.result(30).connectionid == "id-a"


def test_login_that_was_too_short_is_repeated_with_a_longer_timeout(keeper: Keeper, mock_api: MockApi) -> None:
    held = HeldReply(Reply())
    mock_api.expect("POST", "/user/login", lambda request: held(request) and time_out())
    mock_api.expect("POST", "/user/login", Reply({"status": "true", "token": TOKEN}))
    mock_api.expect_connect(B, opened(B, "id-b"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        short = pool.submit(connect_error, keeper, A, who=Account(WITH_PASSWORD, timeout=5))
        assert held.arrived.wait(30)
        patient = pool.submit(connect, keeper, B, who=Account(WITH_PASSWORD, timeout=60, concurrency=2))
        wait_until(lambda: State.REQUESTED in states(keeper)[1:])
        held.release.set()
        assert short.result(30).code == "timeout"
        assert patient.result(30).connectionid == "id-b"


def time_out() -> Reply:
    raise requests.exceptions.ReadTimeout


def test_tasks_with_different_http_proxies_share_no_session(keeper: Keeper, mock_api: MockApi) -> None:
    for number, proxies in enumerate(({}, {"https": "http://one:3128"}, {"https": "http://two:3128"})):
        mock_api.expect_connect(A, opened(A, f"id-{number}"))
        connect(keeper, who=Account(WITH_TOKEN, Transport(proxies)), reuse=False)
        assert mock_api.options[-1]["proxies"].get("https") == proxies.get("https")


def test_tasks_with_different_http_proxies_share_no_failure(keeper: Keeper, mock_api: MockApi) -> None:
    """The environment of a task is not for the connection plugin."""
    mock_api.expect_connect(A, not_sent)
    assert connect_error(keeper, who=Account(WITH_TOKEN, Transport({"https": "http://one:3128"}))).code == "network"
    mock_api.expect_connect(A, opened(A, "id"))
    assert acquire(keeper, host_request("a", A))[1].connectionid == "id"


def test_tasks_share_the_largest_concurrency(keeper: Keeper, mock_api: MockApi) -> None:
    under_way, gate = threading.Barrier(3), threading.Event()

    def respond(request: requests.PreparedRequest) -> Reply:
        under_way.wait(30)
        gate.wait(30)
        service = json.loads(request.body or "")["deviceaddress"]
        return opened(service, f"id-of-{service}")

    def respond_after_one_of_them(request: requests.PreparedRequest) -> Reply:
        assert gate.is_set()
        return opened(SERVICES[3], "id-of-another")

    connect_all(keeper, who=account(concurrency=1))
    mock_api.unordered = True
    for service in (A, B):
        mock_api.expect_connect(service, respond)
    prefetch(keeper, A, B, who=account(concurrency=2))
    under_way.wait(30)
    mock_api.expect_connect(SERVICES[3], respond_after_one_of_them)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        last = pool.submit(connect, keeper, SERVICES[3], who=Account(WITH_TOKEN, timeout=5, concurrency=1))
        concurrent.futures.wait([last], 0.2)  # it has to wait for one of them
        gate.set()
        assert last.result(30).connectionid == "id-of-another"


# -- disconnect --------------------------------------------------------------------------------------------------------


def test_disconnect_closes_with_the_last_lease(keeper: Keeper, mock_api: MockApi, ledger: Ledger, alive: str) -> None:
    open_connection(keeper, mock_api, "id-a", alive)
    connect(keeper)
    assert disconnect(keeper, "id-a") == "still_used"
    close_connection(keeper, mock_api, "id-a")
    assert disconnect(keeper, "id-a") == "already_closed"  # without a call
    assert [event for event in ledger_events(ledger) if event[0] == "closed"] == [("closed", 1, "closed")]


def test_host_has_one_lease(keeper: Keeper, mock_api: MockApi, alive: str) -> None:
    mock_api.expect_connect(A, opened(A, "id-a", alive))
    for _unused in range(3):
        connect(keeper, host="a")
    mock_api.expect_disconnect(A, "id-a", STOPPED)
    assert release(keeper, "a") == {"id-a": "closed"}
    assert release(keeper, "a") == {}


def test_disconnect_leaves_the_lease_of_a_host(keeper: Keeper, mock_api: MockApi) -> None:
    open_connection(keeper, mock_api, "id-a", host="a")
    assert release(keeper, "b") == {}
    assert disconnect(keeper, "id-a") == "still_used"


def ledger_of_another_run(connectionid: str, ledger: Ledger) -> Ledger:
    """Return the ledger of a run to which the vendor has given the same connection."""
    another, _unused = Ledger.begin(os.path.dirname(ledger.path), "another-run")
    another.intent(7, A, ACCOUNT.credentials.url, ACCOUNT.credentials.fingerprint())
    another.opened(7, Connection(A, connectionid, "http://p:1", "p", 1, "tcp", False, "caller"), detached=False)
    return another


def test_disconnect_leaves_what_another_run_uses(keeper: Keeper, mock_api: MockApi, ledger: Ledger) -> None:
    for service, connectionid in ((A, "id-a"), (B, "id-b")):
        mock_api.expect_connect(service, opened(service, connectionid))
        connect(keeper, service)
    another = ledger_of_another_run("id-a", ledger)
    for _unused in range(2):
        assert disconnect(keeper, "id-a") == "still_used"
    assert states(keeper) == [State.LEFT, State.OPEN]
    mock_api.expect_disconnect(B, "id-b", STOPPED)
    assert keeper.finish() == Recap(opened=1, closed=1)
    assert os.listdir(os.path.dirname(ledger.path)) == [os.path.basename(another.path)]


def test_two_runs_on_a_full_disk_do_not_leave_it_to_each_other(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, full_disk: t.Callable[..., t.ContextManager[None]]
) -> None:
    """The other run cannot see that this one does not need the connection any more."""
    open_connection(keeper, mock_api, "id-a")
    another = ledger_of_another_run("id-a", ledger)
    with full_disk(ledger.path):
        assert disconnect(keeper, "id-a") == "api"
        assert states(keeper) == [State.CLOSE_FAILED]
    another.closing(7)
    mock_api.expect_disconnect(A, "id-a", STOPPED)
    assert keeper.finish() == Recap(opened=1, closed=1)


@pytest.mark.parametrize("other_run", ["closing", "closed", "killed", "unreadable"])
def test_disconnect_closes_what_no_other_run_uses(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, other_run: str
) -> None:
    open_connection(keeper, mock_api, "id-a")
    another = ledger_of_another_run("id-a", ledger)
    if other_run == "closing":
        another.closing(7)
    elif other_run == "closed":
        another.closed(7, "closed")
    elif other_run == "killed":
        another._file.close()
    else:
        os.chmod(os.path.dirname(ledger.path), 0o777)
    close_connection(keeper, mock_api, "id-a")


def test_disconnect_reads_ledgers_beside_an_unreadable_one(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, unreadable: t.Callable[[str], None]
) -> None:
    foreign, _unused = Ledger.begin(os.path.dirname(ledger.path), "a-run-of-another-user")
    unreadable(foreign.path)
    open_connection(keeper, mock_api, "id-a")
    another = ledger_of_another_run("id-a", ledger)
    assert disconnect(keeper, "id-a") == "still_used"
    another.remove()


@pytest.mark.parametrize(
    ("reply", "outcome"), [(STOPPED, "closed"), (WRONG_KEY, "auth"), (RuntimeError("unexpected"), "api")]
)
def test_disconnect_closes_a_connection_of_another_run(
    keeper: Keeper, mock_api: MockApi, reply: t.Any, outcome: str
) -> None:
    mock_api.expect_disconnect(A, "id-of-another-run", reply)
    assert disconnect(keeper, "id-of-another-run") == outcome


@pytest.mark.parametrize(
    ("proxy", "who", "outcome"),
    [("listens", ACCOUNT, "api"), ("refuses", ACCOUNT, "already_closed"), ("listens", ANOTHER_LOGIN, "auth")],
)
def test_disconnect_checks_the_ledger_of_another_run(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, listener: socket.socket, proxy: str, who: Account, outcome: str
) -> None:
    """The API reports an open connection of another login as unknown."""
    address = listener.getsockname() if proxy == "listens" else ("127.0.0.1", 1)
    another, _unused = Ledger.begin(os.path.dirname(ledger.path), "another-run")
    record_connection(another, 7, "id-b", ACCOUNT.credentials.fingerprint(), proxy=address)
    kill_keeper(another)
    mock_api.expect_unknown(SERVICE, "id-b")
    assert disconnect(keeper, "id-b", SERVICE, who) == outcome
    kinds = [kind for kind, *_unused in ledger_events(another)]
    assert kinds == ["intent", "opened", *{"api": ["responded"], "already_closed": ["closed"]}.get(outcome, [])]


def test_disconnect_records_the_end_in_the_ledger_of_another_run(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger
) -> None:
    """Otherwise a later teardown with another token could not know it."""
    another, _unused = Ledger.begin(os.path.dirname(ledger.path), "another-run")
    record_connection(another, 7, "id-b", ACCOUNT.credentials.fingerprint(), proxy=("127.0.0.1", 1))
    kill_keeper(another)
    mock_api.expect_disconnect(SERVICE, "id-b", STOPPED)
    assert disconnect(keeper, "id-b", SERVICE) == "closed"
    mock_api.expect_unknown(SERVICE, "id-b")
    assert disconnect(keeper, "id-b", SERVICE, ANOTHER_LOGIN) == "already_closed"


def test_disconnect_of_an_unknown_connection_proves_nothing(keeper: Keeper, mock_api: MockApi) -> None:
    mock_api.expect_unknown(A, "id-of-another-login")
    assert disconnect(keeper, "id-of-another-login") == "not_known"


def test_disconnect_with_another_login(keeper: Keeper, mock_api: MockApi, dead: str) -> None:
    """To another login the API reports an open connection as unknown."""
    for connectionid in ("id-1", "id-2"):
        mock_api.expect_connect(A, opened(A, connectionid, dead))
        connect(keeper, reuse=False)
    mock_api.expect_unknown(A, "id-1")
    assert disconnect(keeper, "id-1", who=ANOTHER_LOGIN) == "auth"
    mock_api.expect_disconnect(A, "id-2", STOPPED)
    assert disconnect(keeper, "id-2", who=ANOTHER_LOGIN) == "closed"
    assert states(keeper) == [State.OPEN, State.OPEN]


def test_disconnect_tries_again_after_a_failure(keeper: Keeper, mock_api: MockApi) -> None:
    open_connection(keeper, mock_api, "id-a")
    mock_api.expect_disconnect(A, "id-a", WRONG_KEY, STOPPED)
    assert disconnect(keeper, "id-a") == "auth"
    assert states(keeper) == [State.CLOSE_FAILED]
    assert disconnect(keeper, "id-a") == "closed"
    assert keeper.finish() == Recap(opened=1, closed=1)


def test_disconnect_ends_control_masters_first(keeper: Keeper, mock_api: MockApi, run: Run) -> None:
    open_connection(keeper, mock_api, "id-a")
    directory = pathlib.Path(run.control_path_dir("id-a"))
    directory.mkdir(parents=True)

    def respond(request: requests.PreparedRequest) -> Reply:
        assert states(keeper) == [State.CLOSING]
        assert not directory.exists()
        return STOPPED

    mock_api.expect_disconnect(A, "id-a", respond)
    assert disconnect(keeper, "id-a") == "closed"


def test_disconnect_despite_an_unreadable_control_directory(keeper: Keeper, mock_api: MockApi, run: Run) -> None:
    open_connection(keeper, mock_api, "id-a")
    os.mkdir(run.runtime_dir)
    os.symlink("nowhere", os.path.join(run.runtime_dir, "nowhere"))
    os.symlink("nowhere", run.control_path_dir("id-a"))
    close_connection(keeper, mock_api, "id-a")


def test_disconnect_returns_an_outcome_for_each_name(keeper: Keeper, mock_api: MockApi) -> None:
    open_connection(keeper, mock_api, "id-a", service=SERVICE)
    mock_api.expect_disconnect(SERVICE, "id-a", STOPPED)
    refs = [(SERVICE, "id-a"), (SERVICE.lower(), "id-a")]
    assert sorted(ref for ref, _unused in keeper.release_services(ACCOUNT, refs)) == sorted(refs)


@pytest.mark.parametrize(
    "other", [{}, {"hostip": "203.0.113.7"}, {"reuse": False}, {"who": ANOTHER_LOGIN}], ids=lambda other: str(*other)
)
def test_connect_waits_for_the_stop_of_the_same_service(
    keeper: Keeper, mock_api: MockApi, alive: str, other: dict[str, t.Any]
) -> None:
    """The vendor might return the connection that is being stopped."""
    held = HeldReply(STOPPED)

    def respond_to_connect(request: requests.PreparedRequest) -> Reply:
        assert held.release.is_set()
        return opened(A, "id-1", alive)

    open_connection(keeper, mock_api, "id-1", alive)
    mock_api.expect_disconnect(A, "id-1", held)
    mock_api.expect("POST", "/device/connect", respond_to_connect)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        closed = pool.submit(disconnect, keeper, "id-1")
        assert held.arrived.wait(30)
        again = pool.submit(connect, keeper, **other)
        concurrent.futures.wait([again], 0.2)  # it has to wait for the stop
        held.release.set()
        assert (closed.result(30), again.result(30).reused) == ("closed", False)
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    assert keeper.finish() == Recap(opened=2, closed=2)


@pytest.mark.parametrize(
    ("returned", "outcome", "last_states"),
    [("id-1", "still_used", [State.OPEN, State.MERGED]), ("id-2", "closed", [State.CLOSED, State.OPEN])],
)
def test_disconnect_waits_for_a_connect_call_of_the_same_service(
    keeper: Keeper, mock_api: MockApi, alive: str, returned: str, outcome: str, last_states: list[State]
) -> None:
    """The vendor might return the connection, which the stop would close."""
    held = HeldReply(opened(A, returned, alive))
    open_connection(keeper, mock_api, "id-1", alive)
    mock_api.expect_connect(A, held)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        again = pool.submit(connect, keeper, reuse=False)
        assert held.arrived.wait(30)
        closed = pool.submit(disconnect, keeper, "id-1")
        wait_until(lambda: states(keeper) == [State.DRAINING, State.CONNECTING])
        if outcome == "closed":
            mock_api.expect_disconnect(A, "id-1", STOPPED)
        held.release.set()
        assert (closed.result(30), again.result(30).connectionid) == (outcome, returned)
    assert states(keeper) == last_states


def test_disconnect_ends_if_the_ledger_fails(keeper: Keeper, mock_api: MockApi, ledger: Ledger) -> None:
    """An unexpected error after the stop call does not let the task wait forever."""
    outcomes: list[t.Any] = []

    def respond(request: requests.PreparedRequest) -> Reply:
        ledger._file.close()
        return STOPPED

    open_connection(keeper, mock_api, "id-1")
    mock_api.expect_disconnect(A, "id-1", respond)
    results = keeper.release_services(ACCOUNT, [(A, "id-1")])
    stopped = threading.Thread(target=lambda: outcomes.extend(results), daemon=True)
    stopped.start()
    stopped.join(10)
    assert outcomes == [((A, "id-1"), "closed")]
    assert keeper.finish() == Recap(opened=1, closed=1)


def test_connect_closes_a_connection_of_a_removed_ledger(keeper: Keeper, mock_api: MockApi, ledger: Ledger) -> None:
    def respond(request: requests.PreparedRequest) -> Reply:
        os.unlink(ledger.path)
        return opened(A, "id-1")

    mock_api.expect_connect(A, respond)
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    assert connect_error(keeper).outcome is ConnectOutcome.REFUSED
    assert states(keeper) == [State.CLOSED]


def test_connect_hands_out_nothing_if_the_ledger_fails(keeper: Keeper, mock_api: MockApi, ledger: Ledger) -> None:
    def respond(request: requests.PreparedRequest) -> Reply:
        ledger._file.close()
        return opened(A, "id-1")

    mock_api.expect_connect(A, respond)
    assert connect_error(keeper).connectionid == "id-1"
    assert states(keeper) == [State.CLOSE_FAILED]


# -- a connection that cannot be used ----------------------------------------------------------------------------------


def test_unusable_connection_is_stopped_at_once(keeper: Keeper, mock_api: MockApi, ledger: Ledger) -> None:
    mock_api.expect_connect(A, opened(A, "id-a", "nonsense"))
    mock_api.expect_disconnect(A, "id-a", STOPPED)
    assert connect_error(keeper).code == "bad_answer"
    assert states(keeper) == [State.FAILED]
    assert keeper.finish() == Recap()
    assert not os.path.exists(ledger.path)


@pytest.mark.parametrize("host", [None, "a"])
def test_unusable_connection_is_stopped_again(keeper: Keeper, mock_api: MockApi, host: str | None) -> None:
    """The stop is repeated with the release of its host, or at the end of the run."""
    mock_api.expect_connect(A, opened(A, "id-a", "nonsense"))
    mock_api.expect_disconnect(A, "id-a", WRONG_KEY, STOPPED)
    assert connect_error(keeper, host=host).connectionid == "id-a"
    assert states(keeper) == [State.UNUSABLE]
    if host is not None:
        assert release(keeper, host) == {"id-a": "closed"}
    assert keeper.finish() == Recap(opened=1, closed=1)


def test_unusable_connection_is_not_handed_out(keeper: Keeper, mock_api: MockApi, alive: str) -> None:
    """The vendor may return it again, this time in a valid form."""
    mock_api.expect_connect(A, opened(A, "id-a", "nonsense"))
    mock_api.expect_disconnect(A, "id-a", WRONG_KEY)
    connect_error(keeper)
    assert open_connection(keeper, mock_api, "id-a", alive).host == "127.0.0.1"
    assert connect(keeper).reused
    assert states(keeper) == [State.MERGED, State.OPEN]
    mock_api.expect_disconnect(A, "id-a", STOPPED)
    assert keeper.finish() == Recap(opened=1, closed=1)


def test_unusable_response_does_not_replace_an_open_connection(keeper: Keeper, mock_api: MockApi, alive: str) -> None:
    """The API returns the ID of an open connection in an invalid form."""
    open_connection(keeper, mock_api, "id-a", alive)
    mock_api.expect_connect(A, opened(A, "id-a", "nonsense"))
    mock_api.expect_disconnect(A, "id-a", WRONG_KEY, STOPPED)
    assert connect_error(keeper, reuse=False).connectionid == "id-a"
    assert states(keeper) == [State.OPEN, State.MERGED]
    assert keeper.finish() == Recap(opened=1, closed=1)


# -- a second connection to one service: see second_connect.py ---------------------------------------------------------


def test_second_connect_returns_the_same_connection(keeper: Keeper, mock_api: MockApi, alive: str) -> None:
    """It counts once, and is closed with its last lease."""
    open_connection(keeper, mock_api, "id-1", alive)
    open_connection(keeper, mock_api, "id-1", alive, reuse=False)
    assert states(keeper) == [State.OPEN, State.MERGED]
    assert disconnect(keeper, "id-1") == "still_used"
    close_connection(keeper, mock_api, "id-1")
    assert keeper.finish() == Recap(opened=1, closed=1)


def test_second_connect_gives_a_host_no_second_lease(keeper: Keeper, mock_api: MockApi, alive: str) -> None:
    mock_api.expect("POST", "/device/connect", opened(A, "id-1", alive), opened(A, "id-1", alive))
    connect(keeper, host="a")
    connect(keeper, host="a", hostip="203.0.113.7")
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    assert release(keeper, "a") == {"id-1": "closed"}


def test_second_connect_with_detach_detaches_the_same_connection(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, alive: str
) -> None:
    open_connection(keeper, mock_api, "id-1", alive)
    open_connection(keeper, mock_api, "id-1", alive, reuse=False, detach=True)
    assert keeper.finish() == Recap(opened=1, closed=0)
    assert pathlib.Path(ledger.path).exists()


def test_second_connect_returns_an_id_that_was_closed(keeper: Keeper, mock_api: MockApi, alive: str) -> None:
    for _unused in range(2):
        mock_api.expect_connect(A, opened(A, "id-1", alive))
        connect(keeper)
        mock_api.expect_disconnect(A, "id-1", STOPPED)
        assert disconnect(keeper, "id-1") == "closed"
    assert states(keeper) == [State.CLOSED, State.CLOSED]


def test_second_connect_returns_an_id_whose_stop_failed(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, dead: str
) -> None:
    open_connection(keeper, mock_api, "id-1", dead)
    mock_api.expect_disconnect(A, "id-1", refused("not now", 400))
    assert disconnect(keeper, "id-1") == "api"
    open_connection(keeper, mock_api, "id-1", dead)
    assert states(keeper) == [State.MERGED, State.OPEN]
    close_connection(keeper, mock_api, "id-1")
    assert keeper.finish() == Recap(opened=1, closed=1)
    assert not os.path.exists(ledger.path)


@pytest.mark.parametrize("proxy", ["alive", "dead"])
def test_second_connect_ends_the_older_connection(
    keeper: Keeper, mock_api: MockApi, request: pytest.FixtureRequest, proxy: str
) -> None:
    """The API reports that. A stop is sent to make sure, although the new connection can have the same address."""
    url = request.getfixturevalue(proxy)
    open_connection(keeper, mock_api, "id-1", url)
    mock_api.expect_connect(A, opened(A, "id-2", url, connectionOverridden="true"))
    mock_api.unordered = True
    mock_api.expect_unknown(A, "id-1")
    connect(keeper, reuse=False)
    assert disconnect(keeper, "id-1") == "already_closed"
    mock_api.expect_disconnect(A, "id-2", STOPPED)
    assert keeper.finish() == Recap(opened=2, closed=2)


def test_second_connect_leaves_the_connection_of_another_account(keeper: Keeper, mock_api: MockApi, dead: str) -> None:
    open_connection(keeper, mock_api, "id-1", dead, who=ANOTHER_ACCOUNT)
    mock_api.expect_connect(A, opened(A, "id-2", dead, connectionOverridden="true"))
    connect(keeper)
    assert states(keeper) == [State.OPEN, State.OPEN]
    mock_api.unordered = True
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    mock_api.expect_disconnect(A, "id-2", STOPPED)
    assert keeper.finish() == Recap(opened=2, closed=2)


def test_services_may_have_connections_with_one_id(keeper: Keeper, mock_api: MockApi) -> None:
    for service in (A, B):
        mock_api.expect_connect(service, opened(service, "id-a"))
        assert connect(keeper, service).deviceaddress == service
    mock_api.unordered = True
    mock_api.expect_disconnect(A, "id-a", STOPPED)
    mock_api.expect_disconnect(B, "id-a", STOPPED)
    assert keeper.finish() == Recap(opened=2, closed=2)


def test_disconnect_reports_a_connection_that_ended_early(keeper: Keeper, mock_api: MockApi, dead: str) -> None:
    open_connection(keeper, mock_api, "id-1", dead)
    mock_api.expect_unknown(A, "id-1")
    assert disconnect(keeper, "id-1") == "already_closed"
    assert keeper.finish() == Recap(opened=1, closed=1, ended_early=(EndedEarly(A, None, "id-1"),))


@pytest.mark.parametrize("hostip", [None, LATCHING, PUBLIC, "192.0.2.7"])
def test_disconnect_fails_while_the_proxy_responds(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, alive: str, hostip: str | None
) -> None:
    """The API does not know the connection, but it is open."""
    mock_api.expect("POST", "/device/connect", opened(A, "id-1", alive))
    connect(keeper, hostip=hostip)
    mock_api.expect_unknown(A, "id-1")
    mock_api.expect_disconnect(A, "id-1", *[refused("<error message>")] * 2)  # the proof is recent
    assert disconnect(keeper, "id-1") == "api"
    assert [left.connectionid for left in keeper.finish().left_open] == ["id-1"]
    assert '"responded"' in pathlib.Path(ledger.path).read_text()


# -- detach ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opened_before", [False, True])
def test_detached_connection_outlives_the_run(
    keeper: Keeper, mock_api: MockApi, ledger: Ledger, alive: str, opened_before: bool
) -> None:
    mock_api.expect_connect(A, opened(A, "id-1", alive))
    if opened_before:
        connect(keeper)
    assert connect(keeper, detach=True).reused is opened_before
    assert keeper.finish() == Recap(opened=1, closed=0)
    detached = [("detached", 1, None)] if opened_before else []
    assert ledger_events(ledger) == [("intent", 1, None), ("opened", 1, "id-1"), *detached]


@pytest.mark.parametrize(("seconds", "reuse"), [("28797", False), ("200", True)])
def test_detach_does_not_keep_the_replaced_connection(
    keeper: Keeper, mock_api: MockApi, alive: str, seconds: str, reuse: bool
) -> None:
    """A new one was requested, or the old one is near its end."""
    mock_api.expect_connect(A, opened(A, "id-1", alive, expirationsec=seconds))
    connect(keeper)
    assert open_connection(keeper, mock_api, "id-2", alive, detach=True, reuse=reuse).connectionid == "id-2"
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    assert keeper.finish() == Recap(opened=2, closed=1)
