# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The vendor's REST API v27: https://docs.remote.it/api-reference/devices/connect"""

from __future__ import annotations

import re
import threading
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection, find_connection_id
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.device_lists import devices_from_rest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Device, DeviceFilter, Warn
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    REASONS,
    AuthError,
    BadAnswerError,
    ConnectOutcome,
    OptionsError,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.http import HttpClient, Response
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import sanitize, truthy

#: Reasons that may be about the connection or service that the call named, and not about who called.
_RESOURCE_REASON = re.compile(r"connection|session|unknown|not found|no such|expired|already|incorrect", re.IGNORECASE)
_CONNECT = "/device/connect"
_MFA_CODES = ("SMS_MFA", "SOFTWARE_TOKEN_MFA", "MFA_SETUP")

#: For so many seconds a call that succeeded proves that the credentials are good.
_PROOF_SECONDS = 60.0


class RestApi:
    """One account. Any number of threads may use it at once."""

    def __init__(self, credentials: Credentials, http: HttpClient) -> None:
        self._credentials = credentials
        self._http = http
        self._token = credentials.token
        self._login_lock = threading.Lock()
        self._login_failed: RemoteItError | None = None  # the last one
        self._proven = -_PROOF_SECONDS

    def connect(self, service_id: str, hostip: str | None = None, wait: bool = True) -> Connection:
        """Open a connection. Never sent twice: a lost answer may be the answer of an open connection.

        :raises BadAnswerError: with the ``connectionid`` if there is something to close.
        """
        body = {"deviceaddress": service_id, "wait": "true" if wait else "false"}
        if hostip is not None:
            body["hostip"] = hostip
        answer = self._call("POST", _CONNECT, body)
        try:
            return Connection.from_rest(answer, service_id, hostip)
        except BadAnswerError as error:
            raise error.reworded(self._printable(error.message)) from None

    def disconnect(self, service_id: str, connectionid: str) -> bool:
        """Stop a connection; true when this call ended it, false when it was gone already.

        An unknown connection and a wrong developer key are both answered by HTTP 401 with a reason nobody has written
        down. When the reason does not say which, another call with the same credentials does. Any other refusal proves
        nothing. What is believed in the end has been said twice: the first time it may have been a gateway.
        """
        if self._stop(service_id, connectionid):
            return True
        if time.monotonic() - self._proven >= _PROOF_SECONDS:
            self._call("GET", "/device/list/all", retry=True)
        return self._stop(service_id, connectionid)

    def _stop(self, service_id: str, connectionid: str) -> bool:
        """True if it was stopped, false if the refusal may mean that there is no such connection."""
        body = {"deviceaddress": service_id, "connectionid": connectionid}
        try:
            self._call("POST", "/device/connect/stop", body, retry=True)
        except BadAnswerError:
            raise
        except RemoteItError as error:
            if not error.details.get("unexplained"):
                raise
            return False
        return True

    def devices(self, wanted: DeviceFilter, warn: Warn) -> t.Iterator[Device]:
        """The account's devices, put together by C(devices_from_rest).

        The vendor's page says that this call is for 100 devices or less:
        U(https://docs.remote.it/api-reference/devices/list)
        """
        for name in ("tags_any", "tags_all", "organisation"):
            if getattr(wanted, name):
                raise OptionsError(f"the REST API cannot tell {name}: give an access key in place of the token")
        return self._devices(wanted, warn)

    def _devices(self, wanted: DeviceFilter, warn: Warn) -> t.Iterator[Device]:
        rows = self._call("GET", "/device/list/all", retry=True).get("devices")
        if not isinstance(rows, list):
            raise BadAnswerError("the API's answer has no list of devices")
        yield from filter(None, map(wanted.matches, devices_from_rest(rows, warn)))

    def sessions(self) -> None:
        """This API does not tell what is open."""

    def _call(self, method: str, path: str, body: t.Any = None, *, retry: bool = False) -> dict[str, t.Any]:
        token = self._login()
        try:
            return self._send(method, path, body, token, retry)
        except AuthError as error:
            if not self._credentials.password or error.outcome is not None or "unexplained" in error.details:
                raise
        # The token of this run's login may have expired. What was refused so was not carried out.
        return self._send(method, path, body, self._login(expired=token), retry)

    def _login(self, expired: str | None = None) -> str:
        """The token, by one login however many threads ask for it. Those who waited for one that failed share that.

        :raises RemoteItError: with ``ConnectOutcome.NOT_SENT``: what the token was for was not sent.
        """
        before = self._login_failed
        with self._login_lock:
            if self._token is None or self._token == expired:
                failed = self._login_failed
                # a refusal is final: who knows after how many times an account is locked
                if failed is not None and (failed is not before or isinstance(failed, AuthError)):
                    raise failed
                try:
                    self._token = self._log_in()
                except RemoteItError as error:
                    error.outcome = ConnectOutcome.NOT_SENT
                    error.details.pop("unexplained", None)  # it says nothing of a connection
                    self._login_failed = error
                    raise
            return self._token

    def _log_in(self) -> str:
        body = {"username": self._credentials.username, "password": self._credentials.password}
        token = self._send("POST", "/user/login", body, None, retry=False).get("token")
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]{1,512}", token):
            raise BadAnswerError("the login's answer has no token")
        return token

    def _send(self, method: str, path: str, body: t.Any, token: str | None, retry: bool) -> dict[str, t.Any]:
        headers = {"developerkey": self._credentials.developer_key or ""}
        if token is not None:
            headers["token"] = token
        answer = self._http.request(method, self._credentials.api_url + path, headers=headers, body=body, retry=retry)
        content = answer.json_object()
        if not (answer.ok and truthy(content.get("status"))):
            refusal = self._refusal(answer, content)
            if path == _CONNECT:
                refusal.connectionid = find_connection_id(content)
                refusal.outcome = _outcome_of_refusal(answer, content)
            raise refusal
        self._proven = time.monotonic()
        return content

    def _refusal(self, answer: Response, content: t.Mapping[str, t.Any]) -> RemoteItError:
        """The error for an answer that is JSON and not a success."""
        code = content.get("code")
        if code in _MFA_CODES:
            return AuthError(
                f"the API does not log this account in with a password alone ({code}): it uses two-factor"
                " authentication; give an access key instead, or a token"
            )
        reason = self._printable(content.get("reason") or content.get("message") or content.get("Error"))
        for pattern, error, advice in REASONS:
            if re.search(pattern, f"{reason} {sanitize(code)}", re.IGNORECASE):
                return error(f"the API says: {reason} ({advice})", http_status=answer.status)
        said = f"the API says: {reason}" if reason else "the API refused and gave no reason"
        message = f"{said} (HTTP {answer.status})"
        if answer.status >= 500:
            return RemoteItError(message, http_status=answer.status)
        unexplained = (
            answer.status in (401, 403, 404) or (not reason and answer.ok) or bool(_RESOURCE_REASON.search(reason))
        )
        error = AuthError if answer.status in (401, 403) else RemoteItError
        return error(message, http_status=answer.status, unexplained=unexplained or None)

    def _printable(self, reason: t.Any) -> str:
        return sanitize(reason, (*self._credentials.secrets(), self._token))


def _outcome_of_refusal(answer: Response, content: dict[str, t.Any]) -> ConnectOutcome | None:
    """Return what the refusal of a connect call shows; ``None`` if it opened nothing."""
    if find_connection_id(content) is not None:
        return ConnectOutcome.OPENED
    status = content.get("status")
    says_no = status is False or (isinstance(status, str) and status.strip().lower() == "false")
    return None if says_no or 400 <= answer.status < 500 else ConnectOutcome.UNKNOWN
