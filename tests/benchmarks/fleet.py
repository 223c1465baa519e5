# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole fleet is opened and closed, without waiting for the devices: what does the way cost over the bare calls?"""

from __future__ import annotations

import dataclasses
import statistics
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

import requests
from benchmarks.lab import Lab, Tasks, lab, within
from benchmarks.report import Cell, Report, shown
from benchmarks.usage import Usage
from support import Simulator


@dataclasses.dataclass(frozen=True)
class Case:
    """How many hosts, how long the API takes for a connect, how many calls at once, and what is compared.

    :ivar seconds: for all repeats of the role; the rest is measured once.
    :ivar free: whether the role is measured under C(strategy: free) too.
    :ivar forks: what people write without the role is measured too, with so many.
    """

    hosts: int
    latency: float
    width: int = 16
    seconds: float = 30
    free: bool = False
    forks: tuple[int, ...] = ()


#: All of it has to fit into twenty minutes on two cores, so the largest fleets are measured with the shorter latency
#: alone, and what takes the engine longest, only with the smaller ones.
CASES = (
    Case(10, 0.3, seconds=8, free=True),
    Case(10, 1.0, seconds=10),
    Case(50, 0.3, seconds=15, free=True),
    Case(50, 1.0, seconds=15, forks=(5, 25, 50)),
    Case(200, 0.3, seconds=50),
    Case(200, 1.0, seconds=50, forks=(25,)),
    Case(1000, 0.3, seconds=1),
    Case(2000, 0.3, seconds=1),
)

POOL, LINEAR, FREE = "bare thread pool", "the role", "the role, strategy free"
BULK = "one remoteit_connect for all"
PER_HOST = "a remoteit_connect per host"
URI = "a uri per host"

CONNECT = {"remoteit.fleet.remoteit_connect": {"deviceaddress": "{{ remoteit_deviceaddress }}"}}
DISCONNECT = {
    "remoteit.fleet.remoteit_disconnect": {
        "deviceaddress": "{{ remoteit_deviceaddress }}",
        "connectionid": "{{ remoteit_connection.connectionid }}",
    }
}


def role(width: int) -> dict[str, t.Any]:
    """The keywords of a play that opens a session, does nothing, and closes it.

    The engine does not check the arguments for each host, which the role does once.
    """
    halves = [
        {"name": "remoteit.fleet.remoteit_session", "tasks_from": half, "rolespec_validate": False}
        for half in ("open", "close")
    ]
    return {
        "vars": {"remoteit_session_concurrency": width, "remoteit_session_wait_timeout": 0},
        "tasks": [{"import_role": half} for half in halves],
    }


def call(simulator: Simulator, path: str, body: dict[str, str], **more: t.Any) -> dict[str, t.Any]:
    """A task that calls the API with what ansible-core has."""
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


def calls(simulator: Simulator) -> Tasks:
    connectionid = "{{ opened.json.connection.connectionid }}"
    return [
        call(simulator, "/device/connect", {"wait": "true"}, register="opened"),
        call(simulator, "/device/connect/stop", {"connectionid": connectionid}),
    ]


def bare_pool(simulator: Simulator, services: t.Sequence[str], width: int) -> float:
    """Open and close with C(requests) and threads alone: the limit. The seconds that it takes."""
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=width))
    session.headers.update(developerkey=simulator.state["developer_key"], token=simulator.state["token"])
    base = simulator.state["api_url"]

    def connect(service: str) -> tuple[str, str]:
        answer = session.post(f"{base}/device/connect", json={"deviceaddress": service, "wait": "true"}).json()
        return service, answer["connection"]["connectionid"]

    def stop(opened: tuple[str, str]) -> None:
        body = dict(zip(("deviceaddress", "connectionid"), opened, strict=True))
        assert session.post(f"{base}/device/connect/stop", json=body).json()["status"] == "true"

    begin = time.monotonic()
    with ThreadPoolExecutor(width) as pool:
        opened = list(pool.map(connect, services))
        list(pool.map(stop, opened))
    return time.monotonic() - begin


