# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scripted API: the mock_api that a test expects, played at the C(requests) adapter."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import math
import sys
import threading
import types
import typing as t

import requests
import requests.adapters
import requests.structures

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.adapter import current_call
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import (
    DEFAULT_API_URL,
    DEFAULT_GRAPHQL_URL,
    Credentials,
)

SERVICE = "80:00:00:00:01:00:40:C5"
SERVICES = tuple(f"80:00:00:00:01:00:00:{number:02X}" for number in range(1, 100))
ID = "48844999-bbf4-48cf-9a3a-353b7385737a"

KEY = "the-developer-key"
TOKEN = "the-token"
PASSWORD = "the-password"

WITH_TOKEN = Credentials(api_url=DEFAULT_API_URL, developer_key=KEY, token=TOKEN)
WITH_PASSWORD = Credentials(api_url=DEFAULT_API_URL, developer_key=KEY, username="someone", password=PASSWORD)

# the pair that the vendor's documentation prints, which does not work
ACCESS_KEY_ID = "PV7BWOOSA34XBPHDYFFO"
SECRET_ACCESS_KEY = "UZGhn/fqEYUPnhX6kZ3Z5uces3i0dq9YNw2+cOKh"
WITH_ACCESS_KEY = Credentials(access_key_id=ACCESS_KEY_ID, secret_access_key=SECRET_ACCESS_KEY)


def account(credentials: Credentials = WITH_TOKEN, concurrency: int = 4) -> Account:
    return Account(credentials, concurrency=concurrency)


def executed_again(module: types.ModuleType) -> t.Any:
    """The module as another process would get it; this one keeps its own."""
    name = f"{module.__name__.rpartition('.')[2]}_again"
    spec = importlib.util.spec_from_file_location(name, str(module.__file__))
    assert spec is not None
    assert spec.loader is not None
    again = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look it up there
    spec.loader.exec_module(again)
    return again


@dataclasses.dataclass
class Reply:
    """An answer: a dictionary or a list is sent as JSON, a string as it is."""

    body: t.Any = ""
    status: int = 200
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    def response(self, request: requests.PreparedRequest) -> requests.Response:
        response = requests.Response()
        response.status_code = self.status
        response.headers = requests.structures.CaseInsensitiveDict(self.headers)
        response.request = request
        response.url = request.url or ""
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        response.raw = io.BytesIO(text.encode())
        return response


def opened(
    service: str = SERVICE, connectionid: str = ID, proxy: str = "http://proxy40.rt3.io:34168", **more: t.Any
) -> Reply:
    connection = {
        "deviceaddress": service,
        "connectionid": connectionid,
        "proxy": proxy,
        "expirationsec": "28797",
        **more,
    }
    return Reply({"status": "true", "connection": connection, "wait": True})


def sessions(*ids: str, user: str = "me", service: str = SERVICE, started: str = "2026-01-15T23:20:00.000Z") -> Reply:
    """Return GraphQL's response about the sessions of a service. The account's ID is ``me``."""
    items = [
        {
            "id": each,
            "timestamp": started,
            "user": {"id": user, "email": "someone@example.com"},
            "target": {"id": service},
            "endpoint": {"proxy": True},
        }
        for each in ids
    ]
    return Reply({"data": {"login": {"id": "me", "service": [{"id": service, "sessions": items}]}}})


def refused(reason: str, status: int = 401, **more: t.Any) -> Reply:
    return Reply({"status": "false", "reason": reason, "code": "GENERAL_ERROR", **more}, status)


def not_sent(request: requests.PreparedRequest) -> t.NoReturn:
    """Fail as if there was no connection to the API."""
    current_call.get().is_sent = False
    raise requests.exceptions.ConnectionError


STOPPED = Reply({"status": "true", "connectionid": ID})
LOGGED_IN = Reply({"status": "true", "token": TOKEN})

Answer = Reply | Exception | t.Callable[[requests.PreparedRequest], Reply]


