# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The HTTP client: one pooled session, with retries. No other file sends requests."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import email.utils
import http.client
import json
import logging
import math
import random
import re
import ssl
import time
import traceback
import typing as t
import urllib.parse

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.adapter import Call, CallAdapter, current_call
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
except ImportError:
    HAS_REQUESTS = False
    REQUESTS_IMPORT_ERROR: str | None = traceback.format_exc()
else:
    HAS_REQUESTS = True
    REQUESTS_IMPORT_ERROR = None
    for _name in ("urllib3.connection", "urllib3.connectionpool"):  # the second before urllib3 2
        # a malformed header may contain a secret that we have sent, and Ansible's log file records all warnings
        logging.getLogger(_name).addFilter(lambda record: "parse headers" not in str(record.msg))

#: Equal to ``version`` in galaxy.yml; a unit test compares them.
VERSION = "1.1.0"

#: Attempts of a call that may be repeated.
MAX_ATTEMPTS = 5
#: Seconds after its first attempt in which a call is repeated because the API has refused it.
MAX_REPEAT_SECONDS = 60.0
#: The longest pause after a call that got no response or HTTP 5xx.
MAX_BACKOFF_SECONDS = 30.0
#: Twice the size of the largest response, REST's list of ten thousand devices with three services each.
MAX_BODY_BYTES = 64 * 1024 * 1024
#: Characters of a body without JSON that are searched for a reason. It can be as large as ``MAX_BODY_BYTES``.
_MAX_REASON_LENGTH = 65536
#: Shorter texts are not masked in responses: all keys of the vendor are longer, and short texts occur by chance.
MIN_SECRET_LENGTH = 8
#: Alerts that end a handshake. With TLS 1.3 they can arrive after the request, which the server has not read then.
_HANDSHAKE_ALERT = re.compile(r"ALERT_\w*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)")

_CA_HINT = ". If a company's CA has signed it, set REQUESTS_CA_BUNDLE to the file of that CA"


@dataclasses.dataclass(frozen=True)
class Response:
    """A response with its parsed body. The vendor puts the status of a call into the body, whatever the HTTP status."""

    status: int
    body: t.Any  # parsed JSON, or None if the body is not JSON
    text: str = dataclasses.field(repr=False)
    date: str | None = None
    proxy: str | None = None  # an HTTP proxy that may have written it, without user and password

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_html(self) -> bool:
        return self.text.lstrip()[:1] == "<"

    @property
    def proxy_hint(self) -> str:
        """The end of a message about a response that may not come from the API."""
        return f"; the proxy {self.proxy} may have sent this response" if self.proxy else ""

    def json_object(self) -> dict[str, t.Any]:
        """Return the body, which must be a JSON object.

        :raises BadAnswerError: it is not. The message describes the body without its text, which may contain secrets.
        """
        if isinstance(self.body, dict):
            return self.body
        if 300 <= self.status < 400:
            found = "a redirect, which is not followed; check the URL of the API (api_url or graphql_url)"
        elif not self.text.strip():
            found = "an empty body"
        elif self.is_html:
            found = "an HTML page, which a proxy or a gateway may have sent"
        elif self.body is not None:
            found = f"a JSON {type(self.body).__name__} instead of an object"
        else:
            found = f"{len(self.text)} characters that are not JSON"
        text = f"the API responded with HTTP {self.status} and {found}{self.proxy_hint}"
        error = BadAnswerError(text, http_status=self.status)
        error.reason = sanitize(self.text[:_MAX_REASON_LENGTH])
        raise error


