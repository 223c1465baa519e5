# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The vendor's REST API v27: https://docs.remote.it/api-reference/devices/connect"""

from __future__ import annotations

import json
import re
import threading
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connect_outcome import (
    find_reason,
    has_given_up,
    is_known_refusal,
    is_refusal_by_gateway,
    outcome_of_response,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection, find_connection_id
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.device_lists import devices_from_rest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import ApiSession, Device, DeviceFilter, Warn
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    REASONS,
    AuthError,
    BadAnswerError,
    CallTimeoutError,
    ConnectOutcome,
    OptionsError,
    Reason,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.http import (
    MAX_REPEAT_SECONDS,
    HttpClient,
    Response,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import sanitize, truthy

#: Reasons that an unknown connection can have, although the HTTP status is not the documented one.
_UNKNOWN_CONNECTION = re.compile(
    r"\b(connection|session|proxy) ?(id)? .*(unknown|not found|not exist|expired|already (closed|ended)|incorrect)"
    r"|\b(unknown|no such|expired|incorrect) (connection|session|proxy)",
    re.IGNORECASE,
)
#: Reasons that do not show that a connection is closed, whatever HTTP status they have.
_NOT_CLOSED_REASON = re.compile(
    r"authori[sz]ed|forbidden|permission|denied|not allowed|unknown error|try again|progress|could not|cannot|failed"
    r"|time[ds]?[ -]?out|gateway|upstream|unavailable",
    re.IGNORECASE,
)
_CONNECT = "/device/connect"
_MFA_CODES = ("SMS_MFA", "SOFTWARE_TOKEN_MFA", "MFA_SETUP")
#: Seconds after a proof in which a refusal needs no other one.
_PROOF_SECONDS = 10.0


class _Proof(t.NamedTuple):
    """A call after a refusal, which shows whether the credentials are valid."""

    sent_at: float
    error: RemoteItError | None


class _FailedLogin(t.NamedTuple):
    """A login that failed, and the timeout that it had."""

    error: RemoteItError
    timeout: float

    def applies_to(self, timeout: float, before: _FailedLogin | None) -> bool:
        """Return whether a call fails for the same reason.

        :param timeout: the one of the call. A longer one than that of the login may be enough.
        :param before: the last login that had failed when the call began to wait.
        """
        if isinstance(self.error, AuthError):
            return True  # a refusal is final, because the vendor may lock the account after several wrong passwords
        is_shorter = isinstance(self.error, CallTimeoutError) and self.timeout < timeout
        return self is not before and not is_shorter


class RestApi:
    """The REST API for one account. It can be used by any number of threads."""

    def __init__(self, credentials: Credentials, http: HttpClient) -> None:
        self._credentials = credentials
        self._http = http
        self._token = credentials.token
        self._login_lock = threading.Lock()
        self._failed_login: _FailedLogin | None = None  # the last one
        self._proof_lock = threading.Lock()
        self._proof = _Proof(-_PROOF_SECONDS, None)

    # -- connections ---------------------------------------------------------------------------------------------------

    def connect(self, service_id: str, hostip: str | None = None, wait: bool = True) -> Connection:
        """Open a connection. Only HTTP 429 lets the call be repeated: a lost response may be that of an open one.

        :raises BadAnswerError: with the ``connectionid`` if there is a connection to close.
        """
        body = {"deviceaddress": service_id, "wait": "true" if wait else "false"}
        if hostip is not None:
            body["hostip"] = hostip
        content = self._call("POST", _CONNECT, body)
        try:
            return Connection.from_rest(content, service_id, hostip)
        except BadAnswerError as error:
            raise error.reworded(self._sanitize(error.message)) from None

    def disconnect(self, service_id: str, connectionid: str) -> bool:
        """Close a connection. Return true if this call closed it, false if it was closed before.

        The API refuses an unknown connection and a wrong developer key alike: with HTTP 401 and an undocumented reason.
        If the reason is ambiguous, another call shows whether the credentials are valid. Then the call is repeated,
        because the first refusal may have come from a gateway.

        :raises RemoteItError: the connection may still be open.
        """
        if self._stop(service_id, connectionid):
            return True
        self._prove_credentials(time.monotonic())
        return self._stop(service_id, connectionid)

    def _prove_credentials(self, refused_at: float) -> None:
        """Prove that the credentials are valid after a refusal. Refusals that follow soon share the proof.

        :raises RemoteItError: they may not be.
        """
        with self._proof_lock:
            if refused_at - self._proof.sent_at >= _PROOF_SECONDS:
                self._proof = self._request_proof()
            if self._proof.error is not None:
                raise self._proof.error

    def _request_proof(self) -> _Proof:
        sent_at = time.monotonic()
        try:
            self._list_all()
        except RemoteItError as error:
            text = f"the API has refused to close a connection, and then to list the devices: {error.message}"
            return _Proof(sent_at, error.reworded(text))
        return _Proof(sent_at, None)

    def _stop(self, service_id: str, connectionid: str) -> bool:
        """Send the stop call. Return true if it succeeded, false if the refusal may mean an unknown connection."""
        body = {"deviceaddress": service_id, "connectionid": connectionid}
        try:
            self._call("POST", "/device/connect/stop", body, retry=True)
        except RemoteItError as error:
            if not error.is_ambiguous or _NOT_CLOSED_REASON.search(error.reason):
                raise
            return False
        return True

    def sessions(self) -> None:
        """Return ``None``: this API cannot list sessions."""

    def sessions_of(self, service_ids: t.Collection[str]) -> dict[str, list[ApiSession] | None]:
        """Return ``None`` for each service: this API cannot list sessions."""
        return dict.fromkeys(service_ids)

    # -- devices -------------------------------------------------------------------------------------------------------

    def devices(self, wanted: DeviceFilter, warn: Warn) -> t.Iterator[Device]:
        """Yield the devices that match.

        The vendor recommends the call for up to 100 devices: https://docs.remote.it/api-reference/devices/list

        :raises OptionsError: at once, if the filter needs a property that only GraphQL has.
        """
        for name in ("tags_any", "tags_all", "organisation"):
            if getattr(wanted, name):
                raise OptionsError(f"the REST API does not have {name}; use an access key instead of the token")
        return self._devices(wanted, warn)

    def _devices(self, wanted: DeviceFilter, warn: Warn) -> t.Iterator[Device]:
        rows = self._list_all().get("devices")
        if not isinstance(rows, list):
            raise BadAnswerError("the API's response has no list of devices")
        yield from filter(None, map(wanted.matches, devices_from_rest(rows, warn)))

    def _list_all(self) -> dict[str, t.Any]:
        return self._call("GET", "/device/list/all", retry=True)

    # -- the token -----------------------------------------------------------------------------------------------------

    def log_in(self) -> None:
        """Log in with the password, unless there is a token."""
        self._get_token(retry=False)

    def _get_token(self, *, retry: bool, expired: str | None = None) -> str:
        """Return the token. All threads share one login, and its error if they waited for it.

        Each waits for at most its own timeout, and does not share the error of a shorter one.

        :param retry: whether the call that needs the token may be repeated, see ``HttpClient.request``.
        :param expired: the token that the API has refused.
        :raises RemoteItError: with ``ConnectOutcome.NOT_SENT``, because the call that needs the token was not sent.
        """
        before, timeout = self._failed_login, self._http.timeout
        if not self._login_lock.acquire(timeout=timeout):
            text = f"no response to the login of another task within {timeout:g} seconds"
            raise CallTimeoutError(text, outcome=ConnectOutcome.NOT_SENT)
        try:
            if self._token is None or self._token == expired:
                failed = self._failed_login
                if failed is not None and failed.applies_to(timeout, before):
                    raise failed.error
                try:
                    self._token = self._fetch_token(retry)
                except RemoteItError as error:
                    error.outcome = ConnectOutcome.NOT_SENT
                    error.is_ambiguous = False  # the reason is not about a connection
                    self._failed_login = _FailedLogin(error, timeout)
                    raise
            return self._token
        finally:
            self._login_lock.release()

    def _fetch_token(self, retry: bool) -> str:
        body = {"username": self._credentials.username, "password": self._credentials.password}
        token = self._send("POST", "/user/login", body, None, retry).get("token")
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]{1,512}", token):
            raise BadAnswerError("the API's response to the login has no token")
        return token

    # -- requests ------------------------------------------------------------------------------------------------------

    def _call(self, method: str, path: str, body: t.Any = None, *, retry: bool = False) -> dict[str, t.Any]:
        """Send a request with the token. If the token of a login has expired, log in again and repeat the request.

        A connect call is only repeated in the first minute. A teardown counts on that.
        """
        start = time.monotonic()
        token = self._get_token(retry=retry)
        try:
            return self._send(method, path, body, token, retry)
        except AuthError as error:
            if (
                not self._credentials.password
                or error.outcome not in (None, ConnectOutcome.REFUSED)
                or error.is_ambiguous
            ):
                raise
            refusal = error
        token = self._get_token(retry=retry, expired=token)
        if path == _CONNECT and time.monotonic() - start > MAX_REPEAT_SECONDS:
            raise refusal
        return self._send(method, path, body, token, retry)

    def _send(self, method: str, path: str, body: t.Any, token: str | None, retry: bool) -> dict[str, t.Any]:
        headers = {"developerkey": self._credentials.developer_key or ""}
        if token is not None:
            headers["token"] = token
        response = self._http.request(method, self._credentials.api_url + path, headers=headers, body=body, retry=retry)
        content = response.json_object()
        if not (response.ok and truthy(content.get("status"))):
            refusal = self._refusal(response, content)
            if isinstance(refusal, AuthError):
                refusal = refusal.reworded(self._credentials.explain(refusal.message))
            if path == _CONNECT:
                refusal.connectionid = find_connection_id(content)
                refusal.outcome = _outcome_of_refusal(response, content)
            raise refusal
        return content

    def _refusal(self, response: Response, content: t.Mapping[str, t.Any]) -> RemoteItError:
        """Return the error for a JSON response that is not a success."""
        code = content.get("code")
        if code in _MFA_CODES:
            return AuthError(
                f"the API does not log this account in with a password alone ({code}): it uses two-factor"
                " authentication; give an access key instead, or a token"
            )
        status = response.status
        reason = self._sanitize(_reason(content))
        known = _known_reason(response.status, content)
        if known is not None:
            _unused, error_class, advice = known
            return error_class(f"the API says: {reason} ({advice})", http_status=status)
        fields = ", ".join(map(sanitize, _other_fields(content)))
        if reason:
            message = f"the API says: {reason}"
        elif fields:
            message = f"the API refused the request without a documented reason; its response has the fields {fields}"
        else:
            message = "the API refused the request without a reason"
        error_class = AuthError if status in (401, 403) else RemoteItError
        error = error_class(f"{message} (HTTP {status})", http_status=status)
        error.reason = _reason_or_fields(content)
        error.is_ambiguous = (
            status < 500
            and not has_given_up(status, error.reason)
            and _says_false(content)  # otherwise a gateway has refused the call, which the API has not received
            and (status in (401, 403, 404) or bool(_UNKNOWN_CONNECTION.search(error.reason)))
        )
        return error

    def _sanitize(self, reason: t.Any) -> str:
        return sanitize(reason, (*self._credentials.secrets(), self._token))


def _reason(content: t.Mapping[str, t.Any]) -> str:
    """Return the reason of a refusal in the documented fields."""
    reason = content.get("reason") or content.get("message") or content.get("Error")
    return reason if isinstance(reason, str) else ""


def _other_fields(content: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the fields that may contain the reason instead. They may also contain secrets, and are not shown."""
    nothing = (None, "", "GENERAL_ERROR")  # the code of most refusals
    return {name: value for name, value in content.items() if name != "status" and value not in nothing}


def _reason_or_fields(content: t.Mapping[str, t.Any]) -> str:
    """Return the reason, else the other fields as JSON, else an empty text."""
    fields = _other_fields(content)
    return sanitize(_reason(content) or (json.dumps(fields) if fields else ""))


def _known_reason(status: int, content: t.Mapping[str, t.Any]) -> Reason | None:
    """Return the known reason that a refusal has."""
    return find_reason(REASONS, status, f"{sanitize(_reason(content))} {sanitize(content.get('code'))}")


def _outcome_of_refusal(response: Response, content: dict[str, t.Any]) -> ConnectOutcome:
    """Return the outcome that a refused connect call shows.

    The API refuses with any HTTP status, and most reasons are not documented. Without a status of HTTP that refuses,
    only a known reason counts, and the documented refusal without a reason.
    """
    if find_connection_id(content) is not None:
        return ConnectOutcome.OPENED
    reason = _reason_or_fields(content)
    if _says_false(content):
        is_refusal = not reason if response.status < 400 else response.status < 500
        is_refusal = is_refusal or is_known_refusal(reason)
    else:
        is_refusal = is_refusal_by_gateway(response.status, reason)
    return outcome_of_response(response.status, reason, is_refusal=is_refusal or None)


def _says_false(content: t.Mapping[str, t.Any]) -> bool:
    """Return whether the body has the status of a refusal by the API itself."""
    status = content.get("status")
    return status is False or (isinstance(status, str) and status.strip().lower() == "false")
