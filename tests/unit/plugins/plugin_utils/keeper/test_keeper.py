# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run holds: opened once, shared by its holders, and closed in the end."""

from __future__ import annotations

import concurrent.futures
import datetime
import json
import os
import pathlib
import socket
import threading
import typing as t

import pytest
import requests

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import DEFAULT_API_URL, Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.http import Transport
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.keeper import Keeper
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run
from ansible_collections.remoteit.fleet.tests.unit.plugins.conversation import (
    KEY,
    PASSWORD,
    SERVICE,
    SERVICES,
    STOPPED,
    TOKEN,
    WITH_ACCESS_KEY,
    WITH_PASSWORD,
    WITH_TOKEN,
    Conversation,
    Reply,
    account,
    opened,
    refused,
    sessions,
)
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.keeper.keeping import ACCOUNT, ahead, written

WRONG_KEY = refused("api key failed validation")

A, B, C = SERVICES[:3]


def ask(
    keeper: Keeper, *services: str, host: str | None = None, who: Account = ACCOUNT, **options: t.Any
) -> list[dict[str, t.Any]]:
    hosts = None if host is None else {service: [host] for service in services}
    return list(keeper.open(who, ConnectRequest(services, **options), hosts))


def open_one(keeper: Keeper, service: str = A, **options: t.Any) -> Connection:
    (event,) = ask(keeper, service, **options)
    return Connection.from_result(event["connection"])


def close(keeper: Keeper, connectionid: str, service: str = A) -> str:
    (event,) = keeper.close(ACCOUNT, [[service, connectionid, ""]])
    assert (event["service"], event["connectionid"]) == (service, connectionid)
    return event["outcome"] if "outcome" in event else event["failure"]["code"]


def release(keeper: Keeper, host: str) -> list[str]:
    """Close what was opened for the host, and return how each stop ended."""
    return [event["outcome"] for event in keeper.release_hosts([], [host])]


# -- opening -----------------------------------------------------------------------------------------------------------


def test_what_is_opened_is_told_and_written_down(keeper: Keeper, conversation: Conversation, ledger: Ledger) -> None:
    def answer(request: requests.PreparedRequest) -> Reply:
        assert written(ledger) == [("intent", 1, None)]  # before the call
        return opened(A, "id-a")

    conversation.expect_open(A, answer)
    connection = open_one(keeper)
    assert (connection.deviceaddress, connection.connectionid, connection.reused) == (A, "id-a", False)
    assert written(ledger) == [("intent", 1, None), ("opened", 1, "id-a")]


def test_one_failing_does_not_lose_the_others(keeper: Keeper, conversation: Conversation, ledger: Ledger) -> None:
    conversation.in_any_order = True
    conversation.expect_open(A, opened(A, "id-a"))
    conversation.expect_open(B, refused("[0861]", 200))
    events = {event["service"]: event for event in ask(keeper, A, B)}
    assert events[A]["connection"]["connectionid"] == "id-a"
    assert events[B]["failure"]["code"] == "not_found"
    assert ("closed", 2, "refused") in written(ledger)
    conversation.expect_stop(A, "id-a", STOPPED)
    assert keeper.finish() == {"opened": 1, "closed": 1, "left": [], "unsure": [], "ended_early": []}
    assert not os.path.exists(ledger.path)


@pytest.mark.parametrize("again", [SERVICE, SERVICE.lower()])
def test_what_is_open_is_handed_out_again(keeper: Keeper, conversation: Conversation, alive: str, again: str) -> None:
    conversation.expect_open(SERVICE, opened(SERVICE, "id-a", alive))
    open_one(keeper, SERVICE)
    connection = open_one(keeper, again)
    assert (connection.deviceaddress, connection.connectionid, connection.reused) == (again, "id-a", True)


def test_a_reverse_proxy_is_handed_out_again_without_a_call(keeper: Keeper, conversation: Conversation) -> None:
    conversation.expect_open(A, opened(A, "id-a", "https://does-not-exist.invalid"))
    open_one(keeper)
    assert open_one(keeper).reused


@pytest.mark.parametrize(
    "other",
    [
        {"hostip": "203.0.113.7"},
        {"who": account(Credentials(DEFAULT_API_URL, KEY, token="another"))},
        {"reuse": False},
    ],
)
def test_what_was_not_asked_for_is_not_handed_out(
    keeper: Keeper, conversation: Conversation, alive: str, other: dict[str, t.Any]
) -> None:
    conversation.expect("POST", "/device/connect", opened(A, "id-1", alive), opened(A, "id-2", alive))
    open_one(keeper)
    connection = open_one(keeper, **other)
    assert (connection.connectionid, connection.reused) == ("id-2", False)


