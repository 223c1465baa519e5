# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The control masters of ssh, and the runtime directory that contains their control sockets.

A control master is an ssh process whose connection other ssh processes share.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import struct
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.private_files import create_locked
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import is_alive

#: Messages of the protocol of control masters, each with its length before it: version 4, and the request to exit with
#: the number 0 (https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.mux).
_HELLO = struct.pack(">3I", 8, 0x00000001, 4)
_TERMINATE = struct.pack(">3I", 8, 0x10000005, 0)
_STOP_SECONDS = 5.0
#: Seconds until a runtime directory without a keeper counts as stale.
_STALE_SECONDS = 3600.0
#: The file that a keeper locks while it is running. It contains the identity of the controller process.
_KEEPER_LOCK = "alive"


def stop_control_masters(directory: str) -> None:
    """Stop the control masters whose sockets are in a directory, and remove the directory."""
    try:
        sockets = os.listdir(directory)
    except OSError:
        return
    for name in sockets:
        with contextlib.suppress(OSError):  # closing the remote.it connection ends it
            _stop_control_master(os.path.join(directory, name))
    shutil.rmtree(directory, ignore_errors=True)


def _stop_control_master(path: str) -> None:
    """Do what ``ssh -O exit`` does, without a process for each master, and wait until it has closed its socket.

    :raises OSError: it does not respond.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as master:
        master.settimeout(_STOP_SECONDS)
        master.connect(path)
        master.sendall(_HELLO + _TERMINATE)
        while master.recv(1024):
            pass


def remove_runtime_dir(directory: str) -> None:
    """Remove the runtime directory of a run, and stop its control masters."""
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            stop_control_masters(os.path.join(directory, name))
    shutil.rmtree(directory, ignore_errors=True)


def lock_runtime_dir(directory: str, controller: str | None) -> t.BinaryIO:
    """Lock a runtime directory until this process, the keeper, exits. The lock shows that it is running."""
    return create_locked(os.path.join(directory, _KEEPER_LOCK), (controller or "").encode())


def remove_stale_runtime_dirs(own: str) -> None:
    """Remove the runtime directories of runs whose controller and keeper have exited.

    :param own: the runtime directory of this run. The others are beside it.
    """
    base, name = os.path.split(own)
    prefix = name.rsplit("-", 1)[0] + "-"
    try:
        others = os.listdir(base)
    except OSError:
        return  # the next run tries again
    for other in others:
        directory = os.path.join(base, other)
        if other.startswith(prefix) and other != name and _is_stale(directory):
            remove_runtime_dir(directory)


def _is_stale(directory: str) -> bool:
    """Return whether the directory belongs to this user, and neither its keeper nor its controller is running."""
    try:
        found = os.lstat(directory)
        if found.st_uid != os.getuid() or os.path.islink(directory):
            return False
        with open(os.path.join(directory, _KEEPER_LOCK), encoding="utf-8", errors="replace") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return not is_alive(lock.read())
    except FileNotFoundError:
        return os.path.exists(os.path.join(directory, "lock")) and found.st_mtime < time.time() - _STALE_SECONDS
    except OSError:
        return False  # the keeper holds the lock
