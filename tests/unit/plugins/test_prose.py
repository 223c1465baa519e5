# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of wording that ``make lint`` runs."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest

_SPEC = importlib.util.spec_from_file_location("prose", pathlib.Path(__file__).resolve().parents[2] / "prose.py")
assert _SPEC and _SPEC.loader
prose = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(prose)

#: An example of each rule, in the order of the rules.
EXAMPLES = {
    "The table tells which": "tells",
    "It is open. What is open costs money": "What is",
    "Nobody reads it": "Nobody",
    "which leads to the device": "leads to",
    "It is closed anew": "anew",
    "A key that is none": "is none",
    "It is taken for an open one": "taken for an",
    "a file of its own": "of its own",
    "Close what dead runs left": "dead runs",
    "It shows what became of it": "became of",
    "This mends the file": "mends",
    "The folder is private": "folder",
    "The engine starts": "The engine",
}


@pytest.mark.parametrize(
    ("text", "phrase", "advice"), [(*example, advice) for example, advice in zip(EXAMPLES.items(), prose.RULES)]
)
def test_prose_finds_phrases_of_each_rule(text: str, phrase: str, advice: str) -> None:
    assert prose.find(text) == [(1, phrase, advice)]


def test_prose_has_an_example_of_each_rule() -> None:
    assert len(EXAMPLES) == len(prose.RULES)


def test_prose_finds_markup_of_ansible_in_tests() -> None:
    text = "Run C(make demo). RFC(1), _C(2)"
    assert [(hit.line, hit.phrase) for hit in prose.find(text, is_test=True)] == [(1, "C(")]
    assert prose.find(text) == []


def test_prose_finds_phrases_across_lines() -> None:
    assert [(hit.line, hit.phrase) for hit in prose.find("x = 1  # a file of its\n# own\n")] == [(1, "of its # own")]


@pytest.mark.parametrize(
    "text", ["if value is None: return", "A storyteller asks: see what is open.", "Take care for once."]
)
def test_prose_passes_plain_text(text: str) -> None:
    assert prose.find(text) == []


@pytest.mark.skipif(not (prose.ROOT / ".git").exists(), reason="the files are listed by git")
def test_prose_checks_pages_code_and_scripts() -> None:
    names = prose.files()
    assert {"README.md", "Makefile", "tests/setup.sh", "docs/docsite/rst/ci.rst", "playbooks/run.yml"} <= set(names)
    assert {"tests/support.py", "tests/simulator/README.md", "tests/unit/plugins/mock_api.py"} <= set(names)
    assert not [name for name in names if "prose.py" in name]
