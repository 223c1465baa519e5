# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The ledgers of ended runs."""

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

#: How often a teardown tries again to get what somebody works on, the ledgers of dead runs, and its pauses in seconds.
MAX_LOCK_ATTEMPTS, LOCK_PAUSE_SECONDS = 300, 0.2


@contextlib.contextmanager
def lock_ended_ledgers(
    directory: str, run_id: str | None, unreadable: list[RemoteItError]
) -> t.Iterator[list[tuple[LedgerSnapshot, Ledger | None]]]:
    """The ledgers of runs that are dead, locked, so that two teardowns do not get in each other's way.

    One that somebody still works on, its keeper or another teardown, is waited for. If that takes too long, it comes
    with its snapshot alone.

    :param run_id: only those of this run, or of this CI job; none for all.
    :param unreadable: takes an error for each of which nobody knows what it says.
    """
    tries = MAX_LOCK_ATTEMPTS
    with contextlib.ExitStack() as stack:
        found: list[tuple[LedgerSnapshot, Ledger | None]] = []
        for path, file in open_ledgers(directory, "r+b", unreadable):
            stack.enter_context(file)
            snapshot = parse_ledger(path, file, is_locked=False)
            if snapshot.alive or not snapshot.matches(run_id):
                file.close()
                continue
            locked = try_lock(file)
            while not locked and (reload_ledger(snapshot, file).is_known_ended or has_only_readers(file)) and tries > 0:
                tries -= 1
                time.sleep(LOCK_PAUSE_SECONDS)
                locked = try_lock(file)
            if not os.path.exists(path):
                continue  # whoever had it has finished it
            snapshot = reload_ledger(snapshot, file)
            if locked:
                ledger = Ledger(file, path)
                ledger.run_ended()
                found.append((snapshot, ledger))
            elif snapshot.is_known_ended:
                found.append((snapshot, None))
        yield found
