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

_UTC_FORMAT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_MASK = "********"
#: JSON that is nested deeper than this is cut off, because functions that walk it are recursive.
_MAX_MASK_DEPTH = 100
_MAX_DESCRIPTION_LENGTH = 80
_MAX_TEXT_LENGTH = 300


def utc_now() -> datetime.datetime:
    """Return the current time in UTC, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def format_utc(time: datetime.datetime) -> str:
    """Return a UTC time in ISO 8601, for example ``2026-01-15T23:20:00Z``."""
    return f"{time.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def parse_utc(text: str) -> datetime.datetime:
    """Parse the result of ``format_utc``.

    :raises ValueError: the text has another format, or is not a time.
    """
    if not _UTC_FORMAT.fullmatch(text):
        raise ValueError(text)
    return datetime.datetime.fromisoformat(text[:-1]).replace(tzinfo=datetime.timezone.utc)


def truthy(value: t.Any) -> bool:
    """Return whether a flag is set. The API sends flags as booleans or as strings."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def dict_or_empty(value: t.Any) -> dict[str, t.Any]:
    """Return the value if it is a dictionary, else an empty dictionary."""
    return value if isinstance(value, dict) else {}


def describe(value: t.Any) -> str:
    """Return a short description of a value in printable ASCII. Of a container, it contains only the type."""
    if not (value is None or isinstance(value, (str, int, float))):
        return f"a {type(value).__name__}"
    text = ascii(value[:_MAX_DESCRIPTION_LENGTH] if isinstance(value, str) else value)
    return text if len(text) <= _MAX_DESCRIPTION_LENGTH else text[: _MAX_DESCRIPTION_LENGTH - 3] + "..."


def list_first(names: t.Sequence[str], count: int) -> str:
    """Return the first names as one text, which shows whether there are others."""
    return ", ".join(names[:count]) + (" and others" if len(names) > count else "")


def sanitize(text: t.Any, secrets: t.Iterable[str | None] = ()) -> str:
    """Return the text as one printable line of limited length, with the secrets masked."""
    line = " ".join(text.split()) if isinstance(text, str) else ""
    spellings = {
        " ".join(spelling.split())
        for secret in filter(None, secrets)
        for spelling in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    }
    for spelling in sorted(filter(None, spellings), key=len, reverse=True):
        line = line.replace(spelling, _MASK)
    line = line[:_MAX_TEXT_LENGTH]
    if line.isprintable():  # almost always, and much faster than to check each character
        return line
    return "".join(character if character.isprintable() else "?" for character in line)


def mask_secrets(value: t.Any, secrets: re.Pattern[str], depth: int = 0) -> t.Any:
    """Return a copy of a JSON value with the secrets masked, without what is nested deeper than ``_MAX_MASK_DEPTH``."""
    if isinstance(value, str):
        return secrets.sub(_MASK, value)
    if isinstance(value, dict):
        items = value.items() if depth < _MAX_MASK_DEPTH else ()
        return {secrets.sub(_MASK, key): mask_secrets(item, secrets, depth + 1) for key, item in items}
    if isinstance(value, list):
        return [mask_secrets(item, secrets, depth + 1) for item in (value if depth < _MAX_MASK_DEPTH else ())]
    return value
