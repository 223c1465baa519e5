# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identify processes, and find out whether they are running."""

from __future__ import annotations

import os
import signal
import subprocess
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import (
    has_exited,
    is_alive,
    process_identity,
)


@pytest.fixture
def process() -> t.Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    yield process
    process.communicate()


def test_is_alive_compares_the_whole_identity(process: subprocess.Popen[bytes]) -> None:
    identity = process_identity(process.pid)
    assert identity is not None
    boot, namespace, pid, start = identity.split()
    assert is_alive(identity)
    assert not is_alive(f"{boot} {namespace} {pid} {int(start) - 1}")  # an earlier process with the same PID
    assert not is_alive(f"another-boot {namespace} {pid} {start}")
    assert not is_alive(f"{boot} pid:[1] {pid} {start}")  # another container


def test_is_alive_is_false_for_a_zombie(process: subprocess.Popen[bytes]) -> None:
    identity = process_identity(process.pid)
    assert not has_exited(identity)
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(identity)
    assert has_exited(identity)
    assert process_identity(process.pid) is None


@pytest.mark.parametrize("identity", [None, "", "x", "a b c d", "\0"])
def test_invalid_identity_is_neither_alive_nor_exited(identity: str | None) -> None:
    assert not is_alive(identity)
    assert not has_exited(identity)
