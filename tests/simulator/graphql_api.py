# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vendor's web API, GraphQL: sections 3, 4.5 to 4.7, 5 and 6 of the reference."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

import answers
from answers import Answer, Refusal
from calls import Api, Call, parse, text_or_none
from devices import FOREIGN_PREFIX
from faults import Fault
from projection import Operation, Step, Unreadable, project, read, shape
from rows import Rows, iso
from signature import Forged
from world import World

PATH = "/graphql/v1"
LATCHING = "255.255.255.255"
REVERSE = {"AUTO_PROXY": None, "REVERSE_PROXY": True, "PORT_PROXY": False}


class GraphQLApi(Api):
    """One address for everything; a request is one call, named as the like call of REST is."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._rows = Rows(world)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post(PATH, self._handle)
        app.router.add_post(PATH + "/", self._handle)

    def _understand(self, request: web.Request, raw: bytes) -> Call:
        body = parse(raw) or {}
        query = text_or_none(body.get("query"))
        variables = body.get("variables")
        facts = {"api": "graphql", "query": query, "variables": variables}
        try:
            operation = read(query or "", variables if isinstance(variables, dict) else {}, body.get("operationName"))
        except Unreadable as problem:
            answer = Answer({"errors": problem.errors})

            async def complain() -> Answer | web.Response:
                return self._forbid(request) or answer

            return Call("unknown", complain, facts)

        async def perform() -> Answer | web.Response:
            do = self._change if operation.is_mutation else self._query
            return self._forbid(request) or await do(request, operation)

        return Call(_name(operation), perform, {**facts, **_facts(operation)})

    def _forbid(self, request: web.Request) -> web.Response | None:
        """Only a signature is let in: a token is for REST here."""
        try:
            self._world.account.access_key.check(request)
        except Forged:
            if self._world.settings.graphql_refusal == "unauthorized":
                return web.Response(status=401, text="Unauthorized")
            return web.Response(status=403, text="Forbidden")
        return None

    def _refuse(self, name: str, refusal: Refusal) -> web.Response:
        return self._json(refusal.body, refusal.status)

    def _failure(self, fault: Fault, reason: str) -> dict[str, Any]:
        return _error(reason)

    async def _query(self, request: web.Request, operation: Operation) -> Answer:
        if operation.introspection is not None:
            return Answer({"data": operation.introspection})
        await asyncio.sleep(self._world.settings.list_latency)
        return Answer({"data": project(operation.steps, {"login": self._rows.login})})

    async def _change(self, request: web.Request, operation: Operation) -> Answer:
        """One after the other. The first that fails ends it and leaves no data at all: no field of them may be null."""
        data: dict[str, Any] = {}
        facts: dict[str, str] = {}
        for step in operation.steps:
            try:
                if step.name == "connect":
                    data[step.key], facts = await self._connect(request, step)
                elif step.name == "disconnect":
                    data[step.key] = await self._disconnect(**step.arguments)
                else:
                    data |= project([step], {})
            except Refusal as refusal:
                return Answer({**_error(refusal.body["reason"], step.key), "data": None})
        return Answer({"data": data}, facts)

    async def _connect(self, request: web.Request, step: Step) -> tuple[Any, dict[str, str]]:
        address, hostip = step.arguments["serviceId"], step.arguments["hostIP"]
        service = self._world.service(address)
        if service is None:
            foreign = address.upper().startswith(FOREIGN_PREFIX)
            raise Refusal(200, f"{address} is not shared with you" if foreign else f"service {address} was not found")
        await asyncio.sleep(self._world.settings.latency)
        if service.state != "active":
            raise Refusal(200, f"{service.address} is inactive")
        connection = await self._world.connections.connect(
            self._world.account.user,
            service,
            hostip if "hostIP" in step.given else None,
            request.remote or "",
            REVERSE[step.arguments["type"]],
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
            "timeout": max(0, round(self._world.connections.life_left(connection))),
            "session": self._rows.session(connection),
        }
        return shape(step.steps or [], row), answers.facts(connection)

    async def _disconnect(self, connectionId: str, serviceId: str | None = None) -> bool:
        """What becomes of an unknown id is not documented; somebody else's counts as one."""
        await asyncio.sleep(self._world.settings.stop_latency)
        service = None if serviceId is None else self._world.service(serviceId)
        connection = self._world.connections.find(self._world.account.user, connectionId, service)
        if connection is not None and (serviceId is None or service is not None):
            self._world.connections.close(connection, "stop")
            return True
        if self._world.settings.disconnect_unknown == "error":
            raise Refusal(200, f"connection {connectionId} was not found")
        return False


def _error(message: str, *path: str) -> dict[str, Any]:
    return {"errors": [{"message": message, **({"path": list(path)} if path else {})}]}


def _name(operation: Operation) -> str:
    """The name for the log and for faults."""
    if operation.is_mutation:
        return {"connect": "connect", "disconnect": "stop"}.get(operation.steps[0].name, "unknown")
    wanted = set()
    levels = list(operation.steps)
    while levels:
        step = levels.pop()
        wanted.add(step.name)
        if step.name in ("login", "account"):
            levels += step.steps or []
        if step.name == "service" and any(below.name == "sessions" for below in step.steps or ()):
            return "sessions"
    if wanted & {"devices", "device", "service"}:
        return "list"
    return "sessions" if "sessions" in wanted else "account" if "login" in wanted else "unknown"


def _facts(operation: Operation) -> dict[str, Any]:
    """What the log and faults know of a change: whatever its first field says."""
    step = operation.steps[0]
    if not operation.is_mutation:
        return {}
    return {
        "deviceaddress": step.arguments.get("serviceId"),
        "connectionid": step.arguments.get("connectionId"),
        "hostip": step.arguments.get("hostIP") if "hostIP" in step.given else None,
    }
