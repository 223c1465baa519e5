# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The HTTP adapter: each call has a deadline and records whether its request was sent.

The timeouts of ``requests`` and urllib3 apply to single socket operations. A server that sends one byte at a time could
hold a call forever. And their exceptions do not show whether the request was sent; if it was not, a connect call has
opened nothing. So the connection classes, which perform every socket operation, take care of both.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import http.client
import io
import socket
import sys
import threading
import time
import typing as t

try:
    from requests.adapters import HTTPAdapter
except ImportError:
    HTTPAdapter = object  # type: ignore[misc,assignment]  # without requests, HttpClient raises an error
else:
    import urllib3


T = t.TypeVar("T")


class Call:
    """One HTTP call.

    :ivar is_sent: whether the request was sent, at least in part.
    :ivar handled: the exception that the thread was handling when the call began, the context of the call's errors.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self.handled = sys.exc_info()[1]
        self.is_sent: bool | None = None  # ``None`` if another adapter is in use, which does not set it

    @property
    def has_expired(self) -> bool:
        return time.monotonic() >= self._deadline

    def remaining(self) -> float:
        """Return the seconds until the deadline.

        :raises TimeoutError: it has passed.
        """
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the deadline of the call has passed")
        return seconds

    def wait_for(self, function: t.Callable[[], T]) -> T:
        """Return the result of a function that has no timeout as a whole: a name lookup, or the dialog with a proxy.

        :raises TimeoutError: the deadline has passed. The function continues in its thread.
        """
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            try:
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)

        try:
            threading.Thread(target=run, daemon=True).start()
        except RuntimeError:  # the system has no more threads
            run()
        try:
            return future.result(self.remaining())
        except concurrent.futures.TimeoutError:
            raise TimeoutError("the deadline of the call has passed") from None


#: Seconds after which an idle connection is not used again: a NAT gateway may have forgotten it. A call that is sent
#: over such a connection has no response, and a connect call is never repeated.
MAX_IDLE_SECONDS = 20.0

#: The call for which the current thread works.
current_call: contextvars.ContextVar[Call] = contextvars.ContextVar("current_call")


class CallAdapter(HTTPAdapter):
    """An adapter whose connections, also those to proxies, update the current call."""

    def send(self, *arguments: t.Any, **options: t.Any) -> t.Any:
        current_call.get().is_sent = False
        return super().send(*arguments, **options)

    def init_poolmanager(self, *arguments: t.Any, **options: t.Any) -> None:
        super().init_poolmanager(*arguments, **options)
        _use_own_connections(self.poolmanager)

    def proxy_manager_for(self, *arguments: t.Any, **options: t.Any) -> t.Any:
        manager = super().proxy_manager_for(*arguments, **options)
        _use_own_connections(manager)
        return manager


class _Connection:
    """The methods to override in the connection classes of urllib3."""

    sock: t.Any
    port: t.Any
    timeout: t.Any
    _dns_host: str
    _is_connecting = False
    idle_since = 0.0

    def connect(self) -> None:
        self._is_connecting = True
        try:
            super().connect()  # type: ignore[misc]
        finally:
            self._is_connecting = False

    def _new_conn(self) -> t.Any:
        """Connect to the first address of the host that responds. urllib3 would apply the timeout to each address.

        Each address gets an equal part of the remaining time, so that one without a response does not use it up.
        """
        call, host = current_call.get(), self._dns_host
        failure: Exception = OSError("the host has no address")
        try:
            addresses = self._addresses()
            for number, address in enumerate(addresses):
                self._dns_host, self.timeout = address, call.remaining() / (len(addresses) - number)
                try:
                    sock = call.wait_for(super()._new_conn)  # type: ignore[misc]
                except urllib3.exceptions.HTTPError as error:
                    failure = error
                else:
                    # for a TLS handshake as a whole
                    sock.settimeout(call.remaining())
                    return sock
            raise failure
        finally:
            self._dns_host = host

    def _addresses(self) -> list[str]:
        """Return the addresses of the host, or the host itself if urllib3 or a SOCKS proxy is to resolve it."""
        host = self._dns_host
        if hasattr(self, "_socks_options"):
            return [host]
        try:
            find = functools.partial(socket.getaddrinfo, host.strip("[]"), self.port, type=socket.SOCK_STREAM)
            found = current_call.get().wait_for(find)
        except TimeoutError:
            raise
        except (OSError, UnicodeError):
            return [host]  # urllib3 raises the error
        return list(dict.fromkeys(str(address[0]) for *_unused, address in found))

    def _connect_tls_proxy(self, *arguments: t.Any, **options: t.Any) -> t.Any:
        return _ProxySocket(super()._connect_tls_proxy(*arguments, **options))  # type: ignore[misc]

    def _tunnel(self) -> None:
        super()._tunnel()  # type: ignore[misc]
        self.sock.settimeout(current_call.get().remaining())  # for the TLS handshake that follows

    def send(self, data: t.Any) -> None:
        if self.sock is None:
            self.connect()
        call = current_call.get()
        if not self._is_connecting:  # while connecting, the CONNECT request for a proxy is sent
            call.is_sent = True
        self.sock.settimeout(call.remaining())
        super().send(data)  # type: ignore[misc]

    def response_class(self, sock: t.Any, *arguments: t.Any, **options: t.Any) -> http.client.HTTPResponse:
        return _FinalResponse(_ReadOnly(sock), *arguments, **options)  # type: ignore[arg-type]


class _Pool:
    """The methods to override in the pool classes of urllib3."""

    def _get_conn(self, *arguments: t.Any, **options: t.Any) -> t.Any:
        connection = super()._get_conn(*arguments, **options)  # type: ignore[misc]
        if connection.sock is not None and time.monotonic() - connection.idle_since > MAX_IDLE_SECONDS:
            connection.close()  # it connects again
        return connection

    def _put_conn(self, connection: t.Any) -> None:
        if connection is not None:
            connection.idle_since = time.monotonic()
        super()._put_conn(connection)  # type: ignore[misc]


class _FinalResponse(http.client.HTTPResponse):
    """A response that ignores the interim ones before it.

    The standard library ignores those with status 100 only. Another one would count as the response, and the real one
    as that of the next call.
    """

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 < status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)


class _ProxySocket:
    """The socket to a proxy with TLS. Within it, urllib3 performs TLS in Python, with a timeout for each part."""

    def __init__(self, sock: t.Any) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._sock, name)

    def recv(self, *arguments: t.Any) -> bytes:
        self._sock.settimeout(current_call.get().remaining())
        return self._sock.recv(*arguments)


class _ReadOnly:
    """A socket from which a response is read."""

    def __init__(self, sock: t.Any) -> None:
        self._sock = sock

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._sock, self._sock.makefile(mode, buffering=0)))


class _DeadlineReader(io.RawIOBase):
    """A reader that sets the timeout of the socket to the rest of the call's time before each read."""

    def __init__(self, sock: t.Any, raw: t.Any) -> None:
        self._sock = sock
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int | None:
        self._sock.settimeout(current_call.get().remaining())
        return self._raw.readinto(buffer)

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
        super().close()


def _use_own_connections(manager: t.Any) -> None:
    manager.pool_classes_by_scheme = {
        scheme: _with_own_connections(pool) for scheme, pool in manager.pool_classes_by_scheme.items()
    }


@functools.cache
def _with_own_connections(pool: t.Any) -> t.Any:
    """Return a subclass of a pool class of urllib3, for direct connections or for those through a SOCKS proxy."""
    if issubclass(pool.ConnectionCls, _Connection):
        return pool
    connection = type(pool.ConnectionCls.__name__, (_Connection, pool.ConnectionCls), {})
    return type(pool.__name__, (_Pool, pool), {"ConnectionCls": connection})
