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
import dataclasses
import datetime
import itertools
import os
import socket
import threading
import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils._connection import (
    IDLE_SECONDS,
    Connection,
    is_connection_id,
)
from ansible_collections.remoteit.fleet.plugins.module_utils._devices import Device, Wanted, Warn
from ansible_collections.remoteit.fleet.plugins.module_utils._errors import (
    AuthError,
    BadAnswerError,
    RemoteItError,
    from_failure,
)
from ansible_collections.remoteit.fleet.plugins.module_utils._fleet import (
    ALREADY_CLOSED,
    CLOSED,
    STILL_USED,
    Account,
    Api,
    Order,
    as_error,
    close_one,
    in_parallel,
    open_one,
)
from ansible_collections.remoteit.fleet.plugins.module_utils._targets import Resolved, Target
from ansible_collections.remoteit.fleet.plugins.module_utils._times import iso, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger import Ledger, is_used_by_another, known
from ansible_collections.remoteit.fleet.plugins.plugin_utils._masters import end_masters
from ansible_collections.remoteit.fleet.plugins.plugin_utils._office import Office, call_timeout
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run import Run
from ansible_collections.remoteit.fleet.plugins.plugin_utils._unanswered import Intent, explain

#: A connection that ends within so many seconds is not handed out again.
NEAR_END_SECONDS = 300
#: An opening that takes so many seconds longer than its time-out allows is not waited for at the end of the run.
GIVE_UP_SECONDS = 5.0
#: Dead proxies take two seconds each; a few thousand have to be through before it is time for the next touch.
TOUCHES_AT_ONCE = 32

Event = dict[str, t.Any]
Outcome = t.Union[Connection, RemoteItError]


@dataclasses.dataclass(eq=False)  # each is itself; to compare the fields takes long
class Held:
    """One opening, from its intent to its stop."""

    number: int
    service: str
    office: Office
    detach: bool
    opening: concurrent.futures.Future[Connection]
    holders: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    claimed: bool = False
    sent_at: str | None = None
    overridden: bool = False
    elsewhere: bool = False
    closing: concurrent.futures.Future[str] | None = None


class Doubt(t.NamedTuple):
    """An opening call that may have opened something of which nobody knows."""

    held: Held
    intent: Intent
    event: Event


