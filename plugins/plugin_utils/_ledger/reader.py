# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""All ledgers of a directory."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import parse_ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.files import open_ledgers, try_lock


def list_open_connections(directory: str, run_id: str | None) -> list[dict[str, t.Any]]:
    """What is open according to the ledgers, as the module C(remoteit_connection_info) documents it."""
    found = []
    for path, file in open_ledgers(directory):
        with file:
            snapshot = parse_ledger(path, file, is_locked=not try_lock(file))
            found += [entry.as_info(snapshot) for entry in snapshot.open if snapshot.matches(run_id)]
    return found


def known_connections(directory: str, exclude: str) -> tuple[set[str], set[str]]:
    """The ids of all connections of which ledgers tell, in small letters, and the services, in capitals, that other
    ledgers say are being opened.

    :param exclude: the ledger that is not another one.
    """
    ids: set[str] = set()
    services: set[str] = set()
    for path, file in open_ledgers(directory):
        with file:
            for entry in parse_ledger(path, file, is_locked=True).entries:
                if entry.connectionid is not None:
                    ids.add(entry.connectionid.lower())
                elif entry.closed is None and path != exclude and not entry.has_expired:
                    services.add(entry.service.upper())
    return ids, services


def ids_in_use(directory: str, exclude: t.Collection[str]) -> set[str]:
    """The ids of connections that runs that live have open and still need.

    :param exclude: the paths of ledgers of runs that do not.
    """
    found: set[str] = set()
    for path, file in open_ledgers(directory, unreadable=[]):  # what cannot be read keeps nothing open
        with file:
            if path not in exclude:
                snapshot = parse_ledger(path, file, is_locked=not try_lock(file))
                found.update(snapshot.ids_in_use)
    return found


def is_used_by_another(own_path: str, connectionid: str) -> bool:
    """Whether another run that lives has this connection too: the vendor may give one to two runs.

    Whoever asks has said before that it is C(closing) it; of two who do so at once, both close it.

    :param own_path: the path of the ledger of the run that asks.
    """
    with contextlib.suppress(RemoteItError):  # what cannot be read keeps nothing open
        for path, file in open_ledgers(os.path.dirname(own_path), unreadable=[]):
            with file, contextlib.suppress(OSError):
                if (
                    path == own_path or connectionid.encode() not in file.read()
                ):  # so that thousands are looked for quickly
                    continue
                file.seek(0)
                snapshot = parse_ledger(path, file, is_locked=not try_lock(file))
                if connectionid in snapshot.ids_in_use:
                    return True
    return False