def test_what_has_died_is_stopped_and_replaced(
    keeper: Keeper, conversation: Conversation, ledger: Ledger, alive: str, dead: str
) -> None:
    conversation.expect_open(A, opened(A, "id-1", dead))
    open_one(keeper)
    conversation.expect_stop(A, "id-1", STOPPED)
    conversation.expect_open(A, opened(A, "id-2", alive))
    connection = open_one(keeper)
    assert (connection.connectionid, connection.reused) == ("id-2", False)
    assert ("closed", 1, "closed") in written(ledger)


def test_what_is_near_its_end_is_replaced_and_left_to_those_who_use_it(
    keeper: Keeper, conversation: Conversation, alive: str
) -> None:
    conversation.expect_open(A, opened(A, "id-1", alive, expirationsec="200"))
    open_one(keeper)
    conversation.expect_open(A, opened(A, "id-2", alive))
    connection = open_one(keeper)
    assert (connection.connectionid, connection.reused) == ("id-2", False)
    conversation.expect_stop(A, "id-1", STOPPED)
    assert close(keeper, "id-1") == "closed"


def test_what_was_closed_or_refused_is_opened_anew(keeper: Keeper, conversation: Conversation, alive: str) -> None:
    conversation.expect_open(A, refused("service is inactive", 200))
    assert ask(keeper, A)[0]["failure"]["code"] == "offline"
    conversation.expect_open(A, opened(A, "id-1", alive))
    open_one(keeper)
    conversation.expect_stop(A, "id-1", STOPPED)
    close(keeper, "id-1")
    conversation.expect_open(A, opened(A, "id-2", alive))
    assert not open_one(keeper).reused


def test_many_who_ask_at_once_get_one_connection(keeper: Keeper, conversation: Conversation, alive: str) -> None:
    together = threading.Barrier(8)

    def worker(number: int) -> Connection:
        together.wait(30)
        return open_one(keeper, A, host=f"host-{number}")

    conversation.expect_open(A, opened(A, "id-a", alive))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        connections = list(pool.map(worker, range(8)))
    assert {connection.connectionid for connection in connections} == {"id-a"}
    assert sorted(connection.reused for connection in connections) == [False] + [True] * 7
    conversation.expect_stop(A, "id-a", STOPPED)
    outcomes = [release(keeper, f"host-{number}") for number in range(8)]
    assert outcomes == [["still_used"]] * 7 + [["closed"]]


def test_without_a_ledger_nothing_is_sent(
    keeper: Keeper, conversation: Conversation, ledger: Ledger, full_disk: t.Callable[..., t.ContextManager[None]]
) -> None:
    with full_disk(ledger.path):
        (event,) = ask(keeper, A)
    assert "nothing was opened: the ledger" in event["failure"]["message"]
    assert conversation.sent == []


def test_no_secret_is_written(keeper: Keeper, conversation: Conversation, ledger: Ledger) -> None:
    conversation.expect("POST", "/user/login", Reply({"status": "true", "token": TOKEN}))
    conversation.expect_open(A, opened(A, "id-a"))
    open_one(keeper, who=account(Credentials(DEFAULT_API_URL, KEY, username="someone", password=PASSWORD)))
    text = pathlib.Path(ledger.path).read_text()
    assert not any(secret in text for secret in (KEY, TOKEN, PASSWORD, "someone"))
    conversation.expect_stop(A, "id-a", STOPPED)
    keeper.finish()


# -- one account, many tasks -----------------------------------------------------------------------------------------


def test_tasks_with_other_time_outs_and_bounds_share_one_login(keeper: Keeper, conversation: Conversation) -> None:
    conversation.expect("POST", "/user/login", Reply({"status": "true", "token": TOKEN}))
    for number, (service, timeout) in enumerate(((A, 60), (B, 5), (C, 90))):
        conversation.expect_open(service, opened(service, f"id-{number}"))
        (event,) = ask(keeper, service, who=Account(WITH_PASSWORD, timeout=timeout, concurrency=number + 1))
        assert event["connection"]["connectionid"] == f"id-{number}"
    assert [options["timeout"] for options in conversation.options] == [60, 60, 5, 90]
    conversation.expect_stop(A, "id-0", STOPPED)
    list(keeper.close(Account(WITH_PASSWORD, timeout=7), [[A, "id-0", ""]]))
    assert conversation.options[-1]["timeout"] == 7
    conversation.in_any_order = True
    conversation.expect_stop(B, "id-1", STOPPED)
    conversation.expect_stop(C, "id-2", STOPPED)
    keeper.finish()


