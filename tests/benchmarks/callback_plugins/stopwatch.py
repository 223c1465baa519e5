# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes how long each task took on all hosts of its play, a line of JSON each, to C(BENCHMARK_TASKS)."""

from __future__ import annotations

import json
import os
import time
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: stopwatch
type: notification
short_description: Stopwatch for the benchmarks
description: Writes how long each task took, from its start to the start of what follows.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "stopwatch"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._play = ""
        self._task: str | None = None
        self._begin = 0.0

    def _turn(self, task: str | None) -> None:
        now = time.monotonic()
        if self._task is not None:
            entry = {"play": self._play, "task": self._task, "seconds": now - self._begin}
            with open(os.environ["BENCHMARK_TASKS"], "a", encoding="utf-8") as tasks:
                tasks.write(json.dumps(entry) + "\n")
        self._task, self._begin = task, now

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        self._turn(None)
        self._play = play.get_name()

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        self._turn(task.get_name())

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._turn(None)
