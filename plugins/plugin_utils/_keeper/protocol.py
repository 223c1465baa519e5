# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Define the messages between the keeper and its clients, and translate them to lines of JSON and back.

A client sends one request. The keeper sends events until ``End`` or ``RequestFailed``. ``AcquireHost`` is a
conversation: the client sends more messages, and the lease ends when it closes the socket.

Messages are named tuples: every keeper imports this module, and thirty data classes would take 20 ms more.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectionRef, ConnectRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Device, DeviceFilter, Service
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError, from_failure
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recap import Recap

#: Increase it with every change of a message, or of a type that a message contains.
PROTOCOL_VERSION = 1
#: Much more than the largest message, the batch of a play with ten thousand hosts.
MAX_LINE_BYTES = 64 * 1024 * 1024


class KeeperError(RemoteItError):
    """The keeper of the run failed, not the API."""


class KeeperUnavailableError(KeeperError):
    """There is no keeper, or it was killed."""


class ProtocolVersionError(KeeperError):
    """The other process was started from another version of the collection."""

    def __init__(self, version: t.Any) -> None:
        super().__init__(
            "the keeper of this run and this task belong to different versions of the collection (protocol version"
            f" {version!r} instead of {PROTOCOL_VERSION}): do not update the collection during a run, and start the run"
            " again"
        )


class MalformedMessageError(KeeperError):
    """A line is not a message of this protocol."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"a message of the keeper cannot be read: {type(error).__name__}: {error}")


class HostRequest(t.NamedTuple):
    """An inventory host: its service by ID or by name, the address that may use its proxy, and its account."""

    host: str
    service: str | None
    target: ServiceName | None
    hostip: str | None
    account: Account

    @property
    def label(self) -> str:
        return self.service or str(self.target)


# -- requests ----------------------------------------------------------------------------------------------------------


class ConnectServices(t.NamedTuple):
    """Open services. Each connection is leased to its hosts, or without hosts to the task."""

    account: Account
    request: ConnectRequest
    hosts: dict[str, list[str]] | None


class DisconnectServices(t.NamedTuple):
    """End the task's lease of each connection."""

    account: Account
    refs: tuple[ConnectionRef, ...]


class ReleaseHosts(t.NamedTuple):
    """End the leases of inventory hosts."""

    accounts: tuple[Account, ...]
    hosts: tuple[str, ...]


class FindServices(t.NamedTuple):
    account: Account
    names: tuple[ServiceName, ...]


class ListDevices(t.NamedTuple):
    account: Account
    filter: DeviceFilter


class AcquireHost(t.NamedTuple):
    """Lease the connection of a host for one command.

    :ivar play: the ID of the play whose batch is opened ahead.
    :ivar max_unused: the number of connections that may be open before a task has used them.
    """

    host: HostRequest
    play: str | None
    max_unused: int


class RecordHostFailure(t.NamedTuple):
    """Record that a host failed with a message. The response is the first host that did."""

    message: str
    host: str


class GetControlPathDir(t.NamedTuple):
    host: str


class Finish(t.NamedTuple):
    """Close everything and exit."""


# -- what a client sends after ``AcquireHost`` -------------------------------------------------------------------------


class Batch(t.NamedTuple):
    """The hosts of a play's batch, after ``BatchWanted``."""

    hosts: tuple[HostRequest, ...]


class ReplaceConnection(t.NamedTuple):
    """ssh cannot connect to the proxy."""


class DeviceResponded(t.NamedTuple):
    """The device has responded over SSH."""

    is_direct: bool  # ssh connects to the proxy from this machine


class ArgumentsChecked(t.NamedTuple):
    """With this argument list ssh connects to the proxy."""

    digest: str


# -- events ------------------------------------------------------------------------------------------------------------


class ServiceConnected(t.NamedTuple):
    service: str
    connection: Connection


class ServiceNotConnected(t.NamedTuple):
    service: str
    error: RemoteItError


class ServiceDisconnected(t.NamedTuple):
    ref: ConnectionRef
    outcome: str


class ServiceNotDisconnected(t.NamedTuple):
    ref: ConnectionRef
    error: RemoteItError


class ServiceFound(t.NamedTuple):
    name: ServiceName
    service: Service


class ServiceNotFound(t.NamedTuple):
    name: ServiceName
    error: RemoteItError


class DeviceListed(t.NamedTuple):
    device: Device


