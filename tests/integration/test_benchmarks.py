# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks: figures, goals and tables."""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from benchmarks import ending, page, play, plugin, scale, uri
from benchmarks.__main__ import BENCHMARKS, COMMANDS
from benchmarks.report import Report, shown
from benchmarks.testbed import Setup, start_testbed
from benchmarks.usage import usage_of
from termination_table import is_product

BURN = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    while time.process_time() < 0.3: pass"


@pytest.mark.parametrize(
    ("values", "text"),
    [([], ""), ([0.5], "0.50"), ([12.34], "12.3"), ([3.0, 1.0, 200.0], "3.00 (1.00 to 200)"), ("words", "words")],
)
def test_a_cell_shows_the_median_and_the_spread(values: list[float] | str, text: str) -> None:
    assert shown(values) == text


def test_a_missed_goal_is_marked_and_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    report.goal("small", [1.0, 1.2, 9.0], 1.25)
    report.goal("large", [4.0, 4.9, 9.0], 5, at_least=True)
    assert [goal.met for goal in report.goals] == [True, False]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["met", "MISSED"]


def test_the_results_replace_those_of_the_page(tmp_path: Path) -> None:
    text = (page.RST / "performance.rst").read_text()
    (tmp_path / "performance.rst").write_text(text)
    (tmp_path / "images").mkdir()
    for value in (1.0, 2.0):
        report = Report()
        report.goal("ratio", [value], 1.25)
        report.table("Title", "Note.", ["", "seconds"], [["this & that", [value]]])
        report.chart("name", "a & b", {"the role": [value], "others": [8.0], "not measured": []})
        page.write(report, "make bench", tmp_path)
    written = (tmp_path / "performance.rst").read_text()
    before, after = text.split("\n.. results of make bench\n")[0], text.split("\n.. end of results of make bench\n")[1]
    assert written.startswith(before)
    assert written.endswith(after)
    assert "   * - ratio\n     - 2.00\n     - ≤ 1.25\n     - **no**\n" in written
    assert "   * -\n     - seconds\n   * - this & that\n     - 2.00\n" in written
    assert "1.00" not in written.removeprefix(before)
    picture = ET.parse(tmp_path / "images" / "performance-name.svg").getroot()
    assert [text.text for text in picture.findall("{*}text")] == ["a & b", "the role", "2.00", "others", "8.00"]
    assert int(picture.attrib["width"]) <= 400


def test_what_a_command_leaves_behind_counts(tmp_path: Path) -> None:
    """As a keeper does, which outlives its workers."""
    usage = usage_of([sys.executable, "-c", BURN], dict(os.environ), tmp_path)
    assert usage.processor >= 0.3


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="for this reason"):
        usage_of(["sh", "-c", "echo for this reason; exit 3"], dict(os.environ), tmp_path)


# -- with numbers so small that the values mean nothing ----------------------------------------------------------------


def test_scale_measures_direct_ssh_but_for_the_largest_fleet() -> None:
    report = Report()
    scale.main(report, {1: 1, 2: 1, 3: 1})
    assert [goal.what for goal in report.goals] == [
        "time per host, 3 ÷ 2 hosts",
        "memory above the same play by ssh, 2 hosts",
    ]
    times, memory = report.tables
    assert [row[0] for row in times.rows] == ["1", "2", "3"]
    assert [[bool(cell) for cell in row] for row in times.rows] == [
        [True] * 6,
        [True] * 6,
        [True, False, False, True, False, True],
    ]
    assert any(float(row[-1]) > 5 for row in memory.rows)  # the keeper's megabytes, unless it ended between samples


def test_uri_uses_its_best_number_of_forks() -> None:
    report = Report()
    uri.main(report, choice=(Setup(1, 1, 0.1), Setup(1, 2, 0.1)), others=(Setup(2, 0, 0.1),))
    *choice, largest = report.tables[0].rows
    seconds = {row[1]: float(row[3]) for row in choice}
    assert largest[0] == "2"
    assert seconds[largest[1]] == min(seconds.values())
    assert report.goals[0].values == [pytest.approx(float(largest[5]), abs=0.1)]


def test_plays_without_servers_measure_each_way_once() -> None:
    """Direct ssh does not depend on the latency, nor the pool on the forks."""
    setups = [Setup(2, 2, 0.0), Setup(2, 2, 0.1)]
    with start_testbed(2) as testbed:
        found = play.compare_without_servers(testbed, setups, {0.0: 12.5})
    first, last = (found[setup] for setup in setups)
    assert first.pool == 12.5
    assert 0.1 <= last.pool < 12.5
    assert last.ssh is first.ssh
    assert last.plugin is not first.plugin
    assert not first.role
    assert last.role


def test_end_of_a_run_is_compared_with_a_run_without_connections() -> None:
    report = Report()
    ending.main(report, hosts=2, repeats=1)
    (table,) = report.tables
    assert table.heads == ["the run", "a run without connections", "bare thread pool", "ratio"]
    assert [[bool(cell) for cell in row] for row in table.rows] == [[True] * 4]


@pytest.mark.skipif(not is_product(), reason="takes minutes: TEST_PRODUCT=1")
def test_all_benchmarks_of_make_bench_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "TASKS", 1)
    report = Report()
    for name in COMMANDS["make bench"]:
        BENCHMARKS[name](report, hosts=2, repeats=1)
    assert [table.title for table in report.tables] == [
        "One task",
        "Whole runs",
        "Cost of whole runs",
        "Open and close a fleet",
        "The end of a run",
        "The keeper",
        "The audit trail",
        "The inventory",
    ]
    assert len(report.goals) == 13
