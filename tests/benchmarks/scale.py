# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how the time for one host and the memory grow with the fleet. A replacement of ssh stands for the devices."""

from __future__ import annotations

import statistics
import typing as t

from benchmarks.fleet import bare_pool
from benchmarks.report import PLUGIN, POOL, SSH, Report
from benchmarks.testbed import RAW, Testbed, alternate, start_testbed
from benchmarks.usage import Usage

#: The numbers of hosts, with the number of measurements. The largest fleet is measured only through the plugin.
SIZES = {50: 1, 200: 3, 1000: 1, 2000: 1, 5000: 1}
FORKS, LATENCY, WIDTH = 20, 0.3, 64
#: The time of a command. Devices that respond at once would leave most forks without work, and hide their memory.
COMMAND_SECONDS = 0.3


class Costs(t.NamedTuple):
    """The costs of the runs on a fleet, and the seconds of the bare thread pool."""

    plugin: list[Usage]
    direct: list[Usage]
    pool: list[float]

    @property
    def ratios(self) -> list[float]:
        """Return the time through the plugin, divided by the sum of the others."""
        found = zip(self.plugin, self.direct, self.pool)
        return [plugin.seconds / (direct.seconds + pool) for plugin, direct, pool in found]


def main(report: Report, sizes: t.Mapping[int, int] | None = None) -> None:
    sizes = SIZES if sizes is None else sizes
    with start_testbed(max(sizes)) as testbed:
        testbed.simulator.settings(latency=LATENCY)
        found = {hosts: measure(testbed, hosts, repeats) for hosts, repeats in sizes.items()}
    small, direct, large = (sorted(sizes)[position] for position in (1, -2, -1))
    base = statistics.median(per_host(small, found[small].plugin))
    growth = [each / base for each in per_host(large, found[large].plugin)]
    report.goal(f"time per host, {large:,} ÷ {small:,} hosts", growth, 1.1)
    pairs = zip(found[direct].plugin, found[direct].direct, strict=True)
    above = [ours.memory - theirs.memory for ours, theirs in pairs]
    report.goal(f"memory above the same play by ssh, {direct:,} hosts", above, 100, unit="MB")
    report.table(
        f"Fleets of {min(sizes):,} to {large:,} hosts",
        f"One raw task at {FORKS} forks, {LATENCY:g} s a connect, {WIDTH} calls at once, in seconds. A script that"
        f" takes {COMMAND_SECONDS:g} s replaces ssh.",
        ["hosts", SSH, POOL, PLUGIN, f"÷ ({SSH} + pool)", "ms per host"],
        [
            [
                f"{hosts:,}",
                [each.seconds for each in costs.direct],
                costs.pool,
                [each.seconds for each in costs.plugin],
                costs.ratios,
                per_host(hosts, costs.plugin),
            ]
            for hosts, costs in found.items()
        ],
    )
    report.table(
        "Memory",
        "The peak memory of all processes of these runs, and that of the keeper, in MB.",
        ["hosts", SSH, PLUGIN, "of it the keeper"],
        [
            [
                f"{hosts:,}",
                [each.memory for each in costs.direct],
                [each.memory for each in costs.plugin],
                [each.keeper for each in costs.plugin],
            ]
            for hosts, costs in found.items()
        ],
    )


def measure(testbed: Testbed, hosts: int, repeats: int) -> Costs:
    costs = Costs([], [], [])
    for number in range(repeats):
        for name in alternate(number, SSH, PLUGIN):
            if name == PLUGIN:
                costs.plugin.append(through_plugin(testbed, hosts))
            elif hosts < len(testbed.services):
                costs.direct.append(without_plugin(testbed, hosts))
                costs.pool.append(bare_pool(testbed.simulator, list(testbed.services.values())[:hosts], WIDTH))
    return costs


def through_plugin(testbed: Testbed, hosts: int) -> Usage:
    inventory = testbed.plugin_inventory(hosts, remoteit_concurrency=WIDTH, **testbed.stub(COMMAND_SECONDS))
    usage = testbed.usage(testbed.playbook(inventory, [RAW], forks=FORKS))
    assert not testbed.simulator.open_connections()
    return usage


def without_plugin(testbed: Testbed, hosts: int) -> Usage:
    inventory = testbed.ssh_inventory(hosts, **testbed.stub(COMMAND_SECONDS))
    return testbed.usage(testbed.playbook(inventory, [RAW], forks=FORKS))


def per_host(hosts: int, usages: list[Usage]) -> list[float]:
    """Return milliseconds."""
    return [1000 * each.seconds / hosts for each in usages]
