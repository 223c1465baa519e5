# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The states of a connection, the transitions between them, and the leases that keep it open.

The page "How it works" shows the table of transitions; a test compares the two. ``ManagedConnection.apply`` makes every
change of state. Call it, and everything that changes a connection, with the lock of the ``Registry``.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import enum
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import IDLE_SECONDS, Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.account_client import AccountClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import ArgumentsChecked, DeviceResponded

#: A connection that ends sooner is not handed out.
MIN_REMAINING_SECONDS = 300
#: A connection counts as closed so many seconds before the vendor's idle time is over.
IDLE_MARGIN_SECONDS = 60
#: A failure that is older does not show the present state. The next request makes a new call.
MAX_FAILURE_SECONDS = 10


class State(enum.Enum):
    """The state of a connection, and whether something may be open at the vendor."""

    REQUESTED = "waits for a thread, or for a stop call to its service; nothing was sent"
    CONNECTING = "the intent is in the ledger, and the connect call is sent"
    OPEN = "open"
    REPLACED = "open; another connection was requested in its place"
    DRAINING = "open; it is closed when no command and no connect call can use it any more"
    UNUSABLE = "open; it can only be closed"
    UNCONFIRMED = "the outcome of the connect call is not known"
    CLOSING = "a thread stops its control masters, and sends the stop call"
    CLOSE_FAILED = "the stop call failed"
    CLOSED = "closed"
    LEFT = "left to another run, which was given the same connection"
    MERGED = "the same connection as another entry, which counts"
    FAILED = "nothing was opened"


class Event(enum.Enum):
    """An event that changes the state of a connection."""

    SEND = "its connect call is sent next"
    OPENED = "the API returns a connection"
    OPENED_UNUSABLE = "the API returns a connection that is invalid and could not be closed, or that cannot be recorded"
    SAME_AS_OTHER = "another entry has the same connection"
    NOT_OPENED = "the API refuses, nothing could be sent, or an invalid connection was closed at once"
    NO_OUTCOME = "the call has no clear response, or has not ended when the run ends"
    TAKE_OVER = "the ledger of a killed keeper lists it"
    LATE_RESPONSE = "the API returns it after the sessions of the account have settled its call"
    TAKE_OVER_UNCONFIRMED = "the ledger of a killed keeper lists its connect call"
    SESSION_FOUND = "the sessions of the account show it"
    NO_SESSION_FOUND = "the sessions of the account show that nothing was opened"
    REPLACE = "it is idle, near its end, or its proxy refuses TCP connections, and a task needs the service"
    DRAIN = "nothing else needs it while a command runs through it, or a connect call might return it"
    NEEDED_AGAIN = "a connect call returns it again"
    CLOSE = "nothing needs it any more, the API replaced it, or the run ends"
    STOPPED = "the API has closed it, or does not know it any more"
    STOP_FAILED = "the stop call fails, or the proxy still responds"
    USED_BY_OTHER_RUN = "the ledger of another run that is running lists it"


class Actor(enum.Enum):
    """The part of the keeper that causes a transition."""

    CONNECT = "connect thread"
    DISCONNECT = "disconnect thread"
    REQUEST = "request of a worker"
    SHUTDOWN = "end of the run"
    RECOVERY = "recovery"


class Transition(t.NamedTuple):
    source: State
    event: Event
    target: State
    actors: tuple[Actor, ...]


_ANY_CLOSE = (Actor.REQUEST, Actor.CONNECT, Actor.SHUTDOWN)

