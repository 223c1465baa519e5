# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vendor's web API, REST v27."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

import answers
from answers import Answer, Refusal
from devices import FOREIGN_PREFIX, Service
from faults import Fault, fill, merge
from world import World

BASE = "/apv/v27"
SECRET_HEADERS = ("developerkey", "apikey", "token", "authorization")

Method = Callable[[web.Request, dict[str, Any]], Awaitable[Answer]]


class Dropped(Exception):
    """The connection ends without an answer."""


class RestApi:
    """Each method `_<call>` is one call of the API; the rest is what all calls have in common."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._calls: dict[tuple[str, str], tuple[str, Method]] = {
            ("POST", "user/login"): ("login", self._login),
            ("POST", "device/connect"): ("connect", self._connect),
            ("POST", "device/connect/stop"): ("stop", self._stop),
            ("GET", "device/list/all"): ("list", self._list),
        }

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/", self._probe)
        app.router.add_route("*", BASE + "/{path:.*}", self._handle)

    async def _probe(self, request: web.Request) -> web.Response:
        """The vendor's cheap test of reachability (section 1.1)."""
        return web.Response(text="api.remote.it")

    async def _handle(self, request: web.Request) -> web.Response:
        """Find the call (a trailing or doubled slash is accepted), note it, answer it."""
        path = "/".join(part for part in request.match_info["path"].split("/") if part)
        name, call = self._calls.get((request.method, path), ("unknown", None))
        raw = await request.read()
        body = _parse(raw)
        entry = self._note(request, name, body)
        response: web.Response | None = None
        try:
            fault = self._world.faults.take(name, entry["deviceaddress"])
            response = await self._answer(request, name, call, body, fault)
        except Dropped:
            if request.transport is not None:
                request.transport.abort()
        entry["answered"] = self._world.clock.now()
        entry["status"] = response.status if response is not None else None
        return response or web.Response()

    def _note(self, request: web.Request, name: str, body: dict[str, Any] | None) -> dict[str, Any]:
        body = body or {}
        entry: dict[str, Any] = {
            "call": name,
            "method": request.method,
            "deviceaddress": _text(body.get("deviceaddress")),
            "connectionid": _text(body.get("connectionid")),
            "hostip": _text(body.get("hostip")),
            "wait": body.get("wait") if isinstance(body.get("wait"), bool) else _text(body.get("wait")),
            "time": self._world.clock.now(),
            "answered": None,
            "status": None,
            "peer": request.remote,
            "user_agent": request.headers.get("User-Agent"),
            "content_type": request.headers.get("Content-Type"),
            "secrets": {name: name in request.headers for name in SECRET_HEADERS} | {"password": "password" in body},
        }
        self._world.requests.append(entry)
        return entry

    async def _answer(
        self, request: web.Request, name: str, call: Method | None, body: dict[str, Any] | None, fault: Fault | None
    ) -> web.Response:
        if fault is not None:
            await asyncio.sleep(fault.seconds)
            early = _instead(fault)
            if early is not None:
                return early
        if call is None:
            return _page(404, "404 Page Not Found")
        try:
            if body is None:
                return _page(400, "400 Bad Request")
            answer = await call(request, body)
        except Refusal as refusal:
            if fault is not None and fault.fault == "lost":
                raise Dropped from None
            return self._refuse(name, refusal)
        if fault is not None:
            return self._afterwards(fault, answer)
        return self._json(answer.body)

    def _afterwards(self, fault: Fault, answer: Answer) -> web.Response:
        """The call was done; spoil its answer."""
        if fault.fault == "lost":
            raise Dropped
        if fault.fault != "body":
            return self._json(answer.body)
        if fault.override is not None:
            return self._json(merge(answer.body, fill(fault.override, answer.facts)), fault.status or 200)
        return _literal(fault, answer.facts)

    def _refuse(self, name: str, refusal: Refusal) -> web.Response:
        """Section 1.4 contradicts itself about failures, so the settings choose how they look."""
        way = self._world.settings.failures
        if way == "bare-everywhere" or (way == "bare" and name in ("connect", "list")):
            return self._json({"status": "false"})
        return self._json(refusal.body, refusal.status)

    def _json(self, body: Any, status: int = 200) -> web.Response:
        text = answers.encode(body, self._world.settings)
        return web.Response(text=text, status=status, content_type="application/json")

    def _authenticate(self, request: web.Request) -> None:
        self._world.account.check_developer_key(request.headers)
        self._world.account.check_token(request.headers)

    def _service(self, body: dict[str, Any]) -> Service:
        """The service that is asked for. The sentences after the numbers are the simulator's own."""
        address = body.get("deviceaddress")
        if not isinstance(address, str) or not address:
            raise Refusal(401, "bad device address")
        service = self._world.fleet.service(address)
        if service is not None:
            return service
        if address.upper().startswith(FOREIGN_PREFIX):
            raise Refusal(403, f"[0405] {address} is not available for public access and is not shared with you.")
        raise Refusal(401, f"[0861] service {address} was not found")

    async def _login(self, request: web.Request, body: dict[str, Any]) -> Answer:
        await asyncio.sleep(self._world.settings.login_latency)
        self._world.account.check_developer_key(request.headers)
        return Answer(self._world.account.login(body))

    async def _connect(self, request: web.Request, body: dict[str, Any]) -> Answer:
        """Section 4. The connection comes into being at the end of the latency, even if the caller has left by then."""
        self._authenticate(request)
        service = self._service(body)
        hostip = body.get("hostip")
        if hostip is not None and not isinstance(hostip, str):
            raise Refusal(401, "bad hostip")
        # What an answer to "wait": false looks like is unknown. Here it is the same one, only at once.
        wait = str(body.get("wait", True)).strip().lower() == "true"
        if wait:
            await asyncio.sleep(self._world.settings.latency)
        if not service.device.online:
            raise Refusal(200, f"{service.address} is inactive")
        connection = await self._world.connections.connect(service, hostip or None, request.remote or "")
        left = self._world.connections.life_left(connection)
        return answers.connected(connection, left, wait, self._world.account.username, self._world.settings)

    async def _stop(self, request: web.Request, body: dict[str, Any]) -> Answer:
        """Section 5: one and the same refusal for an id that is missing, unknown, another service's, or stopped."""
        self._authenticate(request)
        await asyncio.sleep(self._world.settings.stop_latency)
        service = self._world.fleet.service(str(body.get("deviceaddress")))
        connection = self._world.connections.find(service, str(body.get("connectionid")))
        if connection is None:
            raise Refusal(401, "the deviceaddress or the connectionid is missing or incorrect")
        self._world.connections.close(connection, "stop")
        return answers.stopped(connection)

    async def _list(self, request: web.Request, body: dict[str, Any]) -> Answer:
        self._authenticate(request)
        await asyncio.sleep(self._world.settings.list_latency)
        return answers.listed(self._world.fleet, self._world.account.username, self._world.clock.now())


