# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find phrases that a reader has to decode, and suggest plain ones: ``tests/prose.py``, part of ``make lint``.

Some hits are false: the ceiling leaves room for them. Rewrite the others rather than raise it.
"""

from __future__ import annotations

import collections
import re
import subprocess
import sys
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: More hits than this fail the check.
CEILING = 29

#: Tracked files and directories, as patterns of git.
PLACES = (
    "plugins", "roles", "playbooks", "docs", "tests", "README.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile",
    ":(exclude,glob)**/*prose.py",  # the phrases of this check
)  # fmt: skip
SUFFIXES = ("", ".md", ".py", ".rst", ".sh", ".svg", ".yaml", ".yml")

#: Words that make a sentence's subject of "What ...". A question is one too, and rarely needed.
_AFTER_WHAT = (
    "a|an|are|became|becomes|came|can|cannot|closes|comes|could|did|does|each|else|had|happens|has|is|it|may|must|our"
    "|remains|runs|ssh|the|there|they|this|was|we|were|will|you|your"
)

#: What to write instead, and the phrases. A blank matches a line break inside a comment too.
RULES = {
    'write "show", "list", "return" or "report"': r"\b(?:tell|tells|telling|told)\b",
    'name the thing: "Open connections are ...", not "What is open ..."': (
        rf'(?:^|[.:;#"*-]\s*)\b(?-i:What) (?:{_AFTER_WHAT})\b'
    ),
    'name the thing or the process, or write "you"': (
        r"\b(?:who(?:so)?ever|nobody|somebody|(?:those|one|anyone|he) who"
        r"|who (?:asks|calls|closes|finds|has|lives|looks|needs|opens|waits|wants))\b"
    ),
    'write "point to", "connect to" or "set"': r"\b(?:leads?|led) (?:back|each|elsewhere|files|it|ssh|to)\b",
    'write "still", "again", "even if", "without success"; or remove it': (
        r"\b(?:all the same|anew|in vain|without further ado|also (?:if|on|under|when|where))\b"
    ),
    'write "is not", "is invalid", "without" or "null"': (r"(?:\b(?:are|for|is|or|was|were)|;) (?-i:none)\b"),
    'write "treat as" or "assume"': (
        r"\b(?:take|takes|taken|taking|took) (?:\w+ ){0,3}for (?:a|an|closed|ended|failed|gone|one|open|the)\b"
    ),
    'write "its own ..." or "separate"': r"\bof (?:its|one's|our|their) own\b",
    'a run is "running" or "ended", a process is "running" or "killed"': (
        r"\b(?:dead|living) runs?\b|\bruns? that (?:died|is dead|live|lives)\b|\blives\b|\bthe (?:dead|living)\b"
    ),
    'write what happens: "is closed", "the result of ..."': r"\b(?:became|become|becomes) of\b",
    'write "fix"': r"\b(?:mend|mends|mended)\b",
    'write "directory"': r"\bfolders?\b",
    'write "ansible-core"': r"\b(?:an|any|each|every|other|the) engine\b|\bengine's\b",
}
#: Only for tests: plugins contain documentation, in which this is the markup of Ansible.
TEST_RULES = {"write double backticks": r"(?<!\w)(?-i:C)\("}
_GAP = r"(?:[ \t]+|[ \t]*\n[ \t]*(?:#:?[ \t]*)?)"
PATTERNS = {
    advice: re.compile(phrases.replace(" ", _GAP), re.IGNORECASE | re.MULTILINE)
    for advice, phrases in (RULES | TEST_RULES).items()
}


class Hit(t.NamedTuple):
    """A phrase to rewrite."""

    line: int
    phrase: str
    advice: str


def find(text: str, is_test: bool = False) -> list[Hit]:
    """Return the phrases of a text that should be rewritten, in their order."""
    hits = []
    for advice in RULES | TEST_RULES if is_test else RULES:
        for match in PATTERNS[advice].finditer(text):
            phrase = " ".join(match.group().split()).lstrip('.:;#"*- ')
            start = match.start() + len(match.group()) - len(match.group().lstrip('.:;#"*- \t\r\n'))
            hits.append(Hit(text.count("\n", 0, start) + 1, phrase, advice))
    return sorted(hits)


def files() -> list[str]:
    """Return the names of the files to check, those that are not committed yet included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *PLACES]
    names = subprocess.check_output(command, cwd=ROOT, text=True).splitlines()
    return [name for name in names if Path(name).suffix in SUFFIXES and (ROOT / name).is_file()]


def main() -> int:
    counts: collections.Counter[str] = collections.Counter()
    for name in files():
        for hit in find((ROOT / name).read_text(encoding="utf-8"), name.startswith("tests/")):
            print(f'{name}:{hit.line}: "{hit.phrase}": {hit.advice}')
            counts[name.split("/")[0]] += 1
    shares = ", ".join(f"{place} {count}" for place, count in counts.most_common())
    print(f"prose: {counts.total()} hits{f' ({shares})' if shares else ''}; {CEILING} are allowed")
    return counts.total() > CEILING


if __name__ == "__main__":
    sys.exit(main())
