# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what each task took on all hosts of its play, a line of JSON each, to C(BENCHMARK_TASKS) (Linux)."""

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
description: Writes the time and the processor time of each task, from its start to the start of what follows.
"""


def processor_seconds() -> float:
    """Return the processor time of the controller so far: its own, that of its children, and of its daemons.

    The children include workers that ended and were not waited for. The daemons are the keeper and the masters of ssh,
    which have the same C(HOME).
    """
    found = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    this = os.getpid()
    home = f"HOME={os.environ['BENCHMARK_HOME']}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(folder.name) == this:
                continue
            if int(fields[1]) == this:
                found += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
            elif home in (folder / "environ").read_bytes().split(b"\0"):
                found += sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue  # it has ended, or is another user's
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

    def _turn(self, task: str | None) -> None:
        now, worked = time.monotonic(), processor_seconds()
        if self._task is not None:
            entry = {
                "play": self._play,
                "task": self._task,
                "seconds": now - self._begin,
                "processor": worked - self._worked,
            }
            with open(os.environ["BENCHMARK_TASKS"], "a", encoding="utf-8") as tasks:
                tasks.write(json.dumps(entry) + "\n")
        self._task, self._begin, self._worked = task, time.monotonic(), worked

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        self._turn(None)
        self._play = play.get_name()

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        self._turn(task.get_name())

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._turn(None)
