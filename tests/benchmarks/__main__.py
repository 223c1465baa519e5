# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures, side by side in one run, what the collection costs over the bare minimum: C(make bench).

C(python -m benchmarks keeper) measures one of them alone, C(fleet --hosts 200) a part of it. The whole run takes less
than 20 minutes on two cores and writes the page of the documentation.
"""

from __future__ import annotations

import argparse
import functools
import signal
import sys
import time

from benchmarks import fleet, inventory, keeper, page, session, steps, task
from benchmarks.report import Report

BENCHMARKS = {
    "fleet": fleet.main,
    "steps": steps.main,
    "keeper": keeper.main,
    "task": task.main,
    "session": session.main,
    "inventory": inventory.main,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; without any, all")
    parser.add_argument(
        "--hosts", type=int, metavar="N", help="of the fleets, only that of so many hosts, and only the role"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_unused: sys.exit(143))  # which ends what was started
    benchmarks = {**BENCHMARKS, "fleet": functools.partial(fleet.main, hosts=options.hosts)}
    report = Report()
    for name in options.names or benchmarks:
        print(name, flush=True)
        begin = time.monotonic()
        benchmarks[name](report)
        print(f"  {name} took {time.monotonic() - begin:.0f} seconds\n", flush=True)
    if not options.names:
        page.write(report)


if __name__ == "__main__":
    main()
