# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API with random responses, which reach the client as the bytes of HTTP responses.

Below ``requests`` only the socket is replaced, so that the code that parses broken responses is tested as well.
"""

from __future__ import annotations

import dataclasses
import gc
import gzip
import io
import json
import os
import re
import threading
import typing as t
import zlib

from hypothesis import strategies as st

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import (
    SERVICE_ID,
    Connection,
    find_connection_id,
    is_connection_id,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import BY_CODE, RemoteItError
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import (
    ACCESS_KEY_ID,
    GRAPHQL_CONNECTION,
    SECRET_ACCESS_KEY,
    SERVICE,
    SERVICES,
    SESSION,
    rest_row,
)

TOKEN = "7e0f51c3a9d84b62a1327b84435481d9"
KEY = "UkVNT1RFSVQtREVWRUxPUEVSLUtFWS0x"
PASSWORD = 'correct  horse\t"battery" \\ Stäple '

URLS: t.Any = {"api_url": "http://192.0.2.1/apv/v27", "graphql_url": "http://192.0.2.1/graphql/v1"}
REST = Credentials(developer_key=KEY, token=TOKEN, **URLS)
LOGIN = Credentials(developer_key=KEY, username="someone", password=PASSWORD, **URLS)
GRAPHQL = Credentials(access_key_id=ACCESS_KEY_ID, secret_access_key=SECRET_ACCESS_KEY, **URLS)

ID = "48844999-bbf4-48cf-9a3a-353b7385737a"
#: Two services, to detect that the responses about them are mixed up.
A, B = SERVICE, SERVICES[0]

# -- invalid values ----------------------------------------------------------------------------------------------------


class Raw(str):
    """Text that is sent as JSON without encoding it."""


#: In a text, it is replaced by the signature of the request.
SIGNATURE = "@the signature@"

#: The credentials that the API receives, and may repeat in its response.
SECRETS = (TOKEN, KEY, PASSWORD, ACCESS_KEY_ID, SIGNATURE)

VALUES: list[t.Any] = [
    None, True, False, 0, -1, 22, 65535, 65536, 1.5, 35.0, 10**18, "", " ", "0", "true", "True ", "false", "null",
    "active", "28800", "-1", "99999999999", [], [None], {}, {"name": {}}, [[[]]], {"id": ID}, [ID], ID, ID.upper(), A,
    B, A.lower(), "35",
    *map(Raw, ("NaN", "-Infinity", "1e999", "1" * 299, "1" * 5000, "-0", "[" * 900 + "]" * 900, '{"a":' * 5000 + "1")),
    *map(Raw, ('"\\ud800"', '"\\udfff x"', '"\\u0000"', '{"id":1,"id":"x"}', "01", "'a'", "tru", "", '"\\x"', "nul")),
    # options, paths, control characters, templates, markup
    "-oProxyCommand=id", "-l", "--", "../../etc/passwd", "/etc/passwd", "a/b", "..", "~root", "a b", "a\nb", "a\0b",
    "\x1b[2J", "\r\nHost: x", "\u202eabc", "$(id)", "`id`", "%h%p", "{{ 7 * 7 }}", "{% raw %}", "<script>", "x" * 5000,
    "é" * 70, "١٢", "\uff12\uff12", "-" * 300,
    # hosts and proxies
    "localhost", "127.0.0.1", "::1", "fe80::1%eth0", "[::1]", "0x7f.1", "proxy.", ".proxy", "a" * 64, "a..b", "pröxy",
    "http://-oProxyCommand=id:22", "http://127.0.0.1:0", "http://127.0.0.1:65536", "http://127.0.0.1:22x", "http://[",
    "http://[::1]:22", "http://[fe80::1%25eth0]:22", "http://user:word@127.0.0.1:22", "http://127.0.0.1\\@x:22",
    "https://abc.p19.rt3.io", "HTTPS://abc.p19.rt3.io/a?port=22", "http://127.0.0.1?port=-22", "http://a#b", "ftp://a:1",
    "file:///etc/passwd", "http://127.0.0.1:22\n", "http://a b:22", "http://" + "a" * 600, "//127.0.0.1:22", "http:",
    # times
    "2026-01-15T23:20:00.000Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-15T23-05:00Z",
    "2026-01-15:23:20:00Z", "0500-01-01T00:00:00.5+23:59", "2026-02-30T00:00:00Z", "2026-01-15 23:20:00",
    # reasons of refusals
    "api key failed validation", "[0861]", "unauthorized", "timed out", "connection not found", "SMS_MFA",
    # the credentials, some of them at the place where texts are cut
    *SECRETS, *(f"you sent {secret}, and" for secret in SECRETS), *("http://" + "a" * n + TOKEN for n in (30, 50, 66)),
    f"http://{TOKEN}.example.com:22", f"https://abc.p19.rt3.io/{ACCESS_KEY_ID}", f"-{KEY}", "a" * 56 + ACCESS_KEY_ID,
    json.dumps({"username": "someone", "password": PASSWORD}), " ".join(PASSWORD.split()),
    f'Signature keyId="{ACCESS_KEY_ID}",signature="{SIGNATURE}"',
]  # fmt: skip


class Choices:
    """Random choices, each from two of the drawn bytes. It would take much longer to draw each choice."""

    def __init__(self, drawn: bytes) -> None:
        self._drawn = iter(drawn)

    def choose(self, options: t.Sequence[t.Any]) -> t.Any:
        """Return one of the options: the first one if there are no bytes left."""
        number = next(self._drawn, 0) << 8 | next(self._drawn, 0)
        return options[number % len(options)]

    def value(self) -> t.Any:
        """Return an invalid value, from the list or random."""
        kind = self.choose(range(12))
        if kind == 9:
            return [self.choose(VALUES), self.choose(VALUES)]
        if kind == 10:
            return {self.choose(["id", "connectionid", "name", "status", TOKEN]): self.choose(VALUES)}
        if kind == 11:
            return "".join(chr(self.choose(range(0x3000))) for _unused in range(self.choose(range(8))))
        return self.choose(VALUES)


#: Enough bytes for all choices of a response.
drawn = st.binary(min_size=72, max_size=72)


def dump(value: t.Any) -> str:
    """Return the value as JSON, with ``Raw`` texts."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{dump(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dump, value)) + "]"
    return json.dumps(value)


