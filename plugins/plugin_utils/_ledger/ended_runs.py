# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Lock the ledgers of ended runs for a teardown."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import (
    LedgerSnapshot,
    parse_ledger,
    reload_ledger,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.files import (
    has_only_readers,
    open_ledgers,
    try_lock,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger

#: Attempts of a teardown to lock the ledgers that other processes have locked, and seconds between the attempts.
MAX_LOCK_ATTEMPTS, LOCK_PAUSE_SECONDS = 300, 0.2


@contextlib.contextmanager
def lock_ended_ledgers(
    directory: str, run_id: str | None, unreadable: list[RemoteItError]
) -> t.Iterator[list[tuple[LedgerSnapshot, Ledger | None]]]:
    """Yield the ledgers of ended runs, locked, so that two teardowns do not close the same connections.

    A keeper or another teardown may still hold the lock of such a ledger. Wait for the lock, up to a minute for all
    ledgers together. After that, the ledger itself is ``None``.

    :param run_id: the ID of a run or of a CI job; ``None`` for all runs.
    :param unreadable: collects an error for each ledger that cannot be read.
    :raises RemoteItError: the directory cannot be read.
    """
    attempts_left = MAX_LOCK_ATTEMPTS
    with contextlib.ExitStack() as stack:
        found: list[tuple[LedgerSnapshot, Ledger | None]] = []
        for path, file in open_ledgers(directory, "r+b", unreadable):
            stack.enter_context(file)
            snapshot = parse_ledger(path, file, is_locked=False)
            if snapshot.alive or not snapshot.matches(run_id):
                file.close()
                continue
            locked = try_lock(file)
            while (
                not locked
                and attempts_left
                and (reload_ledger(snapshot, file).is_known_ended or has_only_readers(file))
            ):
                attempts_left -= 1
                time.sleep(LOCK_PAUSE_SECONDS)
                locked = try_lock(file)
            if not os.path.exists(path):
                continue  # the other process has closed the connections and removed the ledger
            snapshot = reload_ledger(snapshot, file)
            if locked:
                ledger = Ledger.reopen(file, path)
                ledger.run_ended(by="teardown")
                found.append((snapshot, ledger))
            elif snapshot.is_known_ended:
                found.append((snapshot, None))
        yield found
