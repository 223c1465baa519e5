# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Open and close single connections: the API call, the ledger line, and the change of state that belong together."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Api
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import (
    ALREADY_CLOSED,
    CLOSED,
    MAY_BE_OPEN,
    NOT_KNOWN_BUT_RESPONDS,
    STILL_USED,
    ConnectRequest,
    connect_one,
    disconnect_one,
    to_remoteit_error,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    AuthError,
    ConnectOutcome,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.account_client import AccountClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import (
    Doubt,
    Event,
    ManagedConnection,
    State,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.registry import Registry
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.second_connect import SecondConnect
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import is_used_by_another
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger, not_announced_error
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.control_masters import stop_control_masters

Outcome = Connection | RemoteItError


class ShuttingDownError(RemoteItError):
    """The run ends, so that no request is sent any more."""

    def __init__(self) -> None:
        super().__init__("the run is ending, so nothing is opened any more")


class Lifecycle:
    """Take connections from one state to the next.

    :ivar shutting_down: set when the run ends; no connect call is sent after that.
    :ivar on_failure: called with each connection that was not opened, and the reason. It is called with the lock.
    """

    def __init__(self, run: Run, ledger: Ledger, registry: Registry) -> None:
        self._run = run
        self._ledger = ledger
        self._registry = registry
        self._lock = registry.lock
        self._second_connect = SecondConnect(registry, ledger, self.submit_disconnect, self.set_detached)
        self.shutting_down = threading.Event()
        self.on_failure: t.Callable[[ManagedConnection, RemoteItError], None] = lambda managed, error: None

    # -- connect -------------------------------------------------------------------------------------------------------

    def submit_connect(self, client: AccountClient, service: str, request: ConnectRequest) -> ManagedConnection:
        """Let a thread open a connection. Call it with the lock."""
        managed = self._registry.new(client, service, hostip=request.hostip, detach=request.detach)
        client.submit(client.connect_pool, self._run_connect, managed, request)
        return managed

    def _run_connect(self, managed: ManagedConnection, request: ConnectRequest) -> None:
        try:
            if not self.shutting_down.is_set():  # a connect call is not sent any more
                managed.client.api.log_in()
            while stops := self._begin_connect(managed):
                concurrent.futures.wait(stops)
            self._ledger.sync()  # without the lock, so that all threads do it at the same time
            connection = connect_one(managed.client.api, managed.service, request)
        except Exception as error:
            self._complete_connect(managed, to_remoteit_error(error))
        else:
            self._complete_connect(managed, connection)

    def _begin_connect(self, managed: ManagedConnection) -> list[concurrent.futures.Future[str]]:
        """Write into the ledger that the connect call is sent, unless a connection to the service is being closed.

        The vendor might return a connection again while it is being stopped.

        :return: the stops to wait for before the next attempt.
        :raises RemoteItError: the ledger cannot be written, or the run ends, so that the call must not be sent.
        """
        with self._lock:
            if self.shutting_down.is_set():
                raise ShuttingDownError
            stops = [
                other.disconnect_future
                for other in self._registry.of_service(managed.service)
                if other.state is State.CLOSING and other.disconnect_future is not None
            ]
            if not stops:
                managed.sent_at = format_utc(utc_now())
                self.write_intent(managed)
                managed.apply(Event.SEND)
            return stops

    def write_intent(self, managed: ManagedConnection, number: int | None = None) -> None:
        """Write the intent of a connect call into the ledger.

        :param number: the number in the ledger, by default that of the connection.
        :raises RemoteItError: the ledger cannot be written.
        """
        client = managed.client
        call = (managed.service, client.api_url, client.fingerprint, managed.host, managed.sent_at)
        self._ledger.intent(managed.number if number is None else number, *call)

    def _complete_connect(self, managed: ManagedConnection, outcome: Outcome) -> None:
        """Record the outcome of a connect call, then hand it to the requests that wait for it, whatever happens."""
        unrecorded: RemoteItError | None = None
        try:
            with self._lock:
                if managed.state not in (State.REQUESTED, State.CONNECTING, State.UNCONFIRMED):
                    self._record_late_response(managed, outcome)
                elif isinstance(outcome, RemoteItError):
                    self._record_failure(managed, outcome)
                else:
                    unrecorded = self._record_opened(managed, outcome)
            if unrecorded is not None:
                outcome = self._close_unrecorded(managed, unrecorded)
        finally:
            if isinstance(outcome, RemoteItError):
                managed.connect_future.set_exception(outcome)
            else:
                managed.connect_future.set_result(outcome)
            with self._lock:
                for other in self._registry.of_service(managed.service):
                    self.close_if_drained(other)
                # if it is open: the end of the run may not have waited for it
                is_late = self.shutting_down.is_set() and not managed.detach and managed.state is not State.CLOSE_FAILED
        if is_late:
            self.disconnect(managed)

    def _record_opened(self, managed: ManagedConnection, connection: Connection) -> RemoteItError | None:
        """Record a connection that the API has opened. Call it with the lock.

        :return: the reason why the ledger does not list it, so that it must not be used.
        """
        if self._second_connect.merge(managed, connection):
            return None
        try:
            self._ledger.opened(managed.number, connection, detached=managed.detach)
        except Exception as unknown:
            error = to_remoteit_error(unknown)
            managed.failure, managed.detach = error, False
            unusable = Connection.unusable(
                managed.service, connection.connectionid, connection.expires_at, connection.port_proxy
            )
            self.record_unusable(managed, unusable, Event.OPENED_UNUSABLE)
            return error
        managed.connection = connection
        managed.opened_at = managed.last_used = time.monotonic()
        managed.apply(Event.OPENED)
        self._registry.add_opened(managed, connection.connectionid)
        return None

    def _close_unrecorded(self, managed: ManagedConnection, error: RemoteItError) -> RemoteItError:
        """Close a connection that the ledger does not list, and return the outcome of its connect call."""
        connectionid = t.cast(Connection, managed.connection).connectionid
        self.disconnect(managed)
        if managed.disconnect_future is not None:  # another thread may close it
            concurrent.futures.wait([managed.disconnect_future])
        with self._lock:
            if managed.close_error is None:
                text = f"the connection {connectionid} was closed again: {error.message}"
                failure = RemoteItError(text, outcome=ConnectOutcome.REFUSED)
            else:
                text = f"the connection {connectionid} could not be closed: {managed.close_error}; {error.message}"
                failure = RemoteItError(text, connectionid=connectionid)
            managed.failure = failure
            self.on_failure(managed, failure)
        return failure

    def record_unusable(self, managed: ManagedConnection, unusable: Connection, event: Event) -> None:
        """Record a connection that can only be closed. Call it with the lock.

        :raises RemoteItError: the ledger cannot be written, and that of a killed keeper still lists the connection.
        """
        if managed.state is not State.REQUESTED and self._second_connect.merge(managed, unusable):
            return
        try:
            self._ledger.opened(managed.number, unusable, detached=managed.detach)
        except Exception:
            if event is Event.TAKE_OVER:
                raise
        if managed.state is State.REQUESTED:
            self._second_connect.supersede(managed, unusable.connectionid)
        managed.connection = unusable
        if managed.opened_at is None:
            managed.opened_at = time.monotonic()
        managed.apply(event)
        self._registry.add_opened(managed, unusable.connectionid)

    def _record_failure(self, managed: ManagedConnection, error: RemoteItError) -> None:
        """Record a connect call that failed, and what may be open after it. Call it with the lock."""
        managed.failed_at = time.monotonic()
        if not isinstance(error, ShuttingDownError):
            managed.failure = error
        if managed.state is State.REQUESTED:  # nothing was sent
            managed.apply(Event.NOT_OPENED)
        elif error.connectionid is not None:  # it could be neither used nor closed; the end of the run tries again
            managed.detach = False
            unusable = Connection.unusable(managed.service, error.connectionid)
            self.record_unusable(managed, unusable, Event.OPENED_UNUSABLE)
        elif error.may_be_open:
            reason = error.message.removesuffix(f"; {MAY_BE_OPEN}")  # the recap says it in other words
            self.record_doubt(managed, reason, Event.NO_OUTCOME)
        else:
            managed.apply(Event.NOT_OPENED)
            self._ledger.closed(managed.number, "refused")
        if not isinstance(error, ShuttingDownError):
            self.on_failure(managed, error)

    def record_doubt(self, managed: ManagedConnection, reason: str, event: Event) -> None:
        """Record that a connect call may have opened a connection, or still open one. Call it with the lock."""
        managed.doubt = Doubt(format_utc(utc_now()), reason)
        managed.apply(event)

    def _record_late_response(self, managed: ManagedConnection, outcome: Outcome) -> None:
        """Record a response that arrives when the sessions have settled its call. Call it with the lock."""
        connectionid = outcome.connectionid
        if connectionid is None or self._registry.find(managed.service, connectionid) is not None:
            return
        late = self._registry.new(managed.client, managed.service)
        with contextlib.suppress(RemoteItError):  # it is closed even if the ledger cannot be written
            self.write_intent(late)
        self.record_unusable(late, Connection.unusable(late.service, connectionid), Event.LATE_RESPONSE)
        self.submit_disconnect(late)

    def set_detached(self, managed: ManagedConnection) -> None:
        """Let a connection outlive the run. Call it with the lock."""
        if not managed.detach:
            managed.detach = True
            self._ledger.detached(managed.number)

    # -- disconnect ----------------------------------------------------------------------------------------------------

    def submit_disconnect(self, managed: ManagedConnection) -> concurrent.futures.Future[str]:
        """Let a thread close a connection that was opened, once, and return its future. Call it with the lock."""
        future = self._begin_disconnect(managed)
        if future is not None:
            managed.client.submit(managed.client.quick_pool, self._run_disconnect, managed, future)
            return future
        if managed.state is State.CLOSING and managed.disconnect_future is not None:
            return managed.disconnect_future
        return completed(STILL_USED if managed.state is State.LEFT else ALREADY_CLOSED)

    def disconnect(self, managed: ManagedConnection) -> None:
        """Close a connection in this thread, unless another thread is closing it. A failure is recorded."""
        with self._lock:
            future = self._begin_disconnect(managed)
        if future is not None:
            self._run_disconnect(managed, future)

    def drain(self, managed: ManagedConnection) -> concurrent.futures.Future[str]:
        """Close a connection as soon as nothing can use it, and return the future. Call it with the lock."""
        if self._is_in_use(managed) and managed.state in (State.OPEN, State.REPLACED):
            managed.disconnect_future = concurrent.futures.Future()
            managed.detach = False
            managed.apply(Event.DRAIN)
        if self._is_in_use(managed) and managed.state is State.DRAINING and managed.disconnect_future is not None:
            return managed.disconnect_future
        return self.submit_disconnect(managed)

    def close_if_drained(self, managed: ManagedConnection) -> None:
        """Close a connection that was only kept for what has ended now. Call it with the lock."""
        if managed.state is State.DRAINING and not self._is_in_use(managed):
            self.submit_disconnect(managed)

    def _is_in_use(self, managed: ManagedConnection) -> bool:
        """Return whether a command runs through a connection, or a connect call that was sent might return it."""
        return managed.commands > 0 or any(
            other.state is State.CONNECTING for other in self._registry.of_service(managed.service)
        )

    def _begin_disconnect(self, managed: ManagedConnection) -> concurrent.futures.Future[str] | None:
        """Return the future to complete if this thread is to close the connection. Call it with the lock."""
        if not (managed.is_open or managed.state in (State.UNUSABLE, State.CLOSE_FAILED)):
            return None
        if managed.disconnect_future is None or managed.disconnect_future.done():
            managed.disconnect_future = concurrent.futures.Future()
        managed.detach = False  # the end of the run waits for it, and tries again after a failure
        managed.apply(Event.CLOSE)
        return managed.disconnect_future

    def _run_disconnect(self, managed: ManagedConnection, future: concurrent.futures.Future[str]) -> None:
        """Close a connection, then complete the future for the requests that wait for it, whatever happens."""
        outcome: str | RemoteItError
        try:
            outcome = self._close(managed, t.cast(Connection, managed.connection))
        except Exception as unknown:
            outcome = to_remoteit_error(unknown)
        try:
            self._record_stop(managed, outcome)
        finally:
            if isinstance(outcome, RemoteItError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _close(self, managed: ManagedConnection, connection: Connection) -> str:
        """Stop the control masters, then the connection.

        :return: ``CLOSED``, ``ALREADY_CLOSED``, or ``STILL_USED`` by another run.
        :raises RemoteItError: it may still be open.
        """
        stop_control_masters(self._run.control_path_dir(connection.connectionid))
        is_announced = self._ledger.closing(managed.number)
        if is_used_by_another(self._ledger.path, connection.connectionid):
            if not is_announced:  # the other run would leave it to this one
                raise not_announced_error(self._ledger.path)
            return STILL_USED
        outcome = disconnect_one(managed.client.api, (managed.service, connection.connectionid))
        with self._lock:
            managed.ended_early = outcome == ALREADY_CLOSED and managed.is_expected_open
        # nothing else uses the proxy any more, so that a test does no harm even if it latches
        proxy = connection.port_proxy if managed.ended_early else None
        if proxy is not None and proxy.is_open():
            self._ledger.responded(managed.number)
            raise RemoteItError(NOT_KNOWN_BUT_RESPONDS)
        return outcome

    def _record_stop(self, managed: ManagedConnection, outcome: str | RemoteItError) -> None:
        with self._lock:
            if isinstance(outcome, RemoteItError):
                managed.ended_early = False
                managed.close_error = outcome.message
                managed.apply(Event.STOP_FAILED)
                return
            managed.close_error, managed.was_gone = None, outcome == ALREADY_CLOSED
            managed.apply(Event.USED_BY_OTHER_RUN if outcome == STILL_USED else Event.STOPPED)
        self._ledger.closed(managed.number, "used by another run" if outcome == STILL_USED else outcome)


def disconnect_with_other_login(api: Api, ref: tuple[str, str]) -> str:
    """Close a connection that the run opened with another login.

    :raises AuthError: the API does not know it with this login, whether or not it is open.
    """
    if disconnect_one(api, ref) == ALREADY_CLOSED:
        raise AuthError("this run opened it with another login, and the API does not know it with this one")
    return CLOSED


def completed(outcome: str) -> concurrent.futures.Future[str]:
    """Return a future that is completed."""
    future: concurrent.futures.Future[str] = concurrent.futures.Future()
    future.set_result(outcome)
    return future
