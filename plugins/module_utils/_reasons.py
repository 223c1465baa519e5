# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""What the API's refusals mean, whichever of its forms says so."""

from __future__ import annotations

from ansible_collections.remoteit.fleet.plugins.module_utils._errors import (
    AuthError,
    NotFoundError,
    NotSharedError,
    OfflineError,
    RemoteItError,
    ThrottledError,
)

#: A pattern of the API's words, the error that they are, and what to do about it.
Reason = tuple[str, type[RemoteItError], str]

_FEWER = (
    "the account has too many open connections: open fewer at a time, with serial on the play and the role"
    " remoteit_session, which closes the connections of a batch before the next batch"
)

#: What the API's reasons are known to contain. The numbers in brackets are the stable part of a reason; its HTTP code
#: and its C(code) tell nothing.
REASONS: tuple[Reason, ...] = (
    (r"\[0102\]|missing user", AuthError, "check the user name and the password"),
    (r"api key|apikey|application key|developer ?key", AuthError, "check the developer key"),
    (r"api token|token expired|invalid token", AuthError, "the token is wrong or has expired; log in for a new one"),
    (r"invalid date|INVALID_AUTH", AuthError, "check the clock of this machine"),
    (r"\[0861\]", NotFoundError, "check the service id (it is the service's, not the device's)"),
    (r"\[0405\]|not shared", NotSharedError, "ask its owner to share it with this account"),
    (r"inactive|offline|not online", OfflineError, "the device is not connected to remote.it"),
    (
        (
            r"too many|concurrent|\b(limit|quota|maximum)\b.*(connection|session|reached|exceeded)"
            r"|\b(connection|session)s?\b.*\b(limit|quota|maximum)\b"
        ),
        ThrottledError,
        _FEWER,
    ),
)