#: Every allowed change of state.
TRANSITIONS = (
    Transition(State.REQUESTED, Event.SEND, State.CONNECTING, (Actor.CONNECT,)),
    Transition(State.REQUESTED, Event.NOT_OPENED, State.FAILED, (Actor.CONNECT, Actor.RECOVERY)),
    Transition(State.REQUESTED, Event.TAKE_OVER, State.UNUSABLE, (Actor.RECOVERY,)),
    Transition(State.REQUESTED, Event.LATE_RESPONSE, State.UNUSABLE, (Actor.CONNECT,)),
    Transition(State.REQUESTED, Event.TAKE_OVER_UNCONFIRMED, State.UNCONFIRMED, (Actor.RECOVERY,)),
    Transition(State.CONNECTING, Event.OPENED, State.OPEN, (Actor.CONNECT,)),
    Transition(State.CONNECTING, Event.OPENED_UNUSABLE, State.UNUSABLE, (Actor.CONNECT,)),
    Transition(State.CONNECTING, Event.SAME_AS_OTHER, State.MERGED, (Actor.CONNECT,)),
    Transition(State.CONNECTING, Event.NOT_OPENED, State.FAILED, (Actor.CONNECT,)),
    Transition(State.CONNECTING, Event.NO_OUTCOME, State.UNCONFIRMED, (Actor.CONNECT, Actor.SHUTDOWN)),
    # the response arrives after the end of the run has given up waiting for it
    Transition(State.UNCONFIRMED, Event.OPENED, State.OPEN, (Actor.CONNECT,)),
    Transition(State.UNCONFIRMED, Event.OPENED_UNUSABLE, State.UNUSABLE, (Actor.CONNECT,)),
    Transition(State.UNCONFIRMED, Event.SAME_AS_OTHER, State.MERGED, (Actor.CONNECT,)),
    Transition(State.UNCONFIRMED, Event.NOT_OPENED, State.FAILED, (Actor.CONNECT,)),
    Transition(State.UNCONFIRMED, Event.NO_OUTCOME, State.UNCONFIRMED, (Actor.CONNECT,)),
    Transition(State.UNCONFIRMED, Event.SESSION_FOUND, State.UNUSABLE, (Actor.SHUTDOWN,)),
    Transition(State.UNCONFIRMED, Event.NO_SESSION_FOUND, State.FAILED, (Actor.SHUTDOWN,)),
    Transition(State.OPEN, Event.REPLACE, State.REPLACED, (Actor.REQUEST,)),
    Transition(State.OPEN, Event.DRAIN, State.DRAINING, (Actor.REQUEST,)),
    Transition(State.REPLACED, Event.DRAIN, State.DRAINING, (Actor.REQUEST,)),
    Transition(State.REPLACED, Event.NEEDED_AGAIN, State.OPEN, (Actor.CONNECT,)),
    Transition(State.DRAINING, Event.NEEDED_AGAIN, State.OPEN, (Actor.CONNECT,)),
    Transition(State.OPEN, Event.CLOSE, State.CLOSING, _ANY_CLOSE),
    Transition(State.REPLACED, Event.CLOSE, State.CLOSING, _ANY_CLOSE),
    Transition(State.DRAINING, Event.CLOSE, State.CLOSING, _ANY_CLOSE),
    Transition(State.UNUSABLE, Event.CLOSE, State.CLOSING, (*_ANY_CLOSE, Actor.RECOVERY)),
    Transition(State.CLOSE_FAILED, Event.CLOSE, State.CLOSING, (Actor.REQUEST, Actor.SHUTDOWN)),
    # the other entry is newer
    Transition(State.UNUSABLE, Event.SAME_AS_OTHER, State.MERGED, (Actor.CONNECT, Actor.RECOVERY)),
    Transition(State.CLOSE_FAILED, Event.SAME_AS_OTHER, State.MERGED, (Actor.CONNECT,)),
    Transition(State.CLOSING, Event.STOPPED, State.CLOSED, (Actor.DISCONNECT,)),
    Transition(State.CLOSING, Event.STOP_FAILED, State.CLOSE_FAILED, (Actor.DISCONNECT,)),
    Transition(State.CLOSING, Event.USED_BY_OTHER_RUN, State.LEFT, (Actor.DISCONNECT,)),
)

_TARGETS = {(transition.source, transition.event): transition.target for transition in TRANSITIONS}