def test_tasks_with_other_proxies_do_not_share_the_way(keeper: Keeper, conversation: Conversation) -> None:
    for number, proxies in enumerate(({}, {"https": "http://one:3128"}, {"https": "http://two:3128"})):
        conversation.expect_open(A, opened(A, f"id-{number}"))
        ask(keeper, A, who=Account(WITH_TOKEN, Transport(proxies)), reuse=False)
        assert conversation.options[-1]["proxies"].get("https") == proxies.get("https")


def test_the_largest_bound_counts_for_all(keeper: Keeper, conversation: Conversation) -> None:
    under_way, gate = threading.Barrier(3), threading.Event()

    def answer(request: requests.PreparedRequest) -> Reply:
        under_way.wait(30)
        gate.wait(30)
        service = json.loads(request.body or "")["deviceaddress"]
        return opened(service, f"id-of-{service}")

    def after_one_of_them(request: requests.PreparedRequest) -> Reply:
        assert gate.is_set()
        return opened(SERVICES[3], "id-of-another")

    ask(keeper, who=account(concurrency=1))
    conversation.in_any_order = True
    for service in (A, B):
        conversation.expect_open(service, answer)
    ahead(keeper, A, B, who=account(concurrency=2))
    under_way.wait(30)
    conversation.expect_open(SERVICES[3], after_one_of_them)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        last = pool.submit(ask, keeper, SERVICES[3], who=Account(WITH_TOKEN, timeout=5, concurrency=1))
        concurrent.futures.wait([last], 0.2)  # it has to wait for one of them
        gate.set()
        assert "connection" in last.result(30)[0]


# -- closing -----------------------------------------------------------------------------------------------------------


def test_closed_with_the_last_holder(keeper: Keeper, conversation: Conversation, ledger: Ledger, alive: str) -> None:
    conversation.expect_open(A, opened(A, "id-a", alive))
    open_one(keeper)
    open_one(keeper)
    assert close(keeper, "id-a") == "still_used"
    conversation.expect_stop(A, "id-a", STOPPED)
    assert close(keeper, "id-a") == "closed"
    assert close(keeper, "id-a") == "already_closed"  # known without asking the API
    assert [line for line in written(ledger) if line[0] == "closed"] == [("closed", 1, "closed")]


def test_keeper_host_holds_its_connection_once(keeper: Keeper, conversation: Conversation, alive: str) -> None:
    conversation.expect_open(A, opened(A, "id-a", alive))
    for _unused in range(3):
        open_one(keeper, host="a")
    conversation.expect_stop(A, "id-a", STOPPED)
    assert release(keeper, "a") == ["closed"]
    assert release(keeper, "a") == []


def test_keeper_keeps_what_another_host_holds(keeper: Keeper, conversation: Conversation) -> None:
    conversation.expect_open(A, opened(A, "id-a"))
    open_one(keeper, host="a")
    assert release(keeper, "b") == []
    assert close(keeper, "id-a") == "still_used"


def another_run_with(connectionid: str, ledger: Ledger) -> Ledger:
    """The ledger of a run to which the vendor has given the same connection."""
    another, _unused = Ledger.begin(os.path.dirname(ledger.path), "another-run")
    another.intent(7, A, ACCOUNT.credentials.url, ACCOUNT.credentials.fingerprint())
    another.opened(7, Connection(A, connectionid, "http://p:1", "p", 1, "tcp", False, "caller"), detached=False)
    return another


def test_what_another_run_has_got_too_is_left_to_it(keeper: Keeper, conversation: Conversation, ledger: Ledger) -> None:
    conversation.expect_open(A, opened(A, "id-a"))
    conversation.expect_open(B, opened(B, "id-b"))
    ask(keeper, A)
    ask(keeper, B)
    another = another_run_with("id-a", ledger)
    assert close(keeper, "id-a") == "still_used"
    assert close(keeper, "id-a") == "already_closed"
    conversation.expect_stop(B, "id-b", STOPPED)
    recap = keeper.finish()
    assert (recap["opened"], recap["closed"], recap["left"]) == (1, 1, [])
    assert os.listdir(os.path.dirname(ledger.path)) == [os.path.basename(another.path)]


@pytest.mark.parametrize("how", ["closing", "closed", "dead", "nothing that can be read"])
def test_what_another_run_does_not_need_any_more_is_closed(
    keeper: Keeper, conversation: Conversation, ledger: Ledger, how: str
) -> None:
    conversation.expect_open(A, opened(A, "id-a"))
    open_one(keeper)
    another = another_run_with("id-a", ledger)
    if how == "closing":
        another.closing(7)
    elif how == "closed":
        another.closed(7, "closed")
    elif how == "dead":
        another._file.close()
    else:
        os.chmod(os.path.dirname(ledger.path), 0o777)
    conversation.expect_stop(A, "id-a", STOPPED)
    assert close(keeper, "id-a") == "closed"


