# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper for the connection plugin: commands, leases of hosts, probes, and opening ahead."""

from __future__ import annotations

import concurrent.futures
import contextlib
import socket
import threading
import typing as t

import pytest
import requests
from support import wait_until

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import LATCHING
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import NotFoundError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.keeper import Keeper
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import (
    MAX_FAILURE_SECONDS,
    State,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recap import Recap
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import (
    STOPPED,
    HeldReply,
    MockApi,
    Reply,
    opened,
    refused,
    rest_row,
)
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.keeper.keeper_calls import (
    OFFLINE,
    A,
    B,
    C,
    D,
    acquire,
    acquire_error,
    await_connects,
    close_connection,
    connect,
    connect_error,
    disconnect,
    host_request,
    ledger_events,
    open_connection,
    prefetch,
    release,
    states,
)

#: A connection with so many seconds left is not handed out again.
NEAR_END = "200"


# -- commands ----------------------------------------------------------------------------------------------------------


def test_acquire_opens_one_connection_for_a_service(keeper: Keeper, mock_api: MockApi, ledger: Ledger) -> None:
    mock_api.expect_connect(A, opened(A, "id-1"))
    for host, service in (("a", A), ("a", A), ("alias-of-a", A.lower())):
        lease, connection = acquire(keeper, host_request(host, service))
        assert connection.connectionid == "id-1"
        keeper.release_lease(lease)
    assert ledger_events(ledger) == [("intent", 1, None), ("opened", 1, "id-1")]
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    assert keeper.finish() == Recap(opened=1, closed=1)


def test_acquire_opens_once_for_concurrent_commands(keeper: Keeper, mock_api: MockApi) -> None:
    together = threading.Barrier(8)

    def worker(number: int) -> str:
        together.wait(30)
        lease, connection = acquire(keeper, host_request(f"host-{number}", A))
        keeper.release_lease(lease)
        return connection.connectionid

    mock_api.expect_connect(A, opened(A, "id-1"))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(worker, range(8))) == {"id-1"}


def test_acquire_shares_the_connection_of_a_task(keeper: Keeper, mock_api: MockApi) -> None:
    open_connection(keeper, mock_api, "id-1")
    assert acquire(keeper, host_request("a", A))[1].connectionid == "id-1"


def test_acquire_keeps_other_restrictions_apart(keeper: Keeper, mock_api: MockApi) -> None:
    body = {"deviceaddress": A, "wait": "true"}
    mock_api.expect("POST", "/device/connect", opened(A, "id-1"), body=body)
    mock_api.expect("POST", "/device/connect", opened(A, "id-2"), body={**body, "hostip": "203.0.113.7"})
    for hostip, expected in ((None, "id-1"), ("203.0.113.7", "id-2")):
        assert acquire(keeper, host_request("a", A, hostip=hostip))[1].connectionid == expected


def test_acquire_leases_the_connection_that_is_returned_again(keeper: Keeper, mock_api: MockApi) -> None:
    mock_api.expect("POST", "/device/connect", opened(A, "id-1"), opened(A, "id-1"))
    first, _unused = acquire(keeper, host_request("a", A))
    second, _unused = acquire(keeper, host_request("b", A, hostip="203.0.113.7"))
    assert second.connection is first.connection
    assert first.connection.commands == 2


def test_acquire_finds_a_service_by_name_once(keeper: Keeper, mock_api: MockApi) -> None:
    listed = Reply({"status": "true", "devices": [rest_row(A, "kiosk-1")]})
    mock_api.expect("GET", "/device/list/all", listed)
    mock_api.expect_connect(A, opened(A, "id-1"))
    kiosk = ServiceName.parse("kiosk-1", application="ssh")
    for _unused in range(2):
        assert acquire(keeper, host_request("a", None, target=kiosk))[1].deviceaddress == A
    mock_api.expect("GET", "/device/list/all", listed)
    with pytest.raises(NotFoundError):
        keeper.acquire_host(host_request("b", None, target=ServiceName.parse("kiosk-2", application="ssh")))


