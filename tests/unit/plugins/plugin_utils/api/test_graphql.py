# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GraphQL API: requests, refusals, sessions, pages of devices and organizations."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import email.utils
import json
import re
import time
import typing as t

import pytest
import requests

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api import graphql as _graphql
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account, Api
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectRequest, connect_one
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import ApiSession, Device, DeviceFilter
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    AuthError,
    BadAnswerError,
    ConnectOutcome,
    NotFoundError,
    NotSharedError,
    OptionsError,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.transport import Transport
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import (
    ACCESS_KEY_ID,
    GRAPHQL_CONNECTION,
    ID,
    SECRET_ACCESS_KEY,
    SERVICE,
    SERVICES,
    WITH_ACCESS_KEY,
    MockApi,
    Reply,
    account,
    sessions,
)

STOP = {"connectionId": ID, "serviceId": SERVICE}
PAGE = {"size": 1000, "from": 0}


def api() -> Api:
    return account(WITH_ACCESS_KEY).api()


def opened(**changes: t.Any) -> Reply:
    return Reply({"data": {"connect": {**GRAPHQL_CONNECTION, **changes}}})


def stopped(reply: t.Any = True) -> Reply:
    return Reply({"data": {"disconnect": reply}})


def errors(*messages: str, data: t.Any = None, status: int = 200) -> Reply:
    return Reply({"errors": [{"message": message} for message in messages], "data": data}, status)


def item(number: int, name: str | None = None, **more: t.Any) -> dict[str, t.Any]:
    name = f"kiosk-{number}" if name is None else name
    return {"id": SERVICES[number], "name": name, "state": "active", "services": [], "tags": [], **more}


def page(*items: t.Any, more: t.Any = False, **fields: t.Any) -> dict[str, t.Any]:
    return {"items": list(items), "hasMore": more, **fields}


def paged(*items: t.Any, more: t.Any = False, **fields: t.Any) -> Reply:
    return Reply({"data": {"login": {"devices": page(*items, more=more, **fields)}}})


def query(mock_api: MockApi, number: int = -1) -> str:
    return t.cast(str, json.loads(mock_api.sent[number].body or "")["query"])


def listed(wanted: DeviceFilter | None = None) -> tuple[list[Device], list[str]]:
    """Return the devices that match, and the warnings."""
    warnings: list[str] = []
    return list(api().devices(wanted or DeviceFilter(), warnings.append)), warnings


def names(found: tuple[list[Device], list[str]]) -> list[str | None]:
    assert found[1] == []
    return [device.name for device in found[0]]


# -- connect -----------------------------------------------------------------------------------------------------------


def test_connect_sends_a_signed_mutation(mock_api: MockApi) -> None:
    mock_api.expect_query({"serviceId": SERVICE}, opened())
    connection = api().connect(SERVICE)
    assert (connection.connectionid, connection.proxy) == (ID, "http://proxy18.rt3.io:37488")
    assert connection.restriction == "latching"
    assert query(mock_api) == (
        "mutation Connect($serviceId: String!)"
        " { connect(serviceId: $serviceId) { id host port url reverseProxy timeout } }"
    )
    headers = mock_api.sent[0].headers
    assert str(headers["Authorization"]).startswith(f'Signature keyId="{ACCESS_KEY_ID}",algorithm="hmac-sha256"')
    assert headers["Content-Type"] == "application/json"
    assert not {"token", "developerkey"} & {name.lower() for name in headers}


def test_connect_sends_hostip_as_a_variable(mock_api: MockApi) -> None:
    mock_api.expect_query({"serviceId": SERVICE, "hostIP": "203.0.113.7"}, opened())
    assert api().connect(SERVICE, "203.0.113.7", wait=False).restriction == "address"
    assert query(mock_api).startswith(
        "mutation Connect($serviceId: String!, $hostIP: String!) { connect(serviceId: $serviceId, hostIP: $hostIP) {"
    )


FAILURES = [
    Reply("", 500),
    Reply({"message": "Internal server error"}, 502),
    Reply("", 503, {"Retry-After": "0"}),
    requests.exceptions.ConnectionError(),
    requests.exceptions.ReadTimeout(),
]


@pytest.mark.parametrize("failure", [*FAILURES, Reply("")])
def test_connect_is_not_repeated(mock_api: MockApi, pauses: list[float], failure: t.Any) -> None:
    mock_api.expect_query({"serviceId": SERVICE}, failure)
    with pytest.raises(RemoteItError):
        api().connect(SERVICE)
    assert pauses == []


def test_connect_in_many_threads(mock_api: MockApi) -> None:
    mock_api.unordered = True
    for service in SERVICES[:8]:
        mock_api.expect_query({"serviceId": service}, opened(id=f"id-{service}"))
    one = api()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for connection in pool.map(one.connect, SERVICES[:8]):
            assert connection.connectionid == f"id-{connection.deviceaddress}"


# -- refusals ----------------------------------------------------------------------------------------------------------


def expect_refusal(mock_api: MockApi, reply: t.Any) -> None:
    """Expect a connect call that the API refuses, and the question whether a session has started."""
    mock_api.expect_query({"serviceId": SERVICE}, reply)
    mock_api.expect_query({"id": [SERVICE]}, sessions())


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (errors("Service is inactive"), "offline"),
        (errors("Maximum number of connections reached"), "throttled"),
        (errors("Device not found"), "not_found"),
        (errors("[0861] x"), "not_found"),
        (errors("You have no permission to connect"), "not_shared"),
        (errors("Invalid Date"), "auth"),
        (errors("Unauthorized", status=400), "auth"),
        (errors("Too Many Requests"), "throttled"),
    ],
)
def test_refusal_has_the_code_of_its_reason(mock_api: MockApi, reply: Reply, code: str) -> None:
    expect_refusal(mock_api, reply)
    with pytest.raises(RemoteItError) as caught:
        api().connect(SERVICE)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (errors("Unknown service 80:00"), "not_found"),
        (errors("upstream request timed out"), "timeout"),
        (errors("The service is offline for maintenance"), "api"),
        (errors("one", "two", "one"), "api"),
        (errors('Cannot query field "x" on type "Device".', status=400), "api"),
        (errors("some", data={"connect": None}), "api"),
        (Reply({"errors": "odd"}), "api"),
        (Reply({"errors": [None, 7, {}, {"message": 7}, "text"]}), "api"),
        (Reply({"errors": [{}]}), "api"),
        (Reply({"errors": {"message": "one alone"}}), "api"),
        (Reply({"message": "Internal server error"}, 502), "api"),
        (Reply({"data": {"connect": GRAPHQL_CONNECTION}}, 500), "api"),
        (Reply({"data": None}), "bad_answer"),
        (Reply({"data": {"connect": []}}), "bad_answer"),
        (Reply({}), "bad_answer"),
        (Reply("<h1>404</h1>", 404), "bad_answer"),
        (Reply(""), "bad_answer"),
        (Reply([]), "bad_answer"),
    ],
)
def test_failure_has_the_code_of_its_reason(mock_api: MockApi, reply: Reply, code: str) -> None:
    mock_api.expect_query(None, reply)
    with pytest.raises(RemoteItError) as caught:
        api().connect(SERVICE)
    assert caught.value.code == code


