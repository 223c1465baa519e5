# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the keeper have in common."""

from __future__ import annotations

import json
import pathlib
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.keeper import Keeper
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.tests.unit.plugins.conversation import account

ACCOUNT = account()


def written(ledger: Ledger) -> list[tuple[t.Any, ...]]:
    """Return the ledger's lines in short."""
    lines = [json.loads(line) for line in pathlib.Path(ledger.path).read_text().splitlines()]
    return [(line["event"], line.get("number"), line.get("connectionid") or line.get("outcome")) for line in lines[1:]]


def asked_for(
    host: str,
    service: str | None,
    who: Account = ACCOUNT,
    target: ServiceName | None = None,
    hostip: str | None = None,
) -> HostRequest:
    return HostRequest(host, service, target, hostip, who)


def ahead(keeper: Keeper, *services: str, most: int = 100, who: Account = ACCOUNT) -> None:
    """Open the services ahead of their tasks, each for a host that is called like it."""
    keeper.open_ahead("a-play", most, [asked_for(service, service, who) for service in services])
