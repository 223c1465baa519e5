# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keeper does for the connection plugin: uses, leases, opening ahead, and the ledger of a killed keeper."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import pathlib
import socket
import threading
import typing as t

import pytest
import requests
from support import until

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import LATCHING, Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import NotFoundError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.keeper import (
    Keeper,
    ManagedConnection,
    ShuttingDownError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import list_open_connections
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run
from ansible_collections.remoteit.fleet.tests.unit.plugins.conversation import (
    SERVICES,
    STOPPED,
    WITH_ACCESS_KEY,
    Conversation,
    Reply,
    account,
    opened,
    refused,
)
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.keeper.keeping import (
    ACCOUNT,
    ahead,
    asked_for,
    written,
)

A, B, C, D = SERVICES[:4]
OFFLINE = refused("service is inactive", 200)
#: A connection with so many seconds left is not handed out again.
NEAR_END = "200"


def use(
    keeper: Keeper, request: HostRequest, instead_of: ManagedConnection | None = None
) -> tuple[ManagedConnection, Connection]:
    held, outcome = keeper.use(request, instead_of)
    assert isinstance(outcome, Connection)
    return held, outcome


def fails(keeper: Keeper, request: HostRequest) -> str:
    """Return the code of the failure."""
    held, outcome = keeper.use(request)
    keeper.end_use(held)
    assert isinstance(outcome, RemoteItError)
    return outcome.code


def connect(keeper: Keeper, service: str, host: str | None = None, **options: t.Any) -> Connection:
    hosts = None if host is None else {service: [host]}
    (event,) = keeper.open(ACCOUNT, ConnectRequest((service,), **options), hosts)
    return Connection.from_result(event["connection"])


def close(keeper: Keeper, service: str, connectionid: str) -> str:
    (event,) = keeper.close(ACCOUNT, [[service, connectionid, ""]])
    return event["outcome"]


def release(keeper: Keeper, *hosts: str, accounts: t.Sequence[Account] = ()) -> list[tuple[t.Any, ...]]:
    events = keeper.release_hosts(accounts, hosts)
    return sorted((event["host"], event["connectionid"], event["outcome"]) for event in events)


def await_openings(keeper: Keeper) -> None:
    concurrent.futures.wait([held.opening for held in keeper._held], 30)


def row(service: str, name: str) -> dict[str, str]:
    """Return an SSH service as REST lists it."""
    return {
        "deviceaddress": service,
        "devicealias": name,
        "devicestate": "active",
        "servicetitle": "SSH",
        "devicetype": "00:1C:00:00:00:01:00:00:04:60:00:16:00:00:00:00",
    }


# -- uses --------------------------------------------------------------------------------------------------------------


def test_use_opens_one_connection_for_a_service(keeper: Keeper, conversation: Conversation, ledger: Ledger) -> None:
    conversation.expect_open(A, opened(A, "id-1"))
    for host, service in (("a", A), ("a", A), ("alias-of-a", A.lower())):
        held, connection = use(keeper, asked_for(host, service))
        assert connection.connectionid == "id-1"
        keeper.end_use(held)
    assert written(ledger) == [("intent", 1, None), ("opened", 1, "id-1")]
    conversation.expect_stop(A, "id-1", STOPPED)
    assert keeper.finish()["closed"] == 1


def test_use_is_one_call_for_many_at_once(keeper: Keeper, conversation: Conversation) -> None:
    together = threading.Barrier(8)

    def worker(number: int) -> str:
        together.wait(30)
        held, connection = use(keeper, asked_for(f"host-{number}", A))
        keeper.end_use(held)
        return connection.connectionid

    conversation.expect_open(A, opened(A, "id-1"))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(worker, range(8))) == {"id-1"}


def test_use_shares_what_a_task_has_opened(keeper: Keeper, conversation: Conversation) -> None:
    conversation.expect_open(A, opened(A, "id-1"))
    connect(keeper, A)
    assert use(keeper, asked_for("a", A))[1].connectionid == "id-1"


def test_use_keeps_other_restrictions_apart(keeper: Keeper, conversation: Conversation) -> None:
    body = {"deviceaddress": A, "wait": "true"}
    conversation.expect("POST", "/device/connect", opened(A, "id-1"), body=body)
    conversation.expect("POST", "/device/connect", opened(A, "id-2"), body={**body, "hostip": "203.0.113.7"})
    for hostip, expected in ((None, "id-1"), ("203.0.113.7", "id-2")):
        assert use(keeper, asked_for("a", A, hostip=hostip))[1].connectionid == expected


