# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP client: requests, proxies, failures, retries and bodies."""

from __future__ import annotations

import base64
import contextlib
import datetime
import email.utils
import gzip
import json
import pathlib
import re
import runpy
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
import typing as t

import pytest
import requests
import requests.exceptions
import urllib3

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api import http as _http
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.adapter import (
    Call,
    _with_own_connections,
    current_call,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    BadAnswerError,
    CallTimeoutError,
    ConnectOutcome,
    NetworkError,
    OptionsError,
    RemoteItError,
    ThrottledError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.http import HttpClient, Response, Transport
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import MockApi, Reply, import_copy

URL = "https://api.remot3.it/apv/v27/thing"
SUCCESS = Reply({"status": "true"})
BROKEN = requests.exceptions.ConnectionError("Connection aborted.")

SIMULATOR = pathlib.Path(__file__).parents[4] / "simulator"


def http(transport: Transport | None = None, timeout: float = 7) -> HttpClient:
    return HttpClient(transport or Transport(), timeout=timeout, pool_size=3)


def request(method: str = "POST", timeout: float = 7, **options: t.Any) -> Response:
    return http(timeout=timeout).request(method, URL, headers={}, **options)


def caused(outer: Exception, inner: Exception) -> Exception:
    """Return an exception with a context, as the libraries raise it."""
    outer.__context__ = inner
    return outer


# -- the request -------------------------------------------------------------------------------------------------------


def test_request_sends_json_and_headers(mock_api: MockApi) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": f"remoteit.fleet/{_http.VERSION} (Ansible collection)"}
    mock_api.expect("POST", URL, SUCCESS, body={"a": "ä"}, headers={**headers, "token": "t", "Authorization": None})
    http().request("POST", URL, headers={"token": "t"}, body={"a": "ä"})
    assert mock_api.options == [{"timeout": 7, "verify": True, "proxies": {}}]


def test_get_request_has_no_body(mock_api: MockApi) -> None:
    mock_api.expect("GET", URL, SUCCESS)
    request("GET")
    assert mock_api.sent[0].body is None


def test_request_does_not_use_netrc(mock_api: MockApi, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine api.remot3.it login someone password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    mock_api.expect("POST", URL, SUCCESS, headers={"Authorization": None})
    request()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_request_does_not_follow_redirects(mock_api: MockApi, status: int) -> None:
    mock_api.expect("POST", URL, Reply("", status, {"Location": "https://elsewhere.example/"}))
    response = request()
    assert response.status == status and not response.ok
    with pytest.raises(BadAnswerError, match=r"a redirect, .* \(api_url or graphql_url\)$"):
        response.json_object()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {}),
        ({"HTTPS_PROXY": "http://p:1", "http_proxy": "http://p:2"}, {"https": "http://p:1"}),
        ({"ALL_PROXY": "socks5h://p:1"}, {"all": "socks5h://p:1"}),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.org,.remot3.it"}, {}),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, {}),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.remote.it"}, {"https": "http://p:1"}),
        ({"HTTPS_PROXY": ""}, {}),
        ({"HTTPS_PROXY": "http://p:1", "all_proxy": "socks://q:2/"}, {"https": "http://p:1"}),
        ({"https_proxy": "http://p:1", "HTTPS_PROXY": "http://p:2"}, {"https": "http://p:1"}),
        ({"https_proxy": "", "HTTPS_PROXY": "http://p:2"}, {}),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "", "NO_PROXY": "*"}, {}),
        ({"HTTPS_PROXY": "proxy.example.com:3128"}, {"https": "http://proxy.example.com:3128"}),
        ({"HTTPS_PROXY": "u:w@p:1"}, {"https": "http://u:w@p:1"}),
        ({"HTTPS_PROXY": "http://[", "NO_PROXY": "*"}, {}),
        ({"HTTP_PROXY": "http://["}, {}),
    ],
)
def test_transport_reads_proxies_from_environment(
    mock_api: MockApi, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: dict[str, str]
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):  # the variables of the process are ignored
        monkeypatch.setenv(name, "http://not-this-one:1")
    mock_api.expect("POST", URL, SUCCESS)
    http(Transport.from_environment(environ, URL)).request("POST", URL, headers={})
    assert mock_api.options[0]["proxies"] == expected


