# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Services by name for many who ask at once: one query answers all who are waiting for the one before it."""

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
    """What is found is known for the rest of the run; what is not may be there the next time."""

    def __init__(self, api: DeviceSource) -> None:
        self._api = api
        self._query = threading.Lock()
        self._queries = 0
        self._waiting: set[ServiceName] = set()
        self._known: FoundServices = {}
        self._missed: dict[ServiceName, tuple[int, t.Any]] = {}  # with the number of the query
        self._failed: tuple[int, Exception] | None = None  # the last query that did

    def resolve(self, targets: t.Collection[ServiceName], warn: Warn) -> FoundServices:
        """The service of each target, or why there is none.

        :raises RemoteItError: the query failed that was to answer this.
        """
        before = self._queries
        self._waiting.update(targets)
        with self._query:
            if not all(target in self._known or self._missed.get(target, (0,))[0] > before for target in targets):
                if self._failed is not None and self._failed[0] > before:
                    raise self._failed[1]
                self._queries += 1
                asked, self._waiting = self._waiting, set()
                try:
                    found = find_services(self._api, asked.union(targets) - self._known.keys(), warn)
                except Exception as error:
                    self._failed = self._queries, error
                    raise
                for target, service in found.items():
                    if isinstance(service, Service):
                        self._known[target] = service
                    else:
                        self._missed[target] = self._queries, service
            return {target: self._known.get(target) or self._missed[target][1] for target in targets}
