# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mock of the API at the adapter of ``requests``, which expects requests and sends scripted replies."""

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
PROXY = "http://proxy40.rt3.io:34168"
ID = "48844999-bbf4-48cf-9a3a-353b7385737a"

KEY = "the-developer-key"
TOKEN = "the-token"
PASSWORD = "the-password"

WITH_TOKEN = Credentials(api_url=DEFAULT_API_URL, developer_key=KEY, token=TOKEN)
WITH_PASSWORD = Credentials(api_url=DEFAULT_API_URL, developer_key=KEY, username="someone", password=PASSWORD)

# the example of the vendor's documentation, which is not valid
ACCESS_KEY_ID = "PV7BWOOSA34XBPHDYFFO"
SECRET_ACCESS_KEY = "UZGhn/fqEYUPnhX6kZ3Z5uces3i0dq9YNw2+cOKh"
WITH_ACCESS_KEY = Credentials(access_key_id=ACCESS_KEY_ID, secret_access_key=SECRET_ACCESS_KEY)


def account(credentials: Credentials = WITH_TOKEN, concurrency: int = 4) -> Account:
    return Account(credentials, concurrency=concurrency)


def import_copy(module: types.ModuleType) -> t.Any:
    """Import a second copy of a module, as another process does."""
    name = f"{module.__name__.rpartition('.')[2]}_copy"
    spec = importlib.util.spec_from_file_location(name, str(module.__file__))
    assert spec is not None
    assert spec.loader is not None
    copy = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses need the entry in sys.modules
    spec.loader.exec_module(copy)
    return copy


@dataclasses.dataclass
class Reply:
    """A scripted response. A string is sent unchanged, any other body as JSON."""

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


def opened(service: str = SERVICE, connectionid: str = ID, proxy: str = PROXY, **more: t.Any) -> Reply:
    connection = {
        "deviceaddress": service,
        "connectionid": connectionid,
        "proxy": proxy,
        "expirationsec": "28797",
        **more,
    }
    return Reply({"status": "true", "connection": connection, "wait": True})


#: A connection of GraphQL, as on the vendor's page: https://docs.remote.it/developer-tools/api/usage
GRAPHQL_CONNECTION = {"id": ID, "host": "proxy18.rt3.io", "port": 37488, "reverseProxy": False, "timeout": 28800}

#: A session of GraphQL. The account's ID is ``me``.
SESSION: dict[str, t.Any] = {
    "id": ID,
    "timestamp": "2026-01-15T23:20:00.000Z",
    "user": {"id": "me", "email": "someone@example.com"},
    "target": {"id": SERVICE},
    "endpoint": {"proxy": True},
}


def sessions(
    *ids: str,
    user: str = "me",
    service: str = SERVICE,
    started: str = SESSION["timestamp"],
    owner: str | None = None,
) -> Reply:
    """Return GraphQL's response about the sessions of a service."""
    session = {**SESSION, "timestamp": started, "user": {"id": user}, "target": {"id": service}}
    items = [{**session, "id": each} for each in ids]
    return Reply(
        {"data": {"login": {"id": "me", "service": [{"id": service, "owner": {"id": owner}, "sessions": items}]}}}
    )


def rest_row(service: str, name: t.Any, title: str = "SSH", **more: t.Any) -> dict[str, t.Any]:
    """Return a service as REST lists it."""
    return {
        "deviceaddress": service,
        "devicealias": name,
        "servicetitle": title,
        "devicetype": "00:1C:00:00:00:01:00:00:04:60:00:16:00:01:00:00",
        "devicestate": "active",
        "ownerusername": "someone@example.com",
        "devicelastip": "203.0.113.7",
        "lastinternalip": "10.0.0.7",
        "createdate": "2018-03-29T04:19:02.19-04:00",
        "lastcontacted": "2018-12-29T14:56:50-05:00",
        **more,
    }


def refused(reason: str, status: int = 401, **more: t.Any) -> Reply:
    return Reply({"status": "false", "reason": reason, "code": "GENERAL_ERROR", **more}, status)


def not_sent(request: requests.PreparedRequest) -> t.NoReturn:
    """Fail as if there was no connection to the API."""
    current_call.get().is_sent = False
    raise requests.exceptions.ConnectionError


