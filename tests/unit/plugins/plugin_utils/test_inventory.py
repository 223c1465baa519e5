# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
import json
import re
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Device, Service
from ansible_collections.remoteit.fleet.plugins.plugin_utils._inventory import (
    DeviceListing,
    ServicePreference,
    digest,
    host_names,
    host_variables,
    sanitize_hostname,
)

ID = "80:00:00:00:01:00:00:{:02X}"


def service(number: int, **fields: t.Any) -> Service:
    values = {"name": f"s{number}", "application": 28, "title": "SSH", "port": 22, "online": True, "enabled": True}
    return Service(id=ID.format(number), **{**values, **fields})


def device(*services: Service, **fields: t.Any) -> Device:
    values = dict.fromkeys(Device._fields)
    values |= {"id": ID.format(0), "name": "kiosk", "online": True, "tags": ("a", "b"), "attributes": {"x": [1, None]}}
    return Device(**{**values, "services": services, **fields})


def test_listing_can_be_dumped_and_loaded() -> None:
    listing = DeviceListing(
        "fingerprint", ["a warning"], [device(service(1), service(2, name=None)), device(id=ID.format(9), tags=())]
    )
    again = DeviceListing.load(listing.dump())
    assert again.account == "fingerprint"
    assert again.warnings == ["a warning"]
    assert [host_variables(each, None) for each in again.devices] == [
        host_variables(each, None) for each in listing.devices
    ]
    assert again.devices[0].services == listing.devices[0].services


INVALID: list[t.Any] = [[], ["a"], {}, {"a": 1}, 1.5, "\ud800"]


def damaged(path: tuple[t.Any, ...], value: t.Any) -> str:
    """Return a dumped listing with another value at the path."""
    cached = json.loads(DeviceListing("fingerprint", ["a warning"], [device(service(1))]).dump())
    place = cached
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(cached)


@pytest.mark.parametrize("value", INVALID, ids=repr)
@pytest.mark.parametrize("field", [*Device._fields, *(f"services.{name}" for name in Service._fields)])
def test_listing_with_an_invalid_field_is_not_loaded(field: str, value: t.Any) -> None:
    path = [2, 0, Device._fields.index(field.partition(".")[0])]
    if "." in field:
        path += [0, Service._fields.index(field.partition(".")[2])]
    if value in {"tags": ([], ["a"]), "attributes": ({}, {"a": 1}), "services": ([],)}.get(field, ()):
        return
    with pytest.raises((LookupError, TypeError, ValueError)):
        DeviceListing.load(damaged(tuple(path), value))


@pytest.mark.parametrize("path", [(0,), (1, 0)], ids=["account", "warning"])
@pytest.mark.parametrize("value", INVALID, ids=repr)
def test_listing_with_an_invalid_text_is_not_loaded(path: tuple[t.Any, ...], value: t.Any) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        DeviceListing.load(damaged(path, value))


@pytest.mark.parametrize("tags", ["ab", [None], [["a"]], [{"a": 1}], [1]])
def test_listing_with_invalid_tags_is_not_loaded(tags: t.Any) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        DeviceListing.load(damaged((2, 0, Device._fields.index("tags")), tags))


def test_listing_with_deeply_nested_attributes_is_not_loaded() -> None:
    deep: t.Any = None
    for _unused in range(200):
        deep = {"a": [deep]}
    with pytest.raises(ValueError):
        DeviceListing.load(damaged((2, 0, Device._fields.index("attributes")), deep))


def test_listing_with_a_lone_surrogate_is_not_loaded() -> None:
    assert DeviceListing.load(damaged((2, 0, 1), "\U0001f4e1")).devices[0].name == "\U0001f4e1"
    with pytest.raises(ValueError):
        DeviceListing.load(damaged((2, 0, 1), "\ud83d"))


@pytest.mark.parametrize("text", ["", "[]", "[1, 2]", "{}", '["", [], [[]]]', '["", [], [[1, []]]]', "null", 7, None])
def test_other_text_is_not_loaded_as_a_listing(text: t.Any) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        DeviceListing.load(text)


def test_host_variables_have_types_of_json() -> None:
    chosen = service(1)
    variables = host_variables(device(chosen), chosen)
    assert json.loads(json.dumps(variables)) == variables
    assert all(name.startswith("remoteit_") for name in variables)
    assert not {"remoteit_deviceaddress", "remoteit_service"} & set(host_variables(device(chosen), None))


@pytest.mark.parametrize(
    ("preference", "number"),
    [
        (ServicePreference([28]), 2),
        (ServicePreference([28], names=["s4"]), 4),
        (ServicePreference([28], ports=[2222]), 3),
        (ServicePreference([28], names=["s4"], ports=[2222]), 4),
        (ServicePreference([7, 28]), 5),
        (ServicePreference([], names=["s5", "s4"]), 5),
        (ServicePreference([], ports=[80]), 5),
        (ServicePreference([1]), None),
        (ServicePreference([]), None),
        (ServicePreference([4]), None),
    ],
)
def test_service_preference_selects_a_service(preference: ServicePreference, number: int | None) -> None:
    services = [
        service(1, enabled=False),
        service(2),
        service(3, port=2222),
        service(4),
        service(5, application=7, port=80),
        service(6, application=4, enabled=False),
        service(7, application=None, port=None, name=None),
    ]
    for order in (services, services[::-1]):
        selected = preference.select(device(*order))
        assert (selected.id if selected else None) == (ID.format(number) if number else None)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("kiosk-1.example.org", "kiosk-1.example.org"),
        ("Küche 2", "Küche_2"),
        ("-oProxyCommand=x", "oProxyCommand_x"),
        ("a,b:c&d!e~f*g[1]", "a_b_c_d_e_f_g_1"),
        ("../../etc/passwd", "etc_passwd"),
        ("a\nb\tc\u2028d\0e", "a_b_c_d_e"),
        ("{{ x }}", "x"),
        ("...", ""),
        ("@#", ""),
        ("", ""),
        ("x" * 500, "x" * 200),
    ],
)
def test_hostnames_are_sanitized(name: str, host: str) -> None:
    assert sanitize_hostname(name) == host
    assert not re.search(r"[^\w.-]|^-", host)


def test_host_names_are_unique_in_any_order() -> None:
    wanted = [
        (ID.format(1), "kiosk"),
        (ID.format(2), "kiosk"),
        (ID.format(3), "kiosk-8000000001000001"),  # the name of the first host
        (ID.format(4), ""),
        (ID.format(5), "80-00-00-00-01-00-00-04"),  # the name of the fourth host
        (ID.format(6), "gateway-00124B0001ABCDEF"),
        (ID.format(7), "web"),
    ]
    expected = {
        ID.format(1): "kiosk-8000000001000001",
        ID.format(2): "kiosk-8000000001000002",
        ID.format(3): "kiosk-8000000001000001-8000000001000003",
        ID.format(4): "80-00-00-00-01-00-00-04",
        ID.format(5): "80-00-00-00-01-00-00-04-8000000001000005",
        ID.format(6): "gateway-00124B0001ABCDEF",
        ID.format(7): "web-8000000001000007",
    }
    for order in itertools.permutations(wanted, len(wanted)):
        names, shared = host_names(order, taken={"web"})
        assert dict(zip([number for number, _unused in order], names, strict=True)) == expected
        assert shared == ["kiosk"]


def test_digest_differs_and_hides_its_values() -> None:
    assert digest("a", "b") != digest("ab") != digest("a", None)
    assert "secret" not in digest("secret")
