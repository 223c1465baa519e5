# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Translate changes of state of this run's connections to events of the audit trail."""

from __future__ import annotations

import threading
import time

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import IDLE_SECONDS
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.account_client import AccountClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import (
    Event,
    ManagedConnection,
    State,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.registry import Registry
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.audit import (
    EXPIRED,
    NOT_KNOWN,
    Actor,
    AuditEvent,
    AuditLog,
    Kind,
)

_REPLACED = "the API replaced it by a newer connection"


class KeeperAudit:
    """Record the events of the connections of a run. Call ``record`` with the lock of the registry."""

    def __init__(self, path: str, run_id: str, registry: Registry, shutting_down: threading.Event) -> None:
        self._log = AuditLog(path)
        self._run_id = run_id
        self._registry = registry
        self._shutting_down = shutting_down
        self._replaced: set[ManagedConnection] = set()
        self._closers: dict[ManagedConnection, tuple[Actor, str]] = {}

    @property
    def error(self) -> str | None:
        """The reason why the audit trail is incomplete."""
        return self._log.error

    def record(self, managed: ManagedConnection, source: State, event: Event) -> None:
        """Record a change of state, if it opens or closes a connection.

        :param source: the state before it.
        """
        if event is Event.OPENED:
            self._append(managed, self._opening_of(managed), "task", None)
        elif event in (Event.OPENED_UNUSABLE, Event.SESSION_FOUND, Event.LATE_RESPONSE):
            reason = managed.failure.message if managed.failure is not None else event.value
            self._append(managed, self._opening_of(managed), "task", reason)
        elif event is Event.NOT_OPENED and managed.failure is not None:
            actor: Actor = "keeper" if source is State.REQUESTED else "api"
            self._append(managed, "refused", actor, managed.failure.message)
        elif event is Event.NO_SESSION_FOUND:
            self._append(managed, "refused", "api", event.value)
        elif event is Event.REPLACE:
            self._replaced.add(managed)
        elif event is Event.NEEDED_AGAIN:
            self._replaced.discard(managed)
        elif event is Event.CLOSE:
            self._closers[managed] = self._closer_of(managed, source)
        elif event is Event.STOPPED:
            actor, reason = ("api", _reason_of_api(managed)) if managed.was_gone else self._closers[managed]
            self._append(managed, "closed", actor, reason)
        elif event is Event.USED_BY_OTHER_RUN:
            self._append(managed, "left", "keeper", event.value)

    def record_left(self, managed: ManagedConnection) -> None:
        """Record a connection that may be open after the end of the run."""
        if managed.detach:
            reason = "it was opened with detach"
        else:
            reason = managed.close_error or (managed.doubt and managed.doubt.reason) or managed.state.value
        self._append(managed, "left", "keeper", reason)

    def record_foreign(self, client: AccountClient, service: str, connectionid: str) -> None:
        """Record that a task has closed a connection that this run did not open."""
        reason = "a task closed it by its ID"
        self._log.append(
            AuditEvent("closed", "task", reason, self._run_id, client.fingerprint, service, connectionid=connectionid)
        )

    def _opening_of(self, managed: ManagedConnection) -> Kind:
        """Return ``reopened`` if the run has opened the same connection before."""
        is_again = any(
            other is not managed
            and other.opened_at is not None
            and other.hostip == managed.hostip
            and other.client.fingerprint == managed.client.fingerprint
            for other in self._registry.of_service(managed.service)
        )
        return "reopened" if is_again else "opened"

    def _closer_of(self, managed: ManagedConnection, source: State) -> tuple[Actor, str]:
        """Return what closes a connection, and why."""
        if self._shutting_down.is_set():
            return "keeper", "the run has ended"
        if managed.api_replaced_it:
            return "keeper", _REPLACED
        if managed in self._replaced:
            return "keeper", Event.REPLACE.value
        if source is State.UNUSABLE:
            return "keeper", "it could only be closed"
        return "task", "no task needs it any more"

    def _append(self, managed: ManagedConnection, kind: Kind, actor: Actor, reason: str | None) -> None:
        connection = managed.connection
        proxy = connection.port_proxy if connection is not None else None
        self._log.append(
            AuditEvent(
                event=kind,
                by=actor,
                reason=reason,
                run_id=self._run_id,
                account=managed.client.fingerprint,
                deviceaddress=managed.service,
                connectionid=connection.connectionid if connection is not None else None,
                device=managed.client.services.device_names.get(managed.service),
                inventory_host=managed.host,
                restriction=(connection.restriction or None) if connection is not None else None,
                hostip=managed.hostip,
                # everyone who knows the URL of a reverse proxy can use it
                proxy=f"{proxy.host}:{proxy.port}" if proxy is not None else None,
                seconds_open=int(managed.age) if kind in ("closed", "left") and managed.opened_at is not None else None,
            )
        )


def _reason_of_api(managed: ManagedConnection) -> str:
    """Return the probable reason why the API does not know a connection any more."""
    expires_at = managed.connection.expires_at if managed.connection is not None else None
    if managed.api_replaced_it:
        return _REPLACED
    if expires_at is not None and expires_at <= format_utc(utc_now()):
        return EXPIRED
    if time.monotonic() - managed.last_used >= IDLE_SECONDS:
        return "it was idle for 15 minutes"
    return NOT_KNOWN
