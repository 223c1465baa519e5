# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the table of tested ends into the documentation: C(make matrix)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "docsite" / "rst" / "teardown.rst"
_TABLE = re.compile(r"(?<=^\.\. table\n\n).*?(?=\n\.\. end of table$)", re.DOTALL | re.MULTILINE)
_QUOTED = '"{}"'.format
_APIS = {"rest": "REST", "graphql": "GraphQL"}
_SIGNS = {"passed": "✔", "failed": "✘", "skipped": "-"}


class Matrix:
    """Collects what became of each row on each engine, of all workers."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        if "row" in properties and (report.when == "call" or report.outcome != "passed"):
            self.rows.setdefault(properties["row"], {})[properties["engine"]] = report.outcome

    def pytest_sessionfinish(self) -> None:
        engines = sorted({engine for row in self.rows.values() for engine in row})
        heads = ["how the run ends", *(f"{engine}, {_APIS[api_of(engine)]}" for engine in engines)]
        lines = [".. csv-table::", f"   :header: {', '.join(map(_QUOTED, heads))}", ""]
        for name in sorted(self.rows):
            signs = [_SIGNS[self.rows[name].get(engine, "skipped")] for engine in engines]
            lines.append(f"   {_QUOTED(name)}, {', '.join(signs)}")
        PAGE.write_text(_TABLE.sub("\n".join(lines) + "\n", PAGE.read_text()))


def row_of(test: pytest.Function) -> tuple[str, str]:
    """The engine and the name of a row, of a test that runs on several engines."""
    engine = engine_of(test.callspec.params["engine"])
    parameters = test.callspec.id.removeprefix(engine).removeprefix("-")
    name = test.originalname.removeprefix("test_").replace("_", " ")
    return engine, f"{name}: {parameters}" if parameters else name


def engine_of(ansible_playbook: Path) -> str:
    return ansible_playbook.parents[1].name.lstrip(".")


def api_of(engine: str) -> str:
    return "graphql" if engine in ("2.17", "2.19") else "rest"


def rows_of_the_page() -> set[str]:
    """The rows that the documentation promises."""
    table = _TABLE.search(PAGE.read_text())
    assert table
    return set(re.findall(r'^   "(.*?)", ', table.group(), re.MULTILINE))