def test_use_counts_for_the_connection_given_again(keeper: Keeper, conversation: Conversation) -> None:
    """The vendor answers with a connection that is there already."""
    conversation.expect("POST", "/device/connect", opened(A, "id-1"), opened(A, "id-1"))
    first, _unused = use(keeper, asked_for("a", A))
    second, _unused = use(keeper, asked_for("b", A, hostip="203.0.113.7"))
    assert second is first
    assert first.commands == 2


def test_use_finds_a_service_by_name_once(keeper: Keeper, conversation: Conversation) -> None:
    listed = Reply({"status": "true", "devices": [row(A, "kiosk-1")]})
    conversation.expect("GET", "/device/list/all", listed)
    conversation.expect_open(A, opened(A, "id-1"))
    kiosk = ServiceName.parse("kiosk-1", application="ssh")
    for _unused in range(2):
        assert use(keeper, asked_for("a", None, target=kiosk))[1].deviceaddress == A
    conversation.expect("GET", "/device/list/all", listed)
    with pytest.raises(NotFoundError):
        keeper.use(asked_for("b", None, target=ServiceName.parse("kiosk-2", application="ssh")))


def test_use_fails_when_the_run_ends(keeper: Keeper) -> None:
    keeper.finish()
    with pytest.raises(ShuttingDownError):
        keeper.use(asked_for("a", A))


def test_use_reports_a_failure_once(keeper: Keeper, conversation: Conversation) -> None:
    """The next command tries again."""
    conversation.expect_open(A, OFFLINE)
    assert fails(keeper, asked_for("a", A)) == "offline"
    conversation.expect_open(A, opened(A, "id-1"))
    assert use(keeper, asked_for("a", A))[1].connectionid == "id-1"


def test_use_reports_what_remoteit_connect_was_told(keeper: Keeper, conversation: Conversation) -> None:
    conversation.expect_open(A, OFFLINE)
    (event,) = keeper.open(ACCOUNT, ConnectRequest((A,)), {A: ["a"]})
    assert event["failure"]["code"] == "offline"
    assert fails(keeper, asked_for("a", A)) == "offline"  # without a call
    conversation.expect_open(A, opened(A, "id-1"))
    use(keeper, asked_for("a", A))


def test_keeper_names_who_was_told_first(keeper: Keeper) -> None:
    told = [keeper.first_told(message, host) for message, host in (("why", "a"), ("why", "b"), ("other", "b"))]
    assert told == ["a", "a", "b"]


def test_keeper_knows_the_control_paths_of_a_host(keeper: Keeper, conversation: Conversation, run: Run) -> None:
    conversation.expect_open(A, opened(A, "id-1"))
    conversation.expect_open(B, OFFLINE)
    use(keeper, asked_for("a", A))
    fails(keeper, asked_for("b", B))
    paths = [keeper.control_paths_of(host) for host in ("a", "b", "c")]
    assert paths == [run.control_path_dir("id-1"), None, None]


# -- replacing ---------------------------------------------------------------------------------------------------------


def test_use_replaces_a_refused_connection(keeper: Keeper, conversation: Conversation, ledger: Ledger) -> None:
    conversation.expect_open(A, opened(A, "id-1"))
    refusing, _unused = use(keeper, asked_for("a", A))
    conversation.expect_stop(A, "id-1", STOPPED)
    conversation.expect_open(A, opened(A, "id-2"))
    held, connection = use(keeper, asked_for("a", A), instead_of=refusing)
    keeper.end_use(refusing)
    assert connection.connectionid == "id-2"
    assert ("closed", 1, "closed") in written(ledger)
    # another host that was refused by the same gets the new one
    conversation.verify()
    assert use(keeper, asked_for("b", A), instead_of=refusing)[0] is held


def test_use_replaces_once_for_many_who_were_refused(keeper: Keeper, conversation: Conversation) -> None:
    together = threading.Barrier(4)
    conversation.expect_open(A, opened(A, "id-1"))
    refusing, _unused = use(keeper, asked_for("a", A))

    def worker(number: int) -> str:
        together.wait(30)
        return use(keeper, asked_for(f"host-{number}", A), instead_of=refusing)[1].connectionid

    conversation.expect_stop(A, "id-1", STOPPED)
    conversation.expect_open(A, opened(A, "id-2"))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(worker, range(4))) == {"id-2"}