def _parse(raw: bytes) -> dict[str, Any] | None:
    """JSON, whatever the content type says (section 1.3); None where it is not an object."""
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _page(status: int, title: str) -> web.Response:
    """The server is a PHP framework and shows its own pages for some failures (section 8)."""
    text = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return web.Response(status=status, text=text, content_type="text/html")


def _instead(fault: Fault) -> web.Response | None:
    """The answer of a fault that does not let the call happen."""
    if fault.fault == "drop":
        raise Dropped
    if fault.fault == "html":
        return _page(fault.status or 500, fault.title)
    if fault.fault == "empty":
        return web.Response(status=fault.status or 200, content_type="application/json")
    if fault.fault == "http":
        body = {"status": "false", "reason": fault.reason or "something went wrong", "code": fault.code}
        return web.json_response(body, status=fault.status or 500)
    if fault.fault == "throttle":
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        body = {"status": "false", "reason": fault.reason or "too many requests", "code": fault.code}
        return web.json_response(body, status=429, headers=headers)
    if fault.fault == "body" and not fault.create and fault.override is None:
        return _literal(fault, {})
    return None


def _literal(fault: Fault, facts: dict[str, str]) -> web.Response:
    """Exactly what the test wants to be answered."""
    text = fill(fault.text, facts) if fault.text is not None else json.dumps(fill(fault.json, facts))
    return web.Response(status=fault.status or 200, text=text, content_type=fault.content_type)
