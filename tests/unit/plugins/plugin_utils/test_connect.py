# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options and the results of ``remoteit_connect``."""

from __future__ import annotations

import types
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import DirectBackend
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import AuthError, OptionsError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._connect import ARGUMENT_SPEC, connect
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import (
    ID,
    KEY,
    PROXY,
    SERVICE,
    SERVICES,
    TOKEN,
    MockApi,
    Reply,
    opened,
    refused,
)

pytestmark = pytest.mark.usefixtures("home")

ENVIRON = types.MappingProxyType({"REMOTEIT_TOKEN": TOKEN, "REMOTEIT_DEVELOPER_KEY": KEY})
OFFLINE = refused("service is inactive", 200)


def run(
    *services: str, environ: t.Mapping[str, str] = ENVIRON, check_mode: bool = False, **given: t.Any
) -> dict[str, t.Any]:
    defaults = {name: spec.get("default") for name, spec in ARGUMENT_SPEC.items()}
    options = {**defaults, "deviceaddress": list(services), **given}
    return connect(options, environ, DirectBackend(), check_mode=check_mode)


# -- input that is refused before any request --------------------------------------------------------------------------


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    ("services", "options"),
    [
        ([], {}),
        (["nonsense"], {}),
        ([SERVICE, "80:00:00:00:01:00:40"], {}),
        ([SERVICE + ":00"], {}),
        ([SERVICE + "\n"], {}),
        (["80-00-00-00-01-00-40-C5"], {}),
        (["80:00:00:00:01:00:40:CG"], {}),
        ([SERVICE], {"hostip": "nowhere"}),
        ([SERVICE], {"hostip": "203.0.113.7/32"}),
        ([SERVICE], {"hostip": "203.0.113.256"}),
        ([SERVICE], {"hostip": "2001:db8::7"}),
        ([SERVICE], {"hostip": "255.255.255.25"}),
        ([SERVICE], {"concurrency": 0}),
        ([SERVICE], {"timeout": 0}),
        ([SERVICE], {"token": "t", "username": "u", "password": "p"}),
        ([SERVICE], {"username": "u"}),
        ([SERVICE], {"credentials_file": "/dev/null/nowhere"}),
        ([SERVICE], {"profile": "work"}),
        ([SERVICE], {"api_url": "nowhere"}),
        ([], {"services": [{"device": "kiosk", "service": "ssh"}, {"device": "kiosk", "application": "ssh"}]}),
    ],
)
def test_connect_refuses_options_before_a_request(
    mock_api: MockApi, services: list[str], options: dict[str, t.Any], check_mode: bool
) -> None:
    with pytest.raises(OptionsError):
        run(*services, check_mode=check_mode, **options)
    assert mock_api.sent == []


@pytest.mark.parametrize("name", ["deviceaddress", "services"])
def test_connect_names_the_option_that_is_empty(name: str) -> None:
    with pytest.raises(OptionsError, match=f"^{name} is an empty list"):
        run(**{"deviceaddress": None, name: []})


def test_connect_explains_the_misprint_of_latching() -> None:
    with pytest.raises(OptionsError, match=r"misprint.*255\.255\.255\.255"):
        run(SERVICE, hostip="255.255.255.25")


# -- results -----------------------------------------------------------------------------------------------------------

ENTRY = {
    "deviceaddress": SERVICE,
    "host_key_alias": "remoteit-80-00-00-00-01-00-40-c5",
    "name": None,
    "connectionid": ID,
    "proxy": PROXY,
    "host": "proxy40.rt3.io",
    "port": 34168,
    "scheme": "tcp",
    "reverse_proxy": False,
    "expirationsec": None,
    "expires_at": None,
    "restriction": "caller",
    "reused": False,
}


def test_connect_returns_one_service_at_top_level(mock_api: MockApi) -> None:
    mock_api.expect_connect(SERVICE, opened(expirationsec=None))
    assert run(SERVICE) == {
        "changed": True,
        "connections": {SERVICE: ENTRY},
        "failures": {},
        "proxy": PROXY,
        "connectionid": ID,
        "host": "proxy40.rt3.io",
        "port": 34168,
        "expirationsec": None,
        "ansible_facts": {"remoteit_connection": ENTRY},
    }


def test_connect_returns_many_services(mock_api: MockApi) -> None:
    mock_api.unordered = True
    for number, service in enumerate(SERVICES[:2], 1):
        mock_api.expect_connect(service, opened(service, f"id-{number}", expirationsec=None))
    assert run(*SERVICES[:2]) == {
        "changed": True,
        "connections": {
            service: {
                **ENTRY,
                "deviceaddress": service,
                "connectionid": f"id-{number}",
                "host_key_alias": f"remoteit-80-00-00-00-01-00-00-0{number}",
            }
            for number, service in enumerate(SERVICES[:2], 1)
        },
        "failures": {},
    }


def test_connect_returns_ids_as_they_were_written(mock_api: MockApi) -> None:
    mock_api.expect_connect(SERVICE, opened())
    connections = run(SERVICE, SERVICE.lower(), SERVICE)["connections"]
    assert {key: (entry["deviceaddress"], entry["connectionid"]) for key, entry in connections.items()} == {
        SERVICE: (SERVICE, ID),
        SERVICE.lower(): (SERVICE.lower(), ID),
    }


