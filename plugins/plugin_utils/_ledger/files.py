# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The files of ledgers, and their locks.

The keeper of a run holds the exclusive lock of its ledger until it exits. A teardown holds it while it works on the
ledger of an ended run. Other processes take the shared lock briefly, to find out whether the keeper is running.
"""

from __future__ import annotations

import fcntl
import os
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.private_files import (
    private_dir_problem,
    require_regular_file,
)

SUFFIX = ".jsonl"


def open_ledgers(
    directory: str,
    mode: t.Literal["rb", "r+b"] = "rb",
    unreadable: list[RemoteItError] | None = None,
    exclude: str | None = None,
) -> t.Iterator[tuple[str, t.BinaryIO]]:
    """Yield the path and the open file of each ledger in a directory. The caller closes the files.

    Only a regular file can be read: opening a symbolic link or a pipe could block, or damage another file.

    :param unreadable: collects an error for each ledger that cannot be read. Without it, the first error is raised.
    :param exclude: the path of a ledger that is not opened.
    :raises RemoteItError: the directory is not private to this user, or it or a ledger cannot be read.
    """
    try:
        problem = private_dir_problem(directory)
        names = sorted(os.listdir(directory)) if problem is None else []
    except FileNotFoundError:
        return
    except OSError as error:
        raise RemoteItError(
            f"the ledgers in {directory!r} cannot be read: {error.strerror}. Check REMOTEIT_STATE_DIR, and the"
            " permissions of the directory"
        ) from error
    if problem is not None:
        raise RemoteItError(
            f"the ledgers in {directory!r} were not read: it is not a private directory of this user, because {problem}"
        )
    flags = (os.O_RDONLY if mode == "rb" else os.O_RDWR) | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    for name in names:
        path = os.path.join(directory, name)
        if not name.endswith(SUFFIX) or path == exclude:
            continue
        try:
            require_regular_file(path)
            file = open(os.open(path, flags), mode, buffering=0)  # noqa: SIM115 - the caller closes it
        except FileNotFoundError:
            continue  # the run has just removed it
        except OSError as error:
            failure = RemoteItError(
                f"the ledger {path!r} cannot be read: {error.strerror}. {_next_step(error)}",
                path=path,
            )
            if unreadable is None:
                raise failure from error
            unreadable.append(failure)
            continue
        yield path, t.cast(t.BinaryIO, file)


def _next_step(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "Run the teardown as the user of that run"
    return "Check the file system, which must be writable"


def has_ledger(directory: str, run_id: str = "") -> bool:
    """Return whether the directory contains a ledger, of this run if there is an ID."""
    try:
        return any(name.startswith(run_id) and name.endswith(SUFFIX) for name in os.listdir(directory))
    except OSError:
        return False


def try_lock(file: t.IO[bytes]) -> bool:
    """Take the lock and return whether that succeeded: exclusive if the file is writable, else shared."""
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if file.writable() else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def has_only_readers(file: t.IO[bytes]) -> bool:
    """Return whether no process holds the exclusive lock. Readers hold the shared lock for a moment only."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return True