_PENDING = frozenset({State.REQUESTED, State.CONNECTING})
_OPEN = frozenset({State.OPEN, State.REPLACED, State.DRAINING})
_ENDED = frozenset({State.CLOSED, State.LEFT, State.MERGED, State.FAILED})
_COUNTED = frozenset({*_OPEN, State.UNUSABLE, State.CLOSING, State.CLOSE_FAILED, State.CLOSED})


class ForbiddenTransitionError(Exception):
    """A bug: the table has no such transition."""


# -- leases ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class TaskLease:
    """The lease of a ``remoteit_connect`` task. It ends when a task closes the connection by its ID."""


@dataclasses.dataclass(frozen=True)
class HostLease:
    """The lease of an inventory host, from ``remoteit_connect``. It moves to a connection that replaces this one."""

    host: str


@dataclasses.dataclass(eq=False)
class CommandLease:
    """The lease of a running command. Its connection is closed after the command, except at the end of the run."""

    connection: ManagedConnection


Lease = TaskLease | HostLease | CommandLease


#: Called with a connection, its previous state, and the event.
OnChange = t.Callable[["ManagedConnection", State, Event], None]


@dataclasses.dataclass(frozen=True)
class Doubt:
    """A connect call whose outcome is not known."""

    at: str  # when this became known
    reason: str


