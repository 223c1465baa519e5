# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helpers for the tests of the keeper."""

from __future__ import annotations

import concurrent.futures
import json
import pathlib
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.keeper import Keeper
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import CommandLease, State
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import (
    PROXY,
    SERVICES,
    STOPPED,
    MockApi,
    account,
    opened,
    refused,
)

ACCOUNT = account()
A, B, C, D = SERVICES[:4]
OFFLINE = refused("service is inactive", 200)
WRONG_KEY = refused("api key failed validation")
#: Room on a disk for the ``intent`` event of a connect call, but not for its ``opened`` event.
INTENT_BYTES = 230

Outcome = Connection | RemoteItError


def ledger_events(ledger: Ledger) -> list[tuple[t.Any, ...]]:
    """Return the events of the connections: the name, the number, and the connection ID or how it was closed."""
    lines = [json.loads(line) for line in pathlib.Path(ledger.path).read_text().splitlines()]
    return [
        (line["event"], line["number"], line.get("connectionid") or line.get("outcome"))
        for line in lines
        if "number" in line
    ]


def states(keeper: Keeper) -> list[State]:
    """Return the state of each connection, in the order of the requests."""
    return [managed.state for managed in keeper._registry.all]


def await_connects(keeper: Keeper) -> None:
    concurrent.futures.wait([managed.connect_future for managed in keeper._registry.all], 30)


def connect_all(
    keeper: Keeper, *services: str, host: str | None = None, who: Account = ACCOUNT, **options: t.Any
) -> dict[str, Outcome]:
    """Lease connections as ``remoteit_connect`` does."""
    hosts = None if host is None else {service: [host] for service in services}
    return dict(keeper.acquire_services(who, ConnectRequest(services, **options), hosts))


def connect(keeper: Keeper, service: str = A, **options: t.Any) -> Connection:
    outcome = connect_all(keeper, service, **options)[service]
    assert isinstance(outcome, Connection)
    return outcome


def open_connection(
    keeper: Keeper, mock_api: MockApi, connectionid: str, proxy: str = PROXY, service: str = A, **options: t.Any
) -> Connection:
    """Expect a connect call, and lease its connection."""
    mock_api.expect_connect(service, opened(service, connectionid, proxy))
    return connect(keeper, service, **options)


def connect_error(keeper: Keeper, service: str = A, **options: t.Any) -> RemoteItError:
    outcome = connect_all(keeper, service, **options)[service]
    assert isinstance(outcome, RemoteItError)
    return outcome


def disconnect(keeper: Keeper, connectionid: str, service: str = A, who: Account = ACCOUNT) -> str:
    """Close a connection as ``remoteit_disconnect`` does, and return the outcome or the code of the failure."""
    ((ref, outcome),) = keeper.release_services(who, [(service, connectionid)])
    assert ref == (service, connectionid)
    return outcome.code if isinstance(outcome, RemoteItError) else outcome


def close_connection(keeper: Keeper, mock_api: MockApi, connectionid: str, service: str = A) -> None:
    """Expect a stop call, and release the last lease."""
    mock_api.expect_disconnect(service, connectionid, STOPPED)
    assert disconnect(keeper, connectionid, service) == "closed"


def release(keeper: Keeper, *hosts: str, accounts: t.Sequence[Account] = ()) -> dict[str, t.Any]:
    """End the leases of hosts, and return the outcome of each connection ID."""
    return {connectionid: outcome for (_unused, connectionid), outcome in keeper.release_hosts(accounts, hosts)}


def host_request(
    host: str, service: str | None, who: Account = ACCOUNT, target: ServiceName | None = None, hostip: str | None = None
) -> HostRequest:
    return HostRequest(host, service, target, hostip, who)


def acquire(
    keeper: Keeper, request: HostRequest, replaces: CommandLease | None = None
) -> tuple[CommandLease, Connection]:
    """Lease the connection of a host as the connection plugin does."""
    lease, outcome = keeper.acquire_host(request, replaces)
    assert isinstance(outcome, Connection)
    return lease, outcome


def acquire_error(keeper: Keeper, request: HostRequest) -> str:
    """Return the code of the failure."""
    lease, outcome = keeper.acquire_host(request)
    keeper.release_lease(lease)
    assert isinstance(outcome, RemoteItError)
    return outcome.code


def prefetch(keeper: Keeper, *services: str, max_unused: int = 100, who: Account = ACCOUNT) -> None:
    """Open services ahead, each for a host of the same name."""
    keeper.prefetch("a-play", max_unused, [host_request(service, service, who) for service in services])
