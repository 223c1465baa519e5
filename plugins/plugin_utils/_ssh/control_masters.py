# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The ssh masters of a run, and the directory in which their control sockets are."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.private_files import create_locked
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import is_alive

#: A directory in which nobody has got so far as to start a keeper is abandoned after so many seconds.
_ABANDONED_SECONDS = 3600.0
_ALIVE = "alive"


def stop_control_masters(directory: str) -> None:
    """End the ssh masters whose control sockets are in the directory, and remove it."""
    try:
        sockets = os.listdir(directory)
    except OSError:
        return
    for name in sockets:
        command = ["ssh", "-o", f"ControlPath={os.path.join(directory, name)}", "-O", "exit", "remoteit"]
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue  # the stop that follows cuts its line
    shutil.rmtree(directory, ignore_errors=True)


def remove_runtime_dir(directory: str) -> None:
    """Remove the directory of a run, and end the masters that it still has."""
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            stop_control_masters(os.path.join(directory, name))
    shutil.rmtree(directory, ignore_errors=True)


def lock_runtime_dir(directory: str, controller: str | None) -> t.BinaryIO:
    """Take the lock by which others see that the keeper of this directory lives; it is held until the process ends."""
    return create_locked(os.path.join(directory, _ALIVE), (controller or "").encode())


def remove_stale_runtime_dirs(own: str) -> None:
    """Remove the folders of runs that died, and their keepers too, beside our own."""
    base, name = os.path.split(own)
    prefix = name.rsplit("-", 1)[0] + "-"
    try:
        others = os.listdir(base)
    except OSError:
        return  # there is time for it in another run
    for other in others:
        directory = os.path.join(base, other)
        if other.startswith(prefix) and other != name and _is_abandoned(directory):
            remove_runtime_dir(directory)


def _is_abandoned(directory: str) -> bool:
    try:
        found = os.lstat(directory)
        if found.st_uid != os.getuid() or os.path.islink(directory):
            return False
        with open(os.path.join(directory, _ALIVE), encoding="utf-8", errors="replace") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return not is_alive(lock.read())
    except FileNotFoundError:
        return os.path.exists(os.path.join(directory, "lock")) and found.st_mtime < time.time() - _ABANDONED_SECONDS
    except OSError:
        return False  # its keeper lives