# -- valid responses ---------------------------------------------------------------------------------------------------


def _device(number: int) -> dict[str, t.Any]:
    service = {"id": SERVICES[number], "name": "ssh", "state": "active", "online": True, "enabled": True}
    return {
        "id": SERVICES[number + 10],
        "name": f"kiosk-{number}",
        "state": "active",
        "online": True,
        "platform": 1200,
        "created": "2026-01-15T23:20:00.000Z",
        "lastReported": "2026-01-15T23:20:00.000Z",
        "attributes": {"room": "1", "$remoteit": {"a": [1, {"b": "c"}]}},
        "owner": {"email": "someone@example.com"},
        "tags": [{"name": "kiosk"}, {"name": "lobby"}],
        "endpoint": {"externalAddress": "203.0.113.1", "internalAddress": "192.0.2.1"},
        "services": [{**service, "application": 28, "title": "SSH", "port": 22}],
    }


_REST_CONNECTION = {
    "deviceaddress": A,
    "connectionid": ID,
    "proxy": "http://127.0.0.1:34168",
    "proxyserver": "127.0.0.1",
    "proxyport": "34168",
    "expirationsec": "28797",
    "reverseProxy": "false",
}
_LISTED = {"items": [_device(1), _device(2)], "hasMore": False, "total": 2}
_ORGANISATION = {"organization": {"id": "o", "name": "museums", "account": {"id": "a", "email": "m@example.com"}}}

_ROWS = [rest_row(SERVICES[1], "kiosk-1", "Bulk Service"), rest_row(SERVICES[2], "kiosk-1-ssh")]