def test_a_ledger_that_cannot_be_read_does_not_hide_who_else_needs_it(
    keeper: Keeper, conversation: Conversation, ledger: Ledger, unreadable: t.Callable[[str], None]
) -> None:
    foreign, _unused = Ledger.begin(os.path.dirname(ledger.path), "a-run-of-another-user")
    unreadable(foreign.path)
    conversation.expect_open(A, opened(A, "id-a"))
    open_one(keeper)
    another = another_run_with("id-a", ledger)
    assert close(keeper, "id-a") == "still_used"
    another.remove()


@pytest.mark.parametrize(
    ("reply", "outcome"), [(STOPPED, "closed"), (WRONG_KEY, "auth"), (RuntimeError("nobody thought of this"), "api")]
)
def test_what_the_run_has_not_opened_is_closed_all_the_same(
    keeper: Keeper, conversation: Conversation, reply: t.Any, outcome: str
) -> None:
    conversation.expect_stop(A, "id-of-another-run", reply)
    assert close(keeper, "id-of-another-run") == outcome


def test_a_stop_that_failed_can_be_asked_for_again(keeper: Keeper, conversation: Conversation) -> None:
    conversation.expect_open(A, opened(A, "id-a"))
    open_one(keeper)
    conversation.expect_stop(A, "id-a", WRONG_KEY, STOPPED)
    assert close(keeper, "id-a") == "auth"
    assert close(keeper, "id-a") == "closed"
    assert keeper.finish() == {"opened": 1, "closed": 1, "left": [], "unsure": [], "ended_early": []}


def test_the_control_folder_goes_with_the_connection(keeper: Keeper, conversation: Conversation, run: Run) -> None:
    conversation.expect_open(A, opened(A, "id-a"))
    open_one(keeper)
    folder = pathlib.Path(run.control_path_dir("id-a"))
    folder.mkdir(parents=True)

    def answer(request: requests.PreparedRequest) -> Reply:
        assert not folder.exists()  # the masters end before the stop
        return STOPPED

    conversation.expect_stop(A, "id-a", answer)
    assert close(keeper, "id-a") == "closed"


def test_one_connection_named_twice_is_answered_twice(keeper: Keeper, conversation: Conversation) -> None:
    conversation.expect_open(SERVICE, opened(SERVICE, "id-a"))
    open_one(keeper, SERVICE)
    conversation.expect_stop(SERVICE, "id-a", STOPPED)
    events = list(keeper.close(ACCOUNT, [[SERVICE, "id-a", ""], [SERVICE.lower(), "id-a", ""]]))
    assert sorted(event["service"] for event in events) == sorted((SERVICE, SERVICE.lower()))


def test_what_is_being_closed_is_closed_before_the_service_is_opened_again(
    keeper: Keeper, conversation: Conversation, alive: str
) -> None:
    """The vendor may answer the second opening with the connection that is just being stopped."""
    stopping, gate = threading.Event(), threading.Event()

    def stop(request: requests.PreparedRequest) -> Reply:
        stopping.set()
        gate.wait(30)
        return STOPPED

    def answer(request: requests.PreparedRequest) -> Reply:
        assert gate.is_set()
        return opened(A, "id-1", alive)

    conversation.expect_open(A, opened(A, "id-1", alive))
    open_one(keeper)
    conversation.expect_stop(A, "id-1", stop)
    conversation.expect_open(A, answer)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        closed = pool.submit(close, keeper, "id-1")
        assert stopping.wait(30)
        again = pool.submit(open_one, keeper)
        concurrent.futures.wait([again], 0.2)  # it has to wait for the stop
        gate.set()
        assert (closed.result(30), again.result(30).reused) == ("closed", False)
    conversation.expect_stop(A, "id-1", STOPPED)
    assert keeper.finish()["closed"] == 2


# -- the end -----------------------------------------------------------------------------------------------------------


def test_the_end_closes_what_is_left(keeper: Keeper, conversation: Conversation, ledger: Ledger) -> None:
    conversation.in_any_order = True
    for service, connectionid in ((A, "id-a"), (B, "id-b"), (C, "id-c")):
        conversation.expect_open(service, opened(service, connectionid))
        conversation.expect_stop(service, connectionid, STOPPED)
    ask(keeper, A, B, C)
    assert close(keeper, "id-b", B) == "closed"
    recap = {"opened": 3, "closed": 3, "left": [], "unsure": [], "ended_early": []}
    assert keeper.finish() == recap
    assert keeper.finish() == recap  # once, however often it is asked for
    assert not os.path.exists(ledger.path)


