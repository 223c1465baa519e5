# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""One pooled HTTP session: the only place that knows C(requests)."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import email.utils
import json
import logging
import math
import random
import re
import ssl
import time
import traceback
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    BadAnswerError,
    CallTimeoutError,
    ConnectOutcome,
    NetworkError,
    OptionsError,
    ThrottledError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.transport import Transport
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import mask_secrets, sanitize

try:
    import requests
    import requests.utils
    import urllib3
except ImportError:
    HAS_REQUESTS = False
    REQUESTS_IMPORT_ERROR: str | None = traceback.format_exc()
else:
    HAS_REQUESTS = True
    REQUESTS_IMPORT_ERROR = None
    for _name in ("urllib3.connection", "urllib3.connectionpool"):  # the second before urllib3 2
        # a broken header may repeat what we have sent, and Ansible's log file takes every warning
        logging.getLogger(_name).addFilter(lambda record: "parse headers" not in str(record.msg))

#: Equal to C(version) in galaxy.yml; a unit test compares them.
VERSION = "1.1.0"

#: How often a call that may be repeated is tried, and the longest pause between two tries in seconds.
MAX_ATTEMPTS = 5
MAX_BACKOFF_SECONDS = 30.0

#: The largest answer, REST's list of ten thousand devices with three services each, has half as many bytes.
MAX_BODY_BYTES = 64 * 1024 * 1024


#: What is shorter than any key of the vendor could be a part of anything.
MIN_SECRET_LENGTH = 8


@dataclasses.dataclass(frozen=True)
class Response:
    """An answer whose body has been read before its status."""

    status: int
    body: t.Any  # parsed JSON, or None when it is not JSON
    text: str = dataclasses.field(repr=False)
    date: str | None = None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json_object(self) -> dict[str, t.Any]:
        """The body, which must be a JSON object.

        :raises BadAnswerError: saying what came instead. The text is not shown: it could hold anything.
        """
        if isinstance(self.body, dict):
            return self.body
        if not self.text.strip():
            what = "an empty body"
        elif self.text.lstrip()[:1] == "<":
            what = "an HTML page"
        elif self.body is not None:
            what = f"a JSON {type(self.body).__name__} where an object belongs"
        else:
            what = f"{len(self.text)} characters that are not JSON"
        raise BadAnswerError(f"the API answered HTTP {self.status} with {what}", http_status=self.status)


class HttpClient:
    """POST and GET with a time-out, for any number of threads.

    :param timeout: seconds for a call: for the TCP connection, and again for each silence while the answer arrives.
    :param pool_size: how many calls may be under way at once.
    :raises OptionsError: C(requests) is not installed.
    """

    def __init__(self, transport: Transport, *, timeout: float, pool_size: int) -> None:
        if not HAS_REQUESTS:
            raise OptionsError(
                "the Python library requests is needed by the collection remoteit.fleet and cannot be imported by the"
                " Python that runs Ansible here; install it there (pip install requests)"
            )
        self._timeout = timeout
        self.session = requests.Session()
        # a redirect is not followed, so its target need not be readable either, nor its body be read as a whole
        self.session.get_redirect_target = lambda response: None  # type: ignore[method-assign,assignment]
        self.session.trust_env = False  # no .netrc: its Authorization header would replace ours
        self.session.proxies = dict(transport.proxies)
        self._of_proxies = _proxy_secrets(transport.proxies.values())
        self.session.verify = transport.ca_bundle or True
        self.session.headers["User-Agent"] = f"remoteit.fleet/{VERSION} (Ansible collection)"
        adapter = requests.adapters.HTTPAdapter(pool_connections=2, pool_maxsize=pool_size)
        self.session.mount("https://", adapter)
        self.session.mount("http://", adapter)

    @property
    def timeout(self) -> float:
        return self._timeout

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: t.Mapping[str, str],
        body: t.Any = None,
        retry: bool = False,
        auth: t.Any = None,
    ) -> Response:
        """Send one call.

        :param retry: the call may be sent again after HTTP 429, 5xx or a broken line.
        :raises ThrottledError, CallTimeoutError, NetworkError: the last try ended so.
        """
        tries = MAX_ATTEMPTS if retry else 1
        for attempt in range(tries):
            try:
                answer, retry_after = self._send(method, url, headers, body, auth)
            except (NetworkError, CallTimeoutError):
                if attempt + 1 == tries:
                    raise
                retry_after = None
            else:
                if (answer.status != 429 and answer.status < 500) or attempt + 1 == tries:
                    break
            time.sleep(_backoff(attempt, retry_after))
        if answer.status == 429:
            raise ThrottledError("the API asks for fewer requests (HTTP 429); wait, or lower the concurrency")
        return answer

    def _send(
        self, method: str, url: str, headers: t.Mapping[str, str], body: t.Any, auth: t.Any
    ) -> tuple[Response, float | None]:
        data = None if body is None else json.dumps(body).encode()
        try:
            response = self.session.request(
                method,
                url,
                data=data,
                headers={"Content-Type": "application/json", **headers},
                auth=auth,
                timeout=self.timeout,
                allow_redirects=False,  # the headers hold credentials
                stream=True,
            )
            with response:
                text = _read(response)
        except requests.exceptions.RequestException as error:
            raise self._translate(error, _origin(url)) from error
        body = _parse(text, _secrets_pattern([*_credentials_in(response.request.headers), *self._of_proxies]))
        answer = Response(response.status_code, body, text, response.headers.get("Date"))
        return answer, _retry_after(response.headers.get("Retry-After"))

    def _translate(self, error: requests.exceptions.RequestException, where: str) -> NetworkError | CallTimeoutError:
        if isinstance(error, requests.exceptions.SSLError):
            outcome = ConnectOutcome.NOT_SENT if isinstance(_root_cause(error), ssl.SSLCertVerificationError) else None
            return NetworkError(f"TLS to {where} failed: {self._cause(error)}", outcome=outcome)
        outcome = ConnectOutcome.NOT_SENT if _could_not_connect(error) else None
        if isinstance(error, requests.exceptions.Timeout):
            return CallTimeoutError(f"{where} did not answer within {self.timeout:g} seconds", outcome=outcome)
        return NetworkError(f"no answer from {where}: {self._cause(error)}", outcome=outcome)

    def _cause(self, error: BaseException) -> str:
        """The innermost reason in a line; C(requests) wraps it in layers of object names."""
        error = _root_cause(error)
        if not isinstance(error, OSError):  # its words would be those that came
            return f"what came is not an answer of HTTP ({type(error).__name__})"
        text = sanitize(str(error.strerror or error), self._of_proxies)  # those of a proxy may be among them
        return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _backoff(attempt: int, retry_after: float | None) -> float:
    if retry_after is not None:
        return max(0.0, min(retry_after, MAX_BACKOFF_SECONDS))
    return random.uniform(0.5, 1.0) * min(0.5 * 2**attempt, MAX_BACKOFF_SECONDS)