class Measured:
    """The values of one case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.empty: list[Usage] = []
        self.pool: list[float] = []
        self.simulator: list[float] = []
        self.plays: dict[str, list[Usage]] = {}
        self.requests: dict[str, float] = {}

    def take(self, laboratory: Lab) -> None:
        """Measure once, side by side."""
        case, services = self.case, list(laboratory.services.values())[: self.case.hosts]
        before = laboratory.simulator_seconds()
        self.pool.append(bare_pool(laboratory.simulator, services, case.width))
        self.simulator.append(100 * (laboratory.simulator_seconds() - before) / self.pool[-1])
        self.empty.append(laboratory.play(case.hosts, []))
        self._play(laboratory, LINEAR, **role(case.width))

    def take_free(self, laboratory: Lab) -> None:
        self._play(laboratory, FREE, strategy="free", **role(self.case.width))

    def take_others(self, laboratory: Lab) -> None:
        services = list(laboratory.services.values())
        tasks: Tasks = [
            {"remoteit.fleet.remoteit_connect": {"deviceaddress": services, "concurrency": self.case.width}}
        ]
        self._play(laboratory, BULK, tasks=tasks, hosts="localhost")
        for name, tasks in ((PER_HOST, [CONNECT, DISCONNECT]), (URI, calls(laboratory.simulator))):
            for forks in self.case.forks:
                self._play(laboratory, f"{name}, {forks} forks", forks=forks, tasks=tasks)

    def _play(self, laboratory: Lab, name: str, *, tasks: Tasks, **keywords: t.Any) -> None:
        laboratory.requests_since_the_last()
        self.plays.setdefault(name, []).append(laboratory.play(self.case.hosts, tasks, **keywords))
        self.requests[name] = laboratory.requests_since_the_last() / self.case.hosts
        assert not laboratory.simulator.open_connections(), f"{name} left connections open"

    def seconds(self, name: str) -> list[float]:
        """The empty play subtracted; no values if it was not measured."""
        return self._above_the_empty_play(name, "seconds")

    def memory(self, name: str) -> list[float]:
        return self._above_the_empty_play(name, "memory")

    def _above_the_empty_play(self, name: str, what: str) -> list[float]:
        pairs = zip(self.plays.get(name, []), self.empty)  # some are measured once
        return [getattr(whole, what) - getattr(empty, what) for whole, empty in pairs]

    def per_host(self, name: str, what: str = "seconds") -> list[float]:
        """Milliseconds of time, or of the processor's."""
        return [1000 * seconds / self.case.hosts for seconds in self._above_the_empty_play(name, what)]

    def over_the_pool(self, name: str) -> list[float]:
        return [seconds / pool for seconds, pool in zip(self.seconds(name), self.pool)]

    def quickest(self, way: str) -> list[float]:
        """Of the plays that go the same way with more or fewer forks."""
        return min(values for name in self.plays if name.startswith(way) and (values := self.seconds(name)))


def main(report: Report, hosts: int | None = None) -> None:
    """Measure all cases; or the role alone, in those of so many hosts."""
    cases = [dataclasses.replace(case, forks=()) for case in CASES if case.hosts == hosts] if hosts else CASES
    found = {(case.hosts, case.latency): measured(case) for case in cases}
    show_goals(report, found)
    show_tables(report, list(found.values()))
    show_charts(report, found)


def measured(case: Case) -> Measured:
    values = Measured(case)
    with lab(case.hosts) as laboratory:
        laboratory.simulator.settings(latency=case.latency)
        for _unused in within(case.seconds):
            values.take(laboratory)
        if case.free:
            values.take_free(laboratory)
        if case.forks:
            values.take_others(laboratory)
    ratio = shown(values.over_the_pool(LINEAR))
    print(f"  {case.hosts} hosts, {case.latency:g} s a connect: {ratio} times the bare calls", flush=True)
    return values


