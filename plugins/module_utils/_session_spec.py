# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The options of C(remoteit_session)."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils._argspec import AUTH_SPEC

ARGUMENT_SPEC: dict[str, t.Any] = {
    **AUTH_SPEC,
    "phase": {"type": "str", "choices": ["find", "open", "ready", "close"], "required": True},
    "alone": {"type": "bool", "default": False},
    "tasks": {"type": "str"},
    "main": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 60},
    "gather_facts": {"type": "bool", "default": False},
}
