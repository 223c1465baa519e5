# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each call returns a valid result or an error of ours for any response, and neither contains a secret."""

from __future__ import annotations

import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account, Api
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import (
    CONNECTION_ID,
    SERVICE_ID,
    Connection,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Device, DeviceFilter
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import parse_utc
from ansible_collections.remoteit.fleet.tests.unit.plugins.fuzz.fuzz_api import (
    GRAPHQL,
    ID,
    LOGIN,
    REST,
    A,
    B,
    FuzzedApi,
    RawResponse,
    check_connection,
    check_error,
    check_no_secret,
    raw_responses,
)
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import rest_row


def call_api(
    fuzzed_api: FuzzedApi,
    credentials: Credentials,
    responses: dict[str, list[RawResponse]],
    call: t.Callable[[Api], t.Any],
) -> t.Any:
    """Return the result of a call with these responses, or ``None`` if it raises a correct error."""
    fuzzed_api.script(credentials, responses)
    try:
        return call(Account(credentials).api())
    except RemoteItError as error:
        check_error(error, fuzzed_api)
        return None


def some_responses(call: str) -> st.SearchStrategy[list[RawResponse]]:
    return st.lists(raw_responses(call), min_size=1, max_size=3)


def check_devices(devices: list[Device] | None, fuzzed_api: FuzzedApi) -> None:
    for device in devices or ():
        assert SERVICE_ID.fullmatch(device.id)
        assert all(SERVICE_ID.fullmatch(service.id) for service in device.services)
        for when in (device.created, device.last_reported):
            assert when is None or parse_utc(when)
        json.dumps(device.as_result(), allow_nan=False).encode()
        check_no_secret(device.as_result(), fuzzed_api, password=False)


def check_result(connection: Connection | None, fuzzed_api: FuzzedApi) -> None:
    if connection is not None:
        check_connection(connection)
        check_no_secret(connection.as_result(), fuzzed_api)


@given(raw_responses("connect"))
def test_rest_connect(fuzzed_api: FuzzedApi, response: RawResponse) -> None:
    check_result(call_api(fuzzed_api, REST, {"connect": [response]}, lambda api: api.connect(A)), fuzzed_api)


@given(some_responses("login"), some_responses("connect"))
def test_rest_connect_after_login(
    fuzzed_api: FuzzedApi, logins: list[RawResponse], connects: list[RawResponse]
) -> None:
    responses = {"login": logins, "connect": connects}
    check_result(call_api(fuzzed_api, LOGIN, responses, lambda api: api.connect(A)), fuzzed_api)


@given(some_responses("stop"), some_responses("list"))
def test_rest_disconnect(fuzzed_api: FuzzedApi, stops: list[RawResponse], lists: list[RawResponse]) -> None:
    responses = {"stop": stops, "list": lists}
    assert call_api(fuzzed_api, REST, responses, lambda api: api.disconnect(A, ID)) in (True, False, None)


@given(some_responses("list"), st.sampled_from([DeviceFilter(), DeviceFilter(devices=["kiosk-1"], applications=[28])]))
def test_rest_devices(fuzzed_api: FuzzedApi, lists: list[RawResponse], wanted: DeviceFilter) -> None:
    warnings: list[str] = []
    devices = call_api(fuzzed_api, REST, {"list": lists}, lambda api: list(api.devices(wanted, warnings.append)))
    check_devices(devices, fuzzed_api)
    check_warnings(warnings, fuzzed_api)


@given(raw_responses("mutation Connect"))
def test_graphql_connect(fuzzed_api: FuzzedApi, response: RawResponse) -> None:
    check_result(
        call_api(fuzzed_api, GRAPHQL, {"mutation Connect": [response]}, lambda api: api.connect(A, "0.0.0.0")),
        fuzzed_api,
    )


@given(some_responses("mutation Disconnect"), some_responses("query ServiceSessions"))
def test_graphql_disconnect(fuzzed_api: FuzzedApi, stops: list[RawResponse], sessions: list[RawResponse]) -> None:
    responses = {"mutation Disconnect": stops, "query ServiceSessions": sessions}
    assert call_api(fuzzed_api, GRAPHQL, responses, lambda api: api.disconnect(A, ID)) in (True, False, None)


@given(some_responses("query Sessions"), some_responses("query ServiceSessions"))
def test_graphql_sessions(fuzzed_api: FuzzedApi, lists: list[RawResponse], services: list[RawResponse]) -> None:
    responses = {"query Sessions": lists, "query ServiceSessions": services}
    found = call_api(fuzzed_api, GRAPHQL, responses, lambda api: api.sessions()) or []
    of_services = call_api(fuzzed_api, GRAPHQL, responses, lambda api: api.sessions_of([A, B])) or {A: None, B: None}
    assert of_services.keys() == {A, B}
    for session in [*found, *(of_services[A] or ()), *(of_services[B] or ())]:
        assert session.id is None or CONNECTION_ID.fullmatch(session.id)
        assert session.service_id is None or SERVICE_ID.fullmatch(session.service_id)
        assert session.started is None or parse_utc(session.started)
        check_no_secret(session._asdict(), fuzzed_api, password=False)


@given(
    some_responses("query Devices"),
    some_responses("query Organizations"),
    st.sampled_from(
        [DeviceFilter(), DeviceFilter(organisation="museums"), DeviceFilter(devices=["kiosk-1"], tags_any=["kiosk"])]
    ),
)
def test_graphql_devices(
    fuzzed_api: FuzzedApi, pages: list[RawResponse], organizations: list[RawResponse], wanted: DeviceFilter
) -> None:
    warnings: list[str] = []
    responses = {"query Devices": pages, "query Organizations": organizations}

    def listed(api: Api) -> list[Device]:
        try:
            return list(api.devices(wanted, warnings.append))
        except OptionsError as error:  # two organizations with one name
            raise RemoteItError(error.message) from None

    check_devices(call_api(fuzzed_api, GRAPHQL, responses, listed), fuzzed_api)
    check_warnings(warnings, fuzzed_api)


def check_warnings(warnings: list[str], fuzzed_api: FuzzedApi) -> None:
    check_no_secret(warnings, fuzzed_api)
    assert all(warning.isprintable() and len(warning) < 2000 for warning in warnings)


CONNECTED = b'{"status":"true","connection":{"connectionid":"%s","proxy":"http://127.0.0.1:22"}}' % ID.encode()


@pytest.mark.parametrize("location", ["http://[", "\xff\xfe", "//"], ids=["no address", "not UTF-8", "nothing"])
def test_target_of_redirect_is_not_parsed(fuzzed_api: FuzzedApi, location: str) -> None:
    response = RawResponse(f"HTTP/1.1 302 x\r\nLocation: {location}\r\n\r\n", b"<html>")
    assert call_api(fuzzed_api, REST, {"connect": [response]}, lambda api: api.connect(A)) is None


def test_response_may_have_a_byte_order_mark(fuzzed_api: FuzzedApi) -> None:
    response = RawResponse("HTTP/1.1 200 x\r\n\r\n", b"\xef\xbb\xbf" + CONNECTED)
    assert call_api(fuzzed_api, REST, {"connect": [response]}, lambda api: api.connect(A)).connectionid == ID


def test_long_name_of_separators_is_parsed_quickly(fuzzed_api: FuzzedApi) -> None:
    """Each separator may be the end of the name of a device."""
    named = rest_row(A, "-" * 300000)
    response = RawResponse("HTTP/1.1 200 x\r\n\r\n", json.dumps({"status": "true", "devices": [named]}).encode())
    found = call_api(fuzzed_api, REST, {"list": [response]}, lambda api: list(api.devices(DeviceFilter(), print)))
    assert [device.id for device in found] == [named["deviceaddress"]]