@pytest.mark.parametrize("first", ["acquire", "remoteit_connect", "prefetch"])
def test_acquire_reports_a_failure_once(keeper: Keeper, mock_api: MockApi, first: str) -> None:
    """The next command tries again."""
    mock_api.expect_connect(A, OFFLINE)
    if first == "remoteit_connect":
        assert connect_error(keeper, A, host="a").code == "offline"
    elif first == "prefetch":
        prefetch(keeper, A)
    assert acquire_error(keeper, host_request("a", A)) == "offline"
    mock_api.expect_connect(A, opened(A, "id-1"))
    assert acquire(keeper, host_request("a", A))[1].connectionid == "id-1"


def test_record_host_failure_returns_the_first_host(keeper: Keeper) -> None:
    hosts = [
        keeper.record_host_failure(message, host) for message, host in (("why", "a"), ("why", "b"), ("other", "b"))
    ]
    assert hosts == ["a", "a", "b"]


def test_control_path_dir_of_a_host_with_a_connection(keeper: Keeper, mock_api: MockApi, run: Run) -> None:
    mock_api.expect_connect(A, opened(A, "id-1"))
    mock_api.expect_connect(B, OFFLINE)
    acquire(keeper, host_request("a", A))
    acquire_error(keeper, host_request("b", B))
    directories = [keeper.control_path_dir_of(host) for host in ("a", "b", "c")]
    assert directories == [run.control_path_dir("id-1"), None, None]


# -- replacing ---------------------------------------------------------------------------------------------------------


def test_acquire_replaces_a_refused_connection(keeper: Keeper, mock_api: MockApi) -> None:
    mock_api.expect_connect(A, opened(A, "id-1"))
    refused_lease, _unused = acquire(keeper, host_request("a", A))
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    mock_api.expect_connect(A, opened(A, "id-2"))
    lease, connection = acquire(keeper, host_request("a", A), replaces=refused_lease)
    keeper.release_lease(refused_lease)
    assert connection.connectionid == "id-2"
    assert states(keeper) == [State.CLOSED, State.OPEN]
    # a host that the same proxy refused gets the new connection
    mock_api.verify()
    assert acquire(keeper, host_request("b", A), replaces=refused_lease)[0].connection is lease.connection


def test_acquire_replaces_once_for_concurrent_refusals(keeper: Keeper, mock_api: MockApi) -> None:
    together = threading.Barrier(4)
    mock_api.expect_connect(A, opened(A, "id-1"))
    refused_lease, _unused = acquire(keeper, host_request("a", A))

    def worker(number: int) -> str:
        together.wait(30)
        return acquire(keeper, host_request(f"host-{number}", A), replaces=refused_lease)[1].connectionid

    mock_api.expect_disconnect(A, "id-1", STOPPED)
    mock_api.expect_connect(A, opened(A, "id-2"))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(worker, range(4))) == {"id-2"}


def test_refused_connection_is_kept_for_other_commands(keeper: Keeper, mock_api: MockApi) -> None:
    """They may run over a control master, which needs no new TCP connection."""
    mock_api.expect_connect(A, opened(A, "id-1"))
    running, _unused = acquire(keeper, host_request("a", A))
    refused_lease, _unused = acquire(keeper, host_request("b", A))
    mock_api.expect_connect(A, opened(A, "id-2"))
    assert acquire(keeper, host_request("b", A), replaces=refused_lease)[1].connectionid == "id-2"
    assert states(keeper) == [State.REPLACED, State.OPEN]
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    keeper.release_lease(running)
    wait_until(lambda: states(keeper) == [State.CLOSED, State.OPEN])


def test_replaced_connection_is_closed_after_its_command(keeper: Keeper, mock_api: MockApi) -> None:
    mock_api.expect_connect(A, opened(A, "id-1", expirationsec=NEAR_END))
    running, _unused = acquire(keeper, host_request("a", A))
    mock_api.expect_connect(A, opened(A, "id-2"))
    assert acquire(keeper, host_request("a", A))[1].connectionid == "id-2"
    assert states(keeper) == [State.REPLACED, State.OPEN]
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    keeper.release_lease(running)
    wait_until(lambda: states(keeper) == [State.CLOSED, State.OPEN])


