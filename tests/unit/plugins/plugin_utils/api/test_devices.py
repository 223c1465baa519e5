# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices, services and sessions of both APIs, with all invalid values that must not lose the other devices."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.device_lists import (
    device_from_graphql,
    devices_from_rest,
    session_from_graphql,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import (
    APPLICATIONS,
    ApiSession,
    Device,
    DeviceFilter,
    Service,
    application_id,
    application_name,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import (
    ID,
    SERVICE,
    SERVICES,
    SESSION,
    rest_row,
)

DEVICE_ID, SSH_ID, WEB_ID = SERVICES[:3]

BULK = {"id": DEVICE_ID, "name": "kiosk-1", "application": 35, "port": 65535, "state": "active", "enabled": True}
SSH = {"id": SSH_ID, "name": "ssh", "application": 28, "title": "SSH", "port": 22, "state": "active", "enabled": True}
WEB = {**SSH, "id": WEB_ID, "name": "web", "application": 7, "title": "HTTP", "port": 80}
WEB |= {"state": "inactive", "enabled": False}
DEVICE = {
    "id": DEVICE_ID,
    "name": "kiosk-1",
    "state": "active",
    "online": True,
    "platform": 1200,
    "created": "2020-01-01T01:20:00.123Z",
    "lastReported": "2026-01-15T18:20:00-05:00",
    "attributes": {"rack": "7", "$remoteit": {"color": 3}},
    "owner": {"email": "someone@example.com"},
    "tags": [{"name": "lobby"}, {"name": "west"}],
    "endpoint": {"externalAddress": "203.0.113.7:53190", "internalAddress": "10.0.0.7"},
    "services": [BULK, SSH, WEB],
}


def read(**changes: t.Any) -> tuple[Device | None, list[str]]:
    """Return the device that the API describes, and the warnings."""
    warnings: list[str] = []
    return device_from_graphql({**DEVICE, **changes}, warnings.append), warnings


def device(**changes: t.Any) -> Device:
    found, warnings = read(**changes)
    assert found is not None
    assert warnings == []
    return found


# -- GraphQL -----------------------------------------------------------------------------------------------------------


def test_device_from_graphql_reads_all_fields() -> None:
    assert device() == Device(
        id=DEVICE_ID,
        name="kiosk-1",
        online=True,
        state="active",
        tags=("lobby", "west"),
        platform=1200,
        attributes={"rack": "7", "$remoteit": {"color": 3}},
        created="2020-01-01T01:20:00Z",
        last_reported="2026-01-15T23:20:00Z",
        owner="someone@example.com",
        external_address="203.0.113.7",
        external_port=53190,
        internal_address="10.0.0.7",
        services=(
            Service(SSH_ID, "ssh", 28, "SSH", 22, True, True),
            Service(WEB_ID, "web", 7, "HTTP", 80, False, False),
        ),
    )


def test_device_as_result_is_json() -> None:
    result = device().as_result()
    assert json.loads(json.dumps(result)) == result
    assert result["services"][0]["name"] == "ssh"
    assert result["tags"] == ["lobby", "west"]


@pytest.mark.parametrize(
    "item", [None, 7, "x", [], {}, {**DEVICE, "id": None}, {**DEVICE, "id": "-oX"}, {**DEVICE, "id": [DEVICE_ID]}]
)
def test_device_from_graphql_skips_device_without_id(item: t.Any) -> None:
    warnings: list[str] = []
    assert device_from_graphql(item, warnings.append) is None
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": None}, {"name": None}),
        ({"name": ""}, {"name": None}),
        ({"name": 7}, {"name": None}),
        ({"name": "{{ lookup('pipe', 'id') }}"}, {"name": "{{ lookup('pipe', 'id') }}"}),
        ({"services": None}, {"services": ()}),
        ({"services": "x"}, {"services": ()}),
        (
            {"services": [{**SSH, "application": 4711}]},
            {"services": (Service(SSH_ID, "ssh", 4711, "SSH", 22, True, True),)},
        ),
        (
            {"services": [{"id": SSH_ID, "name": None, "application": "x", "port": {}, "title": 3, "enabled": None}]},
            {"services": (Service(SSH_ID, None, None, None, None, False, True),)},
        ),
        ({"state": "hibernating"}, {"state": "hibernating", "online": False}),
        ({"state": None}, {"state": None, "online": True}),
        ({"state": None, "online": None}, {"online": False}),
        ({"state": {"a": 1}, "online": False}, {"state": None, "online": False}),
        ({"tags": None}, {"tags": ()}),
        ({"tags": [None, {"name": None}, {}, "x", {"name": "a"}]}, {"tags": ("a",)}),
        ({"platform": True}, {"platform": None}),
        ({"owner": None}, {"owner": None}),
        ({"owner": "x"}, {"owner": None}),
        ({"endpoint": None}, {"external_address": None, "external_port": None, "internal_address": None}),
        ({"endpoint": {"externalAddress": "203.0.113.7"}}, {"external_address": "203.0.113.7", "external_port": None}),
        (
            {"endpoint": {"externalAddress": "[2001:db8::7]:443"}},
            {"external_address": "2001:db8::7", "external_port": 443},
        ),
        ({"endpoint": {"externalAddress": "2001:db8::7"}}, {"external_address": "2001:db8::7", "external_port": None}),
        (
            {"endpoint": {"externalAddress": "[2001:db8::7]"}},
            {"external_address": "2001:db8::7", "external_port": None},
        ),
        (
            {"endpoint": {"externalAddress": "203.0.113.7:65536"}},
            {"external_address": "203.0.113.7", "external_port": None},
        ),
        (
            {"endpoint": {"externalAddress": "203.0.113.7:0"}},
            {"external_address": "203.0.113.7", "external_port": None},
        ),
        (
            {"endpoint": {"externalAddress": "[fe80::1%eth0]:5"}},
            {"external_address": "fe80::1%eth0", "external_port": 5},
        ),
        ({"endpoint": {"externalAddress": "somewhere:80"}}, {"external_address": None, "external_port": None}),
        ({"endpoint": {"externalAddress": ["a"]}}, {"external_address": None, "external_port": None}),
        ({"endpoint": {"internalAddress": "10.0.0.7:22"}}, {"internal_address": "10.0.0.7"}),
        ({"attributes": None}, {"attributes": {}}),
        ({"attributes": [1]}, {"attributes": {}}),
        ({"created": "yesterday"}, {"created": None}),
        ({"created": "9999-99-99T99:99:99Z"}, {"created": None}),
        ({"created": 1587257611}, {"created": None}),
        ({"created": "0001-01-01T00:00:00+23:59"}, {"created": None}),
        ({"created": "2020-01-01T01:20:00.5+02:00"}, {"created": "2019-12-31T23:20:00Z"}),
    ],
)
def test_device_from_graphql_replaces_invalid_values(changes: dict[str, t.Any], expected: dict[str, t.Any]) -> None:
    found = device(**changes)
    assert {name: getattr(found, name) for name in expected} == expected
    json.dumps(found.as_result(), allow_nan=False).encode()
    str(found).encode()