class HttpClient:
    """Send requests with a timeout and retries, for any number of threads.

    :param timeout: seconds for a call as a whole: to connect, to send, to receive, and to repeat it.
    :param pool_size: the number of concurrent calls for which TCP connections are kept open.
    :raises OptionsError: ``requests`` is not installed.
    """

    def __init__(self, transport: Transport, *, timeout: float, pool_size: int) -> None:
        if not HAS_REQUESTS:
            raise OptionsError(
                "the Python library requests is needed by the collection remoteit.fleet and cannot be imported by the"
                " Python that runs Ansible here; install it there (pip install requests)"
            )
        self._timeout = timeout
        self.session = requests.Session()
        # Redirects are not followed. Without this, requests parses their target and reads their body nevertheless.
        self.session.get_redirect_target = lambda response: None  # type: ignore[method-assign,assignment]
        self.session.trust_env = False  # a .netrc would replace our Authorization header
        self.session.proxies = dict(transport.proxies)
        self._proxy_secrets = _proxy_secrets(transport.proxies.values())
        self.session.verify = transport.ca_bundle or True
        self.session.headers["User-Agent"] = f"remoteit.fleet/{VERSION} (Ansible collection)"
        adapter = CallAdapter(pool_connections=2, pool_maxsize=pool_size)
        self.session.mount("https://", adapter)
        self.session.mount("http://", adapter)

    @property
    def timeout(self) -> float:
        """Return the timeout of the next call, in seconds."""
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
        """Send a request and return the response.

        After HTTP 429 every request is repeated, because the API has refused it without executing it.

        :param retry: whether the request may also be repeated after HTTP 5xx and after a network failure.
        :raises ThrottledError, CallTimeoutError, NetworkError: the last attempt ended so.
        """
        refusals, waited, start = 0, 0.0, time.monotonic()
        while True:
            response, retry_after = self._send_with_retries(method, url, headers, body, auth, retry)
            if response.status != 429:
                return response
            pause = _backoff(refusals, retry_after)
            refusals, waited = refusals + 1, max(waited, time.monotonic() - start) + pause
            is_last = refusals >= MAX_ATTEMPTS and retry_after is None
            if is_last or round(waited) > MAX_REPEAT_SECONDS or not self.wait_for_limit(pause, retry):
                raise ThrottledError("rate limit exceeded (HTTP 429); retry later or lower the concurrency")

    def wait_for_limit(self, seconds: float, retry: bool) -> bool:
        """Wait before a request that got HTTP 429 is repeated; return whether to repeat it.

        :param retry: see ``request``.
        """
        time.sleep(seconds)
        return True

    def _send_with_retries(
        self, method: str, url: str, headers: t.Mapping[str, str], body: t.Any, auth: t.Any, retry: bool
    ) -> tuple[Response, float | None]:
        """Send a request until it does not fail, within the timeout. Return the same as ``_send``."""
        attempts = MAX_ATTEMPTS if retry else 1
        deadline = time.monotonic() + self.timeout
        for attempt in range(attempts):
            try:
                response, retry_after = self._send(method, url, headers, body, auth, Call(deadline))
            except (NetworkError, CallTimeoutError):
                pause = _backoff(attempt, None)
                if attempt + 1 == attempts or time.monotonic() + pause >= deadline:
                    raise
            else:
                pause = min(_backoff(attempt, retry_after), MAX_BACKOFF_SECONDS)
                if response.status < 500 or attempt + 1 == attempts or time.monotonic() + pause >= deadline:
                    break
            time.sleep(pause)
        return response, retry_after

    def _send(
        self, method: str, url: str, headers: t.Mapping[str, str], body: t.Any, auth: t.Any, call: Call
    ) -> tuple[Response, float | None]:
        """Send a request once. Return the response and the seconds of its ``Retry-After``."""
        data = None if body is None else json.dumps(body).encode()
        previous = current_call.set(call)
        try:
            response = self.session.request(
                method,
                url,
                data=data,
                headers={"Content-Type": "application/json", **headers},
                auth=auth,
                timeout=call.remaining(),
                allow_redirects=False,  # the headers contain credentials
                stream=True,
            )
            with response:
                text = _read(response)
        # RequestException is an OSError. urllib3 does not translate the others, such as that of an impossible chunk.
        except (OSError, ValueError, ArithmeticError, http.client.HTTPException) as error:
            raise self._translate(error, url, call) from error
        finally:
            current_call.reset(previous)
        body = _parse(text, _secrets_pattern([*_credentials_in(response.request.headers), *self._proxy_secrets]))
        proxy = self._proxy_for(url)
        parsed = Response(response.status_code, body, text, response.headers.get("Date"), proxy)
        return parsed, _retry_after(response.headers.get("Retry-After"), parsed.date)

    def _translate(self, error: Exception, url: str, call: Call) -> NetworkError | CallTimeoutError:
        origin, proxy = _origin(url), self._proxy_for(url)
        if proxy:
            origin += f" through the proxy {proxy}"
        outcome = None
        if call.is_sent is False:
            outcome = ConnectOutcome.NOT_SENT
        elif _HANDSHAKE_ALERT.search(str(_root_cause(error, call))):
            outcome = ConnectOutcome.REFUSED
        if isinstance(error, requests.exceptions.Timeout) or call.has_expired:
            return CallTimeoutError(
                f"no complete response from {origin} within {self.timeout:g} seconds", outcome=outcome
            )
        if isinstance(error, requests.exceptions.SSLError):
            bundle = self.session.verify
            hint = f" (REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE is {bundle})" if isinstance(bundle, str) else ""
            if "CERTIFICATE_VERIFY_FAILED" in str(error) and not hint:
                hint = _CA_HINT
            return NetworkError(f"TLS to {origin} failed: {self._cause(error, call)}{hint}", outcome=outcome)
        is_tls = isinstance(_root_cause(error, call), ssl.SSLError)
        if is_tls and proxy and isinstance(error, requests.exceptions.ProxyError):
            is_unverified = "CERTIFICATE_VERIFY_FAILED" in str(error)
            hint = _CA_HINT if is_unverified else ". If the proxy has no TLS, set HTTPS_PROXY to its URL with http://"
            return NetworkError(f"TLS to the proxy {proxy} failed: {self._cause(error, call)}{hint}", outcome=outcome)
        if isinstance(error, requests.exceptions.InvalidSchema):
            return NetworkError(
                f"no request to {origin} was sent: the SOCKS proxy needs the Python library PySocks; install it"
                " (pip install requests[socks])",
                outcome=outcome,
            )
        cause = self._cause(error, call)
        hint = ". Add the user name and the password to the URL in HTTPS_PROXY" if "407" in cause and proxy else ""
        return NetworkError(f"no response from {origin}: {cause}{hint}", outcome=outcome)

    def _proxy_for(self, url: str) -> str | None:
        """Return the URL of the proxy for a request, without user and password."""
        proxy = requests.utils.select_proxy(url, self.session.proxies)
        return _without_user(proxy) if proxy else None

    def _cause(self, error: BaseException, call: Call) -> str:
        """Return the innermost reason as one line. The outer exceptions of ``requests`` contain names of objects."""
        error = _root_cause(error, call)
        if not isinstance(error, OSError):  # its text may be a part of the response
            return f"invalid HTTP response ({type(error).__name__})"
        text = sanitize(str(error.strerror or error), self._proxy_secrets)  # it may contain the URL of the proxy
        return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _backoff(attempt: int, retry_after: float | None) -> float:
    """Return the seconds to wait after an attempt; the first one has the number 0.

    :param retry_after: what the server asks for. Some servers round it down to 0, and a date can be past.
    """
    pause = random.uniform(0.5, 1.0) * min(0.5 * 2**attempt, MAX_BACKOFF_SECONDS)
    return pause if retry_after is None else min(max(retry_after, min(pause, 1.0)), MAX_REPEAT_SECONDS)


