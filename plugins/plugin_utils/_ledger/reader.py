# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Query all ledgers of a directory."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectionRef
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import Entry, LedgerSnapshot, parse_ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.files import open_ledgers, try_lock
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reconcile import PendingConnect


def list_open_connections(directory: str, run_id: str | None) -> list[dict[str, t.Any]]:
    """Return the open connections of all ledgers, as the module ``remoteit_connection_info`` documents them.

    :param run_id: the ID of a run or of a CI job; ``None`` for all runs.
    :raises RemoteItError: a ledger cannot be read.
    """
    return [
        entry.as_info(snapshot)
        for snapshot in _snapshots(directory)
        if snapshot.matches(run_id)
        for entry in snapshot.open
    ]


def runs_left_open(directory: str) -> list[str]:
    """Return the IDs of ended runs that left connections open, without detached and expired ones.

    Ignore ledgers that cannot be read, for example those of other users.
    """
    return sorted(
        {
            snapshot.run_id
            for snapshot in _snapshots(directory, unreadable=[])
            if not snapshot.alive and not all(entry.detached or entry.has_expired for entry in snapshot.open)
        }
    )


def _snapshots(directory: str, unreadable: list[RemoteItError] | None = None) -> t.Iterator[LedgerSnapshot]:
    """Yield the content of each ledger. For the parameters and errors, see ``open_ledgers``."""
    for path, file in open_ledgers(directory, unreadable=unreadable):
        with file:
            yield parse_ledger(path, file, is_locked=not try_lock(file))


def list_orphans(directory: str, run_id: str, *, only_killed: bool) -> list[Entry]:
    """Return the open connections and unconfirmed calls of a run's keepers, without detached connections.

    Ignore ledgers of other runs that cannot be read.

    :param only_killed: omit those of keepers that have ended in order.
    :raises RemoteItError: a ledger of the run cannot be read.
    """
    found: list[Entry] = []
    unreadable: list[RemoteItError] = []
    for path, file in open_ledgers(directory, unreadable=unreadable):
        with file:
            snapshot = parse_ledger(path, file, is_locked=False)
            if snapshot.run_id == run_id and (snapshot.was_killed or not only_killed):
                found += [entry for entry in snapshot.open if not entry.detached]
    for error in unreadable:
        if os.path.basename(error.details["path"]).startswith(run_id):
            raise error
    return found


def known_connections(directory: str) -> tuple[set[str], set[PendingConnect]]:
    """Return the IDs of all connections in the ledgers, in lower case, and the connect calls that are not confirmed.

    :raises RemoteItError: a ledger cannot be read.
    """
    ids: set[str] = set()
    pending: set[PendingConnect] = set()
    for path, file in open_ledgers(directory):
        with file:
            for entry in parse_ledger(path, file, is_locked=True).entries:
                if entry.connectionid is not None:
                    ids.add(entry.connectionid.lower())
                elif not (entry.closed or entry.settling or entry.has_expired):
                    pending.add(PendingConnect.of(path, entry))
    return ids, pending


def ids_in_use(directory: str, exclude: t.Collection[str]) -> set[str]:
    """Return the IDs of the connections that running runs still need.

    Ignore ledgers that cannot be read: they must not keep a connection open.

    :param exclude: the paths of ledgers to ignore.
    """
    found: set[str] = set()
    for path, file in open_ledgers(directory, unreadable=[]):
        with file:
            if path not in exclude:
                snapshot = parse_ledger(path, file, is_locked=not try_lock(file))
                found.update(snapshot.ids_in_use)
    return found


def is_used_by_another(own_path: str, connectionid: str) -> bool:
    """Return whether another running run needs this connection too: the API may return one connection to two runs.

    Ignore ledgers that cannot be read: they must not keep a connection open. The caller records ``closing`` before this
    check. If two runs do that at the same time, both close the connection.

    :param own_path: the path of the ledger of this run.
    """
    ledgers = _snapshots_with(os.path.dirname(own_path), connectionid, exclude=own_path)
    return any(connectionid in snapshot.ids_in_use for snapshot in ledgers)


def entries_of(directory: str, ref: ConnectionRef) -> list[tuple[LedgerSnapshot, Entry]]:
    """Return the entries of a connection, each with its ledger. Ignore ledgers that cannot be read."""
    service, connectionid = ref
    return [
        (snapshot, entry)
        for snapshot in _snapshots_with(directory, connectionid)
        for entry in snapshot.entries
        if entry.connectionid == connectionid and entry.service.upper() == service.upper()
    ]


def _snapshots_with(directory: str, connectionid: str, exclude: str | None = None) -> t.Iterator[LedgerSnapshot]:
    """Yield the content of each ledger that contains a connection ID. Ignore ledgers that cannot be read.

    :param exclude: the path of a ledger to ignore.
    """
    connectionid_bytes = connectionid.encode()
    with contextlib.suppress(RemoteItError):
        for path, file in open_ledgers(directory, unreadable=[], exclude=exclude):
            with file, contextlib.suppress(OSError):
                # Search before parsing: the directory may contain thousands of ledgers.
                if connectionid_bytes in file.read():
                    file.seek(0)
                    yield parse_ledger(path, file, is_locked=not try_lock(file))
