# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the end of a run, which closes many connections with their control masters, with the API calls alone."""

from __future__ import annotations

import time

from benchmarks.fleet import BarePool
from benchmarks.report import Report
from benchmarks.testbed import RAW, Testbed, start_testbed

HOSTS, FORKS, WIDTH = 500, 20, 64


def main(report: Report) -> None:
    with start_testbed(HOSTS) as testbed:
        inventory = testbed.plugin_inventory(HOSTS, remoteit_concurrency=WIDTH)
        (task,) = testbed.task_times(testbed.playbook(inventory, [RAW], forks=FORKS))
        seconds = time.time() - task["ended"]
        assert not testbed.simulator.open_connections()
        pool = pool_seconds(testbed)
    report.goal(f"end of a run with {HOSTS} open connections ÷ bare thread pool that stops them", [seconds / pool], 1.2)
    report.table(
        "The end of a run",
        f"Seconds from the end of the last task until the command has ended. {HOSTS} connections are open, each with a"
        f" control master, and {WIDTH} calls at once close them, without latency.",
        ["the run", "bare thread pool"],
        [[[seconds], [pool]]],
    )


def pool_seconds(testbed: Testbed) -> float:
    pool = BarePool(testbed.simulator, WIDTH)
    opened = pool.connect(testbed.services.values())
    begin = time.monotonic()
    pool.stop(opened)
    return time.monotonic() - begin
