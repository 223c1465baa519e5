# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The REST API: requests, refusals, the login, and refused stop calls."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import sys
import threading
import time
import typing as t

import pytest
import requests

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectRequest, connect_one
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import DeviceFilter
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    AuthError,
    BadAnswerError,
    CallTimeoutError,
    ConnectOutcome,
    NetworkError,
    OptionsError,
    RemoteItError,
    ThrottledError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.rest import RestApi
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import (
    ID,
    KEY,
    LOGGED_IN,
    PASSWORD,
    SERVICE,
    SERVICES,
    STOPPED,
    TOKEN,
    WITH_PASSWORD,
    WITH_TOKEN,
    MockApi,
    Reply,
    Script,
    account,
    opened,
    refused,
)

CONNECT = "/device/connect"
STOP = "/device/connect/stop"
LOGIN = "/user/login"
LIST = "/device/list/all"

SUCCESS = Reply({"status": "true"})


def api(credentials: Credentials = WITH_TOKEN) -> RestApi:
    return account(credentials).api()


# -- connect -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ({}, {"wait": "true"}),
        ({"hostip": "203.0.113.7"}, {"wait": "true", "hostip": "203.0.113.7"}),
        ({"wait": False}, {"wait": "false"}),
    ],
)
def test_connect_sends_options_and_credentials(
    mock_api: MockApi, arguments: dict[str, t.Any], body: dict[str, str]
) -> None:
    headers = {"developerkey": KEY, "token": TOKEN, "Content-Type": "application/json"}
    mock_api.expect("POST", CONNECT, opened(), body={"deviceaddress": SERVICE, **body}, headers=headers)
    assert api().connect(SERVICE, **arguments).connectionid == ID


@pytest.mark.parametrize("url", ["https://api.remote.it/apv/v27", "http://127.0.0.1:8080"])
def test_connect_uses_the_api_url(mock_api: MockApi, url: str) -> None:
    mock_api.expect("POST", url + CONNECT, opened())
    api(Credentials(url, KEY, token=TOKEN)).connect(SERVICE)


@pytest.mark.parametrize(
    "failure",
    [
        Reply("", 500),
        Reply("", 503, {"Retry-After": "0"}),
        requests.exceptions.ConnectionError(),
        requests.exceptions.ReadTimeout(),
        Reply(""),
    ],
)
def test_connect_is_not_repeated(mock_api: MockApi, pauses: list[float], failure: t.Any) -> None:
    mock_api.expect("POST", CONNECT, failure)
    with pytest.raises(RemoteItError):
        api().connect(SERVICE)
    assert pauses == []


THROTTLED = Reply("", 429, {"Retry-After": "3"})


def test_connect_and_login_are_repeated_if_throttled(mock_api: MockApi, pauses: list[float]) -> None:
    mock_api.expect("POST", LOGIN, THROTTLED, LOGGED_IN)
    mock_api.expect("POST", CONNECT, THROTTLED, opened())
    assert api(WITH_PASSWORD).connect(SERVICE).connectionid == ID
    assert pauses == [3, 3]


