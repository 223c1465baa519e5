# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix of endings: every way to end a run, by every way to start it, on every version of ansible-core.

A test that is decorated with ``ends`` is parametrized with a ``case``. ``make test`` tries each ending once and spreads
the endings over the ways and the versions. With ``TEST_PRODUCT=1`` each is tried in every way on every version.
``make matrix`` does so and writes the table of ``teardown.rst``.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "docsite" / "rst" / "teardown.rst"
AD_HOC, PLAY, ROLE = WAYS = ("ad hoc", "play", "role")
_TABLE = re.compile(r"(?<=^\.\. table\n\n).*?(?=\n\.\. end of table$)", re.DOTALL | re.MULTILINE)
_LINE = re.compile(r'^   "(.*)", "(.*)"((?:, .)+)$', re.MULTILINE)
_APIS = {"rest": "REST", "graphql": "GraphQL"}
_NOT_RUN, _NO_CASE = "-", "·"
_SIGNS = {"failed": "✘", "skipped": _NOT_RUN, "passed": "✔"}  # the worst first
_counter = itertools.count()


@dataclasses.dataclass(frozen=True)
class Ending:
    """One way in which a run can end.

    :ivar kind: the group of the table in which it is listed.
    :ivar row: its line of the table. Several endings may share one.
    :ivar ways: how such a run can be started.
    """

    kind: str
    row: str
    ways: Sequence[str]
    variant: str = ""
    number: int = dataclasses.field(default_factory=lambda: next(_counter), compare=False)

    def __str__(self) -> str:
        return f"{self.row}, {self.variant}" if self.variant else self.row


@dataclasses.dataclass(frozen=True)
class Case:
    """An ending, the way in which the run is started, and the ansible-core that runs it."""

    ending: Ending
    way: str
    ansible_playbook: Path

    @property
    def version(self) -> str:
        return engine_of(self.ansible_playbook)

    def __str__(self) -> str:
        return f"{self.ending}-{self.way}-{self.version}"


ENDINGS: list[Ending] = []  # filled when test_termination.py is imported


def ends(*endings: Ending) -> Callable[[Any], Any]:
    """Parametrize a test with these endings."""
    ENDINGS.extend(endings)

    def add(test: Any) -> Any:
        test.endings = endings
        return test

    return add


def is_product() -> bool:
    """Whether every ending is tried in every way on every version."""
    return bool(os.environ.get("TEST_PRODUCT"))


def cases_of(endings: Iterable[Ending], engines: Sequence[Path]) -> list[Case]:
    """Return the whole product, or each ending once."""
    if is_product():
        return [Case(*case) for ending in endings for case in itertools.product([ending], ending.ways, engines)]
    return [
        Case(
            ending,
            ending.ways[(ending.number // len(engines)) % len(ending.ways)],
            engines[ending.number % len(engines)],
        )
        for ending in endings
    ]


class Matrix:
    """Collects the outcome of each case, of all workers, and writes the table."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str, str], set[str]] = {}
        self.versions: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        if "row" in properties and (report.when == "call" or report.outcome != "passed"):
            key = (properties["kind"], properties["row"], properties["way"])
            self.outcomes.setdefault(key, set()).add(report.outcome)
            self.versions.add(properties["version"])

    def pytest_sessionfinish(self) -> None:
        PAGE.write_text(_TABLE.sub("\n".join(self._lines()) + "\n", PAGE.read_text()))

    def _lines(self) -> list[str]:
        importlib.import_module("test_termination")  # pytest-xdist collects in its workers only
        rows = dict.fromkeys((ending.kind, ending.row) for ending in ENDINGS)
        heads = ", ".join(f'"{head}"' for head in ("", "how the run ends", *WAYS))
        lines = [self._extent(), "", ".. csv-table::", f"   :header: {heads}", ""]
        last = None
        for kind, row in rows:
            signs = ", ".join(self._sign(kind, row, way) for way in WAYS)
            lines.append(f'   "{kind if kind != last else ""}", "{row}", {signs}')
            last = kind
        return lines

    def _extent(self) -> str:
        """Return the sentence about what was run for the table."""
        if not self.versions:
            return "No case was run."
        names = ", ".join(f"{version} ({_APIS[api_of(version)]})" for version in sorted(self.versions))
        extent = (
            "Each case was run on each of these versions"
            if is_product()
            else "Each ending was run once, on one of these versions"
        )
        return f"{extent} of ansible-core: {names}."

    def _sign(self, kind: str, row: str, way: str) -> str:
        outcomes = self.outcomes.get((kind, row, way), set())
        has_case = any(way in ending.ways for ending in ENDINGS if (ending.kind, ending.row) == (kind, row))
        return next(
            (sign for outcome, sign in _SIGNS.items() if outcome in outcomes), _NOT_RUN if has_case else _NO_CASE
        )


def engine_of(ansible_playbook: Path) -> str:
    return ansible_playbook.parents[1].name.lstrip(".")


def api_of(engine: str) -> str:
    return "graphql" if engine in ("2.17", "2.19") else "rest"


def rows_of_the_page() -> set[tuple[str, str, str]]:
    """Return the kind, the ending and the way of each sign in the documentation."""
    table = _TABLE.search(PAGE.read_text())
    assert table
    found, last = set(), ""
    for kind, row, signs in _LINE.findall(table.group()):
        last = kind or last
        tried = zip(WAYS, signs.removeprefix(", ").split(", "))
        found |= {(last, row, way) for way, sign in tried if sign != _NO_CASE}
    return found
