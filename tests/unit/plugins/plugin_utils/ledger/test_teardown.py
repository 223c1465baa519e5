# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The teardown: it closes what dead runs have left, and nothing else."""

from __future__ import annotations

import dataclasses
import datetime
import os
import pathlib
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectionRef, DirectBackend
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import DEFAULT_API_URL
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import AuthError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import is_used_by_another
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.teardown import teardown
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import process_identity
from ansible_collections.remoteit.fleet.tests.unit.plugins.conversation import (
    LOGGED_IN,
    SERVICE,
    STOPPED,
    WITH_ACCESS_KEY,
    WITH_PASSWORD,
    WITH_TOKEN,
    Conversation,
    Reply,
    account,
    refused,
    sessions,
)

OURS = WITH_TOKEN.fingerprint()
OLD_TOKEN = dataclasses.replace(WITH_TOKEN, token="an older one").fingerprint()
STOP = (SERVICE, "id-a")
RUN = "job-0123456789"


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "state" / "runs")


def begin(folder: str, run_id: str = RUN, controller: str | None = None) -> Ledger:
    ledger, _unused = Ledger.begin(folder, run_id, controller)
    return ledger


def left_behind(
    folder: str,
    run_id: str = RUN,
    who: str = OURS,
    hours: int = 8,
    *,
    opened: bool = True,
    controller: str | None = None,
) -> Ledger:
    """The ledger of a run that opened something and whose keeper died."""
    ledger = begin(folder, run_id, controller)
    ledger.intent(1, SERVICE, DEFAULT_API_URL, who)
    if opened:
        end = format_utc(utc_now() + datetime.timedelta(hours=hours))
        ledger.opened(
            1, Connection(*STOP, "http://p:1", "p", 1, "tcp", False, "caller", expires_at=end), detached=False
        )
    ledger._file.close()
    return ledger


def run(folder: str, run_id: str | None = None, *, check_mode: bool = False) -> dict[ConnectionRef, t.Any]:
    return dict(teardown(folder, run_id, account, DirectBackend(), check_mode=check_mode))


def no_account() -> Account:
    raise AuthError("there are no credentials")


@pytest.mark.parametrize(
    ("replies", "outcome"),
    [([STOPPED], "closed"), ([refused("<error message>"), Reply({"status": "true"})], "already_closed")],
)
def test_what_is_open_is_closed_and_the_ledger_removed(
    conversation: Conversation, folder: str, replies: list[Reply], outcome: str
) -> None:
    ledger = left_behind(folder)
    conversation.expect_stop(*STOP, replies[0])
    if replies[1:]:
        conversation.expect("GET", "/device/list/all", replies[1])
        conversation.expect_stop(*STOP, replies[0])
    assert run(folder) == {STOP: outcome}
    assert not os.path.exists(ledger.path)
    assert run(folder) == {}  # safe to run twice


def test_what_could_not_be_closed_is_told_and_tried_the_next_time(conversation: Conversation, folder: str) -> None:
    left_behind(folder)
    conversation.expect_stop(*STOP, refused("api key failed validation"), STOPPED)
    assert isinstance(run(folder)[STOP], AuthError)
    assert run(folder) == {STOP: "closed"}


@pytest.mark.parametrize("controller", [None, "another-boot pid:[1] 1 1", "{boot} pid:[1] 1 1"])
def test_a_run_that_lives_is_not_touched(conversation: Conversation, folder: str, controller: str | None) -> None:
    """Wherever it lives: the folder may be another container's, or another machine's too."""
    boot = str(process_identity(os.getpid())).split()[0]
    alive = begin(folder, RUN, controller and controller.format(boot=boot))
    alive.intent(1, SERVICE, DEFAULT_API_URL, OURS)
    alive.opened(1, Connection(*STOP, "http://p:1", "p", 1, "tcp", False, "caller"), detached=False)
    assert run(folder) == {}
    assert os.path.exists(alive.path)
    left_behind(folder, "dead-0123456789")  # what the vendor has given to both
    assert run(folder) == {STOP: "still_used"}


def test_a_run_that_closes_the_same_at_that_time_does_not_leave_it_to_the_dead_one(
    conversation: Conversation, folder: str
) -> None:
    """Each would take the other for the one who closes it."""
    other = (SERVICE, "id-b")
    alive, dead = (begin(folder, f"{job}-0123456789", f"another-boot pid:[1] {job} 1") for job in (41, 42))
    for ledger in (alive, dead):
        for number, stop in enumerate((STOP, other)):
            ledger.intent(number, SERVICE, DEFAULT_API_URL, OURS)
            ledger.opened(number, Connection(*stop, "http://p:1", "p", 1, "tcp", False, "caller"), detached=False)
    dead._file.close()
    outcomes = teardown(folder, "42", account, DirectBackend(), check_mode=False)
    assert next(outcomes) == (STOP, "still_used")
    alive.closing(1)
    assert not is_used_by_another(alive.path, other[1])
    assert list(outcomes) == [(other, "still_used")]


