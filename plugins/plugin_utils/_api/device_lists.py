# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Read devices, services and sessions from the responses of both APIs, so that no oddity of one loses the others."""

from __future__ import annotations

import collections
import datetime
import re
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

MAX_DEPTH = 20
#: Each separator in a name is looked at, so that a name of nothing else takes time.
MAX_NAME_LENGTH = 500
_UTC = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?Z")

#: The fields of a GraphQL query for devices. ``%s`` stands for the tags.
DEVICE_FIELDS = (
    "id name state online platform created lastReported attributes owner { email } %s"
    " endpoint { externalAddress internalAddress } services { id name state online enabled application title port }"
)


def device_from_graphql(item: t.Any, warn: Warn) -> Device | None:
    """Read one of C(devices.items); none, with a warning, if nothing can be done with it."""
    if not isinstance(item, dict) or not _is_id(item.get("id")):
        warn(f"a device is passed over, because it has no usable id: {_describe_item(item)}")
        return None
    services = []
    for entry in _list(item.get("services")):
        if isinstance(entry, dict) and entry.get("application") == BULK_SERVICE:
            continue  # every device has one
        service = _service_from_graphql(entry)
        if service is None:
            warn(
                f"a service of device {item['id']} is passed over, because it has no usable id: {_describe_item(entry)}"
            )
        elif service.application != BULK_SERVICE:
            services.append(service)
    endpoint = dict_or_empty(item.get("endpoint"))
    tags = [_text(dict_or_empty(tag).get("name")) for tag in _list(item.get("tags"))]
    attributes = dict_or_empty(item.get("attributes"))
    if exceeds_max_depth(attributes):
        warn(f"the attributes of device {item['id']} are passed over, because they are nested too deep")
        attributes = {}
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
        external_address=_text(endpoint.get("externalAddress")),
        internal_address=_text(endpoint.get("internalAddress")),
        services=tuple(services),
    )


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
    """The vendor's own app goes by the state; C(online) stands in for a missing one."""
    state = item.get("state")
    return state in ("active", "connected") if isinstance(state, str) else truthy(item.get("online"))


def session_from_graphql(item: t.Any, account_id: t.Any) -> ApiSession:
    """Read one of C(sessions). What it does not tell is none: it may be anybody's."""
    item = dict_or_empty(item)
    target, proxy = dict_or_empty(item.get("target")), dict_or_empty(item.get("endpoint")).get("proxy")
    user_id, mine = _text(dict_or_empty(item.get("user")).get("id")), _text(account_id)
    return ApiSession(
        id=item["id"] if is_connection_id(item.get("id")) else None,
        service_id=target["id"] if _is_id(target.get("id")) else None,
        started=_utc(item.get("timestamp")),
        is_ours=user_id == mine if user_id and mine else None,
        is_proxy=proxy if isinstance(proxy, bool) else None,
    )


def devices_from_rest(rows: t.Any, warn: Warn) -> list[Device]:
    """Read the rows of C(/device/list/all): U(https://docs.remote.it/api-reference/devices/list)

    There is a row for each service, and one for the device, whose application is "Bulk Service"; the vendor's page
    names nothing that tells which belong together. They are put together when both carry the same C(hardwareid), as
    other calls' rows do. Where a row has none, four things together have to say so: the same owner, the same external
    and the same internal address, and a name that begins with the device's, as the vendor's own tools name services
    ("kiosk-1" and "kiosk-1-ssh"; the longest such name counts, and two devices of one name count for nothing).
    A service that is not put to a device so stands alone, as a device of its own id and name.
    """
    devices: list[tuple[dict[str, t.Any], list[Service]]] = []
    services: list[tuple[dict[str, t.Any], Service]] = []
    for row in _list(rows):
        if not isinstance(row, dict) or not _is_id(row.get("deviceaddress")):
            warn(f"a row is passed over, because it has no usable deviceaddress: {_describe_item(row)}")
            continue
        service = _service_from_row(row)
        if service.application == BULK_SERVICE:
            devices.append((row, []))
        else:
            services.append((row, service))

    by_hardware: dict[str, list[list[Service]]] = collections.defaultdict(list)
    by_name: dict[tuple[str, ...], list[list[Service]]] = collections.defaultdict(list)
    for row, own in devices:
        hardware, place, name = _match_keys(row)
        if hardware:
            by_hardware[hardware].append(own)
        if place and name:
            by_name[(*place, name)].append(own)

    alone: list[tuple[dict[str, t.Any], list[Service]]] = []
    for row, service in services:
        hardware, place, name = _match_keys(row)
        found: list[list[Service]] = []
        if hardware:
            found = by_hardware.get(hardware, [])
        elif place:
            ends = [match.start() for match in re.finditer(r"[-_ ]", name)]
            found = next((by_name[key] for end in ends[::-1] for key in [(*place, name[:end])] if key in by_name), [])
        if len(found) == 1:
            found[0].append(service)
        else:
            alone.append((row, [service]))
    return [_device_from_row(row, own) for row, own in (*devices, *alone)]


def _match_keys(row: dict[str, t.Any]) -> tuple[str | None, tuple[str, ...], str]:
    """What tells whose row it is: C((hardware id, owner and addresses, name))."""
    place = tuple(_text(row.get(key)) or "" for key in ("ownerusername", "devicelastip", "lastinternalip"))
    return (
        _text(row.get("hardwareid")),
        place if all(place) else (),
        (_text(row.get("devicealias")) or "")[:MAX_NAME_LENGTH],
    )


def _device_from_row(row: dict[str, t.Any], services: t.Iterable[Service]) -> Device:
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
        external_address=_text(row.get("devicelastip")),
        internal_address=_text(row.get("lastinternalip")),
        services=tuple(services),
    )


def _service_from_row(row: dict[str, t.Any]) -> Service:
    """Octets 1 and 2 of the device type are the application, 11 and 12 the port."""
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
    """Whether it is nested more than anybody could mean; what it gets handed to recurses."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth > MAX_DEPTH or any(
        exceeds_max_depth(item, depth + 1) for item in inner if isinstance(item, (dict, list))
    )


def _text(value: t.Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: t.Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _list(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else []


def _is_id(value: t.Any) -> bool:
    return isinstance(value, str) and SERVICE_ID.fullmatch(value) is not None


def _utc(value: t.Any) -> str | None:
    """A moment as ISO 8601 in UTC, to the second."""
    if not isinstance(value, str):
        return None
    match = _UTC.fullmatch(value)
    try:
        if match:  # as nearly always, and much quicker
            datetime.datetime.fromisoformat(match.group(1))
            return f"{match.group(1)}Z"
        form = "%Y-%m-%dT%H:%M:%S.%f%z" if "." in value else "%Y-%m-%dT%H:%M:%S%z"
        return format_utc(datetime.datetime.strptime(value, form).astimezone(datetime.timezone.utc))
    except (ValueError, OverflowError):
        return None


def _describe_item(item: t.Any) -> str:
    """What it is instead, in a few words."""
    return describe(item.get("name", item.get("devicealias")) if isinstance(item, dict) else item)
