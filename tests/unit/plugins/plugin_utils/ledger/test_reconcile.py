# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which session an opening without an answer has made: never somebody else's."""

from __future__ import annotations

import datetime
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import ApiSession
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reconcile import PendingConnect, match_sessions
from ansible_collections.remoteit.fleet.tests.unit.plugins.conversation import SERVICES

A, B = SERVICES[:2]


def ago(seconds: int) -> str:
    return format_utc(utc_now() - datetime.timedelta(seconds=seconds))


def session(connectionid: str = "id-1", service: str = A, seconds: int = 99, **more: t.Any) -> ApiSession:
    fields = {"is_ours": True, "is_proxy": True, **more}
    return ApiSession(connectionid, service, ago(seconds), **fields)


OLD = PendingConnect(1, A, ago(1000))
NEW = PendingConnect(2, A, ago(100))
JUST_NOW = PendingConnect(3, A, ago(70), ago(60))


def test_it_is_found() -> None:
    assert match_sessions([NEW], [session(service=A.lower()), session("id-2", B)], (), ()) == {NEW: "id-1"}


@pytest.mark.parametrize(
    "other",
    [
        session(is_ours=False),
        session(is_proxy=False),
        session(service=B),
        session(seconds=5000),
        session("ID-KNOWN"),
    ],
)
def test_another_is_not_taken_for_it(other: ApiSession) -> None:
    """Once the call has had all its time, that means that there is none."""
    assert match_sessions([OLD], [other], {"id-known"}, ()) == {OLD: None}
    assert match_sessions([JUST_NOW], [other], {"id-known"}, ()).get(JUST_NOW) in (None, "id-1")
    answered = JUST_NOW._replace(failed_at=ago(60), responded=True)
    assert match_sessions([answered], [other], {"id-known"}, ()).get(answered) is None


@pytest.mark.parametrize(
    "unclear",
    [
        session(seconds=990)._replace(started=None),
        session(seconds=990)._replace(is_ours=None),
        session(seconds=990)._replace(is_proxy=None),
        session(seconds=990)._replace(id=None),
        session(seconds=990)._replace(service_id=None),
        session(seconds=1200),  # two clocks may differ so much
        session(seconds=1),  # it began long after the call, as somebody else's would
    ],
)
def test_what_the_api_does_not_tell_may_be_it_and_is_left_alone(unclear: ApiSession) -> None:
    assert match_sessions([OLD], [unclear], (), ()) == {}
    assert match_sessions([OLD], [unclear, session(seconds=990)], (), ()) == {}


def test_where_two_are_possible_none_is_taken() -> None:
    assert match_sessions([NEW], [session("id-1"), session("id-2")], (), ()) == {}
    assert match_sessions([NEW], [session()], (), {A}) == {}


def test_as_many_sessions_as_openings() -> None:
    explained = match_sessions([OLD, NEW], [session("id-1"), session("id-2")], (), ())
    assert set(explained.values()) == {"id-1", "id-2"}
