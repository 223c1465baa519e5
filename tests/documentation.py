# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The code blocks of the README and the documentation pages."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "docsite" / "rst").rglob("*.rst"))]
_FENCE = re.compile(r"^( *)```(?P<language>\S*)\n(?P<options>)(?P<code>.*?)^\1```$", re.DOTALL | re.MULTILINE)
_DIRECTIVE = re.compile(
    r"^( *)\.\. (?:code-block|code|sourcecode)::(?: (?P<language>\S+))?\n(?P<options>(?:\1 +:.*\n)*)"
    r"(?P<code>(?:\1 +\S.*\n|\s*\n)+)",
    re.MULTILINE,
)


@dataclasses.dataclass(frozen=True)
class Block:
    """A code block."""

    page: str
    line: int
    language: str
    name: str | None
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def title(self) -> str | None:
        """Return the name of the file, which is a comment in the first line, or None."""
        found = re.match(r"# (\S+\.\w+|~?\S*/\S+)\n", self.code)
        return found[1] if found else None

    @property
    def data(self) -> Any:
        return yaml.safe_load(self.code)


def _blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    found = []
    for match in (_FENCE if page.suffix == ".md" else _DIRECTIVE).finditer(text):
        name = re.search(r":name: (\S+)", match["options"])
        found.append(
            Block(
                page=str(page.relative_to(ROOT)),
                line=text.count("\n", 0, match.start()) + 1,
                language=match["language"] or "",
                name=name[1] if name else None,
                code=textwrap.dedent(match["code"]).strip() + "\n",
            )
        )
    return found


BLOCKS = [block for page in PAGES for block in _blocks_of(page)]


def named(name: str) -> Block:
    """Return the only block with this ``:name:``."""
    (found,) = (block for block in BLOCKS if block.name == name)
    return found


def titled(title: str) -> list[Block]:
    """Return the blocks with this title."""
    return [block for block in BLOCKS if block.title == title]


def plays(name: str) -> list[dict[str, Any]]:
    """Return the playbook with a play of this name. All pages that contain it must have the same text."""
    found = [
        block.data
        for block in BLOCKS
        if block.language == "yaml" and isinstance(block.data, list) and block.data[0].get("name") == name
    ]
    assert found, name
    assert all(each == found[0] for each in found), name
    return found[0]
