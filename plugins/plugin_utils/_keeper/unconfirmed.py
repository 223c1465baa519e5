# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Reconcile connect calls without a clear outcome with the sessions of their accounts, when the run ends."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import to_remoteit_error
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.account_client import AccountClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.lifecycle import Lifecycle
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import (
    Doubt,
    Event,
    ManagedConnection,
    State,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.registry import Registry
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import known_connections
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reconcile import (
    PendingConnect,
    SessionList,
    match_sessions,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger


class Reconciler:
    """Compare unconfirmed connect calls with the sessions of their accounts."""

    def __init__(self, registry: Registry, lifecycle: Lifecycle, ledger: Ledger) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._ledger = ledger
        self.is_settling = False  # a call may still open a connection, although its session was found

    def note_hanging(self) -> None:
        """Count connect calls that have not ended as unconfirmed."""
        with self._registry.lock:
            for managed in self._registry.all:
                if managed.state is State.CONNECTING:
                    self._lifecycle.record_doubt(managed, "it does not end", Event.NO_OUTCOME)

    def reconcile(self, clients: t.Iterable[AccountClient]) -> None:
        """Record each connection that the sessions of its service show, so that it can be closed."""
        for client in clients:
            with self._registry.lock:
                unconfirmed = self._unconfirmed_of(client)
            if not unconfirmed:
                continue
            try:
                sessions = client.api.sessions_of({call.service for call in unconfirmed})
                ids, pending = known_connections(os.path.dirname(self._ledger.path))
            except Exception as unknown:
                self._note_failure(unconfirmed.values(), to_remoteit_error(unknown).message)
                continue
            with self._registry.lock:
                rivals = [call for call in pending if call.ledger != self._ledger.path]
                listed = SessionList(sessions, ids | self._registry.connection_ids, rivals)
                for call, connectionid in match_sessions(unconfirmed, listed).items():
                    self._record(call, unconfirmed[call], connectionid)

    def _unconfirmed_of(self, client: AccountClient) -> dict[PendingConnect, ManagedConnection]:
        return {
            PendingConnect(
                self._ledger.path,
                managed.number,
                managed.service,
                managed.sent_at or doubt.at,
                doubt.at,
            ): managed
            for managed in self._registry.all
            if managed.state is State.UNCONFIRMED and managed.client is client and (doubt := managed.doubt) is not None
        }

    def _record(self, call: PendingConnect, managed: ManagedConnection, connectionid: str | None) -> None:
        if managed.state is not State.UNCONFIRMED:  # the response has arrived
            return
        if connectionid is None:
            self._ledger.closed(managed.number, "never opened")
            managed.apply(Event.NO_SESSION_FOUND)
        else:
            if not call.is_settled:
                try:
                    self._keep_for_teardown(managed)
                except RemoteItError as error:
                    self._note_failure([managed], error.message)
                    return
            managed.detach = False
            unusable = Connection.unusable(managed.service, connectionid)
            self._lifecycle.record_unusable(managed, unusable, Event.SESSION_FOUND)

    def _keep_for_teardown(self, managed: ManagedConnection) -> None:
        """Write the call into the ledger once more: the session may be another one, and the call open one later.

        :raises RemoteItError: the ledger cannot be written.
        """
        number = -managed.number
        self._lifecycle.write_intent(managed, number)
        self._ledger.settling(number)
        self.is_settling = True

    @staticmethod
    def _note_failure(unconfirmed: t.Iterable[ManagedConnection], message: str) -> None:
        for managed in unconfirmed:
            doubt = t.cast(Doubt, managed.doubt)
            reason = f"{doubt.reason}; it could not be found out whether it did: {message}"
            managed.doubt = Doubt(doubt.at, reason)
