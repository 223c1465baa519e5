# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How bulk calls show their progress, on a real terminal and in a log, on each version of ansible-core."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
from typing import Any

import pytest
from conftest import Fleet
from support import TIMEOUT

MANY = 20
LINE = r"remote\.it: {}: (\d+) of 20 done, (\d+) failed, [\d.]+/s *"


def many(fleet: Fleet) -> list[str]:
    return [fleet.simulator.service(f"pi-{number:04}") for number in range(1, MANY + 1)]


def connect(fleet: Fleet, concurrency: int) -> list[dict[str, Any]]:
    options = {"deviceaddress": many(fleet), "concurrency": concurrency}
    return [
        {"remoteit.fleet.remoteit_connect": {**options, "fail_on": "all"}, "register": "opened", "no_log": True},
        {"remoteit.fleet.remoteit_disconnect": {"connections": "{{ opened }}"}},
    ]


def on_a_terminal(fleet: Fleet, plays: list[dict[str, Any]]) -> str:
    """Run the plays on a terminal, and return its whole output."""
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [fleet.ansible_playbook, "-i", fleet.write("inventory.yml", fleet.inventory), fleet.write("play.yml", plays)],
        cwd=fleet.project,
        env={**fleet.environ, "TERM": "xterm", "TEST_JOURNAL": str(fleet.directory / "journal")},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    seen = b""
    with contextlib.suppress(OSError):  # no process has the terminal any more
        while block := os.read(master, 65536):
            seen += block
    os.close(master)
    print(repr(seen))
    assert process.wait(TIMEOUT) == 0
    return seen.decode()


def is_shown(doing: str, seen: str) -> bool:
    """Whether a line was rewritten several times, and was left at the end."""
    line = LINE.format(doing)
    rewritten = re.findall(line + r"\r(?!\n)", seen)
    return len(rewritten) > 2 and rewritten[0] == ("0", "0") and re.findall(line + r"\r\n", seen) == [(str(MANY), "0")]


@pytest.mark.every_engine
def test_progress_of_modules_on_a_terminal(fleet: Fleet) -> None:
    fleet.simulator.settings(latency=0.25, stop_latency=0.25)
    seen = on_a_terminal(fleet, [{"hosts": "localhost", "gather_facts": False, "tasks": connect(fleet, 4)}])
    assert is_shown("opening", seen)
    assert is_shown("closing", seen)
    assert not set(seen) & set(map(chr, range(32))) - set("\r\n")


@pytest.mark.every_engine
def test_progress_in_a_log(fleet: Fleet) -> None:
    fleet.simulator.settings(latency=1.05)
    fleet.simulator.device("pi-0002", online=False)
    fleet.environ |= {"ANSIBLE_STDOUT_CALLBACK": "json_stdout", "ANSIBLE_LOG_PATH": str(fleet.directory / "log")}
    run = fleet.on_localhost(connect(fleet, 2))
    assert json.loads(run.stdout) == {
        "tasks": ["remoteit.fleet.remoteit_connect", "remoteit.fleet.remoteit_disconnect"]
    }
    lines = [line for line in run.stderr.splitlines() if line.startswith("remote.it: opening")]
    assert 1 <= len(lines) < MANY / 2
    assert re.fullmatch(LINE.format("opening"), lines[-1]).groups() == ("20", "1")
    assert run.stderr.replace("\n", "").isprintable()
    assert lines[-1] in (fleet.directory / "log").read_text()
    others = [line for line in run.stderr.splitlines() if "was offline" not in line]
    assert not any(service in line for line in others for service in many(fleet))
