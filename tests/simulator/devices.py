# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices and services."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssh_server import SshServer

BULK, SSH, HTTP, HTTPS = 35, 28, 7, 8
REVERSE_PROXIED = (HTTP, HTTPS)
"""Applications that get a reverse proxy instead of a port (reference, section 6.3)."""

OWN_PREFIX = "80:00:00:00:01:"
FOREIGN_PREFIX = "80:00:00:00:02:"
"""The prefix of services of other users, which are not shared."""
ORGANIZATION_PREFIX = "80:00:00:00:03:"


@dataclass(eq=False)
class Service:
    """A service of a device. ``address`` is the service ID."""

    address: str
    name: str
    application: int
    port: int
    title: str
    device: Device
    fields: dict[str, Any] = field(default_factory=dict)
    """Values that a test has set, which the API returns instead of the real ones."""
    target_port: int | None = None
    """The local port to which port proxies connect. The default is that of the device's SSH server."""

    def reported(self, name: str) -> Any:
        """Return the ``name``, ``application``, ``title`` or ``port`` as the API returns it."""
        return self._changes.get(name, getattr(self, name))

    @property
    def state(self) -> Any:
        """Return the state. A service can be inactive on an active device."""
        return self._changes.get("state", self.device.state)

    @property
    def _changes(self) -> dict[str, Any]:
        """Return the values that a test has set. Those of a device apply to its Bulk service."""
        return {**self.device.fields, **self.fields} if self.application == BULK else self.fields

    @property
    def devicetype(self) -> str:
        """Return 16 octets: the application is in the first two, the port in the 11th and 12th (section 6.1)."""
        octets = [0] * 16
        octets[0:2] = divmod(self.reported("application") or 0, 256)
        octets[5], octets[8], octets[9], octets[13] = 1, 4, 0x60, 1
        octets[10:12] = divmod(self.reported("port") or 0, 256)
        return ":".join(f"{octet:02X}" for octet in octets)

    def summary(self) -> dict[str, Any]:
        """Return the item of the state file."""
        return {
            "deviceaddress": self.address,
            "name": self.name,
            "device": self.device.name,
            "application": self.application,
            "online": self.device.online,
        }


@dataclass(eq=False)
class Device:
    """A device. Its SSH server starts when it is first used."""

    number: int
    ssh_server: SshServer
    prefix: str = OWN_PREFIX
    online: bool = True
    hang: bool = False
    """Whether streams are accepted without ever receiving a byte."""
    gone: bool = False
    """Whether the API does not know the device any more."""
    fields: dict[str, Any] = field(default_factory=dict)
    revision: int = 0
    """A number that grows with each change of the device."""
    services: list[Service] = field(default_factory=list)

    def __post_init__(self) -> None:
        rows = (
            (0, self.name, BULK, 65535, "Bulk Service"),
            (1, f"{self.name}-ssh", SSH, 22, "SSH"),
            (2, f"{self.name}-web", HTTP, 80, "HTTP"),
        )
        for slot, name, application, port, title in rows:
            self.services.append(Service(self._address(slot), name, application, port, title, self))

    @property
    def name(self) -> str:
        return self.ssh_server.name

    @property
    def state(self) -> Any:
        return self.fields.get("state", "active" if self.online else "inactive")

    def _address(self, slot: int) -> str:
        octets = (self.number * 16 + slot).to_bytes(3, "big")
        return self.prefix + ":".join(f"{octet:02X}" for octet in octets)

    def summary(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "online": self.online,
            "hang": self.hang,
            "drop": self.ssh_server.dropped,
            "gone": self.gone,
            "fields": self.fields,
            "services": {service.address: service.fields for service in self.services},
            "ports": {service.address: service.target_port for service in self.services},
            "home": str(self.ssh_server.home),
            "host_key": self.ssh_server.public_host_key,
            "ssh_port": self.ssh_server.known_port,
            "ssh_connections": len(self.ssh_server.live),
        }


class Fleet:
    """The devices of one account."""

    def __init__(
        self, count: int, offline: int, directory: Path, client_key: str, kind: str = "pi", prefix: str = OWN_PREFIX
    ) -> None:
        width = max(4, len(str(count)))
        servers = [SshServer(f"{kind}-{number:0{width}}", directory, client_key) for number in range(1, count + 1)]
        self.devices = [
            Device(number, ssh_server, prefix, online=number <= count - offline)
            for number, ssh_server in enumerate(servers, 1)
        ]
        self._by_name = {device.name: device for device in self.devices}
        self._by_address = {service.address.lower(): service for service in self.services()}

    def present(self) -> list[Device]:
        """Return the devices that the API knows."""
        return [device for device in self.devices if not device.gone]

    def services(self) -> Iterator[Service]:
        return (service for device in self.present() for service in device.services)

    def device(self, name: str) -> Device | None:
        return self._by_name.get(name)

    def service(self, address: str) -> Service | None:
        """Find a service by its ID. The case of IDs varies (section 0)."""
        service = self._by_address.get(address.lower())
        return None if service is None or service.device.gone else service

    def owns(self, service: Service) -> bool:
        return self._by_address.get(service.address.lower()) is service

    def summary(self) -> list[dict[str, Any]]:
        """Return the SSH services of all devices, and then the web services."""
        services = [service for service in self.services() if service.application != BULK]
        return [service.summary() for service in sorted(services, key=lambda service: service.application != SSH)]

    def close(self) -> None:
        for device in self.devices:
            device.ssh_server.close()
