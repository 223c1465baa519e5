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
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reconcile import PendingConnect, match_sessions
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import SERVICES

A, B = SERVICES[:2]
NOW = utc_now()


def ago(seconds: int) -> str:
    return format_utc(NOW - datetime.timedelta(seconds=seconds))


def session(connectionid: str = "id-1", service: str = A, seconds: int = 99, **more: t.Any) -> ApiSession:
    fields = {"is_ours": True, "is_proxy": True, **more}
    return ApiSession(connectionid, service, ago(seconds), **fields)


SETTLED = PendingConnect(1, A, ago(1000))
RECENT = PendingConnect(2, A, ago(100))


def match(
    calls: list[PendingConnect],
    sessions: list[ApiSession],
    known_ids: t.Collection[str] = (),
    contested_services: t.Collection[str] = (),
) -> dict[PendingConnect, str | None]:
    return match_sessions(calls, {A: sessions}, known_ids, contested_services)


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
    failed = PendingConnect(3, A, now, now)
    assert match([failed], [other], {"id-known"}) == {}
    over = failed._replace(is_over=True)
    assert match([over], [other], {"id-known"}) == {over: None}


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
    assert match([RECENT], [session()], contested_services={A}) == {}


def test_match_assigns_one_session_to_each_call() -> None:
    matches = match([SETTLED, RECENT], [session("id-1"), session("id-2")])
    assert set(matches.values()) == {"id-1", "id-2"}


def test_match_omits_services_that_are_not_listed() -> None:
    assert match_sessions([SETTLED], {A: None}, (), ()) == {}
