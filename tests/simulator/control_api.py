# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints below ``/_sim/``, with which tests inspect and change the simulator."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from accounts import User
from devices import Device
from selection import SCHEMA
from state import SimulatorState

SWITCHES = ("online", "hang", "drop", "rekey", "gone")
OTHER_USER_ADDRESS = "203.0.113.9"
"""The address of other users."""


class ControlApi:
    """The control API. It needs no authentication, and never returns a secret."""

    def __init__(self, state: SimulatorState) -> None:
        self._state = state

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/_sim/connections", self._connections)
        app.router.add_get("/_sim/faults", self._faults)
        app.router.add_post("/_sim/faults", self._add_faults)
        app.router.add_delete("/_sim/faults", self._clear_faults)
        app.router.add_post("/_sim/clock", self._advance)
        app.router.add_delete("/_sim/clock", self._reset_clock)
        app.router.add_get("/_sim/settings", self._settings)
        app.router.add_post("/_sim/settings", self._change_settings)
        app.router.add_get("/_sim/devices", self._devices)
        app.router.add_post("/_sim/devices", self._change_devices)
        app.router.add_get("/_sim/requests", self._requests)
        app.router.add_delete("/_sim/requests", self._clear_requests)
        app.router.add_delete("/_sim/tokens", self._expire_tokens)
        app.router.add_post("/_sim/sessions", self._add_session)
        app.router.add_delete("/_sim/sessions", self._end_sessions)

    async def _connections(self, request: web.Request) -> web.Response:
        return web.json_response([connection.summary() for connection in self._state.connections.history])

    async def _faults(self, request: web.Request) -> web.Response:
        return web.json_response(self._state.faults.as_list())

    async def _add_faults(self, request: web.Request) -> web.Response:
        rows = await _json(request)
        try:
            self._state.faults.extend(rows)
        except (TypeError, ValueError) as problem:
            raise _bad_request(problem) from None
        return web.json_response(self._state.faults.as_list())

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._state.faults.clear()
        return web.json_response([])

    async def _reset_clock(self, request: web.Request) -> web.Response:
        """Move the clock back to real time. Connections can have been opened in the future then."""
        self._state.clock.reset()
        return web.json_response({"now": self._state.clock.now()})

    async def _advance(self, request: web.Request) -> web.Response:
        """Move the clock forward, and close connections that are due before the response."""
        seconds = (await _object(request)).get("advance")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds < 0:
            raise _bad_request("advance is a number of seconds")
        self._state.clock.advance(seconds)
        self._state.connections.sweep()
        return web.json_response({"now": self._state.clock.now()})

    async def _settings(self, request: web.Request) -> web.Response:
        return web.json_response(self._state.settings.as_dict())

    async def _change_settings(self, request: web.Request) -> web.Response:
        try:
            self._state.settings.update(await _object(request))
        except ValueError as problem:
            raise _bad_request(problem) from None
        return web.json_response(self._state.settings.as_dict())

    async def _devices(self, request: web.Request) -> web.Response:
        return web.json_response([device.summary() for device in self._state.devices()])

    async def _change_devices(self, request: web.Request) -> web.Response:
        """Change one device or a list of devices. Nothing changes unless all objects are valid."""
        rows = await _json(request)
        changes = [self._device_change(row) for row in (rows if isinstance(rows, list) else [rows])]
        for device, row in changes:
            self._change(device, row)
        return web.json_response([device.summary() for device, _unused in changes])

    def _device_change(self, row: Any) -> tuple[Device, dict[str, Any]]:
        device = self._state.device(str(row.get("name"))) if isinstance(row, dict) else None
        if device is None:
            raise _bad_request("name is the name of a device")
        for name, value in row.items():
            if name == "fields":
                _check_fields("Device", value)
            elif name == "services":
                if not isinstance(value, dict) or not set(value) <= {service.address for service in device.services}:
                    raise _bad_request(f"services is an object whose keys are ids of services of {device.name}")
                for fields in value.values():
                    _check_fields("Service", fields)
            elif name == "ports":
                if not isinstance(value, dict) or not set(value) <= {service.address for service in device.services}:
                    raise _bad_request(f"ports is an object whose keys are ids of services of {device.name}")
                if not all(port is None or isinstance(port, int) for port in value.values()):
                    raise _bad_request("the values of ports are numbers or null")
            elif name != "name" and (name not in SWITCHES or not isinstance(value, bool)):
                raise _bad_request(f"{name} is not one of {SWITCHES}, or not true or false")
        return device, row

    def _change(self, device: Device, row: dict[str, Any]) -> None:
        device.online = row.get("online", device.online)
        device.gone = row.get("gone", device.gone)
        device.fields = row.get("fields", device.fields)
        if "services" in row:
            for service in device.services:
                service.fields = row["services"].get(service.address, {})
        if "ports" in row:
            for service in device.services:
                service.target_port = row["ports"].get(service.address)
        device.revision += 1
        if "hang" in row:
            device.hang = row["hang"]
            self._state.connections.refresh(device)
        if "drop" in row:
            device.ssh_server.drop(row["drop"])
        if row.get("rekey"):
            device.ssh_server.rekey()

    async def _requests(self, request: web.Request) -> web.Response:
        return web.json_response(self._state.requests)

    async def _clear_requests(self, request: web.Request) -> web.Response:
        self._state.requests.clear()
        return web.json_response([])

    async def _expire_tokens(self, request: web.Request) -> web.Response:
        return web.json_response({"expired": self._state.account.expire_tokens()})

    async def _add_session(self, request: web.Request) -> web.Response:
        """Open a connection of another user."""
        row = await _object(request)
        service = self._state.service(str(row.get("deviceaddress")))
        email = row.get("email", "other@example.com")
        if service is None or not isinstance(email, str):
            raise _bad_request("deviceaddress is the id of a service, and email a text")
        connection = await self._state.connections.connect(User.from_email(email), service, None, OTHER_USER_ADDRESS)
        return web.json_response(connection.summary())

    async def _end_sessions(self, request: web.Request) -> web.Response:
        """Close the connections of other users."""
        others = [each for each in self._state.connections.all_open() if each.user != self._state.account.user]
        for connection in others:
            self._state.connections.close(connection, "stop")
        return web.json_response({"ended": len(others)})


def _check_fields(kind: str, fields: Any) -> None:
    known = SCHEMA.type_map[kind].fields
    if not isinstance(fields, dict) or not set(fields) <= set(known):
        raise _bad_request(f"fields is an object, and its keys are of {sorted(known)}")


def _bad_request(problem: object) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=f"{problem}\n")


async def _json(request: web.Request) -> Any:
    try:
        return await request.json()
    except ValueError:
        raise _bad_request("the body is not JSON") from None


async def _object(request: web.Request) -> dict[str, Any]:
    body = await _json(request)
    if not isinstance(body, dict):
        raise _bad_request("the body is not an object")
    return body