@pytest.mark.parametrize("login", ["me:%E2%82%ACw0rd", "%D0%BF:w0rd"])
def test_transport_refuses_a_login_that_cannot_be_sent(login: str) -> None:
    with pytest.raises(OptionsError, match="the user name or password in HTTPS_PROXY has a character") as caught:
        Transport.from_environment({"HTTPS_PROXY": f"http://{login}@p:1"}, URL)
    assert "w0rd" not in caught.value.message


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_transport_reads_ca_bundle_from_environment(
    mock_api: MockApi, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    bundle = tmp_path / "ca.pem"
    with pytest.raises(OptionsError, match=re.escape(str(bundle))):
        Transport.from_environment({name: str(bundle)}, URL)
    bundle.touch()
    mock_api.expect("POST", URL, SUCCESS)
    http(Transport.from_environment({name: str(bundle)}, URL)).request("POST", URL, headers={})
    assert mock_api.options[0]["verify"] == str(bundle)
    monkeypatch.chdir(tmp_path)
    assert Transport.from_environment({name: "ca.pem"}, URL).ca_bundle == str(bundle)


@pytest.mark.parametrize("proxy", [
    "http://user:hunter2[@p:1", "http://user:hunter2/@p:1", "http://user:hunter2#@p:1", "http://user:hunter2@",
    "http://hunter2:12#a@p:1", "http://hunter2:12/a@p:1", "http://hunter2:12?a@p:1",
    "http://user:hunter2@p:port", "http://user:hunter2@p..q:1", "hunter2://p:1", "://hunter2",
    r"http://u:hunter2\@p:1", r"http://D\u:hunter2@p:1",
])  # fmt: skip
def test_transport_rejects_invalid_proxy_without_printing(proxy: str) -> None:
    with pytest.raises(OptionsError, match="HTTPS_PROXY") as caught:
        Transport.from_environment({"https_proxy": proxy}, URL)
    assert "hunter2" not in caught.value.message


def test_transport_repr_has_no_password() -> None:
    assert "hunter2" not in repr(Transport.from_environment({"HTTPS_PROXY": "http://u:hunter2@p:1"}, URL))


Server = t.Callable[[t.Callable[[socket.socket], None]], str]


@pytest.fixture
def server() -> t.Iterator[Server]:
    """Return a function that starts a server with a handler for each connection, and returns its address."""
    with contextlib.ExitStack() as stack:

        def start(handle: t.Callable[[socket.socket], None]) -> str:
            class Handler(socketserver.BaseRequestHandler):
                def handle(self) -> None:
                    with contextlib.suppress(OSError):
                        handle(self.request)

            listener = stack.enter_context(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler))
            threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}).start()
            stack.callback(listener.shutdown)
            return f"127.0.0.1:{listener.server_address[1]}"

        yield start


def responds(response: bytes) -> t.Callable[[socket.socket], None]:
    """Return a handler that reads one request, or one TLS handshake, and sends a response."""

    def handle(connection: socket.socket) -> None:
        found = re.search(rb"Proxy-Authorization: Basic (\S+)", connection.recv(65536))
        connection.sendall(response.replace(b"AUTHORIZATION", found.group(1) if found else b"none"))

    return handle


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("url", ["http://api.test/x", "https://api.test/x"])
def test_proxy_password_in_response_is_masked(server: Server, pauses: list[float], url: str) -> None:
    echo = b"hunter2222 AUTHORIZATION"
    address = server(responds(b'HTTP/1.1 407 %s\r\n\r\n{"message": "%s"}' % (echo, echo)))
    transport = Transport.from_environment({"ALL_PROXY": f"http://someone:hunter2%3222@{address}"}, url)
    try:
        shown = str(http(transport).request("GET", url, headers={}).body)
    except NetworkError as error:
        shown = error.message
    assert "hunter2222" not in shown
    assert base64.b64encode(b"someone:hunter2222").decode() not in shown
    assert shown.count("********") == 2


def test_malformed_header_is_not_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """``ANSIBLE_LOG_PATH`` makes Ansible write the warnings of all libraries to a file."""
    address = server(responds(b"HTTP/1.1 200 OK\r\nyou sent 7e0f51c3a9d84b62\r\nContent-Length: 2\r\n\r\n{}"))
    assert http().request("GET", f"http://{address}/", headers={"token": "7e0f51c3a9d84b62"}).status == 200
    assert "7e0f51c3a9d84b62" not in caplog.text


# -- no response -------------------------------------------------------------------------------------------------------


