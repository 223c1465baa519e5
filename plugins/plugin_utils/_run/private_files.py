# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Create directories and files that only this user can change."""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import stat
import typing as t


def make_private_dir(path: str) -> None:
    """Create a directory, or check that an existing one is private to this user.

    :raises OSError: the directory cannot be created, or other users can write to it.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    problem = private_dir_problem(path)
    if problem is not None:
        raise PermissionError(f"{path!r} is not a private directory of this user, because {problem}")


def is_private_dir(path: str) -> bool:
    """Return whether the path is a directory that belongs to this user and that no other user can write to."""
    try:
        return private_dir_problem(path) is None
    except OSError:
        return False


def private_dir_problem(path: str) -> str | None:
    """Return why an existing path is not a private directory of this user, with the next step, or ``None`` if it is.

    :raises OSError: the path does not exist, or its parent directory cannot be searched.
    """
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        return "it is a symbolic link. Replace it with a directory"
    if not stat.S_ISDIR(found.st_mode):
        return "it is a file. Rename it, or use another path"
    if found.st_uid != os.getuid():
        return "it belongs to another user. Run Ansible as that user, or use another path"
    if found.st_mode & 0o022:
        return f"other users can write to it. Run: chmod 700 {shlex.quote(path)}"
    return None


def is_safe_parent_dir(base: str) -> bool:
    """Return whether this user can create a directory there that no other user except root can move away.

    That is the case if the parent belongs to this user or to root, and is not writable by others or has the sticky bit.
    """
    try:
        found = os.stat(base)
    except OSError:
        return False
    safe = found.st_uid in (0, os.getuid()) and (found.st_mode & stat.S_ISVTX or not found.st_mode & 0o022)
    return bool(safe) and os.access(base, os.W_OK | os.X_OK)


def require_regular_file(path: str) -> None:
    """Check that a path is a file, and not a link, a directory, a pipe or a device.

    :raises OSError: it is one of these, or it does not exist.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(errno.EINVAL, "It is not a regular file")


def create_locked(path: str, first_line: bytes) -> t.BinaryIO:
    """Create a file, lock it, write its first line, and only then give it its name.

    So no other process sees the file without its lock, as if its writer had been killed.

    :raises OSError: the file cannot be written.
    """
    temporary_path = f"{path}.{os.getpid()}"
    descriptor = os.open(temporary_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    file = open(descriptor, "wb", buffering=0)  # noqa: SIM115 - the file stays open, and locked, until the keeper exits
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        if file.write(first_line) != len(first_line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())
        os.rename(temporary_path, path)
    except OSError:
        file.close()
        os.unlink(temporary_path)
        raise
    return file
