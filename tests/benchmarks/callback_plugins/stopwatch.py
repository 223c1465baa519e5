# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the cost of each task on all hosts as JSON lines to ``BENCHMARK_TASKS`` (only on Linux)."""

from __future__ import annotations

import json
import os
import resource
import time
import typing as t
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: stopwatch
type: notification
short_description: Stopwatch for the benchmarks
description: Writes the time and the processor time of each task, until the next task or the end of the play.
"""


def processor_seconds() -> float:
    """Return the processor time of the controller, its children and its daemons.

    The children include ended workers before they are waited for. The daemons are the keeper and the control masters,
    which have the same ``HOME``.
    """
    found = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    this = os.getpid()
    home = f"HOME={os.environ['BENCHMARK_HOME']}".encode()
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
            if int(directory.name) == this:
                continue
            if int(fields[1]) == this:
                found += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
            elif home in (directory / "environ").read_bytes().split(b"\0"):
                found += sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue  # the process has ended, or belongs to another user
    return found


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
        self._worked = 0.0

    def _end_task(self, task: str | None) -> None:
        now, worked = time.monotonic(), processor_seconds()
        if self._task is not None:
            entry = {
                "play": self._play,
                "task": self._task,
                "seconds": now - self._begin,
                "processor": worked - self._worked,
                "ended": time.time(),
            }
            with open(os.environ["BENCHMARK_TASKS"], "a", encoding="utf-8") as tasks:
                tasks.write(json.dumps(entry) + "\n")
        self._task, self._begin, self._worked = task, time.monotonic(), worked

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        self._end_task(None)
        self._play = play.get_name()

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        self._end_task(task.get_name())

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._end_task(None)
