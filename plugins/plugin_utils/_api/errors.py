# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The errors of the collection. Everything below the actions and plugins raises these and no others.

Each class has the ``code`` that users see in ``failure.code`` and ``failures[...].code``. The list of codes is closed.
"""

from __future__ import annotations

import enum
import typing as t


class ConnectOutcome(enum.Enum):
    """The effect of a connect call that failed."""

    NOT_SENT = "not sent"  # the request did not leave this machine
    REFUSED = "refused"  # the API opened nothing, or the connection is closed again
    UNCLEAR = "unclear"  # a connection may be open, or the API may still be opening one
    OPENED = "opened"  # a connection is open and could not be closed: ``connectionid``


class RemoteItError(Exception):
    """The API refused a request, and none of the subclasses describes why.

    :ivar details: the content of ``failure.details``, for example ``http_status``.
    :ivar outcome: set if a connect call failed.
    :ivar connectionid: the connection that the failed connect call has opened.
    :ivar reason: the text of the API.
    :ivar is_ambiguous: whether the API refused a call for a reason that may be about its connection or its credentials.
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
        self.reason = ""
        self.is_ambiguous = False

    @property
    def may_be_open(self) -> bool:
        """Return whether it is unclear if the failed connect call has opened a connection."""
        return self.outcome is ConnectOutcome.UNCLEAR

    def as_failure(self) -> dict[str, t.Any]:
        """Return an entry of ``failures``, in plain types."""
        failure: dict[str, t.Any] = {"code": self.code, "message": self.message}
        if self.connectionid is not None:
            failure["connectionid"] = self.connectionid
        if self.may_be_open:
            failure["may_be_open"] = True
        return failure

    def reworded(self, message: str) -> RemoteItError:
        """Return the same error with another message."""
        error = type(self)(message, outcome=self.outcome, connectionid=self.connectionid, **self.details)
        error.reason, error.is_ambiguous = self.reason, self.is_ambiguous
        return error


class OptionsError(RemoteItError):
    """The user's input is wrong. Raised before the first request."""

    code = "options"


class AuthError(RemoteItError):
    """The API does not accept the credentials, or they are incomplete."""

    code = "auth"


class NoCredentialsError(AuthError):
    """No complete set of credentials was found."""


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
    """The API asks for fewer requests or connections."""

    code = "throttled"


class CallTimeoutError(RemoteItError):
    """The API did not respond in time. A connect call may have succeeded nevertheless."""

    code = "timeout"


class NetworkError(RemoteItError):
    """The API could not be reached, or the network failed before its response arrived."""

    code = "network"


class BadAnswerError(RemoteItError):
    """The response of the API cannot be read or must not be trusted."""

    code = "bad_answer"


class OtherServiceError(BadAnswerError):
    """The response is about another service than the call, whose own connection may be open."""


_CLASSES: tuple[type[RemoteItError], ...] = (RemoteItError, *RemoteItError.__subclasses__())

#: The class of each code. All but ``options`` can be the failure of one service of a bulk call.
BY_CODE = {error.code: error for error in _CLASSES}


def from_failure(failure: t.Mapping[str, t.Any]) -> RemoteItError:
    """Return the error that ``as_failure`` described, for example in another process."""
    return BY_CODE.get(failure["code"], RemoteItError)(
        failure["message"],
        outcome=ConnectOutcome.UNCLEAR if failure.get("may_be_open") else None,
        connectionid=failure.get("connectionid"),
    )


# -- the API's reasons for a refusal -----------------------------------------------------------------------------------

#: A pattern of the API's reason, the error that it means, and how to fix it.
Reason = tuple[str, type[RemoteItError], str]

UNKNOWN_SERVICE_HELP = (
    "check the service ID; the ID of a device does not work. If the inventory is cached, run again with --flush-cache"
)
_LOCKED_ACCOUNT_HELP = (
    "the API accepts no login of this account at present: wait, and check the user name and the password"
)
_RATE_LIMIT_HELP = "retry later or lower the concurrency"
_TOO_MANY_CONNECTIONS_HELP = (
    "the account has too many open connections: open fewer at a time, with serial on the play and the role"
    " remoteit_session, which closes the connections of each batch before the next one"
)

#: The known reasons. The number in brackets is the stable part of a reason; the HTTP status and ``code`` vary.
REASONS: tuple[Reason, ...] = (
    (r"\[0102\]|missing user", AuthError, "check the user name and the password"),
    (
        r"\baccount\b.*\b(locked|blocked)\b|too many .*\b(log-?ins?|passwords?|attempts)\b",
        AuthError,
        _LOCKED_ACCOUNT_HELP,
    ),
    (r"api key|apikey|application key|developer ?key", AuthError, "check the developer key"),
    (r"api token|token expired|invalid token", AuthError, "the token is wrong or has expired; log in for a new one"),
    (r"invalid date|INVALID_AUTH", AuthError, "check the clock of this machine"),
    (r"\[0861\]", NotFoundError, UNKNOWN_SERVICE_HELP),
    (r"\[0405\]|not shared", NotSharedError, "ask its owner to share it with this account"),
    (r"inactive|offline|not online", OfflineError, "the device is not connected to remote.it"),
    (r"\brate limit|too many (requests|calls)", ThrottledError, _RATE_LIMIT_HELP),
    (
        (
            r"too many|concurrent|\b(limit|quota|maximum)\b.*(connection|session|reached|exceeded)"
            r"|\b(connection|session)s?\b.*\b(limit|quota|maximum)\b"
        ),
        ThrottledError,
        _TOO_MANY_CONNECTIONS_HELP,
    ),
)


def empty_option_error(name: str, omitted: str) -> OptionsError:
    """Return the error for an option that is set, but empty. Without it, another account could be used.

    :param omitted: what omitting the option does.
    """
    return OptionsError(
        f"{name} is empty: set it, or omit it to {omitted}. A template of an environment variable that is not set gives"
        " an empty value"
    )
