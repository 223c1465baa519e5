# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part that both APIs share: log a request, apply a fault, perform the call, and send the response."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

import responses
from faults import Fault, fill, merge
from responses import ApiError, ApiResponse
from state import SimulatorState

SECRET_HEADERS = ("developerkey", "apikey", "token", "authorization")


class ConnectionDropped(Exception):
    """The TCP connection is closed without a response."""


@dataclass
class Call:
    """A parsed request: the name of the call, its values for the log, and the function that performs it."""

    name: str
    perform: Callable[[], Awaitable[ApiResponse | web.Response]]
    facts: dict[str, Any] = field(default_factory=dict)
    has_password: bool = False


class Api(ABC):
    """A web API."""

    def __init__(self, state: SimulatorState) -> None:
        self._state = state

    @abstractmethod
    def _parse_call(self, request: web.Request, raw: bytes) -> Call:
        """Parse a request without performing it."""

    @abstractmethod
    def _error_response(self, name: str, error: ApiError) -> web.Response:
        """Return the response for an error."""

    @abstractmethod
    def _fault_body(self, fault: Fault, reason: str) -> dict[str, Any]:
        """Return the body of a fault that has a reason."""

    async def _handle(self, request: web.Request) -> web.Response:
        """Parse and log a request, and send its response."""
        call = self._parse_call(request, await request.read())
        entry = self._log(request, call)
        response: web.Response | None = None
        try:
            fault = self._state.take_fault(call.name, entry["deviceaddress"])
            response = await self._respond(call, fault)
        except ConnectionDropped:
            if request.transport is not None:
                request.transport.abort()
        finally:
            entry["answered"] = self._state.clock.now()
        entry["status"] = response.status if response is not None else None
        return response or web.Response()

    def _log(self, request: web.Request, call: Call) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "call": call.name,
            "method": request.method,
            "deviceaddress": None,
            "connectionid": None,
            "hostip": None,
            "wait": None,
            **call.facts,
            "time": self._state.clock.now(),
            "answered": None,
            "status": None,
            "peer": request.remote,
            "user_agent": request.headers.get("User-Agent"),
            "content_type": request.headers.get("Content-Type"),
            "secrets": {name: name in request.headers for name in SECRET_HEADERS} | {"password": call.has_password},
        }
        self._state.requests.append(entry)
        return entry

    async def _respond(self, call: Call, fault: Fault | None) -> web.Response:
        if fault is not None:
            await asyncio.sleep(fault.seconds)
            early = self._fault_response(fault)
            if early is not None:
                return early
        try:
            response = await call.perform()
        except ApiError as error:
            if fault is not None and fault.fault == "lost":
                raise ConnectionDropped from None
            return self._error_response(call.name, error)
        if isinstance(response, web.Response):
            return response
        if fault is not None:
            return self._altered_response(fault, response)
        return self._json(response.body)

    def _fault_response(self, fault: Fault) -> web.Response | None:
        """Return the response of a fault that prevents the call, or None."""
        if fault.fault == "drop":
            raise ConnectionDropped
        if fault.fault == "html":
            return page(fault.status or 500, fault.title)
        if fault.fault == "empty":
            return web.Response(status=fault.status or 200, content_type="application/json")
        if fault.fault == "http":
            body = self._fault_body(fault, fault.reason or "something went wrong")
            return web.json_response(body, status=fault.status or 500)
        if fault.fault == "throttle":
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            body = self._fault_body(fault, fault.reason or "too many requests")
            return web.json_response(body, status=429, headers=headers)
        if fault.fault == "body" and not fault.create and fault.override is None:
            return _literal(fault, {})
        return None

    def _altered_response(self, fault: Fault, response: ApiResponse) -> web.Response:
        """Return the response of a call that was performed, as the fault changes it."""
        if fault.fault == "lost":
            raise ConnectionDropped
        if fault.fault != "body":
            return self._json(response.body)
        if fault.override is not None:
            return self._json(merge(response.body, fill(fault.override, response.facts)), fault.status or 200)
        return _literal(fault, response.facts)

    def _json(self, body: Any, status: int = 200) -> web.Response:
        text = responses.encode(body, self._state.settings)
        return web.Response(text=text, status=status, content_type="application/json")


def parse(raw: bytes) -> dict[str, Any] | None:
    """Parse JSON of any content type (section 1.3). Return None unless it is an object."""
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def page(status: int, title: str) -> web.Response:
    """Return an error page of the vendor's PHP framework (section 8)."""
    text = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return web.Response(status=status, text=text, content_type="text/html")


def _literal(fault: Fault, facts: dict[str, str]) -> web.Response:
    """Return the response that a fault contains."""
    text = fill(fault.text, facts) if fault.text is not None else json.dumps(fill(fault.json, facts))
    return web.Response(status=fault.status or 200, text=text, content_type=fault.content_type)