@dataclasses.dataclass
class Expected:
    method: str
    path: str
    answer: Answer
    body: t.Any
    headers: t.Mapping[str, str | None]

    def objection(self, request: requests.PreparedRequest) -> str | None:
        """What is wrong with the request; none if it is the expected one."""
        url = self.path if "://" in self.path else DEFAULT_API_URL + self.path
        if (request.method, request.url) != (self.method, url):
            return f"{request.method} {request.url} came instead of {self.method} {url}"
        if self.body is not None and json.loads(request.body or "null") != self.body:
            return f"{url} was sent {request.body!r} instead of {self.body}"
        for name, value in self.headers.items():
            if request.headers.get(name) != value:
                return f"{url} was sent the header {name} as {request.headers.get(name)!r} instead of {value!r}"
        return None


class ExpectedQuery(Expected):
    def objection(self, request: requests.PreparedRequest) -> str | None:
        """What is wrong with the request: the C(body) is that of its variables."""
        content = json.loads(request.body or "null")
        if set(content) != {"query", "variables"}:
            return f"{self.path} was sent {content}"
        query = dataclasses.replace(Expected(**vars(self)), body=None).objection(request)
        if query is None and self.body is not None and content["variables"] != self.body:
            return f"{content['query']} was sent {content['variables']} instead of {self.body}"
        return query


class MockApi(requests.adapters.BaseAdapter):
    """Expects calls in their order, or, for threads, in any; a wrong, an extra and a missing one fail the test."""

    def __init__(self) -> None:
        super().__init__()
        self.unordered = False
        self.sent: list[requests.PreparedRequest] = []
        self.options: list[dict[str, t.Any]] = []
        self._expected: list[Expected] = []
        self._mistakes: list[str] = []
        self._lock = threading.Lock()

    def expect(
        self,
        method: str,
        path: str,
        *answers: Answer,
        body: t.Any = None,
        headers: t.Mapping[str, str | None] | None = None,
    ) -> None:
        """Expect a call once for each answer."""
        with self._lock:
            self._expected += [Expected(method, path, answer, body, headers or {}) for answer in answers]

    def expect_connect(self, service: str, answer: Answer) -> None:
        self.expect("POST", "/device/connect", answer, body={"deviceaddress": service, "wait": "true"})

    def expect_disconnect(self, service: str, connectionid: str, *answers: Answer) -> None:
        body = {"deviceaddress": service, "connectionid": connectionid}
        self.expect("POST", "/device/connect/stop", *answers, body=body)

    def expect_query(self, variables: t.Any, *answers: Answer) -> None:
        """Expect a GraphQL call with these variables once for each answer."""
        with self._lock:
            self._expected += [ExpectedQuery("POST", DEFAULT_GRAPHQL_URL, answer, variables, {}) for answer in answers]

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: t.Any = None,
        verify: t.Any = True,
        cert: t.Any = None,
        proxies: t.Any = None,
    ) -> requests.Response:
        with self._lock:
            self.sent.append(request)
            self.options.append({"timeout": math.ceil(timeout), "verify": verify, "proxies": proxies})
            answer = self._next(request)
        if isinstance(answer, Exception):
            raise answer
        return (answer if isinstance(answer, Reply) else answer(request)).response(request)

    def close(self) -> None:
        pass

    def _next(self, request: requests.PreparedRequest) -> Answer:
        candidates = self._expected if self.unordered else self._expected[:1]
        objections = []
        for expected in candidates:
            objection = expected.objection(request)
            if objection is None:
                self._expected.remove(expected)
                return expected.answer
            objections.append(objection)
        self._mistakes.append(
            objections[0] if objections else f"unexpected: {request.method} {request.url} {request.body!r}"
        )
        raise AssertionError(self._mistakes[-1])

    def verify(self) -> None:
        """Fail unless everything that was expected was said, and nothing else."""
        mistakes = [*self._mistakes, *(f"missing: {expected}" for expected in self._expected)]
        self._mistakes, self._expected = [], []  # said once
        assert not mistakes
