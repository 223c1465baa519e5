# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that the simulator knows, in one place for the API and for the controls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from accounts import Account
from clock import Clock
from connections import Connections
from devices import Fleet
from faults import Faults
from settings import Settings


@dataclass
class World:
    clock: Clock
    settings: Settings
    account: Account
    fleet: Fleet
    connections: Connections
    faults: Faults = field(default_factory=Faults)
    requests: list[dict[str, Any]] = field(default_factory=list)
    """The log of API requests. It tells which secrets came along, and never a secret."""
