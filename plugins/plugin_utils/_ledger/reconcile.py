# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Match connect calls that had no response with the sessions of their services."""

from __future__ import annotations

import collections
import datetime
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import ApiSession
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import parse_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import SETTLED_SECONDS

#: Seconds by which the start of a session may lie outside of the call: clocks are never equal.
CLOCK_SKEW_SECONDS = 5
#: The API rejects signed requests whose clock differs by more seconds.
MAX_CLOCK_SKEW_SECONDS = 300


class PendingConnect(t.NamedTuple):
    """A connect call without a usable response. It may have opened a connection."""

    number: int
    service: str
    sent_at: str
    failed_at: str | None = None  # when this process stopped waiting for the response
    is_over: bool = False  # the API has ended the call, so that it opens nothing later

    @property
    def settles_at(self) -> datetime.datetime:
        return parse_utc(self.sent_at) + _seconds(SETTLED_SECONDS)

    @property
    def is_settled(self) -> bool:
        return self.is_over or self.settles_at < utc_now()

    @property
    def latest_start(self) -> datetime.datetime:
        """Return when a session of this call can have started at the latest."""
        return parse_utc(self.failed_at) if self.failed_at else self.settles_at


def match_sessions(
    pending: t.Collection[PendingConnect],
    sessions: t.Mapping[str, t.Collection[ApiSession] | None],
    known_ids: t.Collection[str],
    contested_services: t.Collection[str],
) -> dict[PendingConnect, str | None]:
    """Return the ID of the session that each call started, or ``None`` for a call that started no session.

    The result does not contain calls for which this is uncertain. A session belongs to a call if the user and the
    service are the same, it started during the call, and no ledger contains it.

    :param sessions: the open connections to the service of each call; ``None`` if the API has not listed them.
    :param known_ids: the IDs of connections that ledgers contain, in lower case.
    :param contested_services: services for which other runs have pending calls too, in upper case.
    """
    by_service: dict[str, list[PendingConnect]] = collections.defaultdict(list)
    for call in pending:
        by_service[call.service.upper()].append(call)
    matches: dict[PendingConnect, str | None] = {}
    for service, calls in by_service.items():
        listed = sessions[calls[0].service]
        if listed is not None and service not in contested_services:
            matches.update(_match_service(service, calls, _unknown(listed, known_ids)))
    return matches


def may_have_session(
    call: PendingConnect, sessions: t.Mapping[str, t.Collection[ApiSession] | None], known_ids: t.Collection[str]
) -> bool:
    """Return whether a session may belong to the call, or the API has not listed the sessions of its service.

    For the parameters, see ``match_sessions``.
    """
    listed = sessions[call.service]
    first = parse_utc(call.sent_at)
    return listed is None or any(_is_possible(session, first) for session in _unknown(listed, known_ids))


def _unknown(sessions: t.Collection[ApiSession], known_ids: t.Collection[str]) -> list[ApiSession]:
    return [session for session in sessions if session.id is None or session.id.lower() not in known_ids]


def _match_service(
    service: str, calls: list[PendingConnect], sessions: t.Collection[ApiSession]
) -> dict[PendingConnect, str | None]:
    """Return the matches of one service: none if a session is unclear, or if there are more sessions than calls."""
    first = min(parse_utc(call.sent_at) for call in calls)
    last = max(call.latest_start for call in calls)
    candidates = [session for session in sessions if _is_possible(session, first)]
    if len(candidates) > len(calls) or not all(_is_certain(session, service, first, last) for session in candidates):
        return {}
    unmatched = calls[len(candidates) :]
    return {
        **dict(zip(calls, [session.id for session in candidates])),
        **{call: None for call in unmatched if call.is_settled},
    }


def _is_possible(session: ApiSession, first: datetime.datetime) -> bool:
    """Return whether nothing excludes the session.

    Missing fields, a late start, another kind of connection and another target do not exclude it: it is in the list of
    the service.
    """
    if session.is_ours is False:
        return False
    return session.started is None or parse_utc(session.started) >= first - _seconds(MAX_CLOCK_SKEW_SECONDS)


def _is_certain(session: ApiSession, service: str, first: datetime.datetime, last: datetime.datetime) -> bool:
    """Return whether the session has all fields and started between two times."""
    if None in session[:3] or not (session.is_ours and session.is_proxy) or str(session.service_id).upper() != service:
        return False
    slack = _seconds(CLOCK_SKEW_SECONDS)
    return first - slack <= parse_utc(str(session.started)) <= last + slack


def _seconds(number: int) -> datetime.timedelta:
    return datetime.timedelta(seconds=number)