def test_device_from_graphql_drops_deeply_nested_attributes() -> None:
    deep: dict[str, t.Any] = {}
    for _unused in range(500):
        deep = {"deeper": [deep]}
    found, warnings = read(attributes=deep)
    assert found is not None
    assert found.attributes == {}
    assert len(warnings) == 1
    assert device(attributes={"a": {"b": [{"c": 1}]}}).attributes == {"a": {"b": [{"c": 1}]}}


@pytest.mark.parametrize("entry", [None, 7, {}, {**SSH, "id": "x"}])
def test_device_from_graphql_skips_service_without_id(entry: t.Any) -> None:
    found, warnings = read(services=[entry, WEB])
    assert found is not None
    assert [service.name for service in found.services] == ["web"]
    assert len(warnings) == 1
    assert DEVICE_ID in warnings[0]


# -- the filter --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "services"),
    [
        (DeviceFilter(), ["ssh", "web"]),
        (DeviceFilter(devices=("kiosk-1", "other")), ["ssh", "web"]),
        (DeviceFilter(devices=frozenset({"kiosk-1"})), ["ssh", "web"]),
        (DeviceFilter(devices=("kiosk",)), None),
        (DeviceFilter(devices=("KIOSK-1",)), None),
        (DeviceFilter(services=("web",)), ["web"]),
        (DeviceFilter(services=("kiosk-1-web",)), None),
        (DeviceFilter(applications=(28,)), ["ssh"]),
        (DeviceFilter(applications=(28, 7)), ["ssh", "web"]),
        (DeviceFilter(applications=(35,)), None),
        (DeviceFilter(services=("web",), applications=(28,)), None),
        (DeviceFilter(state="active"), ["ssh", "web"]),
        (DeviceFilter(state="inactive"), None),
        (DeviceFilter(tags_any=("west", "east")), ["ssh", "web"]),
        (DeviceFilter(tags_any=("east",)), None),
        (DeviceFilter(tags_all=("west", "lobby")), ["ssh", "web"]),
        (DeviceFilter(tags_all=("west", "east")), None),
        (DeviceFilter(tags_any=("west",), tags_all=("east",)), None),
    ],
)
def test_device_filter_matches(wanted: DeviceFilter, services: list[str] | None) -> None:
    match = wanted.matches(device())
    assert (match and [service.name for service in match.services]) == services


