# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the collection with the minimal cost: ``make bench`` and ``make bench-scale``.

Each writes its results into the page of the documentation, and takes less than 14 minutes on two cores.
``python -m benchmarks task --hosts 5 --repeats 1`` runs one benchmark with smaller numbers.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import typing as t

from benchmarks import ending, fleet, inventory, keeper, page, play, plugin, scale, uri
from benchmarks.report import Report

BENCHMARKS: dict[str, t.Callable[..., None]] = {
    "task": plugin.task,
    "play": play.main,
    "fleet": fleet.main,
    "ending": ending.main,
    "keeper": keeper.main,
    "trail": plugin.trail,
    "inventory": inventory.main,
    "uri": uri.main,
    "scale": scale.main,
}
#: The benchmarks whose results each command writes into the page.
COMMANDS = {
    "make bench": ["task", "play", "fleet", "ending", "keeper", "trail", "inventory"],
    "make bench-scale": ["uri", "scale"],
}
#: The benchmarks with the options ``--hosts`` and ``--repeats``.
SCALABLE = COMMANDS["make bench"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks")
    names_help = f"of {', '.join(BENCHMARKS)}; the default is those of make bench"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names_help)
    parser.add_argument("--hosts", type=int, metavar="N", help=f"the number of hosts, for {', '.join(SCALABLE)}")
    parser.add_argument("--repeats", type=int, metavar="N", help="the number of measurements, for the same")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_unused: sys.exit(143))  # ends the started processes
    numbers = {name: value for name in ("hosts", "repeats") if (value := getattr(options, name))}
    report = Report()
    names = options.names or COMMANDS["make bench"]
    for name in names:
        print(name, flush=True)
        begin = time.monotonic()
        BENCHMARKS[name](report, **(numbers if name in SCALABLE else {}))
        print(f"  {name} took {time.monotonic() - begin:.0f} seconds\n", flush=True)
    for command, all_names in COMMANDS.items():
        if names == all_names and not numbers:
            page.write(report, command)


if __name__ == "__main__":
    main()
