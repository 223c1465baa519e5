# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names for many who ask at once."""

from __future__ import annotations

import concurrent.futures
import threading
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Device, DeviceFilter, Service, Warn
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import NetworkError, NotFoundError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.service_lookup import ServiceLookup
from ansible_collections.remoteit.fleet.tests.unit.plugins.conversation import SERVICES


def device(name: str, service: str) -> Device:
    ssh = Service(service, f"{name}-ssh", 28, "SSH", 22, True, True)
    return Device(service, name, True, "active", (), None, {}, None, None, None, None, None, (ssh,))


class Vendor:
    """An account's devices. The first query waits until it is told to go on."""

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
            raise NetworkError("no answer")
        return iter([device(name, service) for name, service in zip(self.names, SERVICES) if name in wanted.devices])


def ssh(name: str) -> ServiceName:
    return ServiceName(name, None, 28)


def test_what_is_found_is_not_asked_for_again() -> None:
    vendor = Vendor("a", "b")
    finder = ServiceLookup(vendor)
    assert finder.resolve([ssh("a")], print)[ssh("a")] == device("a", SERVICES[0]).services[0]
    finder.resolve([ssh("a")], print)
    finder.resolve([ssh("a"), ssh("b")], print)
    assert vendor.queries == [{"a"}, {"b"}]


def test_what_is_not_found_may_be_there_the_next_time() -> None:
    vendor = Vendor()
    finder = ServiceLookup(vendor)
    assert isinstance(finder.resolve([ssh("a")], print)[ssh("a")], NotFoundError)
    vendor.names.append("a")
    assert isinstance(finder.resolve([ssh("a")], print)[ssh("a")], Service)


def asked_meanwhile(vendor: Vendor, finder: ServiceLookup, names: list[str]) -> list[concurrent.futures.Future[t.Any]]:
    """A query, and those for each name while it was under way; all of them have ended."""
    with concurrent.futures.ThreadPoolExecutor(21) as pool:
        first = pool.submit(finder.resolve, [ssh("first")], print)
        vendor.asked.wait(30)
        others = [pool.submit(finder.resolve, [ssh(name)], print) for name in names]
        while len(finder._waiting) < len(names):
            pass  # they are on their way
        vendor.go_on.set()
    return [first, *others]


def test_who_waits_for_a_query_shares_the_next_one() -> None:
    names = [f"host-{number}" for number in range(20)]
    vendor = Vendor(*names[:10])
    vendor.go_on.clear()
    finder = ServiceLookup(vendor)
    first, *others = asked_meanwhile(vendor, finder, names)
    first.result()
    found = [isinstance(other.result()[ssh(name)], Service) for name, other in zip(names, others)]
    assert found == [True] * 10 + [False] * 10
    assert vendor.queries == [{"first"}, set(names)]


def test_who_waits_for_a_query_shares_its_failure_too() -> None:
    """A fleet does not wait for an API that does not answer as often as it has hosts."""
    names = [f"host-{number}" for number in range(20)]
    vendor = Vendor(*names)
    vendor.go_on.clear()
    vendor.broken = True
    finder = ServiceLookup(vendor)
    assert {type(asked.exception()) for asked in asked_meanwhile(vendor, finder, names)} == {NetworkError}
    assert vendor.queries == [{"first"}, set(names)]
    vendor.broken = False
    assert isinstance(finder.resolve([ssh("host-1")], print)[ssh("host-1")], Service)
