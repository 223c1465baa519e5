# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Read and print values of unknown origin: JSON, text and times."""

from __future__ import annotations

import datetime
import json
import re
import typing as t

_FORMAT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def format_utc(when: datetime.datetime) -> str:
    return f"{when.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def parse_utc(text: str) -> datetime.datetime:
    """The opposite of C(iso).

    :raises ValueError: it is no such text.
    """
    if not _FORMAT.fullmatch(text):
        raise ValueError(text)
    return datetime.datetime.fromisoformat(text[:-1]).replace(tzinfo=datetime.timezone.utc)


def truthy(value: t.Any) -> bool:
    """Read a flag that arrives as a boolean or as the string of one."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def dict_or_empty(value: t.Any) -> dict[str, t.Any]:
    """The dictionary, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def describe(value: t.Any) -> str:
    """A value of unknown origin in printable ASCII, and not much of it; of one that holds others, only what it is."""
    if not (value is None or isinstance(value, (str, int, float))):
        return f"a {type(value).__name__}"
    text = ascii(value[:80] if isinstance(value, str) else value)
    return text if len(text) <= 80 else text[:77] + "..."


_MASK = "********"
_DEEPEST = 100


def sanitize(words: t.Any, secrets: t.Iterable[str | None] = ()) -> str:
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


def mask_secrets(value: t.Any, secrets: re.Pattern[str], depth: int = 0) -> t.Any:
    """The same value of JSON without these secrets, and without what is nested more than anybody could mean."""
    if isinstance(value, str):
        return secrets.sub(_MASK, value)
    if isinstance(value, dict):
        inner = value.items() if depth < _DEEPEST else ()
        return {secrets.sub(_MASK, key): mask_secrets(item, secrets, depth + 1) for key, item in inner}
    if isinstance(value, list):
        return [mask_secrets(item, secrets, depth + 1) for item in (value if depth < _DEEPEST else ())]
    return value
