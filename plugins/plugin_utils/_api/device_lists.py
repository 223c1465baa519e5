# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Read devices, services and sessions from the responses of both APIs. Invalid entries are skipped with a warning."""

from __future__ import annotations

import collections
import contextlib
import datetime
import ipaddress
import re
import socket
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import SERVICE_ID, is_connection_id
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import (
    BULK_SERVICE,
    ApiSession,
    Device,
    Service,
    Warn,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import (
    describe,
    dict_or_empty,
    format_utc,
    truthy,
)

#: The deepest nesting of attributes. Deeper ones are dropped, because code that processes them is recursive.
MAX_DEPTH = 20
#: The part of a name that is searched for separators, because the search takes time for each of them.
MAX_NAME_LENGTH = 500
_PORT = re.compile(r"[0-9]{1,5}")
_UTC = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?Z")

#: The fields of a GraphQL query for devices. ``%s`` stands for the tags.
DEVICE_FIELDS = (
    "id name state online platform created lastReported attributes owner { email } %s"
    " endpoint { externalAddress internalAddress } services { id name state online enabled application title port }"
)
#: The fields of a device that select nothing, apart from its tags. Each of them can be missing.
OPTIONAL_FIELDS = ("platform", "created", "lastReported", "attributes", "owner", "endpoint")


def device_from_graphql(item: t.Any, warn: Warn) -> Device | None:
    """Read an item of ``devices.items``. Return ``None``, with a warning, if it has no valid ID."""
    if not isinstance(item, dict) or not _is_id(item.get("id")):
        warn(f"skipped a device without a valid ID: {_describe_item(item)}")
        return None
    endpoint = dict_or_empty(item.get("endpoint"))
    tags = [_text(dict_or_empty(tag).get("name")) for tag in _list(item.get("tags"))]
    attributes = dict_or_empty(item.get("attributes"))
    if exceeds_max_depth(attributes):
        warn(f"skipped the attributes of device {item['id']}, because they are nested too deeply")
        attributes = {}
    external_address, external_port = _split_address(endpoint.get("externalAddress"))
    return Device(
        id=item["id"],
        name=_text(item.get("name")),
        online=_is_online(item),
        state=_text(item.get("state")),
        tags=tuple([tag for tag in tags if tag]),
        platform=_number(item.get("platform")),
        attributes=attributes,
        created=_utc(item.get("created")),
        last_reported=_utc(item.get("lastReported")),
        owner=_text(dict_or_empty(item.get("owner")).get("email")),
        external_address=external_address,
        external_port=external_port,
        internal_address=_split_address(endpoint.get("internalAddress"))[0],
        services=_services_from_graphql(item, warn),
    )


def _services_from_graphql(item: dict[str, t.Any], warn: Warn) -> tuple[Service, ...]:
    """Read the services of a device, except for its Bulk service, which is the device itself."""
    services = []
    for entry in _list(item.get("services")):
        if isinstance(entry, dict) and entry.get("application") == BULK_SERVICE:
            continue
        service = _service_from_graphql(entry)
        if service is None:
            warn(f"skipped a service of device {item['id']} without a valid ID: {_describe_item(entry)}")
        else:
            services.append(service)
    return tuple(services)


def _service_from_graphql(entry: t.Any) -> Service | None:
    if not isinstance(entry, dict) or not _is_id(entry.get("id")):
        return None
    return Service(
        entry["id"],
        _text(entry.get("name")),
        _number(entry.get("application")),
        _text(entry.get("title")),
        _number(entry.get("port")),
        _is_online(entry),
        entry.get("enabled") is not False,
    )


def _is_online(item: dict[str, t.Any]) -> bool:
    """Return whether a device or service is online. Like the vendor's app, prefer ``state`` over ``online``."""
    state = item.get("state")
    return state in ("active", "connected") if isinstance(state, str) else truthy(item.get("online"))


def session_from_graphql(item: t.Any, account_id: t.Any, owner_id: t.Any = None) -> ApiSession:
    """Read a session. Missing and invalid fields become ``None``.

    :param account_id: the user ID of the account.
    :param owner_id: the user ID of the owner of the service. Its sessions may be ours: the API might list those of the
        members of an organization as sessions of the organization.
    """
    item = dict_or_empty(item)
    target, proxy = dict_or_empty(item.get("target")), dict_or_empty(item.get("endpoint")).get("proxy")
    return ApiSession(
        id=item["id"] if is_connection_id(item.get("id")) else None,
        service_id=target["id"] if _is_id(target.get("id")) else None,
        started=_utc(item.get("timestamp")),
        is_ours=_is_ours(item, account_id, owner_id),
        is_proxy=proxy if isinstance(proxy, bool) else None,
    )


def _is_ours(item: dict[str, t.Any], account_id: t.Any, owner_id: t.Any) -> bool | None:
    """Return whether a session is one of the account, or ``None`` if it may be."""
    user_id, own_id, other_id = (
        (_text(each) or "").lower() for each in (dict_or_empty(item.get("user")).get("id"), account_id, owner_id)
    )
    if not user_id or not own_id:
        return None
    if user_id == own_id:
        return True
    return None if other_id in ("", user_id) else False


class _RowKeys(t.NamedTuple):
    """The fields of a row that show which device it belongs to."""

    hardware_id: str | None
    place: tuple[str, ...]  # owner and addresses; empty if one is missing
    name: str

    @classmethod
    def of(cls, row: dict[str, t.Any]) -> _RowKeys:
        place = tuple(_text(row.get(key)) or "" for key in ("ownerusername", "devicelastip", "lastinternalip"))
        name = (_text(row.get("devicealias")) or "")[:MAX_NAME_LENGTH]
        return cls(_text(row.get("hardwareid")), place if all(place) else (), name)


class _RowIndex:
    """The devices of a REST list, to find that of a service."""

    def __init__(self, devices: t.Iterable[tuple[dict[str, t.Any], list[Service]]]) -> None:
        self._by_hardware: dict[str, list[list[Service]]] = collections.defaultdict(list)
        self._by_name: dict[tuple[str, ...], list[list[Service]]] = collections.defaultdict(list)
        for row, services in devices:
            keys = _RowKeys.of(row)
            if keys.hardware_id:
                self._by_hardware[keys.hardware_id].append(services)
            if keys.place and keys.name:
                self._by_name[(*keys.place, keys.name)].append(services)

    def services_of_device(self, row: dict[str, t.Any]) -> list[Service] | None:
        """Return the list of services of the device that a row belongs to, or ``None`` if it is not certain."""
        keys = _RowKeys.of(row)
        found: list[list[Service]] = []
        if keys.hardware_id:
            found = self._by_hardware.get(keys.hardware_id, [])
        elif keys.place:
            ends = [match.start() for match in re.finditer(r"[-_ ]", keys.name)]
            names = [(*keys.place, keys.name[:end]) for end in reversed(ends)]
            found = next((self._by_name[name] for name in names if name in self._by_name), [])
        return found[0] if len(found) == 1 else None


def devices_from_rest(rows: t.Any, warn: Warn) -> list[Device]:
    """Read the rows of ``/device/list/all``: https://docs.remote.it/api-reference/devices/list

    There is a row for each service, and one for the device, whose application is "Bulk Service". The vendor's page does
    not describe how to find the rows of one device. They are combined if they have the same ``hardwareid``, as rows of
    other calls do. Rows without one are combined if the owner, the external and the internal address are equal, and the
    name of the service begins with that of the device, as in the vendor's tools ("kiosk-1" and "kiosk-1-ssh"). The
    longest such name counts; if two devices have it, none does. A service without a device becomes a device.
    """
    devices: list[tuple[dict[str, t.Any], list[Service]]] = []
    services: list[tuple[dict[str, t.Any], Service]] = []
    for row in _list(rows):
        if not isinstance(row, dict) or not _is_id(row.get("deviceaddress")):
            warn(f"skipped a row without a valid deviceaddress: {_describe_item(row)}")
            continue
        service = _service_from_row(row)
        if service.application == BULK_SERVICE:
            devices.append((row, []))
        else:
            services.append((row, service))
    index = _RowIndex(devices)
    alone: list[tuple[dict[str, t.Any], list[Service]]] = []
    for row, service in services:
        found = index.services_of_device(row)
        if found is None:
            alone.append((row, [service]))
        else:
            found.append(service)
    return [_device_from_row(row, found) for row, found in (*devices, *alone)]


def _device_from_row(row: dict[str, t.Any], services: t.Iterable[Service]) -> Device:
    external_address, external_port = _split_address(row.get("devicelastip"))
    return Device(
        id=row["deviceaddress"],
        name=_text(row.get("devicealias")),
        online=_is_online({"state": row.get("devicestate")}),
        state=_text(row.get("devicestate")),
        tags=(),
        platform=None,
        attributes={},
        created=_utc(row.get("createdate")),
        last_reported=_utc(row.get("lastcontacted")),
        owner=_text(row.get("ownerusername")),
        external_address=external_address,
        external_port=external_port,
        internal_address=_split_address(row.get("lastinternalip"))[0],
        services=tuple(services),
    )


def _service_from_row(row: dict[str, t.Any]) -> Service:
    """Read a row as a service. Octets 1 and 2 of its device type are the application, 11 and 12 the port."""
    octets: list[int] = []
    devicetype = row.get("devicetype")
    if isinstance(devicetype, str) and re.fullmatch(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){11,15}", devicetype):
        octets = [int(octet, 16) for octet in devicetype.split(":")]
    title = _text(row.get("servicetitle"))
    application = octets[0] * 256 + octets[1] if octets else None
    return Service(
        id=row["deviceaddress"],
        name=_text(row.get("devicealias")),
        application=BULK_SERVICE if title == "Bulk Service" else application,
        title=title,
        port=octets[10] * 256 + octets[11] if octets else None,
        online=_is_online({"state": row.get("devicestate")}),
        enabled=True,
    )


def exceeds_max_depth(value: t.Any, depth: int = 0) -> bool:
    """Return whether a JSON value is nested deeper than ``MAX_DEPTH``."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth > MAX_DEPTH or any(
        exceeds_max_depth(item, depth + 1) for item in inner if isinstance(item, (dict, list))
    )


def _text(value: t.Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _split_address(value: t.Any) -> tuple[str | None, int | None]:
    """Return the IP address and the port of an endpoint. GraphQL sends a port, REST does not.

    Each is ``None`` if it is missing or invalid.
    """
    text = _text(value) or ""
    has_port = text.count(":") == 1 or "]:" in text
    address, port = text.rpartition(":")[::2] if has_port else (text, "")
    try:
        return _ip_address(address.strip("[]")), _port(port)
    except ValueError:
        return None, None


def _ip_address(text: str) -> str:
    """Return the address in its usual form.

    :raises ValueError: it is not an IP address.
    """
    with contextlib.suppress(OSError):  # most are IPv4 addresses, which ``ipaddress`` parses slowly
        socket.inet_pton(socket.AF_INET, text)
        return text
    return str(ipaddress.ip_address(text))


def _port(text: str) -> int | None:
    return int(text) if _PORT.fullmatch(text) and 1 <= int(text) <= 65535 else None


def _number(value: t.Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _list(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else []


def _is_id(value: t.Any) -> bool:
    return isinstance(value, str) and SERVICE_ID.fullmatch(value) is not None


def _utc(value: t.Any) -> str | None:
    """Return a time as ISO 8601 in UTC, to the second, or ``None`` if it cannot be parsed."""
    if not isinstance(value, str):
        return None
    match = _UTC.fullmatch(value)
    try:
        if match:  # the usual format, without the slow strptime
            datetime.datetime.fromisoformat(match.group(1))
            return f"{match.group(1)}Z"
        form = "%Y-%m-%dT%H:%M:%S.%f%z" if "." in value else "%Y-%m-%dT%H:%M:%S%z"
        return format_utc(datetime.datetime.strptime(value, form).astimezone(datetime.timezone.utc))
    except (ValueError, OverflowError):
        return None


def _describe_item(item: t.Any) -> str:
    """Return the name of an item that has no valid ID, or else a description of it."""
    return describe(item.get("name", item.get("devicealias")) if isinstance(item, dict) else item)
