# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Openings whose answer nobody has got, and what the account's sessions tell of them."""

from __future__ import annotations

import collections
import datetime
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import ApiSession
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import parse_utc, utc_now

#: A session may seem to have started so many seconds too early or too late: no two clocks are equal.
CLOCK_SKEW_SECONDS = 5
#: Clocks that differ by more than so many seconds sign no request that the API accepts.
MAX_CLOCK_SKEW_SECONDS = 300
#: An opening call that was sent so many seconds ago has had its effect, or never will.
SETTLED_SECONDS = 180


class PendingConnect(t.NamedTuple):
    """An opening call whose answer nobody has got."""

    number: int
    service: str
    sent_at: str
    failed_at: str | None = None  # when it was known that there is no answer
    responded: bool = False  # that something went wrong: it is over, then


def match_sessions(
    pending: t.Collection[PendingConnect],
    sessions: t.Collection[ApiSession],
    known_ids: t.Collection[str],
    contested_services: t.Collection[str],
) -> dict[PendingConnect, str | None]:
    """The id of the session that each opening has made, or none if it has made none. What is not certain is left out.

    It is one of the same user, of the same service, that started while the call was under way and is in no ledger.

    :param known_ids: the ids of connections that ledgers tell of, in small letters.
    :param contested_services: services, in capitals, for which other runs too have openings without an answer.
    """
    explained: dict[PendingConnect, str | None] = {}
    by_service: dict[str, list[PendingConnect]] = collections.defaultdict(list)
    for intent in pending:
        by_service[intent.service.upper()].append(intent)
    now = utc_now()
    for service, mine in by_service.items():
        settled = {each: each.responded or parse_utc(each.sent_at) + _seconds(SETTLED_SECONDS) < now for each in mine}
        first = min(parse_utc(each.sent_at) for each in mine)
        last = max(
            parse_utc(each.failed_at) if each.failed_at else parse_utc(each.sent_at) + _seconds(SETTLED_SECONDS)
            for each in mine
        )
        possible = [session for session in sessions if _may_be(session, service, known_ids, first)]
        found = [session for session in possible if _is_certain(session, first, last)]
        if service in contested_services or len(possible) > len(found) or len(found) > len(mine):
            continue
        explained.update(zip(mine, [session.id for session in found]))
        explained.update({intent: None for intent in mine[len(found) :] if settled[intent]})
    return explained


def _may_be(session: ApiSession, service: str, known_ids: t.Collection[str], first: datetime.datetime) -> bool:
    """Whether nothing speaks against it: what the API did not tell of it does not, nor does a late start."""
    if session.id is not None and session.id.lower() in known_ids:
        return False
    if session.service_id is not None and session.service_id.upper() != service:
        return False
    if session.is_ours is False or session.is_proxy is False:
        return False
    return session.started is None or parse_utc(session.started) >= first - _seconds(MAX_CLOCK_SKEW_SECONDS)


def _is_certain(session: ApiSession, first: datetime.datetime, last: datetime.datetime) -> bool:
    """Whether the API told everything of it, and it fits."""
    if None in session[:3] or not (session.is_ours and session.is_proxy):
        return False
    slack = _seconds(CLOCK_SKEW_SECONDS)
    return first - slack <= parse_utc(str(session.started)) <= last + slack


def _seconds(number: int) -> datetime.timedelta:
    return datetime.timedelta(seconds=number)
