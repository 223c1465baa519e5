# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the time of the role goes, task by task, beside what the engine takes for tasks that do next to nothing."""

from __future__ import annotations

from benchmarks.fleet import WIDTH, role
from benchmarks.lab import Lab, Tasks, lab
from benchmarks.report import Report

HOSTS, LATENCY, REPEATS = 100, 0.3, 1
LEAST = 0.05  # of all; what takes less is put together

PER_HOST = "a set_fact on each host"
IN_A_LOOP = "a set_fact with delegate_facts in a loop over the hosts"

YARDSTICKS: Tasks = [
    {"name": PER_HOST, "ansible.builtin.set_fact": {"benchmark": 1}},
    {
        "name": IN_A_LOOP,
        "ansible.builtin.set_fact": {"benchmark": 1},
        "loop": "{{ ansible_play_hosts }}",
        "run_once": True,
        "delegate_to": "{{ item }}",
        "delegate_facts": True,
    },
]


def main(report: Report) -> None:
    with lab(HOSTS) as laboratory:
        laboratory.simulator.settings(latency=LATENCY)
        keywords = role()
        validated = [{"import_role": {**task["import_role"], "rolespec_validate": True}} for task in keywords["tasks"]]
        plays = {"yardsticks": {"tasks": YARDSTICKS}, "role": {**keywords, "tasks": validated}}
        found: dict[str, list[dict[str, float]]] = {name: [] for name in plays}
        for _unused in range(REPEATS):
            for name, play in plays.items():
                found[name].append(seconds(laboratory, **play))
    report.table(
        "Where the time of the role goes",
        f"Seconds of each task of open and close, and milliseconds per host; {HOSTS} hosts, {LATENCY:g} s a connect,"
        f" {WIDTH} at once, 5 forks. Beside them what the engine takes for tasks that do nothing else.",
        ["", "seconds", "ms per host"],
        [*rows(found["role"]), *rows(found["yardsticks"])],
    )


def seconds(laboratory: Lab, *, tasks: Tasks, **keywords: object) -> dict[str, float]:
    times: dict[str, float] = {}
    for entry in laboratory.task_times(laboratory.command(HOSTS, tasks, **keywords)):
        name = entry["task"].removeprefix("remoteit.fleet.remoteit_session : ").partition(" - ")[0]
        times[name] = times.get(name, 0.0) + entry["seconds"]
    return times


def rows(repeats: list[dict[str, float]]) -> list[list[str | list[float]]]:
    values = {name: [times[name] for times in repeats] for name in repeats[0]}
    whole = [sum(times.values()) for times in repeats]
    large = {name: each for name, each in values.items() if max(each) >= LEAST * max(whole)}
    others = [total - sum(each[number] for each in large.values()) for number, total in enumerate(whole)]
    if any(others):
        large["the others together"] = others
    return [[name, each, [1000 * value / HOSTS for value in each]] for name, each in large.items()]
