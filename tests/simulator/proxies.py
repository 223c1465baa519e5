# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two kinds of proxies: a TCP port for SSH, and an HTTPS server for web services."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from devices import Device

#: Sockets that keep the ports of the last proxies that have ended. Otherwise the system could give such a port to
#: another server of this machine, which would respond in place of the proxy.
_ENDED: collections.deque[socket.socket] = collections.deque()
MAX_ENDED = 100


def stop_listening(server: asyncio.Server) -> None:
    """Close a server, whose port then refuses connections."""
    address = server.sockets[0].getsockname()
    server.close()
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # its streams may still be open
    with contextlib.suppress(OSError):
        reserved.bind(address)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    _ENDED.append(reserved)
    if len(_ENDED) > MAX_ENDED:
        _ENDED.popleft().close()


class ProxiedConnection(Protocol):
    """The connection of a proxy."""

    @property
    def device(self) -> Device:
        """Return the device that the proxy connects to."""

    @property
    def target_port(self) -> int | None:
        """Return the local port that replaces the device's SSH server, or None."""

    def admit(self, peer: str) -> bool:
        """Return whether a client's address is allowed. Called once for each stream."""

    def touch(self) -> None:
        """Record that the connection was used."""


class PortProxy:
    """Forwards TCP streams of allowed clients to the device's SSH server, or to another port."""

    def __init__(self, connection: ProxiedConnection) -> None:
        self.connection = connection
        self.streams: set[_ClientSide] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str) -> int:
        self._server = await asyncio.get_running_loop().create_server(lambda: _ClientSide(self), host, 0, backlog=128)
        return self._server.sockets[0].getsockname()[1]

    @property
    def busy(self) -> int:
        return len(self.streams)

    def refresh(self) -> None:
        """Apply a change of whether the device hangs."""
        for stream in self.streams:
            stream.refresh()

    def close(self) -> None:
        if self._server is not None:
            stop_listening(self._server)
        for stream in list(self.streams):
            stream.abort()


class _StreamSide(asyncio.Protocol):
    """One side of a stream, which forwards its data to the other side, with flow control."""

    def __init__(self, other: _StreamSide | None = None, frozen: bool = False) -> None:
        self.transport: asyncio.Transport
        self.other = other
        self._blocked = False
        self._frozen = frozen
        self._buffered = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.other is not None:
            self.other.other = self

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()

    def data_received(self, data: bytes) -> None:
        # The other side is not connected yet, or the device hangs.
        if self.other is None or self._frozen:
            self._buffered += data
        else:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.hold(blocked=True)

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.hold(blocked=False)

    def hold(self, blocked: bool | None = None, frozen: bool | None = None) -> None:
        """Pause reading while the other side is full or the device hangs."""
        self._blocked = self._blocked if blocked is None else blocked
        self._frozen = self._frozen if frozen is None else frozen
        if self.transport.is_closing():
            return
        if self._buffered and self.other is not None and not self._frozen:
            kept, self._buffered = self._buffered, b""
            self.other.transport.write(kept)
        if self._blocked or self._frozen:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()


class _ClientSide(_StreamSide):
    """The client's side. The stream of a client that is not allowed is closed."""

    def __init__(self, proxy: PortProxy) -> None:
        super().__init__()
        self._proxy = proxy
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self._proxy.connection.admit(transport.get_extra_info("peername")[0]):
            transport.close()
            return
        self._proxy.streams.add(self)
        self._connecting = asyncio.get_running_loop().create_task(self._connect_to_device())

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self in self._proxy.streams:
            self._proxy.streams.discard(self)
            self._proxy.connection.touch()

    async def _connect_to_device(self) -> None:
        """Connect to the device. On an error, only close the client's stream, as the vendor does."""
        try:
            port = self._proxy.connection.target_port or await self._proxy.connection.device.ssh_server.port()
            await asyncio.get_running_loop().create_connection(self._device_side, "127.0.0.1", port)
        except OSError:
            self.transport.close()
            return
        if self.transport.is_closing():
            self.abort()
        else:
            self.hold()
            self.refresh()

    def _device_side(self) -> _StreamSide:
        # Set the other side at once: the device's first data can arrive before anything else runs.
        return _StreamSide(self, frozen=self._proxy.connection.device.hang)

    def refresh(self) -> None:
        if self.other is not None:
            self.other.hold(frozen=self._proxy.connection.device.hang)

    def abort(self) -> None:
        self.transport.abort()
        if self.other is not None:
            self.other.transport.abort()


class WebProxy:
    """Serves the device's web page over TLS to all clients: reverse proxies are public (section 4.2)."""

    def __init__(self, connection: ProxiedConnection, tls: Callable[[], ssl.SSLContext]) -> None:
        self.connection = connection
        self._tls = tls
        self._requests = 0
        self._http = web.Server(self._respond)
        self._server: asyncio.Server | None = None

    async def listen(self, host: str) -> int:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._http, host, 0, ssl=self._tls(), backlog=128)
        return self._server.sockets[0].getsockname()[1]

    @property
    def busy(self) -> int:
        """Return the number of current requests. Idle streams do not count as use (section 4.6)."""
        return self._requests

    def refresh(self) -> None:
        """Do nothing: each web request checks whether the device hangs."""

    def close(self) -> None:
        if self._server is not None:
            stop_listening(self._server)
        for handler in list(self._http.connections):
            if handler.transport is not None:
                handler.transport.abort()

    async def _respond(self, request: web.BaseRequest) -> web.Response:
        device = self.connection.device
        self.connection.admit(request.remote or "")
        self._requests += 1
        try:
            while device.hang:
                await asyncio.sleep(0.1)
            if device.ssh_server.dropped:
                return web.Response(status=502, text="Bad Gateway\n")
            page = f"<!DOCTYPE html>\n<title>{device.name}</title>\n<h1>{device.name}</h1>\n"
            return web.Response(text=page, content_type="text/html")
        finally:
            self._requests -= 1
            self.connection.touch()
