# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print results as text, and collect them for the documentation."""

from __future__ import annotations

import dataclasses
import statistics
import typing as t

#: The names of the compared runs in all tables and charts.
SSH, POOL, PLUGIN = "direct ssh", "bare thread pool", "remoteit.fleet.ssh"
#: The role as most people use it, and with ``rolespec_validate: false``.
ROLE, UNCHECKED_ROLE = "the role", "the role without the check of its arguments"

Values = t.Sequence[float]
Cell = str | Values


@dataclasses.dataclass(frozen=True)
class Goal:
    what: str
    values: Values
    limit: float
    at_least: bool
    unit: str

    @property
    def met(self) -> bool:
        median = statistics.median(self.values)
        return median >= self.limit if self.at_least else median <= self.limit

    @property
    def wanted(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g} {self.unit}".strip()


@dataclasses.dataclass(frozen=True)
class Table:
    title: str
    note: str
    heads: t.Sequence[str]
    rows: t.Sequence[t.Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Chart:
    title: str
    bars: t.Mapping[str, float]


class Report:
    """All results. A missed goal is marked, and is not an error: a busy machine misses some."""

    def __init__(self) -> None:
        self.goals: list[Goal] = []
        self.tables: list[Table] = []
        self.charts: dict[str, Chart] = {}

    def goal(self, what: str, values: Values, limit: float, *, at_least: bool = False, unit: str = "") -> None:
        goal = Goal(what, values, limit, at_least, unit)
        self.goals.append(goal)
        print(f"  {'met   ' if goal.met else 'MISSED'} {goal.wanted:<9} {shown(values)}: {what}", flush=True)

    def table(self, title: str, note: str, heads: t.Sequence[str], rows: t.Sequence[t.Sequence[Cell]]) -> None:
        table = Table(title, note, heads, [[shown(cell) for cell in row] for row in rows])
        self.tables.append(table)
        print("\n".join(["", title, *format_text(table), ""]), flush=True)

    def chart(self, name: str, title: str, bars: t.Mapping[str, Values]) -> None:
        """Add a chart of the medians. ``name`` is part of its file name."""
        self.charts[name] = Chart(title, {what: statistics.median(values) for what, values in bars.items() if values})


def shown(cell: Cell) -> str:
    """Return the text of a table cell. For several values, it is the median and the range."""
    if isinstance(cell, str):
        return cell
    if not cell:
        return ""
    median = format_number(statistics.median(cell))
    return median if len(cell) == 1 else f"{median} ({format_number(min(cell))} to {format_number(max(cell))})"


def format_number(value: float) -> str:
    """Return a number with three significant digits."""
    return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"


def format_text(table: Table) -> t.Iterator[str]:
    lines = [table.heads, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.heads))]
    for line in lines:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