def test_unauthorized_names_the_request_and_the_access_key(mock_api: MockApi) -> None:
    expect_refusal(mock_api, lambda request: Reply(errors("unauthorized").body, headers=at(0)))
    with pytest.raises(AuthError) as caught:
        api().connect(SERVICE)
    assert caught.value.message == (
        "the API says: unauthorized, about: mutation Connect"
        " (check the access key; the clock of this machine agrees with the API's)"
    )


@pytest.mark.parametrize("data", [None, {"connect": None}])
def test_forbidden_connect_is_not_a_wrong_access_key(mock_api: MockApi, data: t.Any) -> None:
    expect_refusal(mock_api, errors("Forbidden", data=data))
    with pytest.raises(NotSharedError):
        api().connect(SERVICE)


@pytest.mark.parametrize("message", ["unauthorized", "403: Forbidden", "401: Unauthorized", "Not Authorised!"])
def test_unauthorized_field_is_not_a_wrong_access_key(mock_api: MockApi, message: str) -> None:
    """The null of a required field below ``login`` spreads up to the whole response."""
    refusal = {"message": message, "path": ["login", "account", "devices"]}
    mock_api.expect_query(PAGE, Reply({"errors": [refusal], "data": None}))
    with pytest.raises(NotSharedError, match=rf"{message}, about: login\.account\.devices"):
        listed()


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ("Forbidden", ["connect", "url"]),
        ("Unauthorized", ["connect", "url"]),
        ("Permission denied for field timeout", ["connect", "timeout"]),
        ("Session for device not found", ["connect", "host"]),
        ("Unknown operation failure", ["connect"]),
    ],
)
def test_connect_with_an_error_below_it_is_unclear(mock_api: MockApi, message: str, path: list[str]) -> None:
    """The mutation was executed: the null of a field has replaced the connection."""
    reply = Reply({"data": {"connect": None}, "errors": [{"message": message, "path": path}]})
    mock_api.expect_query({"serviceId": SERVICE}, reply)
    with pytest.raises(RemoteItError) as failed:
        api().connect(SERVICE)
    assert failed.value.outcome is ConnectOutcome.UNCLEAR


@pytest.mark.parametrize(
    ("status", "result", "message"),
    [*((status, None, "Forbidden") for status in (400, 403, 404)), (200, {"host": "x"}, "Service is inactive")],
)
def test_connect_with_a_result_is_unclear(mock_api: MockApi, status: int, result: t.Any, message: str) -> None:
    reply = Reply({"data": {"connect": result}, "errors": [{"message": message}]}, status)
    mock_api.expect_query({"serviceId": SERVICE}, reply)
    with pytest.raises(RemoteItError) as failed:
        api().connect(SERVICE)
    assert failed.value.outcome is ConnectOutcome.UNCLEAR


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (("timeout", "Forbidden"), NotSharedError),
        (("timeout", "Unauthorized"), NotSharedError),
        (("Unauthorized", "unauthorized"), AuthError),
        (("Unauthorized field or type",), NotSharedError),
    ],
)
def test_forbidden_field_is_named_after_another_error(
    mock_api: MockApi, messages: tuple[str, ...], expected: type[RemoteItError]
) -> None:
    found = [{"message": message, "path": ["login"]} for message in messages]
    mock_api.expect_query({}, Reply({"errors": found, "data": None}))
    with pytest.raises(expected, match="about: login"):
        api().sessions()


@pytest.mark.parametrize("message", ["forbidden", "Unauthorized"])
def test_partially_forbidden_list_is_incomplete(mock_api: MockApi, message: str) -> None:
    refusal = {"message": message, "path": ["login", "devices", "items", 0, "tags"]}
    data = {"login": {"devices": page(item(1))}}
    mock_api.expect_query(PAGE, Reply({"errors": [refusal], "data": data}))
    devices, (warning,) = listed()
    assert [device.name for device in devices] == ["kiosk-1"]
    assert "login.devices.items.tags" in warning


def at(seconds: int) -> dict[str, str]:
    """Return the headers of a response, from a clock that is ahead by these seconds."""
    return {"Date": email.utils.formatdate(time.time() + seconds, usegmt=True)}


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", ["Unauthorized", "", {"message": "Forbidden"}, {"errors": [{"message": "no"}]}])
def test_refused_signature_is_an_auth_error(mock_api: MockApi, status: int, body: t.Any) -> None:
    mock_api.expect_query(None, Reply(body, status))
    with pytest.raises(AuthError) as caught:
        api().connect(SERVICE)
    assert f"HTTP {status}" in caught.value.message
    assert "seconds" not in caught.value.message  # the response has no date


@pytest.mark.parametrize("status", [401, 403])
def test_page_of_a_gateway_is_no_auth_error(mock_api: MockApi, status: int) -> None:
    mock_api.expect_query(None, Reply("<html>", status))
    with pytest.raises(BadAnswerError, match="a proxy or a gateway may have sent") as caught:
        connect_one(api(), SERVICE, ConnectRequest((SERVICE,)))
    assert caught.value.outcome is ConnectOutcome.REFUSED