def test_use_closes_a_replaced_one_after_its_command(keeper: Keeper, conversation: Conversation) -> None:
    conversation.expect_open(A, opened(A, "id-1", expirationsec=NEAR_END))
    running, _unused = use(keeper, asked_for("a", A))
    conversation.expect_open(A, opened(A, "id-2"))
    assert use(keeper, asked_for("a", A))[1].connectionid == "id-2"
    conversation.verify()
    conversation.expect_stop(A, "id-1", STOPPED)
    keeper.end_use(running)
    assert running.closing is not None
    assert running.closing.result(30) == "closed"


def test_use_leaves_a_replaced_one_to_its_task(keeper: Keeper, conversation: Conversation) -> None:
    """Whoever has registered its ID closes it."""
    conversation.expect_open(A, opened(A, "id-1", expirationsec=NEAR_END))
    connect(keeper, A)
    conversation.expect_open(A, opened(A, "id-2"))
    assert use(keeper, asked_for("a", A))[1].connectionid == "id-2"
    conversation.verify()
    conversation.expect_stop(A, "id-1", STOPPED)
    assert close(keeper, A, "id-1") == "closed"


def test_keeper_replaces_what_a_task_opens_near_its_end(keeper: Keeper, conversation: Conversation) -> None:
    """The lease of the host moves to the new connection, and nothing holds the old one."""
    conversation.expect_open(A, opened(A, "id-1", expirationsec=NEAR_END))
    connect(keeper, A, host="a")
    conversation.in_any_order = True
    conversation.expect_stop(A, "id-1", STOPPED)
    conversation.expect_open(A, opened(A, "id-2"))
    assert connect(keeper, A, host="a").connectionid == "id-2"
    conversation.expect_stop(A, "id-2", STOPPED)
    assert release(keeper, "a") == [("a", "id-2", "closed")]


# -- leases ------------------------------------------------------------------------------------------------------------


def test_release_hosts_closes_with_the_last_host(keeper: Keeper, conversation: Conversation, alive: str) -> None:
    conversation.expect_open(A, opened(A, "id-1", alive))
    for host in ("a", "b"):
        connect(keeper, A, host=host)
    assert release(keeper, "a") == [("a", "id-1", "still_used")]
    conversation.expect_stop(A, "id-1", STOPPED)
    assert release(keeper, "a", "b", "c") == [("b", "id-1", "closed")]


def test_release_hosts_closes_the_one_that_replaced_it(keeper: Keeper, conversation: Conversation) -> None:
    conversation.expect_open(A, opened(A, "id-1"))
    connect(keeper, A, host="a")
    refusing, _unused = use(keeper, asked_for("a", A))
    conversation.expect_stop(A, "id-1", STOPPED)
    conversation.expect_open(A, opened(A, "id-2"))
    held, _unused = use(keeper, asked_for("a", A), instead_of=refusing)
    keeper.end_use(refusing)
    keeper.end_use(held)
    conversation.expect_stop(A, "id-2", STOPPED)
    assert release(keeper, "a") == [("a", "id-2", "closed")]


def test_release_hosts_leaves_what_the_plugin_opened(keeper: Keeper, conversation: Conversation) -> None:
    """It has no lease, and lives until the run ends."""
    conversation.expect_open(A, opened(A, "id-1"))
    held, _unused = use(keeper, asked_for("a", A))
    keeper.end_use(held)
    assert release(keeper, "a") == []
    conversation.expect_stop(A, "id-1", STOPPED)
    assert keeper.finish()["closed"] == 1


@pytest.mark.parametrize("how", ["close", "release_hosts"])
def test_keeper_closes_after_the_running_command(keeper: Keeper, conversation: Conversation, how: str) -> None:
    ended = threading.Event()

    def stop(request: requests.PreparedRequest) -> Reply:
        assert ended.is_set()
        return STOPPED

    conversation.expect_open(A, opened(A, "id-1"))
    connect(keeper, A, host="a" if how == "release_hosts" else None)
    held, _unused = use(keeper, asked_for("a", A))
    conversation.expect_stop(A, "id-1", stop)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        closing = pool.submit(release, keeper, "a") if how == "release_hosts" else pool.submit(close, keeper, A, "id-1")
        concurrent.futures.wait([closing], 0.2)  # it has to wait for the command
        ended.set()
        keeper.end_use(held)
        assert closing.result(30) in ("closed", [("a", "id-1", "closed")])


