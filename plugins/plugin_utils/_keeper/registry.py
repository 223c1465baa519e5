# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Find the connections of a run: by the request that they serve, by service, by ID, and by inventory host."""

from __future__ import annotations

import collections
import itertools
import threading
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.account_client import AccountClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import (
    ManagedConnection,
    OnChange,
)

#: The login, ``hostip``, and the service ID in capitals: requests that agree in these share a connection.
ReuseKey = tuple[str, str | None, str]


def reuse_key(client: AccountClient, hostip: str | None, service: str) -> ReuseKey:
    return client.fingerprint, hostip, service.upper()


class Registry:
    """The connections of a run. Hold ``lock`` while you use it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.all: list[ManagedConnection] = []  # in the order of the requests
        self.reusable: dict[ReuseKey, ManagedConnection] = {}
        self.of_host: dict[str, ManagedConnection] = {}  # the last one that a host used
        self.taken_over: dict[str, ManagedConnection] = {}  # from a killed keeper, being closed, by service in capitals
        self.on_change: OnChange | None = None  # called with each change of state
        self._numbers = itertools.count(1)
        self._by_ref: dict[tuple[str, str], ManagedConnection] = {}
        self._by_service: dict[str, list[ManagedConnection]] = collections.defaultdict(list)

    def new(
        self, client: AccountClient, service: str, *, hostip: str | None = None, detach: bool = False
    ) -> ManagedConnection:
        number = next(self._numbers)
        connection = ManagedConnection(number, service, client, detach, hostip=hostip, on_change=self.on_change)
        self.all.append(connection)
        self._by_service[service.upper()].append(connection)
        return connection

    def of_service(self, service: str) -> t.Sequence[ManagedConnection]:
        """Return the connections to a service, whatever their login and ``hostip``."""
        return self._by_service[service.upper()]

    def find(self, service: str, connectionid: str) -> ManagedConnection | None:
        """Return the connection that the API opened with this ID."""
        return self._by_ref.get((service.upper(), connectionid))

    def add_opened(self, connection: ManagedConnection, connectionid: str) -> None:
        """Make an opened connection known by its ID."""
        self._by_ref[connection.service.upper(), connectionid] = connection

    @property
    def opened(self) -> t.Collection[ManagedConnection]:
        """The connections with an ID, which were opened."""
        return list(self._by_ref.values())

    @property
    def connection_ids(self) -> set[str]:
        return {connectionid.lower() for _unused, connectionid in self._by_ref}