class HeldReply:
    """A reply that is sent when the test releases it."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.arrived, self.release = threading.Event(), threading.Event()

    def __call__(self, request: requests.PreparedRequest) -> Reply:
        self.arrived.set()
        assert self.release.wait(30)
        return self.reply


STOPPED = Reply({"status": "true", "connectionid": ID})
LOGGED_IN = Reply({"status": "true", "token": TOKEN})

Script = Reply | Exception | t.Callable[[requests.PreparedRequest], Reply]


@dataclasses.dataclass
class Expected:
    """An expected request, and its reply."""

    method: str
    path: str
    reply: Script
    body: t.Any
    headers: t.Mapping[str, str | None]

    def mismatch(self, request: requests.PreparedRequest) -> str | None:
        """Return how a request differs from the expected one, or None."""
        url = self.path if "://" in self.path else DEFAULT_API_URL + self.path
        if (request.method, request.url) != (self.method, url):
            return f"expected {self.method} {url}, got {request.method} {request.url}"
        body = self.parse_body(request)
        if self.body is not None and body != self.body:
            return f"{url}: expected {self.body}, got {body}"
        for name, value in self.headers.items():
            if request.headers.get(name) != value:
                return f"{url}: expected the header {name} to be {value!r}, got {request.headers.get(name)!r}"
        return None

    def parse_body(self, request: requests.PreparedRequest) -> t.Any:
        return json.loads(request.body or "null")


class ExpectedQuery(Expected):
    """An expected GraphQL request. ``body`` contains its variables."""

    def mismatch(self, request: requests.PreparedRequest) -> str | None:
        body = super().parse_body(request)
        if set(body) != {"query", "variables"}:
            return f"{request.url}: expected a query with variables, got {body}"
        return super().mismatch(request)

    def parse_body(self, request: requests.PreparedRequest) -> t.Any:
        return super().parse_body(request)["variables"]


class MockApi(requests.adapters.BaseAdapter):
    """Expects requests in their order, or in any order for threads. A wrong or missing request fails the test."""

    def __init__(self) -> None:
        super().__init__()
        self.unordered = False
        self.sent: list[requests.PreparedRequest] = []
        self.options: list[dict[str, t.Any]] = []
        self._expected: list[Expected] = []
        self._mismatches: list[str] = []
        self._lock = threading.Lock()

    def expect(
        self,
        method: str,
        path: str,
        *replies: Script,
        body: t.Any = None,
        headers: t.Mapping[str, str | None] | None = None,
    ) -> None:
        """Expect a request once for each reply."""
        with self._lock:
            self._expected += [Expected(method, path, reply, body, headers or {}) for reply in replies]

    def expect_connect(self, service: str, reply: Script) -> None:
        self.expect("POST", "/device/connect", reply, body={"deviceaddress": service, "wait": "true"})

    def expect_disconnect(self, service: str, connectionid: str, *replies: Script) -> None:
        body = {"deviceaddress": service, "connectionid": connectionid}
        self.expect("POST", "/device/connect/stop", *replies, body=body)

    def expect_unknown(self, service: str, connectionid: str) -> None:
        """Expect the calls that show that the API does not know a connection."""
        self.expect_disconnect(service, connectionid, refused("<error message>"))
        self.expect("GET", "/device/list/all", Reply({"status": "true"}))
        self.expect_disconnect(service, connectionid, refused("<error message>"))

    def expect_query(self, variables: t.Any, *replies: Script) -> None:
        """Expect a GraphQL request with these variables once for each reply."""
        with self._lock:
            self._expected += [ExpectedQuery("POST", DEFAULT_GRAPHQL_URL, reply, variables, {}) for reply in replies]

    def send(
        self, request: requests.PreparedRequest, *, timeout: t.Any = None, verify: t.Any = True, proxies: t.Any = None,
        **_unused: t.Any,
    ) -> requests.Response:  # fmt: skip
        with self._lock:
            self.sent.append(request)
            self.options.append({"timeout": math.ceil(timeout), "verify": verify, "proxies": proxies})
            reply = self._next(request)
        if isinstance(reply, Exception):
            raise reply
        return (reply if isinstance(reply, Reply) else reply(request)).response(request)

    def close(self) -> None:
        pass

    def _next(self, request: requests.PreparedRequest) -> Script:
        candidates = self._expected if self.unordered else self._expected[:1]
        mismatches = []
        for expected in candidates:
            mismatch = expected.mismatch(request)
            if mismatch is None:
                self._expected.remove(expected)
                return expected.reply
            mismatches.append(mismatch)
        self._mismatches.append(
            mismatches[0] if mismatches else f"unexpected: {request.method} {request.url} {request.body!r}"
        )
        raise AssertionError(self._mismatches[-1])

    def verify(self) -> None:
        """Fail unless all expected requests were sent, and no others."""
        mismatches = [*self._mismatches, *(f"missing: {expected}" for expected in self._expected)]
        self._mismatches, self._expected = [], []  # the fixture verifies again
        assert not mismatches, mismatches