def test_finish_closes_although_a_command_is_running(keeper: Keeper, conversation: Conversation) -> None:
    conversation.expect_open(A, opened(A, "id-1"))
    use(keeper, asked_for("a", A))
    conversation.expect_stop(A, "id-1", STOPPED)
    assert keeper.finish()["closed"] == 1


def test_use_replaces_what_is_to_be_closed(keeper: Keeper, conversation: Conversation) -> None:
    """A command that comes while a close waits for another one would be cut off."""
    for connectionid in ("id-1", "id-2"):
        conversation.expect_open(A, opened(A, connectionid))
    conversation.expect_stop(A, "id-1", STOPPED)
    connect(keeper, A, host="a")
    first, _unused = use(keeper, asked_for("a", A))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        closing = pool.submit(release, keeper, "a")
        until(lambda: first.stop_requested is not None)
        second, connection = use(keeper, asked_for("b", A))
        assert connection.connectionid == "id-2"
        keeper.end_use(first)
        assert closing.result(30) == [("a", "id-1", "closed")]
    keeper.end_use(second)


def test_finish_does_not_wait_behind_a_running_command(keeper: Keeper, conversation: Conversation) -> None:
    """A close that waits for a command has the only thread, and the command goes on after the controller has died."""
    narrow = dataclasses.replace(ACCOUNT, concurrency=1)
    for service, connectionid in ((A, "id-1"), (B, "id-2")):
        conversation.expect_open(service, opened(service, connectionid))
        list(keeper.open(narrow, ConnectRequest((service,)), {service: [service]}))
    use(keeper, asked_for(A, A, narrow))
    conversation.in_any_order = True
    conversation.expect_stop(A, "id-1", STOPPED)
    conversation.expect_stop(B, "id-2", STOPPED)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        closing = pool.submit(release, keeper, A)
        concurrent.futures.wait([closing], 0.2)  # it has to wait for the command
        assert pool.submit(keeper.finish).result(30)["closed"] == 2
        closing.result(30)


# -- probing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hostip", "direct", "probed"),
    [
        (None, None, True),
        (None, False, False),
        (LATCHING, None, False),
        (LATCHING, True, True),
        ("203.0.113.7", None, False),
        ("203.0.113.7", True, True),
        ("0.0.0.0", None, True),
    ],
)
def test_keeper_probes_only_a_proxy_that_may_be_probed(
    keeper: Keeper,
    conversation: Conversation,
    listener: socket.socket,
    alive: str,
    hostip: str | None,
    direct: bool | None,
    probed: bool,
) -> None:
    """A proxy that latches belongs to the first client, and one behind a jump host does not answer here."""
    conversation.expect("POST", "/device/connect", opened(A, "id-1", alive))
    held, _unused = use(keeper, asked_for("a", A, hostip=hostip))
    held.direct = direct
    listener.setblocking(False)
    keeper.touch()
    assert connect(keeper, A, hostip=hostip).reused
    connections = 0
    try:
        while True:
            listener.accept()[0].close()
            connections += 1
    except BlockingIOError:
        assert connections == (2 if probed else 0)


# -- opening ahead -----------------------------------------------------------------------------------------------------


def test_wants_batch_asks_one_worker(keeper: Keeper, conversation: Conversation) -> None:
    assert keeper.wants_batch("a-play", "a")
    assert not keeper.wants_batch("a-play", "b")  # the other is reading
    assert keeper.wants_batch("another-play", "b")
    conversation.expect_open(B, opened(B, "id-b"))
    keeper.open_ahead("a-play", 100, [asked_for("b", B)])
    assert [keeper.wants_batch("a-play", host) for host in ("a", "b")] == [False, False]
    assert keeper.wants_batch("a-play", "c")  # of the next batch
    use(keeper, asked_for("b", B))