def test_what_a_run_that_lives_does_not_need_any_more_is_closed(conversation: Conversation, folder: str) -> None:
    alive = begin(folder, "41-0123456789", "another-boot pid:[1] 41 1")
    alive.intent(1, SERVICE, DEFAULT_API_URL, OURS)
    alive.opened(1, Connection(*STOP, "http://p:1", "p", 1, "tcp", False, "caller"), detached=False)
    alive.closing(1)
    left_behind(folder, "42-0123456789")
    conversation.expect_stop(*STOP, STOPPED)
    assert run(folder) == {STOP: "closed"}


def test_a_ledger_that_cannot_be_read_is_named_and_keeps_no_other_open(
    conversation: Conversation, folder: str, unreadable: t.Callable[[str], None]
) -> None:
    odd = left_behind(folder, "another-users")
    unreadable(odd.path)
    left_behind(folder)
    conversation.expect_stop(*STOP, STOPPED)
    assert run(folder, "a-job") == {}
    outcomes = run(folder)
    assert outcomes.pop(STOP) == "closed"
    (outcome,) = outcomes.values()
    assert f"the ledger {odd.path} cannot be read" in outcome.message


def test_another_accounts_is_named_and_left(conversation: Conversation, folder: str) -> None:
    ledger = left_behind(folder, who="another account")
    with pytest.raises(AuthError, match="job-0123456789 opened it with other credentials"):
        raise run(folder)[STOP]
    assert os.path.exists(ledger.path)


def test_a_new_token_of_the_same_account_closes_what_the_old_one_opened(
    conversation: Conversation, folder: str
) -> None:
    ledger = left_behind(folder, who=OLD_TOKEN)
    conversation.expect_stop(*STOP, STOPPED)
    assert run(folder) == {STOP: "closed"}
    assert not os.path.exists(ledger.path)


def test_what_a_new_token_does_not_know_may_be_somebody_elses(conversation: Conversation, folder: str) -> None:
    """Another user with the same developer key gets the answer that a closed connection gets."""
    ledger = left_behind(folder, who=OLD_TOKEN)
    conversation.expect_stop(*STOP, refused("<error message>"))
    conversation.expect("GET", "/device/list/all", Reply({"status": "true"}))
    conversation.expect_stop(*STOP, refused("<error message>"))
    with pytest.raises(AuthError, match="opened it with another login"):
        raise run(folder)[STOP]
    assert os.path.exists(ledger.path)


def test_an_opening_without_an_answer_is_told_until_it_must_have_ended(conversation: Conversation, folder: str) -> None:
    ledger = left_behind(folder, opened=False)
    with pytest.raises(RemoteItError, match=r"job-0123456789 died while it opened this service .* ends by itself at"):
        raise run(folder)[SERVICE, ""]
    assert os.path.exists(ledger.path)


@pytest.fixture
def lost(folder: str) -> Ledger:
    """An opening with an access key whose answer was lost."""
    return left_behind(folder, who=WITH_ACCESS_KEY.fingerprint(), opened=False)


def run_with_access_key(folder: str, *, check_mode: bool = False) -> dict[ConnectionRef, t.Any]:
    return dict(teardown(folder, None, lambda: account(WITH_ACCESS_KEY), DirectBackend(), check_mode=check_mode))


def test_an_opening_without_an_answer_is_found_among_the_sessions_and_closed(
    conversation: Conversation, folder: str, lost: Ledger
) -> None:
    conversation.expect_query({}, sessions(STOP[1], started=format_utc(utc_now())))
    assert run_with_access_key(folder, check_mode=True) == {STOP: "closed"}
    conversation.expect_query({}, sessions(STOP[1], started=format_utc(utc_now())))
    conversation.expect_query({"connectionId": STOP[1], "serviceId": SERVICE}, Reply({"data": {"disconnect": True}}))
    assert run_with_access_key(folder) == {STOP: "closed"}
    assert not os.path.exists(lost.path)


@pytest.mark.parametrize(
    "answer", [sessions(), sessions("id-a", user="somebody else", started=format_utc(utc_now())), refused("no", 403)]
)
def test_an_opening_that_the_sessions_do_not_show_yet_is_told(
    conversation: Conversation, folder: str, lost: Ledger, answer: Reply
) -> None:
    conversation.expect_query({}, answer)
    with pytest.raises(RemoteItError, match="died while it opened this service"):
        raise run_with_access_key(folder)[SERVICE, ""]
    assert os.path.exists(lost.path)


def test_an_opening_is_not_explained_while_a_ledger_cannot_be_read(
    conversation: Conversation, folder: str, lost: Ledger, unreadable: t.Callable[[str], None]
) -> None:
    unreadable(left_behind(folder, "another-users").path)
    conversation.expect_query({}, sessions(STOP[1], started=format_utc(utc_now())))
    outcomes = run_with_access_key(folder)
    assert len(outcomes) == 2
    assert "nobody knows whether" in outcomes[SERVICE, ""].message


