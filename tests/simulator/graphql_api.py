# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vendor's web API, GraphQL: sections 3, 4.5 to 4.7, 5 and 6 of the reference."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

import responses
from devices import FOREIGN_PREFIX
from dispatch import Api, Call, parse, text_or_none
from faults import Fault
from resolvers import Resolvers, iso
from responses import ApiError, ApiResponse
from selection import InvalidRequest, Operation, SelectedField, parse_operation, select, select_each
from signature import InvalidSignature
from state import SimulatorState

PATH = "/graphql/v1"
LATCHING = "255.255.255.255"
REVERSE = {"AUTO_PROXY": None, "REVERSE_PROXY": True, "PORT_PROXY": False}


class GraphQLApi(Api):
    """One address for everything; a request is one call, named as the like call of REST is."""

    def __init__(self, state: SimulatorState) -> None:
        super().__init__(state)
        self._resolvers = Resolvers(state)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post(PATH, self._handle)
        app.router.add_post(PATH + "/", self._handle)

    def _parse_call(self, request: web.Request, raw: bytes) -> Call:
        body = parse(raw) or {}
        query = text_or_none(body.get("query"))
        variables = body.get("variables")
        facts = {"api": "graphql", "query": query, "variables": variables}
        try:
            operation = parse_operation(
                query or "", variables if isinstance(variables, dict) else {}, body.get("operationName")
            )
        except InvalidRequest as problem:
            answer = ApiResponse({"errors": problem.errors})

            async def refuse() -> ApiResponse | web.Response:
                return self._check_signature(request) or answer

            return Call("unknown", refuse, facts)

        async def perform() -> ApiResponse | web.Response:
            do = self._change if operation.is_mutation else self._query
            return self._check_signature(request) or await do(request, operation)

        return Call(_name(operation), perform, {**facts, **_facts(operation)})

    def _check_signature(self, request: web.Request) -> web.Response | None:
        """Only a signature is let in: a token is for REST here."""
        try:
            self._state.account.access_key.check(request)
        except InvalidSignature:
            if self._state.settings.graphql_refusal == "unauthorized":
                return web.Response(status=401, text="Unauthorized")
            return web.Response(status=403, text="Forbidden")
        return None

    def _error_response(self, name: str, refusal: ApiError) -> web.Response:
        return self._json(refusal.body, refusal.status)

    def _fault_body(self, fault: Fault, reason: str) -> dict[str, Any]:
        return _error(reason)

    async def _query(self, request: web.Request, operation: Operation) -> ApiResponse:
        if operation.introspection is not None:
            return ApiResponse({"data": operation.introspection})
        await asyncio.sleep(self._state.settings.list_latency)
        return ApiResponse({"data": select(operation.fields, {"login": self._resolvers.login})})

    async def _change(self, request: web.Request, operation: Operation) -> ApiResponse:
        """One after the other. The first that fails ends it and leaves no data at all: no field of them may be null."""
        data: dict[str, Any] = {}
        facts: dict[str, str] = {}
        for field in operation.fields:
            try:
                if field.name == "connect":
                    data[field.key], facts = await self._connect(request, field)
                elif field.name == "disconnect":
                    data[field.key] = await self._disconnect(**field.arguments)
                else:
                    data |= select([field], {})
            except ApiError as refusal:
                return ApiResponse({**_error(refusal.body["reason"], field.key), "data": None})
        return ApiResponse({"data": data}, facts)

    async def _connect(self, request: web.Request, field: SelectedField) -> tuple[Any, dict[str, str]]:
        address, hostip = field.arguments["serviceId"], field.arguments["hostIP"]
        service = self._state.service(address)
        if service is None:
            foreign = address.upper().startswith(FOREIGN_PREFIX)
            raise ApiError(200, f"{address} is not shared with you" if foreign else f"service {address} was not found")
        await asyncio.sleep(self._state.settings.latency)
        if service.state != "active":
            raise ApiError(200, f"{service.address} is inactive")
        connection = await self._state.connections.connect(
            self._state.account.user,
            service,
            hostip if "hostIP" in field.given else None,
            request.remote or "",
            REVERSE[field.arguments["type"]],
            LATCHING,
        )
        row = {
            "id": connection.connectionid,
            "reverseProxy": connection.reverse,
            "host": connection.host,
            # Where a reverse proxy listens is told by its url: its port is null, as in the vendor's sample.
            "port": None if connection.reverse else connection.port,
            "url": connection.url,
            "created": iso(connection.opened_at),
            "timeout": max(0, round(self._state.connections.life_left(connection))),
            "session": self._resolvers.session(connection),
        }
        return select_each(field.fields or [], row), responses.facts(connection)

    async def _disconnect(self, connectionId: str, serviceId: str | None = None) -> bool:
        """What becomes of an unknown id is not documented; somebody else's counts as one."""
        await asyncio.sleep(self._state.settings.stop_latency)
        service = None if serviceId is None else self._state.service(serviceId)
        connection = self._state.connections.find(self._state.account.user, connectionId, service)
        if connection is not None and (serviceId is None or service is not None):
            self._state.connections.close(connection, "stop")
            return True
        if self._state.settings.disconnect_unknown == "error":
            raise ApiError(200, f"connection {connectionId} was not found")
        return False


def _error(message: str, *path: str) -> dict[str, Any]:
    return {"errors": [{"message": message, **({"path": list(path)} if path else {})}]}


def _name(operation: Operation) -> str:
    """The name for the log and for faults."""
    if operation.is_mutation:
        return {"connect": "connect", "disconnect": "stop"}.get(operation.fields[0].name, "unknown")
    wanted = set()
    levels = list(operation.fields)
    while levels:
        field = levels.pop()
        wanted.add(field.name)
        if field.name in ("login", "account"):
            levels += field.fields or []
        if field.name == "service" and any(below.name == "sessions" for below in field.fields or ()):
            return "sessions"
    if wanted & {"devices", "device", "service"}:
        return "list"
    return "sessions" if "sessions" in wanted else "account" if "login" in wanted else "unknown"


def _facts(operation: Operation) -> dict[str, Any]:
    """What the log and faults know of a change: whatever its first field says."""
    field = operation.fields[0]
    if not operation.is_mutation:
        return {}
    return {
        "deviceaddress": field.arguments.get("serviceId"),
        "connectionid": field.arguments.get("connectionId"),
        "hostip": field.arguments.get("hostIP") if "hostIP" in field.given else None,
    }
