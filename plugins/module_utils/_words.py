# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Words from elsewhere, made fit to be shown: in one line, not too long, and without anything that is secret."""

from __future__ import annotations

import json
import re
import typing as t

_MASK = "********"
_DEEPEST = 100


def printable(words: t.Any, secrets: t.Iterable[str | None] = ()) -> str:
    """The words in one line, without anything that must not be shown."""
    text = " ".join(words.split()) if isinstance(words, str) else ""
    forms = {
        " ".join(form.split())
        for secret in filter(None, secrets)
        for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    }
    for form in sorted(filter(None, forms), key=len, reverse=True):
        text = text.replace(form, _MASK)
    return "".join(character if character.isprintable() else "?" for character in text[:300])


def masked(value: t.Any, secrets: re.Pattern[str], depth: int = 0) -> t.Any:
    """The same value of JSON without these secrets, and without what is nested more than anybody could mean."""
    if isinstance(value, str):
        return secrets.sub(_MASK, value)
    if isinstance(value, dict):
        inner = value.items() if depth < _DEEPEST else ()
        return {secrets.sub(_MASK, key): masked(item, secrets, depth + 1) for key, item in inner}
    if isinstance(value, list):
        return [masked(item, secrets, depth + 1) for item in (value if depth < _DEEPEST else ())]
    return value
