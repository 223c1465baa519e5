# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare opening and closing a fleet by the role with the API calls alone."""

from __future__ import annotations

import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

import requests
from benchmarks.report import POOL, ROLE, UNCHECKED_ROLE, Report, shown
from benchmarks.testbed import WIDTH, Tasks, start_testbed
from benchmarks.usage import Usage
from support import Simulator

HOSTS, LATENCY, REPEATS = 200, 0.3, 2


def open_and_close(**keywords: t.Any) -> Tasks:
    """Return tasks that only open and close connections. ``keywords`` are added to the imports of the role."""
    role = "remoteit.fleet.remoteit_session"
    return [{"import_role": {"name": role, "tasks_from": point, **keywords}} for point in ("open", "close")]


#: ansible-core repeats the check of role arguments for each host.
UNCHECKED = open_and_close(rolespec_validate=False)


def bare_pool(simulator: Simulator, services: t.Sequence[str], width: int = WIDTH) -> float:
    """Open and close connections with only ``requests`` and threads, and return the seconds."""
    begin = time.monotonic()
    pool = BarePool(simulator, width)
    pool.stop(pool.connect(services))
    return time.monotonic() - begin


class BarePool:
    """Calls the API with only ``requests`` and threads."""

    def __init__(self, simulator: Simulator, width: int) -> None:
        self._base = simulator.state["api_url"]
        self._threads = ThreadPoolExecutor(width)
        self._session = requests.Session()
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=width))
        self._session.headers.update(developerkey=simulator.state["developer_key"], token=simulator.state["token"])

    def connect(self, services: t.Iterable[str]) -> list[tuple[str, str]]:
        """Open connections, and return the service and the ID of each."""
        return list(self._threads.map(self._connect, services))

    def stop(self, opened: t.Iterable[tuple[str, str]]) -> None:
        """Close connections."""
        list(self._threads.map(self._stop, opened))

    def _connect(self, service: str) -> tuple[str, str]:
        response = self._post("/device/connect", deviceaddress=service, wait="true")
        return service, response["connection"]["connectionid"]

    def _stop(self, opened: tuple[str, str]) -> None:
        service, connectionid = opened
        response = self._post("/device/connect/stop", deviceaddress=service, connectionid=connectionid)
        assert response["status"] == "true"

    def _post(self, path: str, **body: str) -> dict[str, t.Any]:
        return self._session.post(self._base + path, json=body).json()


def main(report: Report, hosts: int = HOSTS, repeats: int = REPEATS) -> None:
    """Measure the role against the bare calls."""
    pool: list[float] = []
    simulator: list[float] = []
    roles: dict[str, list[Usage]] = {"no tasks": [], UNCHECKED_ROLE: [], ROLE: []}
    requests_per_host: list[float] = []
    with start_testbed(hosts) as testbed:
        testbed.simulator.settings(latency=LATENCY)
        for number in range(repeats):
            before = testbed.simulator_processor_seconds()
            pool.append(bare_pool(testbed.simulator, list(testbed.services.values())))
            simulator.append(100 * (testbed.simulator_processor_seconds() - before) / pool[-1])
            testbed.simulator.clear_requests()
            for name, tasks in (("no tasks", []), (UNCHECKED_ROLE, UNCHECKED)):
                roles[name].append(testbed.play(hosts, tasks))
            requests_per_host.append(len(testbed.simulator.requests()) / hosts)
            if number == 0:  # it takes several times as long
                roles[ROLE].append(testbed.play(hosts, open_and_close()))
            assert not testbed.simulator.open_connections()

    def above_empty(name: str, what: str) -> list[float]:
        pairs = zip(roles[name], roles["no tasks"])
        return [getattr(ours, what) - getattr(empty, what) for ours, empty in pairs]

    def ratios(name: str) -> list[float]:
        return [seconds / each for seconds, each in zip(above_empty(name, "seconds"), pool)]

    what = f"{hosts} hosts, {LATENCY:g} s, open and close by {UNCHECKED_ROLE} ÷ {POOL}"
    report.goal(what, ratios(UNCHECKED_ROLE), 1.25)
    report.table(
        "Open and close a fleet",
        f"{hosts} hosts at {LATENCY:g} s a connect with {WIDTH} calls at once, a play without tasks subtracted. The"
        f" simulator used {shown(simulator)} % of a core during the API calls alone. The role sends"
        f" {shown(requests_per_host)} requests per host.",
        ["", "seconds", "÷ pool", "ms per host", "ms of processor per host", "MB"],
        [
            [POOL, pool, "1", [1000 * each / hosts for each in pool], "", ""],
            *(
                [
                    name,
                    above_empty(name, "seconds"),
                    ratios(name),
                    [1000 * each / hosts for each in above_empty(name, "seconds")],
                    [1000 * each / hosts for each in above_empty(name, "processor")],
                    above_empty(name, "memory"),
                ]
                for name in (UNCHECKED_ROLE, ROLE)
            ),
        ],
    )
