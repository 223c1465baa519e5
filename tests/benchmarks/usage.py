# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure a command and all processes that it starts, including daemons (only on Linux)."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


@dataclasses.dataclass(frozen=True)
class Usage:
    seconds: float
    """The time until the end of the command."""
    processor: float
    """The seconds of processor time of all processes, including those that outlive the command, such as a keeper."""
    memory: float
    """The peak memory of all processes together, in megabytes. Shared memory counts once. It is sampled."""
    keeper: float
    """The peak memory of the keeper, in megabytes; 0 without a keeper. Shared memory counts completely."""


def usage_of(command: t.Sequence[object], environment: dict[str, str], directory: Path) -> Usage:
    """Run a command, and return its cost. Raise ``RuntimeError`` if it fails."""
    return Usage(**json.loads(output_of([sys.executable, __file__, *command], environment, directory)))


def output_of(command: t.Sequence[object], environment: dict[str, str], directory: Path) -> str:
    """Run a command, and return its output. Raise ``RuntimeError`` if it fails."""
    with tempfile.TemporaryFile("w+") as stderr:
        words = list(map(str, command))
        process = subprocess.run(
            words, env=environment, cwd=directory, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False
        )
        if process.returncode:
            stderr.seek(0)
            raise RuntimeError(f"{words} failed: {stderr.read()[-4000:]}")
    return process.stdout


class _Memory(threading.Thread):
    """Samples the memory of all descendants of this process, for at most 10 % of the time."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._peak = 0
        self._keeper = 0
        self._keeper_pid: int | None = None
        self._done = threading.Event()
        self.start()

    def run(self) -> None:
        next_sample = 0.0
        while not self._done.wait(0.05):
            if self._keeper_pid is not None:  # its peak is exact until its last moment
                self._keeper = max(self._keeper, _kilobytes(self._keeper_pid, "status", "VmHWM:"))
            begin = time.monotonic()
            if begin >= next_sample:
                self._sample()
                now = time.monotonic()
                next_sample = now + 9 * (now - begin)

    def _sample(self) -> None:
        pids = list(_descendants(os.getpid()))
        # in the proportional set size, shared pages count once
        self._peak = max(self._peak, sum(_kilobytes(pid, "smaps_rollup", "Pss:") for pid in pids))
        if self._keeper_pid is None:
            self._keeper_pid = next(filter(_is_keeper, pids), None)

    def peaks(self) -> dict[str, float]:
        """Return the megabytes of all processes, and of the keeper."""
        self._done.set()
        self.join()
        return {"memory": self._peak / 1024, "keeper": self._keeper / 1024}


def _descendants(pid: int) -> t.Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except OSError:
            continue  # the process has ended
        for child in map(int, found):
            yield child
            yield from _descendants(child)


def _end_control_masters() -> None:
    """End the control masters that a command with ``ansible.builtin.ssh`` has left."""
    for pid in list(_descendants(os.getpid())):
        with contextlib.suppress(OSError):  # the process has ended
            if Path(f"/proc/{pid}/comm").read_text().strip() == "ssh":
                os.kill(pid, signal.SIGTERM)


def _is_keeper(pid: int) -> bool:
    try:
        return b"/_keeper/process.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _kilobytes(pid: int, name: str, field: str) -> int:
    """Return a field of a file in ``/proc``; 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(field))


def main() -> int:
    """Run the command in the arguments, and wait for all its descendants as their subreaper."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    memory = _Memory()
    begin = time.monotonic()
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    code = process.wait()
    seconds = time.monotonic() - begin
    _end_control_masters()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"seconds": seconds, "processor": used.ru_utime + used.ru_stime, **memory.peaks()}))
    return code


if __name__ == "__main__":
    sys.exit(main())
