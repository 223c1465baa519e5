# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many at once: one that fails does not lose the others, and there are never more than allowed."""

from __future__ import annotations

import threading

import pytest
import requests

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
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import BadAnswerError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.graphql import GraphQlApi
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.rest import RestApi
from ansible_collections.remoteit.fleet.tests.unit.plugins.conversation import (
    ID,
    SERVICE,
    SERVICES,
    STOPPED,
    TOKEN,
    WITH_ACCESS_KEY,
    WITH_PASSWORD,
    WITH_TOKEN,
    Answer,
    Conversation,
    Reply,
    account,
    opened,
    refused,
)

ORDER = ConnectRequest((SERVICE,))


@pytest.mark.parametrize(
    "answer",
    [
        opened(proxy="http://-oProxyCommand=x:22"),
        opened(proxy="nonsense"),
        opened(deviceaddress="80:00:00:00:00:00:00:91"),
        Reply({"status": "true", "connectionid": ID}),
    ],
)
def test_a_connection_that_cannot_be_used_is_stopped(conversation: Conversation, answer: Reply) -> None:
    conversation.expect_open(SERVICE, answer)
    conversation.expect_stop(SERVICE, ID, STOPPED)
    with pytest.raises(BadAnswerError, match=f"the connection {ID} was stopped") as caught:
        connect_one(account().api(), SERVICE, ORDER)
    assert caught.value.connectionid is None


def test_one_that_cannot_be_stopped_either_is_named(conversation: Conversation) -> None:
    conversation.expect_open(SERVICE, opened(proxy="nonsense"))
    conversation.expect_stop(SERVICE, ID, refused("api key failed validation"))
    with pytest.raises(BadAnswerError, match=f"the connection {ID} could not be stopped: .*developer key") as caught:
        connect_one(account().api(), SERVICE, ORDER)
    assert caught.value.connectionid == ID


@pytest.mark.parametrize(
    "answer",
    [
        Reply(""),
        opened(connectionid=""),
        Reply("<p>", 502),
        Reply({"message": "Endpoint request timed out"}, 504),
        requests.exceptions.ReadTimeout(),
        requests.exceptions.ConnectionError("Connection aborted."),
    ],
)
def test_what_may_be_open_all_the_same_is_said_and_when_it_ends(conversation: Conversation, answer: Answer) -> None:
    conversation.expect_open(SERVICE, answer)
    with pytest.raises(RemoteItError, match="may be open all the same; it ends by itself 15 minutes after"):
        connect_one(account().api(), SERVICE, ORDER)


def test_one_failing_of_many(conversation: Conversation) -> None:
    conversation.in_any_order = True
    conversation.expect_open(SERVICES[0], opened(SERVICES[0], "id-0"))
    conversation.expect_open(SERVICES[1], refused("[0861]", 200))
    conversation.expect_open(SERVICES[2], opened(SERVICES[2], "id-2"))
    outcomes = dict(DirectBackend().connect_all(account(), ConnectRequest(SERVICES[:3])))
    assert {service: getattr(outcome, "connectionid", None) for service, outcome in outcomes.items()} == {
        SERVICES[0]: "id-0",
        SERVICES[1]: None,
        SERVICES[2]: "id-2",
    }
    assert isinstance(outcomes[SERVICES[1]], _errors.NotFoundError)


def test_closing_many(conversation: Conversation) -> None:
    conversation.in_any_order = True
    stops = [(service, f"id-{number}") for number, service in enumerate(SERVICES[:3])]
    conversation.expect_stop(*stops[0], STOPPED)
    conversation.expect_stop(*stops[1], *[refused("<error message>")] * 2)
    conversation.expect_stop(*stops[2], refused("api key failed validation"))
    outcomes = dict(DirectBackend().disconnect_all(account(concurrency=1), stops))
    assert outcomes[stops[0]] == CLOSED
    assert outcomes[stops[1]] == ALREADY_CLOSED
    assert isinstance(outcomes[stops[2]], _errors.AuthError)


def test_the_width_is_used_and_kept(conversation: Conversation) -> None:
    width, waves = 3, 4
    together = threading.Barrier(width)  # is passed only when so many calls are under way at once
    threads: set[int] = set()

    def answer(request: requests.PreparedRequest) -> Reply:
        threads.add(threading.get_ident())
        together.wait(30)
        return opened("")

    services = SERVICES[: width * waves]
    conversation.in_any_order = True
    for service in services:
        conversation.expect_open(service, answer)
    outcomes = dict(DirectBackend().connect_all(account(concurrency=width), ConnectRequest(services)))
    assert len(outcomes) == len(services)
    assert all(isinstance(outcome, Connection) for outcome in outcomes.values())
    assert len(threads) == width


def test_an_account_is_safe_to_print() -> None:
    assert TOKEN not in repr(account())
    assert not any(secret in repr(account(WITH_ACCESS_KEY)) for secret in WITH_ACCESS_KEY.secrets())


@pytest.mark.parametrize(
    ("credentials", "api"), [(WITH_TOKEN, RestApi), (WITH_PASSWORD, RestApi), (WITH_ACCESS_KEY, GraphQlApi)]
)
def test_the_credentials_choose_the_api(credentials: Credentials, api: type[object]) -> None:
    assert isinstance(account(credentials).api(), api)
    assert isinstance(account(Credentials(**credentials.as_options())).api(), api)


def test_many_over_graphql(conversation: Conversation) -> None:
    conversation.in_any_order = True
    connection = {"id": ID, "host": "proxy18.rt3.io", "port": 37488, "reverseProxy": False, "timeout": 28800}
    conversation.expect_query({"serviceId": SERVICES[0]}, Reply({"data": {"connect": connection}}))
    conversation.expect_query({"serviceId": SERVICES[1]}, Reply({"errors": [{"message": "inactive"}]}))
    outcomes = dict(DirectBackend().connect_all(account(WITH_ACCESS_KEY), ConnectRequest(SERVICES[:2])))
    assert isinstance(outcomes[SERVICES[0]], Connection)
    assert isinstance(outcomes[SERVICES[1]], _errors.OfflineError)
    conversation.expect_query({"connectionId": ID, "serviceId": SERVICES[0]}, Reply({"data": {"disconnect": True}}))
    assert dict(DirectBackend().disconnect_all(account(WITH_ACCESS_KEY), [(SERVICES[0], ID)])) == {
        (SERVICES[0], ID): CLOSED
    }


def test_the_codes_of_failures_are_a_closed_list_and_survive_a_journey() -> None:
    assert set(_errors.BY_CODE) == {
        "auth", "not_found", "not_shared", "offline", "throttled", "timeout", "network", "bad_answer", "api", "options",
    }  # fmt: skip
    for code in _errors.BY_CODE:
        failure = {"code": code, "message": "why"}
        assert _errors.from_failure(failure).as_failure() == failure