def test_the_end_closes_what_is_left_although_no_thread_can_be_started(
    keeper: Keeper, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation.expect_open(A, opened(A, "id-a"))
    open_one(keeper)

    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    conversation.expect_stop(A, "id-a", STOPPED)
    recap = keeper.finish()
    assert (recap["opened"], recap["closed"]) == (1, 1)


def test_after_the_end_nothing_is_opened(keeper: Keeper) -> None:
    assert keeper.finish() == {"opened": 0, "closed": 0, "left": [], "unsure": [], "ended_early": []}
    with pytest.raises(RemoteItError, match="the run is ending"):
        ask(keeper, A)


def test_the_end_waits_for_an_opening_under_way(keeper: Keeper, conversation: Conversation) -> None:
    sent = threading.Event()

    def answer(request: requests.PreparedRequest) -> Reply:
        sent.set()
        assert keeper.ending.wait(30)
        return opened(A, "id-a")

    conversation.expect_open(A, answer)
    conversation.expect_stop(A, "id-a", STOPPED)
    ahead(keeper, A)
    assert sent.wait(30)
    assert keeper.finish() == {"opened": 1, "closed": 1, "left": [], "unsure": [], "ended_early": []}


def test_the_end_waits_for_an_opening_that_was_asked_for_again(keeper: Keeper, conversation: Conversation) -> None:
    sent, gate = threading.Event(), threading.Event()

    def late(request: requests.PreparedRequest) -> Reply:
        sent.set()
        gate.wait(30)
        return opened(A, "id-late")

    conversation.in_any_order = True
    conversation.expect_open(A, late)
    conversation.expect_stop(A, "id-2", STOPPED)
    conversation.expect_stop(A, "id-late", STOPPED)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pool.submit(open_one, keeper)
        assert sent.wait(30)
        conversation.expect_open(A, opened(A, "id-2"))
        open_one(keeper, reuse=False)
        recap = pool.submit(keeper.finish)
        concurrent.futures.wait([recap], 0.2)  # the end has to wait for the late one
        gate.set()
        assert recap.result(30) == {"opened": 2, "closed": 2, "left": [], "unsure": [], "ended_early": []}


def test_what_was_not_sent_when_the_end_began_is_not_sent_any_more(keeper: Keeper, conversation: Conversation) -> None:
    sent = threading.Event()

    def answer(request: requests.PreparedRequest) -> Reply:
        sent.set()
        assert keeper.ending.wait(30)
        return opened(A, "id-a")

    conversation.expect_open(A, answer)
    conversation.expect_stop(A, "id-a", STOPPED)
    ahead(keeper, A, B, C, who=account(concurrency=1))
    assert sent.wait(30)
    keeper.finish()
    conversation.verify()


def test_what_is_detached_stays_open_and_in_the_ledger(
    keeper: Keeper, conversation: Conversation, ledger: Ledger
) -> None:
    conversation.expect_open(A, opened(A, "id-a"))
    open_one(keeper, detach=True)
    assert keeper.finish() == {"opened": 1, "closed": 0, "left": [], "unsure": [], "ended_early": []}
    assert written(ledger) == [("intent", 1, None), ("opened", 1, "id-a")]


def test_what_could_not_be_closed_is_named_and_stays_in_the_ledger(
    keeper: Keeper, conversation: Conversation, ledger: Ledger, pauses: list[float]
) -> None:
    conversation.expect_open(A, opened(A, "id-a"))
    connection = open_one(keeper)
    conversation.expect_stop(A, "id-a", *[Reply({"status": "false"}, 500)] * 5)
    recap = keeper.finish()
    assert (recap["opened"], recap["closed"], recap["unsure"]) == (1, 0, [])
    (left,) = recap["left"]
    assert (left["service"], left["connectionid"], left["expires_at"]) == (A, "id-a", connection.expires_at)
    assert "HTTP 500" in left["why"]
    assert written(ledger) == [("intent", 1, None), ("opened", 1, "id-a"), ("closing", 1, None)]


def test_the_end_tries_again_what_could_not_be_closed(keeper: Keeper, conversation: Conversation) -> None:
    conversation.expect_open(A, opened(A, "id-a"))
    open_one(keeper)
    conversation.expect_stop(A, "id-a", WRONG_KEY, STOPPED)
    assert close(keeper, "id-a") == "auth"
    assert keeper.finish() == {"opened": 1, "closed": 1, "left": [], "unsure": [], "ended_early": []}


def test_a_folder_in_the_ledgers_place_does_not_spoil_the_end(
    keeper: Keeper, conversation: Conversation, ledger: Ledger
) -> None:
    conversation.expect_open(A, opened(A, "id-a"))
    conversation.expect_stop(A, "id-a", STOPPED)
    open_one(keeper)
    os.unlink(ledger.path)
    os.mkdir(ledger.path)
    assert keeper.finish()["closed"] == 1


def test_a_control_folder_that_cannot_be_read_does_not_keep_its_connection_open(
    keeper: Keeper, conversation: Conversation, run: Run
) -> None:
    conversation.expect_open(A, opened(A, "id-a"))
    open_one(keeper)
    os.mkdir(run.runtime_dir)
    os.symlink("nowhere", os.path.join(run.runtime_dir, "nowhere"))
    os.symlink("nowhere", run.control_path_dir("id-a"))
    conversation.expect_stop(A, "id-a", STOPPED)
    assert close(keeper, "id-a") == "closed"


# -- calls whose answer says nothing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        requests.exceptions.ReadTimeout(),
        requests.exceptions.ConnectionError("Connection aborted.", ConnectionResetError()),
        Reply(""),
        Reply("<p>", 502),
        opened(A, ""),  # opened, but nobody can stop it
    ],
)
def test_a_call_without_a_clear_answer_is_not_forgotten(
    keeper: Keeper, conversation: Conversation, ledger: Ledger, answer: t.Any
) -> None:
    conversation.expect_open(A, answer)
    (event,) = ask(keeper, A)
    recap = keeper.finish()
    assert (recap["opened"], recap["closed"], recap["left"]) == (0, 0, [])
    (unsure,) = recap["unsure"]
    assert (unsure["service"], unsure["why"]) == (A, event["failure"]["message"])
    assert datetime.datetime.strptime(unsure["at"], "%Y-%m-%dT%H:%M:%SZ")
    assert written(ledger) == [("intent", 1, None)]


