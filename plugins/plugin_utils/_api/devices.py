# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Devices, services and sessions: what the API tells of an account, read so that no oddity of one loses the others.

Names, tags and attributes are chosen by whoever owns a device: they are data, never templates, and nothing relies on
their form. Facts about the fields: https://docs.remote.it/developer-tools/api/usage
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError

Warn = t.Callable[[str], None]

#: How a warning begins that says so of a list.
INCOMPLETE = "the API's answer is not complete"

#: The application that is the device itself. Nothing connects to it.
BULK_SERVICE = 35

#: The ids of the vendor's applications: https://github.com/remoteit/desktop (common/src/applications.ts)
APPLICATIONS: dict[str, int] = {
    "tcp": 1, "vnc": 4, "rdp": 5, "http": 7, "https": 8, "ssh": 28, "generic-tcp": 29, "basic-web": 30,
    "secure-web": 33, "samba": 34, "nxwitness": 37, "nextcloud": 38, "openvpn-tcp": 39, "minecraft": 41,
    "admin-panel": 42, "terraria": 43, "redis": 44, "mysql": 45, "postgresql": 46, "docker": 47, "screenview": 48,
    "socks": 49, "udp": 32769, "wireguard": 32770, "minecraft-bedrock": 32771, "openvpn-udp": 32772,
}  # fmt: skip

_NAMES = {number: name for name, number in APPLICATIONS.items()}


def application_id(application: str | int) -> int:
    """The id of an application that is given by its name or its id; an id need not be a known one.

    :raises OptionsError: the name is not known, or it is no service's.
    """
    text = re.sub(r"[\s_-]+", "-", str(application).strip().lower())
    if re.fullmatch(r"[0-9]{1,5}", text):
        number = int(text)
    elif text in APPLICATIONS:
        number = APPLICATIONS[text]
    else:
        raise OptionsError(f"unknown application {text!r}; give its id, or one of {', '.join(APPLICATIONS)}")
    if number == BULK_SERVICE:
        raise OptionsError(f"the application {BULK_SERVICE} is the device itself, which nothing can connect to")
    return number


def application_name(number: int | None) -> str | None:
    return None if number is None else _NAMES.get(number)


class Service(t.NamedTuple):
    """Something on a device that can be connected to."""

    id: str
    name: str | None
    application: int | None
    title: str | None  # what the vendor calls the application
    port: int | None
    online: bool
    enabled: bool


class Device(t.NamedTuple):
    """A device, with the services that this account may see. Times are ISO 8601, UTC."""

    id: str
    name: str | None
    online: bool
    state: str | None
    tags: tuple[str, ...]
    platform: int | None
    attributes: dict[str, t.Any]
    created: str | None
    last_reported: str | None
    owner: str | None  # an e-mail address
    external_address: str | None
    internal_address: str | None
    services: tuple[Service, ...]

    def as_result(self) -> dict[str, t.Any]:
        """In plain types, which JSON knows."""
        services = [service._asdict() for service in self.services]
        return {**self._asdict(), "tags": list(self.tags), "services": services}


class ApiSession(t.NamedTuple):
    """Somebody's connection to a service, at this moment. None stands for what the API did not tell."""

    id: str | None  # of a proxy connection, also its connectionid
    service_id: str | None
    started: str | None  # ISO 8601, UTC
    is_ours: bool | None
    is_proxy: bool | None


@dataclasses.dataclass(frozen=True)
class DeviceFilter:
    """Which devices, and which of their services. Empty is everything; names and tags are exact.

    :param state: C(active) or C(inactive).
    :param organisation: the id, the e-mail address or the name of an organisation that the account is a member of.
    """

    devices: t.Collection[str] = ()
    services: t.Collection[str] = ()
    tags_any: t.Collection[str] = ()
    tags_all: t.Collection[str] = ()
    state: str | None = None
    applications: t.Collection[int] = ()
    organisation: str | None = None

    @classmethod
    def from_options(cls, options: t.Mapping[str, t.Any]) -> DeviceFilter:
        """The filter that the options of a module or of an inventory's source describe.

        :raises OptionsError: an application is not known.
        """
        texts = {
            name: frozenset(map(str, options[name] or ())) for name in ("device", "service", "tags_any", "tags_all")
        }
        return cls(
            devices=texts["device"],
            services=texts["service"],
            tags_any=texts["tags_any"],
            tags_all=texts["tags_all"],
            state=options["state"],
            applications=frozenset(map(application_id, options["application"] or ())),
            organisation=options["organisation"],
        )

    def matches(self, device: Device) -> Device | None:
        """The device with those of its services that are wanted; none if it is not, or has no such service.

        The API filters as well, but coarsely: by a part of a name, in any case.
        """
        if self.devices and device.name not in self.devices:
            return None
        if self.state and device.online != (self.state == "active"):
            return None
        if self.tags_any and not any(tag in self.tags_any for tag in device.tags):
            return None
        if self.tags_all and not all(tag in device.tags for tag in self.tags_all):
            return None
        if not self.services and not self.applications:
            return device
        services = tuple(
            service
            for service in device.services
            if (not self.services or service.name in self.services)
            and (not self.applications or service.application in self.applications)
        )
        return device._replace(services=services) if services else None
