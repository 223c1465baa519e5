# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of the simulator, which all APIs share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from accounts import Account, User
from clock import Clock
from connections import Connections
from devices import Device, Fleet, Service
from faults import Fault, Faults
from settings import Settings


@dataclass
class Organization:
    """Another account, of which the client's account is a member."""

    id: str
    name: str
    user: User
    fleet: Fleet


@dataclass
class SimulatorState:
    clock: Clock
    settings: Settings
    account: Account
    fleet: Fleet
    organization: Organization
    connections: Connections
    faults: Faults = field(default_factory=Faults)
    connect_times: list[float] = field(default_factory=list)
    """When the connect calls of the last second were accepted."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    """The log of API requests. It contains the names of secrets, never their values."""

    def take_fault(self, call: str, deviceaddress: str | None) -> Fault | None:
        """Return the fault of a call, from a test or because of the rate limit."""
        fault = self.faults.take(call, deviceaddress)
        if fault is not None or call != "connect" or not self.settings.rate_limit:
            return fault
        begin = time.monotonic() - 1
        self.connect_times = [moment for moment in self.connect_times if moment > begin]
        if len(self.connect_times) >= self.settings.rate_limit:
            return Fault("throttle", retry_after=1)
        self.connect_times.append(time.monotonic())
        return None

    def service(self, address: str) -> Service | None:
        """Return a service to which the account can connect: its own, or the organization's."""
        return self.fleet.service(address) or self.organization.fleet.service(address)

    def device(self, name: str) -> Device | None:
        return self.fleet.device(name) or self.organization.fleet.device(name)

    def devices(self) -> list[Device]:
        return [*self.fleet.devices, *self.organization.fleet.devices]