@pytest.mark.parametrize("path", [LOGIN, CONNECT])
def test_throttled_connect_has_opened_nothing(mock_api: MockApi, pauses: list[float], path: str) -> None:
    if path == CONNECT:
        mock_api.expect("POST", LOGIN, LOGGED_IN)
    mock_api.expect("POST", path, *[THROTTLED] * 21)
    with pytest.raises(ThrottledError) as caught:
        connect_one(api(WITH_PASSWORD), SERVICE, ConnectRequest((SERVICE,)))
    assert caught.value.outcome in (ConnectOutcome.NOT_SENT, ConnectOutcome.REFUSED)


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (refused("[0102] The username or password is invalid"), "auth"),
        (refused("[0102] The username or password are invalid", 400), "auth"),
        (refused("api key failed validation"), "auth"),
        (refused("The API application key is invalid", 200), "auth"),
        (refused("missing api token"), "auth"),
        (refused("api token missing"), "auth"),
        (Reply({"status": "false", "message": "Auth token expired"}), "auth"),
        (refused("missing user", 200), "auth"),
        (refused("Invalid Date", 401, code="INVALID_AUTH"), "auth"),
        (refused("", 401, code="INVALID_AUTH"), "auth"),
        (Reply({"message": "Forbidden"}, 403), "auth"),
        (Reply({"status": "false"}), "api"),
        (Reply({"status": False}), "api"),
        (Reply({}), "api"),
        (Reply({"status": "true"}, 500), "api"),
        (refused("something new", 400), "api"),
        (Reply({"status": "false", "Error": "DuplicateName: x"}, 400), "api"),
        (
            refused(f"[0405] {SERVICE} is not available for public access and is not shared with you.", 403),
            "not_shared",
        ),
        (refused("[0861] no such service", 200), "not_found"),
        (refused("service is inactive", 200), "offline"),
        (refused("Service is offline for maintenance", 200), "api"),
        (refused("The service is offline for maintenance", 503), "api"),
        (refused("Too many failed login attempts. Your account is locked for 15 minutes"), "auth"),
        (refused("Rate limit exceeded", 200), "throttled"),
        (refused("Too many concurrent connections", 200), "throttled"),
        (refused("The connection limit is 30", 403), "throttled"),
        (refused("session quota exceeded"), "throttled"),
        (Reply("<h1>404 Page Not Found</h1>", 404), "bad_answer"),
        (Reply("<h1>400 Bad Request</h1>", 400), "bad_answer"),
        (Reply("<title>Slim Application Error</title>", 500), "bad_answer"),
        (Reply("Unauthorized", 401), "bad_answer"),
        (Reply(""), "bad_answer"),
        (Reply([]), "bad_answer"),
    ],
)
def test_refusal_has_the_code_of_its_reason(mock_api: MockApi, reply: Reply, code: str) -> None:
    mock_api.expect("POST", CONNECT, reply)
    with pytest.raises(RemoteItError) as caught:
        api().connect(SERVICE)
    assert caught.value.code == code


GIVEN_UP = [408, 499, 502, 503, 504, *range(520, 528)]


def outcome_of_connect(mock_api: MockApi, reply: Reply) -> ConnectOutcome | None:
    mock_api.expect("POST", CONNECT, reply)
    with pytest.raises(RemoteItError) as caught:
        connect_one(api(), SERVICE, ConnectRequest((SERVICE,)))
    return caught.value.outcome


@pytest.mark.parametrize(
    "reply",
    [
        refused("something new", 400),
        refused("[0999] something new", 200),
        refused("device is offline", 500),
        refused("device is offline", 200),
        refused("Too many concurrent connections", 200),
        refused("The API application key is invalid", 200),
        Reply({"status": "false"}),
        Reply({"message": "bad request"}, 400),
        *(refused("time-out", status) for status in (401, 403, 404)),
        *(Reply("<h1>", status) for status in (400, 401, 403, 404)),
        *(Reply("", status) for status in (405, 413)),
    ],
)
def test_refused_connect_opened_nothing(mock_api: MockApi, reply: Reply) -> None:
    assert outcome_of_connect(mock_api, reply) is ConnectOutcome.REFUSED