@pytest.mark.parametrize("shown", [True, False])
def test_what_the_sessions_show_of_a_call_without_an_answer_is_closed(
    keeper: Keeper, conversation: Conversation, ledger: Ledger, shown: bool
) -> None:
    who = account(WITH_ACCESS_KEY)
    conversation.expect_query({"serviceId": SERVICE}, requests.exceptions.ConnectionError())
    assert ask(keeper, SERVICE, who=who)[0]["failure"]["may_be_open"]
    conversation.expect_query({}, sessions(*(["id-x"] if shown else []), started=format_utc(utc_now())))
    if shown:
        conversation.expect_query({"connectionId": "id-x", "serviceId": SERVICE}, Reply({"data": {"disconnect": True}}))
    recap = keeper.finish()
    assert (recap["opened"], recap["closed"]) == ((1, 1) if shown else (0, 0))
    assert len(recap["unsure"]) == (0 if shown else 1)
    assert os.path.exists(ledger.path) != shown


@pytest.mark.parametrize("trouble", ["ledgers", "sessions"])
def test_what_cannot_be_found_out_at_the_end_is_said_and_the_rest_is_closed(
    keeper: Keeper, conversation: Conversation, ledger: Ledger, trouble: str
) -> None:
    conversation.expect_open(A, opened(A, "id-a"))
    open_one(keeper)
    conversation.expect_query({"serviceId": SERVICE}, requests.exceptions.ConnectionError())
    ask(keeper, SERVICE, who=account(WITH_ACCESS_KEY))
    conversation.in_any_order = True
    conversation.expect_stop(A, "id-a", STOPPED)
    if trouble == "ledgers":
        os.chmod(os.path.dirname(ledger.path), 0o777)
        conversation.expect_query({}, sessions("id-x", started=format_utc(utc_now())))
    else:
        conversation.expect_query({}, RuntimeError("nobody thought of this"))
    recap = keeper.finish()
    assert (recap["opened"], recap["closed"]) == (1, 1)
    (unsure,) = recap["unsure"]
    assert "it could not be found out whether it did" in unsure["why"]
    assert ("not a private directory" if trouble == "ledgers" else "nobody thought of this") in unsure["why"]
    assert os.path.exists(ledger.path)


@pytest.mark.parametrize("answer", [refused("[0861]", 200), WRONG_KEY, Reply("", 429), Reply({"status": "false"})])
def test_a_refusal_opened_nothing(keeper: Keeper, conversation: Conversation, ledger: Ledger, answer: Reply) -> None:
    conversation.expect_open(A, answer)
    ask(keeper, A)
    assert keeper.finish() == {"opened": 0, "closed": 0, "left": [], "unsure": [], "ended_early": []}
    assert not os.path.exists(ledger.path)


def test_a_gateway_that_gave_up_is_no_clear_answer(keeper: Keeper, conversation: Conversation) -> None:
    conversation.expect_open(A, Reply({"message": "Endpoint request timed out"}, 504))
    ask(keeper, A)
    assert [unsure["service"] for unsure in keeper.finish()["unsure"]] == [A]


