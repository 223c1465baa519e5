# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole fleet is opened and closed, without waiting for the devices: what does the way cost over the bare calls?"""

from __future__ import annotations

import collections
import dataclasses
import statistics
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

import requests
from benchmarks.lab import Lab, Tasks, lab
from benchmarks.report import Cell, Report
from benchmarks.usage import Usage
from support import Simulator

#: For all steps together, so that the whole run takes less than twenty minutes.
SECONDS = 720

#: How many calls are under way at once.
WIDTH = 16

POOL, LINEAR, FREE = "bare thread pool", "the role", "the role, strategy free"
BULK = "one remoteit_connect for all"
PER_HOST = "a remoteit_connect per host"
URI = "a uri per host"
TOGETHER, APART = (POOL, LINEAR), (PER_HOST, URI)


@dataclasses.dataclass(frozen=True)
class Step:
    """Something to measure: on how many hosts, and with how many seconds that the API takes for a connect.

    :ivar ways: which ways are compared; they are gone by turns.
    """

    hosts: int
    latency: float
    ways: tuple[str, ...]
    repeats: int = 1
    forks: int = 5


#: In the order of importance, because what does not fit into the time is left out: what the goals need; then every way
#: with few hosts, which also tells how long it will take with more.
STEPS = (
    Step(10, 0.3, TOGETHER, repeats=2),
    Step(10, 1.0, TOGETHER, repeats=2),
    *(Step(10, latency, (FREE,)) for latency in (0.3, 1.0)),
    Step(200, 0.3, TOGETHER, repeats=3),
    Step(200, 1.0, TOGETHER, repeats=2),
    Step(2000, 0.3, TOGETHER),
    Step(200, 1.0, APART, forks=25),
    Step(50, 0.3, TOGETHER),
    Step(50, 0.3, (FREE,)),
    Step(50, 1.0, APART, forks=25),
    Step(50, 1.0, TOGETHER),
    *(Step(50, 1.0, APART, forks=forks) for forks in (5, 50)),
    Step(200, 1.0, (BULK,)),
    *(Step(hosts, latency, (FREE,)) for hosts, latency in ((50, 1.0), (200, 0.3), (200, 1.0))),
    *(Step(200, 1.0, APART, forks=forks) for forks in (5, 50)),
    *(Step(hosts, latency, TOGETHER) for hosts, latency in ((1000, 0.3), (1000, 1.0), (2000, 1.0))),
    *(Step(hosts, latency, (FREE,)) for hosts in (1000, 2000) for latency in (0.3, 1.0)),
)

CONNECT = {"remoteit.fleet.remoteit_connect": {"deviceaddress": "{{ remoteit_deviceaddress }}"}}
DISCONNECT = {
    "remoteit.fleet.remoteit_disconnect": {
        "deviceaddress": "{{ remoteit_deviceaddress }}",
        "connectionid": "{{ remoteit_connection.connectionid }}",
    }
}


