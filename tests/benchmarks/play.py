# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare whole runs that open a fleet, run four tasks on each device, and close.

The ways are ``ansible.builtin.ssh`` plus the API calls alone, the connection plugin, and the role.
"""

from __future__ import annotations

import functools
import json
import os
import typing as t

from benchmarks.fleet import bare_pool
from benchmarks.report import PLUGIN, POOL, ROLE, SSH, Cell, Report
from benchmarks.testbed import RAW, Setup, Tasks, Testbed, alternate, start_testbed
from benchmarks.usage import Usage

MAIN, REPEATS = Setup(200, 20, 1.0), 2
#: The setups without SSH servers.
AD_HOC = Setup(50, 20, 1.0)
OTHERS = (Setup(50, 5, 1.0), Setup(50, 50, 1.0), Setup(50, 20, 0.3))
MODULE_HOSTS = 10

TASKS: Tasks = [RAW] * 4
MODULES: Tasks = [
    {"name": "facts", "ansible.builtin.setup": {}},
    {"name": "command", "ansible.builtin.command": "uptime"},
    {"name": "copy", "ansible.builtin.copy": {"src": "{{ playbook_dir }}/megabyte", "dest": "~/megabyte"}},
    {"name": "template", "ansible.builtin.template": {"src": "{{ playbook_dir }}/name.j2", "dest": "~/name"}},
]


class Costs(t.NamedTuple):
    """The seconds of the bare thread pool, and the costs of the ways that use ssh."""

    pool: float
    ssh: Usage
    plugin: Usage

    @property
    def limit(self) -> float:
        return self.ssh.seconds + self.pool


def main(report: Report) -> None:
    with start_testbed(MAIN.hosts) as testbed:
        others = [compare_plays(testbed, setup, TASKS, **testbed.stub()) for setup in OTHERS]
        adhoc = compare(testbed, AD_HOC, testbed.ad_hoc, **testbed.stub())
        testbed.warm_up(MAIN.hosts)
        real = [compare_plays(testbed, MAIN, TASKS, number) for number in range(REPEATS)]
        role = run_role(testbed, MAIN, TASKS)
        modules = compare_modules(testbed)
    ratios = [costs.plugin.seconds / costs.limit for costs in real]
    report.goal("200 hosts, 20 forks, 1 s, a whole play: plugin ÷ (direct ssh + bare thread pool)", ratios, 1.05)
    show_plays(report, others, adhoc, real, modules)
    show_costs(report, real, role)
    report.chart(
        "play",
        "Seconds: four tasks, 200 hosts, 20 forks",
        {
            f"{SSH} + {POOL}": [costs.limit for costs in real],
            PLUGIN: [costs.plugin.seconds for costs in real],
            ROLE: [role.seconds],
        },
    )


def compare(
    testbed: Testbed, setup: Setup, command: t.Callable[..., list[object]], number: int = 0, **variables: t.Any
) -> Costs:
    """Run a command through direct ssh and through the plugin.

    :param command: returns the command for an inventory and ``forks``.
    :param number: the number of this repeat.
    """
    hosts, forks, latency = setup
    testbed.simulator.settings(latency=latency)
    inventories = {SSH: testbed.ssh_inventory, PLUGIN: testbed.plugin_inventory}
    usages = {
        name: testbed.usage(command(inventories[name](hosts, **variables), forks=forks))
        for name in alternate(number, SSH, PLUGIN)
    }
    assert not testbed.simulator.open_connections()
    pool = bare_pool(testbed.simulator, list(testbed.services.values())[:hosts])
    return Costs(pool, usages[SSH], usages[PLUGIN])


def compare_plays(testbed: Testbed, setup: Setup, tasks: Tasks, number: int = 0, **variables: t.Any) -> Costs:
    return compare(testbed, setup, functools.partial(testbed.playbook, tasks=tasks), number, **variables)


def run_role(testbed: Testbed, setup: Setup, tasks: Tasks) -> Usage:
    """Run the tasks by the role."""
    testbed.simulator.settings(latency=setup.latency)
    tasks_file = testbed.directory / "tasks.json"
    tasks_file.write_text(json.dumps(tasks))
    role = {"role": "remoteit.fleet.remoteit_session", "remoteit_session_tasks": str(tasks_file)}
    inventory = testbed.plugin_inventory(setup.hosts)
    return testbed.usage(testbed.playbook(inventory, [], forks=setup.forks, roles=[role]))


def compare_modules(testbed: Testbed) -> Costs:
    """Run tasks whose modules need Python on the devices."""
    (testbed.directory / "megabyte").write_bytes(os.urandom(1 << 20))
    (testbed.directory / "name.j2").write_text("{{ inventory_hostname }} {{ ansible_facts.kernel }}\n")
    return compare_plays(testbed, MAIN._replace(hosts=MODULE_HOSTS), MODULES)


# -- the tables --------------------------------------------------------------------------------------------------------


def show_plays(report: Report, others: list[Costs], adhoc: Costs, real: list[Costs], modules: Costs) -> None:
    no_servers = ", no SSH servers"
    report.table(
        "Whole runs",
        "Seconds of runs that open, run the tasks on each device, and close. The ratio is to the sum of direct ssh and"
        " the bare thread pool, which opens and closes the same connections.",
        ["tasks", "hosts", "forks", "latency", SSH, POOL, PLUGIN, "÷ sum"],
        [
            row("four raw tasks", MAIN, real),
            row("facts, command, 1 MB copy, template", MAIN._replace(hosts=MODULE_HOSTS), [modules]),
            *(row(f"four raw tasks{no_servers}", setup, [costs]) for setup, costs in zip(OTHERS, others, strict=True)),
            row(f"one raw task, ad hoc{no_servers}", AD_HOC, [adhoc]),
        ],
    )


def row(tasks: str, setup: Setup, found: list[Costs]) -> list[Cell]:
    return [
        tasks,
        *(f"{number:g}" for number in setup),
        [costs.ssh.seconds for costs in found],
        [costs.pool for costs in found],
        [costs.plugin.seconds for costs in found],
        [costs.plugin.seconds / costs.limit for costs in found],
    ]


def show_costs(report: Report, real: list[Costs], role: Usage) -> None:
    report.table(
        "Cost of whole runs",
        f"Four raw tasks on {MAIN.hosts} devices with SSH servers. The processor time includes control masters and the"
        " keeper. MB is the peak memory of all processes.",
        ["", "seconds", "seconds of processor", "MB", "of it the keeper"],
        [
            [
                name,
                *([getattr(usage, what) for usage in usages] for what in ("seconds", "processor", "memory")),
                [usage.keeper for usage in usages if usage.keeper],
            ]
            for name, usages in (
                (SSH, [costs.ssh for costs in real]),
                (PLUGIN, [costs.plugin for costs in real]),
                (ROLE, [role]),
            )
        ],
    )
