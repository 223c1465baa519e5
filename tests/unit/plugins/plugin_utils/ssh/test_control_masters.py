# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime directories of other runs: those of ended runs are removed."""

from __future__ import annotations

import pathlib
import socket
import subprocess
import threading

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import process_identity
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.control_masters import (
    lock_runtime_dir,
    remove_stale_runtime_dirs,
    stop_control_masters,
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


def test_stop_control_masters_waits_for_their_end(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "id-a"
    directory.mkdir()
    received = bytearray()
    existed: list[bool] = []
    with socket.socket(socket.AF_UNIX) as master:
        master.bind(str(directory / "master"))
        master.listen()

        def serve() -> None:
            connected, _unused = master.accept()
            with connected:
                while len(received) < 24:
                    received.extend(connected.recv(24))
                existed.append(directory.exists())

        thread = threading.Thread(target=serve)
        thread.start()
        stop_control_masters(str(directory))
        thread.join()
    # length, type, and version or number: hello (1) with version 4, terminate (0x10000005) with number 0
    assert received.hex(" ", 4) == "00000008 00000001 00000004 00000008 10000005 00000000"
    assert existed == [True]
    assert not directory.exists()


def test_stop_control_masters_without_a_master(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "id-a"
    directory.mkdir()
    (directory / "file").touch()
    with socket.socket(socket.AF_UNIX) as master:
        master.bind(str(directory / "gone"))
    stop_control_masters(str(directory))
    assert not directory.exists()
