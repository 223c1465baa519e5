# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts, devices, services and sessions as dictionaries of GraphQL fields.

A value that is a function is a field with arguments. The number of a device determines its values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from accounts import User
from connections import Connection
from devices import Device, Fleet, Service
from state import SimulatorState

GraphQLObject = dict[str, Any]
Item = TypeVar("Item")

MAX_PAGE_SIZE = 1000
"""The limit of devices per page, for any requested size (section 6.2)."""

FORMER_ORGANIZATION = {"id": "0b9f4e1c-6c2e-4d57-8d2a-5f1b7c3a9e04", "name": "Former Customer"}
"""An organization that the account has left. Its own account is null."""

NO_FLEET = Fleet(0, 0, Path(), "")
"""The devices of other users."""

CUSTOM_ROLE = {"id": "7d0f4c1e-9a53-4b0e-8a3c-2f6f0a1b5d11", "name": "Maintenance"}
PERMISSIONS = ["VIEW", "CONNECT", "SCRIPTING", "MANAGE", "ADMIN"]
FIRST_CREATED = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()
CITIES = (
    ("Berlin", "Land Berlin", "Germany", 52.52, 13.41),
    ("Portland", "Oregon", "United States", 45.52, -122.68),
    ("Osaka", "Osaka", "Japan", 34.69, 135.5),
)

APPLICATIONS = [
    {"id": number, "name": name, "description": name, "port": port, "proxy": proxy, "scheme": scheme, "protocol": "TCP"}
    for number, name, port, proxy, scheme in (
        (1, "TCP", None, False, None),
        (4, "VNC", 5900, False, "vnc"),
        (5, "RDP", 3389, False, "rdp"),
        (7, "HTTP", 80, True, "http"),
        (8, "HTTPS", 443, True, "https"),
        (28, "SSH", 22, False, "ssh"),
        (29, "Generic TCP", None, False, None),
        (30, "Basic Web", 80, False, "http"),
        (33, "Secure Web", 443, False, "https"),
        (34, "Samba", 445, False, "smb"),
        (35, "Bulk Service", 65535, False, None),
        (44, "Redis", 6379, False, "redis"),
        (45, "MySQL", 3306, False, "mysql"),
        (46, "PostgreSQL", 5432, False, "postgresql"),
    )
]


def iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Resolvers:
    """The fields of all objects. Those of a device are cached until a test changes the device."""

    def __init__(self, state: SimulatorState) -> None:
        self._state = state
        self._known: dict[Device, tuple[int, GraphQLObject]] = {}
        for device in state.fleet.devices:
            self.device(device, state.account.user)

    def login(self) -> GraphQLObject:
        """Return the client's account, from which all other objects can be reached."""
        return {
            **self._account(self._state.account.user, self._state.fleet),
            "membership": self._membership(),
            "account": self._other_account,
            "service": self._service_of_any_account,
            "sessions": lambda: self.sessions(self._is_listed),
        }

    def _is_listed(self, connection: Connection) -> bool:
        """Return whether ``login.sessions`` contains a connection."""
        if self._state.fleet.owns(connection.service):
            return True
        return self._state.settings.account_sessions == "all" and connection.user == self._state.account.user

    def _user(self, user: User) -> GraphQLObject:
        """Return any user. Only the client's account and the organization have devices."""
        organization = self._state.organization
        fleets = {self._state.account.user: self._state.fleet, organization.user: organization.fleet}
        return self._account(user, fleets.get(user, NO_FLEET))

    def _account(self, user: User, fleet: Fleet) -> GraphQLObject:
        return {
            **user.row(),
            "devices": lambda **wanted: self._page(user, fleet, **wanted),
            "device": lambda id: [self.device(d, user) for d in _deduplicated(s.device for s in _services(fleet, id))],
            "service": lambda id: [self._service(service, user) for service in _deduplicated(_services(fleet, id))],
            "sessions": lambda: self.sessions(lambda c: fleet.owns(c.service)),
            "membership": [],
            "account": lambda id=None, email=None: None,
            "applicationTypes": APPLICATIONS,
        }

    def _membership(self) -> list[GraphQLObject]:
        organization = self._state.organization
        account = {"id": organization.id, "name": organization.name, "account": self._user(organization.user)}
        former = {**FORMER_ORGANIZATION, "account": self._user(User.from_email("former@example.com"))}
        return [{"role": "ADMIN", "customRole": CUSTOM_ROLE, "organization": each} for each in (account, former)]

    def _service_of_any_account(self, id: list[str]) -> list[GraphQLObject]:
        """Return the services of these IDs, including those of the organization (section 10)."""
        organization = self._state.organization
        own = [
            self._service(each, self._state.account.user) for each in _deduplicated(_services(self._state.fleet, id))
        ]
        others = [self._service(each, organization.user) for each in _deduplicated(_services(organization.fleet, id))]
        return own + others

    def _other_account(self, id: str | None = None, email: str | None = None) -> GraphQLObject | None:
        """Return the account of the organization or of the client. Other accounts are null."""
        user = self._state.organization.user
        if id is None and email is None:
            return self.login()  # the vendor's clients send this query (section 10)
        if (id or email) and id in (None, user.id) and email in (None, user.email):
            return self._account(user, self._state.organization.fleet)
        return self.login() if id == self._state.account.user.id else None

    def _page(
        self,
        user: User,
        fleet: Fleet,
        sort: str,
        size: int | None = None,
        application: list[int] | None = None,
        **wanted: Any,
    ) -> GraphQLObject:
        """Return a page of ``devices`` (section 6.2)."""
        settings = self._state.settings
        if wanted.get("id"):
            wanted["id"] = {each.upper() for each in wanted["id"]}
        filters = [(FILTERS[name], value) for name, value in wanted.items() if name in FILTERS and value is not None]
        rows = [self.device(device, user) for device in fleet.present()]
        for fits, value in filters:
            rows = [row for row in rows if fits(row, value)]
        if application is not None:
            rows = [row for whole in rows if (row := _with_applications(whole, application))["services"]]
        for field in reversed(sort.split(",")):
            name = field.strip().lstrip("-")
            rows.sort(key=lambda row, name=name: _sort_key(row.get(name)), reverse=field.strip().startswith("-"))
        begin = max(0, wanted.get("from") or 0)
        end = begin + max(0, min(100 if size is None else size, MAX_PAGE_SIZE))
        page = rows[begin:end]
        if end < len(rows) and settings.vanishing_devices:
            page[0]["_device"].gone = True
        items = page if settings.bulk_in_services else [_without_bulk_service(row) for row in page]
        last = items[-1]["id"] if items else None
        return {"items": items, "hasMore": end < len(rows), "last": last, "total": len(rows)}

    def device(self, device: Device, user: User) -> GraphQLObject:
        """Return the fields of a device of this user, with the values that a test has set."""
        known = self._known.get(device)
        if known is None or known[0] != device.revision:
            known = self._known[device] = (device.revision, self._make_device(device, user))
        return known[1]

    def _make_device(self, device: Device, user: User) -> GraphQLObject:
        number = device.number
        common = _common_fields(device, self._user(user))
        row = {
            **common,
            **_service_fields(device.services[0]),
            "tags": _tags(device),
            "hardwareId": f"HW-{device.prefix[-3:-1]}-{number:06}",
            "platform": (1200, 1207, 1085)[number % 3],
            "manufacturer": 1024,
            "version": ("4.17.5", "5.1.2", "5.2.0")[number % 3],
            "presenceAddress": None,
            "sessions": lambda: self.sessions(lambda connection: connection.device is device),
            "timeout": 30,
            "ttl": 300,
            "configurable": True,
            "upgradeable": number % 3 == 0,
            "statusA": "ready" if number % 2 else "needs attention",
            "categoryA": str(number % 5),
        }
        row["_device"] = device
        itself, *others = device.services  # other clients assume that the first one is SSH (section 10)
        row["services"] = [self._make_service(service, row, common, user) for service in (*others, itself)]
        return self._apply_overrides(row, device.fields, user)

    def _service(self, service: Service, user: User) -> GraphQLObject:
        row = self.device(service.device, user)
        for known in _objects(row["services"]):
            if known.get("id") == service.address:
                return known
        return self._make_service(service, row, _common_fields(service.device, self._user(user)), user)

    def _make_service(
        self, service: Service, device: GraphQLObject, common: GraphQLObject, user: User
    ) -> GraphQLObject:
        row = {
            **common,
            **_service_fields(service),
            "tags": [],
            "host": "127.0.0.1",
            "subdomain": None,
            "device": device,
            "sessions": lambda: self.sessions(lambda connection: connection.service is service),
        }
        return self._apply_overrides(row, service.fields, user)

    def _apply_overrides(self, row: GraphQLObject, fields: GraphQLObject, user: User) -> GraphQLObject:
        """Apply the values that a test has set. Tags belong to an account: ``accountId`` selects the organization's."""
        row.update(fields)
        tags, attributes = row["tags"], row["attributes"]
        mine = self._state.account.user.id
        row["_tags"], row["_mine"] = tags, isinstance(row["owner"], dict) and row["owner"].get("id") == user.id
        row["tags"] = lambda accountId=None: tags if (accountId or mine) == user.id else []
        row["attribute"] = lambda name: attributes.get(name) if isinstance(attributes, dict) else None
        return row

    def sessions(self, wanted: Callable[[Connection], bool]) -> list[GraphQLObject]:
        return [self.session(each) for each in self._state.connections.all_open() if wanted(each)]

    def session(self, connection: Connection) -> GraphQLObject:
        """Return an open connection as a session. Since 2022, it has the same ID (section 6.4)."""
        other = hashlib.sha1(connection.connectionid.encode(), usedforsecurity=False).hexdigest().upper()
        moment = iso(connection.opened_at)
        owner = self._state.account.user
        if self._state.organization.fleet.owns(connection.service):
            owner = self._state.organization.user
        return {
            "id": connection.connectionid if self._state.settings.session_ids_match else other,
            "timestamp": moment,
            "state": "connected",
            "connected": True,
            "encryption": "AES",
            "source": "EXTERNAL",
            "address": connection.caller,
            "user": self._user(connection.user),
            "target": self._service(connection.service, owner),
            "endpoint": {
                "proxy": True,
                "externalAddress": connection.latched or connection.caller,
                "platform": 0,
                "manufacturer": 256,
                "timestamp": moment,
                "geo": None,
            },
        }