VALID_RESPONSES: dict[str, t.Any] = {
    "login": {"status": "true", "token": TOKEN},
    "connect": {"status": "true", "connection": _REST_CONNECTION, "wait": True},
    "stop": {"status": "true", "connectionid": ID},
    "list": {"status": "true", "devices": _ROWS},
    "mutation Connect": {"data": {"connect": {**GRAPHQL_CONNECTION, "host": "127.0.0.1", "url": None}}},
    "mutation Disconnect": {"data": {"disconnect": True}},
    "query Sessions": {"data": {"login": {"id": "me", "sessions": [SESSION, {**SESSION, "id": "another"}]}}},
    "query ServiceSessions": {
        "data": {"login": {"id": "me", "service": [{"id": A, "sessions": [SESSION, {**SESSION, "id": "another"}]}]}}
    },
    "query Devices": {"data": {"login": {"devices": _LISTED, "account": {"devices": _LISTED}}}},
    "query Organizations": {"data": {"login": {"id": "me", "email": "me@example.com", "membership": [_ORGANISATION]}}},
}
_REFUSED: t.Any = [
    {"status": "false", "reason": "connection not found", "code": "GENERAL_ERROR"},
    {"errors": [{"message": "unknown connection"}], "data": None},
]


def places(value: t.Any, path: tuple[t.Any, ...] = ()) -> t.Iterator[tuple[t.Any, ...]]:
    """Yield the path of the value and of every value inside it."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*path, key))


def replaced(value: t.Any, path: tuple[t.Any, ...], new: t.Any) -> t.Any:
    """Return a copy in which the value at this path is replaced."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


# -- the bytes of a response -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class RawResponse:
    """A response, from its status line to its last byte."""

    head: str
    body: bytes

    def bytes_for(self, request: bytes) -> bytes:
        found = re.search(rb'signature="([^"]+)"', request)
        signature = found.group(1) if found else b"none"
        return (self.head.encode("latin-1", "replace") + self.body).replace(SIGNATURE.encode(), signature)


