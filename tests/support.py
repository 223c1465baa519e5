# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running simulator, for tests and benchmarks. ``tests/simulator/README.md`` describes its API."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

SIMULATOR = Path(__file__).resolve().parent / "simulator"
SSH, WEB = 28, 7
TIMEOUT = 60  # seconds, enough for a busy machine


def wait_until(ready: Callable[[], Any], seconds: float = TIMEOUT) -> Any:
    """Wait until a function returns a true value, and return that value."""
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < deadline, f"waited for {seconds} seconds without success"
        time.sleep(0.05)
    return found


class Simulator:
    """A simulator, with methods that inspect and change it."""

    def __init__(self, directory: Path, *options: str) -> None:
        state_file = directory / "state.json"
        self.process = subprocess.Popen(
            [sys.executable, SIMULATOR, "--state", state_file, *options],
            env={**os.environ, "TMPDIR": str(directory)},
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: state_file.exists() or self.process.poll() is not None)
        self.state: dict[str, Any] = json.loads(state_file.read_text())
        self._session = requests.Session()
        self._session.trust_env = False  # without the proxy of the environment
        self._settings = self._control("GET", "settings")

    def _control(self, method: str, what: str, body: Any = None) -> Any:
        response = self._session.request(method, f"{self.state['control_url']}/{what}", json=body, timeout=30)
        assert response.status_code == 200, response.text
        return response.json()

    @property
    def secrets(self) -> dict[str, str]:
        """Return the secrets that must not be shown, in all encodings."""
        names = ("token", "developer_key", "password", "access_key_id", "secret_access_key")
        found = {name: self.state[name] for name in names}
        key = base64.b64decode(found["secret_access_key"])
        return {
            **found,
            "the decoded key in hexadecimal digits": key.hex(),
            "the key in the other alphabet": base64.urlsafe_b64encode(key).decode().rstrip("="),
            "the secret encoded once more": base64.b64encode(found["secret_access_key"].encode()).decode().rstrip("="),
        }

    def service(self, device: str, application: int = SSH) -> str:
        """Return the ID of a device's SSH (or web) service."""
        (service,) = (
            service["deviceaddress"]
            for service in self.state["services"]
            if (service["device"], service["application"]) == (device, application)
        )
        return service

    def connections(self, *services: str) -> list[dict[str, Any]]:
        """Return all open and closed connections (of these services), the oldest first."""
        return [
            entry for entry in self._control("GET", "connections") if not services or entry["deviceaddress"] in services
        ]

    def connection(self, connectionid: str) -> dict[str, Any]:
        """Return the connection with this ID."""
        (entry,) = (entry for entry in self.connections() if entry["connectionid"] == connectionid)
        return entry

    def open_connections(self) -> list[dict[str, Any]]:
        return [entry for entry in self.connections() if entry["open"]]

    def requests(self, *calls: str) -> list[dict[str, Any]]:
        """Return the API requests (of these calls) since the start of the test."""
        return [entry for entry in self._control("GET", "requests") if not calls or entry["call"] in calls]

    def inject_fault(self, *services: str, **fault: Any) -> None:
        """Inject a fault into the next call, or into the next call of each service."""
        self._control("POST", "faults", [{**fault, "deviceaddress": service} for service in services or [None]])

    def settings(self, **changes: Any) -> None:
        self._control("POST", "settings", changes)

    def device(self, name: str, **switches: Any) -> dict[str, Any]:
        """Change a device, and return its state."""
        return self._control("POST", "devices", {"name": name, **switches})[0]

    def devices(self) -> list[dict[str, Any]]:
        """Return the state of all devices."""
        return self._control("GET", "devices")

    def home(self, device: str) -> Path:
        return Path(self.device(device)["home"])

    def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"developerkey": self.state["developer_key"], "token": self.state["token"]}
        response = self._session.post(self.state["api_url"] + path, json=body, headers=headers, timeout=30)
        return response.json()

    def connect(self, device: str) -> dict[str, Any]:
        """Open a connection without the collection, and return it with ``host`` and ``port``."""
        entry = self._call("/device/connect", {"deviceaddress": self.service(device), "wait": "true"})["connection"]
        return {**entry, "host": entry["proxyserver"], "port": int(entry["proxyport"])}

    def session_of(self, email: str, service: str) -> dict[str, Any]:
        """Open a connection of another user."""
        return self._control("POST", "sessions", {"deviceaddress": service, "email": email})

    def stop(self, entry: dict[str, Any]) -> None:
        self._call("/device/connect/stop", {name: entry[name] for name in ("deviceaddress", "connectionid")})

    def advance(self, seconds: float) -> None:
        """Move the clock of the simulator."""
        self._control("POST", "clock", {"advance": seconds})

    def clear_requests(self) -> None:
        self._control("DELETE", "requests")

    def clear_faults(self) -> None:
        self._control("DELETE", "faults")

    def reset(self) -> None:
        """Wait until all requests of the last test have a response, and undo its changes."""
        wait_until(lambda: all(entry["answered"] for entry in self.requests()))
        self.clear_faults()
        self._control("POST", "settings", self._settings)
        devices = self._control("GET", "devices")
        switches: dict[str, Any] = {"online": True, "hang": False, "drop": False, "gone": False}
        switches |= {"fields": {}, "services": {}, "ports": {}}
        self._control("POST", "devices", [{"name": device["name"], **switches} for device in devices])
        for device in devices:
            home = Path(device["home"])
            for path in home.iterdir() if home.exists() else []:
                if path.is_dir() and path.name != "bin":
                    shutil.rmtree(path, ignore_errors=True)
                elif path.is_file() and path.name != "device-name":
                    path.unlink()
        self._control("DELETE", "sessions")
        for entry in self.open_connections():
            self.stop(entry)
        self._control("DELETE", "clock")
        self.clear_requests()

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT)
        finally:
            self.process.kill()
