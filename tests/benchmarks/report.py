# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How results are printed."""

from __future__ import annotations

import statistics
import typing as t


def show(what: str, values: t.Sequence[float], unit: str) -> None:
    median = statistics.median(values)
    print(f"  {what:<58} {median:8.2f} {unit:<3} ({min(values):.2f} to {max(values):.2f})")
