# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which session an opening without an answer has made: never somebody else's."""

from __future__ import annotations

import datetime
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.module_utils._connection import iso, utc_now
from ansible_collections.remoteit.fleet.plugins.module_utils._devices import Session
from ansible_collections.remoteit.fleet.plugins.plugin_utils._unanswered import Intent, explain
from ansible_collections.remoteit.fleet.tests.unit.plugins.conversation import SERVICES

A, B = SERVICES[:2]


def ago(seconds: int) -> str:
    return iso(utc_now() - datetime.timedelta(seconds=seconds))


def session(connectionid: str = "id-1", service: str = A, seconds: int = 99, **more: t.Any) -> Session:
    fields = {"user_id": "me", "user": "me@example.com", "is_ours": True, "is_proxy": True, **more}
    return Session(connectionid, service, ago(seconds), **fields)


OLD = Intent(1, A, ago(1000))
NEW = Intent(2, A, ago(100))


def test_it_is_found() -> None:
    assert explain([NEW], [session(service=A.lower()), session("id-2", B)], (), ()) == {NEW: session(service=A.lower())}


@pytest.mark.parametrize(
    "other",
    [
        session(is_ours=False),
        session(is_proxy=False),
        session(service=B),
        session(seconds=1100),
        session("ID-KNOWN"),
        session()._replace(started=None),
    ],
)
def test_another_is_not_taken_for_it(other: Session) -> None:
    """Once the call has had all its time, that means that there is none."""
    assert explain([NEW], [other], {"id-known"}, ()) == {}
    assert explain([OLD], [other], {"id-known"}, ()) == {OLD: None}


def test_where_two_are_possible_none_is_taken() -> None:
    assert explain([NEW], [session("id-1"), session("id-2")], (), ()) == {}
    assert explain([NEW], [session()], (), {A}) == {}


def test_as_many_sessions_as_openings() -> None:
    explained = explain([OLD, NEW], [session("id-1"), session("id-2")], (), ())
    assert {found.id for found in explained.values() if found} == {"id-1", "id-2"}
