# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command costs, with every process that it starts and leaves behind (Linux)."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import resource
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
    """Until the command ended."""
    processor: float
    """Seconds, of all its processes; of one that outlives it, such as a keeper, to that one's end."""
    memory: float
    """The peak of what they use together, in megabytes. What processes share counts once."""


def usage_of(command: t.Sequence[object], environment: dict[str, str], folder: Path) -> Usage:
    """Run a command, which has to succeed."""
    return Usage(**json.loads(output_of([sys.executable, __file__, *command], environment, folder)))


def output_of(command: t.Sequence[object], environment: dict[str, str], folder: Path) -> str:
    """What a command prints, which has to succeed."""
    with tempfile.TemporaryFile("w+") as complaints:
        words = list(map(str, command))
        process = subprocess.run(
            words, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=complaints, text=True, check=False
        )
        if process.returncode:
            complaints.seek(0)
            raise RuntimeError(f"{words} failed: {complaints.read()[-4000:]}")
    return process.stdout


class _Memory(threading.Thread):
    """Looks at all descendants of this process again and again, and takes a twentieth of the time for it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._peak = 0
        self._done = threading.Event()
        self.start()

    def run(self) -> None:
        took = 0.0
        while not self._done.wait(max(0.1, 19 * took)):
            begin = time.monotonic()
            self._peak = max(self._peak, sum(map(_kilobytes, _descendants(os.getpid()))))
            took = time.monotonic() - begin

    def peak(self) -> float:
        self._done.set()
        self.join()
        return self._peak / 1024


def _descendants(pid: int) -> t.Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except OSError:
            continue  # it has just ended
        for child in map(int, found):
            yield child
            yield from _descendants(child)


def _kilobytes(pid: int) -> int:
    """The proportional set size: a page of several processes counts in parts."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def main() -> int:
    """Run the command of the command line, and adopt and outlive whatever it leaves behind."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    memory = _Memory()
    begin = time.monotonic()
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    code = process.wait()
    seconds = time.monotonic() - begin
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"seconds": seconds, "processor": used.ru_utime + used.ru_stime, "memory": memory.peak()}))
    return code


if __name__ == "__main__":
    sys.exit(main())