def test_connect_returns_the_failure_of_the_only_service(mock_api: MockApi) -> None:
    mock_api.expect_connect(SERVICE, OFFLINE)
    result = run(SERVICE)
    failures = result["failures"]
    assert failures[SERVICE]["code"] == "offline"
    assert result == {
        "failed": True,
        "changed": False,
        "connections": {},
        "failures": failures,
        "msg": f"could not open a connection to {SERVICE}: {failures[SERVICE]['message']}",
        "failure": {"code": "offline", "message": result["msg"], "details": failures},
    }


@pytest.mark.parametrize(
    ("fail_on", "replies", "failed"),
    [
        ("any", [opened(""), opened("")], False),
        ("any", [opened(""), OFFLINE], True),
        ("any", [OFFLINE, OFFLINE], True),
        ("all", [opened(""), opened("")], False),
        ("all", [opened(""), OFFLINE], False),
        ("all", [OFFLINE, OFFLINE], True),
        ("none", [opened(""), OFFLINE], False),
        ("none", [OFFLINE, OFFLINE], False),
    ],
)
def test_fail_on_decides_whether_the_task_fails(
    mock_api: MockApi, fail_on: str, replies: list[Reply], failed: bool
) -> None:
    mock_api.unordered = True
    for service, reply in zip(SERVICES, replies):
        mock_api.expect_connect(service, reply)
    result = run(*SERVICES[:2], fail_on=fail_on)
    expected = [service for service, reply in zip(SERVICES, replies) if reply is not OFFLINE]
    assert result.get("failed", False) is failed
    assert list(result["connections"]) == expected  # they are returned even if the task fails
    assert len(result["failures"]) == 2 - len(expected)
    assert result["changed"] is bool(expected)
    assert "connectionid" not in result and "ansible_facts" not in result


@pytest.mark.parametrize("fail_on", ["any", "all", "none"])
def test_fail_on_does_not_cover_refused_credentials(mock_api: MockApi, fail_on: str) -> None:
    mock_api.unordered = True
    mock_api.expect_connect(SERVICES[0], opened(SERVICES[0]))
    mock_api.expect_connect(SERVICES[1], refused("api key failed validation"))
    result = run(*SERVICES[:2], fail_on=fail_on)
    assert result["failed"]
    assert (list(result["connections"]), result["failures"][SERVICES[1]]["code"]) == ([SERVICES[0]], "auth")
    with pytest.raises(AuthError):
        run(SERVICE, environ={}, fail_on=fail_on)


def test_connect_message_names_ten_failures(mock_api: MockApi) -> None:
    mock_api.unordered = True
    for service in SERVICES[:12]:
        mock_api.expect_connect(service, OFFLINE)
    msg = run(*SERVICES[:12])["msg"]
    assert msg.startswith("could not open 12 of 12 connections: ") and msg.endswith("; and 2 more, see failures")
    assert sum(service in msg for service in SERVICES[:12]) == 10


def test_connect_in_check_mode_sends_nothing(mock_api: MockApi) -> None:
    known = ("deviceaddress", "host_key_alias", "reused")
    entry = {**dict.fromkeys(ENTRY), **{name: ENTRY[name] for name in known}}
    assert run(SERVICE, check_mode=True) == {
        "changed": True,
        "connections": {SERVICE: entry},
        "failures": {},
        **dict.fromkeys(("proxy", "connectionid", "host", "port", "expirationsec")),
        "ansible_facts": {"remoteit_connection": entry},
    }


# -- hostip and wait ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hostip", "wait", "proxy", "restriction", "warning"),
    [
        ("203.0.113.7", True, PROXY, "address", None),
        ("255.255.255.255", True, PROXY, "latching", None),
        ("0.0.0.0", True, PROXY, "public", "opens the proxy to everyone"),
        ("203.0.113.7", True, "https://web.p1.rt3.io", "public", "hostip does not protect a reverse proxy"),
        (None, True, "https://web.p1.rt3.io", "public", None),
        (None, False, PROXY, "caller", "wait"),
    ],
)
def test_hostip_and_wait_set_the_restriction(
    mock_api: MockApi, hostip: str | None, wait: bool, proxy: str, restriction: str, warning: str | None
) -> None:
    body = {"deviceaddress": SERVICE, "wait": str(wait).lower(), **({"hostip": hostip} if hostip else {})}
    mock_api.expect("POST", "/device/connect", opened(proxy=proxy), body=body)
    result = run(SERVICE, hostip=hostip, wait=wait)
    assert result["connections"][SERVICE]["restriction"] == restriction
    assert [warning in text for text in result.get("warnings", [])] == ([True] if warning else [])


def test_connect_returns_no_secret(mock_api: MockApi) -> None:
    mock_api.unordered = True
    mock_api.expect_connect(SERVICES[0], opened(SERVICES[0], token=TOKEN))
    mock_api.expect_connect(SERVICES[1], refused(f"{TOKEN} {KEY}", 400))
    result = str(run(*SERVICES[:2]))
    assert TOKEN not in result and KEY not in result
