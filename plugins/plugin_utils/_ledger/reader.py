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


def list_open_connections(folder: str, run_id: str | None) -> list[dict[str, t.Any]]:
    """What is open according to the ledgers, as the module C(remoteit_connection_info) documents it."""
    found = []
    for path, file in open_ledgers(folder):
        with file:
            record = parse_ledger(path, file, kept=not try_lock(file))
            found += [entry.as_info(record) for entry in record.open if record.is_of(run_id)]
    return found


def known_connections(folder: str, but: str) -> tuple[set[str], set[str]]:
    """The ids of all connections of which ledgers tell, in small letters, and the services, in capitals, that other
    ledgers say are being opened.

    :param but: the ledger that is not another one.
    """
    ids: set[str] = set()
    services: set[str] = set()
    for path, file in open_ledgers(folder):
        with file:
            for entry in parse_ledger(path, file, kept=True).entries:
                if entry.connectionid is not None:
                    ids.add(entry.connectionid.lower())
                elif entry.closed is None and path != but and not entry.has_ended:
                    services.add(entry.service.upper())
    return ids, services


def ids_in_use_by_live_runs(folder: str, dead: t.Collection[str]) -> set[str]:
    """The ids of connections that runs that live have open and still need.

    :param dead: the paths of ledgers of runs that do not.
    """
    found: set[str] = set()
    for path, file in open_ledgers(folder, unreadable=[]):  # what cannot be read keeps nothing open
        with file:
            if path not in dead:
                record = parse_ledger(path, file, kept=not try_lock(file))
                found.update(record.needed)
    return found


def is_used_by_another(own: str, connectionid: str) -> bool:
    """Whether another run that lives has this connection too: the vendor may give one to two runs.

    Whoever asks has said before that it is C(closing) it; of two who do so at once, both close it.

    :param own: the path of the ledger of the run that asks.
    """
    with contextlib.suppress(RemoteItError):  # what cannot be read keeps nothing open
        for path, file in open_ledgers(os.path.dirname(own), unreadable=[]):
            with file, contextlib.suppress(OSError):
                if path == own or connectionid.encode() not in file.read():  # so that thousands are looked for quickly
                    continue
                file.seek(0)
                record = parse_ledger(path, file, kept=not try_lock(file))
                if connectionid in record.needed:
                    return True
    return False
