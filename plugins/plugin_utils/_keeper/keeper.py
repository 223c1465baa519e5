# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The keeper of a run: hand out connections, take them back, and close everything in the end."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import os
import threading
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import (
    ALREADY_CLOSED,
    CLOSED,
    NOT_KNOWN,
    STILL_USED,
    ConnectionRef,
    ConnectRequest,
    ConnectResult,
    DisconnectResult,
    disconnect_one,
    to_remoteit_error,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import IDLE_SECONDS, Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Device, DeviceFilter, Warn
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import FoundServices, ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper import keepalive
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.account_client import AccountClient, call_timeout
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.lifecycle import (
    Lifecycle,
    Outcome,
    ShuttingDownError,
    completed,
    disconnect_with_other_login,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import (
    CommandLease,
    Event,
    HostLease,
    Lease,
    ManagedConnection,
    State,
    TaskLease,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.prefetch import Prefetch
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import (
    ArgumentsChecked,
    DeviceResponded,
    HostRequest,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recap import Recap
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recap_of_run import recap_of
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recovery import Recovery
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.registry import Registry, reuse_key
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.unconfirmed import Reconciler
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import LedgerSnapshot
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.other_runs import is_known_closed, record_closed
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import entries_of
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run

if t.TYPE_CHECKING:
    from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.audit import KeeperAudit

#: The end of the run waits so many seconds longer for a connect call than its timeouts allow.
SHUTDOWN_GRACE_SECONDS = 5.0

_StopFuture = concurrent.futures.Future[str]


class Keeper:
    """The connections of a run. Any number of threads may call its methods at once."""

    def __init__(
        self,
        run: Run,
        ledger: Ledger,
        predecessors: t.Sequence[tuple[LedgerSnapshot, Ledger]] = (),
        audit_path: str | None = None,
    ) -> None:
        """Start without a connection.

        :param predecessors: the ledgers of keepers of this run that were killed.
        :param audit_path: the file of the audit trail; ``None`` without one.
        """
        self._run = run
        self._ledger = ledger
        self._registry = Registry()
        self._lock = self._registry.lock
        self._lifecycle = Lifecycle(run, ledger, self._registry)
        self._audit: KeeperAudit | None = None
        if audit_path is not None:
            self._begin_audit(audit_path)
        self._prefetch = Prefetch(self._registry, self._lifecycle)
        self._lifecycle.on_failure = self._prefetch.note_failure
        self._recovery = Recovery(self._registry, self._lifecycle, predecessors)
        self._reconciler = Reconciler(self._registry, self._lifecycle, ledger)
        self._clients: dict[t.Any, AccountClient] = {}
        self._first_failed: dict[str, str] = {}  # the first host that failed, by message
        self._shutdown_lock = threading.Lock()
        self._recap: Recap | None = None

    def _begin_audit(self, path: str) -> None:
        # a run without an audit trail does not import it
        from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.audit import KeeperAudit

        self._audit = KeeperAudit(path, self._run.id, self._registry, self._lifecycle.shutting_down)
        self._registry.on_change = self._audit.record

    def _client_for(self, account: Account) -> AccountClient:
        """Return the client of an account, which takes over its connections first. Call it with the lock."""
        transport = account.transport
        key = (account.credentials, transport.ca_bundle, *sorted(transport.proxies.items()))
        if key not in self._clients:
            self._clients[key] = AccountClient(account, self._lifecycle.shutting_down)
            self._recovery.take_over(self._clients[key])
        self._clients[key].use_options_of(account)
        return self._clients[key]

    # -- find ----------------------------------------------------------------------------------------------------------

    def find_services(self, account: Account, names: t.Collection[ServiceName], warn: Warn) -> FoundServices:
        """Find services by name."""
        with self._lock:
            client = self._client_for(account)
        return client.services.find(names, warn)

    def list_devices(self, account: Account, wanted: DeviceFilter, warn: Warn) -> t.Iterator[Device]:
        """List devices."""
        with self._lock:
            client = self._client_for(account)
        return client.api.devices(wanted, warn)

    # -- acquire -------------------------------------------------------------------------------------------------------

    def acquire_services(
        self, account: Account, request: ConnectRequest, hosts: t.Mapping[str, t.Sequence[str]] | None = None
    ) -> t.Iterator[ConnectResult]:
        """Lease connections to the services, opened if necessary, and yield each outcome as it completes.

        :param hosts: the inventory hosts of each service, which get the leases; without them the task does.
        :raises ShuttingDownError: the run ends.
        """
        with self._lock:
            client = self._client_for(account)
            keys = {service: reuse_key(client, request.hostip, service) for service in request.services}
            reusable = [self._registry.reusable.get(key) for key in keys.values()] if request.reuse else []
        probes = [
            client.submit(client.quick_pool, keepalive.probe, managed, self._lock) for managed in reusable if managed
        ]
        concurrent.futures.wait(probes)
        waiting: dict[concurrent.futures.Future[Connection], list[tuple[str, bool]]] = collections.defaultdict(list)
        with self._lock:
            if self._lifecycle.shutting_down.is_set():
                raise ShuttingDownError
            for service in request.services:
                managed = self._find_or_connect(client, service, request, to_plugin=False)
                if request.detach and (managed.is_pending or managed.is_open):
                    self._lifecycle.set_detached(managed)
                self._prefetch.forget(managed)
                if hosts is None:
                    managed.leases.add(TaskLease())
                for host in (hosts or {}).get(service, ()):
                    self._note_host(managed, host)
                    managed.leases.add(HostLease(host))
                waiting[managed.connect_future].append((service, managed.outcome_reported))
                managed.outcome_reported = True
        for future in concurrent.futures.as_completed(waiting):
            outcome = _result_of(future)
            for service, reused in waiting[future]:
                if isinstance(outcome, Connection):
                    outcome = dataclasses.replace(outcome, deviceaddress=service, reused=reused)
                yield service, outcome

    def acquire_host(self, request: HostRequest, replaces: CommandLease | None = None) -> tuple[CommandLease, Outcome]:
        """Lease the connection of a host, opened if necessary, for one command. ``release_lease`` ends the lease.

        :param replaces: the lease of the connection whose proxy refused ssh. It ends.
        :raises NotFoundError: the account has no such service.
        :raises ShuttingDownError: the run ends.
        """
        with self._lock:
            client = self._client_for(request.account)
        service = request.service or _find_service(client, t.cast(ServiceName, request.target))
        with self._lock:
            if self._lifecycle.shutting_down.is_set():
                raise ShuttingDownError
            if replaces is not None:
                replaces.connection.refuses = True
                self._end_command(replaces)
            managed = self._find_or_connect(
                client, service, ConnectRequest((service,), hostip=request.hostip), to_plugin=True
            )
            self._note_host(managed, request.host)
            lease = CommandLease(managed)
            managed.leases.add(lease)
            self._prefetch.forget(managed)
            self._prefetch.open_next()
        outcome = _result_of(managed.connect_future)
        with self._lock:
            managed.outcome_reported = True
            managed.failure_reported_to_plugin = isinstance(outcome, RemoteItError)
        return lease, outcome

    def _find_or_connect(
        self, client: AccountClient, service: str, request: ConnectRequest, *, to_plugin: bool
    ) -> ManagedConnection:
        """Return the connection that the request shares, or open one. Call it with the lock."""
        key = reuse_key(client, request.hostip, service)
        current = self._registry.reusable.get(key) if request.reuse else None
        if current is not None and current.can_be_handed_out(client, to_plugin=to_plugin):
            return current
        managed = self._lifecycle.submit_connect(client, service, request)
        self._registry.reusable[key] = managed
        if current is not None:
            current.move_leases(managed, (HostLease,))  # a task without hosts closes the connection that it registered
            if current.state is State.OPEN:
                current.apply(Event.REPLACE)
            # commands of other workers may still run over their control masters
            if current.refuses and current.is_open and not current.commands:
                self._lifecycle.drain(current)
            self._close_if_unused(current)
        return managed

    def _note_host(self, managed: ManagedConnection, host: str) -> None:
        managed.host = managed.host or host
        self._registry.of_host[host] = managed

    # -- prefetch ------------------------------------------------------------------------------------------------------

    def claim_batch(self, play: str, host: str) -> bool:
        """Return whether the worker of a host is to send the batch of its play."""
        return self._prefetch.claim_batch(play, host)

    def prefetch(self, play: str, max_unused: int, hosts: t.Collection[HostRequest]) -> None:
        """Open the connections of a batch ahead, up to ``max_unused`` that no task has used."""
        try:
            with self._lock:
                accounts = dict.fromkeys(host.account for host in hosts)
                clients = {account: self._client_for(account) for account in accounts}
            self._prefetch.add_batch(max_unused, hosts, clients)
        finally:
            self._prefetch.end_claim(play, hosts)

    # -- release -------------------------------------------------------------------------------------------------------

    def release_services(self, account: Account, refs: t.Iterable[ConnectionRef]) -> t.Iterator[DisconnectResult]:
        """End one task's lease of each connection, and yield each outcome as it completes. The last lease closes it."""
        with self._lock:
            client = self._client_for(account)
            stops: dict[_StopFuture, list[ConnectionRef]] = collections.defaultdict(list)
            for service, connectionid in refs:
                managed = self._registry.find(service, connectionid)
                future = self._release(client, managed, (service, connectionid))
                stops[future].append((service, connectionid))
        yield from _outcomes_of(stops)

    def release_hosts(self, accounts: t.Iterable[Account], hosts: t.Collection[str]) -> t.Iterator[DisconnectResult]:
        """End the leases of inventory hosts, and yield the outcome of each connection as it completes.

        :param accounts: theirs; connections that a killed keeper had opened with them are closed and listed as well.
        """
        leases = {HostLease(host) for host in hosts}
        with self._lock:
            for account in accounts:
                self._client_for(account)
            calls = [
                managed.connect_future
                for managed in self._registry.all
                if managed.is_pending and leases & managed.leases
            ]
        concurrent.futures.wait(calls)  # the task that waited for them may have been killed
        stops: dict[_StopFuture, list[ConnectionRef]] = collections.defaultdict(list)
        with self._lock:
            for managed in self._registry.taken_over.values():
                if managed.disconnect_future is not None:
                    stops[managed.disconnect_future].append(_ref_of(managed))
            self._registry.taken_over.clear()
            for managed in self._registry.opened:
                for lease in leases & managed.leases:
                    stops[self._release_managed(managed, lease)].append(_ref_of(managed))
        yield from _outcomes_of(stops)

    def facts_of(self, lease: CommandLease) -> tuple[bool, tuple[str, ...], float]:
        """Return what other commands found out about the connection: the last fields of ``HostAcquired``."""
        with self._lock:
            managed = lease.connection
            return managed.has_responded, tuple(sorted(managed.checked)), managed.age

    def note(self, lease: CommandLease, message: DeviceResponded | ArgumentsChecked) -> None:
        """Note a fact that ssh has found out about the connection."""
        with self._lock:
            lease.connection.note(message)

    def release_lease(self, lease: CommandLease) -> None:
        """End the lease of a command."""
        with self._lock:
            self._end_command(lease)

    def _end_command(self, lease: CommandLease) -> None:
        managed = lease.connection
        managed.end_lease(lease)
        managed.last_used = time.monotonic()
        self._lifecycle.close_if_drained(managed)
        self._close_if_unused(managed)

    def _release(self, client: AccountClient, managed: ManagedConnection | None, ref: ConnectionRef) -> _StopFuture:
        """End a task's lease and return the future of the outcome. Call it with the lock."""
        if managed is None:  # another run opened it
            return client.submit(client.quick_pool, self._disconnect_foreign, client, ref)
        if client.fingerprint != managed.client.fingerprint:
            return client.submit(client.quick_pool, disconnect_with_other_login, client.api, ref)
        return self._release_managed(managed, None)

    def _disconnect_foreign(self, client: AccountClient, ref: ConnectionRef) -> str:
        """Close a connection that this run did not open.

        :raises RemoteItError: it may still be open.
        """
        outcome = disconnect_one(client.api, ref)
        entries = entries_of(os.path.dirname(self._ledger.path), ref)
        if outcome == ALREADY_CLOSED and not is_known_closed(entries, client.fingerprint):
            return NOT_KNOWN
        record_closed(entries)
        if self._audit is not None and outcome == CLOSED:
            self._audit.record_foreign(client, *ref)
        return outcome

    def _release_managed(self, managed: ManagedConnection, lease: Lease | None) -> _StopFuture:
        managed.end_lease(lease)
        if managed.is_leased_to_a_task:
            return completed(STILL_USED)
        return self._lifecycle.drain(managed)

    def _close_if_unused(self, managed: ManagedConnection) -> None:
        """Close a connection that was replaced, with its last lease. Call it with the lock."""
        if managed.state is State.REPLACED and not managed.leases and not managed.detach:
            self._lifecycle.drain(managed)

    # -- facts about hosts ---------------------------------------------------------------------------------------------

    def control_path_dir_of(self, host: str) -> str | None:
        """Return the directory of the control masters that a host uses."""
        with self._lock:
            managed = self._registry.of_host.get(host)
            if managed is None or managed.connection is None or not managed.connection.proxy:
                return None
            return self._run.control_path_dir(managed.connection.connectionid)

    def record_host_failure(self, message: str, host: str) -> str:
        """Record that a host failed with a message, and return the first host that did. The others refer to it."""
        with self._lock:
            return self._first_failed.setdefault(message, host)

    def send_keepalives(self) -> None:
        """Use every proxy for a moment, so that the vendor does not close it as idle."""
        with self._lock:
            opened = self._registry.opened
        keepalive.send_keepalives(opened, self._lock)

    # -- the end -------------------------------------------------------------------------------------------------------

    def finish(self) -> Recap:
        """Close everything that is left and return the recap. Later calls return the same recap."""
        with self._lock:
            self._lifecycle.shutting_down.set()
        with self._shutdown_lock:
            if self._recap is None:
                self._recap = self._finish()
            return self._recap

    def _finish(self) -> Recap:
        with self._lock:
            clients = list(self._clients.values())
        timeout = max((client.timeout for client in clients), default=0.0)
        call_timeout.set(timeout)
        self._disconnect_all(retry=True)
        with self._lock:
            calls = [managed.connect_future for managed in self._registry.all if managed.is_pending]
        concurrent.futures.wait(calls, 2 * timeout + SHUTDOWN_GRACE_SECONDS)  # a login, and a call
        self._disconnect_all(retry=False)
        self._reconciler.note_hanging()
        self._reconciler.reconcile(clients)
        self._disconnect_all(retry=False)
        with self._lock:
            left = [managed for managed in self._registry.all if managed.may_be_open]
            if left or self._reconciler.is_settling:
                self._ledger.run_ended(by="keeper")
            else:
                self._ledger.remove()
            recap = recap_of(self._registry)
            if self._audit is None:
                return recap
            for managed in left:
                self._audit.record_left(managed)
            return dataclasses.replace(recap, audit_error=self._audit.error)

    def _disconnect_all(self, *, retry: bool) -> None:
        """Close every connection that is not to outlive the run. Do not wait for commands that run through it.

        :param retry: whether to try again those that could not be closed.
        """
        with self._lock:
            stops = [
                self._lifecycle.submit_disconnect(managed)
                for managed in self._registry.opened
                if not managed.detach and (retry or managed.state is not State.CLOSE_FAILED)
            ]
        concurrent.futures.wait(stops, IDLE_SECONDS)  # after that, the vendor has ended them


def _find_service(client: AccountClient, name: ServiceName) -> str:
    """Return the ID of a service.

    :raises NotFoundError: the account does not have it, or has several.
    """
    found = client.services.find([name], lambda warning: None)[name]
    if isinstance(found, RemoteItError):
        raise found
    return found.id


def _ref_of(managed: ManagedConnection) -> ConnectionRef:
    return managed.service, managed.connection.connectionid if managed.connection is not None else ""


def _result_of(future: concurrent.futures.Future[Connection]) -> Outcome:
    try:
        return future.result()
    except RemoteItError as error:
        return error


def _outcomes_of(stops: t.Mapping[_StopFuture, list[ConnectionRef]]) -> t.Iterator[DisconnectResult]:
    """Yield the outcome of each connection as it completes."""
    for future in concurrent.futures.as_completed(stops):
        try:
            outcome: str | RemoteItError = future.result()
        except Exception as unknown:
            outcome = to_remoteit_error(unknown)
        for ref in stops[future]:
            yield ref, outcome
