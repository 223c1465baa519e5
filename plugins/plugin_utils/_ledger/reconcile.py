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
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import SETTLED_SECONDS, Entry

#: Seconds by which the start of a session may lie outside of the call: clocks are never equal.
CLOCK_SKEW_SECONDS = 5
#: The API rejects signed requests whose clock differs by more seconds.
MAX_CLOCK_SKEW_SECONDS = 300


class PendingConnect(t.NamedTuple):
    """A connect call without a usable response. It may have opened a connection."""

    ledger: str  # the path of the ledger that contains it
    number: int
    service: str
    sent_at: str
    failed_at: str | None = None  # when this process stopped waiting for the response

    @classmethod
    def of(cls, ledger: str, entry: Entry) -> PendingConnect:
        return cls(ledger, entry.number, entry.service, entry.intended_at)

    @property
    def settles_at(self) -> datetime.datetime:
        return parse_utc(self.sent_at) + _seconds(SETTLED_SECONDS)

    @property
    def is_settled(self) -> bool:
        return self.settles_at < utc_now()

    @property
    def latest_start(self) -> datetime.datetime:
        """Return when a session of this call can have started at the latest."""
        return parse_utc(self.failed_at) if self.failed_at else self.settles_at


class SessionList(t.NamedTuple):
    """The sessions that the API has listed, and the content of the ledgers that makes them unclear.

    :ivar by_service: the open connections to the service of each call; ``None`` if the API has not listed them.
    :ivar known_ids: the IDs of connections that ledgers contain, in lower case.
    :ivar rivals: the pending calls that are not matched. A session that one of them may have started is unclear.
    """

    by_service: t.Mapping[str, t.Collection[ApiSession] | None]
    known_ids: t.Collection[str] = ()
    rivals: t.Collection[PendingConnect] = ()

    def candidates(self, call: PendingConnect) -> list[ApiSession] | None:
        """Return the sessions that the call may have started, or ``None`` if the API has not listed them."""
        listed = self.by_service[call.service]
        if listed is None:
            return None
        unknown = [session for session in listed if session.id is None or session.id.lower() not in self.known_ids]
        return [session for session in unknown if _is_possible(session, call)]

    def rivals_for(self, session: ApiSession, service: str) -> list[PendingConnect]:
        """Return the rivals that may have started a session of the service."""
        return [
            rival for rival in self.rivals if rival.service.upper() == service.upper() and _is_possible(session, rival)
        ]


def match_sessions(pending: t.Collection[PendingConnect], listed: SessionList) -> dict[PendingConnect, str | None]:
    """Return the ID of the session that each call started, or ``None`` for a call that started no session.

    The result does not contain calls for which this is uncertain. A session belongs to a call if the user and the
    service are the same, it started during the call, and no ledger contains it. If it may belong to several of these
    calls, it does not matter to which: the session of each is closed.
    """
    by_service: dict[str, list[PendingConnect]] = collections.defaultdict(list)
    for call in pending:
        by_service[call.service.upper()].append(call)
    matches: dict[PendingConnect, str | None] = {}
    for calls in by_service.values():
        matches.update(_match_service(calls, listed))
    return matches


def _match_service(calls: list[PendingConnect], listed: SessionList) -> dict[PendingConnect, str | None]:
    """Return the matches of one service.

    A session is unclear if no call is left that certainly started it, or if a rival may have started it. Then all calls
    that may have started it are uncertain, and become rivals of the others.
    """
    if not calls:
        return {}
    candidates = listed.candidates(min(calls, key=lambda call: parse_utc(call.sent_at)))
    if candidates is None:
        return {}
    matches: dict[PendingConnect, str | None] = {}
    left = sorted(calls, key=lambda call: call.latest_start)
    for session in sorted(candidates, key=lambda session: session.started or ""):
        owner = next((call for call in left if _is_certain(session, call)), None)
        if owner is None or listed.rivals_for(session, owner.service):
            uncertain = [call for call in calls if _is_possible(session, call)]
            certain = [call for call in calls if call not in uncertain]
            return _match_service(certain, listed._replace(rivals=[*listed.rivals, *uncertain]))
        left.remove(owner)
        matches[owner] = session.id
    return {**matches, **{call: None for call in left if call.is_settled}}


def _is_possible(session: ApiSession, call: PendingConnect) -> bool:
    """Return whether nothing excludes that the call started the session.

    Missing fields, a late start, another kind of connection and another target do not exclude it: it is in the list of
    the service.
    """
    return session.may_be_ours_since(parse_utc(call.sent_at) - _seconds(MAX_CLOCK_SKEW_SECONDS))


def _is_certain(session: ApiSession, call: PendingConnect) -> bool:
    """Return whether the session has all fields and started during the call."""
    if None in session[:3] or not (session.is_ours and session.is_proxy):
        return False
    if str(session.service_id).upper() != call.service.upper():
        return False
    slack = _seconds(CLOCK_SKEW_SECONDS)
    return parse_utc(call.sent_at) - slack <= parse_utc(str(session.started)) <= call.latest_start + slack


def _seconds(number: int) -> datetime.timedelta:
    return datetime.timedelta(seconds=number)
