# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Handle what the vendor does with a second connect call for a service.

Its documentation does not say what happens to the first connection, and recorded responses conflict. Three hypotheses
need code, and all of it is here:

- It returns the same connection. In a response recorded in 2019, ``expirationsec`` is the rest of an older connection's
  time. Then the run has one connection with two entries: ``merge``.
- It ends the older connection. A response recorded in May 2020 has ``connectionOverridden`` and ``previousConnection``.
  Then the older entry is closed as well, and the response to that shows whether it is gone: ``_close_replaced``.
- It opens a second connection. The vendor's Go SDK has an option ``concurrent``. This needs no code: both are entries.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import STILL_USED
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import (
    CommandLease,
    Event,
    HostLease,
    ManagedConnection,
    State,
    TaskLease,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.registry import Registry
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger


class SecondConnect:
    """Compare a new connection with those that the run has. Call every method with the lock."""

    def __init__(
        self,
        registry: Registry,
        ledger: Ledger,
        submit_disconnect: t.Callable[[ManagedConnection], t.Any],
        set_detached: t.Callable[[ManagedConnection], None],
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._submit_disconnect = submit_disconnect
        self._set_detached = set_detached

    def merge(self, new: ManagedConnection, connection: Connection) -> bool:
        """Merge a new entry into the one that has the same connection already.

        :return: whether there is one. Otherwise the new entry counts.
        """
        same = self._registry.find(new.service, connection.connectionid)
        if same is None or not same.is_open:
            self.supersede(new, connection.connectionid)
            if connection.overrode:
                self._close_replaced(new)
            return False
        new.connection = connection
        new.apply(Event.SAME_AS_OTHER)
        if connection.proxy:  # otherwise the response was invalid
            self._use_again(same, new)
        new.move_leases(same, (TaskLease, HostLease, CommandLease))
        for key, managed in self._registry.reusable.items():
            if managed is new:
                self._registry.reusable[key] = same
        if new.detach:
            self._set_detached(same)
        self._ledger.closed(new.number, f"the same as {same.number}")
        return True

    def _use_again(self, same: ManagedConnection, new: ManagedConnection) -> None:
        """Hand out a connection as a later response describes it."""
        same.connection, same.connect_future = new.connection, new.connect_future
        same.last_used, same.refuses = time.monotonic(), False
        if same.state in (State.REPLACED, State.DRAINING) and new.leases:
            if same.disconnect_future is not None:
                same.disconnect_future.set_result(STILL_USED)
            same.disconnect_future = None
            same.apply(Event.NEEDED_AGAIN)

    def supersede(self, new: ManagedConnection, connectionid: str) -> None:
        """Let a new entry take the place of one that has the same connection, but could not use or close it."""
        same = self._registry.find(new.service, connectionid)
        if same is not None and same.state in (State.UNUSABLE, State.CLOSE_FAILED):
            same.apply(Event.SAME_AS_OTHER)
            self._ledger.closed(same.number, f"the same as {new.number}")

    def _close_replaced(self, new: ManagedConnection) -> None:
        """Close the older connections of the service and the login, which the API has ended, to make sure."""
        for older in self._registry.of_service(new.service):
            same_login = older.client.fingerprint == new.client.fingerprint
            if same_login and (older.is_open or older.state is State.UNUSABLE):
                older.api_replaced_it = True
                self._submit_disconnect(older)
