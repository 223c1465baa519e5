# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts, and opening and closing many connections at once."""

from __future__ import annotations

import threading
import time
import typing as t

import pytest
import requests
import requests.adapters

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api import errors as _errors
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import (
    ALREADY_CLOSED,
    CLOSED,
    ConnectRequest,
    DirectBackend,
    connect_one,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    BadAnswerError,
    ConnectOutcome,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.graphql import GraphQlApi
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.rest import RestApi
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import (
    GRAPHQL_CONNECTION,
    ID,
    SERVICE,
    SERVICES,
    STOPPED,
    TOKEN,
    WITH_ACCESS_KEY,
    WITH_PASSWORD,
    WITH_TOKEN,
    MockApi,
    Reply,
    Script,
    account,
    opened,
    refused,
    sessions,
)

REQUEST = ConnectRequest((SERVICE,))


@pytest.mark.parametrize(
    "reply",
    [
        opened(proxy="http://-oProxyCommand=x:22"),
        opened(proxy="nonsense"),
        Reply({"status": "true", "connectionid": ID}),
    ],
)
def test_connect_one_closes_unusable_connection(mock_api: MockApi, reply: Reply) -> None:
    mock_api.expect_connect(SERVICE, reply)
    mock_api.expect_disconnect(SERVICE, ID, STOPPED)
    with pytest.raises(BadAnswerError) as caught:
        connect_one(account().api(), SERVICE, REQUEST)
    assert (caught.value.outcome, caught.value.connectionid) == (ConnectOutcome.REFUSED, None)


def test_connect_one_names_connection_it_cannot_close(mock_api: MockApi) -> None:
    mock_api.expect_connect(SERVICE, opened(proxy="nonsense"))
    mock_api.expect_disconnect(SERVICE, ID, refused("api key failed validation"))
    with pytest.raises(BadAnswerError, match=f"the connection {ID} could not be closed: .*developer key") as caught:
        connect_one(account().api(), SERVICE, REQUEST)
    assert (caught.value.outcome, caught.value.connectionid) == (ConnectOutcome.OPENED, ID)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(""),
        opened(connectionid=""),
        Reply("<p>", 502),
        Reply({"message": "Endpoint request timed out"}, 504),
        requests.exceptions.ReadTimeout(),
        requests.exceptions.ConnectionError("Connection aborted."),
    ],
)
def test_connect_one_reports_unclear_outcome(mock_api: MockApi, reply: Script) -> None:
    mock_api.expect_connect(SERVICE, reply)
    with pytest.raises(RemoteItError, match="a connection may be open; it expires 15 minutes after") as caught:
        connect_one(account().api(), SERVICE, REQUEST)
    assert caught.value.outcome is ConnectOutcome.UNCLEAR


def test_open_keeps_results_if_one_service_fails(mock_api: MockApi) -> None:
    mock_api.unordered = True
    mock_api.expect_connect(SERVICES[0], opened(SERVICES[0], "id-0"))
    mock_api.expect_connect(SERVICES[1], refused("[0861]", 200))
    mock_api.expect_connect(SERVICES[2], opened(SERVICES[2], "id-2"))
    outcomes = dict(DirectBackend().connect_all(account(), ConnectRequest(SERVICES[:3])))
    assert {service: getattr(outcome, "connectionid", None) for service, outcome in outcomes.items()} == {
        SERVICES[0]: "id-0",
        SERVICES[1]: None,
        SERVICES[2]: "id-2",
    }
    assert isinstance(outcomes[SERVICES[1]], _errors.NotFoundError)


def test_close_returns_the_outcome_of_each_connection(mock_api: MockApi) -> None:
    mock_api.unordered = True
    stops = [(service, f"id-{number}") for number, service in enumerate(SERVICES[:3])]
    mock_api.expect_disconnect(*stops[0], STOPPED)
    mock_api.expect_disconnect(*stops[1], *[refused("<error message>")] * 2)
    mock_api.expect_disconnect(*stops[2], refused("api key failed validation"))
    mock_api.expect("GET", "/device/list/all", Reply({"status": "true", "devices": []}))
    outcomes = dict(DirectBackend().disconnect_all(account(concurrency=1), stops))
    assert outcomes[stops[0]] == CLOSED
    assert outcomes[stops[1]] == ALREADY_CLOSED
    assert isinstance(outcomes[stops[2]], _errors.AuthError)