@pytest.mark.parametrize("returned", ["id-1", "id-2"])
def test_replaced_connection_is_kept_until_the_next_is_open(keeper: Keeper, mock_api: MockApi, returned: str) -> None:
    """The vendor might return it, so its command may end without closing it."""
    held = HeldReply(opened(A, returned))
    mock_api.expect_connect(A, opened(A, "id-1", expirationsec=NEAR_END))
    running, _unused = acquire(keeper, host_request("a", A))
    mock_api.expect_connect(A, held)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        acquiring = pool.submit(acquire, keeper, host_request("b", A))
        assert held.arrived.wait(30)
        keeper.release_lease(running)
        assert states(keeper) == [State.DRAINING, State.CONNECTING]
        if returned == "id-2":
            mock_api.expect_disconnect(A, "id-1", STOPPED)
        held.release.set()
        assert acquiring.result(30)[1].connectionid == returned
    last_states = {"id-1": [State.OPEN, State.MERGED], "id-2": [State.CLOSED, State.OPEN]}[returned]
    wait_until(lambda: states(keeper) == last_states)


def test_replaced_connection_is_used_again_if_it_is_returned(
    keeper: Keeper, mock_api: MockApi, alive: str, dead: str
) -> None:
    """The response has its new address and the time that it has left."""
    mock_api.expect_connect(A, opened(A, "id-1", dead, expirationsec=NEAR_END))
    running, _unused = acquire(keeper, host_request("a", A))
    mock_api.expect_connect(A, opened(A, "id-1", alive))
    lease, connection = acquire(keeper, host_request("a", A))
    assert states(keeper) == [State.OPEN, State.MERGED]
    assert acquire(keeper, host_request("b", A))[1] == connection  # without a call
    for command in (running, lease):
        keeper.release_lease(command)
    assert states(keeper) == [State.OPEN, State.MERGED]
    assert connect(keeper).proxy == alive
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    assert keeper.finish() == Recap(opened=1, closed=1)


def test_replaced_connection_is_left_to_its_task(keeper: Keeper, mock_api: MockApi) -> None:
    """The task that has registered its ID closes it."""
    mock_api.expect_connect(A, opened(A, "id-1", expirationsec=NEAR_END))
    connect(keeper)
    mock_api.expect_connect(A, opened(A, "id-2"))
    assert acquire(keeper, host_request("a", A))[1].connectionid == "id-2"
    mock_api.verify()
    close_connection(keeper, mock_api, "id-1")


# -- leases ------------------------------------------------------------------------------------------------------------


def test_release_hosts_closes_with_the_last_host(keeper: Keeper, mock_api: MockApi, alive: str) -> None:
    mock_api.expect_connect(A, opened(A, "id-1", alive))
    for host in ("a", "b"):
        connect(keeper, host=host)
    assert release(keeper, "a") == {"id-1": "still_used"}
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    assert release(keeper, "a", "b", "c") == {"id-1": "closed"}


def test_release_hosts_closes_the_one_that_replaced_it(keeper: Keeper, mock_api: MockApi) -> None:
    open_connection(keeper, mock_api, "id-1", host="a")
    refused_lease, _unused = acquire(keeper, host_request("a", A))
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    mock_api.expect_connect(A, opened(A, "id-2"))
    lease, _unused = acquire(keeper, host_request("a", A), replaces=refused_lease)
    keeper.release_lease(refused_lease)
    keeper.release_lease(lease)
    mock_api.expect_disconnect(A, "id-2", STOPPED)
    assert release(keeper, "a") == {"id-2": "closed"}


def test_release_hosts_leaves_what_the_plugin_opened(keeper: Keeper, mock_api: MockApi) -> None:
    """It has no lease, and stays open until the run ends."""
    mock_api.expect_connect(A, opened(A, "id-1"))
    keeper.release_lease(acquire(keeper, host_request("a", A))[0])
    assert release(keeper, "a") == {}
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    assert keeper.finish() == Recap(opened=1, closed=1)


def test_release_hosts_closes_what_is_being_opened(keeper: Keeper, mock_api: MockApi) -> None:
    """The task that opens it was killed, for example after its ``timeout``."""
    held = HeldReply(opened(A, "id-1"))
    mock_api.expect_connect(A, held)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        connecting = pool.submit(connect, keeper, A, host="a")
        assert held.arrived.wait(30)
        releasing = pool.submit(release, keeper, "a")
        concurrent.futures.wait([releasing], 0.2)  # it has to wait for the connect call
        mock_api.expect_disconnect(A, "id-1", STOPPED)
        held.release.set()
        connecting.result(30)
        assert releasing.result(30) == {"id-1": "closed"}
    assert states(keeper) == [State.CLOSED]


