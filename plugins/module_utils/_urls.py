# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Which URLs can be called."""

from __future__ import annotations

from urllib.parse import urlsplit


def is_callable(url: str) -> bool:
    """Whether the URL has a host and a port that C(requests) could call; it trips over many others."""
    try:
        parts = urlsplit(url)
        return bool((parts.hostname or "").encode("idna")) and parts.port != 0
    except ValueError:
        return False
