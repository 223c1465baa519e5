# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the result of each task, as a line of JSON, to the file that ``TEST_JOURNAL`` names.

The tests read this instead of the screen, whose wording differs from one ansible-core to the next.
"""

from __future__ import annotations

import json
import os
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: json_lines
type: notification
short_description: Journal for the tests
description: Writes the result of each task.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "json_lines"
    CALLBACK_NEEDS_ENABLED = True

    def _note(self, status: str, result: t.Any) -> None:
        entry = {
            "host": result._host.get_name(),
            "task": result._task.get_name().rsplit(" : ", 1)[-1],
            "status": status,
            "result": result._result,
        }
        with open(os.environ["TEST_JOURNAL"], "a", encoding="utf-8") as journal:
            journal.write(json.dumps(entry, default=str) + "\n")

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._note("changed" if result._result.get("changed") else "ok", result)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._note("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._note("unreachable", result)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._note("skipped", result)