INCOMPLETE = "no complete response from https://api.remot3.it within 7 seconds"
NO_RESPONSE = "no response from https://api.remot3.it"


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        (requests.exceptions.ConnectTimeout(), CallTimeoutError, INCOMPLETE),
        (requests.exceptions.ReadTimeout(), CallTimeoutError, INCOMPLETE),
        (
            caused(requests.exceptions.SSLError("x"), OSError(1, "certificate verify failed")),
            NetworkError,
            "TLS to https://api.remot3.it failed: .*certificate verify failed",
        ),
        (
            caused(requests.exceptions.ConnectionError("x"), ConnectionRefusedError(111, "Connection refused")),
            NetworkError,
            f"{NO_RESPONSE}: ConnectionRefusedError: Connection refused",
        ),
        (
            caused(requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"), OSError(1, "unable to get the issuer")),
            NetworkError,
            "unable to get the issuer. If a company's CA has signed it, set REQUESTS_CA_BUNDLE",
        ),
        (requests.exceptions.ConnectionError(), NetworkError, NO_RESPONSE),
        (requests.exceptions.ChunkedEncodingError("cut"), NetworkError, NO_RESPONSE),
        (requests.exceptions.ProxyError("no"), NetworkError, NO_RESPONSE),
    ],
)
def test_network_failure_is_an_error_without_retry(
    mock_api: MockApi, raised: Exception, error: type[RemoteItError], message: str
) -> None:
    mock_api.expect("POST", URL, raised)
    with pytest.raises(error, match=message):
        request()


def test_tls_failure_names_the_proxy_that_has_no_tls(server: Server) -> None:
    proxy = f"https://{server(responds(b'HTTP/1.1 400 Bad Request' + b'.' * 9))}"
    with pytest.raises(NetworkError, match=f"^TLS to the proxy {proxy} failed: SSLError"):
        http(Transport({"https": proxy})).request("POST", URL, headers={})


def test_untrusted_certificate_of_a_proxy_names_the_ca_bundle(mock_api: MockApi) -> None:
    """Its TLS is in order. Without it, the password for the proxy would be sent in plain text."""
    reason = ssl.SSLCertVerificationError(1, "CERTIFICATE_VERIFY_FAILED")
    mock_api.expect("POST", URL, caused(requests.exceptions.ProxyError(str(reason)), reason))
    with pytest.raises(NetworkError, match=r"^TLS to the proxy https://p:3128 failed: .*REQUESTS_CA_BUNDLE") as caught:
        http(Transport({"https": "https://p:3128"})).request("POST", URL, headers={})
    assert "http://" not in caught.value.message


def test_tls_failure_names_the_ca_bundle(server: Server, tmp_path: pathlib.Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("no certificate")
    url = f"https://{server(responds(b''))}/"
    transport = Transport.from_environment({"REQUESTS_CA_BUNDLE": str(bundle)}, url)
    with pytest.raises(NetworkError, match=f"REQUESTS_CA_BUNDLE .* is {bundle}"):
        http(transport).request("POST", url, headers={})


def test_host_is_resolved_by_a_socks_proxy() -> None:
    class SocksConnection(urllib3.connection.HTTPConnection):
        """Like the connection class that urllib3 has if PySocks is installed."""

        _socks_options: t.ClassVar[dict[str, str]] = {}

        def _new_conn(self) -> t.NoReturn:
            raise urllib3.exceptions.NewConnectionError(self, self._dns_host)

    pool = type("SocksPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": SocksConnection})
    current_call.set(Call(time.monotonic() + 60))
    with pytest.raises(urllib3.exceptions.NewConnectionError, match="localhost"):
        _with_own_connections(pool).ConnectionCls("localhost", 1)._new_conn()


def test_network_failure_names_the_proxy_without_its_password(mock_api: MockApi) -> None:
    mock_api.expect("POST", URL, requests.exceptions.ConnectionError())
    transport = Transport({"https": "http://user:secret@proxy.example.com:3128"})
    with pytest.raises(
        NetworkError, match=r"no response from https://api.remot3.it through the proxy http://proxy.example.com:3128:"
    ):
        http(transport).request("POST", URL, headers={})


