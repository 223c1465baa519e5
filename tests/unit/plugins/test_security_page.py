# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The security page names the tests that hold what it says."""

from __future__ import annotations

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/docsite/rst/security.rst").read_text(encoding="utf-8")
_unused, _unused, TABLE = PAGE.partition("Threats and tests")
ROWS = re.findall(r"^   \* - (.+?)(?=^   \* - |^\S)", TABLE, re.MULTILINE | re.DOTALL)[1:]
NAMED = re.findall(r"``([\w/]+\.py)::(\w+)``", TABLE)


def test_each_threat_has_a_test() -> None:
    assert len(ROWS) > 10
    assert [row.split("\n")[0] for row in ROWS if "::test_" not in row] == []


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_each_test_that_is_named_is_there(file: str, name: str) -> None:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