@pytest.mark.parametrize("reply", [Reply("Unauthorized", 403), errors("Invalid Date")])
@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3600, "(3599|3600) seconds behind"), (-431, "43[12] seconds ahead of"), (0, "agrees with"), (-9, "agrees with")],
)
def test_auth_error_compares_the_clocks(mock_api: MockApi, reply: Reply, seconds: int, words: str) -> None:
    mock_api.expect_query({}, lambda request: Reply(reply.body, reply.status, at(seconds)))
    with pytest.raises(AuthError) as caught:
        api().sessions()
    assert re.search(words, caught.value.message)


def test_refused_signature_names_the_proxy(mock_api: MockApi) -> None:
    mock_api.expect_query({}, Reply({"message": "Access denied by policy"}, 403))
    with pytest.raises(AuthError, match="the proxy http://p:3128 may have sent this response"):
        Account(WITH_ACCESS_KEY, Transport({"https": "http://p:3128"})).api().sessions()


@pytest.mark.parametrize("date", ["", "yesterday", "Tue, 99 Jun 2022 20:51:35 GMT", "1"])
def test_auth_error_ignores_invalid_date(mock_api: MockApi, date: str) -> None:
    mock_api.expect_query(None, Reply("", 403, {"Date": date}))
    with pytest.raises(AuthError, match=r"clock of this machine is wrong$"):
        api().connect(SERVICE)


@pytest.mark.parametrize("status", [200, 403])
def test_refusal_masks_secrets(mock_api: MockApi, status: int) -> None:
    def echo(request: requests.PreparedRequest) -> Reply:
        return errors(f"no: {request.headers['Authorization']} {SECRET_ACCESS_KEY} \x1b[31m", status=status)

    mock_api.expect_query(None, echo)
    with pytest.raises(RemoteItError, match=r"no: Signature keyId") as caught:
        api().connect(SERVICE)
    signature = str(mock_api.sent[0].headers["Authorization"]).split('signature="')[1].rstrip('"')
    for secret in (SECRET_ACCESS_KEY, ACCESS_KEY_ID, signature, "\x1b"):
        assert secret not in caught.value.message


def test_bad_response_masks_secrets(mock_api: MockApi) -> None:
    mock_api.expect_query(None, opened(host=f"{SECRET_ACCESS_KEY} x"))
    with pytest.raises(BadAnswerError) as caught:
        api().connect(SERVICE)
    assert SECRET_ACCESS_KEY not in caught.value.message


@pytest.mark.parametrize("reply", [opened(host="-oX"), errors("half done", data={"connect": GRAPHQL_CONNECTION})])
def test_connect_one_closes_unusable_connection(mock_api: MockApi, reply: Reply) -> None:
    mock_api.expect_query({"serviceId": SERVICE}, reply)
    mock_api.expect_query(STOP, stopped())
    with pytest.raises(RemoteItError) as caught:
        connect_one(api(), SERVICE, ConnectRequest((SERVICE,)))
    assert (caught.value.outcome, caught.value.connectionid) == (ConnectOutcome.REFUSED, None)


def outcome_of_connect() -> ConnectOutcome | None:
    with pytest.raises(RemoteItError) as caught:
        connect_one(api(), SERVICE, ConnectRequest((SERVICE,)))
    assert caught.value.as_failure().get("may_be_open", False) is (caught.value.outcome is not ConnectOutcome.REFUSED)
    return caught.value.outcome


GIVEN_UP = [408, 499, 502, 503, 504, *range(520, 528)]
#: Errors that can occur after the connection was opened, with the words of a refusal.
LATER_ERRORS = [
    "the proxy session became inactive before it was ready",
    "Connection lost: the device went offline while connecting",
    "connection is inactive",
    "could not store the connection: rate limit exceeded",
    "the monitor of the proxy got too many requests",
    "api key usage could not be stored",
    # errors inside the API
    "EMFILE: too many open files, open '/var/lib/x'",
    "Maximum call stack size exceeded",
    "sorry, too many clients already",
    "User: arn:aws:sts::1:assumed-role/api is not authorized to perform: dynamodb:PutItem on resource: table/sessions",
    "ER_ACCESS_DENIED_ERROR: Access denied for user 'api'@'10.0.0.1'",
    "permission denied for table sessions",
    "database main is offline",
    "Redis cluster is inactive",
    "proxyd[0123]: could not store the session",
]


@pytest.mark.parametrize(
    "reply",
    [
        errors("Internal error"),
        errors("internal server error", status=500),
        errors("internal server error", status=400),
        errors("inactive", status=500),
        errors("inactive", status=409),
        errors("something new", status=400),
        errors("something new", status=422),
        Reply({}, 400),
        Reply({"message": "Internal server error"}, 500),
        # keywords of errors that can occur after the connection was opened
        errors("Unknown service error"),
        errors("service error: unknown failure"),
        errors(f"device proxy of {SERVICE}: endpoint not found after start"),
        errors("session store: permission denied"),
        *(errors(message) for message in LATER_ERRORS),
        *(Reply({"data": {"connect": None}, "errors": [{"message": m, "path": ["connect"]}]}) for m in LATER_ERRORS),
        Reply({"data": {"connect": None}, "errors": [{"message": "Unknown type of proxy"}]}),
        # from a part of the API that another part asked
        Reply({"data": {"connect": None}, "errors": [{"message": 'Cannot query field "x" on type "Y".'}]}),
        Reply({"data": None, "errors": [{"message": 'Cannot query field "x" on type "Y".', "path": ["connect"]}]}),
        Reply({"data": {"connect": {"host": "p"}}, "errors": [{"message": "Expected type ID"}]}),
        *FAILURES,
        Reply("", 400),
        Reply("<h1>502 Bad Gateway</h1>", 400),
        *(Reply(body, status) for status in GIVEN_UP for body in ("", "<h1>", {"message": "x"}, {"errors": [{}]})),
        *(errors("inactive", status=status) for status in GIVEN_UP),
        Reply("<h1>Slim Application Error</h1>", 500),
        errors("upstream request timed out"),
        errors("socket hang up"),
        errors("Bad gateway", status=500),
        errors("context deadline exceeded"),
        errors("read ECONNRESET"),
        errors("inactive: connection to the monitor was closed, ETIMEDOUT"),
        errors("The service is offline for maintenance"),
        Reply({"data": {}}),
        opened(id=None),
    ],
)
def test_connect_one_has_outcome_unclear(mock_api: MockApi, reply: t.Any) -> None:
    """The API may have opened a connection before the error, or may still be opening one."""
    mock_api.expect_query({"serviceId": SERVICE}, reply)
    assert outcome_of_connect() is ConnectOutcome.UNCLEAR


