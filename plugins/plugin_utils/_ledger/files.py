# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The files of ledgers, and their locks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.private_files import is_private_dir

SUFFIX = ".jsonl"


def open_ledgers(
    directory: str, mode: t.Literal["rb", "r+b"] = "rb", unreadable: list[RemoteItError] | None = None
) -> t.Iterator[tuple[str, t.BinaryIO]]:
    """Each ledger, open. A link, a directory or a pipe is none.

    :param unreadable: takes an error for each that cannot be read; without it, the first of them is raised.
    :raises RemoteItError: one cannot be read, so nobody knows what it says is open.
    """
    if not os.path.lexists(directory):
        return
    if not is_private_dir(directory):
        raise RemoteItError(f"the ledgers in {directory} were not read: it is not a folder of this user alone")
    flags = (os.O_RDONLY if mode == "rb" else os.O_RDWR) | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    for name in _names(directory):
        path = os.path.join(directory, name)
        if not name.endswith(SUFFIX) or not _is_file(path):
            continue
        try:
            file = open(os.open(path, flags), mode, buffering=0)  # noqa: SIM115 - who asked for it closes it
        except FileNotFoundError:
            continue  # its run has just finished
        except OSError as error:
            failure = RemoteItError(f"the ledger {path} cannot be read: {error.strerror}", path=path)
            if unreadable is None:
                raise failure from error
            unreadable.append(failure)
            continue
        yield path, t.cast(t.BinaryIO, file)


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []  # somebody has removed it
    except OSError as error:
        raise RemoteItError(f"the ledgers in {directory} cannot be read: {error.strerror}") from error


def _is_file(path: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return stat.S_ISREG(os.lstat(path).st_mode)
    return False


def has_ledger(directory: str, run_id: str) -> bool:
    """Whether there is a ledger of this run."""
    try:
        return any(name.startswith(run_id) and name.endswith(SUFFIX) for name in os.listdir(directory))
    except OSError:
        return False


def try_lock(file: t.IO[bytes]) -> bool:
    """Take the lock, which the keeper of a run that lives holds for good; to read, share it with others who read."""
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if file.writable() else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def has_only_readers(file: t.IO[bytes]) -> bool:
    """Whether nobody but readers have the lock, for as long as it takes to read."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return True
