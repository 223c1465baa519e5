# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Take over the connections of keepers of the same run that were killed, and close them."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.account_client import AccountClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.lifecycle import Lifecycle
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import (
    Event,
    ManagedConnection,
    State,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.registry import Registry
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import Entry, LedgerSnapshot
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger

_KILLED = "the keeper was killed during the call"


class Recovery:
    """Move the entries of the ledgers of killed keepers to the ledger of this one."""

    def __init__(
        self, registry: Registry, lifecycle: Lifecycle, predecessors: t.Sequence[tuple[LedgerSnapshot, Ledger]]
    ) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._predecessors = predecessors

    def take_over(self, client: AccountClient) -> None:
        """Take over the entries of an account, once there are credentials for it. Call it with the lock."""
        for snapshot, ledger in self._predecessors:
            for entry in snapshot.open:
                if entry.account == client.fingerprint:
                    try:
                        managed = self._record(client, entry)
                    except RemoteItError:
                        return  # a teardown finds the entries in the ledger of the killed keeper
                    # before the connection is closed, or another run would seem to use it
                    ledger.closed(entry.number, "taken over")
                    entry.closed = "taken over"
                    if managed.state is State.UNUSABLE and not managed.detach:
                        self._lifecycle.submit_disconnect(managed)
                        self._registry.taken_over[entry.service.upper()] = managed
            if not snapshot.unfinished:
                ledger.remove()

    def _record(self, client: AccountClient, entry: Entry) -> ManagedConnection:
        """Record a connection, or a connect call whose outcome is not known.

        :raises RemoteItError: this keeper's ledger cannot be written.
        """
        managed = self._registry.new(client, entry.service, detach=entry.detached)
        managed.host, managed.sent_at = entry.host, entry.intended_at
        try:
            self._lifecycle.write_intent(managed)
            if entry.connectionid is None:
                # The API may still be carrying out the call.
                self._lifecycle.record_doubt(managed, _KILLED, Event.TAKE_OVER_UNCONFIRMED)
            else:
                managed.opened_at = time.monotonic() - entry.age
                unusable = Connection.unusable(entry.service, entry.connectionid, entry.expires_at, entry.proxy)
                self._lifecycle.record_unusable(managed, unusable, Event.TAKE_OVER)
        except RemoteItError:
            managed.opened_at = None
            managed.apply(Event.NOT_OPENED)
            raise
        return managed