_CODINGS: list[t.Callable[[str], bytes]] = [
    lambda text: text.encode(),
    lambda text: text.encode("utf-8-sig"),
    lambda text: text.encode("utf-16"),
    lambda text: text.encode("utf-32-le"),
    lambda text: text.encode("latin-1", "replace"),
    lambda text: text[: len(text) // 2].encode(),
    lambda text: text.encode()[:-1],
    lambda text: (text * 2).encode(),
    lambda text: f")]}}'\n{text}".encode(),
    lambda text: f"<html><body>{text}</body></html>".encode(),
    lambda text: gzip.compress(text.encode()),
    lambda text: gzip.compress(text.encode())[:-12],
    lambda text: zlib.compress(text.encode()),
    lambda text: b"%x\r\n%s\r\n0\r\n\r\n" % (len(text.encode()), text.encode()),
    lambda text: b"ffffff\r\n" + text.encode(),
    lambda text: b"-1\r\n" + text.encode(),
    lambda text: b"\xff\xfe\x00\x80" + text.encode(),
    lambda text: b"",
    lambda text: b" \r\n",
]
_HEADERS = [
    "Content-Type: application/json", "Content-Type: text/html; charset=utf-16", "Content-Type: ;charset=\xff",
    "Content-Type: application/json; charset=nothing-known", "Content-Encoding: gzip", "Content-Encoding: deflate",
    "Content-Encoding: br", "Content-Encoding: zstd", "Content-Encoding: " + ", ".join(["gzip"] * 9),
    "Content-Encoding: \x01", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Content-Length: 7",
    "Content-Length: 99999", "Content-Length: -1", "Content-Length: 1, 2", "Content-Length: x", "Content-Length: 1e9",
    "Retry-After: 0", "Retry-After: -1", "Retry-After: " + "9" * 5000, "Retry-After: Thu, 99 Foo 2026 25:61:61 +9999",
    "Retry-After: \u0661", "Date: Thu, 15 Jan 2026 23:20:00 GMT", "Date: Thu, 15 Jan 0001 00:00:00 -2359", "Date: ,",
    "Date: x" + "(" * 50, "Location: http://127.0.0.1:1/", "Location: http://[", "Location: \xff\xfe", "Location: //",
    "Location: file:///etc/passwd", f"Location: http://x/{TOKEN}", "Set-Cookie: a=b; Domain=.test; Expires=never",
    "Set-Cookie: \x00=\xff; Max-Age=x", "Connection: close", "Connection: upgrade", "no colon", ": no name", " folded",
    "X: \x1b[2J", "X: " + "x" * 70000, *(f"X-{number}: x" for number in range(3)),
]  # fmt: skip
_STATUS_LINES = [
    "HTTP/1.1 200", "HTTP/1.0 200 OK", "HTTP/9.9 200 OK", "ICY 200 OK", "", "\x1b[2J", "HTTP/1.1 abc OK",
    "HTTP/1.1 99 x", "HTTP/1.1 1000 x", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK", f"token: {TOKEN}",
    f"developerkey: {KEY}", f'Authorization: signature="{SIGNATURE}"', f"HTTP/1.1 {TOKEN}", f"HTTP/1.1 200 {KEY}",
    "<html>", "SSH-2.0-OpenSSH_9.2", "x" * 70000,
]  # fmt: skip
_STATUSES = [200] * 6 + [201, 204, 299, 301, 302, 307, 308, 400, 401, 403, 404, 407, 429, 500, 502, 503, 504, 599]


def raw_responses(call: str, service: str = A, connectionid: str = ID) -> st.SearchStrategy[RawResponse]:
    """Draw responses to the call with up to three invalid values, and sometimes an invalid encoding."""
    well = json.loads(json.dumps(VALID_RESPONSES[call]).replace(A, service).replace(ID, connectionid))
    return drawn.map(lambda drawn: _raw_response(Choices(drawn), well))


def _raw_response(choices: Choices, body: t.Any) -> RawResponse:
    if choices.choose(range(10)) == 9:
        body = choices.choose(_REFUSED)
    for _unused in range(choices.choose(range(4))):
        body = replaced(body, choices.choose(list(places(body))), choices.value())
    text = dump(body).encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if choices.choose(range(4)) > 0:
        return RawResponse(f"HTTP/1.1 {choices.choose(_STATUSES)} x\r\n\r\n", text.encode())
    first = choices.choose([*(f"HTTP/1.1 {status} x" for status in _STATUSES), *_STATUS_LINES])
    headers = [choices.choose(_HEADERS) for _unused in range(choices.choose(range(4)))]
    return RawResponse("\r\n".join([first, *headers, "", ""]), choices.choose(_CODINGS)(text))


# -- the API -----------------------------------------------------------------------------------------------------------

_READABLE_FD = os.open(os.devnull, os.O_RDONLY)  # the pool closes a readable connection


class _Socket:
    """A connected socket. Reading returns the response to what was sent."""

    def __init__(self, response: t.Callable[[bytes], bytes]) -> None:
        self._respond = response
        self._request = b""

    def sendall(self, data: bytes) -> None:
        self._request += data

    def makefile(self, mode: str, buffering: int | None = None) -> t.Any:
        request, self._request = self._request, b""
        return io.BufferedReader(io.BytesIO(self._respond(request)))  # type: ignore[arg-type]

    def fileno(self) -> int:
        return _READABLE_FD

    def __getattr__(self, name: str) -> t.Any:  # settimeout, setsockopt, shutdown, close
        return lambda *_unused: None


class FuzzedApi:
    """An API that is connected to every socket."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def script(self, credentials: Credentials, responses: t.Mapping[t.Any, t.Sequence[RawResponse]]) -> None:
        """Set the responses to each call, or to each ``(call, service)``. The last response is repeated."""
        gc.collect(1)
        self._credentials = credentials
        self._responses = {key: list(raw_responses) for key, raw_responses in responses.items()}
        self._shown: set[str] = set()  # signatures, and the token
        self.opened: set[tuple[str, str]] = set()
        self.stopped: set[tuple[str, str]] = set()
        self.unknown_outcome: set[str] = set()  # services with a connect call whose response does not show its outcome
        self.calls = 0

    @property
    def secrets(self) -> set[str]:
        """Return the secrets that the client has sent, except for the password."""
        sent = self._credentials
        return {secret for secret in (sent.developer_key, sent.access_key_id, *self._shown) if secret}

    def connect(self, *_unused: t.Any, **__: t.Any) -> t.Any:
        return _Socket(self._respond)

    def _respond(self, request: bytes) -> bytes:
        head, _unused, text = request.partition(b"\r\n\r\n")
        path, body = head.split()[1].decode(), json.loads(text or b"{}")
        with self._lock:
            self.calls += 1
            assert self.calls < 100, "the client does not stop"
            self._shown.update(re.findall(rf'{TOKEN}|(?<=signature=")[^"]+', head.decode()))
            if "query" in body:
                call, sent = " ".join(re.findall(r"\w+", body["query"])[:2]), body["variables"]
                service, connectionid = sent.get("serviceId"), sent.get("connectionId")
            else:
                call, service, connectionid = (
                    path.rpartition("/")[2],
                    body.get("deviceaddress"),
                    body.get("connectionid"),
                )
                call = "list" if call == "all" else call
            responses = self._responses.get((call, service)) or self._responses[call]
            response = responses.pop(0) if len(responses) > 1 else responses[0]
            sent_back = response.bytes_for(request)
            if call in ("connect", "mutation Connect"):
                self._note_connection(service, response.head, sent_back)
            if call in ("stop", "mutation Disconnect"):
                self.stopped.add((service, connectionid))
        return sent_back

    def _note_connection(self, service: str, head: str, response: bytes) -> None:
        """Note the connection that a connect call has opened, if its response shows it."""
        plain = re.fullmatch(r"HTTP/1.1 ([0-9]{3}) x\r\n\r\n", head)
        status = int(plain.group(1)) if plain else 200
        if 400 <= status < 500:
            return
        content: t.Any = None
        if plain and status not in (204,):
            try:
                text = response.partition(b"\r\n\r\n")[2].decode("utf-8-sig", "replace")
                content = json.loads(text, parse_int=lambda digits: int(digits[:300]))
            except (ValueError, RecursionError):
                pass
        if not isinstance(content, dict):
            if plain:
                self.unknown_outcome.add(service)
            return
        data = content.get("data")
        connect = data.get("connect") if isinstance(data, dict) else None
        if self._credentials.access_key_id:
            connectionid = connect.get("id") if isinstance(connect, dict) else None
        else:
            connectionid = find_connection_id(content)
        if is_connection_id(connectionid) and not any(secret in connectionid for secret in self.secrets):
            self.opened.add((service, connectionid))
        elif not content.get("errors") and str(content.get("status", "")).strip().lower() != "false":
            self.unknown_outcome.add(service)


# -- the checks --------------------------------------------------------------------------------------------------------


def check_no_secret(shown: t.Any, fuzzed_api: FuzzedApi, *, password: bool = True) -> None:
    """Check that the value contains no secret, nor the beginning or end of one.

    :param password: false for data that may contain the words of the password by chance.
    """
    text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False, default=str)
    for secret in fuzzed_api.secrets:
        for part in (secret[:10], secret[-10:]):
            assert part not in text, f"{part!r} of a secret is in {text!r}"
    for form in (PASSWORD, " ".join(PASSWORD.split()), json.dumps(PASSWORD)[1:-1]) if password else ():
        assert form not in text, f"the password is in {text!r}"


def check_error(error: RemoteItError, fuzzed_api: FuzzedApi) -> None:
    """Check that an error has a known code and a printable message without secrets."""
    assert error.code in BY_CODE
    assert error.message
    assert error.message.isprintable(), error.message
    assert "unexpected error" not in error.message
    assert len(error.message) < 2000
    json.dumps(error.as_failure())
    check_no_secret([error.message, error.details], fuzzed_api)


def check_connection(connection: Connection) -> None:
    """Check that no value of a connection is an option for ssh or a path."""
    assert SERVICE_ID.fullmatch(connection.deviceaddress)
    assert re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z_.:-]{0,127}", connection.connectionid)
    assert re.fullmatch(r"[0-9A-Za-z:][0-9A-Za-z.:-]{0,252}", connection.host)
    assert isinstance(connection.port, int)
    assert not isinstance(connection.port, bool)
    assert 1 <= connection.port <= 65535
    assert re.fullmatch(r"(?i)https?://[0-9a-z\[][!-~]*", connection.proxy)
    assert connection.scheme in ("tcp", "http", "https")
    assert connection.reverse_proxy == (connection.scheme != "tcp")
    assert connection.expirationsec is None or 0 <= connection.expirationsec < 10**7
    assert connection.expires_at is None or re.fullmatch(r"[0-9]{4}-[0-9-]{5}T[0-9:]{8}Z", connection.expires_at)
