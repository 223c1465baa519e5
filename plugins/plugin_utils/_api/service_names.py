# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Services by name: which one is meant, if it is one."""

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
    """A service of a device, by the service's name or else by its application."""

    device: str
    service: str | None = None
    application: int | None = None

    @classmethod
    def parse(cls, device: str, service: str | None = None, application: str | None = None) -> ServiceName:
        """What a user has written.

        :raises OptionsError: the application is not known, or a name is empty.
        """
        if not device or not (service or application):
            raise OptionsError("services: give each entry the name of a device, and a service or an application")
        return cls(device, service) if service else cls(device, None, application_id(application or ""))

    @property
    def what(self) -> str:
        return self.service or application_name(self.application) or str(self.application)

    def __str__(self) -> str:
        return f"{self.device}/{self.what}"

    def select(self, devices: t.Sequence[Device]) -> Service:
        """The one service that is meant.

        :param devices: those that have the name.
        :raises NotFoundError: there is none, or there are several, which are listed.
        """
        if not devices:
            raise NotFoundError(f"this account sees no device called {self.device!r}; names are compared to the letter")
        if len(devices) > 1:
            listed = "; ".join(f"{device.id} ({device.state}: {_listed(device.services)})" for device in devices)
            raise NotFoundError(f"{len(devices)} devices are called {self.device!r}; give a service id: {listed}")
        services = [service for service in devices[0].services if service.enabled]
        found = [
            service
            for service in services
            if (service.name == self.service if self.service else service.application == self.application)
        ]
        if not found:
            raise NotFoundError(f"the device {self.device!r} has no service {self.what}; it has: {_listed(services)}")
        if len(found) > 1:
            raise NotFoundError(
                f"the device {self.device!r} has {len(found)} services {self.what}; give a service id: {_listed(found)}"
            )
        return found[0]


class DeviceSource(t.Protocol):
    """The part of an API that finds devices."""

    def devices(self, wanted: DeviceFilter, warn: Warn) -> t.Iterator[Device]:
        """Those that are wanted. What is odd or missing is told."""


FoundServices = dict[ServiceName, Service | NotFoundError]


def find_services(api: DeviceSource, targets: t.Collection[ServiceName], warn: Warn) -> FoundServices:
    """The service of each target, by one query for all of them."""
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
