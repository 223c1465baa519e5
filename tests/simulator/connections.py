# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proxy connections: their address restriction, their expiry, and their history."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from accounts import User
from clock import Clock
from devices import REVERSE_PROXIED, Device, Service
from proxies import PortProxy, WebProxy
from responses import ApiError
from settings import Settings

PUBLIC = "0.0.0.0"
LATCHING = "255.255.255.255"


@dataclass(eq=False)
class Connection:
    """An open or closed connection."""

    user: User
    service: Service
    connectionid: str
    hostip: str
    sent_hostip: str | None
    caller: str
    opened_at: float
    clock: Clock
    proxy: PortProxy | WebProxy = field(init=False)
    host: str = ""
    port: int = 0
    latched: str | None = None
    last_used: float = 0.0
    uses: int = 0
    refused: int = 0
    closed_at: float | None = None
    closed_by: str | None = None
    previous: Connection | None = None
    """The connection that this one replaces."""

    @property
    def device(self) -> Device:
        return self.service.device

    @property
    def target_port(self) -> int | None:
        return self.service.target_port

    @property
    def reverse(self) -> bool:
        return isinstance(self.proxy, WebProxy)

    @property
    def url(self) -> str:
        """Return the URL. The scheme of a port proxy is ``http``, even for SSH (section 1.5)."""
        return f"{'https' if self.reverse else 'http'}://{self.host}:{self.port}"

    @property
    def open(self) -> bool:
        return self.closed_at is None

    @property
    def restriction(self) -> str:
        if self.reverse or self.hostip == PUBLIC:
            return "public"
        if self.hostip == LATCHING:
            return "latching"
        return "caller" if self.sent_hostip is None else "address"

    def admit(self, peer: str) -> bool:
        """Return whether an address can use the connection (section 4.2). The first one latches it."""
        if self.restriction == "latching" and self.latched is None:
            self.latched = peer
        allowed = self.restriction == "public" or peer == (self.latched or self.hostip)
        if allowed:
            self.uses += 1
            self.touch()
        else:
            self.refused += 1
        return allowed

    def touch(self) -> None:
        self.last_used = self.clock.now()

    def close(self, reason: str) -> None:
        if self.open:
            self.closed_at, self.closed_by = self.clock.now(), reason
            self.proxy.close()

    def summary(self) -> dict[str, Any]:
        """Return the item of ``/_sim/connections``. Times are Unix seconds of the simulator's clock."""
        return {
            "deviceaddress": self.service.address,
            "connectionid": self.connectionid,
            "open": self.open,
            "opened_at": self.opened_at,
            "closed_at": self.closed_at,
            "closed_by": self.closed_by,
            "hostip": self.hostip,
            "hostip_sent": self.sent_hostip,
            "restriction": self.restriction,
            "latched": self.latched,
            "caller": self.caller,
            "user": self.user.email,
            "device": self.device.name,
            "name": self.service.name,
            "application": self.service.application,
            "proxy": self.url,
            "port": self.port,
            "uses": self.uses,
            "refused": self.refused,
            "streams": self.proxy.busy,
        }


class Connections:
    """All connections. Those that are idle or expired are closed."""

    def __init__(self, clock: Clock, settings: Settings, host: str, tls: Callable[[], ssl.SSLContext]) -> None:
        self._clock = clock
        self._settings = settings
        self._host = host
        self._tls = tls
        self._service_locks: dict[Service, asyncio.Lock] = {}
        self._open: dict[str, Connection] = {}
        self._starting: list[User] = []
        self.history: list[Connection] = []

    async def connect(
        self,
        user: User,
        service: Service,
        hostip: str | None,
        caller: str,
        reverse: bool | None = None,
        default_hostip: str | None = None,
    ) -> Connection:
        """Open a connection, or return the user's open one if a second connect reuses it.

        ``reverse`` selects the kind of proxy. By default, it depends on the application.
        ``default_hostip`` applies without ``hostip``. By default, it is the address of the caller.
        """
        if reverse is None:
            reverse = service.application in REVERSE_PROXIED
        async with self._service_locks.setdefault(service, asyncio.Lock()):
            earlier = [old for old in self._open.values() if (old.service, old.user) == (service, user)]
            effect = self._settings.second_connect
            if earlier and effect == "reuse":
                return earlier[-1]
            if not (earlier and effect == "override"):
                self._check_limit(user)
            now = self._clock.now()
            connection = Connection(
                user,
                service,
                str(uuid.uuid4()),
                hostip or default_hostip or caller,
                hostip,
                caller,
                now,
                self._clock,
                last_used=now,
            )
            self._starting.append(user)  # counts toward the limit before its proxy listens
            try:
                await self._start(connection, reverse)
            finally:
                self._starting.remove(user)
            if earlier and effect == "override":
                connection.previous = earlier[-1]
                for old in earlier:
                    self.close(old, "overridden")
            return connection

    def _check_limit(self, user: User) -> None:
        """Refuse a connection above ``max_connections``. The vendor's reason is unknown, so this one is invented."""
        limit = self._settings.max_connections
        if limit and [*(old.user for old in self._open.values()), *self._starting].count(user) >= limit:
            raise ApiError(200, f"too many concurrent connections: the limit of this account is {limit:g}")

    async def _start(self, connection: Connection, reverse: bool) -> None:
        if reverse:
            connection.proxy = WebProxy(connection, self._tls)
            connection.host = self._settings.web_host.replace("*", secrets.token_hex(5))
        else:
            connection.proxy = PortProxy(connection)
            connection.host = self._host
        connection.port = await connection.proxy.listen(self._host)
        self._open[connection.connectionid] = connection
        self.history.append(connection)

    def find(self, user: User, connectionid: str, service: Service | None = None) -> Connection | None:
        """Return an open connection of this user (to this service). The case of the ID is ignored."""
        connection = self._open.get(connectionid.lower())
        if connection is None or connection.user != user or service not in (None, connection.service):
            return None
        return connection

    def all_open(self) -> list[Connection]:
        return list(self._open.values())

    def close(self, connection: Connection, reason: str) -> None:
        self._open.pop(connection.connectionid, None)
        connection.close(reason)

    def life_left(self, connection: Connection) -> float:
        return connection.opened_at + self._settings.life - self._clock.now()

    def sweep(self) -> None:
        """Close connections that have expired, or are idle since their last stream or request (section 4.6)."""
        now = self._clock.now()
        for connection in self.all_open():
            if self.life_left(connection) <= 0:
                self.close(connection, "expired")
            elif not connection.proxy.busy and now - connection.last_used >= self._settings.idle:
                self.close(connection, "idle")

    async def sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.sweep()

    def refresh(self, device: Device) -> None:
        """Apply a change of whether the device hangs."""
        for connection in self._open.values():
            if connection.device is device:
                connection.proxy.refresh()

    def end(self) -> None:
        """Close all connections at the end of the simulator."""
        for connection in self.all_open():
            self.close(connection, "simulator ended")
