# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Values of JSON that came from outside, of which nothing is certain."""

from __future__ import annotations

import typing as t


def truthy(value: t.Any) -> bool:
    """Read a flag that arrives as a boolean or as the string of one."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def as_dict(value: t.Any) -> dict[str, t.Any]:
    """The dictionary, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def described(value: t.Any) -> str:
    """A value of unknown origin in printable ASCII, and not much of it; of one that holds others, only what it is."""
    if not (value is None or isinstance(value, (str, int, float))):
        return f"a {type(value).__name__}"
    text = ascii(value[:80] if isinstance(value, str) else value)
    return text if len(text) <= 80 else text[:77] + "..."
