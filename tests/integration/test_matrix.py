# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of tested ends in the documentation is the one that is tested."""

from __future__ import annotations

import pytest
from matrix import row_of, rows_of_the_page


def test_every_end_that_is_tested_is_in_the_documentation(request: pytest.FixtureRequest) -> None:
    ends = [test for test in request.session.items if test.path.name == "test_ends.py"]
    tested = {row_of(test)[1] for test in ends if "engine" in getattr(test, "fixturenames", ())}
    assert tested - rows_of_the_page() == set()