@pytest.mark.parametrize("body", [b"plain", gzip.compress(b"{}", mtime=0)[:-12] + b"x" * 12], ids=["plain", "damaged"])
def test_network_failure_stops_at_the_http_library(server: Server, body: bytes) -> None:
    """A proxy that unpacks the body may leave the header."""
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    with pytest.raises(NetworkError, match=r"invalid HTTP response \(DecodeError\)"):
        http().request("POST", f"http://{server(responds(head + body))}", headers={})


def test_network_failure_ignores_an_earlier_exception(mock_api: MockApi) -> None:
    """A call in an ``except`` block. Its own exceptions have the handled one as context."""

    def fail(_unused: requests.PreparedRequest) -> t.NoReturn:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as error:
            raise requests.exceptions.ConnectionError("x") from error

    mock_api.expect("POST", URL, fail)
    try:
        raise KeyError("internal")
    except KeyError:
        with pytest.raises(NetworkError, match=r"ConnectionRefusedError: Connection refused$"):
            request()


def test_reason_is_not_an_error_that_a_library_has_handled(mock_api: MockApi) -> None:
    """PySocks resolves a name while it handles the error that it is no address."""
    reason = caused(socket.gaierror(-2, "Name or service not known"), OSError("illegal IP address string"))
    mock_api.expect("POST", URL, caused(requests.exceptions.ConnectionError("x"), reason))
    with pytest.raises(NetworkError, match="gaierror: Name or service not known"):
        request()


@pytest.mark.parametrize("proxies", [{}, {"http": "http://127.0.0.1:1"}])
def test_failure_to_connect_has_its_cause_in_an_except_block(proxies: dict[str, str]) -> None:
    try:
        raise KeyError("internal")
    except KeyError:
        with pytest.raises(NetworkError, match=r"ConnectionRefusedError: Connection refused$"):
            http(Transport(proxies)).request("POST", "http://127.0.0.1:1/", headers={})


def outcome_of(url: str, proxy: str | None = None) -> ConnectOutcome | None:
    with pytest.raises(NetworkError) as caught:
        http(Transport({url.split(":")[0]: proxy} if proxy else {})).request("POST", url, headers={}, body={})
    return caught.value.outcome