def _retry_after(value: str | None, date: str | None) -> float | None:
    """Return the seconds of a ``Retry-After`` header, which is a number or a date by the server's clock.

    Some servers send a number with decimals.

    :param date: the ``Date`` header of the response.
    """
    if not value:
        return None
    number = re.match(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(?:,|$)", value)  # a gateway can add another header
    if number:
        return min(float(number[1]), 86400)
    seconds = seconds_until(value)
    return None if seconds is None else seconds - (seconds_until(date) or 0.0)


def seconds_until(date: str | None) -> float | None:
    """Return the seconds between now and the date of an HTTP header, or ``None`` if it cannot be parsed."""
    try:
        parsed = email.utils.parsedate_to_datetime(date or "")
        return (parsed - datetime.datetime.now(parsed.tzinfo or datetime.timezone.utc)).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None


def _read(response: requests.Response) -> str:
    """Return the body as text. JSON is always UTF-8 (RFC 8259), whatever the headers say.

    :raises BadAnswerError: it is larger than ``MAX_BODY_BYTES``.
    """
    content = bytearray()
    for chunk in response.iter_content(65536):
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise BadAnswerError(
                f"the API responded with HTTP {response.status_code} and more than {MAX_BODY_BYTES} bytes"
            )
    return content.decode("utf-8-sig", "replace")


def _credentials_in(headers: t.Mapping[str, t.Any]) -> list[str]:
    """Return the credentials in the headers of a request, to mask them in its response."""
    found = [headers.get(name) or "" for name in ("developerkey", "token")]
    return found + re.findall(r'(?:keyId|signature)="([^"]+)"', headers.get("Authorization") or "")


def _proxy_secrets(proxies: t.Iterable[str]) -> list[str]:
    """Return the passwords of the proxies, in plain text and Basic-encoded."""
    found = []
    for user, password in filter(all, map(requests.utils.get_auth_from_url, proxies)):
        found += [password, base64.b64encode(f"{user}:{password}".encode("latin-1", "replace")).decode()]
    return found


def _secrets_pattern(secrets: t.Iterable[str]) -> re.Pattern[str] | None:
    """Compile a pattern that matches any of the secrets. Return ``None`` if there are no secrets."""
    found = sorted((secret for secret in secrets if len(secret) >= MIN_SECRET_LENGTH), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, found))) if found else None


