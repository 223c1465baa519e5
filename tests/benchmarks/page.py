# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the results into the documentation: tables into the page, and charts into files."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import typing as t
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.report import Chart, Goal, Report, format_number, shown

RST = Path(__file__).resolve().parents[2] / "docs" / "docsite" / "rst"
#: The comments around the results of a command.
_RESULTS = r"(?<=\n\.\. results of {command}\n).*(?=\n\.\. end of results of {command}\n)"

LICENCE = """\
Copyright: (c) 2026, remoteit.fleet contributors
GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
SPDX-License-Identifier: GPL-3.0-or-later
"""

#: The names of the collection's bars, which have another color.
OURS = ("the role", "remoteit.fleet")

WIDTH, ROW, TOP = 360, 44, 40


def write(report: Report, command: str, directory: Path = RST) -> None:
    """Replace the results of a command, such as ``make bench``."""
    lines = [*machine(), *goals(report.goals)]
    for name, chart in report.charts.items():
        (directory / "images" / f"performance-{name}.svg").write_text(svg(chart))
        lines += [f".. figure:: images/performance-{name}.svg", f"   :alt: Bars: {chart.title}", ""]
    for table in report.tables:
        lines += [table.title, "~" * len(table.title), "", table.note, "", *rst(table.heads, table.rows)]
    text = "\n".join(lines).rstrip()
    page = directory / "performance.rst"
    results = re.compile(_RESULTS.format(command=re.escape(command)), re.DOTALL)
    page.write_text(results.sub(lambda _: f"\n{text}\n", page.read_text()))


def machine() -> t.Iterator[str]:
    """Yield a description of the hardware and software, without the name of the machine."""
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


def svg(chart: Chart) -> str:
    """Return a bar chart with its own background. Names are above the bars, so that they fit on a phone."""
    height, longest = TOP + ROW * len(chart.bars), max(chart.bars.values())
    title = escape(chart.title)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<!--\n{LICENCE}-->",
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">',
        f"<title>{title}</title>",
        "<style>text { font: 13px sans-serif; fill: #202020 } .title { font-weight: bold }</style>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text class="title" x="10" y="24">{title}</text>',
    ]
    for number, (name, value) in enumerate(chart.bars.items()):
        y, width = TOP + ROW * number, max(2.0, 280 * value / longest)
        color = "#1666a8" if any(ours in name for ours in OURS) else "#8a8f98"
        lines += [
            f'<text x="10" y="{y + 13}">{escape(name)}</text>',
            f'<rect x="10" y="{y + 18}" width="{width:.1f}" height="16" fill="{color}"/>',
            f'<text x="{width + 16:.1f}" y="{y + 31}">{format_number(value)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
