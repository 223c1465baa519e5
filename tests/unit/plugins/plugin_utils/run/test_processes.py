# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who lives, and what is left behind by those who do not."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import is_alive, process_identity
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.control_masters import (
    lock_runtime_dir,
    remove_stale_runtime_dirs,
)


@pytest.fixture
def process() -> t.Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    yield process
    process.communicate()


def test_a_process_lives_under_its_mark_alone(process: subprocess.Popen[bytes]) -> None:
    mark = process_identity(process.pid)
    assert mark is not None
    boot, namespace, pid, start = mark.split()
    assert is_alive(mark)
    assert not is_alive(f"{boot} {namespace} {pid} {int(start) - 1}")  # it had the number before
    assert not is_alive(f"another-boot {namespace} {pid} {start}")
    assert not is_alive(f"{boot} pid:[1] {pid} {start}")  # another container


def test_a_dead_process_does_not_live_though_nobody_has_waited_for_it(process: subprocess.Popen[bytes]) -> None:
    mark = process_identity(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(mark)
    assert process_identity(process.pid) is None


@pytest.mark.parametrize("mark", [None, "", "x", "a b c d", "\0"])
def test_what_is_no_mark_does_not_live(mark: str | None) -> None:
    assert not is_alive(mark)


@pytest.mark.parametrize("killed", ["nothing", "keeper", "keeper and controller"])
def test_the_folder_of_a_run_is_swept_when_both_are_dead(
    tmp_path: pathlib.Path, process: subprocess.Popen[bytes], killed: str
) -> None:
    own, other = tmp_path / "remoteit-own", tmp_path / "remoteit-other"
    own.mkdir()
    other.mkdir()
    lock = lock_runtime_dir(str(other), process_identity(process.pid))
    if "keeper" in killed:
        lock.close()
    if "controller" in killed:
        process.communicate()
    remove_stale_runtime_dirs(str(own))
    assert other.exists() == (killed != "keeper and controller")
    assert own.exists()
    lock.close()


def test_a_base_that_cannot_be_listed_is_not_swept(tmp_path: pathlib.Path) -> None:
    """Nothing is wrong with the teardown that asks for it."""
    remove_stale_runtime_dirs(str(tmp_path / "nowhere" / "remoteit-1"))


def test_a_folder_that_is_odd_does_not_keep_the_others_from_being_swept(tmp_path: pathlib.Path) -> None:
    odd, abandoned = tmp_path / "remoteit-1", tmp_path / "remoteit-2"
    for folder, mark in ((odd, b"\xff"), (abandoned, b"")):
        folder.mkdir()
        (folder / "alive").write_bytes(mark)
    remove_stale_runtime_dirs(str(tmp_path / "remoteit-3"))
    assert not abandoned.exists()