class Warned(t.NamedTuple):
    text: str


class BatchWanted(t.NamedTuple):
    """The client is the first of its batch, and is to send ``Batch``."""


class HostAcquired(t.NamedTuple):
    """The connection of a host, and what other commands found out about it."""

    connection: Connection
    has_responded: bool
    checked: tuple[str, ...]
    age: float  # in seconds


class HostNotAcquired(t.NamedTuple):
    error: RemoteItError


class FirstFailedHost(t.NamedTuple):
    host: str


class ControlPathDir(t.NamedTuple):
    path: str | None


class Finished(t.NamedTuple):
    recap: Recap


class RequestFailed(t.NamedTuple):
    error: RemoteItError


class End(t.NamedTuple):
    """The request is complete."""


_MESSAGES: dict[str, type[t.Any]] = {
    message.__name__: message
    for message in (
        *(ConnectServices, DisconnectServices, ReleaseHosts, FindServices, ListDevices, AcquireHost),
        *(RecordHostFailure, GetControlPathDir, Finish, Batch, ReplaceConnection, DeviceResponded, ArgumentsChecked),
        *(ServiceConnected, ServiceNotConnected, ServiceDisconnected, ServiceNotDisconnected, ServiceFound),
        *(ServiceNotFound, DeviceListed, Warned, BatchWanted, HostAcquired, HostNotAcquired, FirstFailedHost),
        *(ControlPathDir, Finished, RequestFailed, End),
    )
}


# -- lines of JSON -----------------------------------------------------------------------------------------------------


def encode(message: t.Any) -> bytes:
    """Return a message as a line of JSON."""
    line = {"version": PROTOCOL_VERSION, "message": type(message).__name__, "fields": _to_plain(message)}
    return json.dumps(line).encode() + b"\n"


def decode(line: bytes) -> t.Any:
    """Return the message of a line.

    :raises ProtocolVersionError: the other process speaks another version of the protocol.
    :raises MalformedMessageError: it is not a message, for example because its sender was killed.
    """
    try:
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"it is longer than {MAX_LINE_BYTES} bytes")
        content = json.loads(line)
        version = content.get("version")
        if version == PROTOCOL_VERSION:
            return _from_plain(_MESSAGES[content["message"]], content["fields"])
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise MalformedMessageError(error) from error
    raise ProtocolVersionError(version)


def _to_plain(value: t.Any) -> t.Any:
    """Return a value in types that JSON has."""
    if isinstance(value, RemoteItError):
        return value.as_failure()
    if dataclasses.is_dataclass(value):
        return {field.name: _to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, frozenset)):
        return [_to_plain(item) for item in value]
    return value


#: The types of values that JSON has, and what is accepted for them.
_PLAIN: dict[t.Any, tuple[type[t.Any], ...]] = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}


def _from_plain(kind: t.Any, value: t.Any) -> t.Any:
    """Return a value of a type from its plain form."""
    if t.get_origin(kind) is not None:
        return _from_plain_generic(t.get_origin(kind), t.get_args(kind), value)
    if kind is RemoteItError:
        return from_failure(value)
    if kind is Connection:
        return Connection.from_result(value)
    if hasattr(kind, "__dataclass_fields__"):
        return kind(**{name: _from_plain(hint, value[name]) for name, hint in _fields_of(kind).items()})
    if hasattr(kind, "_fields"):
        return kind(*(_from_plain(hint, item) for hint, item in zip(_fields_of(kind).values(), value, strict=True)))
    if kind in _PLAIN and not isinstance(value, _PLAIN[kind]):
        raise TypeError(f"{type(value).__name__} instead of {kind.__name__}")
    return value


def _from_plain_generic(origin: t.Any, arguments: tuple[t.Any, ...], value: t.Any) -> t.Any:
    if origin in (t.Union, types.UnionType):  # X | None
        return None if value is None else _from_plain(arguments[0], value)
    if origin is dict:
        return {key: _from_plain(arguments[1], item) for key, item in value.items()}
    if origin is tuple and arguments[-1] is not Ellipsis:
        return tuple(_from_plain(kind, item) for kind, item in zip(arguments, value, strict=True))
    items = [_from_plain(arguments[0], item) for item in value]
    return items if origin is list else tuple(items)


@functools.cache
def _fields_of(kind: t.Any) -> dict[str, t.Any]:
    return t.get_type_hints(kind)
