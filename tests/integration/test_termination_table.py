# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of endings in the documentation lists what is tested."""

from __future__ import annotations

import test_termination
from termination_table import endings_by_kind, endings_of_the_page


def test_page_lists_every_ending_that_is_tested() -> None:
    assert test_termination
    assert endings_of_the_page() == endings_by_kind()