@dataclasses.dataclass(eq=False)  # two connections are never equal, and comparing the fields is slow
class ManagedConnection:
    """One connect call, and the connection that it opens.

    :ivar connect_future: what a request waits for: the connection, or the reason why it cannot be used.
    :ivar disconnect_future: how the connection ends; set as soon as a request may wait for it.
    """

    number: int
    service: str
    client: AccountClient
    detach: bool = False
    connect_future: concurrent.futures.Future[Connection] = dataclasses.field(default_factory=concurrent.futures.Future)
    disconnect_future: concurrent.futures.Future[str] | None = None
    connection: Connection | None = None
    leases: set[Lease] = dataclasses.field(default_factory=set)
    on_change: OnChange | None = None
    _state: State = State.REQUESTED

    # facts about the entry
    host: str | None = None  # the first inventory host that requested it
    hostip: str | None = None
    sent_at: str | None = None
    outcome_reported: bool = False  # a task of remoteit_connect or of the plugin has received the outcome
    failure_reported_to_plugin: bool = False  # a task of the plugin has received the failure
    doubt: Doubt | None = None
    failure: RemoteItError | None = None  # the reason why it was not opened
    failed_at: float = 0.0  # by the monotonic clock
    close_error: str | None = None
    was_gone: bool = False  # the API did not know it any more when it was closed
    api_replaced_it: bool = False  # the API reported that it ended it for a newer connection
    ended_early: bool = False  # the API did not know it any more before it was closed

    # facts about its proxy
    opened_at: float | None = None  # by the monotonic clock
    last_used: float = 0.0  # by the monotonic clock: when it was opened, a command ended, or a keep-alive was sent
    has_responded: bool = False  # the device, over SSH
    is_direct: bool | None = None  # ssh connects to the proxy from this machine; None if not known
    refuses: bool = False  # a TCP connection to the proxy failed
    checked: set[str] = dataclasses.field(default_factory=set)  # argument lists with which ssh connects to the proxy

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._state

    def apply(self, event: Event) -> None:
        """Change the state as the table of transitions says.

        :raises ForbiddenTransitionError: the table has no such transition.
        """
        source = self._state
        try:
            self._state = _TARGETS[source, event]
        except KeyError:
            raise ForbiddenTransitionError(
                f"{event.name} is not allowed in {self._state.name} (connection {self.number})"
            ) from None
        if self.on_change is not None:
            self.on_change(self, source, event)

    @property
    def is_pending(self) -> bool:
        """Whether the connect call has not ended."""
        return self._state in _PENDING

    @property
    def is_open(self) -> bool:
        """Whether it is open, usable for the commands that run, and not being closed."""
        return self._state in _OPEN

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it is open, nor will be."""
        return self._state in _ENDED

    @property
    def may_be_open(self) -> bool:
        """Whether something may be open at the vendor. Nothing was sent for a requested one."""
        return not self.has_ended and self._state is not State.REQUESTED

    @property
    def counts_as_opened(self) -> bool:
        return self._state in _COUNTED

    # -- leases --------------------------------------------------------------------------------------------------------

    @property
    def commands(self) -> int:
        """The number of commands that run through it."""
        return sum(isinstance(lease, CommandLease) for lease in self.leases)

    @property
    def is_leased_to_a_task(self) -> bool:
        return len(self.leases) > self.commands

    def end_lease(self, lease: Lease | None) -> None:
        """End a lease, if it exists.

        :param lease: ``None`` for that of any one task.
        """
        if lease is None:
            lease = next((held for held in self.leases if isinstance(held, TaskLease)), None)
        self.leases -= {lease}

    def move_leases(self, target: ManagedConnection, kinds: tuple[type[t.Any], ...]) -> None:
        """Move the leases of some kinds to another connection."""
        for lease in [lease for lease in self.leases if isinstance(lease, kinds)]:
            self.leases.remove(lease)
            target.leases.add(lease)
            if isinstance(lease, CommandLease):
                lease.connection = target

    # -- facts ---------------------------------------------------------------------------------------------------------

    @property
    def age(self) -> float:
        """The seconds since the API opened it."""
        return 0.0 if self.opened_at is None else time.monotonic() - self.opened_at

    def note(self, message: DeviceResponded | ArgumentsChecked) -> None:
        """Note a fact that ssh has found out."""
        if isinstance(message, DeviceResponded):
            self.has_responded, self.is_direct = True, message.is_direct
        elif isinstance(message, ArgumentsChecked):
            self.checked.add(message.digest)

    def can_be_handed_out(self, client: AccountClient, *, to_plugin: bool) -> bool:
        """Return whether a request gets this connection, or the reason why it failed, and no new call is made.

        A failure is reported once to ``remoteit_connect``, and once to the connection plugin. An old one is not, and
        neither is that of a call through another HTTP proxy, unless a connection may be open.
        """
        is_old = time.monotonic() - self.failed_at > MAX_FAILURE_SECONDS
        if self._state is State.FAILED and (is_old or client is not self.client):
            return False
        if self.is_pending:
            return True
        if self._state is State.OPEN:
            return self._is_reachable
        if self._state in (State.FAILED, State.UNCONFIRMED, State.UNUSABLE):
            return not (self.failure_reported_to_plugin if to_plugin else self.outcome_reported)
        return False

    @property
    def _is_reachable(self) -> bool:
        """Whether the proxy is there: it has not refused, is not idle for too long, and does not expire soon."""
        idle_seconds = time.monotonic() - self.last_used
        if self.refuses or (not self.commands and idle_seconds > IDLE_SECONDS - IDLE_MARGIN_SECONDS):
            return False  # the vendor may have given its address to another connection
        soon = format_utc(utc_now() + datetime.timedelta(seconds=MIN_REMAINING_SECONDS))
        expires_at = self.connection.expires_at if self.connection is not None else None
        return expires_at is None or expires_at >= soon

    @property
    def is_expected_open(self) -> bool:
        """Whether the vendor has no reason to have closed it. Keepalive probes are not sent to a reverse proxy."""
        connection = self.connection
        return (
            not self.api_replaced_it
            and connection is not None
            and not connection.reverse_proxy
            and (connection.expires_at or "") > format_utc(utc_now())
        )

    @property
    def may_be_probed(self) -> bool:
        """Whether a TCP connection from this machine to its proxy does no harm, and shows whether it is there.

        A proxy that latches belongs to its first client. One that ssh reaches through a jump host may not be reachable
        from here.
        """
        proxy = self.connection.port_proxy if self.connection is not None else None
        if proxy is None:
            return False
        return self.is_direct is True or (self.is_direct is None and proxy.restriction in ("caller", "public"))
