# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare opening and closing a fleet by the role with the API calls alone."""

from __future__ import annotations

import dataclasses
import statistics
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

import requests
from benchmarks.report import Report
from benchmarks.testbed import WIDTH, Testbed, start_testbed
from benchmarks.usage import Usage
from support import Simulator

POOL, ROLE = "bare thread pool", "the role"


@dataclasses.dataclass(frozen=True)
class Size:
    """The number of hosts, the seconds that a connect call takes, and the number of measurements."""

    hosts: int
    latency: float
    repeats: int


SIZES = (Size(10, 0.3, 2), Size(200, 0.3, 3), Size(200, 1.0, 2), Size(2000, 0.3, 1))

#: The keywords of a play that only opens and closes connections. It omits the check of role arguments, which
#: ansible-core repeats for each host.
PLAY = {
    "tasks": [
        {
            "import_role": {
                "name": "remoteit.fleet.remoteit_session",
                "tasks_from": entry_point,
                "rolespec_validate": False,
            }
        }
        for entry_point in ("open", "close")
    ]
}


def call(simulator: Simulator, path: str, body: dict[str, str], **more: t.Any) -> dict[str, t.Any]:
    """Return a task that calls the API with ``ansible.builtin.uri``."""
    state = simulator.state
    return {
        "ansible.builtin.uri": {
            "url": state["api_url"] + path,
            "method": "POST",
            "headers": {"developerkey": state["developer_key"], "token": state["token"]},
            "body_format": "json",
            "body": {"deviceaddress": "{{ remoteit_deviceaddress }}", **body},
        },
        "delegate_to": "localhost",
        **more,
    }


def bare_pool(simulator: Simulator, services: t.Sequence[str]) -> float:
    """Open and close connections with only ``requests`` and threads, and return the seconds."""
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=WIDTH))
    session.headers.update(developerkey=simulator.state["developer_key"], token=simulator.state["token"])
    base = simulator.state["api_url"]

    def connect(service: str) -> tuple[str, str]:
        response = session.post(f"{base}/device/connect", json={"deviceaddress": service, "wait": "true"}).json()
        return service, response["connection"]["connectionid"]

    def stop(opened: tuple[str, str]) -> None:
        body = dict(zip(("deviceaddress", "connectionid"), opened, strict=True))
        assert session.post(f"{base}/device/connect/stop", json=body).json()["status"] == "true"

    begin = time.monotonic()
    with ThreadPoolExecutor(WIDTH) as pool:
        opened = list(pool.map(connect, services))
        list(pool.map(stop, opened))
    return time.monotonic() - begin


@dataclasses.dataclass
class Fleet:
    """The measurements of a fleet of one size and latency."""

    size: Size
    empty: list[Usage] = dataclasses.field(default_factory=list)
    pool: list[float] = dataclasses.field(default_factory=list)
    simulator: list[float] = dataclasses.field(default_factory=list)
    role: list[Usage] = dataclasses.field(default_factory=list)
    requests: list[float] = dataclasses.field(default_factory=list)

    def measure(self, testbed: Testbed) -> None:
        """Measure the bare calls, a play without tasks, and the role, once."""
        hosts, simulator = self.size.hosts, testbed.simulator
        simulator.settings(latency=self.size.latency)
        before = testbed.simulator_processor_seconds()
        self.pool.append(bare_pool(simulator, list(testbed.services.values())[:hosts]))
        self.simulator.append(100 * (testbed.simulator_processor_seconds() - before) / self.pool[-1])
        self.empty.append(testbed.play(hosts, []))
        simulator.clear_requests()
        self.role.append(testbed.play(hosts, **PLAY))
        self.requests.append(len(simulator.requests()) / hosts)
        assert not simulator.open_connections()

    def above_empty(self, what: str) -> list[float]:
        """Return the cost of the role, without that of a play without tasks."""
        return [getattr(ours, what) - getattr(empty, what) for ours, empty in zip(self.role, self.empty, strict=True)]

    def per_host(self, what: str = "seconds") -> list[float]:
        """Return milliseconds of time or of processor time."""
        return [1000 * seconds / self.size.hosts for seconds in self.above_empty(what)]

    @property
    def ratios(self) -> list[float]:
        return [seconds / pool for seconds, pool in zip(self.above_empty("seconds"), self.pool, strict=True)]


def main(report: Report, hosts: int | None = None, repeats: int | None = None) -> None:
    """Measure all sizes, or a fleet of ``hosts``."""
    sizes = [Size(hosts, 0.3, repeats or 1)] if hosts else SIZES
    fleets = [Fleet(size) for size in sizes]
    with start_testbed(max(size.hosts for size in sizes)) as testbed:
        for fleet in fleets:
            for _unused in range(fleet.size.repeats):
                fleet.measure(testbed)
    show_goals(report, {(fleet.size.hosts, fleet.size.latency): fleet for fleet in fleets})
    show_table(report, fleets)


def show_goals(report: Report, found: dict[tuple[int, float], Fleet]) -> None:
    small, slow, large = (found.get(key) for key in ((200, 0.3), (200, 1.0), (2000, 0.3)))
    for fleet in filter(None, (small, slow)):
        what = f"200 hosts, open and close by the role ÷ bare thread pool, {fleet.size.latency:g} s a connect"
        report.goal(what, fleet.ratios, 1.25)
    if small and large:
        one = statistics.median(small.per_host())
        report.goal("time per host, 2,000 hosts ÷ 200 hosts", [each / one for each in large.per_host()], 1.1)
    if large:
        report.goal("memory above the empty play, 2,000 hosts", large.above_empty("memory"), 200, unit="MB")


def show_table(report: Report, fleets: t.Sequence[Fleet]) -> None:
    report.table(
        "Open and close a fleet",
        f"Seconds with {WIDTH} parallel calls. Milliseconds, milliseconds of processor time, and API requests are per"
        " host. MB is the peak memory of all processes. A play without tasks is subtracted. The last column is the"
        " percentage of a core that the simulator used during the API calls alone.",
        [
            "hosts", "latency", "play without tasks", POOL, ROLE, "÷ pool", "ms", "processor", "requests", "MB",
            "simulator",
        ],
        [
            [
                f"{fleet.size.hosts:,}",
                f"{fleet.size.latency:g}",
                [empty.seconds for empty in fleet.empty],
                fleet.pool,
                fleet.above_empty("seconds"),
                fleet.ratios,
                fleet.per_host(),
                fleet.per_host("processor"),
                fleet.requests,
                fleet.above_empty("memory"),
                fleet.simulator,
            ]
            for fleet in fleets
        ],
    )  # fmt: skip
    bars = {}
    for fleet in fleets:
        if fleet.size.latency == 0.3:
            bars[f"{fleet.size.hosts:,} hosts, {POOL}"] = [1000 * seconds / fleet.size.hosts for seconds in fleet.pool]
            bars[f"{fleet.size.hosts:,} hosts, {ROLE}"] = fleet.per_host()
    report.chart("growth", "0.3 s a connect: milliseconds per host", bars)
