# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare tasks through the connection plugin with the same tasks through ``ansible.builtin.ssh``."""

from __future__ import annotations

import dataclasses
import statistics

from benchmarks.report import PLUGIN, SSH, Report
from benchmarks.testbed import RAW, alternate, start_testbed
from benchmarks.usage import Usage, usage_of

# -- one task ----------------------------------------------------------------------------------------------------------

TASK_HOSTS, TASKS, TASK_FORKS, TASK_REPEATS = 30, 4, 5, 4


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
            for connection in alternate(number, SSH, PLUGIN):
                inventory = testbed.plugin_inventory(hosts) if connection == PLUGIN else testbed.ssh_inventory(hosts)
                command = testbed.playbook(inventory, [RAW] * (1 + TASKS), forks=TASK_FORKS)
                first, *others = testbed.task_times(command)
                times = [first["seconds"], *(median(others, what) for what in ("seconds", "processor"))]
                found[connection].append(TaskTimes(*(1000 * value / hosts for value in times)))

    def values(connection: str, what: str) -> list[float]:
        return [getattr(times, what) for times in found[connection]]

    def ratios(what: str) -> list[float]:
        return [ours / theirs for ours, theirs in zip(values(PLUGIN, what), values(SSH, what), strict=True)]

    report.goal("a raw task through the plugin ÷ direct ssh, time", ratios("seconds"), 1.03)
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


# -- the audit trail ---------------------------------------------------------------------------------------------------

TRAIL_HOSTS, TRAIL_REPEATS = 30, 4


def trail(report: Report, hosts: int = TRAIL_HOSTS, repeats: int = TRAIL_REPEATS) -> None:
    """Measure what the audit trail and the list of offline devices cost a run that uses them."""
    found: dict[str, list[Usage]] = {"without": [], "with": []}
    requests: dict[str, list[float]] = {"without": [], "with": []}
    with start_testbed(hosts) as testbed:
        testbed.warm_up(hosts)
        command = testbed.command(hosts, [RAW])
        files = {name: str(testbed.directory / name) for name in ("REMOTEIT_AUDIT_LOG", "REMOTEIT_OFFLINE_FILE")}
        for number in range(repeats):
            for which in alternate(number, "without", "with"):
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