def _parse(text: str, secrets: re.Pattern[str] | None) -> t.Any:
    """Parse JSON and mask the secrets. Return ``None`` if the text is not JSON.

    NaN, infinite numbers and lone surrogates are replaced, because they cannot be written as JSON again.
    """
    try:
        parsed = json.loads(text, parse_constant=lambda name: None, parse_float=_float, parse_int=_int)
        plain = text.replace("\\/", "/")  # PHP escapes slashes; any other escape may hide a secret
        if secrets and ("\\" in plain or secrets.search(plain)):
            parsed = mask_secrets(parsed, secrets)
        if re.search(r"\\u[dD]", text):  # the range of surrogates
            parsed = json.loads(json.dumps(parsed, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return parsed


def _float(text: str) -> float | None:
    """Return the number, or ``None`` if it is infinite."""
    value = float(text)
    return value if math.isfinite(value) else None


def _int(text: str) -> int | None:
    """Return the number, or ``None`` if it is so long that Python cannot print it."""
    return int(text) if len(text) <= 300 else None


def _origin(url: str) -> str:
    """Return the scheme, host and port of a URL."""
    return "/".join(url.split("/", 3)[:3])


def _without_user(url: str) -> str:
    """Return the scheme, host and port of the URL of a proxy."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _root_cause(error: BaseException, call: Call) -> BaseException:
    """Return the innermost exception of the network or of the HTTP libraries that occurred during the call.

    The context of an exception that is raised again is the one that was handled then. It still has its cause. An
    exception of Python itself is the reason. PySocks resolves a name while it handles another one.
    """
    while type(error).__module__ not in ("builtins", "socket", "ssl"):
        inner = error.__context__ if error.__context__ is not call.handled else error.__cause__
        if inner is None or inner is call.handled or not _is_of_network(inner):
            break
        error = inner
    return error


def _is_of_network(error: BaseException) -> bool:
    """Return whether the network or an HTTP library has this error. One of a decompressor says nothing to a user."""
    is_of_urllib3 = type(error).__module__.startswith("urllib3.")
    return is_of_urllib3 or isinstance(error, (OSError, http.client.HTTPException))
