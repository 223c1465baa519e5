# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The responses to a connect call: all known forms, and invalid ones."""

from __future__ import annotations

import datetime
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection, parse_proxy
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import BadAnswerError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import truthy
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import (
    GRAPHQL_CONNECTION,
    ID,
    SERVICE,
)

PORT_PROXY = "http://proxy18.rt3.io:38575"


DOCUMENTED = {
    "connection": {
        "deviceaddress": "80:00:00:00:00:00:00:91",
        "expirationsec": "28797",
        "proxy": "https://xppoobalo.p18.rt3.io",
        "connectionid": "A78B3919-52E1-B674-58CC-5C0009377419",
    },
    "status": "true",
}
RECORDED_2021 = {
    "status": "true",
    "connection": {
        "deviceaddress": "80:00:00:00:01:00:40:C5",
        "status": "running",
        "requested": "1/15/2021T6:20 PM",
        "proxy": "http://proxy40.rt3.io:34168",
        "proxyserver": "proxy40.rt3.io",
        "proxyport": "34168",
        "expirationsec": "28800",
        "connectionid": ID,
        "proxyServerPort": 34168,
        "proxyExpirationSec": 28800,
        "filteredIP": "latching",
        "proxyURL": "proxy40.rt3.io:34168",
        "reverseProxy": False,
        "lifeLeft": 86400,
        "idleLeft": 900,
    },
    "wait": True,
    "connectionid": ID,
}
RECORDED_2020 = {
    "status": "true",
    "connection": {
        "connectionid": "972ac13a-7169-476b-8fd4-5cd9cdd9924a",
        "connectionOverridden": "true",
        "deviceaddress": "80:00:00:00:01:00:40:C5",
        "expirationsec": "28796",
        "previousConnection": "http://proxy17.rt3.io:32192",
        "proxy": "http://proxy2.remot3.it:37993",
        "proxyport": "37993",
        "proxyserver": "proxy2.remot3.it",
        "status": "http://proxy2.remot3.it:37993",
        "streamscheme": [None],
        "streamuri": [None],
        "url": [None],
    },
    "wait": True,
    "connectionid": "972ac13a-7169-476b-8fd4-5cd9cdd9924a",
}


def response(**connection: t.Any) -> dict[str, t.Any]:
    return {"status": "true", "connection": {"connectionid": ID, "proxy": PORT_PROXY, **connection}}


def read(body: dict[str, t.Any], service: str = SERVICE, hostip: str | None = None) -> Connection:
    return Connection.from_rest(body, service, hostip)