@pytest.mark.parametrize(
    "reply",
    [
        refused("the line is down", 500),
        refused("database error", 200),
        refused("device busy", 200),
        refused("device is busy", 409),
        refused("unknown error", 200),
        refused("the proxy session became inactive before it was ready", 200),
        refused("the connection was not shared with the monitor", 200),
        refused("Please try again", 400),
        Reply({}, 400),
        refused("internal error", 200),
        refused("Internal Server Error", 500),
        Reply({"reason": "session limit check crashed"}, 500),
        Reply({}),
        Reply({"status": "false"}, 500),
        refused("the request timed out", 200),
        refused("device is offline: timeout", 200),
        refused("Bad Gateway", 500),
        refused("Service temporarily unavailable", 400),
        *(refused(text, 400) for text in ("fetch failed", "status code 502", "unexpected EOF")),
        Reply("<h1>Slim Application Error</h1>", 500),
        *(refused(text, status) for status in GIVEN_UP for text in ("Request Timeout", "device is offline")),
        *(Reply(body, status) for status in GIVEN_UP for body in ("", "<h1>", {})),
        *(Reply("", status) for status in (301, 302, 307, 308)),
    ],
)
def test_failed_connect_may_have_opened_one(mock_api: MockApi, reply: Reply) -> None:
    assert outcome_of_connect(mock_api, reply) is ConnectOutcome.UNCLEAR


def test_response_about_another_service_leaves_the_own_call_unclear(mock_api: MockApi) -> None:
    """Its connection is closed, but the call may have opened another one."""
    mock_api.expect("POST", CONNECT, opened(SERVICES[1], ID))
    mock_api.expect_disconnect(SERVICE, ID, STOPPED)
    with pytest.raises(
        BadAnswerError, match=r"about another service; .* was closed again; a connection may be"
    ) as caught:
        connect_one(api(), SERVICE, ConnectRequest((SERVICE,)))
    assert (caught.value.outcome, caught.value.connectionid) == (ConnectOutcome.UNCLEAR, None)


def test_refusal_contains_reason_and_advice(mock_api: MockApi) -> None:
    mock_api.expect("POST", CONNECT, refused("api key failed validation"))
    with pytest.raises(RemoteItError, match=r"^the API says: api key failed validation \(check the developer key\)$"):
        api().connect(SERVICE)


def test_auth_error_names_the_sources_of_the_credentials(mock_api: MockApi) -> None:
    mock_api.expect("POST", CONNECT, refused("api key failed validation"))
    with pytest.raises(AuthError, match=r"; credentials used: token from the option token$"):
        api(dataclasses.replace(WITH_TOKEN, sources="token from the option token")).connect(SERVICE)


@pytest.mark.parametrize("reason", [None, ""])
def test_refusal_without_a_reason(mock_api: MockApi, reason: str | None) -> None:
    mock_api.expect("POST", CONNECT, refused(reason))
    with pytest.raises(RemoteItError, match="without a reason") as caught:
        api().connect(SERVICE)
    assert caught.value.outcome is ConnectOutcome.REFUSED


@pytest.mark.parametrize(
    "fields",
    [
        {"reason": [None]},
        {"reason": 504},
        {"reason": {"message": "Endpoint request timed out"}},
        {"error": "Endpoint request timed out"},
        {"errors": [{"message": "database"}]},
        {"code": "ESOMETHING"},
    ],
)
def test_refusal_with_an_unusual_reason_is_unclear(mock_api: MockApi, fields: dict[str, t.Any]) -> None:
    """The API may have opened a connection. The message contains no value, because it may be a secret."""
    mock_api.expect("POST", CONNECT, Reply({"status": "false", **fields}))
    with pytest.raises(RemoteItError) as caught:
        api().connect(SERVICE)
    assert caught.value.outcome is ConnectOutcome.UNCLEAR
    assert f"the fields {', '.join(fields)} (HTTP 200)" in caught.value.message


def test_login_without_status_shows_no_value(mock_api: MockApi) -> None:
    mock_api.expect("POST", LOGIN, Reply({"token": TOKEN, "service_authhash": "a-hash"}))
    with pytest.raises(RemoteItError, match="the fields token, service_authhash") as caught:
        api(WITH_PASSWORD).log_in()
    assert TOKEN not in caught.value.message
    assert "a-hash" not in caught.value.message