def show_goals(report: Report, found: dict[tuple[int, float], Measured]) -> None:
    small, fleet, large = (found.get(key) for key in ((200, 0.3), (200, 1.0), (2000, 0.3)))
    for values in filter(None, (small, fleet)):
        what = f"200 hosts through the role ÷ bare thread pool, {values.case.latency:g} s a connect"
        report.goal(what, values.over_the_pool(LINEAR), 1.25)
    if fleet and fleet.case.forks:
        uri = statistics.median(fleet.quickest(URI))
        ratios = [uri / seconds for seconds in fleet.seconds(LINEAR)]
        report.goal("the best uri per host ÷ the role, 200 hosts, 1 s a connect", ratios, 5, at_least=True)
    if small and large:
        one = statistics.median(small.per_host(LINEAR))
        ratios = [each / one for each in large.per_host(LINEAR)]
        report.goal("time per host, 2,000 hosts ÷ 200 hosts", ratios, 1.1)
    if large:
        report.goal("memory above the empty play, 2,000 hosts", large.memory(LINEAR), 200, unit="MB")


def show_charts(report: Report, found: dict[tuple[int, float], Measured]) -> None:
    if fleet := found.get((200, 1.0)):
        bars = {POOL: fleet.pool, **{name: fleet.seconds(name) for name in fleet.plays}}
        report.chart("fleet", "200 hosts, 1 s a connect: seconds to open and close", bars)
    bars = {}
    for (hosts, latency), values in found.items():
        if latency == 0.3:
            bars[f"{hosts:,} hosts, {POOL}"] = [1000 * seconds / hosts for seconds in values.pool]
            bars[f"{hosts:,} hosts, {LINEAR}"] = values.per_host(LINEAR)
    report.chart("growth", "0.3 s a connect: milliseconds per host", bars)


def show_tables(report: Report, found: list[Measured]) -> None:
    def size(values: Measured) -> list[Cell]:
        case = values.case
        return [f"{case.hosts:,}", f"{case.latency:g}", str(case.width)]

    report.table(
        "Open and close a fleet",
        "Seconds, less those of a play without tasks. The simulator's column is what it used of a core while the bare"
        " calls were made, in per cent.",
        ["hosts", "latency", "at once", "empty play", POOL, LINEAR, "÷ pool", FREE, "÷ pool", "simulator"],
        [
            [
                *size(values),
                [empty.seconds for empty in values.empty],
                values.pool,
                *(cell for way in (LINEAR, FREE) for cell in (values.seconds(way), values.over_the_pool(way))),
                values.simulator,
            ]
            for values in found
        ],
    )
    report.table(
        "How it grows with the fleet",
        "Milliseconds per host, and those of the processor; megabytes at the peak; requests that the API gets per host;"
        " all above the play without tasks.",
        ["hosts", "latency", "at once", "ms", "processor", "MB", "requests", "ms, free", "processor, free", "MB, free"],
        [
            [
                *size(values),
                *(values.per_host(LINEAR, what) for what in ("seconds", "processor")),
                values.memory(LINEAR),
                [values.requests[LINEAR]],
                *(values.per_host(FREE, what) for what in ("seconds", "processor")),
                values.memory(FREE),
            ]
            for values in found
        ],
    )
    report.table(
        "Without the role",
        "Seconds to open and close, and megabytes at the peak, less those of a play without tasks.",
        ["hosts", "latency", "at once", "", "seconds", "÷ the role", "MB"],
        [
            [
                *size(values),
                name,
                values.seconds(name),
                [statistics.median(values.seconds(name)) / statistics.median(values.seconds(LINEAR))],
                values.memory(name),
            ]
            for values in found
            for name in values.plays
            if name not in (LINEAR, FREE)
        ],
    )
