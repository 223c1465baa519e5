# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Times in UTC, to the second, as results and the ledger write them."""

from __future__ import annotations

import datetime
import re

_FORMAT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def iso(when: datetime.datetime) -> str:
    return f"{when.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def moment(text: str) -> datetime.datetime:
    """The opposite of C(iso).

    :raises ValueError: it is no such text.
    """
    if not _FORMAT.fullmatch(text):
        raise ValueError(text)
    return datetime.datetime.fromisoformat(text[:-1]).replace(tzinfo=datetime.timezone.utc)
