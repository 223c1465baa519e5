# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vendor's GraphQL API (sections 3, 4.5 to 4.7, 5 and 6)."""

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
    """The GraphQL API. A request is one call, with the name of the corresponding call of REST."""

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
            response = ApiResponse({"errors": problem.errors})

            async def refuse() -> ApiResponse | web.Response:
                return self._check_signature(request) or response

            return Call("unknown", refuse, facts)

        async def perform() -> ApiResponse | web.Response:
            do = self._change if operation.is_mutation else self._query
            return self._check_signature(request) or await do(request, operation)

        return Call(_name(operation), perform, {**facts, **_facts(operation)})

    def _check_signature(self, request: web.Request) -> web.Response | None:
        """Return an error response for a request without a valid signature. Tokens are only for REST."""
        try:
            self._state.account.access_key.check(request)
        except InvalidSignature:
            if self._state.settings.graphql_refusal == "unauthorized":
                return web.Response(status=401, text="Unauthorized")
            return web.Response(status=403, text="Forbidden")
        return None

    def _error_response(self, name: str, error: ApiError) -> web.Response:
        return self._json(error.body, error.status)

    def _fault_body(self, fault: Fault, reason: str) -> dict[str, Any]:
        return _error(reason)

    async def _query(self, request: web.Request, operation: Operation) -> ApiResponse:
        if operation.introspection is not None:
            return ApiResponse({"data": operation.introspection})
        await asyncio.sleep(self._state.settings.list_latency)
        return ApiResponse({"data": select(operation.fields, {"login": self._resolvers.login})})

    async def _change(self, request: web.Request, operation: Operation) -> ApiResponse:
        """Perform mutations in order until one fails. Their fields are not nullable, so an error leaves no data."""
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
            except ApiError as error:
                return ApiResponse({**_error(error.body["reason"], field.key), "data": None})
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
            # The port of a reverse proxy is only in its URL, as in the vendor's sample.
            "port": None if connection.reverse else connection.port,
            "url": connection.url,
            "created": iso(connection.opened_at),
            "timeout": max(0, round(self._state.connections.life_left(connection))),
            "session": self._resolvers.session(connection),
        }
        return select_each(field.fields or [], row), responses.facts(connection)

    async def _disconnect(self, connectionId: str, serviceId: str | None = None) -> bool:
        """Close a connection. The response for an unknown ID is not documented, so the settings select it."""
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
    """Return the name of the call, for the log and for faults."""
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
    """Return the values of a mutation's first field, for the log and for faults."""
    field = operation.fields[0]
    if not operation.is_mutation:
        return {}
    return {
        "deviceaddress": field.arguments.get("serviceId"),
        "connectionid": field.arguments.get("connectionId"),
        "hostip": field.arguments.get("hostIP") if "hostIP" in field.given else None,
    }