def role() -> dict[str, t.Any]:
    """The keywords of a play that opens a session, does nothing, and closes it.

    The engine does not check the arguments for each host, which the role does once.
    """
    halves = [
        {"name": "remoteit.fleet.remoteit_session", "tasks_from": half, "rolespec_validate": False}
        for half in ("open", "close")
    ]
    return {
        "vars": {"remoteit_session_concurrency": WIDTH, "remoteit_session_wait_timeout": 0},
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


def bare_pool(simulator: Simulator, services: t.Sequence[str]) -> float:
    """Open and close with C(requests) and threads alone: the limit. The seconds that it takes."""
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=WIDTH))
    session.headers.update(developerkey=simulator.state["developer_key"], token=simulator.state["token"])
    base = simulator.state["api_url"]

    def connect(service: str) -> tuple[str, str]:
        answer = session.post(f"{base}/device/connect", json={"deviceaddress": service, "wait": "true"}).json()
        return service, answer["connection"]["connectionid"]

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
    """What was measured of a fleet of one size, at one latency."""

    hosts: int
    latency: float
    empty: list[Usage] = dataclasses.field(default_factory=list)
    pool: list[float] = dataclasses.field(default_factory=list)
    simulator: list[float] = dataclasses.field(default_factory=list)
    plays: dict[str, list[Usage]] = dataclasses.field(default_factory=dict)
    requests: dict[str, float] = dataclasses.field(default_factory=dict)

    def go(self, laboratory: Lab, way: str, forks: int) -> None:
        """Measure one way once."""
        if way == POOL:
            self._go_bare(laboratory)
            return
        if not self.empty:
            self.empty.append(laboratory.play(self.hosts, []))
        simulator, services = laboratory.simulator, list(laboratory.services.values())[: self.hosts]
        in_bulk = {"remoteit.fleet.remoteit_connect": {"deviceaddress": services, "concurrency": WIDTH}}
        plays: dict[str, dict[str, t.Any]] = {
            LINEAR: role(),
            FREE: {**role(), "strategy": "free"},
            BULK: {"tasks": [in_bulk], "hosts": "localhost"},
            PER_HOST: {"tasks": [CONNECT, DISCONNECT]},
            URI: {"tasks": calls(simulator)},
        }
        name = f"{way}, {forks} forks" if way in APART else way
        simulator.forget_requests()
        simulator.settings(latency=self.latency)
        self.plays.setdefault(name, []).append(laboratory.play(self.hosts, forks=forks, **plays[way]))
        self.requests[name] = len(simulator.requests()) / self.hosts
        assert not simulator.open_connections(), f"{name} left connections open"

    def _go_bare(self, laboratory: Lab) -> None:
        """The bare calls, and with each of them the play without tasks."""
        laboratory.simulator.settings(latency=self.latency)
        before = laboratory.simulator_seconds()
        self.pool.append(bare_pool(laboratory.simulator, list(laboratory.services.values())[: self.hosts]))
        self.simulator.append(100 * (laboratory.simulator_seconds() - before) / self.pool[-1])
        self.empty.append(laboratory.play(self.hosts, []))

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
        return [1000 * seconds / self.hosts for seconds in self._above_the_empty_play(name, what)]

    def over_the_pool(self, name: str) -> list[float]:
        return [seconds / pool for seconds, pool in zip(self.seconds(name), self.pool)]

    def quickest(self, way: str) -> list[float]:
        """Of the plays that go the same way with more or fewer forks; no values if there are none."""
        times = [self.seconds(name) for name in self.plays if name.startswith(way)]
        return min(filter(None, times), default=[])


def main(report: Report, hosts: int | None = None) -> None:
    """Measure everything for which there is time; or the role alone, with so many hosts."""
    steps = [step for step in STEPS if step.hosts == hosts and step.ways == TOGETHER] if hosts else STEPS
    found, left_out = measured(steps)
    show_goals(report, found)
    show_tables(report, [found[key] for key in sorted(found)])
    show_charts(report, found)
    if left_out:
        report.note(f"There was no time for {listed(left_out)}.")


def named(step: Step) -> str:
    return " and ".join(step.ways) + (f" at {step.forks} forks" if step.ways == APART else "")


def listed(steps: t.Sequence[Step]) -> str:
    """What the steps are about, each way once."""
    sizes: dict[str, list[str]] = collections.defaultdict(list)
    for step in steps:
        sizes[named(step)].append(f"{step.hosts:,} hosts at {step.latency:g} s")
    return "; ".join(f"{name} ({', '.join(each)})" for name, each in sizes.items())


def measured(steps: t.Sequence[Step]) -> tuple[dict[tuple[int, float], Fleet], list[Step]]:
    """What was found for each size and latency, and what there was no time for."""
    found: dict[tuple[int, float], Fleet] = {}
    left_out: list[Step] = []
    took: dict[t.Any, float] = collections.defaultdict(float)  # seconds per host, at the worst
    begin = time.monotonic()
    with lab(max(step.hosts for step in steps)) as laboratory:
        for step in steps:
            kind = step.ways, step.forks, step.latency
            if time.monotonic() - begin + took[kind] * step.hosts * step.repeats > SECONDS:
                left_out.append(step)
                continue
            fleet = found.setdefault((step.hosts, step.latency), Fleet(step.hosts, step.latency))
            at = time.monotonic()
            for _unused in range(step.repeats):
                for way in step.ways:
                    fleet.go(laboratory, way, step.forks)
            seconds = time.monotonic() - at
            if step.hosts > 10:  # with fewer, most of it is the start of the processes
                took[kind] = max(took[kind], seconds / step.repeats / step.hosts)
            print(f"  {seconds:4.0f} s for {listed([step])}", flush=True)
    return found, left_out