class RunEndsError(RemoteItError):
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
        self._offices: dict[t.Any, Office] = {}
        self._held: list[Held] = []  # everything, in the order of its opening
        self._current: dict[t.Any, Held] = {}  # by account, hostip and service: what reuse hands out
        self._by_connection: dict[tuple[str, str], Held] = {}  # by service, in capitals, and connection id
        self._unsure: list[Doubt] = []
        self._failed_stops: dict[int, Event] = {}
        self._ended_early: list[Event] = []
        self._batches: set[str] = set()
        self._opened = 0
        self._closed = 0
        self.ending = threading.Event()
        self._finishing = threading.Lock()
        self._recap: Event | None = None

    # -- finding -----------------------------------------------------------------------------------------------------

    def resolve(self, account: Account, targets: list[Target], warn: Warn) -> Resolved:
        """The service of each target."""
        with self._lock:
            office = self._office(account)
        return office.finder.resolve(targets, warn)

    def devices(self, account: Account, wanted: Wanted, warn: Warn) -> t.Iterator[Device]:
        """The devices that are wanted."""
        with self._lock:
            office = self._office(account)
        return office.api.devices(wanted, warn)

    # -- opening ---------------------------------------------------------------------------------------------------

    def open(self, account: Account, order: Order, claims: dict[str, list[str]]) -> t.Iterator[Event]:
        """Open the services of the order and tell of each that somebody claims, as it comes.

        :param claims: the holders of each service; a service without any is opened for a task that will ask later.
        """
        waiting: dict[concurrent.futures.Future[Connection], tuple[str, bool]] = {}
        with self._lock:
            office = self._office(account)
            keys = {service: (office.fingerprint, order.hostip, service.upper()) for service in order.services}
            known = [self._current[key] for key in keys.values() if order.reuse and key in self._current]
        answers = [(held, office.later(office.quick, _usable, held)) for held in known]
        usable = {held.number for held, answer in answers if answer.result()}
        with self._lock:
            if self.ending.is_set():
                raise RunEndsError
            for service, key in keys.items():
                held = self._current.get(key)
                holders = claims.get(service, [])
                if held is not None and not holders:
                    continue  # somebody was quicker than the one who sends the batch along
                if held is None or not order.reuse:
                    held = self._current[key] = self._begin(office, service, order)
                elif held.closing is not None or (held in known and held.number not in usable):
                    held = self._current[key] = self._begin(office, service, order, instead_of=held)
                elif order.detach:
                    self._detach(held)
                for holder in holders:
                    held.holders[holder] = 1 if holder else held.holders[holder] + 1
                if holders:
                    waiting[held.opening] = (service, held.claimed)
                    held.claimed = True
        for opening in concurrent.futures.as_completed(waiting):
            service, reused = waiting[opening]
            try:
                outcome: Outcome = dataclasses.replace(opening.result(), deviceaddress=service, reused=reused)
            except RemoteItError as error:
                outcome = error
            yield _told(service, outcome)

    def is_first(self, batch: str) -> bool:
        """Whether nobody has asked this about the batch before: one host's task sends the whole batch along."""
        with self._lock:
            first = batch not in self._batches
            self._batches.add(batch)
            return first

    def expect(self, account: Account, order: Order) -> list[Held]:
        """Note that a module on another host is about to open these; C(adopt) learns what came of it."""
        with self._lock:
            if self.ending.is_set():
                raise RunEndsError
            office = self._office(account)
            expected: list[Held] = []
            try:
                for service in order.services:
                    held = Held(next(self._numbers), service, office, order.detach, concurrent.futures.Future())
                    held.claimed = held.elsewhere = True
                    self._intend(held)
                    expected.append(held)
            except RemoteItError:
                for held in expected:
                    self._ledger.closed(held.number, "never sent")
                raise
            self._held += expected
            return expected

    def adopt(self, expected: list[Held], outcomes: t.Mapping[str, t.Any]) -> list[Event]:
        """Take over what the module has opened, and tell of each service as C(open) does.

        :param outcomes: the connection or the failure of each service, as the module returned them.
        """
        events = []
        for held in expected:
            outcome = _outcome(held.service, outcomes.get(held.service))
            if isinstance(outcome, Connection):
                held.holders[""] = 1
            self._settle(held, outcome)
            events.append(_told(held.service, outcome))
        return events

    def _office(self, account: Account) -> Office:
        transport = account.transport
        key = (account.credentials, transport.ca_bundle, *sorted(transport.proxies.items()))
        if key not in self._offices:
            self._offices[key] = Office(account)
        self._offices[key].serve(account)
        return self._offices[key]

    def _detach(self, held: Held) -> None:
        """Note that it is to outlive the run. Needs the lock."""
        if not held.detach:
            held.detach = True
            self._ledger.detached(held.number)

    def _begin(self, office: Office, service: str, order: Order, instead_of: Held | None = None) -> Held:
        held = Held(next(self._numbers), service, office, order.detach, concurrent.futures.Future())
        self._held.append(held)
        office.later(office.pool, self._open, held, order, instead_of)
        return held

    def _open(self, held: Held, order: Order, instead_of: Held | None) -> None:
        try:
            if self.ending.is_set():
                raise RunEndsError
            if instead_of is not None and _is_dead(instead_of):
                self._close_quietly(instead_of)
            if instead_of is not None and instead_of.closing is not None:
                concurrent.futures.wait([instead_of.closing])  # the vendor may give the same one again
            self._intend(held)
            connection = open_one(held.office.api, held.service, order)
        except RunEndsError as ending:
            held.opening.set_exception(ending)
        except Exception as unknown:
            self._settle(held, as_error(unknown))
        else:
            self._settle(held, connection)

    def _intend(self, held: Held) -> None:
        held.sent_at = iso(utc_now())
        self._ledger.intent(held.number, held.service, held.office.api_url, held.office.fingerprint)

    def _settle(self, held: Held, outcome: Outcome) -> None:
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

    def _record(self, held: Held, connection: Connection) -> None:
        """Note what is open now. Needs the lock."""
        key = (held.service.upper(), connection.connectionid)
        same = self._by_connection.get(key)
        if same is not None and same.closing is None:  # the vendor answered a second opening with the first connection
            held.closing = _done(ALREADY_CLOSED)
            self._ledger.closed(held.number, f"the same as {same.number}")
            same.holders.update(held.holders)
            self._current = {key: same if value is held else value for key, value in self._current.items()}
            if held.detach:
                self._detach(same)
            return
        if same is not None and _could_not_be_stopped(same):  # this one takes its place
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
        self._opened += 1
        self._ledger.opened(held.number, connection, detached=held.detach)

    def _note_failed_opening(self, held: Held, error: RemoteItError) -> None:
        """Note what may be open all the same. Needs the lock."""
        if "connectionid" in error.details:  # it could be neither used nor stopped; the end of the run tries again
            self._record_unusable(held, error.details["connectionid"])
        elif error.details.get("may_be_open"):
            self._note_unsure(held, error.message, answered=bool(error.details.get("answered")))
        else:
            self._ledger.closed(held.number, "refused")

    def _record_unusable(self, held: Held, connectionid: str) -> None:
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
        for future in concurrent.futures.as_completed(asked):
            try:
                outcome: Event = {"outcome": future.result()}
            except Exception as unknown:
                outcome = {"failure": as_error(unknown).as_failure()}
            yield from ({**stop, **outcome} for stop in asked[future])

    def closed_elsewhere(self, connectionids: list[str]) -> None:
        """Note what a module on another host has closed."""
        with self._lock:
            for (_unused, connectionid), held in self._by_connection.items():
                if connectionid in connectionids and held.closing is None:
                    held.closing = _done(CLOSED)
                    self._closed += 1
                    self._ledger.closed(held.number, CLOSED)

    def _release(self, office: Office, service: str, connectionid: str, holder: str) -> concurrent.futures.Future[str]:
        with self._lock:
            held = self._by_connection.get((service.upper(), connectionid))
            if held is None:
                return office.later(office.quick, close_one, office.api, (service, connectionid))
            if office.fingerprint != held.office.fingerprint:
                # to another login the API says of it what it says of one that is gone
                return office.later(office.quick, _close_for_another_login, office.api, (service, connectionid))
            if held.holders[holder]:
                held.holders[holder] -= 1
            if +held.holders:
                return _done(STILL_USED)
            return self._stop(held, office)

    def _stop(self, held: Held, office: Office) -> concurrent.futures.Future[str]:
        """Stop it, once: whoever asks again while it is being stopped gets the same answer. Needs the lock."""
        if held.closing is not None and not _could_not_be_stopped(held):
            return _done(ALREADY_CLOSED) if held.closing.done() else held.closing
        held.closing = office.later(office.quick, self._close, held, office)
        return held.closing

    def _close(self, held: Held, office: Office) -> str:
        connection = held.opening.result()
        try:
            end_masters(self._run.control_path_dir(connection.connectionid))
            self._ledger.closing(held.number)
            if is_used_by_another(self._ledger.path, connection.connectionid):
                return self._leave(held)
            how = close_one(office.api, (held.service, connection.connectionid))
            should_be_open = how == ALREADY_CLOSED and _should_be_open(connection)
            if should_be_open and answers(connection):
                raise RemoteItError("the API does not know this connection any more, but its proxy still answers")
        except Exception as unknown:
            error = as_error(unknown)
            self._failed_stops[held.number] = {
                "service": held.service,
                "connectionid": connection.connectionid,
                "expires_at": connection.expires_at,
                "why": error.message,
            }
            raise error from unknown
        with self._lock:
            self._closed += 1
            self._failed_stops.pop(held.number, None)
            if should_be_open and not held.overridden:
                self._ended_early.append({"service": held.service, "connectionid": connection.connectionid})
        self._ledger.closed(held.number, how)
        return how

    def _leave(self, held: Held) -> str:
        """Leave it to another run, which was given the same connection; that one counts it."""
        with self._lock:
            self._opened -= 1
            self._failed_stops.pop(held.number, None)
        self._ledger.closed(held.number, "used by a run that lives")
        return STILL_USED

    def _close_quietly(self, held: Held) -> None:
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
        with self._finishing:
            if self._recap is None:
                self._recap = self._finish()
            return self._recap

    def _finish(self) -> Event:
        timeout = max((office.timeout for office in list(self._offices.values())), default=0.0)
        call_timeout.set(timeout)
        self._stop_all(lambda held: True)
        # a module on another host is at work as long as its worker is there to tell of it
        concurrent.futures.wait([held.opening for held in self._held if held.elsewhere], IDLE_SECONDS)
        # a login, and a call
        _unused, hanging = concurrent.futures.wait([held.opening for held in self._held], 2 * timeout + GIVE_UP_SECONDS)
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

    def _note_unsure(self, held: Held, why: str, *, answered: bool = False) -> None:
        now = iso(utc_now())
        intent = Intent(held.number, held.service, held.sent_at or now, now, answered)
        self._unsure.append(Doubt(held, intent, {"service": held.service, "at": now, "why": why}))

    def _look_for_unsure(self) -> None:
        """Stop what the account's sessions show to be the fruit of such a call."""
        for office in list(self._offices.values()):
            doubts = {doubt.intent: doubt for doubt in self._unsure if doubt.held.office is office}
            try:
                sessions = office.api.sessions() if doubts else None
                if sessions is None:
                    continue
                ids, rivals = known(os.path.dirname(self._ledger.path), self._ledger.path)
            except Exception as unknown:
                for doubt in doubts.values():
                    doubt.event["why"] += f"; it could not be found out whether it did: {as_error(unknown).message}"
                continue
            with self._lock:
                ids |= {connectionid.lower() for _unused, connectionid in self._by_connection}
                for intent, connectionid in explain(doubts, sessions, ids, rivals).items():
                    self._unsure.remove(doubts[intent])
                    if connectionid is None:
                        self._ledger.closed(intent.number, "never opened")
                    else:
                        self._record_unusable(doubts[intent].held, connectionid)
        self._stop_all(lambda held: held.closing is None)

    def _stop_all(self, wanted: t.Callable[[Held], bool]) -> None:
        with self._lock:
            stopping = [
                self._stop(held, held.office)
                for held in self._by_connection.values()
                if not held.detach and wanted(held)
            ]
        concurrent.futures.wait(stopping, IDLE_SECONDS)  # by then the vendor has ended them, or the line is dead

    def touch(self) -> None:
        """Use every port proxy for a moment, so that a slow play does not lose it to the vendor's idle time."""
        with self._lock:
            alive = [held for held in self._by_connection.values() if held.closing is None and not held.detach]
        connections = [held.opening.result() for held in alive]
        proxies = [connection for connection in connections if not connection.reverse_proxy]
        try:
            list(in_parallel(answers, proxies, TOUCHES_AT_ONCE))
        except RuntimeError:  # there can be no more threads
            list(map(answers, proxies))


