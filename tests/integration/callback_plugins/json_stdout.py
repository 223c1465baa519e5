# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes one document of JSON to standard output when the run is over, as callbacks for machines do."""

from __future__ import annotations

import json
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: json_stdout
type: stdout
short_description: One document for the tests
description: Writes the result of each task as JSON.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "json_stdout"

    def __init__(self) -> None:
        super().__init__()
        self._tasks: list[str] = []

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._tasks.append(result._task.get_name())

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._display.display(json.dumps({"tasks": self._tasks}))
