# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The keeper: a small process, one a controller run, that holds what the run has opened and closes it in the end.

What it does is here; C(_office) makes the calls for an account. C(_keeper_server) is its process, which serves the
run's workers over a Unix socket in a folder that only this user may enter, and waits for the controller to be gone.
C(_keeper_main) starts it, C(_keeper_client) asks it.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import datetime
import itertools
import os
import socket
import threading
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account, Api
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import (
    ALREADY_CLOSED,
    CLOSED,
    STILL_USED,
    ConnectRequest,
    connect_one,
    disconnect_one,
    map_concurrently,
    to_remoteit_error,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import IDLE_SECONDS, Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Device, DeviceFilter, Warn
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    AuthError,
    ConnectOutcome,
    NetworkError,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import FoundServices, ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.account_client import AccountClient, call_timeout
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import LedgerSnapshot
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import is_used_by_another, known_connections
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reconcile import PendingConnect, match_sessions
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.control_masters import stop_control_masters

#: A connection that ends within so many seconds is not handed out again.
MIN_REMAINING_SECONDS = 300
#: A connection that was not used for so many seconds less than the vendor's idle time counts as closed.
IDLE_MARGIN_SECONDS = 60
#: An opening that takes so many seconds longer than its time-out allows is not waited for at the end of the run.
SHUTDOWN_GRACE_SECONDS = 5.0
#: Dead proxies take two seconds each; a few thousand have to be through before it is time for the next touch.
MAX_KEEPALIVE_THREADS = 32

Event = dict[str, t.Any]
Outcome = Connection | RemoteItError


@dataclasses.dataclass(eq=False)  # each is itself; to compare the fields takes long
class ManagedConnection:
    """One opening, from its intent to its stop."""

    number: int
    service: str
    office: AccountClient
    detach: bool
    opening: concurrent.futures.Future[Connection]
    holders: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    claimed: bool = False
    sent_at: str | None = None
    overridden: bool = False
    closing: concurrent.futures.Future[str] | None = None

    host: str | None = None  # the inventory host that was the first to use it

    # what the connection plugin does with it
    commands: int = 0  # that are running through it
    last_used: float = 0.0  # by the monotonic clock: opened, a command, or a probe
    stop_requested: concurrent.futures.Future[str] | None = None  # a close that waits for the last command
    answered: bool = False  # the device has responded over SSH
    direct: bool | None = None  # ssh connects to the proxy from this machine; None if not known
    refused: bool = False  # ssh could not connect to the proxy any more
    reported: bool = False  # a task of the plugin has failed with the reason why it could not be opened
    checked: set[str] = dataclasses.field(default_factory=set)  # argument lists with which ssh goes to the proxy
    replaced_by: ManagedConnection | None = None
    same_as: ManagedConnection | None = None  # the one whose connection the vendor gave again
    opened_at: float | None = None  # by the monotonic clock

    @property
    def age(self) -> float:
        """The seconds since the API opened it."""
        return 0.0 if self.opened_at is None else time.monotonic() - self.opened_at


class UnconfirmedConnect(t.NamedTuple):
    """An opening call that may have opened something of which nobody knows."""

    held: ManagedConnection
    intent: PendingConnect
    event: Event


class ShuttingDownError(RemoteItError):
    """The run ends: what has not been sent is not sent any more."""

    def __init__(self) -> None:
        super().__init__("the run is ending, so nothing is opened any more")


class Keeper:
    """What the run holds. Every method may be called by many threads at once."""

    def __init__(self, run: Run, ledger: Ledger) -> None:
        self._run = run
        self._ledger = ledger
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._offices: dict[t.Any, AccountClient] = {}
        self._held: list[ManagedConnection] = []  # everything, in the order of its opening
        self._current: dict[t.Any, ManagedConnection] = {}  # by account, hostip and service: what reuse hands out
        self._by_connection: dict[tuple[str, str], ManagedConnection] = {}  # by service, in capitals, and connection id
        self._unsure: list[UnconfirmedConnect] = []
        self._failed_stops: dict[int, Event] = {}
        self._ended_early: list[Event] = []
        self._batches: dict[str, set[str]] = collections.defaultdict(set)  # the hosts of a play that are known
        self._reading: set[str] = set()  # plays of which a worker is reading the hosts
        self._waiting: collections.deque[tuple[AccountClient, ConnectRequest]] = (
            collections.deque()
        )  # to be opened ahead
        self._ahead: set[ManagedConnection] = set()  # opened ahead, and no task has used it yet
        self._most_ahead = 0
        self._by_host: dict[str, ManagedConnection] = {}
        self._explained: dict[str, str] = {}  # a failure that hosts may share, and the host that was told of it first
        self._predecessors: list[tuple[LedgerSnapshot, Ledger]] = []
        self._adopted: dict[
            str, ManagedConnection
        ] = {}  # by service, in capitals: what a killed keeper had opened, being closed
        self._opened = 0
        self._closed = 0
        self.ending = threading.Event()
        self._finishing = threading.Lock()
        self._recap: Event | None = None

    # -- finding -----------------------------------------------------------------------------------------------------

    def resolve(self, account: Account, targets: list[ServiceName], warn: Warn) -> FoundServices:
        """The service of each target."""
        with self._lock:
            office = self._office(account)
        return office.finder.resolve(targets, warn)

    def devices(self, account: Account, wanted: DeviceFilter, warn: Warn) -> t.Iterator[Device]:
        """The devices that are wanted."""
        with self._lock:
            office = self._office(account)
        return office.api.devices(wanted, warn)

    # -- opening ---------------------------------------------------------------------------------------------------

    def open(
        self,
        account: Account,
        order: ConnectRequest,
        hosts: t.Mapping[str, t.Sequence[str]] | None = None,
    ) -> t.Iterator[Event]:
        """Open the services of the order and return each, as it comes.

        :param hosts: the inventory hosts of each service, which hold its connection; without them the task does.
        """
        waiting: dict[concurrent.futures.Future[Connection], tuple[str, bool]] = {}
        with self._lock:
            office = self._office(account)
            keys = {service: (office.fingerprint, order.hostip, service.upper()) for service in order.services}
            known_connections = [self._current[key] for key in keys.values() if order.reuse and key in self._current]
        answers = [(held, office.later(office.quick, _answers_still, held)) for held in known_connections]
        for held, answer in answers:
            if not answer.result():
                held.refused = True
        with self._lock:
            if self.ending.is_set():
                raise ShuttingDownError
            for service, key in keys.items():
                current = self._current.get(key)
                if current is None or not order.reuse:
                    held = self._begin(office, service, order)
                elif not _is_usable(current, claim=True):
                    held = self._replace(current, order)
                else:
                    held = current
                if order.detach:
                    self._detach(held)
                self._ahead.discard(held)
                self._current[key] = held
                if hosts is None:
                    held.holders[""] += 1
                for host in (hosts or {}).get(service, ()):
                    self._by_host[host] = held
                    held.host = held.host or host
                    held.holders[lease_of(host)] = 1
                waiting[held.opening] = (service, held.claimed)
                held.claimed = True
        for opening in concurrent.futures.as_completed(waiting):
            service, reused = waiting[opening]
            try:
                outcome: Outcome = dataclasses.replace(opening.result(), deviceaddress=service, reused=reused)
            except RemoteItError as error:
                outcome = error
            yield _connect_event(service, outcome)

    # -- what the connection plugin asks for ---------------------------------------------------------------------------

    def wants_batch(self, play: str, host: str) -> bool:
        """Whether the hosts of the play's batch are to be sent, to open them ahead. Only one worker is told so."""
        with self._lock:
            if play in self._reading or host in self._batches[play]:
                return False
            self._batches[play].add(host)
            self._reading.add(play)
            return True

    def open_ahead(self, play: str, most: int, hosts: list[HostRequest]) -> None:
        """Open the connections of a batch, never more than ``most`` that no task has used yet."""
        orders = []
        for account, requests in _by_account(hosts):
            with self._lock:
                office = self._office(account)
            named = [request.target for request in requests if request.target is not None]
            found: t.Mapping[ServiceName, t.Any] = {}
            if named:
                with contextlib.suppress(RemoteItError):  # their own tasks report it
                    found = office.finder.resolve(named, lambda warning: None)
            for request in requests:
                named_service = found.get(request.target) if request.target is not None else None
                service = request.service or getattr(named_service, "id", None)
                if service:
                    orders.append((office, ConnectRequest((service,), hostip=request.hostip)))
        with self._lock:
            self._reading.discard(play)
            self._batches[play].update(request.host for request in hosts)
            self._most_ahead = most
            self._waiting.extend(orders)
            self._fill_up()

    def _fill_up(self) -> None:
        """Open ahead as many as may be. Needs the lock."""
        self._ahead = {held for held in self._ahead if _may_be_open(held)}
        while self._waiting and len(self._ahead) < self._most_ahead and not self.ending.is_set():
            office, order = self._waiting.popleft()
            key = (office.fingerprint, order.hostip, order.services[0].upper())
            if key not in self._current:
                self._current[key] = self._begin(office, order.services[0], order)
                self._ahead.add(self._current[key])

    def use(
        self, request: HostRequest, instead_of: ManagedConnection | None = None
    ) -> tuple[ManagedConnection, Outcome]:
        """Return the connection of a host for one command, opened if need be; C(end_use) belongs to it.

        :param instead_of: the one to whose proxy ssh could not connect.
        """
        with self._lock:
            office = self._office(request.account)
        service = request.service or _find_service(office, t.cast(ServiceName, request.target))
        order = ConnectRequest((service,), hostip=request.hostip)
        key = (office.fingerprint, request.hostip, service.upper())
        with self._lock:
            if self.ending.is_set():
                raise ShuttingDownError
            if instead_of is not None:
                instead_of.refused = True
            held = self._current.get(key)
            if held is None:
                held = self._begin(office, service, order)
            elif not _is_usable(held):
                held = self._replace(held, order)
            self._current[key] = self._by_host[request.host] = held
            held.host = held.host or request.host
            self._begin_use(held)
            self._ahead.discard(held)
            self._fill_up()
        try:
            outcome: Outcome = held.opening.result()
        except RemoteItError as error:
            outcome = error
        with self._lock:
            held.claimed = True
            held.reported = isinstance(outcome, RemoteItError)
            if held.same_as is not None:
                self._end_use(held)
                held = held.same_as
                self._begin_use(held)
        return held, outcome

    def end_use(self, held: ManagedConnection) -> None:
        """Note that a command has ended. What was replaced meanwhile is closed with its last command."""
        with self._lock:
            self._end_use(held)
            self._stop_if_unused(held)

    @staticmethod
    def _begin_use(held: ManagedConnection) -> None:
        held.commands += 1

    def _end_use(self, held: ManagedConnection) -> None:
        held.commands -= 1
        held.last_used = time.monotonic()
        if held.commands == 0:
            self._stop_as_requested(held)

    def _stop_as_requested(self, held: ManagedConnection) -> None:
        """Close what was to be closed after the command that was running. Needs the lock."""
        requested, held.stop_requested = held.stop_requested, None
        if requested is not None:
            self._stop(held, held.office).add_done_callback(lambda closing: _copy_result(closing, requested))

    def _replace(self, held: ManagedConnection, order: ConnectRequest) -> ManagedConnection:
        """Begin to open what takes its place, for those who hold it. Needs the lock."""
        new = self._begin(held.office, held.service, order, instead_of=held)
        for holder in [name for name in held.holders if name]:  # a task without hosts keeps what it has registered
            new.holders[holder] = held.holders.pop(holder)
        held.replaced_by = new
        if not held.refused:
            self._stop_if_unused(held)
        return new

    def _stop_if_unused(self, held: ManagedConnection) -> None:
        """Close what was replaced when nobody uses it any more. Needs the lock."""
        unused = not held.commands and not +held.holders and not held.detach
        if held.replaced_by is not None and unused and _is_open(held):
            self._stop(held, held.office)

    def control_paths_of(self, host: str) -> str | None:
        """Return the directory of the control masters that a host uses."""
        with self._lock:
            held = self._by_host.get(host)
        if held is None or not held.opening.done() or held.opening.exception() is not None:
            return None
        return self._run.control_path_dir(held.opening.result().connectionid)

    def first_told(self, message: str, host: str) -> str:
        """Return the host that was the first to fail with this message, so that the others can refer to it."""
        with self._lock:
            return self._explained.setdefault(message, host)

    # -- what a predecessor has left -----------------------------------------------------------------------------------

    def take_over(self, predecessors: list[tuple[LedgerSnapshot, Ledger]]) -> None:
        """Close in the end what keepers of this run had opened that were killed."""
        self._predecessors = predecessors

    def _adopt(self, office: AccountClient) -> None:
        """Take over the entries of an account from the ledgers of killed keepers. Needs the lock."""
        for record, ledger in self._predecessors:
            for entry in record.open:
                if entry.account != office.fingerprint:
                    continue
                held = ManagedConnection(
                    next(self._numbers), entry.service, office, entry.detached, concurrent.futures.Future()
                )
                try:
                    self._intend(held)
                except RemoteItError:
                    return  # the ledger that is there tells the next teardown
                if entry.connectionid is None:
                    held.sent_at = entry.intended_at
                    held.opening.set_exception(RemoteItError("the keeper was killed during the call"))
                    self._held.append(held)
                    self._note_unsure(held, "the keeper was killed during the call", answered=True)
                else:
                    connection = dataclasses.replace(
                        Connection.unusable(entry.service, entry.connectionid), expires_at=entry.expires_at
                    )
                    held.opening.set_result(connection)
                    self._held.append(held)
                    self._record(held, connection)
                ledger.closed(entry.number, "taken over")  # or this run would seem to use it still
                entry.closed = "taken over"
                if entry.connectionid is not None and not held.detach:
                    self._stop(held, office)
                    self._adopted[entry.service.upper()] = held
            if not record.open:
                ledger.remove()

    def _office(self, account: Account) -> AccountClient:
        transport = account.transport
        key = (account.credentials, transport.ca_bundle, *sorted(transport.proxies.items()))
        if key not in self._offices:
            self._offices[key] = AccountClient(account)
            self._adopt(self._offices[key])
        self._offices[key].serve(account)
        return self._offices[key]

    def _detach(self, held: ManagedConnection) -> None:
        """Note that it is to outlive the run. Needs the lock."""
        if not held.detach:
            held.detach = True
            self._ledger.detached(held.number)

    def _begin(
        self, office: AccountClient, service: str, order: ConnectRequest, instead_of: ManagedConnection | None = None
    ) -> ManagedConnection:
        held = ManagedConnection(next(self._numbers), service, office, order.detach, concurrent.futures.Future())
        self._held.append(held)
        office.later(office.pool, self._open, held, order, instead_of)
        return held

    def _open(self, held: ManagedConnection, order: ConnectRequest, instead_of: ManagedConnection | None) -> None:
        try:
            if self.ending.is_set():
                raise ShuttingDownError
            if instead_of is not None and instead_of.refused and _is_open(instead_of):
                self._close_quietly(instead_of)
            for before in (instead_of, self._adopted.get(held.service.upper())):
                if before is not None and before.closing is not None:
                    concurrent.futures.wait([before.closing])  # the vendor may give the same one again
            self._intend(held)
            connection = connect_one(held.office.api, held.service, order)
        except ShuttingDownError as ending:
            held.opening.set_exception(ending)
        except Exception as unknown:
            self._settle(held, to_remoteit_error(unknown))
        else:
            self._settle(held, connection)

    def _intend(self, held: ManagedConnection) -> None:
        held.sent_at = format_utc(utc_now())
        self._ledger.intent(held.number, held.service, held.office.api_url, held.office.fingerprint)

    def _settle(self, held: ManagedConnection, outcome: Outcome) -> None:
        """Note what came of an opening call, then tell those who wait for it, whatever comes in between."""
        try:
            with self._lock:
                if isinstance(outcome, RemoteItError):
                    self._note_failed_opening(held, outcome)
                else:
                    self._record(held, outcome)
        finally:
            if isinstance(outcome, RemoteItError):
                held.opening.set_exception(outcome)
            else:
                held.opening.set_result(outcome)
        if self.ending.is_set() and isinstance(outcome, Connection) and not held.detach:
            self._close_quietly(held)  # the end may not have waited for it

    def _record(self, held: ManagedConnection, connection: Connection) -> None:
        """Note what is open now. Needs the lock."""
        key = (held.service.upper(), connection.connectionid)
        same = self._by_connection.get(key)
        if same is not None and same.closing is None and same.opening.result().proxy:
            # the vendor answered a second opening with the first connection
            held.closing = _done(ALREADY_CLOSED)
            self._ledger.closed(held.number, f"the same as {same.number}")
            same.holders.update(held.holders)
            held.same_as = same
            if same.stop_requested is not None and (held.commands or +same.holders):  # it is needed again
                same.stop_requested.set_result(STILL_USED)
                same.stop_requested = None
            self._current = {key: same if value is held else value for key, value in self._current.items()}
            if held.detach:
                self._detach(same)
            return
        if same is not None and (same.closing is None or _could_not_be_stopped(same)):  # this one takes its place
            same.closing = _done(ALREADY_CLOSED)
            self._failed_stops.pop(same.number, None)
            self._ledger.closed(same.number, f"the same as {held.number}")
            self._opened -= 1
        if connection.overrode:
            for older in self._by_connection.values():
                same_service = older.service.upper() == held.service.upper()
                if same_service and older.office.fingerprint == held.office.fingerprint and older.closing is None:
                    older.overridden = True
                    self._stop(older, older.office)  # whether it is gone is for the answer to that to say
        self._by_connection[key] = held
        held.opened_at = held.last_used = time.monotonic()
        self._opened += 1
        self._ledger.opened(held.number, connection, detached=held.detach)

    def _note_failed_opening(self, held: ManagedConnection, error: RemoteItError) -> None:
        """Note what may be open all the same. Needs the lock."""
        if error.connectionid is not None:  # it could be neither used nor closed; the end of the run tries again
            self._record_unusable(held, error.connectionid)
        elif error.outcome is ConnectOutcome.UNKNOWN:
            self._note_unsure(held, error.message, answered=error.call_ended)
        else:
            self._ledger.closed(held.number, "refused")
        if isinstance(error, (AuthError, NetworkError)):  # the others of this account would fail as well
            self._waiting = collections.deque(entry for entry in self._waiting if entry[0] is not held.office)
        self._ahead.discard(held)
        self._fill_up()

    def _record_unusable(self, held: ManagedConnection, connectionid: str) -> None:
        """Note a connection that can only be stopped. Needs the lock."""
        unusable = Connection.unusable(held.service, connectionid)
        again = dataclasses.replace(held, opening=concurrent.futures.Future(), detach=False)
        again.opening.set_result(unusable)
        self._held.append(again)
        self._record(again, unusable)

    # -- closing ---------------------------------------------------------------------------------------------------

    def close(self, account: Account, stops: list[list[str]]) -> t.Iterator[Event]:
        """Close each C([service, connection id, holder]), unless somebody else holds it too."""
        with self._lock:
            office = self._office(account)
        asked: dict[concurrent.futures.Future[str], list[Event]] = {}
        for service, connectionid, holder in stops:
            future = self._release(office, service, connectionid, holder)
            asked.setdefault(future, []).append({"service": service, "connectionid": connectionid})
        yield from _closed(asked)

    def release_hosts(self, accounts: t.Iterable[Account], hosts: t.Collection[str]) -> t.Iterator[Event]:
        """Close what ``remoteit_connect`` opened for these inventory hosts, whichever connection they have by now.

        :param accounts: theirs; what a killed keeper had opened with them is closed as well.
        """
        asked: dict[concurrent.futures.Future[str], list[Event]] = {}
        with self._lock:
            for account in accounts:
                self._office(account)
            for held in self._adopted.values():
                if held.closing is not None:
                    connectionid = held.opening.result().connectionid
                    asked[held.closing] = [{"service": held.service, "connectionid": connectionid, "host": None}]
            self._adopted = {}
            held_by = [
                (host, held, connection)
                for (_unused, connection), held in self._by_connection.items()
                for host in hosts
                if held.holders[lease_of(host)]
            ]
        for host, held, connectionid in held_by:
            future = self._release(held.office, held.service, connectionid, lease_of(host))
            asked.setdefault(future, []).append({"service": held.service, "connectionid": connectionid, "host": host})
        yield from _closed(asked)

    def _release(
        self, office: AccountClient, service: str, connectionid: str, holder: str
    ) -> concurrent.futures.Future[str]:
        with self._lock:
            held = self._by_connection.get((service.upper(), connectionid))
            if held is None:
                return office.later(office.quick, disconnect_one, office.api, (service, connectionid))
            if office.fingerprint != held.office.fingerprint:
                # to another login the API says of it what it says of one that is gone
                return office.later(office.quick, _close_for_another_login, office.api, (service, connectionid))
            if held.holders[holder]:
                held.holders[holder] -= 1
            if +held.holders:
                return _done(STILL_USED)
            if held.commands:
                held.stop_requested = held.stop_requested or concurrent.futures.Future()
                return held.stop_requested
            return self._stop(held, office)

    def _stop(self, held: ManagedConnection, office: AccountClient) -> concurrent.futures.Future[str]:
        """Stop it, once: whoever asks again while it is being stopped gets the same answer. Needs the lock."""
        if held.closing is not None and not _could_not_be_stopped(held):
            return _done(ALREADY_CLOSED) if held.closing.done() else held.closing
        held.closing = office.later(office.quick, self._close, held, office)
        return held.closing

    def _close(self, held: ManagedConnection, office: AccountClient) -> str:
        connection = held.opening.result()
        try:
            stop_control_masters(self._run.control_path_dir(connection.connectionid))
            self._ledger.closing(held.number)
            if is_used_by_another(self._ledger.path, connection.connectionid):
                return self._leave(held)
            how = disconnect_one(office.api, (held.service, connection.connectionid))
            should_be_open = how == ALREADY_CLOSED and _should_be_open(connection)
            if should_be_open and _may_be_probed(held) and is_port_open(connection):
                raise RemoteItError("the API does not know this connection any more, but its proxy still answers")
        except Exception as unknown:
            error = to_remoteit_error(unknown)
            self._failed_stops[held.number] = {
                "service": held.service,
                "host": held.host,
                "connectionid": connection.connectionid,
                "expires_at": connection.expires_at,
                "why": error.message,
            }
            raise error from unknown
        with self._lock:
            self._closed += 1
            self._failed_stops.pop(held.number, None)
            if should_be_open and not held.overridden:
                self._ended_early.append(
                    {"service": held.service, "host": held.host, "connectionid": connection.connectionid}
                )
        self._ledger.closed(held.number, how)
        return how

    def _leave(self, held: ManagedConnection) -> str:
        """Leave it to another run, which was given the same connection; that one counts it."""
        with self._lock:
            self._opened -= 1
            self._failed_stops.pop(held.number, None)
        self._ledger.closed(held.number, "used by a run that lives")
        return STILL_USED

    def _close_quietly(self, held: ManagedConnection) -> None:
        """Close it in this thread, unless somebody else does, so that the vendor's side and the ledger know it too."""
        with self._lock:
            if held.closing is not None:
                return
            closing = held.closing = concurrent.futures.Future()
        try:
            closing.set_result(self._close(held, held.office))
        except RemoteItError as error:
            closing.set_exception(error)

    # -- the end ---------------------------------------------------------------------------------------------------

    def finish(self) -> Event:
        """Close what is left, and sum up. Asked for twice, it is done once."""
        with self._lock:
            self.ending.set()
            for held in self._held:
                self._stop_as_requested(held)  # nothing waits for a command any more
        with self._finishing:
            if self._recap is None:
                self._recap = self._finish()
            return self._recap

    def _finish(self) -> Event:
        timeout = max((office.timeout for office in list(self._offices.values())), default=0.0)
        call_timeout.set(timeout)
        self._stop_all(lambda held: True)
        # a login, and a call
        _unused, hanging = concurrent.futures.wait(
            [held.opening for held in self._held], 2 * timeout + SHUTDOWN_GRACE_SECONDS
        )
        self._stop_all(lambda held: held.closing is None or not held.closing.done())
        for held in self._held:
            if held.opening in hanging:
                self._note_unsure(held, "it does not end")
        self._look_for_unsure()
        if not self._unsure and not any(map(_may_be_open, self._held)):
            self._ledger.remove()
        return {
            "opened": self._opened,
            "closed": self._closed,
            "left": list(self._failed_stops.values()),
            "unsure": [doubt.event for doubt in self._unsure],
            "ended_early": list(self._ended_early),
        }

    def _note_unsure(self, held: ManagedConnection, why: str, *, answered: bool = False) -> None:
        now = format_utc(utc_now())
        intent = PendingConnect(held.number, held.service, held.sent_at or now, now, answered)
        self._unsure.append(
            UnconfirmedConnect(held, intent, {"service": held.service, "host": held.host, "at": now, "why": why})
        )

    def _look_for_unsure(self) -> None:
        """Stop what the account's sessions show to be the fruit of such a call."""
        for office in list(self._offices.values()):
            doubts = {doubt.intent: doubt for doubt in self._unsure if doubt.held.office is office}
            try:
                sessions = office.api.sessions() if doubts else None
                if sessions is None:
                    continue
                ids, rivals = known_connections(os.path.dirname(self._ledger.path), self._ledger.path)
            except Exception as unknown:
                for doubt in doubts.values():
                    doubt.event["why"] += (
                        f"; it could not be found out whether it did: {to_remoteit_error(unknown).message}"
                    )
                continue
            with self._lock:
                ids |= {connectionid.lower() for _unused, connectionid in self._by_connection}
                for intent, connectionid in match_sessions(doubts, sessions, ids, rivals).items():
                    self._unsure.remove(doubts[intent])
                    if connectionid is None:
                        self._ledger.closed(intent.number, "never opened")
                    else:
                        self._record_unusable(doubts[intent].held, connectionid)
        self._stop_all(lambda held: held.closing is None)

    def _stop_all(self, wanted: t.Callable[[ManagedConnection], bool]) -> None:
        with self._lock:
            stopping = [
                self._stop(held, held.office)
                for held in self._by_connection.values()
                if not held.detach and wanted(held)
            ]
        concurrent.futures.wait(stopping, IDLE_SECONDS)  # by then the vendor has ended them, or the line is dead

    def touch(self) -> None:
        """Use every proxy that may be probed for a moment, so that a slow play does not lose it to the idle time."""
        with self._lock:
            open_now = [held for held in self._by_connection.values() if held.closing is None and not held.detach]
        probed = [held for held in open_now if _may_be_probed(held)]
        try:
            list(map_concurrently(_touch, probed, MAX_KEEPALIVE_THREADS))
        except RuntimeError:  # there can be no more threads
            list(map(_touch, probed))


def lease_of(host: str) -> str:
    """Return the name of the lease that ``remoteit_connect`` takes for an inventory host."""
    return f"host {host}"


def _find_service(office: AccountClient, target: ServiceName) -> str:
    """Return the ID of a service that goes by name.

    :raises NotFoundError: the account does not have it, or has several.
    """
    found = office.finder.resolve([target], lambda warning: None)[target]
    if isinstance(found, RemoteItError):
        raise found
    return found.id


def _touch(held: ManagedConnection) -> None:
    """Use a proxy for a moment, and note whether that was possible."""
    if is_port_open(held.opening.result()):
        held.last_used = time.monotonic()
    else:
        held.refused = True


def _copy_result(source: concurrent.futures.Future[str], target: concurrent.futures.Future[str]) -> None:
    error = source.exception()
    if error is None:
        target.set_result(source.result())
    else:
        target.set_exception(error)


def _by_account(hosts: list[HostRequest]) -> t.Iterator[tuple[Account, list[HostRequest]]]:
    found: dict[Account, list[HostRequest]] = collections.defaultdict(list)
    for request in hosts:
        found[request.account].append(request)
    yield from found.items()


def _closed(asked: t.Mapping[concurrent.futures.Future[str], list[Event]]) -> t.Iterator[Event]:
    """Return how each stop ended, as it ends."""
    for future in concurrent.futures.as_completed(asked):
        try:
            outcome: Event = {"outcome": future.result()}
        except Exception as unknown:
            outcome = {"failure": to_remoteit_error(unknown).as_failure()}
        yield from ({**stop, **outcome} for stop in asked[future])


def _connect_event(service: str, outcome: Outcome) -> Event:
    if isinstance(outcome, RemoteItError):
        return {"service": service, "failure": outcome.as_failure()}
    return {"service": service, "connection": dataclasses.asdict(outcome)}


def _done(outcome: str) -> concurrent.futures.Future[str]:
    future: concurrent.futures.Future[str] = concurrent.futures.Future()
    future.set_result(outcome)
    return future


def _may_be_open(held: ManagedConnection) -> bool:
    """Whether it was opened, and nobody is known to have closed it."""
    if not held.opening.done():
        return True
    if held.opening.exception() is not None:
        return False
    return held.closing is None or not held.closing.done() or _could_not_be_stopped(held)


def _could_not_be_stopped(held: ManagedConnection) -> bool:
    return held.closing is not None and held.closing.done() and held.closing.exception() is not None


def _close_for_another_login(api: Api, stop: tuple[str, str]) -> str:
    if disconnect_one(api, stop) == ALREADY_CLOSED:
        raise AuthError("this run opened it with another login, and the API does not know it with this one")
    return CLOSED


def _is_open(held: ManagedConnection) -> bool:
    """Whether it was opened, and is not being closed."""
    return held.closing is None and held.opening.done() and held.opening.exception() is None


def _is_usable(held: ManagedConnection, *, claim: bool = False) -> bool:
    """Whether it may be handed out: it is being opened, or is open for a while yet, or its failure is news.

    :param claim: to a task of ``remoteit_connect``, and not to the connection plugin.
    """
    if held.closing is not None or held.stop_requested is not None or held.refused:
        return False
    if not held.opening.done():
        return True
    if held.opening.exception() is not None:
        return not (held.claimed if claim else held.reported)
    connection = held.opening.result()
    if not connection.proxy:
        return False  # it can only be closed
    if not held.commands and time.monotonic() - held.last_used > IDLE_SECONDS - IDLE_MARGIN_SECONDS:
        return False  # its address may be somebody else's by now
    soon = format_utc(utc_now() + datetime.timedelta(seconds=MIN_REMAINING_SECONDS))
    return connection.expires_at is None or connection.expires_at >= soon


def _should_be_open(connection: Connection) -> bool:
    """Whether nothing is known to have ended it: its time is not over, and touches kept it from idling."""
    return not connection.reverse_proxy and (connection.expires_at or "") > format_utc(utc_now())


def _may_be_probed(held: ManagedConnection) -> bool:
    """Whether to connect to its proxy from here does no harm, and says something.

    A proxy that latches belongs to the first client, and one that ssh reaches by a jump host does not answer here.
    """
    if not held.opening.done() or held.opening.exception() is not None:
        return False
    connection = held.opening.result()
    if connection.reverse_proxy or not connection.proxy:
        return False
    return held.direct is True or (held.direct is None and connection.restriction in ("caller", "public"))


def _answers_still(held: ManagedConnection) -> bool:
    """Whether nothing says that it is gone."""
    return not (_is_open(held) and _may_be_probed(held)) or is_port_open(held.opening.result())


def is_port_open(connection: Connection, timeout: float = 2.0) -> bool:
    try:
        socket.create_connection((connection.host, connection.port), timeout).close()
    except OSError:
        return False
    return True