def test_a_refused_line_opened_nothing(keeper: Keeper, conversation: Conversation, ledger: Ledger, dead: str) -> None:
    session = requests.Session()
    session.trust_env = False
    with pytest.raises(requests.exceptions.ConnectionError) as refusal:
        session.post(dead)
    conversation.expect_open(A, refusal.value)
    assert ask(keeper, A)[0]["failure"]["code"] == "network"
    assert keeper.finish()["unsure"] == []
    assert not os.path.exists(ledger.path)


def test_a_connection_that_could_not_be_used_and_was_stopped_is_not_left(
    keeper: Keeper, conversation: Conversation, ledger: Ledger
) -> None:
    conversation.expect_open(A, opened(A, "id-a", "nonsense"))
    conversation.expect_stop(A, "id-a", STOPPED)
    assert ask(keeper, A)[0]["failure"]["code"] == "bad_answer"
    assert keeper.finish()["unsure"] == []
    assert not os.path.exists(ledger.path)


def test_a_connection_that_could_neither_be_used_nor_stopped_is_stopped_at_the_end(
    keeper: Keeper, conversation: Conversation
) -> None:
    conversation.expect_open(A, opened(A, "id-a", "nonsense"))
    conversation.expect_stop(A, "id-a", WRONG_KEY, STOPPED)
    assert ask(keeper, A)[0]["failure"]["code"] == "bad_answer"
    keeper.finish()
    conversation.verify()


def test_a_connection_that_can_only_be_stopped_is_handed_out_to_nobody(
    keeper: Keeper, conversation: Conversation, alive: str
) -> None:
    """The vendor may answer the next opening with it, this time well."""
    conversation.expect_open(A, opened(A, "id-a", "nonsense"))
    conversation.expect_stop(A, "id-a", WRONG_KEY)
    ask(keeper, A)
    conversation.expect_open(A, opened(A, "id-a", alive))
    assert [(open_one(keeper).host, open_one(keeper).reused)] == [("127.0.0.1", True)]
    conversation.expect_stop(A, "id-a", STOPPED)
    assert keeper.finish()["closed"] == 1


def test_two_services_with_one_connection_id_are_two_connections(keeper: Keeper, conversation: Conversation) -> None:
    conversation.expect_open(A, opened(A, "id-a"))
    conversation.expect_open(B, opened(B, "id-a"))
    for service in (A, B):
        assert ask(keeper, service)[0]["connection"]["deviceaddress"] == service
    conversation.in_any_order = True
    conversation.expect_stop(A, "id-a", STOPPED)
    conversation.expect_stop(B, "id-a", STOPPED)
    assert keeper.finish()["closed"] == 2


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_a_touch_uses_the_open_port_proxies(
    keeper: Keeper, conversation: Conversation, listener: socket.socket, alive: str
) -> None:
    conversation.expect_open(A, opened(A, "id-a", alive))
    open_one(keeper)
    conversation.expect_open(B, opened(B, "id-b", "https://does-not-exist.invalid"))
    open_one(keeper, B)
    listener.settimeout(30)
    keeper.touch()
    listener.accept()[0].close()
    conversation.expect_stop(A, "id-a", STOPPED)
    close(keeper, "id-a")
    keeper.touch()
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


# -- a second connection to one service ----------------------------------------------------------------------------


def test_the_vendor_answers_with_the_same_connection(keeper: Keeper, conversation: Conversation, alive: str) -> None:
    """It counts once, and ends when the last who got it has closed it."""
    conversation.expect_open(A, opened(A, "id-1", alive))
    open_one(keeper)
    conversation.expect_open(A, opened(A, "id-1", alive))
    open_one(keeper, reuse=False)
    assert close(keeper, "id-1") == "still_used"
    conversation.expect_stop(A, "id-1", STOPPED)
    assert close(keeper, "id-1") == "closed"
    assert keeper.finish() == {"opened": 1, "closed": 1, "left": [], "unsure": [], "ended_early": []}


def test_the_same_connection_outlives_the_run_if_one_of_its_openings_is_to(
    keeper: Keeper, conversation: Conversation, ledger: Ledger, alive: str
) -> None:
    conversation.expect_open(A, opened(A, "id-1", alive))
    open_one(keeper)
    conversation.expect_open(A, opened(A, "id-1", alive))
    open_one(keeper, reuse=False, detach=True)
    assert (keeper.finish()["closed"], pathlib.Path(ledger.path).exists()) == (0, True)


def test_an_id_that_comes_back_after_its_stop_is_open_again(
    keeper: Keeper, conversation: Conversation, alive: str
) -> None:
    for _unused in range(2):
        conversation.expect_open(A, opened(A, "id-1", alive))
        open_one(keeper)
        conversation.expect_stop(A, "id-1", STOPPED)
        assert close(keeper, "id-1") == "closed"


