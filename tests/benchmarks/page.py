# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the results into the documentation: tables into the page, and a chart beside it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import typing as t
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.report import Goal, Report, digits, shown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "docsite" / "rst" / "performance.rst"
CHART = PAGE.parent / "images" / "performance.svg"
_TABLES = re.compile(r"(?<=\n\.\. table\n).*(?=\n\.\. end of table\n)", re.DOTALL)

WIDTH, ROW, TOP = 360, 44, 40


def write(report: Report) -> None:
    lines = [*machine(), *goals(report.goals)]
    for table in report.tables:
        lines += [table.title, "~" * len(table.title), "", table.note, "", *rst(table.heads, table.rows)]
    text = "\n".join(lines).rstrip()
    PAGE.write_text(_TABLES.sub(lambda _: f"\n{text}\n", PAGE.read_text()))
    CHART.write_text(chart("Seconds to open and close 200 hosts, 1 s a connect", report.bars))


def machine() -> t.Iterator[str]:
    """Where it was measured; nothing that names the machine."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("ansible-core", "requests")]
    yield (
        f"Measured with {os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}"
        f" ({platform.machine()}), Python {platform.python_version()}, {' and '.join(versions)}."
    )
    yield ""


def goals(found: t.Sequence[Goal]) -> t.Iterator[str]:
    rows = [[goal.what, shown(goal.values), goal.wanted, "yes" if goal.met else "**no**"] for goal in found]
    yield from rst(("measure", "median (from, to)", "goal", "met"), rows)


def rst(heads: t.Sequence[str], rows: t.Sequence[t.Sequence[str]]) -> t.Iterator[str]:
    yield from (".. list-table::", "   :header-rows: 1", "")
    for row in (heads, *rows):
        for mark, cell in zip(("* -", *["  -"] * len(row)), row):
            yield f"   {mark} {cell}".rstrip()
    yield ""


def chart(title: str, bars: t.Mapping[str, float]) -> str:
    """Bars, each below its name, so that long names are legible on a telephone."""
    height, longest = TOP + ROW * len(bars), max(bars.values())
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        "<!--\nCopyright: (c) 2026, remoteit.fleet contributors",
        "GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)",
        "SPDX-License-Identifier: GPL-3.0-or-later\n-->",
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">',
        "<style>text { font: 13px sans-serif; fill: #202020 } .title { font-weight: bold }</style>",
        f"<title>{escape(title)}</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="10" y="24" class="title">{escape(title)}</text>',
    ]
    for number, (name, value) in enumerate(bars.items()):
        y, width = TOP + ROW * number, max(2.0, 280 * value / longest)
        color = "#1666a8" if "role" in name else "#8a8f98"
        lines += [
            f'<text x="10" y="{y + 13}">{escape(name)}</text>',
            f'<rect x="10" y="{y + 18}" width="{width:.1f}" height="16" fill="{color}"/>',
            f'<text x="{width + 16:.1f}" y="{y + 31}">{digits(value)} s</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
