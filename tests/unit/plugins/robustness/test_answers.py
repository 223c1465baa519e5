# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever the API answers to a call: a result that can be used, or an error of ours, and no secret in either."""

from __future__ import annotations

import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account, Api
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import CONNECTION_ID, SERVICE_ID
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Device, DeviceFilter
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import parse_utc
from ansible_collections.remoteit.fleet.tests.unit.plugins.robustness.adversary import (
    GRAPHQL,
    ID,
    LOGIN,
    REST,
    A,
    Adversary,
    B,
    Wire,
    check_connection,
    check_error,
    check_no_secret,
    row,
    wires,
)


def answered(
    adversary: Adversary, credentials: Credentials, answers: dict[str, list[Wire]], work: t.Callable[[Api], t.Any]
) -> t.Any:
    """What the work returns when the API answers so; none, if it is an error as it should be."""
    adversary.script(credentials, answers)
    try:
        return work(Account(credentials).api())
    except RemoteItError as error:
        check_error(error, adversary)
        return None


def a_few(call: str) -> st.SearchStrategy[list[Wire]]:
    return st.lists(wires(call), min_size=1, max_size=3)


def check_devices(devices: list[Device] | None, adversary: Adversary) -> None:
    for device in devices or ():
        assert SERVICE_ID.fullmatch(device.id)
        assert all(SERVICE_ID.fullmatch(service.id) for service in device.services)
        for when in (device.created, device.last_reported):
            assert when is None or parse_utc(when)
        json.dumps(device.as_result(), allow_nan=False).encode()
        check_no_secret(device.as_result(), adversary, password=False)


@given(wires("connect"))
def test_rest_connect(adversary: Adversary, wire: Wire) -> None:
    connection = answered(adversary, REST, {"connect": [wire]}, lambda api: api.connect(A))
    if connection is not None:
        check_connection(connection)
        check_no_secret(connection.as_result(), adversary)


@given(a_few("login"), a_few("connect"))
def test_rest_connect_after_a_login(adversary: Adversary, logins: list[Wire], connects: list[Wire]) -> None:
    answers = {"login": logins, "connect": connects}
    connection = answered(adversary, LOGIN, answers, lambda api: api.connect(A))
    if connection is not None:
        check_connection(connection)
        check_no_secret(connection.as_result(), adversary)


@given(a_few("stop"), a_few("list"))
def test_rest_disconnect(adversary: Adversary, stops: list[Wire], lists: list[Wire]) -> None:
    answers = {"stop": stops, "list": lists}
    assert answered(adversary, REST, answers, lambda api: api.disconnect(A, ID)) in (True, False, None)


@given(a_few("list"), st.sampled_from([DeviceFilter(), DeviceFilter(devices=["kiosk-1"], applications=[28])]))
def test_rest_devices(adversary: Adversary, lists: list[Wire], wanted: DeviceFilter) -> None:
    warnings: list[str] = []
    devices = answered(adversary, REST, {"list": lists}, lambda api: list(api.devices(wanted, warnings.append)))
    check_devices(devices, adversary)
    check_warnings(warnings, adversary)


@given(wires("mutation Connect"))
def test_graphql_connect(adversary: Adversary, wire: Wire) -> None:
    connection = answered(adversary, GRAPHQL, {"mutation Connect": [wire]}, lambda api: api.connect(A, "0.0.0.0"))
    if connection is not None:
        check_connection(connection)
        check_no_secret(connection.as_result(), adversary)


@given(a_few("mutation Disconnect"), a_few("query ServiceSessions"))
def test_graphql_disconnect(adversary: Adversary, stops: list[Wire], sessions: list[Wire]) -> None:
    answers = {"mutation Disconnect": stops, "query ServiceSessions": sessions}
    assert answered(adversary, GRAPHQL, answers, lambda api: api.disconnect(A, ID)) in (True, False, None)


@given(a_few("query Sessions"), a_few("query ServiceSessions"))
def test_graphql_sessions(adversary: Adversary, lists: list[Wire], services: list[Wire]) -> None:
    answers = {"query Sessions": lists, "query ServiceSessions": services}
    found = answered(adversary, GRAPHQL, answers, lambda api: api.sessions()) or []
    of_services = answered(adversary, GRAPHQL, answers, lambda api: api.sessions_of([A, B])) or {A: None, B: None}
    assert of_services.keys() == {A, B}
    for session in [*found, *(of_services[A] or ()), *(of_services[B] or ())]:
        assert session.id is None or CONNECTION_ID.fullmatch(session.id)
        assert session.service_id is None or SERVICE_ID.fullmatch(session.service_id)
        assert session.started is None or parse_utc(session.started)
        check_no_secret(session._asdict(), adversary, password=False)


@given(
    a_few("query Devices"),
    a_few("query Organizations"),
    st.sampled_from(
        [DeviceFilter(), DeviceFilter(organisation="museums"), DeviceFilter(devices=["kiosk-1"], tags_any=["kiosk"])]
    ),
)
def test_graphql_devices(
    adversary: Adversary, pages: list[Wire], organisations: list[Wire], wanted: DeviceFilter
) -> None:
    warnings: list[str] = []
    answers = {"query Devices": pages, "query Organizations": organisations}

    def listed(api: Api) -> list[Device]:
        try:
            return list(api.devices(wanted, warnings.append))
        except OptionsError as error:  # two organisations of one name
            raise RemoteItError(error.message) from None

    check_devices(answered(adversary, GRAPHQL, answers, listed), adversary)
    check_warnings(warnings, adversary)


def check_warnings(warnings: list[str], adversary: Adversary) -> None:
    check_no_secret(warnings, adversary)
    assert all(warning.isprintable() and len(warning) < 2000 for warning in warnings)


CONNECTED = b'{"status":"true","connection":{"connectionid":"%s","proxy":"http://127.0.0.1:22"}}' % ID.encode()


@pytest.mark.parametrize("location", ["http://[", "\xff\xfe", "//"], ids=["no address", "not UTF-8", "nothing"])
def test_where_a_redirect_leads_is_not_looked_at(adversary: Adversary, location: str) -> None:
    wire = Wire(f"HTTP/1.1 302 x\r\nLocation: {location}\r\n\r\n", b"<html>")
    assert answered(adversary, REST, {"connect": [wire]}, lambda api: api.connect(A)) is None


def test_a_byte_order_mark_hides_no_connection(adversary: Adversary) -> None:
    wire = Wire("HTTP/1.1 200 x\r\n\r\n", b"\xef\xbb\xbf" + CONNECTED)
    assert answered(adversary, REST, {"connect": [wire]}, lambda api: api.connect(A)).connectionid == ID


def test_a_name_of_nothing_but_separators_takes_no_time(adversary: Adversary) -> None:
    """It took minutes, since each of them could have been the end of a device's name."""
    named = row(1, "SSH", "-" * 300000)
    wire = Wire("HTTP/1.1 200 x\r\n\r\n", json.dumps({"status": "true", "devices": [named]}).encode())
    found = answered(adversary, REST, {"list": [wire]}, lambda api: list(api.devices(DeviceFilter(), print)))
    assert [device.id for device in found] == [named["deviceaddress"]]
