# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The response bodies of the REST API, in all recorded forms."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connections import Connection
    from devices import Fleet, Service
    from settings import Settings


class ApiError(Exception):
    """An error response. ``code`` is nearly always the same (section 8)."""

    def __init__(self, status: int, reason: str, code: str = "GENERAL_ERROR") -> None:
        super().__init__(reason)
        self.status = status
        self.body = {"status": "false", "reason": reason, "code": code}


@dataclass
class ApiResponse:
    """A response body, and the values that the template of a fault can contain."""

    body: Any
    facts: dict[str, str] = field(default_factory=dict)


def encode(body: Any, settings: Settings) -> str:
    """Return JSON as PHP writes it: without blanks, and with escaped slashes (sections 1.5 and 10)."""
    text = json.dumps(body, separators=(",", ":"))
    return text.replace("/", "\\/") if settings.escaped_slashes else text


def connected(connection: Connection, life_left: float, wait: bool, settings: Settings) -> ApiResponse:
    """Return the response to a connect call (section 4.3), in the form that the settings select."""
    # The vendor's bodies contain a few seconds less than the maximum life.
    seconds = max(0, round(life_left) - 3)
    if connection.previous is not None or settings.body == "override":
        inner, top = _override_body(connection, seconds), True
    elif settings.body == "minimal":
        inner, top = _minimal_body(connection, seconds), False
    else:
        inner, top = _full_body(connection, seconds), True
    in_place = settings.connectionid or ("both" if top else "inner")
    if in_place in ("top", "absent"):
        del inner["connectionid"]
    if settings.nulls:
        inner.update({"url": [None], "streamscheme": [None], "streamuri": [None], "weburi": [None]})
    _shape_numbers(inner, settings.numbers)
    body: dict[str, Any] = {"status": "true", "connection": inner}
    if settings.body != "minimal":
        body["wait"] = wait
    if in_place in ("top", "both"):
        body["connectionid"] = connection.connectionid
    if settings.extra_keys:
        inner["futureKey"] = {"nested": [1, "two", None]}
        body["announcement"] = "unknown keys are normal"
    return ApiResponse(body, facts(connection))


def facts(connection: Connection) -> dict[str, str]:
    """Return the values that the template of a fault can contain."""
    return {
        "connectionid": connection.connectionid,
        "deviceaddress": connection.service.address,
        "host": connection.host,
        "port": str(connection.port),
        "proxy": connection.url,
    }


def _minimal_body(connection: Connection, seconds: int) -> dict[str, Any]:
    """Return the body that the vendor's documentation shows."""
    return {
        "deviceaddress": connection.service.address,
        "expirationsec": str(seconds),
        "proxy": connection.url,
        "connectionid": connection.connectionid,
    }


def _full_body(connection: Connection, seconds: int) -> dict[str, Any]:
    """Return the body as recorded in 2021. ``proxyserver`` and the ports of a reverse proxy are unusable, as then."""
    server, port = ("proxy1.localhost", 24292) if connection.reverse else (connection.host, connection.port)
    filtered = {"public": "none", "latching": "latching"}.get(connection.restriction, connection.hostip)
    return {
        "deviceaddress": connection.service.address,
        "status": "running",
        "requested": _eastern(connection.opened_at),
        "proxy": connection.url,
        "proxyserver": server,
        "proxyport": str(port),
        "expirationsec": str(seconds),
        "connectionid": connection.connectionid,
        "proxyServerPort": port,
        "proxyExpirationSec": seconds,
        "sessionID": secrets.token_hex(20).upper(),
        "initiator": connection.user.email,
        "targetUID": connection.service.address,
        "clientID": "WeavedRESTAPI6yThKw9",
        "filteredIP": filtered,
        "proxyURL": f"{connection.host}:{connection.port}",
        "reverseProxy": connection.reverse,
        "p2pConnected": True,
        "serviceConnected": True,
        "peerReqEP": f"{connection.caller}:62292",
        "peerEP": f"{connection.caller}:62292",
        "latchedIP": connection.latched or "0.0.0.0",
        "initiatorUID": "f0:0f:85:c8:7b:3f:a9:e9",
        "lifeLeft": 86400,
        "idleLeft": 900,
        "requestedAt": _iso(connection.opened_at),
    }