# -- the proxy -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"proxy": "https://xprbjalo.p18.rt3.io"}, ("xprbjalo.p18.rt3.io", 443, "https")),
        ({"proxy": "http://xprbjalo.p18.rt3.io"}, ("xprbjalo.p18.rt3.io", 80, "http")),
        ({"proxy": PORT_PROXY}, ("proxy18.rt3.io", 38575, "tcp")),
        ({"proxy": "https://proxy18.rt3.io:38575"}, ("proxy18.rt3.io", 38575, "tcp")),
        ({"proxy": "HTTP://proxy18.rt3.io:38575/"}, ("proxy18.rt3.io", 38575, "tcp")),
        ({"proxy": "http://proxy72.rt3.io/vnc/vnc.php?port=34861"}, ("proxy72.rt3.io", 34861, "tcp")),
        ({"proxy": "http://proxy72.rt3.io/rdp/rdp.php?port=38631"}, ("proxy72.rt3.io", 38631, "tcp")),
        ({"proxy": "http://203.0.113.7:38575"}, ("203.0.113.7", 38575, "tcp")),
        ({"proxy": "http://[2001:db8::7]:38575"}, ("2001:db8::7", 38575, "tcp")),
        # separate fields come before the URL
        ({"proxy": PORT_PROXY, "proxyserver": "proxy9.rt3.io", "proxyport": "24292"}, ("proxy9.rt3.io", 24292, "tcp")),
        ({"proxy": PORT_PROXY, "proxyserver": "proxy9.rt3.io", "proxyServerPort": 1}, ("proxy9.rt3.io", 1, "tcp")),
        ({"proxy": "http://proxy18.rt3.io", "proxyport": "65535"}, ("proxy18.rt3.io", 65535, "tcp")),
        ({"proxy": PORT_PROXY, "proxyport": [None]}, ("proxy18.rt3.io", 38575, "tcp")),
        ({"proxy": PORT_PROXY, "proxyserver": [None]}, ("proxy18.rt3.io", 38575, "tcp")),
        ({"proxy": PORT_PROXY, "proxyserver": None, "proxyport": None}, ("proxy18.rt3.io", 38575, "tcp")),
        # the fields of a reverse proxy are wrong
        (
            {
                "proxy": "https://b2e3fsxn5q6.p19.rt3.io",
                "proxyURL": "b2e3fsxn5q6.p19.rt3.io",
                "reverseProxy": True,
                "proxyserver": "proxy19.rt3.io",
                "proxyport": "24292",
                "proxyServerPort": 24292,
            },
            ("b2e3fsxn5q6.p19.rt3.io", 443, "https"),
        ),
        ({"proxy": "https://web.p19.rt3.io:8443", "reverseProxy": "true"}, ("web.p19.rt3.io", 8443, "https")),
        ({"proxy": PORT_PROXY, "reverseProxy": "false"}, ("proxy18.rt3.io", 38575, "tcp")),
        ({"proxy": PORT_PROXY, "reverseProxy": [None]}, ("proxy18.rt3.io", 38575, "tcp")),
        # null in a list is an absent value
        (
            {"proxy": PORT_PROXY, "proxyserver": "proxy9.rt3.io", "proxyServerPort": [None], "proxyport": "24292"},
            ("proxy9.rt3.io", 24292, "tcp"),
        ),
        (
            {"proxy": "https://web.p19.rt3.io", "proxyserver": [None], "proxyport": [None]},
            ("web.p19.rt3.io", 443, "https"),
        ),
        # the port can be in proxyURL only
        ({"proxy": "http://proxy40.rt3.io", "proxyURL": "proxy40.rt3.io:34168"}, ("proxy40.rt3.io", 34168, "tcp")),
    ],
)
def test_parse_proxy_reads_every_known_form(body: dict[str, t.Any], expected: tuple[str, int, str]) -> None:
    assert parse_proxy(body) == (body["proxy"], *expected)


@pytest.mark.parametrize("proxy", [
    None, "", [None], 38575, {"host": "proxy18.rt3.io"}, "proxy18.rt3.io:38575", "ssh://proxy18.rt3.io:38575",
    "file:///etc/passwd", "http://", "http://:38575", "http://-oProxyCommand=x:38575", "http://proxy18 .rt3.io:38575",
    "http://proxy18.rt3.io:38575\n", "http://proxy18.rt3.io\n:38575", "http://proxy18..rt3.io:38575",
    "http://proxy18_.rt3.io:38575", "http://pröxy.rt3.io:38575", "http://$(id).rt3.io:38575",
    f"http://{'a' * 64}.rt3.io:38575", f"http://{'.'.join(['a' * 63] * 4)}.rt3.io:38575",
    "http://user@proxy18.rt3.io:38575", "http://:secret@proxy18.rt3.io:38575", "http://[::1:38575",
    "http://proxy18.rt3.io:0", "http://proxy18.rt3.io:65536", "http://proxy18.rt3.io:-1", "http://proxy18.rt3.io:ssh",
    "http://proxy18.rt3.io/?port=0", "http://proxy18.rt3.io/?port=65536", "http://proxy18.rt3.io/?port=22%20-oX",
])  # fmt: skip
def test_parse_proxy_rejects_invalid_url(proxy: t.Any) -> None:
    with pytest.raises(BadAnswerError):
        parse_proxy({"proxy": proxy})


@pytest.mark.parametrize(
    "proxy", ["http://?port=24292", "http:///x", "http://-oX:24292", "http://:24292", "http://a%b"]
)
def test_parse_proxy_rejects_url_without_host(proxy: str) -> None:
    with pytest.raises(BadAnswerError):
        parse_proxy({"proxy": proxy, "proxyserver": "proxy9.rt3.io", "proxyport": "24292"})


@pytest.mark.parametrize("host", [
    "-oProxyCommand=x", "proxy9.rt3.io -oX", "proxy9.rt3.io\n", "../proxy9", "proxy9.rt3.io/", "user@proxy9.rt3.io",
    "proxy9.rt3.io:22", "proxy9.rt3.io.", "[::1]", "fe80::1%$(id)", "fe80::1%\nHost *",
])  # fmt: skip
def test_parse_proxy_rejects_invalid_proxyserver(host: str) -> None:
    with pytest.raises(BadAnswerError):
        parse_proxy({"proxy": PORT_PROXY, "proxyserver": host, "proxyport": "24292"})