@pytest.mark.parametrize("credentials", [WITH_TOKEN, WITH_PASSWORD])
def test_refusal_masks_secrets(mock_api: MockApi, credentials: Credentials) -> None:
    if credentials.password:
        mock_api.expect("POST", LOGIN, LOGGED_IN)
    mock_api.expect("POST", CONNECT, refused(f"no: {KEY} {TOKEN} {credentials.password}", 400))
    with pytest.raises(RemoteItError, match=r"no: \*+ \*+") as caught:
        api(credentials).connect(SERVICE)
    assert not any(secret in str(caught.value.as_failure()) for secret in (KEY, TOKEN, PASSWORD))


def test_bad_response_masks_secrets(mock_api: MockApi) -> None:
    mock_api.expect("POST", "/device/connect", opened(proxy=f"tok:{WITH_TOKEN.token}"))
    with pytest.raises(BadAnswerError) as caught:
        api().connect(SERVICE)
    assert str(WITH_TOKEN.token) not in caught.value.message


def test_refusal_is_printable_and_short(mock_api: MockApi) -> None:
    mock_api.expect("POST", CONNECT, refused("a\x1b[31m\nb\u202ec" + "x" * 5000, 400))
    with pytest.raises(RemoteItError) as caught:
        api().connect(SERVICE)
    assert "the API says: a?[31m b?cxxx" in caught.value.message
    assert len(caught.value.message) < 400


# -- the login ---------------------------------------------------------------------------------------------------------


def test_login_sends_the_password_once(mock_api: MockApi) -> None:
    body = {"username": "someone", "password": PASSWORD}
    mock_api.expect("POST", LOGIN, LOGGED_IN, body=body, headers={"developerkey": KEY, "token": None})
    mock_api.expect("POST", CONNECT, opened(), opened(), headers={"developerkey": KEY, "token": TOKEN})
    rest = api(WITH_PASSWORD)
    rest.connect(SERVICE)
    rest.connect(SERVICE)


@pytest.mark.parametrize("code", ["SMS_MFA", "SOFTWARE_TOKEN_MFA", "MFA_SETUP"])
def test_login_with_two_factor_authentication_is_an_error(mock_api: MockApi, code: str) -> None:
    mock_api.expect("POST", LOGIN, refused("", 200, code=code))
    with pytest.raises(AuthError, match=code):
        api(WITH_PASSWORD).connect(SERVICE)


@pytest.mark.parametrize("token", [None, "", 7, [None], "a b", "a\nb"])
def test_login_without_token_is_an_error(mock_api: MockApi, token: t.Any) -> None:
    mock_api.expect("POST", LOGIN, Reply({"status": "true", "token": token}))
    with pytest.raises(BadAnswerError):
        api(WITH_PASSWORD).connect(SERVICE)


def in_threads(rest: RestApi, count: int) -> list[str]:
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return [connection.connectionid for connection in pool.map(rest.connect, SERVICES[:count])]


@pytest.mark.parametrize(
    "reply",
    [
        Reply("<html>"),
        Reply({"status": "true"}),
        Reply({"status": "false"}, 503),
        refused("the line is down", 500),
        requests.exceptions.ReadTimeout("slow"),
        requests.exceptions.ConnectionError("broken"),
    ],
)
def test_failed_login_has_outcome_not_sent(mock_api: MockApi, reply: Script) -> None:
    mock_api.expect("POST", LOGIN, reply)
    with pytest.raises(RemoteItError) as caught:
        connect_one(api(WITH_PASSWORD), SERVICE, ConnectRequest((SERVICE,)))
    assert caught.value.outcome is ConnectOutcome.NOT_SENT
    assert "may_be_open" not in caught.value.as_failure()


def test_connection_that_the_api_does_not_know_is_not_closed(mock_api: MockApi) -> None:
    """The ID in an unusable response may be that of another connection."""
    mock_api.expect("POST", CONNECT, opened(proxy="http://not a proxy"))
    mock_api.expect("POST", STOP, refused("connectionid incorrect"))
    mock_api.expect("GET", LIST, SUCCESS)
    mock_api.expect("POST", STOP, refused("connectionid incorrect"))
    with pytest.raises(RemoteItError, match="does not know the connection") as caught:
        connect_one(api(), SERVICE, ConnectRequest((SERVICE,)))
    assert caught.value.outcome is ConnectOutcome.UNCLEAR