def test_open_ahead_is_for_those_who_ask_later(keeper: Keeper, conversation: Conversation, alive: str) -> None:
    conversation.in_any_order = True
    for service in (A, B):
        conversation.expect_open(service, opened(service, f"id-of-{service}", alive))
    ahead(keeper, A, B)
    assert use(keeper, asked_for("a", A))[1].connectionid == f"id-of-{A}"
    connection = connect(keeper, B)
    assert (connection.connectionid, connection.reused) == (f"id-of-{B}", False)


def test_open_ahead_stops_at_the_bound(keeper: Keeper, conversation: Conversation) -> None:
    conversation.in_any_order = True
    for service in (A, B):
        conversation.expect_open(service, opened(service, f"id-of-{service}"))
    ahead(keeper, A, B, C, D, most=2)
    await_openings(keeper)
    conversation.verify()
    conversation.expect_open(C, opened(C, f"id-of-{C}"))
    use(keeper, asked_for("a", A))
    await_openings(keeper)
    conversation.verify()
    for service in (A, B, C):
        conversation.expect_stop(service, f"id-of-{service}", STOPPED)
    assert keeper.finish()["opened"] == 3


def test_open_ahead_goes_on_after_a_failure(keeper: Keeper, conversation: Conversation) -> None:
    conversation.in_any_order = True
    conversation.expect_open(A, OFFLINE)
    conversation.expect_open(B, opened(B, "id-b"))
    ahead(keeper, A, B, most=1)
    assert fails(keeper, asked_for("a", A)) == "offline"
    assert use(keeper, asked_for("b", B))[1].connectionid == "id-b"


def test_open_ahead_reports_a_failure_to_its_host_once(keeper: Keeper, conversation: Conversation) -> None:
    conversation.expect_open(A, OFFLINE)
    ahead(keeper, A)
    assert fails(keeper, asked_for("a", A)) == "offline"
    conversation.expect_open(A, opened(A, "id-1"))
    use(keeper, asked_for("a", A))


def test_open_ahead_gives_up_without_credentials(keeper: Keeper, conversation: Conversation) -> None:
    """A whole fleet does not lock the account."""
    conversation.expect_open(A, refused("api key failed validation"))
    ahead(keeper, A, B, C, most=1)
    await_openings(keeper)
    assert fails(keeper, asked_for("a", A)) == "auth"


def test_open_ahead_leaves_what_is_open(keeper: Keeper, conversation: Conversation) -> None:
    conversation.expect_open(A, opened(A, "id-1"))
    use(keeper, asked_for("a", A))
    ahead(keeper, A, A.lower())
    assert use(keeper, asked_for("a", A))[1].connectionid == "id-1"


def test_open_ahead_finds_all_names_by_one_request(keeper: Keeper, conversation: Conversation) -> None:
    """A name that is not known is left to its own task."""
    rows = [row(A, "kiosk-1"), row(B, "kiosk-2")]
    conversation.in_any_order = True
    conversation.expect("GET", "/device/list/all", Reply({"status": "true", "devices": rows}))
    for service in (A, B):
        conversation.expect_open(service, opened(service, f"id-of-{service}"))
    names = ("kiosk-1", "kiosk-2", "kiosk-3")
    targets = {name: ServiceName.parse(name, application="ssh") for name in names}
    keeper.open_ahead("a-play", 100, [asked_for(name, None, target=targets[name]) for name in names])
    for name, service in (("kiosk-1", A), ("kiosk-2", B)):
        assert use(keeper, asked_for(name, None, target=targets[name]))[1].deviceaddress == service


def test_open_ahead_opens_nothing_when_the_run_ends(keeper: Keeper) -> None:
    keeper.finish()
    ahead(keeper, A)
    assert keeper.finish()["opened"] == 0


# -- the ledger of a killed keeper -------------------------------------------------------------------------------------


def killed(ledger: Ledger) -> None:
    """The keeper that writes it dies."""
    ledger._file.close()


def note(ledger: Ledger, number: int, service: str, connectionid: str | None, **more: t.Any) -> None:
    """Write what the keeper opened; without an ID, it was killed during the call."""
    who = more.get("who", ACCOUNT)
    ledger.intent(number, service, who.credentials.url, who.credentials.fingerprint())
    if connectionid is not None:
        connection = Connection(service, connectionid, "http://p:1", "p", 1, "tcp", False, "caller")
        ledger.opened(number, connection, detached=more.get("detached", False))