@pytest.mark.parametrize(
    "port",
    ["-1", "65536", "22 ", "22\n", "+22", "0x16", "٢٢", "22.0", 22.0, -22, 65536, True, {"port": 22}, "1" * 5000],
)
def test_parse_proxy_rejects_invalid_proxyport(port: t.Any) -> None:
    with pytest.raises(BadAnswerError):
        parse_proxy({"proxy": PORT_PROXY, "proxyserver": "proxy9.rt3.io", "proxyport": port})


# -- REST -------------------------------------------------------------------------------------------------------------


def test_from_rest_reads_the_documented_response() -> None:
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    connection = read(DOCUMENTED, "80:00:00:00:00:00:00:91")
    expires_at = datetime.datetime.strptime(connection.as_result()["expires_at"], "%Y-%m-%dT%H:%M:%S%z")
    assert {**connection.as_result(), "expires_at": None} == {
        "deviceaddress": "80:00:00:00:00:00:00:91",
        "name": None,
        "connectionid": "A78B3919-52E1-B674-58CC-5C0009377419",
        "proxy": "https://xppoobalo.p18.rt3.io",
        "host": "xppoobalo.p18.rt3.io",
        "port": 443,
        "scheme": "https",
        "reverse_proxy": True,
        "expirationsec": 28797,
        "expires_at": None,
        "restriction": "public",
        "reused": False,
        "host_key_alias": "remoteit-80-00-00-00-00-00-00-91",
    }
    assert 28797 <= (expires_at - before).total_seconds() < 28797 + 60


@pytest.mark.parametrize(
    ("body", "host", "port", "seconds", "overrode"),
    [(RECORDED_2021, "proxy40.rt3.io", 34168, 28800, False), (RECORDED_2020, "proxy2.remot3.it", 37993, 28796, True)],
)
def test_from_rest_reads_recorded_responses(
    body: dict[str, t.Any], host: str, port: int, seconds: int, overrode: bool
) -> None:
    connection = read(body)
    assert (connection.host, connection.port, connection.scheme) == (host, port, "tcp")
    assert (connection.connectionid, connection.expirationsec) == (body["connectionid"], seconds)
    assert connection.overrode is overrode


@pytest.mark.parametrize(
    ("hostip", "rest", "graphql"),
    [
        (None, "caller", "latching"),
        ("255.255.255.255", "latching", "latching"),
        ("0.0.0.0", "public", "public"),
        ("203.0.113.7", "address", "address"),
    ],
)
def test_hostip_sets_the_restriction(hostip: str | None, rest: str, graphql: str) -> None:
    assert read(response(), hostip=hostip).restriction == rest
    assert from_graphql(hostip).restriction == graphql


def test_from_rest_reverse_proxy_is_public() -> None:
    assert read(response(proxy="https://web.p18.rt3.io"), hostip="203.0.113.7").restriction == "public"


@pytest.mark.parametrize(
    ("inner", "top", "expected"),
    [
        (ID, None, ID),
        (None, ID, ID),
        ([None], ID, ID),
        ("", ID, ID),
        (ID.upper(), ID, ID.upper()),  # the inner one comes first, in its case
        ("e2a92e32911a247214b962839dd03ce1a0ce2c7d", None, "e2a92e32911a247214b962839dd03ce1a0ce2c7d"),
    ],
)
def test_from_rest_finds_the_connectionid(inner: t.Any, top: t.Any, expected: str) -> None:
    assert read({**response(connectionid=inner), "connectionid": top}).connectionid == expected


@pytest.mark.parametrize("value", [None, [None], "", 7, "-rf", "a b", "a/b", "a\n", "ä", "x" * 129])
def test_response_without_connectionid_is_rejected(value: t.Any) -> None:
    with pytest.raises(BadAnswerError, match="it expires at ") as caught:
        read(response(connectionid=value, expirationsec="28797"))
    assert caught.value.connectionid is None
    with pytest.raises(BadAnswerError, match="it expires at ") as caught:
        from_graphql(id=value)
    assert caught.value.connectionid is None


@pytest.mark.parametrize("body", [{"status": "true"}, {"connection": None}, {"connection": []}, {"connection": "x"}])
def test_from_rest_without_connection_has_connectionid(body: dict[str, t.Any]) -> None:
    with pytest.raises(BadAnswerError) as caught:
        read({**body, "connectionid": ID})
    assert caught.value.connectionid == ID