def test_open_uses_all_threads_and_no_more(mock_api: MockApi) -> None:
    width, waves = 3, 4
    concurrent = threading.Barrier(width)
    threads: set[int] = set()

    def respond(request: requests.PreparedRequest) -> Reply:
        threads.add(threading.get_ident())
        concurrent.wait(30)
        return opened("")

    services = SERVICES[: width * waves]
    mock_api.unordered = True
    for service in services:
        mock_api.expect_connect(service, respond)
    outcomes = dict(DirectBackend().connect_all(account(concurrency=width), ConnectRequest(services)))
    assert len(outcomes) == len(services)
    assert all(isinstance(outcome, Connection) for outcome in outcomes.values())
    assert len(threads) == width


class RateLimit(requests.adapters.BaseAdapter):
    """An API that accepts 20 connect calls per second, in a tenth of the time."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._end, self._left = 0.0, 0
        self.refused = 0

    def send(self, request: requests.PreparedRequest, *_unused: t.Any, **__: t.Any) -> requests.Response:
        with self._lock:
            if time.monotonic() >= self._end:
                self._end, self._left = time.monotonic() + 0.1, 20
            self._left -= 1
            self.refused += self._left < 0
            reply = Reply("", 429, {"Retry-After": "1"}) if self._left < 0 else opened("")
        return reply.response(request)


@pytest.mark.parametrize("concurrency", [16, 200])
def test_connect_waits_for_the_rate_limit(monkeypatch: pytest.MonkeyPatch, concurrency: int) -> None:
    api, sleep = RateLimit(), time.sleep
    monkeypatch.setattr(requests.Session, "get_adapter", lambda session, url: api)
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / 10))
    services = tuple(f"80:00:00:00:01:00:00:{number:02X}" for number in range(200))
    outcomes = dict(DirectBackend().connect_all(account(concurrency=concurrency), ConnectRequest(services)))
    assert sum(isinstance(outcome, Connection) for outcome in outcomes.values()) == 200
    assert api.refused


def test_account_repr_has_no_secret() -> None:
    assert TOKEN not in repr(account())
    assert not any(secret in repr(account(WITH_ACCESS_KEY)) for secret in WITH_ACCESS_KEY.secrets())


@pytest.mark.parametrize(
    ("credentials", "api"), [(WITH_TOKEN, RestApi), (WITH_PASSWORD, RestApi), (WITH_ACCESS_KEY, GraphQlApi)]
)
def test_account_returns_the_api_of_its_credentials(credentials: Credentials, api: type[object]) -> None:
    assert isinstance(account(credentials).api(), api)
    assert isinstance(account(Credentials(**credentials.as_options())).api(), api)


def test_open_and_close_over_graphql(mock_api: MockApi) -> None:
    mock_api.unordered = True
    mock_api.expect_query({"serviceId": SERVICES[0]}, Reply({"data": {"connect": GRAPHQL_CONNECTION}}))
    mock_api.expect_query({"serviceId": SERVICES[1]}, Reply({"errors": [{"message": "inactive"}]}))
    mock_api.expect_query({"id": [SERVICES[1]]}, sessions(service=SERVICES[1]))
    outcomes = dict(DirectBackend().connect_all(account(WITH_ACCESS_KEY), ConnectRequest(SERVICES[:2])))
    assert isinstance(outcomes[SERVICES[0]], Connection)
    assert isinstance(outcomes[SERVICES[1]], _errors.OfflineError)
    mock_api.expect_query({"connectionId": ID, "serviceId": SERVICES[0]}, Reply({"data": {"disconnect": True}}))
    assert dict(DirectBackend().disconnect_all(account(WITH_ACCESS_KEY), [(SERVICES[0], ID)])) == {
        (SERVICES[0], ID): CLOSED
    }


def test_error_codes_are_a_closed_list() -> None:
    assert set(_errors.BY_CODE) == {
        "auth", "not_found", "not_shared", "offline", "throttled", "timeout", "network", "bad_answer", "api", "options",
    }  # fmt: skip
    for code in _errors.BY_CODE:
        failure = {"code": code, "message": "why"}
        assert _errors.from_failure(failure).as_failure() == failure
