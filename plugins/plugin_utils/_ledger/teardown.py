# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Closing what the ledgers of dead runs say is open."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import (
    ALREADY_CLOSED,
    CLOSED,
    STILL_USED,
    ConnectionBackend,
    ConnectionRef,
    DisconnectResult,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import is_same_account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import AuthError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.ended_runs import lock_ended_ledgers
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import Entry, LedgerSnapshot
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import (
    ids_in_use,
    known_connections,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reconcile import PendingConnect, match_sessions
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import sanitize_job_id


def teardown(
    directory: str,
    run_id: str | None,
    get_account: t.Callable[[], Account],
    backend: ConnectionBackend,
    *,
    check_mode: bool,
) -> t.Iterator[DisconnectResult]:
    """Close what dead runs have left open. A run that lives is never touched.

    :param run_id: only what this run, or a run of this CI job, has left; none for all.
    :param get_account: tells whose credentials there are; asked only when there is something to close.
    """
    unreadable: list[RemoteItError] = []
    with lock_ended_ledgers(directory, run_id, unreadable) as ledgers:
        for snapshot, ledger in ledgers:
            if ledger is not None and not check_mode:
                for entry in snapshot.open:
                    ledger.closing(entry.number)  # or a run that closes the same just now would leave it to this one
        ids_elsewhere = ids_in_use(directory, [snapshot.path for snapshot, _unused in ledgers])
        for snapshot, ledger in ledgers:
            if ledger is None:
                yield from (
                    ((entry.service, entry.connectionid or ""), _error_still_closing(snapshot))
                    for entry in snapshot.open
                )
            else:
                yield from _finish(snapshot, ledger, ids_elsewhere, get_account, backend, check_mode)
    for error in unreadable:
        path = error.details["path"]
        if run_id is None or sanitize_job_id(run_id) in os.path.basename(path):
            yield (path, ""), error


def _finish(
    snapshot: LedgerSnapshot,
    ledger: Ledger,
    ids_elsewhere: t.Container[str],
    get_account: t.Callable[[], Account],
    backend: ConnectionBackend,
    check_mode: bool,
) -> t.Iterator[DisconnectResult]:
    left = 0
    ours: dict[ConnectionRef, Entry] = {}
    doubtful: list[Entry] = []
    for entry in snapshot.open:
        if entry.connectionid is None:
            if not entry.has_expired:
                doubtful.append(entry)
            continue
        stop = (entry.service, entry.connectionid)
        if entry.connectionid in ids_elsewhere:  # the vendor has given it to another run as well, which will close it
            if not check_mode:
                ledger.closed(entry.number, "held by a run that lives")
            yield stop, STILL_USED
            continue
        try:
            if is_same_account(entry.account, get_account().credentials.fingerprint()):
                ours[stop] = entry  # also if its time seems to be over: clocks may be wrong
                continue
            outcome: RemoteItError = _error_other_account(snapshot, entry)
        except RemoteItError as error:
            outcome = error
        left += not entry.has_expired
        yield stop, ALREADY_CLOSED if entry.has_expired else outcome
    explained = _explained(snapshot, doubtful, get_account) if doubtful else {}
    for entry in doubtful:
        if entry.number not in explained:
            left += 1
            yield (entry.service, ""), _error_unconfirmed(snapshot, entry)
            continue
        connectionid = explained[entry.number]
        if connectionid is not None:
            ours[entry.service, connectionid] = entry
        elif not check_mode:
            ledger.closed(entry.number, "never opened")
    if check_mode:
        yield from ((stop, CLOSED) for stop in ours)
        return
    if ours:
        for stop, stopped in backend.close(get_account(), list(ours)):
            entry = ours[stop]
            if stopped == ALREADY_CLOSED and entry.account != get_account().credentials.fingerprint():
                stopped = _error_unknown_to_login(
                    snapshot, entry
                )  # a new token, or another user with the same developer key
            if isinstance(stopped, RemoteItError) and entry.connectionid is not None and entry.has_expired:
                stopped = ALREADY_CLOSED
            if isinstance(stopped, RemoteItError):
                left += 1
            else:
                ledger.closed(entry.number, stopped)
            yield stop, stopped
    if not left:
        ledger.remove()


def _explained(
    snapshot: LedgerSnapshot, entries: list[Entry], get_account: t.Callable[[], Account]
) -> dict[int, str | None]:
    """What the account's sessions tell of openings without an answer, by their numbers."""
    try:
        login = get_account().credentials.fingerprint()
        mine = [entry for entry in entries if entry.account == login]
        sessions = get_account().api().sessions() if mine else None
        if sessions is None:
            return {}
        ids, rivals = known_connections(os.path.dirname(snapshot.path), snapshot.path)
    except RemoteItError:
        return {}  # it is told that nobody knows
    intents = [PendingConnect(entry.number, entry.service, entry.intended_at) for entry in mine]
    found = match_sessions(intents, sessions, ids, rivals)
    return {intent.number: connectionid for intent, connectionid in found.items()}


def _error_still_closing(snapshot: LedgerSnapshot) -> RemoteItError:
    return RemoteItError(
        f"the run {snapshot.run_id} is dead, and its keeper or another teardown is still closing this; run the teardown"
        " again to see how it ended"
    )


def _error_unconfirmed(snapshot: LedgerSnapshot, entry: Entry) -> RemoteItError:
    return RemoteItError(
        f"the run {snapshot.run_id} died while it opened this service at {entry.intended_at}, and nobody knows whether"
        f" a connection was opened; if so, it ends by itself at {entry.expires_by}"
    )


def _error_unknown_to_login(snapshot: LedgerSnapshot, entry: Entry) -> RemoteItError:
    return AuthError(
        f"the run {snapshot.run_id} opened it with another login, and the API does not know it with this one: it is"
        f" closed, or is somebody else's; it ends by itself at {entry.expires_by} at the latest"
    )


def _error_other_account(snapshot: LedgerSnapshot, entry: Entry) -> RemoteItError:
    return AuthError(
        f"the run {snapshot.run_id} opened it with other credentials, for {entry.api_url}; run the teardown with those,"
        f" or it ends by itself at {entry.expires_by} at the latest"
    )
