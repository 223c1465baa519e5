# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Find services by name for many threads at once: one query serves all that wait for the query before it."""

from __future__ import annotations

import threading
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Service, Warn
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import (
    DeviceSource,
    FoundServices,
    ServiceName,
    find_services,
)


class ServiceLookup:
    """Remember found services for the rest of the run, and look up missing ones again."""

    def __init__(self, api: DeviceSource) -> None:
        self._api = api
        self._query = threading.Lock()
        self._queries = 0
        self._requested: set[ServiceName] = set()
        self._found: FoundServices = {}
        self.device_names: dict[str, str] = {}  # by service ID
        self._not_found: dict[ServiceName, tuple[int, t.Any]] = {}  # with the number of the query
        self._failed: tuple[int, Exception] | None = None  # the last query that failed

    def find(self, names: t.Collection[ServiceName], warn: Warn) -> FoundServices:
        """Return the service of each name, or the reason why it has no service.

        :raises RemoteItError: the query failed that included these names.
        """
        before = self._queries
        self._requested.update(names)
        with self._query:
            if not all(name in self._found or self._not_found.get(name, (0,))[0] > before for name in names):
                if self._failed is not None and self._failed[0] > before:
                    raise self._failed[1]
                self._queries += 1
                requested, self._requested = self._requested, set()
                try:
                    found = find_services(self._api, requested.union(names) - self._found.keys(), warn)
                except Exception as error:
                    self._failed = self._queries, error
                    raise
                for name, service in found.items():
                    if isinstance(service, Service):
                        self._found[name] = service
                        self.device_names[service.id] = name.device
                    else:
                        self._not_found[name] = self._queries, service
            return {name: self._found.get(name) or self._not_found[name][1] for name in names}