HANDSHAKE_FAILURES = {
    "end of file": responds(b""),
    "reset": resets,
    "alert": responds(b"\x15\x03\x03\x00\x02\x02\x28"),
    "plain HTTP": responds(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
}


@pytest.mark.parametrize("failure", HANDSHAKE_FAILURES)
def test_failed_handshake_is_not_sent(server: Server, failure: str) -> None:
    address = server(HANDSHAKE_FAILURES[failure])
    assert outcome_of(f"https://{address}/") is ConnectOutcome.NOT_SENT
    assert outcome_of("http://api.invalid/", f"https://{address}") is ConnectOutcome.NOT_SENT
    assert outcome_of("https://api.invalid/", f"https://{address}") is ConnectOutcome.NOT_SENT


def test_late_alert_of_a_handshake_is_a_refusal(mock_api: MockApi) -> None:
    """With TLS 1.3, a server refuses the certificate of a client after the client has sent its request."""
    alert = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required")
    mock_api.expect("POST", URL, caused(requests.exceptions.ConnectionError("x"), alert))
    assert outcome_of(URL) is ConnectOutcome.REFUSED


@pytest.mark.parametrize("url", ["http://api.invalid/", "https://api.invalid/"])
def test_failure_to_connect_is_not_sent(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    assert outcome_of(url.replace("api.invalid", address)) is ConnectOutcome.NOT_SENT
    assert outcome_of(url, f"http://{address}") is ConnectOutcome.NOT_SENT
    assert outcome_of(url, f"socks5h://{address}") is ConnectOutcome.NOT_SENT  # with and without PySocks

    def fail(*_unused: t.Any, **__: t.Any) -> t.NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert outcome_of(url) is ConnectOutcome.NOT_SENT
    assert outcome_of(url, "http://proxy.invalid:3128") is ConnectOutcome.NOT_SENT


def test_refused_tunnel_is_not_sent(server: Server) -> None:
    proxy = server(responds(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"))
    assert outcome_of(URL, f"http://{proxy}") is ConnectOutcome.NOT_SENT
    with pytest.raises(NetworkError, match="Add the user name and the password to the URL in HTTPS_PROXY"):
        http(Transport({"https": f"http://{proxy}"})).request("POST", URL, headers={})


@pytest.mark.parametrize("response", [b"", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}"])
def test_lost_response_has_no_outcome(server: Server, response: bytes) -> None:
    address = server(responds(response))
    assert outcome_of(f"http://{address}/") is None
    assert outcome_of("http://api.invalid/", f"http://{address}") is None


# -- the deadline ------------------------------------------------------------------------------------------------------


def drips(start: bytes, byte: bytes) -> t.Callable[[socket.socket], None]:
    """Return a handler that sends the start of a response and then a byte every tenth of a second, for 10 seconds."""

    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(start)
        for _unused in range(100):
            time.sleep(0.1)
            connection.sendall(byte)

    return handle


DRIPS = {
    "status line": (b"HTTP/1.1 2", b"0"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{", b" "),
    "body without length": (b"HTTP/1.1 200 OK\r\n\r\n{", b" "),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "TLS handshake": (b"\x16\x03\x03\x40\x00", b"\x00"),
}


def check_deadline(url: str, transport: Transport, *, retry: bool) -> ConnectOutcome | None:
    """Check that a call ends with its timeout of a quarter of a second, and return its outcome."""
    began = time.monotonic()
    with pytest.raises(CallTimeoutError) as caught:
        http(transport, timeout=0.25).request("POST", url, headers={}, body={}, retry=retry)
    assert 0.2 < time.monotonic() - began < 8  # a drip lasts 10 seconds
    return caught.value.outcome


@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize("part", DRIPS)
def test_timeout_is_a_deadline_for_a_dripping_response(server: Server, part: str, retry: bool) -> None:
    address = server(drips(*DRIPS[part]))
    if part == "TLS handshake":
        assert check_deadline(f"https://{address}/", Transport(), retry=retry) is ConnectOutcome.NOT_SENT
    else:
        assert check_deadline(f"http://{address}/", Transport(), retry=retry) is None


@pytest.mark.parametrize("part", ["status line", "headers"])
def test_timeout_is_a_deadline_for_a_dripping_tunnel(server: Server, part: str) -> None:
    proxy = Transport({"https": f"http://{server(drips(*DRIPS[part]))}"})
    assert check_deadline("https://api.invalid/", proxy, retry=False) is ConnectOutcome.NOT_SENT


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of addresses to which the name ``api.test`` is resolved."""
    addresses: list[str] = []
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: t.Any, **options: t.Any) -> list[t.Any]:
        hosts = addresses if host == "api.test" else [host]
        return [entry for each in hosts for entry in resolve(each, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return addresses


def test_connection_uses_the_first_address_that_accepts(server: Server, addresses: list[str]) -> None:
    port = server(responds(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")).split(":")[1]
    addresses += ["127.0.0.9", "127.0.0.1"]
    assert http().request("GET", f"http://api.test:{port}/", headers={}).body == {}


@contextlib.contextmanager
def full_listener(address: str, port: int = 0) -> t.Iterator[int]:
    """Listen on a port, and accept no more connections because the queue is full."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind((address, port))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _unused in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((address or "127.0.0.1", port))
        yield port


def test_timeout_is_a_deadline_for_all_addresses(addresses: list[str]) -> None:
    addresses += ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
    with full_listener("") as port:
        url = f"http://api.test:{port}/"
        assert check_deadline(url, Transport(), retry=False) is ConnectOutcome.NOT_SENT


def test_timeout_is_a_deadline_for_a_name_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timeouts of the resolver are longer."""
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_unused, **__: released.wait() and [])
    assert check_deadline("http://api.test/", Transport(), retry=False) is ConnectOutcome.NOT_SENT
    released.set()


def test_call_needs_no_further_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may have no more of them when the connections are closed."""

    def fail(_unused: threading.Thread) -> t.NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    assert Call(time.monotonic() + 60).wait_for(lambda: "address") == "address"


def test_timeout_is_a_deadline_for_a_socks_proxy() -> None:
    """PySocks applies the timeout to each operation, so a proxy can send one byte at a time."""
    released = threading.Event()

    class SocksConnection(urllib3.connection.HTTPConnection):
        _socks_options: t.ClassVar[dict[str, t.Any]] = {}

        def _new_conn(self) -> t.Any:
            released.wait()

    pool = type("SocksPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": SocksConnection})
    current_call.set(Call(time.monotonic() + 0.1))
    with pytest.raises(TimeoutError):
        _with_own_connections(pool).ConnectionCls("api.test", 1)._new_conn()
    released.set()


def test_address_without_a_response_does_not_use_up_the_timeout(server: Server, addresses: list[str]) -> None:
    addresses += ["127.0.0.9", "127.0.0.1"]
    port = server(responds(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")).split(":")[1]
    with full_listener("127.0.0.9", int(port)):
        assert http(timeout=2).request("GET", f"http://api.test:{port}/", headers={}).body == {}


def test_timeout_is_a_deadline_for_tls_after_a_late_tunnel(server: Server) -> None:
    """The proxy responds late, and then the TLS handshake gets no response."""

    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        time.sleep(0.9)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while connection.recv(65536):  # the start of the handshake
            pass

    transport = Transport({"https": f"http://{server(handle)}"})
    began = time.monotonic()
    with pytest.raises(CallTimeoutError):
        http(transport, timeout=1).request("POST", "https://api.invalid/", headers={})
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("part", ["TLS handshake", "body"])
def test_timeout_is_a_deadline_within_the_tls_of_a_proxy(server: Server, tmp_path: pathlib.Path, part: str) -> None:
    """The proxy sends the API's TLS handshake, or the encrypted response, one byte at a time."""
    certificate = runpy.run_path(str(SIMULATOR / "certificate.py"))["Certificate"](tmp_path)

    def handle(connection: socket.socket) -> None:
        proxy = certificate.context().wrap_socket(connection, server_side=True)
        proxy.recv(65536)
        proxy.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        if part == "TLS handshake":
            drips(*DRIPS[part])(proxy)
        received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        api = certificate.context().wrap_bio(received, sent, server_side=True)
        for step in (api.do_handshake, lambda: api.read(65536)):
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    step()
                    break
                proxy.sendall(sent.read())
                received.write(proxy.recv(65536)) or received.write_eof()
        proxy.sendall(sent.read())
        api.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b" " * 200)
        for byte in sent.read():
            time.sleep(0.1)
            proxy.sendall(bytes([byte]))

    transport = Transport({"https": f"https://{server(handle)}"}, str(certificate.ca_file))
    outcome = check_deadline("https://localhost/", transport, retry=False)
    assert outcome is (ConnectOutcome.NOT_SENT if part == "TLS handshake" else None)


# -- odd responses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
def test_interim_response_is_not_the_response(server: Server, interim: bytes) -> None:
    """If it were, the real one would be the response to the next call."""
    number = 0

    def handle(connection: socket.socket) -> None:
        nonlocal number
        while connection.recv(65536):
            number += 1
            connection.sendall(b"HTTP/1.1 %b\r\nLink: </x>\r\n\r\n" % interim)
            time.sleep(0.05)
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"n":%d}' % number)

    client, url = http(), f"http://{server(handle)}/"
    with client.session:
        bodies = [client.request("GET", url, headers={}).body for _unused in range(3)]
    assert bodies == [{"n": 1}, {"n": 2}, {"n": 3}]


@pytest.mark.parametrize(("seconds", "connections"), [(0, 1), (19, 1), (21, 2)])
def test_connection_that_was_idle_for_long_is_not_used(server: Server, seconds: int, connections: int) -> None:
    """A NAT gateway may have forgotten it, and the call would have no response."""
    accepted = []

    def handle(connection: socket.socket) -> None:
        accepted.append(connection)
        while connection.recv(65536):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    client, url = http(), f"http://{server(handle)}/"
    with client.session:
        client.request("GET", url, headers={})
        pools = client.session.get_adapter(url).poolmanager.pools  # type: ignore[attr-defined]
        (pool,) = (pools[key] for key in pools.keys())  # noqa: SIM118 (it cannot be iterated)
        for connection in filter(None, pool.pool.queue):
            connection.idle_since -= seconds
        client.request("GET", url, headers={})
    assert len(accepted) == connections


@pytest.mark.parametrize("size", [b"-5", b"F" * 30, b"zz"])
def test_chunk_with_an_impossible_size_is_a_network_error(server: Server, size: bytes) -> None:
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    address = server(responds(start + size + b"\r\n{}\r\n0\r\n\r\n"))
    with pytest.raises(NetworkError):
        http().request("GET", f"http://{address}/", headers={})


# -- retries -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [Reply("", 429), Reply("", 500), Reply("<p>", 503), BROKEN, requests.exceptions.ReadTimeout()]
)
def test_request_is_retried_with_growing_pauses(mock_api: MockApi, pauses: list[float], failure: t.Any) -> None:
    mock_api.expect("POST", URL, *[failure] * 4, SUCCESS, body={"a": 1})
    assert request(body={"a": 1}, retry=True).ok
    assert len(pauses) == 4
    assert pauses == sorted(pauses) and pauses[0] > 0 and pauses[-1] <= _http.MAX_BACKOFF_SECONDS


@pytest.mark.parametrize("failure", [Reply("", 500), Reply("", 503), Reply({"status": "false"}, 502)])
def test_request_without_retry_is_sent_once(mock_api: MockApi, pauses: list[float], failure: Reply) -> None:
    mock_api.expect("POST", URL, failure)
    assert request().status == failure.status
    assert pauses == []


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404])
def test_final_status_is_not_retried(mock_api: MockApi, pauses: list[float], status: int) -> None:
    mock_api.expect("POST", URL, Reply({}, status))
    assert request(retry=True).status == status


def test_request_gives_up_after_five_attempts(mock_api: MockApi, pauses: list[float]) -> None:
    mock_api.expect("POST", URL, *[Reply("", 500)] * 5)
    assert request(retry=True).status == 500
    mock_api.expect("POST", URL, *[BROKEN] * 5)
    with pytest.raises(NetworkError):
        request(retry=True)
    mock_api.expect("POST", URL, *[Reply("", 429)] * 5)
    with pytest.raises(ThrottledError, match="HTTP 429"):
        request(retry=True)


@pytest.mark.parametrize(("retry_after", "count"), [("1", 60), ("7", 8), ("30", 2)])
def test_throttled_request_is_repeated_for_a_minute(
    mock_api: MockApi, pauses: list[float], retry_after: str, count: int
) -> None:
    mock_api.expect("POST", URL, *[Reply("", 429, {"Retry-After": retry_after})] * count, SUCCESS)
    assert request().ok
    assert pauses == [float(retry_after)] * count
    mock_api.expect("POST", URL, *[Reply("", 429, {"Retry-After": retry_after})] * (count + 1))
    with pytest.raises(ThrottledError):
        request()


@pytest.mark.parametrize("retry_after", ["0", "0.043", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_throttled_request_is_repeated_for_a_minute_at_least_each_second(
    mock_api: MockApi, pauses: list[float], retry_after: str
) -> None:
    """A limit of 20 calls a second can ask for less than a second, which some servers round down."""
    mock_api.expect("POST", URL, *[Reply("", 429, {"Retry-After": retry_after})] * 60, SUCCESS)
    assert request().ok
    assert 0.25 <= pauses[0] <= 0.5
    assert all(0.5 <= pause <= 1 for pause in pauses[1:])
    mock_api.expect("POST", URL, *[Reply("", 429, {"Retry-After": retry_after})] * 62)
    with pytest.raises(ThrottledError):
        request()


def test_throttled_request_may_fail_otherwise(mock_api: MockApi, pauses: list[float]) -> None:
    mock_api.expect("POST", URL, Reply("", 429, {"Retry-After": "1"}), Reply("", 500))
    assert request().status == 500
    mock_api.expect("POST", URL, Reply("", 429, {"Retry-After": "1"}), BROKEN)
    with pytest.raises(NetworkError):
        request()


@pytest.mark.parametrize(
    ("value", "pause"),
    [("3", 3.0), ("1.5", 1.5), ("7, 7", 7.0), ("99999", 60.0), ("9" * 400, 60.0)],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_seconds(mock_api: MockApi, pauses: list[float], status: int, value: str, pause: float) -> None:
    mock_api.expect("POST", URL, Reply("", status, {"Retry-After": value}), SUCCESS)
    request(retry=True, timeout=60)
    assert pauses == [pause if status == 429 else min(pause, 30.0)]


def test_retry_after_date(mock_api: MockApi, pauses: list[float]) -> None:
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=20)
    mock_api.expect("POST", URL, Reply("", 429, {"Retry-After": email.utils.format_datetime(later, True)}), SUCCESS)
    request(retry=True, timeout=60)
    assert 1 < pauses[0] <= 20


def test_retry_after_date_is_by_the_clock_of_the_server(mock_api: MockApi, pauses: list[float]) -> None:
    headers = {"Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After": "Wed, 21 Oct 2015 07:28:10 GMT"}
    mock_api.expect("POST", URL, Reply("", 429, headers), SUCCESS)
    request(retry=True, timeout=60)
    assert pauses == [pytest.approx(10, abs=1)]


@pytest.mark.parametrize("value", ["soon", "", "Wed, 99 Oct 2015", "½", "0", "-4", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_invalid_retry_after_is_ignored(mock_api: MockApi, pauses: list[float], value: str) -> None:
    mock_api.expect("POST", URL, Reply("", 429, {"Retry-After": value}), SUCCESS)
    request(retry=True)
    assert 0 < pauses[0] <= 0.5


# -- bodies ------------------------------------------------------------------------------------------------------------


def test_endless_response_is_rejected(mock_api: MockApi) -> None:
    mock_api.expect("POST", URL, Reply("x" * (_http.MAX_BODY_BYTES + 1)))
    with pytest.raises(BadAnswerError):
        request()


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (r'{"a": "half \ud83d a face", "\uDFFF": [-1]}', {"a": "half ? a face", "?": [-1]}),
        (r'{"a": "a whole \ud83d\ude00 one"}', {"a": "a whole \U0001f600 one"}),
        (r'{"a": "no \\ud83d at all"}', {"a": r"no \ud83d at all"}),
        ('{"a": [NaN, Infinity, -Infinity]}', {"a": [None, None, None]}),
    ],
)
def test_parsed_body_can_be_written_as_json(mock_api: MockApi, text: str, body: t.Any) -> None:
    mock_api.expect("POST", URL, Reply(text))
    assert request().json_object() == body
    json.dumps(body, ensure_ascii=False, allow_nan=False).encode()


def test_body_is_utf8_despite_its_charset(mock_api: MockApi) -> None:
    mock_api.expect("POST", URL, Reply({"name": "ä"}, headers={"Content-Type": "application/json; charset=idna"}))
    assert request().body == {"name": "ä"}


@pytest.mark.parametrize("status", [200, 401, 500])
def test_body_is_read_for_every_status(mock_api: MockApi, status: int) -> None:
    mock_api.expect("POST", URL, Reply('{"proxy": "http:\\/\\/p:1"}', status))
    assert request().json_object() == {"proxy": "http://p:1"}


@pytest.mark.parametrize(
    ("body", "description"),
    [
        ("", "an empty body"),
        (" \n", "an empty body"),
        ("<html>hunter2</html>", "an HTML page, which a proxy or a gateway may have sent"),
        ("\n <!DOCTYPE html>hunter2", "an HTML page, which a proxy or a gateway may have sent"),
        (["hunter2"], "a JSON list instead of an object"),
        ('"hunter2"', "a JSON str instead of an object"),
        ("Unauthorized hunter2", "20 characters that are not JSON"),
        (
            '{"proxy": "http://p:1" "x": 1}',
            "30 characters that are not JSON",
        ),  # as on the vendor's page, without a comma
        ("[" * 100000, "100000 characters that are not JSON"),
    ],
)
def test_json_object_describes_other_bodies_without_text(mock_api: MockApi, body: t.Any, description: str) -> None:
    mock_api.expect("POST", URL, Reply(body, 404))
    with pytest.raises(BadAnswerError, match=f"HTTP 404 and {description}$") as caught:
        request().json_object()
    assert caught.value.details == {"http_status": 404}
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(("status", "body"), [(503, "<html>"), (302, ""), (200, "blocked")])
def test_json_object_names_the_proxy(mock_api: MockApi, status: int, body: str) -> None:
    mock_api.expect("POST", URL, Reply(body, status))
    response = http(Transport({"https": "http://me:hunter2@p:3128"})).request("POST", URL, headers={})
    with pytest.raises(BadAnswerError, match=r"; the proxy http://p:3128 may have sent this response$"):
        response.json_object()


# -- others ------------------------------------------------------------------------------------------------------------


def test_http_client_reports_missing_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "requests", None)
    without = import_copy(_http)
    transport = without.Transport.from_environment({"HTTPS_PROXY": "http://p:1"}, URL)
    with pytest.raises(OptionsError, match="pip install requests"):
        without.HttpClient(transport, timeout=1, pool_size=1)


def test_version_equals_galaxy_yml() -> None:
    galaxy = pathlib.Path(_http.__file__).parents[3] / "galaxy.yml"
    found = re.search(r"^version: (.+)$", galaxy.read_text(), re.MULTILINE)
    assert found and found[1] == _http.VERSION
