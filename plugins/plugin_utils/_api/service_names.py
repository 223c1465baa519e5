# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Find services by the names of the device and of the service."""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import (
    Device,
    DeviceFilter,
    Service,
    Warn,
    application_id,
    application_name,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import NotFoundError, OptionsError


class ServiceName(t.NamedTuple):
    """The name of a device, with the name or the application of one of its services."""

    device: str
    service: str | None = None
    application: int | None = None

    @classmethod
    def parse(cls, device: str, service: str | None = None, application: str | None = None) -> ServiceName:
        """Return the service name for the options of a user.

        :raises OptionsError: the application is unknown, or a name is empty.
        """
        if not device or not (service or application):
            raise OptionsError("services: give each entry the name of a device, and a service or an application")
        return cls(device, service) if service else cls(device, None, application_id(application or ""))

    @property
    def label(self) -> str:
        """Return the name or the application of the service."""
        return self.service or application_name(self.application) or str(self.application)

    def __str__(self) -> str:
        return f"{self.device}/{self.label}"

    def select(self, devices: t.Sequence[Device]) -> Service:
        """Return the service that has this name.

        :param devices: all devices that have the name of the device.
        :raises NotFoundError: no service has it, or several do. The message lists the candidates.
        """
        if not devices:
            raise NotFoundError(
                f"no device is named {self.device!r} in this account (names are case-sensitive, and a device of an"
                " organization needs a service ID instead). If the inventory is cached, run again with --flush-cache"
            )
        if len(devices) > 1:
            listed = "; ".join(f"{device.id} ({device.state}: {_listed(device.services)})" for device in devices)
            raise NotFoundError(f"{len(devices)} devices are named {self.device!r}; give a service ID: {listed}")
        services = [service for service in devices[0].services if service.enabled]
        found = [
            service
            for service in services
            if (service.name == self.service if self.service else service.application == self.application)
        ]
        if not found:
            raise NotFoundError(f"the device {self.device!r} has no service {self.label}; it has: {_listed(services)}")
        if len(found) > 1:
            listed = _listed(found)
            raise NotFoundError(
                f"the device {self.device!r} has {len(found)} services {self.label}; give a service ID: {listed}"
            )
        return found[0]


class DeviceSource(t.Protocol):
    """The part of an API that finds devices."""

    def devices(self, wanted: DeviceFilter, warn: Warn) -> t.Iterator[Device]:
        """Yield the devices that match. Odd or missing data is reported to ``warn``."""


FoundServices = dict[ServiceName, Service | NotFoundError]


def find_services(api: DeviceSource, targets: t.Collection[ServiceName], warn: Warn) -> FoundServices:
    """Return the service of each name, or the error for it. All devices are found with one query."""
    named: dict[str | None, list[Device]] = collections.defaultdict(list)
    for device in api.devices(DeviceFilter(devices=frozenset(target.device for target in targets)), warn):
        named[device.name].append(device)
    found: FoundServices = {}
    for target in targets:
        try:
            found[target] = target.select(named[target.device])
        except NotFoundError as error:
            found[target] = error
    return found


def _listed(services: t.Iterable[Service]) -> str:
    return ", ".join(f"{service.name} ({service.id})" for service in services) or "none"