def test_device_filter_does_not_match_missing_name() -> None:
    assert DeviceFilter(devices=("None",)).matches(device(name=None)) is None


@pytest.mark.parametrize(("application", "number"), [
    ("ssh", 28), ("SSH", 28), ("28", 28), (28, 28), ("Admin Panel", 42), ("generic_tcp", 29), (4711, 4711),
    ("udp", 32769),
])  # fmt: skip
def test_application_id_accepts_names_and_numbers(application: str | int, number: int) -> None:
    assert application_id(application) == number


@pytest.mark.parametrize("application", ["sshd", "-1", "", 35, "٢٨"])
def test_application_id_rejects_unknown_names(application: str | int) -> None:
    with pytest.raises(OptionsError):
        application_id(application)


def test_application_name_is_unique_or_none() -> None:
    assert [application_name(number) for number in (28, 4711, None)] == ["ssh", None, None]
    assert len(set(APPLICATIONS.values())) == len(APPLICATIONS)


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_session_from_graphql_reads_all_fields() -> None:
    session = session_from_graphql(SESSION, "me")
    assert session == ApiSession(ID, SERVICE, "2026-01-15T23:20:00Z", True, True)


@pytest.mark.parametrize(
    ("changes", "account", "expected"),
    [
        ({}, "another user", (False, True)),
        ({}, "ME", (True, True)),
        ({}, None, (None, True)),
        ({"user": None}, "me", (None, True)),
        ({"user": None}, None, (None, True)),
        ({"user": {"id": 7}}, 7, (None, True)),
        ({"endpoint": {"proxy": False}}, "me", (True, False)),
        ({"endpoint": None}, "me", (True, None)),
    ],
)
def test_session_from_graphql_finds_the_user(
    changes: dict[str, t.Any], account: t.Any, expected: tuple[t.Any, t.Any]
) -> None:
    session = session_from_graphql({**SESSION, **changes}, account, "the owner")
    assert (session.is_ours, session.is_proxy) == expected


@pytest.mark.parametrize("item", [None, 7, {}, {**SESSION, "id": "-x", "target": {"id": "x"}}, {"target": None}])
def test_session_from_graphql_without_ids(item: t.Any) -> None:
    session = session_from_graphql(item, "me")
    assert (session.id, session.service_id) == (None, None)


# -- REST --------------------------------------------------------------------------------------------------------------

SSH_TYPE, WEB_TYPE, BULK_TYPE = (
    f"00:{application:02X}:00:00:00:01:00:00:04:60:00:{port:02X}:00:01:00:00"
    for application, port in ((28, 22), (30, 80), (35, 255))
)


def row(number: int, alias: t.Any, devicetype: t.Any, **more: t.Any) -> dict[str, t.Any]:
    title = "Bulk Service" if devicetype == BULK_TYPE else "SSH"
    return rest_row(SERVICES[number], alias, title, devicetype=devicetype, **more)


def tree(*rows: t.Any) -> dict[str | None, list[str | None]]:
    """Return the names of the devices, with the names of their services."""
    return {
        device.name: [service.name for service in device.services]
        for device in devices_from_rest(list(rows), pytest.fail)
    }


def test_devices_from_rest_reads_all_fields() -> None:
    (found,) = devices_from_rest([row(0, "kiosk-1", BULK_TYPE), row(1, "kiosk-1-ssh", SSH_TYPE)], pytest.fail)
    assert found == Device(
        id=SERVICES[0],
        name="kiosk-1",
        online=True,
        state="active",
        tags=(),
        platform=None,
        attributes={},
        created="2018-03-29T08:19:02Z",
        last_reported="2018-12-29T19:56:50Z",
        owner="someone@example.com",
        external_address="203.0.113.7",
        external_port=None,
        internal_address="10.0.0.7",
        services=(Service(SERVICES[1], "kiosk-1-ssh", 28, "SSH", 22, True, True),),
    )