def show_goals(report: Report, found: dict[tuple[int, float], Fleet]) -> None:
    small, fleet, large = (found.get(key) for key in ((200, 0.3), (200, 1.0), (2000, 0.3)))
    for values in filter(None, (small, fleet)):
        what = f"200 hosts through the role ÷ bare thread pool, {values.latency:g} s a connect"
        report.goal(what, values.over_the_pool(LINEAR), 1.25)
    if fleet and (uri := fleet.quickest(URI)):
        ratios = [statistics.median(uri) / seconds for seconds in fleet.seconds(LINEAR)]
        report.goal("the best uri per host ÷ the role, 200 hosts, 1 s a connect", ratios, 5, at_least=True)
    if small and large:
        one = statistics.median(small.per_host(LINEAR))
        ratios = [each / one for each in large.per_host(LINEAR)]
        report.goal("time per host, 2,000 hosts ÷ 200 hosts", ratios, 1.1)
    if large:
        report.goal("memory above the empty play, 2,000 hosts", large.memory(LINEAR), 200, unit="MB")


def show_charts(report: Report, found: dict[tuple[int, float], Fleet]) -> None:
    if fleet := found.get((200, 1.0)):
        bars = {POOL: fleet.pool, **{name: fleet.seconds(name) for name in fleet.plays}}
        report.chart("fleet", "Seconds for 200 hosts, 1 s a connect", bars)
    bars = {}
    for (hosts, latency), values in sorted(found.items()):
        if latency == 0.3:
            bars[f"{hosts:,} hosts, {POOL}"] = [1000 * seconds / hosts for seconds in values.pool]
            bars[f"{hosts:,} hosts, {LINEAR}"] = values.per_host(LINEAR)
    report.chart("growth", "0.3 s a connect: milliseconds per host", bars)


def show_tables(report: Report, found: list[Fleet]) -> None:
    def size(values: Fleet) -> list[Cell]:
        return [f"{values.hosts:,}", f"{values.latency:g}"]

    report.table(
        "Open and close a fleet",
        f"Seconds, less those of a play without tasks, with {WIDTH} calls at once.",
        ["hosts", "latency", "play without tasks", POOL, LINEAR, "÷ pool", "free", "÷ pool"],
        [
            [
                *size(values),
                [empty.seconds for empty in values.empty],
                values.pool,
                *(cell for way in (LINEAR, FREE) for cell in (values.seconds(way), values.over_the_pool(way))),
            ]
            for values in found
            if values.pool
        ],
    )
    report.table(
        "How it grows with the fleet",
        "Per host: milliseconds, milliseconds of the processor, and requests that the API gets; megabytes of all at the"
        " peak. All of it above the play without tasks. The last column is what the simulator used of a core while the"
        " bare calls were made, in per cent: it is no bottleneck.",
        ["hosts", "latency", "ms", "processor", "requests", "MB", "simulator"],
        [
            [
                *size(values),
                *(values.per_host(LINEAR, what) for what in ("seconds", "processor")),
                [values.requests[LINEAR]],
                values.memory(LINEAR),
                values.simulator,
            ]
            for values in found
            if LINEAR in values.plays
        ],
    )
    report.table(
        "Without the role",
        "Seconds to open and close, and megabytes at the peak, less those of a play without tasks.",
        ["hosts", "latency", "", "seconds", "÷ the role", "MB"],
        [
            [
                *size(values),
                name,
                values.seconds(name),
                [statistics.median(values.seconds(name)) / statistics.median(values.seconds(LINEAR))]
                if LINEAR in values.plays
                else [],
                values.memory(name),
            ]
            for values in found
            for name in sorted(values.plays)
            if name not in (LINEAR, FREE)
        ],
    )