def test_failed_login_is_not_a_closed_connection(mock_api: MockApi) -> None:
    """The token has expired, and a gateway refuses the login with a reason that would be ambiguous for a stop call."""
    mock_api.expect("POST", LOGIN, LOGGED_IN)
    mock_api.expect("POST", CONNECT, opened())
    mock_api.expect("POST", STOP, refused("api token missing"))
    mock_api.expect("POST", LOGIN, refused("", 403))
    rest = api(WITH_PASSWORD)
    rest.connect(SERVICE)
    with pytest.raises(AuthError, match="without a reason"):
        rest.disconnect(SERVICE, ID)


def test_login_for_a_disconnect_is_repeated_like_it(mock_api: MockApi, pauses: list[float]) -> None:
    mock_api.expect("POST", LOGIN, Reply("", 503), LOGGED_IN)
    mock_api.expect("POST", STOP, STOPPED)
    assert api(WITH_PASSWORD).disconnect(SERVICE, ID) is True
    assert len(pauses) == 1


def count_threads_in_login() -> int:
    frames = (frame for frame in sys._current_frames().values() if frame.f_code is RestApi._get_token.__code__)
    return sum("before" in frame.f_locals for frame in frames)


def test_threads_share_a_failed_login(mock_api: MockApi) -> None:
    started, gate = threading.Event(), threading.Event()

    def hang(request: requests.PreparedRequest) -> Reply:
        started.set()
        assert gate.wait(30)
        raise requests.exceptions.ReadTimeout("slow")

    mock_api.expect("POST", LOGIN, hang)
    rest = api(WITH_PASSWORD)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        first = pool.submit(rest.connect, SERVICE)
        assert started.wait(30)
        others = [pool.submit(rest.connect, service) for service in SERVICES[:7]]
        while count_threads_in_login() < len(others):
            assert not concurrent.futures.wait(others, 0.01).done
        gate.set()
        assert {type(each.exception(30)) for each in (first, *others)} == {CallTimeoutError}
    mock_api.expect("POST", LOGIN, LOGGED_IN)  # a later call logs in again
    mock_api.expect("POST", CONNECT, opened())
    rest.connect(SERVICE)


def test_threads_share_one_login(mock_api: MockApi) -> None:
    mock_api.unordered = True
    mock_api.expect("POST", LOGIN, LOGGED_IN)
    for service in SERVICES[:8]:
        mock_api.expect_connect(service, opened(service))
    in_threads(api(WITH_PASSWORD), 8)


def test_threads_renew_an_expired_token_once(mock_api: MockApi) -> None:
    barrier = threading.Barrier(4)

    def expired(request: requests.PreparedRequest) -> Reply:
        barrier.wait(30)
        return refused("api token missing")

    mock_api.unordered = True
    mock_api.expect("POST", LOGIN, LOGGED_IN, Reply({"status": "true", "token": "new"}))
    for service in SERVICES[:4]:
        body = {"deviceaddress": service, "wait": "true"}
        mock_api.expect("POST", CONNECT, expired, body=body, headers={"token": TOKEN})
        mock_api.expect("POST", CONNECT, opened(service), body=body, headers={"token": "new"})
    in_threads(api(WITH_PASSWORD), 4)


def test_token_is_renewed_only_once_for_a_call(mock_api: MockApi) -> None:
    mock_api.expect("POST", LOGIN, LOGGED_IN)
    mock_api.expect("POST", CONNECT, refused("api token missing"))
    mock_api.expect("POST", LOGIN, Reply({"status": "true", "token": "new"}))
    mock_api.expect("POST", CONNECT, refused("api token missing"))
    with pytest.raises(AuthError):
        api(WITH_PASSWORD).connect(SERVICE)