def test_from_rest_rejects_response_about_another_service() -> None:
    with pytest.raises(BadAnswerError) as caught:
        read(response(deviceaddress="80:00:00:00:00:00:00:91"))
    assert caught.value.connectionid == ID


@pytest.mark.parametrize("echoed", [SERVICE.lower(), SERVICE.upper(), None, "", [None]])
def test_from_rest_ignores_the_case_of_the_service_id(echoed: t.Any) -> None:
    assert read(response(deviceaddress=echoed), SERVICE.lower()).deviceaddress == SERVICE.lower()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"expirationsec": "1790"}, 1790),
        ({"expirationsec": 28800}, 28800),
        ({"proxyExpirationSec": 28800}, 28800),
        ({}, None),
        *(({"expirationsec": value}, None) for value in (None, [None], "", "-5", "0", 0, "soon", True, "9" * 400)),
    ],
)
def test_expirationsec_is_optional(fields: dict[str, t.Any], expected: int | None) -> None:
    connection = read(response(**fields))
    assert connection.expirationsec == expected
    assert (connection.expires_at is None) is (expected is None)


@pytest.mark.parametrize(("value", "expected"), [
    (True, True), ("true", True), ("True", True), ("true ", True), (False, False), ("false", False), ("", False),
    (1, False), (None, False), ([None], False),
])  # fmt: skip
def test_truthy_accepts_booleans_and_texts(value: t.Any, expected: bool) -> None:
    assert truthy(value) is expected


def test_from_result_restores_the_connection() -> None:
    connection = read(RECORDED_2021)
    assert Connection.from_result({**connection.as_result(), "something_new": 1}) == connection


# -- GraphQL -----------------------------------------------------------------------------------------------------------

REVERSE_RESPONSE = {"id": ID, "host": "a4csg2w9f8wipk.p16.rt3.io", "port": None, "reverseProxy": True, "timeout": 28800}


def from_graphql(hostip: str | None = None, **changes: t.Any) -> Connection:
    return Connection.from_graphql({**GRAPHQL_CONNECTION, **changes}, SERVICE, hostip)


@pytest.mark.parametrize(
    ("content", "proxy", "port", "scheme", "restriction"),
    [
        (GRAPHQL_CONNECTION, "http://proxy18.rt3.io:37488", 37488, "tcp", "latching"),
        (REVERSE_RESPONSE, "https://a4csg2w9f8wipk.p16.rt3.io", 443, "https", "public"),
        ({**REVERSE_RESPONSE, "port": 24292}, "https://a4csg2w9f8wipk.p16.rt3.io", 443, "https", "public"),
        ({**GRAPHQL_CONNECTION, "host": "203.0.113.9"}, "http://203.0.113.9:37488", 37488, "tcp", "latching"),
        ({**GRAPHQL_CONNECTION, "host": "2001:db8::7"}, "http://[2001:db8::7]:37488", 37488, "tcp", "latching"),
    ],
)
def test_from_graphql_returns_the_same_form_as_rest(
    content: dict[str, t.Any], proxy: str, port: int, scheme: str, restriction: str
) -> None:
    connection = Connection.from_graphql(content, SERVICE, None)
    assert (connection.proxy, connection.host, connection.port) == (proxy, content["host"], port)
    assert (connection.scheme, connection.restriction, connection.expirationsec) == (scheme, restriction, 28800)
    assert (connection.deviceaddress, connection.connectionid) == (SERVICE, ID)
    assert connection.expires_at is not None
    # a URL that REST would send for the same proxy
    assert parse_proxy({"proxy": proxy}) == (proxy, content["host"], port, scheme)


@pytest.mark.parametrize("changes", [
    {"host": "-oProxyCommand=x"}, {"host": "proxy18.rt3.io\n"}, {"host": "fe80::1%\nHost *"}, {"host": None},
    {"host": ["proxy18.rt3.io"]}, {"port": None}, {"port": 0}, {"port": 65536}, {"port": "22 -oX"}, {"port": True},
    {"host": "-oX", "reverseProxy": True},
])  # fmt: skip
def test_from_graphql_rejects_invalid_host_or_port(changes: dict[str, t.Any]) -> None:
    with pytest.raises(BadAnswerError) as caught:
        from_graphql(**changes)
    assert caught.value.connectionid == ID


@pytest.mark.parametrize(("value", "seconds"), [("28800", 28800), (None, None), (-1, None), (True, None), ("x", None)])
def test_from_graphql_timeout_is_optional(value: t.Any, seconds: int | None) -> None:
    assert from_graphql(timeout=value).expirationsec == seconds