def _told(service: str, outcome: Outcome) -> Event:
    if isinstance(outcome, RemoteItError):
        return {"service": service, "failure": outcome.as_failure()}
    return {"service": service, "connection": dataclasses.asdict(outcome)}


def _outcome(service: str, entry: t.Any) -> Outcome:
    """What another host says became of an opening; it is trusted as little as the API."""
    fields = entry if isinstance(entry, dict) else {}
    connectionid = fields.get("connectionid")
    well = is_connection_id(connectionid)
    if (
        isinstance(fields.get("code"), str)
        and isinstance(fields.get("message"), str)
        and (well or connectionid is None)
    ):
        return from_failure(fields)
    try:
        connection = Connection.from_result(fields)
        if connection.deviceaddress.upper() == service.upper():
            return connection
    except BadAnswerError:
        pass
    if well:
        return BadAnswerError(
            f"the other host does not tell how to use the connection {connectionid} that it opened, which is closed at"
            " the end of the run",
            connectionid=connectionid,
        )
    return BadAnswerError("the module that was to open it gave no clear answer", may_be_open=True)


def _done(outcome: str) -> concurrent.futures.Future[str]:
    future: concurrent.futures.Future[str] = concurrent.futures.Future()
    future.set_result(outcome)
    return future


def _may_be_open(held: Held) -> bool:
    """Whether it was opened, and nobody is known to have closed it."""
    if not held.opening.done():
        return True
    if held.opening.exception() is not None:
        return False
    return held.closing is None or not held.closing.done() or _could_not_be_stopped(held)