VALIDATION_ERRORS = [
    'Cannot query field "url" on type "Connection".',
    'Unknown argument "hostIP" on field "Mutation.connect".',
    'Unknown type "ListFilter".',
    'Variable "$serviceId" of required type "String!" was not provided.',
    'Field "connect" argument "serviceId" of type "String!" is required, but it was not provided.',
    "Syntax Error: Expected Name, found <EOF>.",
    'Value "FAST" does not exist in "ProxyType" enum.',
    'There can be only one argument named "hostIP".',
    "'Connect' exceeds maximum operation depth of 1",
    "The query exceeds the maximum complexity of 20. Actual complexity is 21",
    "The query exceeds the maximum cost of 5. Actual cost is 6",
    "Query is too complex: 21. Maximum allowed complexity: 20",
    "Schema is not configured to execute mutation operation.",
    "PersistedQueryOnly",
]


@pytest.mark.parametrize(
    "reply",
    [
        *(Reply(body, status) for status in (401, 403, 404) for body in ("", "<h1>")),
        errors("timed out", status=404),
        *(
            Reply({"errors": [{"message": "x", "extensions": {"code": code}}]}, 400)
            for code in ("GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "OPERATION_RESOLUTION_FAILURE")
        ),
        Reply({"message": "Bad Request"}, 400),
        *(Reply({"errors": [{"message": message}]}, status) for message in VALIDATION_ERRORS for status in (200, 400)),
        *(Reply({"errors": [{"message": message}], "data": None}, 400) for message in VALIDATION_ERRORS),  # Mercurius
        Reply({"errors": [{"message": "x", "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}], "data": None}),
    ],
)
def test_call_that_was_not_executed_is_refused(mock_api: MockApi, reply: t.Any) -> None:
    mock_api.expect_query({"serviceId": SERVICE}, reply)
    assert outcome_of_connect() is ConnectOutcome.REFUSED


REFUSALS = [
    errors("inactive"),
    errors(f"{SERVICE} is offline"),
    errors('The device "kiosk 1" is currently not online.'),
    errors("Service is inactive. Please ensure that the device is online."),
    errors("device is\ninactive", "Could not connect: service is inactive"),
    errors("Rate limit exceeded, please retry in 2 seconds"),
    errors("Too many requests, please try again in 3 seconds."),
    errors("Service not found"),
    errors("You have no permission to connect"),
    errors("Maximum session limit reached"),
    errors("Proxy connection limit reached"),
    errors(f"Unknown device {SERVICE}"),
    errors("Maximum number of connections reached"),
    errors("Rate limit exceeded"),
    errors("[0861] x"),
    errors("[0405] x is not available for public access and is not shared with you."),
    errors(f"service {SERVICE.lower()} was not found"),
    errors(f"{SERVICE} is not shared with you"),
    errors("Unauthorized"),
    errors("Forbidden"),
    *(
        Reply({"data": {"connect": None}, "errors": [{"message": message, "path": ["connect"]}]})
        for message in (
            "Unauthorized",
            "You are not authorized to connect to this service",
            "Access denied! You don't have permission for this action!",
            "Forbidden resource",
            "ThrottlerException: Too Many Requests",
            "You are trying to access 'connect' too often",
            "device is inactive",
        )
    ),
]


@pytest.mark.parametrize("reply", REFUSALS)
def test_refusal_without_a_session_is_refused(mock_api: MockApi, reply: t.Any) -> None:
    expect_refusal(mock_api, reply)
    assert outcome_of_connect() is ConnectOutcome.REFUSED


@pytest.mark.parametrize("reply", REFUSALS)
def test_refusal_that_hides_a_connection_is_unclear(mock_api: MockApi, reply: t.Any) -> None:
    """The API can open a connection and fail afterward, with the text of a refusal."""
    mock_api.expect_query({"serviceId": SERVICE}, reply)
    mock_api.expect_query({"id": [SERVICE]}, lambda request: sessions(ID, started=started(0)))
    assert outcome_of_connect() is ConnectOutcome.UNCLEAR


def started(seconds: float) -> str:
    """Return the start of a session, as the API lists it."""
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return moment.isoformat().replace("+00:00", "Z")


NO_SERVICE = Reply({"data": {"login": {"id": "me", "service": []}}})


@pytest.mark.parametrize(
    ("refusal", "answer", "is_clear"),
    [
        ("inactive", sessions(ID, started=started(-60)), True),  # of an earlier call
        ("inactive", sessions(ID, started=started(3600), user="another", owner="owner"), True),
        ("inactive", sessions(ID, started=started(3600), user="another"), False),  # perhaps the owner
        ("inactive", sessions(ID, started=""), False),
        ("inactive", Reply({"data": {"login": {"id": "me", "service": [{"id": SERVICE}]}}}), False),
        ("inactive", Reply({"data": {"login": {"id": "me", "service": None}}}), False),
        ("inactive", errors("something new"), False),
        ("inactive", errors("Unauthorized"), False),
        ("Service not found", NO_SERVICE, True),
        ("Permission denied", NO_SERVICE, True),
        ("Unauthorized", NO_SERVICE, True),
        ("inactive", NO_SERVICE, False),  # the API knows the device
        ("rate limit exceeded", NO_SERVICE, False),
        ("too many connections", NO_SERVICE, False),
        ("Unauthorized", errors("Unauthorized"), True),  # a wrong access key
        ("Unauthorized", Reply("", 403), True),
        ("Unauthorized", errors("something new"), False),
    ],
)
def test_sessions_show_whether_a_refusal_hides_a_connection(
    mock_api: MockApi, refusal: str, answer: Reply, is_clear: bool
) -> None:
    mock_api.expect_query({"serviceId": SERVICE}, errors(refusal))
    mock_api.expect_query({"id": [SERVICE]}, answer)
    assert outcome_of_connect() is (ConnectOutcome.REFUSED if is_clear else ConnectOutcome.UNCLEAR)


@pytest.mark.parametrize(("seconds", "outcome"), [(3600, ConnectOutcome.UNCLEAR), (0, ConnectOutcome.REFUSED)])
def test_session_is_compared_with_the_clock_of_the_api(
    mock_api: MockApi, seconds: int, outcome: ConnectOutcome
) -> None:
    """That clock is an hour ahead."""
    mock_api.expect_query({"serviceId": SERVICE}, lambda request: Reply(errors("inactive").body, headers=at(3600)))
    mock_api.expect_query({"id": [SERVICE]}, sessions(ID, started=started(seconds)))
    assert outcome_of_connect() is outcome


@pytest.mark.parametrize("date", ["Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "today"])
def test_implausible_date_of_a_refusal_is_ignored(mock_api: MockApi, date: str) -> None:
    refusal = Reply(errors("inactive").body, headers={"Date": date})
    mock_api.expect_query({"serviceId": SERVICE}, refusal)
    mock_api.expect_query({"id": [SERVICE]}, sessions(ID, started=started(-60)))
    assert outcome_of_connect() is ConnectOutcome.REFUSED


# -- disconnect --------------------------------------------------------------------------------------------------------


def test_disconnect_closes_the_connection(mock_api: MockApi) -> None:
    mock_api.expect_query(STOP, stopped())
    assert api().disconnect(SERVICE, ID) is True
    assert query(mock_api) == (
        "mutation Disconnect($connectionId: String!, $serviceId: String!)"
        " { disconnect(connectionId: $connectionId, serviceId: $serviceId) }"
    )


@pytest.mark.parametrize("failure", FAILURES)
def test_disconnect_is_retried(mock_api: MockApi, pauses: list[float], failure: t.Any) -> None:
    mock_api.expect_query(STOP, *[failure] * 3, stopped())
    assert api().disconnect(SERVICE, ID) is True
    assert len(pauses) == 3


REFUSED_STOPS = [
    stopped(False),
    errors("connection not found"),
    errors("connection is inactive"),
    errors("something new", data={"disconnect": None}),
    errors("bad request", status=400),
]


@pytest.mark.parametrize("reply", REFUSED_STOPS)
def test_refused_disconnect_without_session_is_already_closed(mock_api: MockApi, reply: Reply) -> None:
    mock_api.expect_query(STOP, reply)
    mock_api.expect_query({"id": [SERVICE]}, sessions("another", user="another user"))
    assert api().disconnect(SERVICE, ID) is False


@pytest.mark.parametrize("reply", REFUSED_STOPS)
def test_refused_disconnect_with_session_is_an_error(mock_api: MockApi, reply: Reply) -> None:
    mock_api.expect_query(STOP, reply)
    mock_api.expect_query({"id": [SERVICE]}, sessions("another", ID.upper()))
    with pytest.raises(RemoteItError):
        api().disconnect(SERVICE, ID)


def test_refused_disconnect_with_invalid_session_is_an_error(mock_api: MockApi) -> None:
    mock_api.expect_query(STOP, stopped(False))
    mock_api.expect_query(
        None, Reply({"data": {"login": {"service": [{"id": SERVICE, "sessions": [None, {"id": ID, "target": None}]}]}}})
    )
    with pytest.raises(RemoteItError):
        api().disconnect(SERVICE, ID)


@pytest.mark.parametrize(
    "proof", [Reply("", 403), errors("no"), errors("half", data={"login": {"service": [None]}}), Reply("")]
)
def test_refused_disconnect_without_readable_sessions_fails(mock_api: MockApi, proof: Reply) -> None:
    mock_api.expect_query(STOP, stopped(False))
    mock_api.expect_query({"id": [SERVICE]}, proof)
    with pytest.raises(RemoteItError):
        api().disconnect(SERVICE, ID)


@pytest.mark.parametrize(
    ("reply", "times", "code"),
    [
        (Reply("Forbidden", 403), 1, "auth"),
        (errors("Invalid Date"), 1, "auth"),
        (Reply({"message": "x"}, 500), 5, "api"),
        (Reply("", 429), 5, "throttled"),
        (requests.exceptions.ConnectionError(), 5, "network"),
        (Reply({"data": {}}), 1, "bad_answer"),
        (Reply({"data": {"disconnect": "true"}}), 1, "bad_answer"),
        (Reply(""), 1, "bad_answer"),
    ],
)
def test_failed_disconnect_has_the_code_of_its_reason(
    mock_api: MockApi, pauses: list[float], reply: t.Any, times: int, code: str
) -> None:
    mock_api.expect_query(STOP, *[reply] * times)
    with pytest.raises(RemoteItError) as caught:
        api().disconnect(SERVICE, ID)
    assert caught.value.code == code


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_sessions_reads_all_fields(mock_api: MockApi) -> None:
    items = [{"id": ID, "user": {"id": "me"}, "target": {"id": SERVICE}}, {"id": "another", "user": {"id": "other"}}]
    reply = Reply({"data": {"login": {"id": "me", "sessions": items}}})
    mock_api.expect_query({}, Reply("", 500, {"Retry-After": "0"}), reply)
    found = api().sessions()
    assert found is not None
    assert [(session.id, session.service_id, session.is_ours) for session in found] == [
        (ID, SERVICE, True),
        ("another", None, None),
    ]
    assert query(mock_api) == (
        "query Sessions { login { id sessions { id timestamp user { id } target { id } endpoint { proxy } } } }"
    )


@pytest.mark.parametrize(("items", "count"), [(None, None), ([], 0), ([None, {}, {"id": ID}], 3)])
def test_sessions_keeps_invalid_entries(mock_api: MockApi, items: t.Any, count: int | None) -> None:
    """A missing list is not an empty one. An entry that cannot be read may be any session."""
    mock_api.expect_query({}, Reply({"data": {"login": {"id": "me", "sessions": items}}}))
    found = api().sessions()
    assert (None if found is None else len(found)) == count


@pytest.mark.parametrize(("is_false", "items", "is_closed"), [
    (True, None, False), (True, [], True), (False, [], True), (False, None, False), (True, [None], False),
])  # fmt: skip
def test_refused_disconnect_depends_on_the_sessions(
    mock_api: MockApi, is_false: bool, items: t.Any, is_closed: bool
) -> None:
    refusal = Reply({"data": {"disconnect": False}}) if is_false else errors("Something went wrong")
    mock_api.expect_query({"connectionId": ID, "serviceId": SERVICE}, refusal)
    service = {"id": SERVICE, "sessions": items}
    mock_api.expect_query({"id": [SERVICE]}, Reply({"data": {"login": {"id": "me", "service": [service]}}}))
    if is_closed:
        assert api().disconnect(SERVICE, ID) is False
    else:
        with pytest.raises(RemoteItError):
            api().disconnect(SERVICE, ID)


def test_sessions_of_asks_each_service(mock_api: MockApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing list is not an empty one. Without a target, a session is one of the service."""
    monkeypatch.setattr(_graphql, "MAX_SERVICES_PER_QUERY", 3)
    first, second, third, fourth = SERVICES[10:14]
    empty = {"id": second.lower(), "sessions": []}
    partial = [{"id": first, "sessions": [{"id": ID}]}, empty, {"id": third, "sessions": None}, None]
    refusal = {"message": "forbidden", "path": ["login", "service", 2]}
    mock_api.expect_query(
        {"id": [first, second, third]},
        Reply({"errors": [refusal], "data": {"login": {"id": "me", "service": partial}}}),
    )
    mock_api.expect_query({"id": [fourth]}, Reply({"data": {"login": {"id": "me", "service": None}}}))
    found = api().sessions_of([first.lower(), second, third, fourth])
    assert found == {first.lower(): [ApiSession(ID, first, None, None, None)], second: [], third: None, fourth: None}
    assert query(mock_api, 0) == (
        "query ServiceSessions($id: [String!]!) { login { id service(id: $id)"
        " { id owner { id } sessions { id timestamp user { id } target { id } endpoint { proxy } } } } }"
    )


@pytest.mark.parametrize(
    ("path", "items", "is_complete"),
    [
        (None, [], False),
        ([], [], False),
        ("odd", [], False),
        (["login"], [], False),
        (["login", "service"], [], False),
        (["login", "service", 0], [], False),
        (["login", "service", 0, "sessions"], [], False),
        (["login", "service", "sessions"], [], False),
        (["login", "service", 0, "sessions", 0, "user"], [], False),  # the item was dropped
        (["login", "service", 0, "sessions"], [{"id": ID}], False),
        (["login", "service", 0, "sessions", 1], [{"id": ID}], False),
        (["login", "service", 0, "sessions", 0, "user"], [{"id": ID}], True),
        (["login", "service", 1, "sessions"], [], True),
        (["login", "service", 0, "owner"], [], False),
        (["login", "email"], [], False),
    ],
)
def test_sessions_of_with_an_error_about_the_list(
    mock_api: MockApi, path: t.Any, items: list[t.Any], is_complete: bool
) -> None:
    """A list that comes with an error proves nothing."""
    data = {"login": {"id": "me", "service": [{"id": SERVICE, "sessions": items}]}}
    error = {"message": "forbidden"} if path is None else {"message": "forbidden", "path": path}
    mock_api.expect_query({"id": [SERVICE]}, Reply({"errors": [error], "data": data}))
    assert (api().sessions_of([SERVICE])[SERVICE] is not None) is is_complete


def test_sessions_of_with_an_error_status(mock_api: MockApi, pauses: list[float]) -> None:
    data = {"login": {"id": "me", "service": [{"id": SERVICE, "sessions": []}]}}
    mock_api.expect_query({"id": [SERVICE]}, *[Reply({"data": data}, 500)] * 5)
    assert api().sessions_of([SERVICE]) == {SERVICE: None}


@pytest.mark.parametrize(("user", "is_ours"), [("org", None), ("ORG", None), (None, None), ("me", True), ("x", False)])
def test_session_of_the_owner_of_a_service_may_be_ours(mock_api: MockApi, user: str | None, is_ours: t.Any) -> None:
    items = [{"id": ID, "user": None if user is None else {"id": user}}]
    service = {"id": SERVICE, "owner": {"id": "org"}, "sessions": items}
    mock_api.expect_query({"id": [SERVICE]}, Reply({"data": {"login": {"id": "me", "service": [service]}}}))
    found = api().sessions_of([SERVICE])[SERVICE]
    assert found == [ApiSession(ID, SERVICE, None, is_ours, None)]


def test_session_of_a_service_without_an_owner_may_be_ours(mock_api: MockApi) -> None:
    service = {"id": SERVICE, "owner": None, "sessions": [{"id": ID, "user": {"id": "x"}}]}
    mock_api.expect_query({"id": [SERVICE]}, Reply({"data": {"login": {"id": "me", "service": [service]}}}))
    assert api().sessions_of([SERVICE])[SERVICE] == [ApiSession(ID, SERVICE, None, None, None)]


@pytest.mark.parametrize(("items", "count"), [([{}], 2), ([], 1), (None, None)])
def test_sessions_of_a_service_that_the_response_has_twice(
    mock_api: MockApi, items: list[t.Any] | None, count: int | None
) -> None:
    services = [{"id": SERVICE, "sessions": [{"id": ID}]}, {"id": SERVICE, "sessions": items}]
    mock_api.expect_query({"id": [SERVICE]}, Reply({"data": {"login": {"id": "me", "service": services}}}))
    found = api().sessions_of([SERVICE])[SERVICE]
    assert (None if found is None else len(found)) == count


@pytest.mark.parametrize("reply", [Reply("", 403), errors("unauthorized"), Reply({"data": {"login": None}})])
def test_auth_error_names_the_sources_of_the_credentials(mock_api: MockApi, reply: Reply) -> None:
    mock_api.expect_query({}, reply)
    credentials = dataclasses.replace(WITH_ACCESS_KEY, sources="access_key_id from the option access_key_id")
    with pytest.raises(AuthError, match=r"; credentials used: access_key_id from the option access_key_id$"):
        account(credentials).api().sessions()


# -- devices -----------------------------------------------------------------------------------------------------------


def test_devices_queries_all_fields(mock_api: MockApi) -> None:
    mock_api.expect_query(PAGE, Reply("", 502, {"Retry-After": "0"}), paged(item(1), item(2)))
    assert names(listed()) == ["kiosk-1", "kiosk-2"]
    assert query(mock_api) == (
        "query Devices($size: Int!, $from: Int!) { login { devices(size: $size, from: $from) { items"
        " { id name state online platform created lastReported attributes owner { email } tags { name }"
        " endpoint { externalAddress internalAddress }"
        " services { id name state online enabled application title port } } hasMore total } } }"
    )


def test_devices_fetches_pages_while_they_are_consumed(mock_api: MockApi) -> None:
    mock_api.expect_query(PAGE, paged(item(1), item(2), more=True))
    devices = api().devices(DeviceFilter(), pytest.fail)
    assert mock_api.sent == []
    assert [next(devices).name, next(devices).name] == ["kiosk-1", "kiosk-2"]
    assert len(mock_api.sent) == 1
    mock_api.expect_query({**PAGE, "from": 2}, paged(item(3)))
    assert [device.name for device in devices] == ["kiosk-3"]


def test_devices_advances_by_the_items_of_a_page(mock_api: MockApi) -> None:
    mock_api.expect_query(PAGE, paged(item(1), None, item(2), more=True))
    mock_api.expect_query({**PAGE, "from": 3}, paged(item(3), more="true"))
    mock_api.expect_query({**PAGE, "from": 4}, paged(more=True))
    devices, warnings = listed()
    assert [device.name for device in devices] == ["kiosk-1", "kiosk-2", "kiosk-3"]
    assert len(warnings) == 1


def test_devices_drops_duplicates(mock_api: MockApi) -> None:
    mock_api.expect_query(PAGE, paged(item(1), item(2), more=True))
    mock_api.expect_query({**PAGE, "from": 2}, paged(item(2), item(3), {**item(1), "id": SERVICES[1].lower()}))
    assert names(listed()) == ["kiosk-1", "kiosk-2", "kiosk-3"]


def test_devices_rereads_if_a_device_vanishes(mock_api: MockApi) -> None:
    mock_api.expect_query(PAGE, paged(item(1), item(2), item(3), more=True, total=5))
    # the first device has vanished, so the fourth is now the third and not on the second page
    mock_api.expect_query({**PAGE, "from": 3}, paged(item(5), total=4))
    mock_api.expect_query({**PAGE, "from": 2}, paged(item(4), item(5), total=4))
    assert sorted(map(str, names(listed()))) == [f"kiosk-{number}" for number in range(1, 6)]


def test_devices_accepts_a_reread_without_new_devices(mock_api: MockApi) -> None:
    mock_api.expect_query(PAGE, paged(item(1), item(2), more=True, total=9))
    mock_api.expect_query({**PAGE, "from": 2}, paged(item(3), more=True, total=8))
    mock_api.expect_query({**PAGE, "from": 1}, paged(item(2), item(3), more=True, total=8))  # no new device
    mock_api.expect_query({**PAGE, "from": 3}, paged(item(4), total=8))
    assert names(listed()) == ["kiosk-1", "kiosk-2", "kiosk-3", "kiosk-4"]


def test_devices_limits_the_pages(mock_api: MockApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_graphql, "MAX_PAGES", 3)
    for start, total in ((0, 9), (1, 8), (0, 7)):
        mock_api.expect_query({**PAGE, "from": start}, paged(item(1), more=True, total=total))
    with pytest.raises(BadAnswerError):
        listed()


@pytest.mark.parametrize("more", [None, "no", 0, "false"])
def test_devices_ends_if_hasmore_is_not_true(mock_api: MockApi, more: t.Any) -> None:
    mock_api.expect_query(PAGE, paged(item(1), more=more))
    assert names(listed()) == ["kiosk-1"]


def test_devices_rejects_an_endless_list(mock_api: MockApi) -> None:
    mock_api.expect_query(PAGE, paged(item(1), more=True))
    mock_api.expect_query({**PAGE, "from": 1}, paged(item(1), more=True))
    devices = api().devices(DeviceFilter(), pytest.fail)
    assert next(devices).name == "kiosk-1"
    with pytest.raises(BadAnswerError):
        list(devices)


def test_devices_warns_of_partial_data(mock_api: MockApi) -> None:
    data = {"login": {"devices": page(item(1))}}
    error = {"message": "tags are not available", "path": ["login", "devices", "items", 0, "tags"]}
    mock_api.expect_query(PAGE, Reply({"data": data, "errors": [error]}))
    devices, warnings = listed()
    assert [device.name for device in devices] == ["kiosk-1"]
    (warning,) = warnings
    assert warning.endswith("the API says: tags are not available, about: login.devices.items.tags (HTTP 200)")


@pytest.mark.parametrize(
    ("items", "path"),
    [
        ([item(1)], None),
        ([item(1)], ["login"]),
        ([item(1)], ["login", "devices", "hasMore"]),
        ([], ["login", "devices", "items"]),
        ([item(1), None], ["login", "devices", "items", 1]),
        ([item(1), None], ["login", "devices", "items", 1, "name"]),
        ([item(1)], ["login", "devices", "items", 0, "services"]),
        ([item(1)], ["login", "devices", "items", 0, "state"]),
        ([item(1)], ["login", "devices", "items", 0, "services", 0, "name"]),
    ],
)
def test_devices_rejects_a_list_that_may_lack_some(
    mock_api: MockApi, items: list[t.Any], path: list[str | int] | None
) -> None:
    error = {"message": "too slow", "path": path}
    mock_api.expect_query(PAGE, Reply({"data": {"login": {"devices": page(*items)}}, "errors": [error]}))
    with pytest.raises(RemoteItError, match="too slow"):
        listed()


def test_devices_selected_by_tags_need_the_tags(mock_api: MockApi) -> None:
    error = {"message": "too slow", "path": ["login", "devices", "items", 0, "tags"]}
    mock_api.expect_query(None, Reply({"data": {"login": {"devices": page(item(1))}}, "errors": [error]}))
    with pytest.raises(RemoteItError, match="too slow"):
        list(api().devices(DeviceFilter(tags_all=("a",)), pytest.fail))


@pytest.mark.parametrize(
    "reply",
    [
        errors("gone", data={"login": {"devices": None}}),
        errors("gone", data={"login": None}),
        errors("gone", data={"login": {"devices": {"items": None, "hasMore": False}}}),
        errors("gone"),
        Reply({"data": {"login": {"devices": None}}}),
        Reply({"data": {"login": {}}}),
        Reply({"data": {"login": None}}),
        Reply({"data": {"login": {"devices": {"items": {}}}}}),
        errors("Invalid Date", data={"login": {"devices": page(item(1))}}),
    ],
)
def test_devices_without_list_is_an_error(mock_api: MockApi, reply: Reply) -> None:
    mock_api.expect_query(PAGE, reply)
    with pytest.raises(RemoteItError) as caught:
        listed()
    assert "errors" not in t.cast("dict[str, t.Any]", reply.body) or not isinstance(caught.value, OptionsError)
    if "gone" in json.dumps(reply.body):
        assert "the API says: gone" in caught.value.message


@pytest.mark.parametrize(
    ("wanted", "variables"),
    [
        (DeviceFilter(devices=("kiosk-1",)), {"name": "kiosk-1"}),
        (DeviceFilter(devices=("kiosk-12", "kiosk-1", "kios")), {"name": "kios"}),  # the common prefix
        (DeviceFilter(devices=frozenset({"b", "a"})), {}),
        (DeviceFilter(state="inactive"), {"state": "inactive"}),
        (DeviceFilter(applications=(28, 7)), {"application": [7, 28]}),
        (DeviceFilter(tags_any=("b", "a")), {"tag": {"operator": "ANY", "values": ["a", "b"]}}),
        (DeviceFilter(tags_all=("b", "a")), {"tag": {"operator": "ALL", "values": ["a", "b"]}}),
        (DeviceFilter(tags_any=("b",), tags_all=("a",)), {"tag": {"operator": "ALL", "values": ["a"]}}),
        (DeviceFilter(services=("ssh",)), {}),
        (DeviceFilter(devices=('"}) { id } #',)), {"name": '"}) { id } #'}),
    ],
)
def test_devices_sends_the_filter_as_variables(
    mock_api: MockApi, wanted: DeviceFilter, variables: dict[str, t.Any]
) -> None:
    mock_api.expect_query({**PAGE, **variables}, paged())
    assert names(listed(wanted)) == []
    declared = query(mock_api).split("{")[0]
    assert all(f"${name}: " in declared for name in variables)
    assert "} #" not in query(mock_api)
    assert "null" not in str(mock_api.sent[0].body)


def test_devices_filters_names_exactly(mock_api: MockApi) -> None:
    items = [item(1, "kiosk"), item(2, "Kiosk"), item(3, "kiosk-1"), item(4, "")]
    mock_api.expect_query({**PAGE, "name": "kiosk"}, paged(*items))
    assert names(listed(DeviceFilter(devices=("kiosk",)))) == ["kiosk"]


# -- organizations -----------------------------------------------------------------------------------------------------


def member(name: str | None, number: int) -> dict[str, t.Any]:
    account = {"id": f"account-{number}", "email": f"owner{number}@example.com"}
    return {"organization": {"id": f"org-{number}", "name": name, "account": account}}


MEMBERSHIP = [member("Shops", 1), member("Ships", 2), member("Ships", 3), None, {"organization": None}, member(None, 4)]
LOGIN = Reply({"data": {"login": {"id": "me", "email": "me@example.com", "membership": MEMBERSHIP}}})


@pytest.mark.parametrize("spelling", ["Shops", "org-1", "account-1", "owner1@example.com", "OWNER1@example.com"])
def test_devices_of_an_organization(mock_api: MockApi, spelling: str) -> None:
    mock_api.expect_query({}, LOGIN)
    data = {"login": {"account": {"devices": page(item(1, tags=[{"name": "theirs"}]))}}}
    mock_api.expect_query({**PAGE, "account": "account-1"}, Reply({"data": data}))
    devices, _warnings = listed(DeviceFilter(organisation=spelling))
    assert [(device.name, device.tags) for device in devices] == [("kiosk-1", ("theirs",))]
    document = query(mock_api)
    assert document.startswith(
        "query Devices($size: Int!, $from: Int!, $account: String!) { login { account(id: $account)"
    )
    assert "{ devices(size: $size, from: $from) {" in document
    assert "tags(accountId: $account) { name }" in document


@pytest.mark.parametrize("spelling", ["me", "Me@example.com"])
def test_devices_of_the_own_account(mock_api: MockApi, spelling: str) -> None:
    mock_api.expect_query({}, LOGIN)
    mock_api.expect_query(PAGE, paged(item(1)))
    assert names(listed(DeviceFilter(organisation=spelling))) == ["kiosk-1"]


def test_unknown_organization_lists_the_known_ones(mock_api: MockApi) -> None:
    mock_api.expect_query({}, LOGIN)
    with pytest.raises(NotFoundError, match=r"Shops \(owner1@example\.com\), Ships .*without a name \(owner4@"):
        listed(DeviceFilter(organisation="shops"))


def test_organization_is_found_beside_a_forbidden_one(mock_api: MockApi) -> None:
    """An unknown one may be the one that the API does not show."""
    error = {"message": "Forbidden", "path": ["login", "membership", 3]}
    reply = Reply({**t.cast("dict[str, t.Any]", LOGIN.body), "errors": [error]})
    mock_api.expect_query({}, reply)
    mock_api.expect_query(
        {**PAGE, "account": "account-1"}, Reply({"data": {"login": {"account": {"devices": page()}}}})
    )
    assert names(listed(DeviceFilter(organisation="Shops"))) == []
    mock_api.expect_query({}, reply)
    with pytest.raises(NotSharedError, match=r"Forbidden, about: login\.membership"):
        listed(DeviceFilter(organisation="elsewhere"))


def test_ambiguous_organization_lists_the_candidates(mock_api: MockApi) -> None:
    mock_api.expect_query({}, LOGIN)
    with pytest.raises(OptionsError, match=r"Ships \(owner2@example\.com\), Ships \(owner3@example\.com\); "):
        listed(DeviceFilter(organisation="Ships"))


def test_organization_without_account_is_an_error(mock_api: MockApi) -> None:
    mock_api.expect_query({}, LOGIN)
    mock_api.expect_query(None, Reply({"data": {"login": {"account": None}}}))
    with pytest.raises(BadAnswerError):
        listed(DeviceFilter(organisation="Shops"))
