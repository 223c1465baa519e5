# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The devices, services and sessions of an account, and the filter for devices.

Names, tags and attributes are chosen by the owners of devices. They are data, never templates, and can have any form.
The fields: https://docs.remote.it/developer-tools/api/usage
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError, empty_option_error
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import parse_utc

Warn = t.Callable[[str], None]

#: The beginning of a warning about a list of devices from which something is missing.
INCOMPLETE = "the API's response is incomplete"

#: The application that stands for the device itself. Nothing can connect to it.
BULK_SERVICE = 35

#: The IDs of the vendor's applications: https://github.com/remoteit/desktop (common/src/applications.ts)
APPLICATIONS: dict[str, int] = {
    "tcp": 1, "vnc": 4, "rdp": 5, "http": 7, "https": 8, "ssh": 28, "generic-tcp": 29, "basic-web": 30,
    "secure-web": 33, "samba": 34, "nxwitness": 37, "nextcloud": 38, "openvpn-tcp": 39, "minecraft": 41,
    "admin-panel": 42, "terraria": 43, "redis": 44, "mysql": 45, "postgresql": 46, "docker": 47, "screenview": 48,
    "socks": 49, "udp": 32769, "wireguard": 32770, "minecraft-bedrock": 32771, "openvpn-udp": 32772,
}  # fmt: skip

_NAMES = {number: name for name, number in APPLICATIONS.items()}


def application_id(application: str | int) -> int:
    """Return the ID of an application that is given by name or ID. Unknown IDs are accepted.

    :raises OptionsError: the name is unknown, or the application is not that of a service.
    """
    text = re.sub(r"[\s_-]+", "-", str(application).strip().lower())
    if re.fullmatch(r"[0-9]{1,5}", text):
        number = int(text)
    elif text in APPLICATIONS:
        number = APPLICATIONS[text]
    else:
        raise OptionsError(f"unknown application {text!r}; give its ID, or one of {', '.join(APPLICATIONS)}")
    if number == BULK_SERVICE:
        raise OptionsError(
            f"application {BULK_SERVICE} is the device itself, which cannot be connected to; give another one"
        )
    return number


def application_name(number: int | None) -> str | None:
    """Return the name of an application, or ``None`` if it is unknown."""
    return None if number is None else _NAMES.get(number)


class Service(t.NamedTuple):
    """A service of a device: a port that can be connected to."""

    id: str
    name: str | None
    application: int | None
    title: str | None  # the vendor's name of the application
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
    owner: str | None  # an email address
    external_address: str | None
    external_port: int | None
    internal_address: str | None
    services: tuple[Service, ...]

    def as_result(self) -> dict[str, t.Any]:
        """Return the device in plain types, for JSON."""
        services = [service._asdict() for service in self.services]
        return {**self._asdict(), "tags": list(self.tags), "services": services}


class ApiSession(t.NamedTuple):
    """An open connection of any user to a service. Fields that the API did not send are ``None``."""

    id: str | None  # for a proxy connection, also its connection ID
    service_id: str | None
    started: str | None  # ISO 8601, UTC
    is_ours: bool | None
    is_proxy: bool | None

    def may_be_ours_since(self, earliest: datetime.datetime) -> bool:
        """Return whether nothing excludes that this account started it at this time or later. Fields can be missing."""
        return self.is_ours is not False and (self.started is None or parse_utc(self.started) >= earliest)


@dataclasses.dataclass(frozen=True)
class DeviceFilter:
    """A filter for devices and their services. Empty fields match everything. Names and tags are case-sensitive.

    :param state: ``active`` or ``inactive``.
    :param organisation: the ID, email address or name of an organization that the account is a member of.
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
        """Return the filter that the options of a module or of an inventory source describe.

        :raises OptionsError: an application is unknown, or the organization is empty.
        """
        if options["organisation"] == "":
            raise empty_option_error("organisation", "list the devices of the account itself")
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
        """Return the device with those of its services that match, or ``None`` if none do.

        The filter of the API is less exact: it matches a part of a name, in any case.
        """
        if not (self._matches_device(device) and self._matches_tags(device)):
            return None
        if not self.services and not self.applications:
            return device
        services = tuple(filter(self._matches_service, device.services))
        return device._replace(services=services) if services else None

    def _matches_device(self, device: Device) -> bool:
        if self.devices and device.name not in self.devices:
            return False
        return not self.state or device.online == (self.state == "active")

    def _matches_tags(self, device: Device) -> bool:
        if self.tags_any and not any(tag in self.tags_any for tag in device.tags):
            return False
        return all(tag in device.tags for tag in self.tags_all)

    def _matches_service(self, service: Service) -> bool:
        if self.services and service.name not in self.services:
            return False
        return not self.applications or service.application in self.applications
