# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Open the connections of a play's batch ahead of the tasks that use them."""

from __future__ import annotations

import collections
import contextlib
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Service
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    AuthError,
    NetworkError,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import FoundServices
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.account_client import AccountClient, use_timeout
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.lifecycle import Lifecycle
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import ManagedConnection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.registry import Registry, reuse_key


class _Waiting(t.NamedTuple):
    host: HostRequest
    client: AccountClient
    service: str


class Prefetch:
    """Queue the services of batches, and open so many that a bounded number has not been used yet."""

    def __init__(self, registry: Registry, lifecycle: Lifecycle) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._queue: collections.deque[_Waiting] = collections.deque()
        self._unused: set[ManagedConnection] = set()  # opened ahead, and not used by a task yet
        self._max_unused = 0
        self._known_hosts: dict[str, set[str]] = collections.defaultdict(set)  # by play
        self._claimed: set[str] = set()  # plays of which a worker reads the batch

    def claim_batch(self, play: str, host: str) -> bool:
        """Return whether the worker of a host is to send the batch of its play: the first one of each batch."""
        with self._registry.lock:
            if play in self._claimed or host in self._known_hosts[play]:
                return False
            self._known_hosts[play].add(host)
            self._claimed.add(play)
            return True

    def end_claim(self, play: str, hosts: t.Iterable[HostRequest]) -> None:
        """Let another worker send the next batch of a play, after this batch of hosts."""
        with self._registry.lock:
            self._claimed.discard(play)
            self._known_hosts[play].update(host.host for host in hosts)

    def add_batch(
        self, max_unused: int, hosts: t.Collection[HostRequest], clients: t.Mapping[Account, AccountClient]
    ) -> None:
        """Open the services of a batch ahead.

        :param max_unused: the number of connections that may be open before a task has used them.
        :param clients: those of the accounts of the hosts.
        """
        found = {account: _find_services(client, account, hosts) for account, client in clients.items()}
        waiting = []
        for host in hosts:
            named = found[host.account].get(host.target) if host.target is not None else None
            service = host.service or (named.id if isinstance(named, Service) else None)
            if service:  # otherwise the host's own task reports why
                waiting.append(_Waiting(host, clients[host.account], service))
        with self._registry.lock:
            self._max_unused = max_unused
            self._queue.extend(waiting)
            self.open_next()

    def forget(self, managed: ManagedConnection) -> None:
        """Count a connection as used by a task. Call it with the lock."""
        self._unused.discard(managed)

    def note_failure(self, managed: ManagedConnection, error: RemoteItError) -> None:
        """Open the next one. After some errors every other call of the account would fail. Call it with the lock."""
        if isinstance(error, (AuthError, NetworkError)):
            self._queue = collections.deque(entry for entry in self._queue if entry.client is not managed.client)
        self._unused.discard(managed)
        self.open_next()

    def open_next(self) -> None:
        """Open as many connections ahead as are allowed. Call it with the lock."""
        self._unused = {managed for managed in self._unused if not managed.has_ended}
        while self._queue and len(self._unused) < self._max_unused and not self._lifecycle.shutting_down.is_set():
            host, client, service = self._queue.popleft()
            key = reuse_key(client, host.hostip, service)
            if key not in self._registry.reusable:
                request = ConnectRequest((service,), hostip=host.hostip)
                with use_timeout(host.account.timeout):
                    managed = self._lifecycle.submit_connect(client, service, request)
                managed.host = host.host
                self._registry.of_host.setdefault(host.host, managed)
                self._registry.reusable[key] = managed
                self._unused.add(managed)


def _find_services(client: AccountClient, account: Account, hosts: t.Iterable[HostRequest]) -> FoundServices:
    """Find the services of an account's hosts that have a name, by one query. Report no failure."""
    names = {host.target for host in hosts if host.account == account and host.target is not None}
    if names:
        client.use_options_of(account)
        with contextlib.suppress(Exception):  # each host's own task reports it
            return client.services.find(names, lambda warning: None)
    return {}