def test_connect_is_not_repeated_after_a_slow_login(mock_api: MockApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """A teardown counts on the time in which a connect call is sent."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def log_in_slowly(request: requests.PreparedRequest) -> Reply:
        nonlocal now
        now += 61
        return LOGGED_IN

    mock_api.expect("POST", LOGIN, LOGGED_IN)
    mock_api.expect("POST", CONNECT, refused("api token missing"))
    mock_api.expect("POST", LOGIN, log_in_slowly)
    rest = api(WITH_PASSWORD)
    rest.log_in()
    with pytest.raises(AuthError) as caught:
        rest.connect(SERVICE)
    assert caught.value.outcome is ConnectOutcome.REFUSED


def test_changed_password_is_sent_once(mock_api: MockApi) -> None:
    mock_api.expect("POST", LOGIN, LOGGED_IN)
    mock_api.expect("POST", CONNECT, refused("api token missing"))
    mock_api.expect("POST", LOGIN, refused("[0102] The username or password is invalid"))
    with pytest.raises(AuthError):
        api(WITH_PASSWORD).connect(SERVICE)


def test_token_option_is_not_renewed(mock_api: MockApi) -> None:
    mock_api.expect("POST", CONNECT, refused("api token missing"))
    with pytest.raises(AuthError):
        api().connect(SERVICE)


def test_wrong_password_is_sent_once(mock_api: MockApi) -> None:
    mock_api.expect("POST", LOGIN, refused("[0102] The username or password is invalid"))
    rest = api(WITH_PASSWORD)
    for service in SERVICES[:3]:
        with pytest.raises(AuthError):
            rest.connect(service)


# -- disconnect --------------------------------------------------------------------------------------------------------

AMBIGUOUS = [
    refused("<error message>"),
    refused("connectionid incorrect", 400),
    refused("the connection was closed"),
    refused("session terminated", 404),
    Reply({"status": "false"}, 401),
]


@pytest.mark.parametrize(
    "reply", [Reply({"status": "true", "connectionid": ID}), Reply({"status": "true", "id": ID.upper()})]
)
def test_disconnect_closes_the_connection(mock_api: MockApi, reply: Reply) -> None:
    body = {"deviceaddress": SERVICE, "connectionid": ID}
    mock_api.expect("POST", STOP, reply, body=body, headers={"developerkey": KEY, "token": TOKEN})
    assert api().disconnect(SERVICE, ID) is True


@pytest.mark.parametrize(
    "failure", [Reply("", 500), Reply({"status": "false"}, 502), Reply("", 429), requests.exceptions.ConnectionError()]
)
def test_disconnect_is_retried(mock_api: MockApi, pauses: list[float], failure: t.Any) -> None:
    mock_api.expect_disconnect(SERVICE, ID, *[failure] * 3, STOPPED)
    assert api().disconnect(SERVICE, ID) is True
    assert len(pauses) == 3


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Reply({"status": "false"}, 500), RemoteItError),
        (Reply("<p>", 500), BadAnswerError),
        (Reply("", 429), ThrottledError),
        (requests.exceptions.ConnectionError(), NetworkError),
    ],
)
def test_disconnect_fails_after_all_attempts(
    mock_api: MockApi, pauses: list[float], failure: t.Any, error: type[RemoteItError]
) -> None:
    mock_api.expect_disconnect(SERVICE, ID, *[failure] * 5)
    with pytest.raises(error):
        api().disconnect(SERVICE, ID)


@pytest.mark.parametrize("reply", AMBIGUOUS)
def test_disconnect_of_unknown_connection_is_already_closed(mock_api: MockApi, reply: Reply) -> None:
    mock_api.expect_disconnect(SERVICE, ID, reply)
    mock_api.expect("GET", LIST, SUCCESS, headers={"developerkey": KEY, "token": TOKEN})
    mock_api.expect_disconnect(SERVICE, ID, reply)
    assert api().disconnect(SERVICE, ID) is False


@pytest.mark.parametrize("reply", AMBIGUOUS)
def test_disconnect_repeats_an_ambiguous_refusal(mock_api: MockApi, reply: Reply) -> None:
    mock_api.expect_disconnect(SERVICE, ID, reply)
    mock_api.expect("GET", LIST, SUCCESS)
    mock_api.expect_disconnect(SERVICE, ID, STOPPED)
    assert api().disconnect(SERVICE, ID) is True


@pytest.mark.parametrize(
    "reply",
    [
        refused("database is down", 200),
        refused("session busy", 200),
        refused("connection in use", 200),
        refused("upstream timed out", 404),
        Reply({"status": "false", "error": "permission denied"}, 401),
        Reply({"status": "false", "reason": {"message": "could not stop"}}, 404),
        refused("try again", 400),
        Reply({}, 409),
        Reply({"status": "false"}),  # not about the connection
        refused("user is not authorized"),
        refused("unknown error", 404),
        refused("connection could not be stopped, try again", 200),
        refused("permission denied for this connection", 403),
        refused("connection timed out", 408),
        refused("connection to the proxy timed out", 200),
        refused("Unknown column 'x' in the list of fields", 200),
        refused("your subscription has expired", 200),
        refused("the connection is already closing", 200),
        Reply({"message": "Forbidden"}, 403),  # of a gateway, without the status of the API
        Reply({"message": "Unauthorized"}, 401),
        Reply({"message": "Not Found"}, 404),
    ],
)
def test_disconnect_raises_other_refusals(mock_api: MockApi, reply: Reply) -> None:
    mock_api.expect_disconnect(SERVICE, ID, reply)
    with pytest.raises(RemoteItError):
        api().disconnect(SERVICE, ID)


def test_disconnect_does_not_search_the_sources_of_the_credentials(mock_api: MockApi) -> None:
    mock_api.expect_disconnect(SERVICE, ID, AMBIGUOUS[0])
    mock_api.expect("GET", LIST, SUCCESS)
    mock_api.expect_disconnect(SERVICE, ID, AMBIGUOUS[0])
    credentials = dataclasses.replace(WITH_TOKEN, sources="token in the profile default of /srv/failed/credentials")
    assert api(credentials).disconnect(SERVICE, ID) is False


@pytest.mark.parametrize(("seconds", "calls"), [(9, 1), (11, 2)])
@pytest.mark.parametrize("is_valid", [True, False])
def test_refusals_that_follow_soon_share_the_proof(
    mock_api: MockApi, monkeypatch: pytest.MonkeyPatch, seconds: int, calls: int, is_valid: bool
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    mock_api.unordered = True
    mock_api.expect("GET", LIST, *[SUCCESS if is_valid else refused("api key failed validation")] * calls)
    rest = api()
    for service in SERVICES[:2]:
        mock_api.expect_disconnect(service, ID, *AMBIGUOUS[: 1 + is_valid])
        with contextlib.nullcontext() if is_valid else pytest.raises(AuthError):
            assert rest.disconnect(service, ID) is False
        now += seconds


@pytest.mark.parametrize("reason", ["session expired", "Authentication required"])
def test_success_before_the_refusal_proves_nothing(mock_api: MockApi, reason: str) -> None:
    """The token has expired after the connection was opened."""
    mock_api.expect_connect(SERVICE, opened())
    mock_api.expect_disconnect(SERVICE, ID, refused(reason))
    mock_api.expect("GET", LIST, refused(reason))
    rest = api()
    rest.connect(SERVICE)
    with pytest.raises(AuthError):
        rest.disconnect(SERVICE, ID)


@pytest.mark.parametrize(
    "reply",
    [
        refused("api key failed validation"),
        refused("<error message>"),
        Reply({"status": "false"}),
        Reply("Unauthorized", 401),
        Reply("<p>", 403),
    ],
)
def test_disconnect_fails_if_credentials_are_not_proven(mock_api: MockApi, reply: Reply) -> None:
    mock_api.expect_disconnect(SERVICE, ID, AMBIGUOUS[0])
    mock_api.expect("GET", LIST, reply)
    with pytest.raises(RemoteItError):
        api().disconnect(SERVICE, ID)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (refused("api key failed validation"), "auth"),
        (refused("missing api token"), "auth"),
        (refused("Invalid Date", code="INVALID_AUTH"), "auth"),
        (refused("[0405] not shared with you", 403), "not_shared"),
        (Reply("", 401), "bad_answer"),
        (Reply("<p>", 404), "bad_answer"),
    ],
)
def test_disconnect_raises_refusal_with_clear_reason(mock_api: MockApi, reply: Reply, code: str) -> None:
    mock_api.expect_connect(SERVICE, opened())  # a recent success proves the credentials
    mock_api.expect_disconnect(SERVICE, ID, reply)
    rest = api()
    rest.connect(SERVICE)
    with pytest.raises(RemoteItError) as caught:
        rest.disconnect(SERVICE, ID)
    assert caught.value.code == code


# -- devices and sessions ----------------------------------------------------------------------------------------------

# the row on the vendor's page: https://docs.remote.it/api-reference/devices/list
ROW = {
    "createdate": "2018-03-29T04:19:02.19-04:00",
    "deviceaddress": "80:00:00:80:01:00:01:25",
    "devicealias": "Demo_Router_Web_Port_80",
    "devicelastip": "126.237.116.49",
    "devicestate": "active",
    "devicetype": "00:1E:00:00:00:01:00:00:04:60:00:50:00:01:00:00",
    "georegion": "Asia",
    "lastcontacted": "2018-12-29T14:56:50-05:00",
    "lastinternalip": "10.61.12.80",
    "ownerusername": "someone@example.com",
    "servicetitle": "Basic Web",
    "shared": "shared-from",
}


def test_devices_reads_the_list(mock_api: MockApi, pauses: list[float]) -> None:
    mock_api.expect("GET", LIST, Reply("", 500), headers={"developerkey": KEY, "token": TOKEN})
    mock_api.expect("GET", LIST, Reply({"devices": [ROW, None], "status": "true"}))
    warnings: list[str] = []
    (device,) = api().devices(DeviceFilter(applications=(30,), state="active"), warnings.append)
    assert (device.name, device.last_reported) == ("Demo_Router_Web_Port_80", "2018-12-29T19:56:50Z")
    assert [(service.id, service.port) for service in device.services] == [("80:00:00:80:01:00:01:25", 80)]
    assert len(warnings) == 1


def test_devices_filters_the_list(mock_api: MockApi) -> None:
    mock_api.expect("GET", LIST, Reply({"devices": [ROW], "status": "true"}))
    assert list(api().devices(DeviceFilter(devices=("Demo",)), pytest.fail)) == []


@pytest.mark.parametrize("devices", [None, {}, "x"])
def test_devices_without_list_is_an_error(mock_api: MockApi, devices: t.Any) -> None:
    mock_api.expect("GET", LIST, Reply({"devices": devices, "status": "true"}))
    with pytest.raises(BadAnswerError):
        list(api().devices(DeviceFilter(), pytest.fail))


@pytest.mark.parametrize(
    "wanted", [DeviceFilter(tags_any=("a",)), DeviceFilter(tags_all=("a",)), DeviceFilter(organisation="o")]
)
def test_devices_rejects_filters_that_need_graphql(mock_api: MockApi, wanted: DeviceFilter) -> None:
    with pytest.raises(OptionsError):
        api().devices(wanted, pytest.fail)  # before the first device is requested


def test_sessions_returns_none(mock_api: MockApi) -> None:
    assert api().sessions() is None
    assert api().sessions_of([SERVICE]) == {SERVICE: None}
