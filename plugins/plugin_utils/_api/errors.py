# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""What can go wrong. Everything below the modules raises these and nothing else.

Each class carries the C(code) that users see in C(failure.code) and C(failures[...].code); the list is closed.
"""

from __future__ import annotations

import enum
import typing as t


class ConnectOutcome(enum.Enum):
    """What a failed call to open a connection may have left behind."""

    NOT_SENT = "not sent"  # the request did not leave this machine
    REFUSED = "refused"  # the API responded that it opened nothing, or what it opened was closed again
    UNKNOWN = "unknown"  # a connection may be open: no response, or one that does not show it
    OPENED = "opened"  # a connection is open and could not be closed: ``connectionid``


class RemoteItError(Exception):
    """The API refused a request, and none of the subclasses describes why.

    :ivar details: what ``failure.details`` shows, for example ``http_status``.
    :ivar outcome: set if a call to open a connection failed.
    :ivar connectionid: the connection that such a call opened all the same.
    :ivar call_ended: whether the API has responded to a call whose outcome is unknown.
    :ivar first: the inventory host that was the first to fail with this message.
    """

    code = "api"

    def __init__(
        self, message: str, *, outcome: ConnectOutcome | None = None, connectionid: str | None = None, **details: t.Any
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = {key: value for key, value in details.items() if value is not None}
        self.outcome = ConnectOutcome.OPENED if connectionid is not None else outcome
        self.connectionid = connectionid
        self.call_ended = False
        self.first: str | None = None

    def as_failure(self) -> dict[str, t.Any]:
        """Return an entry of ``failures``, in plain types."""
        failure: dict[str, t.Any] = {"code": self.code, "message": self.message}
        if self.connectionid is not None:
            failure["connectionid"] = self.connectionid
        if self.outcome is ConnectOutcome.UNKNOWN:
            failure["may_be_open"] = True
        return failure

    def reworded(self, message: str) -> RemoteItError:
        """Return the same error with another message."""
        error = type(self)(message, outcome=self.outcome, connectionid=self.connectionid, **self.details)
        error.call_ended = self.call_ended
        return error


class OptionsError(RemoteItError):
    """The user's input is wrong. Raised before the first request."""

    code = "options"


class AuthError(RemoteItError):
    """The API does not accept the credentials, or there are none."""

    code = "auth"


class NoCredentialsError(AuthError):
    """There are none, at least no complete ones."""


class NotFoundError(RemoteItError):
    """The API does not know the service."""

    code = "not_found"


class NotSharedError(RemoteItError):
    """The service exists, but this account may not connect to it."""

    code = "not_shared"


class OfflineError(RemoteItError):
    """The device is not connected to remote.it."""

    code = "offline"


class ThrottledError(RemoteItError):
    """The API asks for fewer requests (HTTP 429)."""

    code = "throttled"


class CallTimeoutError(RemoteItError):
    """No answer in time. An opening call may have succeeded all the same."""

    code = "timeout"


class NetworkError(RemoteItError):
    """The API could not be reached, or the line broke before its answer arrived."""

    code = "network"


class BadAnswerError(RemoteItError):
    """The API answered something that cannot be read or must not be trusted."""

    code = "bad_answer"


_CLASSES: tuple[type[RemoteItError], ...] = (RemoteItError, *RemoteItError.__subclasses__())

#: By its code, every error with which a task can fail, or but for C(options) one service of a bulk call.
BY_CODE = {error.code: error for error in _CLASSES}


def from_failure(failure: t.Mapping[str, t.Any]) -> RemoteItError:
    """Return the error that ``as_failure`` described, for example in another process."""
    return BY_CODE.get(failure["code"], RemoteItError)(
        failure["message"],
        outcome=ConnectOutcome.UNKNOWN if failure.get("may_be_open") else None,
        connectionid=failure.get("connectionid"),
    )


# -- what the API's refusals mean ------------------------------------------------------------------------------------

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