@pytest.fixture
def successor(ledger: Ledger, run: Run, conversation: Conversation) -> t.Callable[[], Keeper]:
    """Starts the next keeper of the run, after the first was killed."""

    def start() -> Keeper:
        killed(ledger)
        new, predecessors = Ledger.begin(os.path.dirname(ledger.path), run.id)
        keeper = Keeper(run, new)
        keeper.take_over(predecessors)
        return keeper

    return start


def test_take_over_closes_before_it_opens(
    successor: t.Callable[[], Keeper], conversation: Conversation, ledger: Ledger
) -> None:
    """The vendor may answer the opening with the connection that is just being stopped."""
    note(ledger, 1, A, "id-old")
    keeper = successor()
    conversation.expect_stop(A, "id-old", STOPPED)
    conversation.expect_open(A, opened(A, "id-new"))
    assert use(keeper, asked_for("a", A))[1].connectionid == "id-new"
    assert not os.path.exists(ledger.path)
    conversation.expect_stop(A, "id-new", STOPPED)
    assert keeper.finish() == {"opened": 2, "closed": 2, "left": [], "unsure": [], "ended_early": []}
    assert list_open_connections(os.path.dirname(ledger.path), None) == []


def test_take_over_closes_what_no_host_asks_for(
    successor: t.Callable[[], Keeper], conversation: Conversation, ledger: Ledger
) -> None:
    for number, service in enumerate((A, B)):
        note(ledger, number, service, f"id-of-{service}")
    keeper = successor()
    conversation.in_any_order = True
    for service in (A, B):
        conversation.expect_stop(service, f"id-of-{service}", STOPPED)
    conversation.expect_open(C, opened(C, "id-c"))
    conversation.expect_stop(C, "id-c", STOPPED)
    use(keeper, asked_for("c", C))
    assert keeper.finish()["closed"] == 3


def test_take_over_is_reported_by_release_hosts(
    successor: t.Callable[[], Keeper], conversation: Conversation, ledger: Ledger
) -> None:
    note(ledger, 1, A, "id-old")
    keeper = successor()
    conversation.expect_stop(A, "id-old", STOPPED)
    assert release(keeper, "a", accounts=[ACCOUNT]) == [(None, "id-old", "closed")]
    assert release(keeper, "a", accounts=[ACCOUNT]) == []


def test_take_over_leaves_what_is_detached(
    successor: t.Callable[[], Keeper], conversation: Conversation, ledger: Ledger
) -> None:
    note(ledger, 1, A, "id-old", detached=True)
    keeper = successor()
    release(keeper, accounts=[ACCOUNT])
    recap = keeper.finish()
    assert (recap["opened"], recap["closed"], recap["left"]) == (1, 0, [])
    listed = list_open_connections(os.path.dirname(ledger.path), None)
    assert [(entry["connectionid"], entry["detached"]) for entry in listed] == [("id-old", True)]


def test_take_over_reports_a_call_without_an_answer(
    successor: t.Callable[[], Keeper], conversation: Conversation, ledger: Ledger
) -> None:
    note(ledger, 1, A, None)
    keeper = successor()
    release(keeper, accounts=[ACCOUNT])
    assert [unsure["service"] for unsure in keeper.finish()["unsure"]] == [A]
    assert [entry["deviceaddress"] for entry in list_open_connections(os.path.dirname(ledger.path), None)] == [A]


def test_take_over_leaves_another_account_alone(
    successor: t.Callable[[], Keeper], conversation: Conversation, ledger: Ledger
) -> None:
    note(ledger, 1, A, "id-old", who=account(WITH_ACCESS_KEY))
    keeper = successor()
    release(keeper, accounts=[ACCOUNT])
    assert keeper.finish()["opened"] == 0
    assert pathlib.Path(ledger.path).exists()


def test_begin_returns_only_ledgers_of_the_same_run(ledger: Ledger) -> None:
    folder = os.path.dirname(ledger.path)
    assert Ledger.begin(folder, "another-run")[1] == []
    assert Ledger.begin(folder, "a-run")[1] == []  # its keeper lives
    killed(ledger)
    _unused, found = Ledger.begin(folder, "a-run")
    assert ledger.path in [record.path for record, _unused in found]
    assert {record.run_id for record, _unused in found} == {"a-run"}