KIOSK_1, KIOSK_10 = row(0, "kiosk-1", BULK_TYPE), row(1, "kiosk-10", BULK_TYPE)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([KIOSK_1, row(2, "kiosk-1 - ssh", SSH_TYPE)], {"kiosk-1": ["kiosk-1 - ssh"]}),
        ([KIOSK_1, KIOSK_10, row(2, "kiosk-10-ssh", SSH_TYPE)], {"kiosk-1": [], "kiosk-10": ["kiosk-10-ssh"]}),
        # the longest name of a device wins
        (
            [KIOSK_1, row(1, "kiosk-1-back", BULK_TYPE), row(2, "kiosk-1-back-ssh", SSH_TYPE)],
            {"kiosk-1": [], "kiosk-1-back": ["kiosk-1-back-ssh"]},
        ),
        # a service that is not certain to belong to a device becomes a device
        ([KIOSK_1, row(2, "kiosk-10-ssh", SSH_TYPE)], {"kiosk-1": [], "kiosk-10-ssh": ["kiosk-10-ssh"]}),
        ([KIOSK_1, row(2, "SSH", SSH_TYPE)], {"kiosk-1": [], "SSH": ["SSH"]}),
        (
            [KIOSK_1, row(2, "kiosk-1-ssh", SSH_TYPE, lastinternalip="10.0.0.8")],
            {"kiosk-1": [], "kiosk-1-ssh": ["kiosk-1-ssh"]},
        ),
        (
            [KIOSK_1, row(2, "kiosk-1-ssh", SSH_TYPE, ownerusername="another@example.com")],
            {"kiosk-1": [], "kiosk-1-ssh": ["kiosk-1-ssh"]},
        ),
        (
            [row(0, "a", BULK_TYPE, devicelastip=None), row(1, "a-ssh", SSH_TYPE, devicelastip=None)],
            {"a": [], "a-ssh": ["a-ssh"]},
        ),
        ([row(2, "ssh", SSH_TYPE)], {"ssh": ["ssh"]}),
        ([row(2, None, SSH_TYPE)], {None: [None]}),
        # a hardware ID overrides the addresses and names
        (
            [
                row(0, "a", BULK_TYPE, hardwareid="h"),
                row(1, "SSH", SSH_TYPE, hardwareid="h", lastinternalip="10.9.9.9"),
            ],
            {"a": ["SSH"]},
        ),
        (
            [row(0, "a", BULK_TYPE, hardwareid="h"), row(1, "a-ssh", SSH_TYPE, hardwareid="i")],
            {"a": [], "a-ssh": ["a-ssh"]},
        ),
    ],
)
def test_devices_from_rest_assigns_services_to_devices(rows: list[t.Any], expected: dict[str, list[str]]) -> None:
    assert tree(*rows) == expected


def test_devices_from_rest_with_two_devices_of_one_name() -> None:
    rows = [KIOSK_1, {**KIOSK_1, "deviceaddress": SERVICES[5]}, row(2, "kiosk-1-ssh", SSH_TYPE)]
    found = devices_from_rest(rows, pytest.fail)
    assert [(one.name, len(one.services)) for one in found] == [("kiosk-1", 0), ("kiosk-1", 0), ("kiosk-1-ssh", 1)]


@pytest.mark.parametrize(
    ("changes", "application", "port"),
    [
        ({}, 28, 22),
        ({"devicetype": WEB_TYPE}, 30, 80),
        ({"devicetype": None}, None, None),
        ({"devicetype": "00:1C"}, None, None),
        ({"devicetype": [SSH_TYPE]}, None, None),
        ({"devicetype": "00:1c:00:00:00:01:00:00:04:60:01:bb"}, 28, 443),
    ],
)
def test_devices_from_rest_reads_the_devicetype(
    changes: dict[str, t.Any], application: int | None, port: int | None
) -> None:
    ((service,),) = (one.services for one in devices_from_rest([{**row(1, "a", SSH_TYPE), **changes}], pytest.fail))
    assert (service.application, service.port) == (application, port)


@pytest.mark.parametrize(
    ("state", "online"),
    [("active", True), ("connected", True), ("inactive", False), ("restricted", False), ([None], False)],
)
def test_devices_from_rest_reads_the_devicestate(state: t.Any, online: bool) -> None:
    (found,) = devices_from_rest([row(1, "a", SSH_TYPE, devicestate=state)], pytest.fail)
    assert found.online is found.services[0].online is online


@pytest.mark.parametrize("rows", [None, "x", {}, []])
def test_devices_from_rest_ignores_invalid_list(rows: t.Any) -> None:
    assert devices_from_rest(rows, pytest.fail) == []


def test_devices_from_rest_skips_row_without_id() -> None:
    warnings: list[str] = []
    rows = [None, 7, {"devicealias": "odd"}, row(1, "a", SSH_TYPE)]
    assert [one.name for one in devices_from_rest(rows, warnings.append)] == ["a"]
    assert len(warnings) == 3
    assert "odd" in warnings[2]
