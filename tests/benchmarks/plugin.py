# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare tasks through the connection plugin with the same tasks through ``ansible.builtin.ssh``."""

from __future__ import annotations

import dataclasses
import statistics
import time

from benchmarks.fleet import bare_pool
from benchmarks.report import Report
from benchmarks.testbed import RAW, SSH_ARGS, WIDTH, Testbed, start_testbed
from benchmarks.usage import Usage, usage_of

PLUGIN, SSH = "remoteit.fleet.ssh", "ansible.builtin.ssh"


# -- one task ----------------------------------------------------------------------------------------------------------

TASK_HOSTS, TASKS, TASK_FORKS, TASK_REPEATS = 30, 6, 5, 3


@dataclasses.dataclass(frozen=True)
class TaskTimes:
    """Milliseconds per host of the first task of a run, and the median of the other tasks."""

    first: float
    seconds: float
    processor: float


def task(report: Report, hosts: int = TASK_HOSTS, repeats: int = TASK_REPEATS) -> None:
    """Measure a task on hosts with a connection."""
    found: dict[str, list[TaskTimes]] = {PLUGIN: [], SSH: []}
    with start_testbed(hosts) as testbed:
        testbed.warm_up(hosts)
        for number in range(repeats):
            for connection in (PLUGIN, SSH) if number % 2 else (SSH, PLUGIN):
                inventory = testbed.plugin_inventory(hosts) if connection == PLUGIN else testbed.ssh_inventory(hosts)
                command = testbed.playbook(inventory, [RAW] * (1 + TASKS), forks=TASK_FORKS)
                first, *others = testbed.task_times(command)
                times = [first["seconds"], *(median(others, what) for what in ("seconds", "processor"))]
                found[connection].append(TaskTimes(*(1000 * value / hosts for value in times)))

    def values(connection: str, what: str) -> list[float]:
        return [getattr(times, what) for times in found[connection]]

    def ratios(what: str) -> list[float]:
        return [ours / theirs for ours, theirs in zip(values(PLUGIN, what), values(SSH, what), strict=True)]

    report.goal("a raw task through the plugin ÷ direct ssh, time", ratios("seconds"), 1.05)
    report.goal("a raw task through the plugin ÷ direct ssh, processor", ratios("processor"), 1.05)
    rows = [
        [text, values(PLUGIN, what), values(SSH, what), ratios(what)]
        for text, what in (
            ("a task, ms per host", "seconds"),
            ("a task, ms of processor per host", "processor"),
            ("the first task, ms per host", "first"),
        )
    ]
    report.table(
        "One task",
        f"A raw task on {hosts} devices at {TASK_FORKS} forks, no latency; the medians of {TASKS} tasks, {repeats}"
        " runs of each plugin. The first task opens the connections and starts the control masters.",
        ["", "through the plugin", "direct ssh", "ratio"],
        rows,
    )


def median(entries: list[dict[str, float]], what: str) -> float:
    return statistics.median(entry[what] for entry in entries)


# -- a whole run -------------------------------------------------------------------------------------------------------

RUN_HOSTS, RUN_FORKS, RUN_LATENCY, RUN_REPEATS = 200, 20, 1.0, 2

#: No other task needs the control masters. Their cost is measured until their end.
ONE_TASK = {"ansible_ssh_args": SSH_ARGS.replace("60s", "1s")}


def run(report: Report, hosts: int = RUN_HOSTS, repeats: int = RUN_REPEATS) -> None:
    """Measure a run that opens, runs one task on each host, and closes."""
    plugin: list[Usage] = []
    direct: list[Usage] = []
    pool: list[float] = []
    with start_testbed(hosts) as testbed:
        testbed.warm_up(hosts)
        testbed.simulator.settings(latency=RUN_LATENCY)
        for _unused in range(repeats):
            inventory = testbed.plugin_inventory(hosts, **ONE_TASK)
            command = testbed.playbook(inventory, [RAW], forks=RUN_FORKS)
            plugin.append(usage_of(command, testbed.environment, testbed.directory))
            assert not testbed.simulator.open_connections()
            inventory = testbed.ssh_inventory(hosts, **ONE_TASK)
            command = testbed.playbook(inventory, [RAW], forks=RUN_FORKS)
            direct.append(usage_of(command, testbed.environment, testbed.directory))
            pool.append(bare_pool(testbed.simulator, list(testbed.services.values())[:hosts]))
    sums = [usage.seconds + seconds for usage, seconds in zip(direct, pool, strict=True)]
    ratios = [ours.seconds / theirs for ours, theirs in zip(plugin, sums, strict=True)]
    what = f"{hosts} hosts, the first task included ÷ (direct ssh + bare thread pool)"
    report.goal(what, ratios, 1.10)
    report.table(
        "A whole run",
        f"One raw task on {hosts} devices at {RUN_FORKS} forks, {RUN_LATENCY:g} s a connect, {WIDTH} calls at once;"
        f" {repeats} repeats. The bare thread pool opens and closes as many connections.",
        ["", "seconds", "seconds of processor", "MB"],
        [
            [PLUGIN, [each.seconds for each in plugin], [each.processor for each in plugin], memory(plugin)],
            [SSH, [each.seconds for each in direct], [each.processor for each in direct], memory(direct)],
            ["bare thread pool", pool, [], []],
            ["ratio", ratios, [], []],
        ],
    )
    report.chart(
        "run",
        f"Seconds for {hosts} hosts, 1 s a connect",
        {PLUGIN: [usage.seconds for usage in plugin], "ssh + pool": sums},
    )


