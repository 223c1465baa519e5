# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find services by name for concurrent requests."""

from __future__ import annotations

import concurrent.futures
import threading
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Device, DeviceFilter, Service, Warn
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import NetworkError, NotFoundError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.service_lookup import ServiceLookup
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import SERVICES


def device(name: str, service: str) -> Device:
    ssh = Service(service, f"{name}-ssh", 28, "SSH", 22, True, True)
    return Device(service, name, True, "active", (), None, {}, None, None, None, None, None, None, (ssh,))


class Vendor:
    """An account's devices. A query waits until ``go_on`` is set."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.queries: list[set[str]] = []
        self.asked = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.broken = False

    def devices(self, wanted: DeviceFilter, warn: Warn) -> t.Iterator[Device]:
        self.queries.append(set(wanted.devices))
        self.asked.set()
        assert self.go_on.wait(30)
        if self.broken:
            raise NetworkError("no response")
        return iter([device(name, service) for name, service in zip(self.names, SERVICES) if name in wanted.devices])


def ssh(name: str) -> ServiceName:
    return ServiceName(name, None, 28)


def test_lookup_remembers_found_services() -> None:
    vendor = Vendor("a", "b")
    lookup = ServiceLookup(vendor)
    assert lookup.find([ssh("a")], print)[ssh("a")] == device("a", SERVICES[0]).services[0]
    lookup.find([ssh("a")], print)
    lookup.find([ssh("a"), ssh("b")], print)
    assert vendor.queries == [{"a"}, {"b"}]


def test_lookup_repeats_a_query_for_a_missing_service() -> None:
    vendor = Vendor()
    lookup = ServiceLookup(vendor)
    assert isinstance(lookup.find([ssh("a")], print)[ssh("a")], NotFoundError)
    vendor.names.append("a")
    assert isinstance(lookup.find([ssh("a")], print)[ssh("a")], Service)


def find_concurrently(
    vendor: Vendor, lookup: ServiceLookup, names: list[str]
) -> list[concurrent.futures.Future[t.Any]]:
    """Return a query, and those that were requested while it was under way. All have ended."""
    with concurrent.futures.ThreadPoolExecutor(21) as pool:
        first = pool.submit(lookup.find, [ssh("first")], print)
        vendor.asked.wait(30)
        others = [pool.submit(lookup.find, [ssh(name)], print) for name in names]
        while len(lookup._requested) < len(names):
            pass
        vendor.go_on.set()
    return [first, *others]


def test_lookup_shares_the_next_query() -> None:
    names = [f"host-{number}" for number in range(20)]
    vendor = Vendor(*names[:10])
    vendor.go_on.clear()
    lookup = ServiceLookup(vendor)
    first, *others = find_concurrently(vendor, lookup, names)
    first.result()
    found = [isinstance(other.result()[ssh(name)], Service) for name, other in zip(names, others)]
    assert found == [True] * 10 + [False] * 10
    assert vendor.queries == [{"first"}, set(names)]


def test_lookup_shares_the_failure_of_a_query() -> None:
    """Otherwise a fleet would wait for a timeout once for each host."""
    names = [f"host-{number}" for number in range(20)]
    vendor = Vendor(*names)
    vendor.go_on.clear()
    vendor.broken = True
    lookup = ServiceLookup(vendor)
    assert {type(asked.exception()) for asked in find_concurrently(vendor, lookup, names)} == {NetworkError}
    assert vendor.queries == [{"first"}, set(names)]
    vendor.broken = False
    assert isinstance(lookup.find([ssh("host-1")], print)[ssh("host-1")], Service)
