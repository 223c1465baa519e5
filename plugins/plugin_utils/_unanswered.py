# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Openings whose answer nobody has got, and what the account's sessions tell of them."""

from __future__ import annotations

import collections
import datetime
import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils._connection import moment, utc_now
from ansible_collections.remoteit.fleet.plugins.module_utils._devices import Session

#: A session may seem to have started so many seconds before its intent: no two clocks are equal.
CLOCKS_DIFFER_SECONDS = 5
#: An opening call that was sent so many seconds ago has had its effect, or never will.
SETTLED_SECONDS = 180


class Intent(t.NamedTuple):
    """An opening call whose answer nobody has got."""

    number: int
    service: str
    at: str


def explain(
    intents: t.Collection[Intent], sessions: t.Collection[Session], known: t.Collection[str], rivals: t.Collection[str]
) -> dict[Intent, Session | None]:
    """The session that each opening has made, or none if it has made none. What is not certain is left out.

    It is one of the same user, of the same service, that started after the intent and is in no ledger.

    :param known: the ids of connections that ledgers tell of, in small letters.
    :param rivals: services of which other runs too have openings without an answer, in capitals: whose is whose?
    """
    explained: dict[Intent, Session | None] = {}
    by_service: dict[str, list[Intent]] = collections.defaultdict(list)
    for intent in intents:
        by_service[intent.service.upper()].append(intent)
    for service, mine in by_service.items():
        first = min(moment(intent.at) for intent in mine) - datetime.timedelta(seconds=CLOCKS_DIFFER_SECONDS)
        found = [
            session
            for session in sessions
            if session.is_ours
            and session.is_proxy
            and session.service_id.upper() == service
            and session.id.lower() not in known
            and session.started is not None
            and moment(session.started) >= first
        ]
        if service in rivals or len(found) > len(mine):
            continue
        explained.update(zip(mine, found))
        settled = utc_now() - datetime.timedelta(seconds=SETTLED_SECONDS)
        explained.update({intent: None for intent in mine[len(found) :] if moment(intent.at) < settled})
    return explained
