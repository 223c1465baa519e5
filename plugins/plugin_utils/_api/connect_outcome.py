# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The outcome of a connect call that failed: whether it proves that nothing was opened.

An error can hide a connection: the API may open one and fail afterward, or open one after a part of it has given up. So
only known refusals prove that nothing was opened.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    BadAnswerError,
    CallTimeoutError,
    ConnectOutcome,
    NetworkError,
    Reason,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import sanitize

#: HTTP statuses of a request that was not executed, whatever the body says.
_REFUSED_STATUSES = frozenset({401, 403, 404, 405, 413, 429})
#: The HTTP status of a conflict, for example with another call that is running.
_CONFLICT = 409
#: HTTP statuses of a server or gateway that stopped waiting. Those above 500 come from a gateway too.
_GIVEN_UP_STATUSES = frozenset({408, 499})
#: Reasons of a gateway, or of a part of the API that waits for another part.
_GIVEN_UP_REASON = re.compile(
    r"time[ds]?[ -]?out|deadline exceeded|cancel+ed|h[au]ng up|gateway|unavailable|maintenance|upstream|ECONN|EPIPE"
    r"|\b(aborted|terminated)\b|\b(connection|socket|stream) (was )?(reset|refused|closed|ended)\b"
    r"|\b(status code|HTTP|response:?) 5[0-9]{2}\b|fetch failed|failed to fetch|network error|premature close"
    r"|empty reply|broken pipe|\bEOF\b",
    re.IGNORECASE,
)
#: The vendor's number of a reason, for example ``[0861]``. It comes from the API itself, before it opens anything.
_NUMBERED_REASON = re.compile(r"(?<!\w)\[0[0-9]{3}\]")
_SERVICE_ID = "(?:[0-9a-f]{2}:){7}[0-9a-f]{2}"
_TARGET = rf"(?:(?:(?:the|this|your) )?(?:device|service|target)(?: {_SERVICE_ID}| \"[^\"]*\")?|{_SERVICE_ID})"
#: Reasons that a device is offline. The vendor documents the word "inactive" only.
_OFFLINE = re.compile(
    rf"\binactive\b|^offline$|{_TARGET}\b.* (?:is )?(?:currently )?(?:offline|not online)\b", re.IGNORECASE
)
#: Words about something that happened later, for example "the proxy session became inactive".
_LATER = re.compile(
    r"\b(proxy|sessions?|tunnel|stream|became|went|lost|dropped|while|during|before|after|once|opened|established|ready"
    r"|stored?|saved?|recorded|updated?|monitor|database|cluster|connection (is|was|has))\b",
    re.IGNORECASE,
)
_CONNECTIONS = "(?:(?:open|active|concurrent|proxy) )*(?:connection|session)s?"
_EXCEEDED = "(?:(?:was|is|has been) )?(?:reached|exceeded)"
_KEY = "(?:(?:api|application|developer|access|auth) )*(?:key|token)"
_DENIED = "(?:you are )?(?:unauthori[sz]ed|forbidden|not authori[sz]ed|access denied|permission denied)"
#: Other reasons, whole. An error inside the API can have the same words, for example "permission denied for table x".
_REFUSALS = re.compile(
    "|".join(
        (
            rf"{_TARGET} (?:(?:was )?not found|is unknown|does not exist)",
            rf"(?:unknown|invalid|no such) (?:device|service)(?: ID)?(?: {_SERVICE_ID})?",
            rf"{_TARGET} is not shared(?: with (?:you|this account))?",
            rf"{_DENIED}(?: to (?:connect|access)(?: to)? {_TARGET})?",
            # the guards of NestJS and TypeGraphQL, and graphql-rate-limit, before the mutation
            "throttlerexception: too many requests|you are trying to access '[^']*' too often",
            "forbidden resource|access denied! you don't have permission for this action",
            "you (?:do not have|don't have|have no) (?:access|permission)(?: to (?:connect|access))?",
            rf"(?:(?:the|api) )*rate limit {_EXCEEDED}(?:, please (?:retry|wait) .*)?",
            "too many requests(?:,? please (?:retry|wait|try again) .*)?",
            r"(?:(?:there are|you have) )?too many (?:open |active |concurrent )*(?:connections|sessions)",
            rf"(?:the )?(?:maximum(?: number)?|limit) of {_CONNECTIONS} {_EXCEEDED}",
            rf"(?:(?:the|maximum) )*{_CONNECTIONS} (?:limit|quota) {_EXCEEDED}",
            rf"(?:the )?{_KEY} (?:(?:is|has|was) )?(?:invalid|missing|expired|failed validation)",
            rf"(?:invalid|missing|expired) {_KEY}|missing user|invalid date",
        )
    ),
    re.IGNORECASE,
)
#: Reasons that do not show what the API has done. Those with a number of seconds are about a rate limit.
_UNCLEAR_REASON = re.compile(
    r"\binternal\b|unknown error|unexpected|try again(?! in [0-9]+ ?(?:s|secs?|seconds?)\b)|in progress", re.IGNORECASE
)


def outcome_of_response(status: int, reason: str = "", *, is_refusal: bool | None = None) -> ConnectOutcome:
    """Return the outcome that an error response shows.

    :param reason: the text of the API.
    :param is_refusal: whether the response proves that nothing was opened. False if it proves that the call was
        executed; ``None`` if it proves neither.
    """
    if is_refused_by_status(status) and is_refusal is not False:
        return ConnectOutcome.REFUSED
    is_clear = status != _CONFLICT and not has_given_up(status, reason) and _UNCLEAR_REASON.search(reason) is None
    return ConnectOutcome.REFUSED if is_refusal and is_clear else ConnectOutcome.UNCLEAR


def is_refused_by_status(status: int) -> bool:
    """Return whether the HTTP status shows that the call was not executed, whatever the body says."""
    return status in _REFUSED_STATUSES


def has_given_up(status: int, reason: str) -> bool:
    """Return whether a gateway or a part of the API did not wait for another part, which may continue."""
    if is_refused_by_status(status):
        return False
    return status in _GIVEN_UP_STATUSES or status > 500 or _GIVEN_UP_REASON.search(reason) is not None


def is_known_refusal(reason: str) -> bool:
    """Return whether the API's reason proves that nothing was opened."""
    text = sanitize(reason).rstrip(".! ")
    if _NUMBERED_REASON.search(text) or _REFUSALS.fullmatch(text):
        return True
    return _OFFLINE.search(text) is not None and _LATER.search(text) is None


def is_refusal_by_gateway(status: int, reason: str) -> bool:
    """Return whether an error response that is not from the API itself proves that the call was not executed."""
    return 400 <= status < 500 and bool(reason)


def find_reason(reasons: t.Iterable[Reason], status: int, text: str) -> Reason | None:
    """Return the first known reason that matches the text of the API.

    Return ``None`` for a part that did not wait for the API: it can be "offline" itself, which is not about a device.
    """
    if has_given_up(status, text):
        return None
    return next((known for known in reasons if re.search(known[0], text, re.IGNORECASE)), None)


def outcome_of_error(error: RemoteItError) -> ConnectOutcome:
    """Return the outcome of a call without a JSON response, or of one that was not sent."""
    if isinstance(error, BadAnswerError):  # the page of a gateway, or a success without a connection
        status = error.details.get("http_status", 200)
        is_refusal = is_refusal_by_gateway(status, error.reason) or None
        return outcome_of_response(status, error.reason, is_refusal=is_refusal)
    is_lost = isinstance(error, (CallTimeoutError, NetworkError))
    return ConnectOutcome.UNCLEAR if is_lost else ConnectOutcome.REFUSED
