# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages between the keeper and its clients, and the recap that they carry."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Device, DeviceFilter, Service
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OfflineError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.http import Transport
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper import protocol
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recap import EndedEarly, LeftOpen, MayBeOpen, Recap
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import SERVICE, WITH_ACCESS_KEY, account
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.keeper.keeper_calls import A

ACCOUNT = Account(WITH_ACCESS_KEY, Transport({"https": "http://proxy:3128"}, "/ca.pem"), timeout=7.5, concurrency=3)
CONNECTION = Connection(A, "id-1", "http://p:1", "p", 1, "tcp", False, "caller", 60, "2026-01-15T23:20:00Z")
SSH = Service(A, "ssh", 28, "SSH", 22, True, True)
DEVICE = Device(A, "kiosk", True, "active", ("a",), 1, {"b": ["c"]}, None, None, None, None, None, None, (SSH, SSH))
LEFT = LeftOpen(SERVICE, "kiosk-1", "id-a", "2026-01-16T07:20:00Z", "HTTP 500")
CALL = MayBeOpen(SERVICE, None, "2026-01-15T23:20:00Z", "no response")
EARLY = EndedEarly(SERVICE, None, "id-b")


@pytest.mark.parametrize(
    "message",
    [
        protocol.ConnectServices(ACCOUNT, ConnectRequest((A,), "203.0.113.7", detach=True), {A: ["a", "b"]}),
        protocol.ConnectServices(account(), ConnectRequest(()), None),
        protocol.DisconnectServices(ACCOUNT, ((A, "id-1"),)),
        protocol.ReleaseHosts((ACCOUNT, account()), ("a", "b")),
        protocol.FindServices(ACCOUNT, (ServiceName("kiosk", None, 28), ServiceName("kiosk", "ssh"))),
        protocol.ListDevices(ACCOUNT, DeviceFilter(("kiosk",), state="active", applications=(28,))),
        protocol.AcquireHost(protocol.HostRequest("a", None, ServiceName("kiosk", "ssh"), None, ACCOUNT), "a-play", 3),
        protocol.Batch((protocol.HostRequest("a", A, None, "0.0.0.0", ACCOUNT),)),
        protocol.Finish(),
        protocol.ServiceConnected(A, CONNECTION),
        protocol.ServiceFound(ServiceName("kiosk", "ssh"), SSH),
        protocol.DeviceListed(DEVICE),
        protocol.HostAcquired(CONNECTION, True, ("a digest",), 1.5),
        protocol.ControlPathDir(None),
        protocol.Finished(Recap(3, 1, (LEFT,), (CALL,), (EARLY,))),
        protocol.End(),
    ],
    ids=lambda message: type(message).__name__,
)
def test_message_is_decoded_as_it_was(message: t.Any) -> None:
    line = protocol.encode(message)
    assert line.count(b"\n") == 1
    assert protocol.decode(line) == message


def test_error_is_decoded_as_it_was() -> None:
    error = OfflineError("the device is offline", connectionid="id-1")
    decoded = protocol.decode(protocol.encode(protocol.HostNotAcquired(error)))
    assert decoded.error.__class__ is OfflineError
    assert decoded.error.as_failure() == error.as_failure()


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_decode_refuses_another_version(version: t.Any) -> None:
    line = json.dumps({"version": version, "message": "End", "fields": {}}).encode()
    with pytest.raises(protocol.ProtocolVersionError):
        protocol.decode(line)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100000,
        b'{"version": 1}',
        b'{"version": 1, "message": "Nothing", "fields": {}}',
        b'{"version": 1, "message": "Warned", "fields": {}}',
        b'{"version": 1, "message": "Warned", "fields": 7}',
        b'{"version": 1, "message": "DisconnectServices", "fields": {"account": null, "refs": []}}',
    ],
)
def test_decode_refuses_a_malformed_line(line: bytes) -> None:
    with pytest.raises(protocol.MalformedMessageError):
        protocol.decode(line)


# -- the recap ---------------------------------------------------------------------------------------------------------


def test_recap_text_names_every_connection() -> None:
    recap = Recap(3, 2, (LEFT, LEFT._replace(host=None, expires_at=None)), (CALL,), (EARLY,))
    first, left, left_without_end, call, early = recap.as_text().splitlines()
    assert first == "remote.it: opened 3, closed 2, left open 1"
    assert all(line.startswith("[WARNING]: remote.it: ") for line in (left, left_without_end, call, early))
    assert all(word in left for word in (f"{SERVICE} (kiosk-1)", "id-a", "HTTP 500", "2026-01-16T07:20:00Z"))
    assert f"{SERVICE} could not" in left_without_end
    assert all(word in call for word in (SERVICE, "2026-01-15T23:20:00Z", "15 minutes", "no response"))
    assert all(word in early for word in (SERVICE, "id-b"))


@pytest.mark.parametrize(
    ("recap", "expected"), [(Recap(), False), (Recap(opened=1, closed=1), True), (Recap(may_be_open=(CALL,)), True)]
)
def test_recap_is_printed_if_something_was_opened(recap: Recap, expected: bool) -> None:
    assert recap.is_worth_printing is expected


def test_recap_adds_orphans_once() -> None:
    assert Recap().with_orphans([LEFT], [CALL]) == Recap(opened=1, left_open=(LEFT,), may_be_open=(CALL,))
    listed = Recap(opened=2, closed=1, left_open=(LEFT,), may_be_open=(CALL,))
    assert listed.with_orphans([LEFT], [CALL]) == listed
    assert listed.with_orphans([], []) == listed
