# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endings of a run: every way to end it, by every way to start it, on every version of ansible-core.

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
_ROW = re.compile(r'^   "(.*?)", "(.*?)", ', re.MULTILINE)
_APIS = {"rest": "REST", "graphql": "GraphQL"}
_counter = itertools.count()


@dataclasses.dataclass(frozen=True)
class Ending:
    """One way in which a run can end.

    :ivar kind: the row of the table in which it is listed.
    :ivar name: its name there. Several endings may share one.
    :ivar ways: how such a run can be started.
    :ivar group: of the endings of a group, ``make test`` tries one, another one for each group.
    """

    kind: str
    name: str
    ways: Sequence[str]
    variant: str = ""
    group: str = ""
    order: int = dataclasses.field(default_factory=lambda: next(_counter), compare=False)

    def __str__(self) -> str:
        return f"{self.name}, {self.variant}" if self.variant else self.name


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
    """Return whether every ending is tried in every way on every version."""
    return bool(os.environ.get("TEST_PRODUCT"))


def cases_of(endings: Sequence[Ending], engines: Sequence[Path]) -> list[Case]:
    """Return the whole product, or one case for each ending or group of endings."""
    if is_product():
        return [Case(*case) for ending in endings for case in itertools.product([ending], ending.ways, engines)]
    cases = []
    for number, ending in enumerate(_one_of_each_group(endings), endings[0].order):
        way = ending.ways[(number // len(engines)) % len(ending.ways)]
        cases.append(Case(ending, way, engines[number % len(engines)]))
    return cases


def _one_of_each_group(endings: Iterable[Ending]) -> list[Ending]:
    groups: dict[Any, list[Ending]] = {}
    for ending in endings:
        groups.setdefault(ending.group or ending.order, []).append(ending)
    # the shift after every fourth group lets each signal meet each target
    return [group[(number + number // 4) % len(group)] for number, group in enumerate(groups.values())]


class TerminationTable:
    """Collects the outcome of each case, of all workers, and writes the table."""

    def __init__(self) -> None:
        self.outcomes: dict[str, dict[str, str]] = {}
        self.versions: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        if "kind" in properties and (report.when == "call" or report.outcome != "passed"):
            self.outcomes.setdefault(properties["kind"], {})[report.nodeid] = report.outcome
            self.versions.add(properties["version"])

    def pytest_sessionfinish(self) -> None:
        importlib.import_module("test_termination")  # pytest-xdist collects in its workers only
        if endings_by_kind().keys() - self.outcomes.keys():
            return  # only some of the tests were run
        PAGE.write_text(_TABLE.sub("\n".join(self._lines()) + "\n", PAGE.read_text()))

    def _lines(self) -> list[str]:
        lines = [
            self._extent(),
            "",
            ".. csv-table::",
            '   :header: "kind", "endings", "cases"',
            "   :widths: 20 70 10",
            "",
        ]
        for kind, names in endings_by_kind().items():
            lines.append(f'   "{kind}", "{"; ".join(names)}", "{self._count(kind)}"')
        return lines

    def _extent(self) -> str:
        """Return the sentence about what was run for the table."""
        names = ", ".join(f"{version} ({_APIS[api_of(version)]})" for version in sorted(self.versions))
        extent = (
            "Each ending was run in every way to start a run, on each of these versions"
            if is_product()
            else "Each ending was run once, on one of these versions"
        )
        return f"{extent} of ansible-core: {names}."

    def _count(self, kind: str) -> str:
        """Return how many cases passed, and of how many if there are others."""
        outcomes = list(self.outcomes.get(kind, {}).values())
        passed = outcomes.count("passed")
        return str(passed) if passed == len(outcomes) else f"{passed} of {len(outcomes)}"


def endings_by_kind() -> dict[str, list[str]]:
    """Return the names of the endings that are tested."""
    kinds: dict[str, dict[str, None]] = {}
    for ending in ENDINGS:
        kinds.setdefault(ending.kind, {})[ending.name] = None
    return {kind: list(names) for kind, names in kinds.items()}


def engine_of(ansible_playbook: Path) -> str:
    return ansible_playbook.parents[1].name.lstrip(".")


def api_of(engine: str) -> str:
    return "graphql" if engine in ("2.17", "2.19") else "rest"


def endings_of_the_page() -> dict[str, list[str]]:
    """Return the endings that the documentation lists, by kind."""
    table = _TABLE.search(PAGE.read_text())
    assert table
    return {kind: names.split("; ") for kind, names in _ROW.findall(table.group())}