def _override_body(connection: Connection, seconds: int) -> dict[str, Any]:
    """Return the body as recorded in 2020 for a second connect. The inner ``status`` is a copy of the proxy."""
    body = {
        "connectionid": connection.connectionid,
        "deviceaddress": connection.service.address,
        "expirationsec": str(seconds),
        "imageintervalms": "1000",
        "proxy": connection.url,
        "proxyport": str(connection.port),
        "proxyserver": connection.host,
        "requested": _eastern(connection.opened_at),
        "status": connection.url,
        "streamscheme": [None],
        "streamuri": [None],
        "url": [None],
        "requestedAt": _iso(connection.opened_at),
    }
    if connection.previous is not None:
        body["connectionOverridden"] = "true"
        body["previousConnection"] = connection.previous.url
    return body


def _shape_numbers(inner: dict[str, Any], form: str) -> None:
    for key in ("expirationsec", "proxyport", "proxyServerPort", "proxyExpirationSec"):
        if key in inner and form != "mixed":
            inner[key] = str(inner[key]) if form == "strings" else int(inner[key])


def stopped(connection: Connection) -> ApiResponse:
    return ApiResponse({"status": "true", "connectionid": connection.connectionid})


def listed(fleet: Fleet, owner: str, since: float) -> ApiResponse:
    """Return the response of ``device/list/all``: all services, with the device as its Bulk service (section 6.1)."""
    rows = [_row(service, owner, _iso(since)) for service in fleet.services()]
    return ApiResponse({"devices": rows, "status": "true", "cache_expires": 2, "length": len(rows), "cached": "false"})


def found(fleet: Fleet, owner: str, since: float, name: str, state: str) -> ApiResponse:
    """Return the response of ``device/find/by/name``. Services of one device have the same hardware ID."""
    services = [
        service
        for service in fleet.services()
        if str(service.reported("name")).startswith(name) and state in ("all", service.state)
    ]
    rows = [{**_row(each, owner, _iso(since)), "hardwareid": _hardware(each)} for each in services]
    return ApiResponse({"devices": rows, "status": "true", "length": len(rows)})


def metadata(fleet: Fleet, owner: str) -> ApiResponse:
    """Return the response of ``device/metadata/list/me`` (section 6.1)."""
    rows = [
        {
            "deviceaddress": service.address,
            "devicealias": service.reported("name"),
            "hardwareid": _hardware(service),
            "ownerusername": owner,
            "servicetitle": service.reported("title"),
        }
        for service in fleet.services()
    ]
    return ApiResponse({"metadata": rows, "status": "true", "length": len(rows)})


def _hardware(service: Service) -> str:
    return f"HW-{service.device.prefix[-3:-1]}-{service.device.number:06}"


def _row(service: Service, owner: str, since: str) -> dict[str, Any]:
    return {
        "createdate": "2018-03-29T04:19:02.19-04:00",
        "deviceaddress": service.address,
        "devicealias": service.reported("name"),
        "devicelastip": "203.0.113.49",
        "devicestate": service.state,
        "devicetype": service.devicetype,
        "georegion": "Asia",
        "lastcontacted": since,
        "lastinternalip": "10.61.12.80",
        "ownerusername": owner,
        "servicetitle": service.reported("title"),
        "shared": "not-shared",
        "webenabled": "1",
        "weburi": [None],
        "localurl": base64.b64encode(f"10.61.12.80:{service.port}".encode()).decode(),
        "webviewerurl": [None],
        "scripting": False,
    }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(int(moment), timezone.utc).isoformat()


def _eastern(moment: float) -> str:
    """Return a time such as ``1/15/2021T6:20 PM``. Daylight saving time is ignored."""
    local = datetime.fromtimestamp(moment, timezone(timedelta(hours=-5)))
    return f"{local.month}/{local.day}/{local.year}T{local.hour % 12 or 12}:{local:%M %p}"