def _common_fields(device: Device, owner: GraphQLObject) -> GraphQLObject:
    """Return the fields that a device and its services share."""
    number = device.number
    city, state, country, latitude, longitude = CITIES[number % len(CITIES)]
    return {
        "enabled": True,
        "protocol": "TCP",
        "created": iso(FIRST_CREATED + number * 60),
        "lastReported": iso(FIRST_CREATED + (200 if device.state == "active" else 100) * 86400 + number),
        "license": {3: "NON_COMMERCIAL", 7: "UNLICENSED"}.get(number % 10, "LICENSED"),
        "permissions": PERMISSIONS,
        "can": lambda permission: permission in PERMISSIONS,
        "owner": owner,
        "access": [],
        "attributes": {"room": f"room {number % 10}", "rack": number % 40, "$remoteit": {"color": number % 7}},
        "endpoint": {
            "externalAddress": f"203.0.113.{number % 250 + 1}:{53000 + number % 10000}",
            "internalAddress": f"10.61.{number // 250 % 250}.{number % 250 + 1}",
            "quality": "GOOD",
            "geo": {
                "city": city,
                "stateName": state,
                "countryName": country,
                "latitude": latitude,
                "longitude": longitude,
            },
        },
    }


def _service_fields(service: Service) -> GraphQLObject:
    """Return the fields of one service. A device is its own Bulk service."""
    return {
        "id": service.address,
        "name": service.reported("name"),
        "state": service.state,
        "online": service.state == "active",
        "type": service.devicetype,
        "title": service.title,
        "application": service.application,
        "port": service.port,
    }


def _tags(device: Device) -> list[GraphQLObject]:
    """Return the tag of one of two sites, and for every third device ``kiosk``. Every tenth device has no tags."""
    number = device.number
    names = ["site-a" if number % 2 else "site-b"] + ["kiosk"] * (number % 3 == 1)
    return [
        {"name": name, "color": index, "created": iso(FIRST_CREATED)}
        for index, name in enumerate(names if number % 10 else [])
    ]


def _objects(value: Any) -> list[GraphQLObject]:
    """Return the objects of a list. A test can have set any other value."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _has_tag(row: GraphQLObject, wanted: GraphQLObject) -> bool:
    names = [tag.get("name") for tag in _objects(row["_tags"])]
    enough = all if wanted["operator"] == "ALL" else any
    return enough(value in names for value in wanted["values"])


def _has_name(row: GraphQLObject, part: str) -> bool:
    return part.lower() in str(row["name"] or "").lower()


FILTERS: dict[str, Callable[[GraphQLObject, Any], bool]] = {
    "name": _has_name,
    "tag": _has_tag,
    "id": lambda row, ids: row["id"] in ids,
    "platform": lambda row, platforms: row["platform"] in platforms,
    "state": lambda row, state: row["state"] == state,
    "hardwareId": lambda row, hardware: row["hardwareId"] == hardware,
    "owner": lambda row, mine: row["_mine"] == mine,
}
"""The filters of ``devices``, except ``application``, which filters services as well."""


def _with_applications(row: GraphQLObject, applications: list[int]) -> GraphQLObject:
    """Return the device with only the services of these applications."""
    return {**row, "services": [each for each in _objects(row["services"]) if each.get("application") in applications]}


def _without_bulk_service(row: GraphQLObject) -> GraphQLObject:
    if not isinstance(row["services"], list):
        return row
    return {**row, "services": [each for each in _objects(row["services"]) if each.get("id") != row["id"]]}


def _services(fleet: Fleet, ids: list[str]) -> list[Service]:
    return [service for service in map(fleet.service, ids) if service is not None]


def _deduplicated(things: Iterable[Item]) -> list[Item]:
    return list(dict.fromkeys(things))


def _sort_key(value: Any) -> tuple[bool, bool, Any]:
    """Return a key that sorts numbers before text in any case, and null last."""
    if isinstance(value, (int, float)):
        return False, False, value
    return value is None, True, str(value).lower()