def test_an_opening_is_not_explained_by_what_another_run_has_opened(
    conversation: Conversation, folder: str, lost: Ledger
) -> None:
    another = begin(folder, "another")
    another.intent(1, SERVICE, DEFAULT_API_URL, WITH_ACCESS_KEY.fingerprint())
    another.opened(1, Connection(*STOP, "http://p:1", "p", 1, "tcp", False, "caller"), detached=False)
    conversation.expect_query({}, sessions(STOP[1], started=format_utc(utc_now())))
    assert list(run_with_access_key(folder)) == [(SERVICE, "")]


@pytest.mark.parametrize(("reply", "outcome"), [(STOPPED, "closed"), (Reply("", 400), "already_closed")])
def test_what_must_have_ended_by_itself_is_stopped_all_the_same(
    conversation: Conversation, folder: str, reply: Reply, outcome: str
) -> None:
    """The clock that says so may be wrong."""
    ledger = left_behind(folder, hours=-1)
    conversation.expect_stop(*STOP, reply)
    assert run(folder) == {STOP: outcome}
    assert not os.path.exists(ledger.path)


def test_what_must_have_ended_by_itself_needs_no_credentials(folder: str) -> None:
    ledger = left_behind(folder, hours=-1)
    assert dict(teardown(folder, None, no_account, DirectBackend(), check_mode=False)) == {STOP: "already_closed"}
    assert not os.path.exists(ledger.path)


def test_without_credentials_what_is_open_is_named(folder: str) -> None:
    ledger = left_behind(folder)
    (outcome,) = dict(teardown(folder, None, no_account, DirectBackend(), check_mode=False)).values()
    assert outcome.message == "there are no credentials"
    assert os.path.exists(ledger.path)


def test_what_a_living_run_has_got_too_is_left_to_it(folder: str) -> None:
    """The vendor may answer a second run with the first one's connection."""
    dead = left_behind(folder)
    alive = begin(folder, "job-2")
    alive.intent(1, SERVICE, DEFAULT_API_URL, OURS)
    alive.opened(1, Connection(*STOP, "http://p:1", "p", 1, "tcp", False, "caller"), detached=False)
    assert run(folder) == {STOP: "still_used"}
    assert not os.path.exists(dead.path)


def test_a_dead_run_whose_keeper_is_still_closing_is_waited_for(
    conversation: Conversation, folder: str, pauses: list[float]
) -> None:
    """And named, if that takes too long."""
    keepers = begin(folder, RUN, f"{process_identity(os.getpid())}0")
    keepers.intent(1, SERVICE, DEFAULT_API_URL, OURS)
    keepers.opened(1, Connection(*STOP, "http://p:1", "p", 1, "tcp", False, "caller"), detached=False)
    with pytest.raises(
        RemoteItError, match="job-0123456789 is dead, and its keeper or another teardown is still closing"
    ):
        raise run(folder)[STOP]
    assert sum(pauses) == pytest.approx(60)
    keepers._file.close()
    conversation.expect_stop(*STOP, STOPPED)
    assert run(folder) == {STOP: "closed"}


def test_a_dead_run_on_which_another_teardown_works_is_waited_for(
    conversation: Conversation, folder: str, pauses: list[float]
) -> None:
    """Also one of another container, of which nothing but its lock told that it was dead."""
    ledger = left_behind(folder, controller="another-boot pid:[1] 1 1")
    conversation.expect_stop(*STOP, refused("api key failed validation"), STOPPED)
    first = teardown(folder, None, account, DirectBackend(), check_mode=False)
    assert isinstance(next(first)[1], AuthError)
    with pytest.raises(RemoteItError, match="another teardown is still closing this"):
        raise run(folder)[STOP]
    assert sum(pauses) == pytest.approx(60)
    assert list(first) == []
    assert run(folder) == {STOP: "closed"}
    assert not os.path.exists(ledger.path)


def test_only_the_run_that_was_named(conversation: Conversation, folder: str) -> None:
    left_behind(folder, RUN)
    others = [left_behind(folder, f"{job}-0123456789") for job in ("other", "job-hotfix", "my-job")]
    conversation.expect_stop(*STOP, STOPPED)
    assert run(folder, "job") == {STOP: "closed"}
    assert all(os.path.exists(other.path) for other in others)


def test_many_dead_runs_take_one_login(conversation: Conversation, folder: str) -> None:
    """Who knows after how many that are refused an account is locked."""
    for job in ("41", "42"):
        left_behind(folder, f"{job}-0123456789", WITH_PASSWORD.fingerprint())
    conversation.expect("POST", "/user/login", LOGGED_IN)
    conversation.expect_stop(*STOP, STOPPED, STOPPED)
    outcomes = list(teardown(folder, None, lambda: account(WITH_PASSWORD), DirectBackend(), check_mode=False))
    assert outcomes == [(STOP, "closed"), (STOP, "closed")]


def test_check_mode_sends_nothing_and_predicts(conversation: Conversation, folder: str) -> None:
    ledger = left_behind(folder)
    assert run(folder, check_mode=True) == {STOP: "closed"}
    assert os.path.exists(ledger.path)