def memory(usages: list[Usage]) -> list[float]:
    return [usage.memory for usage in usages]


# -- the bulk opening --------------------------------------------------------------------------------------------------

BULK_HOSTS, BULK_FORKS, BULK_LATENCY, BULK_REPEATS = 100, 5, 1.0, 2


def bulk(report: Report, hosts: int = BULK_HOSTS, repeats: int = BULK_REPEATS) -> None:
    """Measure the calls of the first task, which opens connections to all hosts, as the API sees them."""
    opened: list[float] = []
    first: list[float] = []
    with start_testbed(hosts) as testbed:
        testbed.warm_up(hosts)
        testbed.simulator.settings(latency=BULK_LATENCY)
        for _unused in range(repeats):
            begin = len(testbed.simulator.connections())
            opened.append(opening_seconds(testbed, hosts))
            found = testbed.simulator.connections()[begin:]
            assert len(found) == len({entry["deviceaddress"] for entry in found}) == hosts
            first.append(max(entry["opened_at"] for entry in found) - min(entry["opened_at"] for entry in found))
    limit = hosts / WIDTH * BULK_LATENCY
    report.goal(
        f"{hosts} hosts, {BULK_FORKS} forks: opening ÷ (calls ÷ concurrency)",
        [seconds / limit for seconds in opened],
        1.3,
    )
    report.table(
        "Opening in bulk",
        f"The connect calls of the first task on {hosts} devices at {BULK_FORKS} forks, {BULK_LATENCY:g} s a connect,"
        f" {WIDTH} calls at once, as the API sees them; {repeats} repeats.",
        ["", "seconds"],
        [
            ["calls ÷ concurrency", [limit]],
            ["from the first call to the last response", opened],
            ["from the first open connection to the last", first],
        ],
    )


def opening_seconds(testbed: Testbed, hosts: int) -> float:
    """Run a play, and return the seconds from the first connect call to the last response."""
    testbed.simulator.clear_requests()
    command = testbed.playbook(testbed.plugin_inventory(hosts), [RAW], forks=BULK_FORKS)
    begin = time.monotonic()
    usage_of(command, testbed.environment, testbed.directory)
    calls = testbed.simulator.requests("connect")
    assert len(calls) == hosts
    seconds: float = max(call["answered"] for call in calls) - min(call["time"] for call in calls)
    assert seconds < time.monotonic() - begin
    return seconds


# -- the audit trail ---------------------------------------------------------------------------------------------------

TRAIL_HOSTS, TRAIL_REPEATS = 50, 5


def trail(report: Report, hosts: int = TRAIL_HOSTS, repeats: int = TRAIL_REPEATS) -> None:
    """Measure what the audit trail and the list of offline devices cost a run that uses them."""
    found: dict[str, list[Usage]] = {"without": [], "with": []}
    requests: dict[str, list[float]] = {"without": [], "with": []}
    with start_testbed(hosts) as testbed:
        testbed.warm_up(hosts)
        command = testbed.command(hosts, [RAW])
        files = {name: str(testbed.directory / name) for name in ("REMOTEIT_AUDIT_LOG", "REMOTEIT_OFFLINE_FILE")}
        for number in range(repeats):
            for which in ("without", "with") if number % 2 else ("with", "without"):
                environment = {**testbed.environment, **(files if which == "with" else {})}
                testbed.simulator.clear_requests()
                found[which].append(usage_of(command, environment, testbed.directory))
                requests[which].append(len(testbed.simulator.requests()) / hosts)
    ratios = [ours.seconds / plain.seconds for ours, plain in zip(found["with"], found["without"], strict=True)]
    report.goal("API requests per host, without the audit trail", requests["without"], 2.0)
    report.goal("API requests per host, with the audit trail", requests["with"], 2.0)
    report.goal("a run with the audit trail ÷ without", ratios, 1.05)
    report.table(
        "The audit trail",
        f"One raw task on {hosts} devices at 5 forks, no latency, with and without REMOTEIT_AUDIT_LOG and"
        f" REMOTEIT_OFFLINE_FILE; {repeats} repeats.",
        ["", "seconds", "seconds of processor", "requests per host"],
        [
            [which, [each.seconds for each in usages], [each.processor for each in usages], requests[which]]
            for which, usages in found.items()
        ],
    )