@pytest.mark.parametrize("host", [None, "a"])
def test_release_waits_for_the_running_command(keeper: Keeper, mock_api: MockApi, host: str | None) -> None:
    ended = threading.Event()

    def respond(request: requests.PreparedRequest) -> Reply:
        assert ended.is_set()
        return STOPPED

    open_connection(keeper, mock_api, "id-1", host=host)
    lease, _unused = acquire(keeper, host_request("a", A))
    mock_api.expect_disconnect(A, "id-1", respond)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        closing = pool.submit(disconnect, keeper, "id-1") if host is None else pool.submit(release, keeper, host)
        wait_until(lambda: states(keeper) == [State.DRAINING])
        ended.set()
        keeper.release_lease(lease)
        assert closing.result(30) in ("closed", {"id-1": "closed"})


def test_acquire_needs_a_draining_connection_again(keeper: Keeper, mock_api: MockApi) -> None:
    """The API returns it for the next host, so the release that waits for its command does not close it."""
    mock_api.expect("POST", "/device/connect", opened(A, "id-1"), opened(A, "id-1"))
    connect(keeper, host="a")
    first, _unused = acquire(keeper, host_request("a", A))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        closing = pool.submit(release, keeper, "a")
        wait_until(lambda: states(keeper) == [State.DRAINING])
        second, _unused = acquire(keeper, host_request("b", A))
        assert closing.result(30) == {"id-1": "still_used"}
    assert states(keeper) == [State.OPEN, State.MERGED]
    keeper.release_lease(first)
    keeper.release_lease(second)
    assert states(keeper) == [State.OPEN, State.MERGED]


def test_draining_connection_is_kept_for_a_connect_call(keeper: Keeper, mock_api: MockApi) -> None:
    """The command ends before the API returns the connection for the next host."""
    held = HeldReply(opened(A, "id-1"))
    open_connection(keeper, mock_api, "id-1", host="a")
    first, _unused = acquire(keeper, host_request("a", A))
    mock_api.expect_connect(A, held)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        closing = pool.submit(release, keeper, "a")
        wait_until(lambda: states(keeper) == [State.DRAINING])
        acquiring = pool.submit(acquire, keeper, host_request("b", A))
        assert held.arrived.wait(30)
        keeper.release_lease(first)
        held.release.set()
        acquiring.result(30)
        assert closing.result(30) == {"id-1": "still_used"}
    assert states(keeper) == [State.OPEN, State.MERGED]


def test_acquire_opens_another_beside_a_draining_connection(keeper: Keeper, mock_api: MockApi) -> None:
    open_connection(keeper, mock_api, "id-1", host="a")
    first, _unused = acquire(keeper, host_request("a", A))
    mock_api.unordered = True
    mock_api.expect_connect(A, opened(A, "id-2"))
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        closing = pool.submit(release, keeper, "a")
        wait_until(lambda: states(keeper) == [State.DRAINING])
        assert acquire(keeper, host_request("b", A))[1].connectionid == "id-2"
        keeper.release_lease(first)
        assert closing.result(30) == {"id-1": "closed"}


def test_release_of_an_unusable_connection_does_not_wait(keeper: Keeper, mock_api: MockApi) -> None:
    """Nothing can run through it, although a task of the plugin has a lease."""
    mock_api.expect_connect(A, opened(A, "id-1", "nonsense"))
    mock_api.expect_disconnect(A, "id-1", refused("api key failed validation"), STOPPED)
    connect_error(keeper, host="a")
    lease, _unused = keeper.acquire_host(host_request("a", A))
    assert release(keeper, "a") == {"id-1": "closed"}
    keeper.release_lease(lease)
    assert states(keeper) == [State.CLOSED]


