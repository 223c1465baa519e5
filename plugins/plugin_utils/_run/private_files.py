# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Folders and files of this user alone, where no other user can put something or take it away."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import typing as t


def make_private_dir(path: str) -> None:
    """Make the folder, or make sure that an existing one is ours alone.

    :raises OSError: it cannot be made, or another user could have put something there.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    if not is_private_dir(path):
        raise PermissionError(f"{path} exists and is not a folder of this user alone (if it is yours: chmod 700)")


def is_private_dir(path: str) -> bool:
    """Whether it is a folder into which nobody but this user can put something."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


def is_safe_parent_dir(base: str) -> bool:
    """Whether we may make a folder there, and no other user but root may move it away: it is ours, or sticky."""
    try:
        found = os.stat(base)
    except OSError:
        return False
    safe = found.st_uid in (0, os.getuid()) and (found.st_mode & stat.S_ISVTX or not found.st_mode & 0o022)
    return bool(safe) and os.access(base, os.W_OK | os.X_OK)


def create_locked(path: str, first_line: bytes) -> t.BinaryIO:
    """A new file that has its lock and its first line before it has its name: nobody takes it for one left behind.

    :raises OSError: it cannot be written.
    """
    temporary = f"{path}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    file = open(descriptor, "wb", buffering=0)  # noqa: SIM115 - it stays open, and locked, with the keeper
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        if file.write(first_line) != len(first_line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.rename(temporary, path)
    except OSError:
        file.close()
        os.unlink(temporary)
        raise
    return file
