# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The session that a connect call without a response started: never one of another user or run."""

from __future__ import annotations

import datetime
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import ApiSession
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reconcile import (
    PendingConnect,
    SessionList,
    match_sessions,
)
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import SERVICES

A, B = SERVICES[:2]
NOW = utc_now()


def ago(seconds: int) -> str:
    return format_utc(NOW - datetime.timedelta(seconds=seconds))


def session(connectionid: str = "id-1", service: str = A, seconds: int = 99, **more: t.Any) -> ApiSession:
    fields = {"is_ours": True, "is_proxy": True, **more}
    return ApiSession(connectionid, service, ago(seconds), **fields)


LEDGER = "/runs/a-run.jsonl"
SETTLED = PendingConnect(LEDGER, 1, A, ago(1000))
RECENT = PendingConnect(LEDGER, 2, A, ago(100))


def match(
    calls: list[PendingConnect],
    sessions: list[ApiSession],
    known_ids: t.Collection[str] = (),
    rivals: t.Collection[PendingConnect] = (),
) -> dict[PendingConnect, str | None]:
    return match_sessions(calls, SessionList({A: sessions}, known_ids, rivals))


def test_match_finds_the_session_of_a_call() -> None:
    assert match([RECENT], [session(service=A.lower()), session("id-2", is_ours=False)]) == {RECENT: "id-1"}


@pytest.mark.parametrize(
    "other",
    [
        session(is_ours=False),
        session(is_ours=False, is_proxy=False),
        session(seconds=5000),
        session("ID-KNOWN"),
    ],
)
def test_match_ignores_other_sessions(other: ApiSession) -> None:
    """A settled call that started no session opened nothing."""
    assert match([SETTLED], [other], {"id-known"}) == {SETTLED: None}
    now = format_utc(utc_now())  # the tests may run long after this file is imported
    failed = PendingConnect(LEDGER, 3, A, now, now)
    assert match([failed], [other], {"id-known"}) == {}


@pytest.mark.parametrize(
    "unclear",
    [
        session(seconds=990)._replace(started=None),
        session(seconds=990)._replace(is_ours=None),
        session(seconds=990)._replace(is_proxy=None),
        session(seconds=990, is_proxy=False),
        session(seconds=990)._replace(id=None),
        session(seconds=990)._replace(service_id=None),
        session(seconds=990, service=B),
        session(seconds=1200),  # within the clock skew that the API accepts
        session(seconds=1),  # started long after the call
    ],
)
def test_match_omits_calls_with_unclear_sessions(unclear: ApiSession) -> None:
    assert match([SETTLED], [unclear]) == {}
    assert match([SETTLED], [unclear, session(seconds=990)]) == {}


def test_match_omits_ambiguous_sessions() -> None:
    assert match([RECENT], [session("id-1"), session("id-2")]) == {}


def test_match_omits_sessions_that_a_rival_may_have() -> None:
    rival = PendingConnect("/runs/another.jsonl", 1, A.lower(), ago(300))
    assert match([SETTLED, RECENT], [session()], rivals=[rival]) == {}
    assert match([SETTLED], [], rivals=[rival]) == {SETTLED: None}
    assert match([SETTLED], [session(seconds=990)], rivals=[rival]) == {SETTLED: "id-1"}  # older than the rival
    assert match([RECENT], [session()], rivals=[rival._replace(service=B)]) == {RECENT: "id-1"}


def test_match_keeps_calls_after_an_unclear_session() -> None:
    """The older call may have started either session."""
    unclear = session("id-2", seconds=500, is_proxy=False)
    assert match([SETTLED, RECENT], [unclear]) == {}
    later = SETTLED._replace(number=3, sent_at=ago(400))
    assert match([SETTLED, later], [unclear._replace(started=ago(450))]) == {}
    old = session("id-2", seconds=800, is_proxy=False)
    assert match([SETTLED, later], [old]) == {later: None}
    assert match([SETTLED, later], [old, session(seconds=399)]) == {}


def test_match_omits_sessions_between_two_calls() -> None:
    """A connection that the user opened with the app of the vendor, hours after an old call."""
    old = SETTLED._replace(sent_at=ago(90000))
    app = session("id-app", seconds=7200)
    assert match([old, SETTLED], [app]) == {SETTLED: None}
    assert match([old, SETTLED], [app, session(seconds=990)]) == {}


def test_match_assigns_one_session_to_each_call() -> None:
    matches = match([RECENT, SETTLED], [session("id-2"), session("id-1", seconds=990)])
    assert matches == {SETTLED: "id-1", RECENT: "id-2"}


def test_match_assigns_sessions_to_calls_of_two_runs() -> None:
    """Which session belongs to which call is unknown, and does not matter."""
    other = RECENT._replace(ledger="/runs/another.jsonl")
    matches = match([RECENT, other], [session("id-1"), session("id-2")])
    assert set(matches) == {RECENT, other}
    assert set(matches.values()) == {"id-1", "id-2"}
    assert match([RECENT, other], [session("id-1"), session("id-2"), session("id-3")]) == {}


def test_match_omits_services_that_are_not_listed() -> None:
    assert match_sessions([SETTLED], SessionList({A: None})) == {}