def _could_not_be_stopped(held: Held) -> bool:
    return held.closing is not None and held.closing.done() and held.closing.exception() is not None


def _close_for_another_login(api: Api, stop: tuple[str, str]) -> str:
    if close_one(api, stop) == ALREADY_CLOSED:
        raise AuthError("this run opened it with another login, and the API does not know it with this one")
    return CLOSED


def _usable(held: Held) -> bool:
    """Whether reuse may hand it out: it is being opened, or it is open, answers, and will for a while."""
    if held.closing is not None:
        return False
    if not held.opening.done():
        return True
    if held.opening.exception() is not None:
        return not held.claimed  # nobody has seen the failure yet
    connection = held.opening.result()
    if not connection.proxy:
        return False  # it can only be stopped
    soon = iso(utc_now() + datetime.timedelta(seconds=NEAR_END_SECONDS))
    if connection.expires_at is not None and connection.expires_at < soon:
        return False
    return not _is_dead(held)


def _should_be_open(connection: Connection) -> bool:
    """Whether nothing that we know of has ended it: its time is not over, and touches kept it from idling."""
    return not connection.reverse_proxy and (connection.expires_at or "") > iso(utc_now())


def _is_dead(held: Held) -> bool:
    """Whether what was open does not answer any more. One that is only near its end may still serve somebody."""
    if held.closing is not None or held.opening.exception() is not None:
        return False
    connection = held.opening.result()
    return not connection.reverse_proxy and not answers(connection)


def answers(connection: Connection, timeout: float = 2.0) -> bool:
    try:
        socket.create_connection((connection.host, connection.port), timeout).close()
    except OSError:
        return False
    return True