def test_an_id_that_comes_back_after_a_stop_that_failed_is_closed_once(
    keeper: Keeper, conversation: Conversation, ledger: Ledger, dead: str
) -> None:
    conversation.expect_open(A, opened(A, "id-1", dead))
    open_one(keeper)
    conversation.expect_stop(A, "id-1", refused("not now", 400))
    assert close(keeper, "id-1") == "api"
    conversation.expect_open(A, opened(A, "id-1", dead))
    open_one(keeper)
    conversation.expect_stop(A, "id-1", STOPPED)
    assert close(keeper, "id-1") == "closed"
    assert keeper.finish() == {"opened": 1, "closed": 1, "left": [], "unsure": [], "ended_early": []}
    assert not os.path.exists(ledger.path)


def test_the_vendor_ends_the_older_connection(
    keeper: Keeper, conversation: Conversation, ledger: Ledger, dead: str
) -> None:
    """It says so; the stop that is sent all the same makes sure."""
    conversation.expect_open(A, opened(A, "id-1", dead))
    open_one(keeper)
    conversation.expect_open(A, opened(A, "id-2", dead, connectionOverridden="true"))
    conversation.in_any_order = True
    conversation.expect_stop(A, "id-1", *[refused("no such connection", 401)] * 2)
    open_one(keeper, reuse=False)
    assert close(keeper, "id-1") == "already_closed"
    conversation.expect_stop(A, "id-2", STOPPED)
    assert close(keeper, "id-2") == "closed"
    assert keeper.finish() == {"opened": 2, "closed": 2, "left": [], "unsure": [], "ended_early": []}


def test_another_accounts_connection_is_not_the_one_that_was_overridden(
    keeper: Keeper, conversation: Conversation, dead: str
) -> None:
    conversation.expect_open(A, opened(A, "id-1", dead))
    open_one(keeper, who=account(Credentials(DEFAULT_API_URL, "another key", token="another")))
    conversation.expect_open(A, opened(A, "id-2", dead, connectionOverridden="true"))
    open_one(keeper)
    conversation.in_any_order = True
    conversation.expect_stop(A, "id-1", STOPPED)
    conversation.expect_stop(A, "id-2", STOPPED)
    assert keeper.finish()["closed"] == 2


def test_somebody_else_has_ended_a_connection(keeper: Keeper, conversation: Conversation, dead: str) -> None:
    conversation.expect_open(A, opened(A, "id-1", dead))
    open_one(keeper)
    conversation.expect_stop(A, "id-1", *[refused("no such connection", 401)] * 2)
    assert close(keeper, "id-1") == "already_closed"
    assert keeper.finish()["ended_early"] == [{"service": A, "connectionid": "id-1", "host": None}]


def test_what_still_answers_is_not_gone_whatever_the_api_says(
    keeper: Keeper, conversation: Conversation, ledger: Ledger, alive: str
) -> None:
    conversation.expect_open(A, opened(A, "id-1", alive))
    open_one(keeper)
    conversation.expect_stop(A, "id-1", *[refused("no such connection", 401)] * 4)
    assert close(keeper, "id-1") == "api"
    assert [left["connectionid"] for left in keeper.finish()["left"]] == ["id-1"]
    assert os.path.exists(ledger.path)


def test_who_wants_it_to_outlive_the_run_gets_that_from_a_connection_that_is_there(
    keeper: Keeper, conversation: Conversation, ledger: Ledger, alive: str
) -> None:
    conversation.expect_open(A, opened(A, "id-1", alive))
    open_one(keeper)
    assert open_one(keeper, detach=True).reused
    assert (keeper.finish()["closed"], pathlib.Path(ledger.path).exists()) == (0, True)


def test_an_opening_that_fails_in_an_unknown_way_may_be_open(
    keeper: Keeper, conversation: Conversation, ledger: Ledger
) -> None:
    conversation.expect("POST", "/device/connect", RuntimeError("nobody thought of this"))
    assert ask(keeper, A)[0]["failure"]["code"] == "api"
    assert [unsure["service"] for unsure in keeper.finish()["unsure"]] == [A]
    assert pathlib.Path(ledger.path).exists()


@pytest.mark.parametrize(("seconds", "reuse"), [("28797", False), ("200", True)])
def test_what_is_not_handed_out_does_not_outlive_the_run(
    keeper: Keeper, conversation: Conversation, alive: str, seconds: str, reuse: bool
) -> None:
    """A new one was asked for, or the old one is near its end: only the new one was meant."""
    conversation.expect_open(A, opened(A, "id-1", alive, expirationsec=seconds))
    open_one(keeper)
    conversation.expect_open(A, opened(A, "id-2", alive))
    assert open_one(keeper, detach=True, reuse=reuse).connectionid == "id-2"
    conversation.expect_stop(A, "id-1", STOPPED)
    assert keeper.finish()["closed"] == 1