# -- probes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hostip", "is_direct", "probed"), [
    (None, None, True), (None, False, False), (LATCHING, None, False), (LATCHING, True, True),
    ("203.0.113.7", None, False), ("203.0.113.7", True, True), ("0.0.0.0", None, True),
])  # fmt: skip
def test_keeper_probes_only_where_it_does_no_harm(
    keeper: Keeper,
    mock_api: MockApi,
    listener: socket.socket,
    alive: str,
    hostip: str | None,
    is_direct: bool | None,
    probed: bool,
) -> None:
    """A proxy that latches belongs to its first client, and one behind a jump host may not be reachable from here."""
    mock_api.expect("POST", "/device/connect", opened(A, "id-1", alive))
    lease, _unused = acquire(keeper, host_request("a", A, hostip=hostip))
    lease.connection.is_direct = is_direct
    listener.setblocking(False)
    keeper.send_keepalives()
    assert connect(keeper, A, hostip=hostip).reused
    connections = 0
    try:
        while True:
            listener.accept()[0].close()
            connections += 1
    except BlockingIOError:
        assert connections == (2 if probed else 0)


def test_keepalive_uses_only_open_port_proxies(
    keeper: Keeper, mock_api: MockApi, listener: socket.socket, alive: str
) -> None:
    open_connection(keeper, mock_api, "id-a", alive)
    mock_api.expect_connect(B, opened(B, "id-b", "https://does-not-exist.invalid"))
    connect(keeper, B)
    listener.settimeout(30)
    keeper.send_keepalives()
    listener.accept()[0].close()
    mock_api.expect_disconnect(A, "id-a", STOPPED)
    disconnect(keeper, "id-a")
    keeper.send_keepalives()
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_keepalive_notes_a_proxy_that_is_gone(keeper: Keeper, mock_api: MockApi, dead: str) -> None:
    mock_api.expect_connect(A, opened(A, "id-1", dead))
    keeper.release_lease(acquire(keeper, host_request("a", A))[0])
    keeper.send_keepalives()
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    mock_api.expect_connect(A, opened(A, "id-2"))
    assert acquire(keeper, host_request("a", A))[1].connectionid == "id-2"


