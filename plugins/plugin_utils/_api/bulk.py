# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Open and close many connections with a bounded number of threads, for the keeper and for teardowns."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account, Api
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connect_outcome import outcome_of_error
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Device, DeviceFilter, Warn
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    ConnectOutcome,
    OtherServiceError,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import (
    FoundServices,
    ServiceName,
    find_services,
)

Item = t.TypeVar("Item")
Result = t.TypeVar("Result")

CLOSED = "closed"
ALREADY_CLOSED = "already_closed"
STILL_USED = "still_used"
#: The API does not know the connection with this login. Another login may have opened it.
NOT_KNOWN = "not_known"


@dataclasses.dataclass(frozen=True)
class ConnectRequest:
    """The services to open, and how to open them."""

    services: tuple[str, ...]
    hostip: str | None = None
    wait: bool = True
    reuse: bool = True
    detach: bool = False


ConnectResult = tuple[str, Connection | RemoteItError]
#: ``(service ID, connection ID)``
ConnectionRef = tuple[str, str]
#: The end of the message of a connect call that is unclear.
MAY_BE_OPEN = "a connection may be open; it expires 15 minutes after its last use"
#: The message of a disconnect call that the API believes to be unnecessary.
NOT_KNOWN_BUT_RESPONDS = "the API does not know this connection any more, but its proxy still responds"

#: A connection, and ``CLOSED``, ``ALREADY_CLOSED``, ``STILL_USED``, ``NOT_KNOWN`` or the error.
DisconnectResult = tuple[ConnectionRef, str | RemoteItError]


class ConnectionBackend(t.Protocol):
    """Find devices, open and close connections: in this process, or through the keeper of the run."""

    def connect_all(self, account: Account, request: ConnectRequest) -> t.Iterator[ConnectResult]:
        """Yield each service with its connection or the error, in the order of the responses."""

    def disconnect_all(self, account: Account, refs: t.Sequence[ConnectionRef]) -> t.Iterator[DisconnectResult]:
        """Yield each connection with its outcome."""

    def find_services(self, account: Account, names: t.Collection[ServiceName], warn: Warn) -> FoundServices:
        """Return the service of each name, or the error for it."""

    def list_devices(self, account: Account, wanted: DeviceFilter, warn: Warn) -> list[Device]:
        """Return the devices that match."""


class DirectBackend:
    """A backend that sends the requests from this process, with one login for each account."""

    def __init__(self) -> None:
        self._apis: dict[Account, Api] = {}

    def _api(self, account: Account) -> Api:
        if account not in self._apis:
            self._apis[account] = account.api()
        return self._apis[account]

    def connect_all(self, account: Account, request: ConnectRequest) -> t.Iterator[ConnectResult]:
        api = self._api(account)
        return map_concurrently(
            lambda service: connect_one(api, service, request), request.services, account.concurrency
        )

    def disconnect_all(self, account: Account, refs: t.Sequence[ConnectionRef]) -> t.Iterator[DisconnectResult]:
        api = self._api(account)
        return map_concurrently(lambda ref: disconnect_one(api, ref), refs, account.concurrency)

    def find_services(self, account: Account, names: t.Collection[ServiceName], warn: Warn) -> FoundServices:
        return find_services(self._api(account), names, warn)

    def list_devices(self, account: Account, wanted: DeviceFilter, warn: Warn) -> list[Device]:
        return list(self._api(account).devices(wanted, warn))


def connect_one(api: Api, service: str, request: ConnectRequest) -> Connection:
    """Open one connection. If its response cannot be used, close it before the error is raised.

    :raises RemoteItError: with its ``outcome``.
    """
    try:
        return api.connect(service, request.hostip, request.wait)
    except RemoteItError as error:
        failure = error
    failure.outcome = failure.outcome or outcome_of_error(failure)
    if failure.may_be_open:
        ending = MAY_BE_OPEN
    elif failure.connectionid is None:
        raise failure
    else:
        ending = _close_unusable(api, service, failure.connectionid, failure)
    raise failure.reworded(f"{failure.message}; {ending}")


def _close_unusable(api: Api, service: str, connectionid: str, failure: RemoteItError) -> str:
    """Close the connection of a response that cannot be used. Set the outcome, and return the end of the message."""
    try:
        is_closed = api.disconnect(service, connectionid)
    except RemoteItError as error:
        return f"the connection {connectionid} could not be closed: {error.message}"
    failure.connectionid = None
    failure.outcome = ConnectOutcome.UNCLEAR
    if not is_closed:
        return f"the API does not know the connection {connectionid} that it has returned; {MAY_BE_OPEN}"
    ending = f"the connection {connectionid} was closed again"
    if isinstance(failure, OtherServiceError):
        return f"{ending}; {MAY_BE_OPEN}"
    failure.outcome = ConnectOutcome.REFUSED
    return ending


def disconnect_one(api: Api, stop: ConnectionRef) -> str:
    """Close one connection, and return ``CLOSED`` or ``ALREADY_CLOSED``."""
    return CLOSED if api.disconnect(*stop) else ALREADY_CLOSED


def map_concurrently(
    func: t.Callable[[Item], Result], items: t.Iterable[Item], max_workers: int
) -> t.Iterator[tuple[Item, Result | RemoteItError]]:
    """Call ``func`` with each item, ``max_workers`` at a time, and yield each outcome as it completes."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=max_workers, thread_name_prefix="remoteit") as pool:
        futures = {pool.submit(func, item): item for item in items}
        for future in concurrent.futures.as_completed(futures):
            try:
                outcome: Result | RemoteItError = future.result()
            except Exception as error:
                outcome = to_remoteit_error(error)
            yield futures[future], outcome


def to_remoteit_error(error: Exception) -> RemoteItError:
    """Return any exception as an error of ours, so that it does not end the work on other items."""
    if isinstance(error, RemoteItError):
        return error
    return RemoteItError(
        f"unexpected error (please report it): {type(error).__name__}: {error}", outcome=ConnectOutcome.UNCLEAR
    )
