# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare whole runs that open a fleet, run tasks on each device, and close.

The ways are ``ansible.builtin.ssh`` plus the API calls alone, the connection plugin, and the role.
"""

from __future__ import annotations

import functools
import json
import os
import typing as t

from benchmarks.fleet import bare_pool
from benchmarks.report import PLUGIN, POOL, ROLE, SSH, Report
from benchmarks.testbed import RAW, Setup, Tasks, Testbed, alternate, start_testbed
from benchmarks.usage import Usage

HOSTS, REPEATS = 200, 2
#: The forks and the latency of the runs with SSH servers.
FORKS, LATENCY = 20, 1.0
#: Those of the runs without SSH servers.
OTHERS = ((5, 1.0), (20, 1.0), (50, 1.0), (20, 0.3))
AD_HOC_HOSTS, MODULE_HOSTS = 50, 10

TASKS, FEWER_TASKS = [RAW] * 4, [RAW] * 2
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
    role: Usage | None = None

    @property
    def limit(self) -> float:
        return self.ssh.seconds + self.pool


def main(report: Report, hosts: int = HOSTS, repeats: int = REPEATS) -> None:
    setup = Setup(hosts, FORKS, LATENCY)
    ad_hoc_setup, modules_setup = (setup._replace(hosts=min(hosts, most)) for most in (AD_HOC_HOSTS, MODULE_HOSTS))
    with start_testbed(hosts) as testbed:
        ad_hoc = compare(testbed, ad_hoc_setup, testbed.ad_hoc, **testbed.stub())
        testbed.warm_up(hosts)
        real = [compare_plays(testbed, setup, TASKS, number) for number in range(repeats)]
        real[0] = real[0]._replace(role=run_role(testbed, setup, TASKS))
        modules = compare_modules(testbed, modules_setup)
        others = compare_without_servers(testbed, [Setup(hosts, *each) for each in OTHERS], {LATENCY: real[0].pool})
    what = f"{hosts} hosts, {FORKS} forks, {LATENCY:g} s, a whole play: plugin ÷ ({SSH} + {POOL})"
    report.goal(what, [costs.plugin.seconds / costs.limit for costs in real], 1.05)
    show_plays(
        report,
        [
            ("four raw tasks", setup, real),
            ("facts, command, 1 MB copy, template", modules_setup, [modules]),
            *(("two raw tasks, no SSH servers", each, [costs]) for each, costs in others.items()),
            ("one raw task, ad hoc, no SSH servers", ad_hoc_setup, [ad_hoc]),
        ],
    )
    show_costs(report, hosts, real)
    report.chart(
        "play",
        f"Seconds: four tasks, {hosts} hosts, {FORKS} forks",
        {
            f"{SSH} + {POOL}": [costs.limit for costs in real],
            PLUGIN: [costs.plugin.seconds for costs in real],
            ROLE: [costs.role.seconds for costs in real if costs.role],
        },
    )


def compare(
    testbed: Testbed,
    setup: Setup,
    command: t.Callable[..., list[object]],
    number: int = 0,
    *,
    ssh: Usage | None = None,
    pool: float | None = None,
    **variables: t.Any,
) -> Costs:
    """Run a command through direct ssh and through the plugin.

    :param command: returns the command for an inventory and ``forks``.
    :param number: the number of this repeat.
    :param ssh: the cost of direct ssh, if it is known.
    :param pool: the seconds of the bare thread pool, if they are known.
    """
    hosts, forks, latency = setup
    testbed.simulator.settings(latency=latency)
    inventories = {SSH: testbed.ssh_inventory, PLUGIN: testbed.plugin_inventory}
    usages = {SSH: ssh} if ssh else {}
    for name in alternate(number, SSH, PLUGIN):
        if name not in usages:
            usages[name] = testbed.usage(command(inventories[name](hosts, **variables), forks=forks))
    assert not testbed.simulator.open_connections()
    if pool is None:
        pool = bare_pool(testbed.simulator, list(testbed.services.values())[:hosts])
    return Costs(pool, usages[SSH], usages[PLUGIN])


def compare_plays(testbed: Testbed, setup: Setup, tasks: Tasks, number: int = 0, **keywords: t.Any) -> Costs:
    return compare(testbed, setup, functools.partial(testbed.playbook, tasks=tasks), number, **keywords)


def compare_without_servers(
    testbed: Testbed, setups: t.Sequence[Setup], pools: t.Mapping[float, float]
) -> dict[Setup, Costs]:
    """Compare the ways for each setup. The role is measured for the last one only, because it takes the most time.

    Direct ssh does not depend on the latency, nor the bare thread pool on the forks: each is measured once.

    :param pools: the seconds of the bare thread pool that are known, by latency.
    """
    found: dict[Setup, Costs] = {}
    for number, setup in enumerate(setups):
        ssh = {other.forks: costs.ssh for other, costs in found.items()}.get(setup.forks)
        pool = {**pools, **{other.latency: costs.pool for other, costs in found.items()}}.get(setup.latency)
        found[setup] = compare_plays(testbed, setup, FEWER_TASKS, number, ssh=ssh, pool=pool, **testbed.stub())
    found[setup] = found[setup]._replace(role=run_role(testbed, setup, FEWER_TASKS, **testbed.stub()))
    return found


def run_role(testbed: Testbed, setup: Setup, tasks: Tasks, **variables: t.Any) -> Usage:
    """Run the tasks by the role."""
    testbed.simulator.settings(latency=setup.latency)
    tasks_file = testbed.directory / "tasks.json"
    tasks_file.write_text(json.dumps(tasks))
    role = {"role": "remoteit.fleet.remoteit_session", "remoteit_session_tasks": str(tasks_file)}
    inventory = testbed.plugin_inventory(setup.hosts, **variables)
    return testbed.usage(testbed.playbook(inventory, [], forks=setup.forks, roles=[role]))


def compare_modules(testbed: Testbed, setup: Setup) -> Costs:
    """Run tasks whose modules need Python on the devices."""
    (testbed.directory / "megabyte").write_bytes(os.urandom(1 << 20))
    (testbed.directory / "name.j2").write_text("{{ inventory_hostname }} {{ ansible_facts.kernel }}\n")
    return compare_plays(testbed, setup, MODULES)


# -- the tables --------------------------------------------------------------------------------------------------------


def show_plays(report: Report, rows: t.Sequence[tuple[str, Setup, list[Costs]]]) -> None:
    report.table(
        "Whole runs",
        "Seconds of runs that open, run the tasks on each device, and close. The ratios are to the sum of direct ssh"
        " and the bare thread pool, which opens and closes the same connections.",
        ["tasks", "hosts", "forks", "latency", SSH, POOL, PLUGIN, "plugin ÷ sum", ROLE, "role ÷ sum"],
        [
            [
                tasks,
                *(f"{number:g}" for number in setup),
                [costs.ssh.seconds for costs in found],
                [costs.pool for costs in found],
                [costs.plugin.seconds for costs in found],
                [costs.plugin.seconds / costs.limit for costs in found],
                [costs.role.seconds for costs in found if costs.role],
                [costs.role.seconds / costs.limit for costs in found if costs.role],
            ]
            for tasks, setup, found in rows
        ],
    )


def show_costs(report: Report, hosts: int, real: list[Costs]) -> None:
    report.table(
        "Cost of whole runs",
        f"Four raw tasks on {hosts} devices with SSH servers. The processor time includes control masters and the"
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
                (ROLE, [costs.role for costs in real if costs.role]),
            )
        ],
    )
