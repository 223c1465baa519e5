# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how the time for one host and the memory grow with the fleet. A replacement of ssh stands for the devices."""

from __future__ import annotations

import statistics

from benchmarks.play import PLUGIN, SSH
from benchmarks.report import Report
from benchmarks.testbed import RAW, Testbed, start_testbed
from benchmarks.usage import Usage

#: The numbers of hosts, with the number of measurements.
SIZES = {50: 1, 200: 2, 1000: 1, 2000: 1, 5000: 1}
#: The sizes that are measured with direct ssh as well.
DIRECT = (200, 2000)
FORKS, LATENCY, WIDTH = 20, 0.3, 64


def main(report: Report) -> None:
    plugin: dict[int, list[Usage]] = {}
    direct: dict[int, list[Usage]] = {}
    with start_testbed(max(SIZES)) as testbed:
        testbed.simulator.settings(latency=LATENCY)
        for hosts, repeats in SIZES.items():
            plugin[hosts] = [through_plugin(testbed, hosts) for _unused in range(repeats)]
            if hosts in DIRECT:
                direct[hosts] = [without_plugin(testbed, hosts) for _unused in range(repeats)]
    small, large = statistics.median(per_host(200, plugin[200])), per_host(5000, plugin[5000])
    report.goal("time per host, 5,000 ÷ 200 hosts", [each / small for each in large], 1.1)
    above = [ours.memory - theirs.memory for ours, theirs in zip(plugin[2000], direct[2000], strict=True)]
    report.goal("memory above the same play by ssh, 2,000 hosts", above, 100, unit="MB")
    report.table(
        "Fleets of 50 to 5,000 hosts",
        f"One raw task at {FORKS} forks, {LATENCY:g} s a connect, {WIDTH} calls at once, without SSH servers: seconds,"
        " milliseconds per host, and the peak memory of all processes.",
        ["hosts", PLUGIN, "ms per host", "MB", SSH, "ms per host", "MB"],
        [
            [
                f"{hosts:,}",
                *(
                    cell
                    for usages in (plugin[hosts], direct.get(hosts, []))
                    for cell in (
                        [each.seconds for each in usages],
                        per_host(hosts, usages),
                        [each.memory for each in usages],
                    )
                ),
            ]
            for hosts in SIZES
        ],
    )


def through_plugin(testbed: Testbed, hosts: int) -> Usage:
    inventory = testbed.plugin_inventory(hosts, remoteit_concurrency=WIDTH, **testbed.stub)
    usage = testbed.usage(testbed.playbook(inventory, [RAW], forks=FORKS))
    assert not testbed.simulator.open_connections()
    return usage


def without_plugin(testbed: Testbed, hosts: int) -> Usage:
    return testbed.usage(testbed.playbook(testbed.ssh_inventory(hosts, **testbed.stub), [RAW], forks=FORKS))


def per_host(hosts: int, usages: list[Usage]) -> list[float]:
    """Return milliseconds."""
    return [1000 * each.seconds / hosts for each in usages]