def _retry_after(value: str | None) -> float | None:
    """Seconds of a C(Retry-After), which is a number or a date."""
    if not value:
        return None
    try:
        return float(min(int(value), 86400))
    except ValueError:
        pass
    return seconds_until(value)


def seconds_until(date: str | None) -> float | None:
    """How far ahead the date of an HTTP header is by the clock of this machine; none if it is not a date."""
    try:
        moment = email.utils.parsedate_to_datetime(date or "")
        return (moment - datetime.datetime.now(moment.tzinfo or datetime.timezone.utc)).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None


def _read(response: requests.Response) -> str:
    """The body, as UTF-8 whatever the answer claims, and not more of it than any true answer has."""
    content = bytearray()
    for chunk in response.iter_content(65536):
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise BadAnswerError(f"the API answered HTTP {response.status_code} with more than {MAX_BODY_BYTES} bytes")
    return content.decode("utf-8-sig", "replace")


def _credentials_in(headers: t.Mapping[str, t.Any]) -> list[str]:
    """The credentials that a request has shown, should the answer repeat them."""
    found = [headers.get(name) or "" for name in ("developerkey", "token")]
    return found + re.findall(r'(?:keyId|signature)="([^"]+)"', headers.get("Authorization") or "")


def _proxy_secrets(proxies: t.Iterable[str]) -> list[str]:
    """Those of the proxies, as they are and as they are sent."""
    found = []
    for user, password in filter(all, map(requests.utils.get_auth_from_url, proxies)):
        found += [password, base64.b64encode(f"{user}:{password}".encode("latin-1", "replace")).decode()]
    return found


def _secrets_pattern(secrets: t.Iterable[str]) -> re.Pattern[str] | None:
    """What finds the secrets."""
    found = sorted((secret for secret in secrets if len(secret) >= MIN_SECRET_LENGTH), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, found))) if found else None


def _parse(text: str, secrets: re.Pattern[str] | None) -> t.Any:
    """The JSON, or none; without NaN and half characters, which could not be written again, and without the secrets."""
    try:
        parsed = json.loads(text, parse_constant=lambda name: None, parse_float=_float, parse_int=_int)
        plain = text.replace("\\/", "/")  # how some write a slash; another escape could stand for anything
        if secrets and ("\\" in plain or secrets.search(plain)):
            parsed = mask_secrets(parsed, secrets)
        if re.search(r"\\u[dD]", text):  # perhaps half of a pair
            parsed = json.loads(json.dumps(parsed, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return parsed


def _float(text: str) -> float | None:
    """A number that JSON can write again."""
    value = float(text)
    return value if math.isfinite(value) else None


def _int(text: str) -> int | None:
    return int(text) if len(text) <= 300 else None


def _could_not_connect(error: requests.exceptions.RequestException) -> bool:
    """Whether there was no line to the API. Whatever else goes wrong may do so after the request has left.

    Of a line through a proxy urllib3 says that it could not connect also when it broke later.
    """
    reason = getattr(error.__context__, "reason", None)
    cause = getattr(reason, "original_error", reason)
    no_line = (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.NewConnectionError)
    return isinstance(cause, no_line) or str(cause).startswith("Tunnel connection failed")


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])


def _root_cause(error: BaseException) -> BaseException:
    while error.__context__ is not None:
        error = error.__context__
    return error
