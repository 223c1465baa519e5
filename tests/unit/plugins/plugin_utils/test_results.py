# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the results of tasks that fail."""

from __future__ import annotations

from ansible_collections.remoteit.fleet.plugins.plugin_utils._results import list_failures


def test_list_failures_shows_reasons_and_explanations_once() -> None:
    failures = [
        ("a", "service a was not found (check the ID)"),
        ("b", "service b was not found (check the ID)"),
        ("c", "no response; a connection may be open"),
        ("d", "HTTP 500; a connection may be open"),
        ("e", "HTTP 500; a connection may be open"),
    ]
    assert list_failures(failures) == (
        "a: service a was not found (check the ID); b: service b was not found; c: no response; a connection may be"
        " open; d, e: HTTP 500; a connection may be open"
    )
