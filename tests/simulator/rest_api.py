# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vendor's REST API, version 27."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

import responses
from devices import FOREIGN_PREFIX, Service
from dispatch import Api, Call, page, parse, text_or_none
from faults import Fault
from responses import ApiError, ApiResponse
from signature import InvalidSignature
from state import SimulatorState

BASE = "/apv/v27"

Method = Callable[[web.Request, dict[str, Any]], Awaitable[ApiResponse]]


class RestApi(Api):
    """The REST API. Each method ``_<call>`` implements one call."""

    def __init__(self, state: SimulatorState) -> None:
        super().__init__(state)
        self._calls: dict[tuple[str, str], tuple[str, Method]] = {
            ("POST", "user/login"): ("login", self._login),
            ("POST", "user/login/authhash"): ("login", self._login),
            ("POST", "user/logout"): ("logout", self._logout),
            ("GET", "user/info"): ("info", self._info),
            ("POST", "device/connect"): ("connect", self._connect),
            ("POST", "device/connect/stop"): ("stop", self._stop),
            ("GET", "device/list/all"): ("list", self._list),
            ("POST", "device/find/by/name"): ("find", self._find),
            ("GET", "device/metadata/list/me"): ("metadata", self._metadata),
        }

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/", self._probe)
        app.router.add_route("*", BASE + "/{path:.*}", self._handle)

    async def _probe(self, request: web.Request) -> web.Response:
        """Return the response by which clients check that the API is reachable (section 1.1)."""
        return web.Response(text="api.remote.it")

    def _parse_call(self, request: web.Request, raw: bytes) -> Call:
        """Parse the request. A trailing or doubled slash is accepted."""
        path = "/".join(part for part in request.match_info["path"].split("/") if part)
        name, method = self._calls.get((request.method, path), ("unknown", None))
        body = parse(raw)

        async def perform() -> ApiResponse | web.Response:
            if method is None:
                return page(404, "404 Page Not Found")
            if body is None:
                return page(400, "400 Bad Request")
            return await method(request, body)

        known = body or {}
        wait = known.get("wait")
        facts = {name: text_or_none(known.get(name)) for name in ("deviceaddress", "connectionid", "hostip")}
        facts["wait"] = wait if isinstance(wait, bool) else text_or_none(wait)
        return Call(name, perform, {"api": "rest", **facts}, "password" in known)

    def _error_response(self, name: str, error: ApiError) -> web.Response:
        """Return an error as the settings select. The vendor documents several forms (section 1.4)."""
        form = self._state.settings.failures
        if form == "bare-everywhere" or (form == "bare" and name in ("connect", "list")):
            return self._json({"status": "false"})
        return self._json(error.body, error.status)

    def _fault_body(self, fault: Fault, reason: str) -> dict[str, Any]:
        return {"status": "false", "reason": reason, "code": fault.code}

    def _authenticate(self, request: web.Request) -> None:
        """Check the developer key, and a token or a signature. The error for a wrong signature is invented."""
        account = self._state.account
        account.check_developer_key(request.headers)
        if not {"Authorization", "Signature-Input"} & set(request.headers):
            account.check_token(request.headers)
            return
        try:
            account.access_key.check(request)
        except InvalidSignature:
            raise ApiError(403, "Forbidden", "INVALID_AUTH") from None

    def _service(self, body: dict[str, Any]) -> Service:
        """Return the service of a request. The texts after the numbers are invented."""
        address = body.get("deviceaddress")
        if not isinstance(address, str) or not address:
            raise ApiError(401, "bad device address")
        service = self._state.service(address)
        if service is not None:
            return service
        if address.upper().startswith(FOREIGN_PREFIX):
            raise ApiError(403, f"[0405] {address} is not available for public access and is not shared with you.")
        raise ApiError(401, f"[0861] service {address} was not found")

    async def _login(self, request: web.Request, body: dict[str, Any]) -> ApiResponse:
        await asyncio.sleep(self._state.settings.login_latency)
        self._state.account.check_developer_key(request.headers)
        return ApiResponse(self._state.account.login(body))

    async def _logout(self, request: web.Request, body: dict[str, Any]) -> ApiResponse:
        """Invalidate a token. An unknown token is no error."""
        self._state.account.check_developer_key(request.headers)
        self._state.account.forget(str(body.get("tok") or request.headers.get("token", "")))
        return ApiResponse({"status": "true"})

    async def _info(self, request: web.Request, body: dict[str, Any]) -> ApiResponse:
        """Return the account with a new token, for signed requests as well (section 10)."""
        self._authenticate(request)
        return ApiResponse(self._state.account.info())

    async def _find(self, request: web.Request, body: dict[str, Any]) -> ApiResponse:
        self._authenticate(request)
        await asyncio.sleep(self._state.settings.list_latency)
        name, state = str(body.get("devicename") or ""), str(body.get("devicestate") or "all")
        return responses.found(self._state.fleet, self._state.account.username, self._state.clock.now(), name, state)

    async def _metadata(self, request: web.Request, body: dict[str, Any]) -> ApiResponse:
        self._authenticate(request)
        return responses.metadata(self._state.fleet, self._state.account.username)

    async def _connect(self, request: web.Request, body: dict[str, Any]) -> ApiResponse:
        """Open a connection after the latency, even if the client has disconnected by then (section 4)."""
        self._authenticate(request)
        service = self._service(body)
        hostip = body.get("hostip")
        if hostip is not None and not isinstance(hostip, str):
            raise ApiError(401, "bad hostip")
        # The vendor's response to "wait": false is unknown. Here only the latency differs.
        wait = str(body.get("wait", True)).strip().lower() == "true"
        if wait:
            await asyncio.sleep(self._state.settings.latency)
        if service.state != "active":
            raise ApiError(200, f"{service.address} is inactive")
        connection = await self._state.connections.connect(
            self._state.account.user, service, hostip or None, request.remote or ""
        )
        left = self._state.connections.life_left(connection)
        return responses.connected(connection, left, wait, self._state.settings)

    async def _stop(self, request: web.Request, body: dict[str, Any]) -> ApiResponse:
        """Close a connection. Missing, unknown, stopped and mismatched IDs cause the same error (section 5)."""
        self._authenticate(request)
        await asyncio.sleep(self._state.settings.stop_latency)
        service = self._state.service(str(body.get("deviceaddress")))
        user = self._state.account.user
        connection = service and self._state.connections.find(user, str(body.get("connectionid")), service)
        if connection is None:
            raise ApiError(401, "the deviceaddress or the connectionid is missing or incorrect")
        self._state.connections.close(connection, "stop")
        return responses.stopped(connection)

    async def _list(self, request: web.Request, body: dict[str, Any]) -> ApiResponse:
        self._authenticate(request)
        await asyncio.sleep(self._state.settings.list_latency)
        return responses.listed(self._state.fleet, self._state.account.username, self._state.clock.now())
