# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the end of a run, which closes many connections with their control masters, with the API calls alone."""

from __future__ import annotations

import time

from benchmarks.fleet import BarePool
from benchmarks.report import POOL, Report
from benchmarks.testbed import RAW, Testbed, alternate, start_testbed

HOSTS, REPEATS = 500, 3
FORKS, WIDTH = 20, 64
RUN, EXIT = "the run", "a run without connections"
#: The task of each run. The second one reaches no device, so that no connection is opened.
TASKS = {RUN: RAW, EXIT: {"name": "debug", "ansible.builtin.debug": {}}}


def main(report: Report, hosts: int = HOSTS, repeats: int = REPEATS) -> None:
    found: dict[str, list[float]] = {RUN: [], EXIT: [], POOL: []}
    with start_testbed(hosts) as testbed:
        inventory = testbed.plugin_inventory(hosts, remoteit_concurrency=WIDTH)
        for number in range(repeats):
            for name in alternate(number, RUN, EXIT):
                (task,) = testbed.task_times(testbed.playbook(inventory, [TASKS[name]], forks=FORKS))
                found[name].append(time.time() - task["ended"])
                assert not testbed.simulator.open_connections()
            found[POOL].append(pool_seconds(testbed))
    ratios = [(run - exit) / pool for run, exit, pool in zip(found[RUN], found[EXIT], found[POOL], strict=True)]
    what = f"end of a run with {hosts} open connections, without the exit of ansible-core ÷ {POOL} that stops them"
    report.goal(what, ratios, 1.2)
    report.table(
        "The end of a run",
        f"Seconds from the end of the last task until the command has ended; {repeats} repeats. {hosts} connections are"
        f" open, each with a control master, and {WIDTH} calls at once close them, without latency. The ratio is of the"
        " difference between both runs to the pool.",
        [RUN, EXIT, POOL, "ratio"],
        [[*found.values(), ratios]],
    )


def pool_seconds(testbed: Testbed) -> float:
    pool = BarePool(testbed.simulator, WIDTH)
    opened = pool.connect(testbed.services.values())
    begin = time.monotonic()
    pool.stop(opened)
    return time.monotonic() - begin