@pytest.fixture
def silent() -> t.Iterator[str]:
    """Return the URL of a proxy that does not respond: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as clients:
        for _unused in range(3):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_probe_of_an_old_address_is_ignored(keeper: Keeper, mock_api: MockApi, alive: str, silent: str) -> None:
    """The API returns the connection with another address while the keeper waits for the old one."""
    mock_api.expect_connect(A, opened(A, "id-1", silent, expirationsec=NEAR_END))
    acquire(keeper, host_request("a", A))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        probing = pool.submit(keeper.send_keepalives)
        concurrent.futures.wait([probing], 0.2)  # it has to wait for the proxy
        mock_api.expect_connect(A, opened(A, "id-1", alive))
        connection = acquire(keeper, host_request("b", A))[1]
        probing.result(30)
    assert acquire(keeper, host_request("c", A))[1] == connection  # without a call


# -- opening ahead -----------------------------------------------------------------------------------------------------


def test_claim_batch_is_true_for_one_worker(keeper: Keeper, mock_api: MockApi) -> None:
    assert keeper.claim_batch("a-play", "a")
    assert not keeper.claim_batch("a-play", "b")  # another worker reads the batch
    assert keeper.claim_batch("another-play", "b")
    mock_api.expect_connect(B, opened(B, "id-b"))
    keeper.prefetch("a-play", 100, [host_request("b", B)])
    assert [keeper.claim_batch("a-play", host) for host in ("a", "b")] == [False, False]
    assert keeper.claim_batch("a-play", "c")  # of the next batch
    acquire(keeper, host_request("b", B))


def test_claim_batch_is_true_again_after_a_failure(keeper: Keeper, mock_api: MockApi) -> None:
    """The names of the first batch cannot be looked up. The connections of the next batch are opened ahead."""
    mock_api.expect("GET", "/device/list/all", RuntimeError("unexpected"))
    assert keeper.claim_batch("a-play", "a")
    target = ServiceName.parse("kiosk-1", application="ssh")
    keeper.prefetch("a-play", 100, [host_request("a", None, target=target)])
    assert keeper.claim_batch("a-play", "b")


def test_claim_batch_is_true_again_without_a_client(
    keeper: Keeper, mock_api: MockApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    assert keeper.claim_batch("a-play", "a")
    with monkeypatch.context() as overload:
        overload.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError):
            keeper.prefetch("a-play", 100, [host_request("a", A)])
    assert keeper.claim_batch("a-play", "b")


def test_prefetch_serves_later_requests(keeper: Keeper, mock_api: MockApi, alive: str) -> None:
    mock_api.unordered = True
    for service in (A, B):
        mock_api.expect_connect(service, opened(service, f"id-of-{service}", alive))
    prefetch(keeper, A, B)
    assert acquire(keeper, host_request("a", A))[1].connectionid == f"id-of-{A}"
    connection = connect(keeper, B)
    assert (connection.connectionid, connection.reused) == (f"id-of-{B}", False)


def test_prefetch_stops_at_the_bound(keeper: Keeper, mock_api: MockApi) -> None:
    mock_api.unordered = True
    for service in (A, B):
        mock_api.expect_connect(service, opened(service, f"id-of-{service}"))
    prefetch(keeper, A, B, C, D, max_unused=2)
    await_connects(keeper)
    mock_api.verify()
    mock_api.expect_connect(C, opened(C, f"id-of-{C}"))
    acquire(keeper, host_request("a", A))
    await_connects(keeper)
    mock_api.verify()
    for service in (A, B, C):
        mock_api.expect_disconnect(service, f"id-of-{service}", STOPPED)
    assert keeper.finish() == Recap(opened=3, closed=3)


def test_prefetch_goes_on_after_a_failure(keeper: Keeper, mock_api: MockApi) -> None:
    mock_api.unordered = True
    mock_api.expect_connect(A, OFFLINE)
    mock_api.expect_connect(B, opened(B, "id-b"))
    prefetch(keeper, A, B, max_unused=1)
    assert acquire_error(keeper, host_request("a", A)) == "offline"
    assert acquire(keeper, host_request("b", B))[1].connectionid == "id-b"


def test_acquire_calls_again_after_an_old_failure(keeper: Keeper, mock_api: MockApi) -> None:
    """The device came online after it was opened ahead. The recap does not list it."""
    mock_api.expect_connect(A, OFFLINE)
    prefetch(keeper, A)
    await_connects(keeper)
    (managed,) = keeper._registry.all
    managed.failed_at -= MAX_FAILURE_SECONDS
    mock_api.expect_connect(A, opened(A, "id-1"))
    assert acquire(keeper, host_request(A, A))[1].connectionid == "id-1"
    mock_api.expect_disconnect(A, "id-1", STOPPED)
    assert keeper.finish() == Recap(opened=1, closed=1)


def test_prefetch_gives_up_after_refused_credentials(keeper: Keeper, mock_api: MockApi) -> None:
    """More calls could lock the account."""
    mock_api.expect_connect(A, refused("api key failed validation"))
    prefetch(keeper, A, B, C, max_unused=1)
    await_connects(keeper)
    assert acquire_error(keeper, host_request("a", A)) == "auth"


def test_prefetch_leaves_open_connections(keeper: Keeper, mock_api: MockApi) -> None:
    mock_api.expect_connect(A, opened(A, "id-1"))
    acquire(keeper, host_request("a", A))
    prefetch(keeper, A, A.lower())
    assert acquire(keeper, host_request("a", A))[1].connectionid == "id-1"


def test_prefetch_finds_all_names_by_one_query(keeper: Keeper, mock_api: MockApi) -> None:
    """A name that is not found is left to its own task."""
    rows = [rest_row(A, "kiosk-1"), rest_row(B, "kiosk-2")]
    mock_api.unordered = True
    mock_api.expect("GET", "/device/list/all", Reply({"status": "true", "devices": rows}))
    for service in (A, B):
        mock_api.expect_connect(service, opened(service, f"id-of-{service}"))
    names = ("kiosk-1", "kiosk-2", "kiosk-3")
    targets = {name: ServiceName.parse(name, application="ssh") for name in names}
    keeper.prefetch("a-play", 100, [host_request(name, None, target=targets[name]) for name in names])
    for name, service in (("kiosk-1", A), ("kiosk-2", B)):
        assert acquire(keeper, host_request(name, None, target=targets[name]))[1].deviceaddress == service
