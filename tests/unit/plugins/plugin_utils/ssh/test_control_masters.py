# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime directories of other runs: those of ended runs are removed."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import process_identity
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.control_masters import (
    lock_runtime_dir,
    remove_stale_runtime_dirs,
)


@pytest.mark.parametrize("killed", ["nothing", "keeper", "keeper and controller"])
def test_remove_stale_dirs_of_ended_runs(tmp_path: pathlib.Path, killed: str) -> None:
    own, other = tmp_path / "remoteit-own", tmp_path / "remoteit-other"
    own.mkdir()
    other.mkdir()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as controller:
        lock = lock_runtime_dir(str(other), process_identity(controller.pid))
        if "keeper" in killed:
            lock.close()
        if "controller" in killed:
            controller.communicate()
        remove_stale_runtime_dirs(str(own))
        assert other.exists() == (killed != "keeper and controller")
        assert own.exists()
        lock.close()


def test_remove_stale_dirs_ignores_a_missing_base(tmp_path: pathlib.Path) -> None:
    remove_stale_runtime_dirs(str(tmp_path / "missing" / "remoteit-1"))


def test_remove_stale_dirs_skips_an_invalid_one(tmp_path: pathlib.Path) -> None:
    invalid, ended = tmp_path / "remoteit-1", tmp_path / "remoteit-2"
    for directory, content in ((invalid, b"\xff"), (ended, b"")):
        directory.mkdir()
        (directory / "alive").write_bytes(content)
    remove_stale_runtime_dirs(str(tmp_path / "remoteit-3"))
    assert not ended.exists()
