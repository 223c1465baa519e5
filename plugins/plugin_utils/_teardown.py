# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Closing what the ledgers of dead runs say is open."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils._credentials import is_same_account
from ansible_collections.remoteit.fleet.plugins.module_utils._devices import Session
from ansible_collections.remoteit.fleet.plugins.module_utils._errors import AuthError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.module_utils._fleet import (
    ALREADY_CLOSED,
    CLOSED,
    Account,
    Fleet,
    Stop,
    Stopped,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger import Entry, Ledger, Record, known, of_dead_runs
from ansible_collections.remoteit.fleet.plugins.plugin_utils._unanswered import Intent, explain


def teardown(
    folder: str, run_id: str | None, account: t.Callable[[], Account], fleet: Fleet, *, check_mode: bool
) -> t.Iterator[Stopped]:
    """Close what dead runs have left open. A run that lives is never touched.

    :param run_id: only what this run, or a run of this CI job, has left; none for all.
    :param account: tells whose credentials there are; asked only when there is something to close.
    """
    with of_dead_runs(folder, run_id) as ledgers:
        for record, ledger in ledgers:
            yield from _finish(record, ledger, account, fleet, check_mode)


def _finish(
    record: Record, ledger: Ledger, account: t.Callable[[], Account], fleet: Fleet, check_mode: bool
) -> t.Iterator[Stopped]:
    left = 0
    ours: dict[Stop, Entry] = {}
    doubtful: list[Entry] = []
    for entry in record.open:
        if entry.has_ended:
            if entry.connectionid is not None:
                yield (entry.service, entry.connectionid), ALREADY_CLOSED
        elif entry.connectionid is None:
            doubtful.append(entry)
        elif not is_same_account(entry.account, account().credentials.fingerprint()):
            left += 1
            yield (entry.service, entry.connectionid), _foreign(record, entry)
        else:
            ours[entry.service, entry.connectionid] = entry
    explained = _explained(record, doubtful, account) if doubtful else {}
    for entry in doubtful:
        if entry.number not in explained:
            left += 1
            yield (entry.service, ""), _unanswered(record, entry)
            continue
        session = explained[entry.number]
        if session is not None:
            ours[entry.service, session.id] = entry
        elif not check_mode:
            ledger.closed(entry.number, "never opened")
    if check_mode:
        yield from ((stop, CLOSED) for stop in ours)
        return
    if ours:
        for stop, outcome in fleet.close(account(), list(ours)):
            if outcome == ALREADY_CLOSED and ours[stop].account != account().credentials.fingerprint():
                outcome = _unknown(record, ours[stop])  # a new token, or another user with the same developer key
            if isinstance(outcome, RemoteItError):
                left += 1
            else:
                ledger.closed(ours[stop].number, outcome)
            yield stop, outcome
    if not left:
        ledger.remove()


def _explained(record: Record, entries: list[Entry], account: t.Callable[[], Account]) -> dict[int, Session | None]:
    """What the account's sessions tell of openings without an answer, by their numbers."""
    try:
        login = account().credentials.fingerprint()
        mine = [entry for entry in entries if entry.account == login]
        sessions = account().api().sessions() if mine else None
    except RemoteItError:
        return {}  # it is told that nobody knows
    if sessions is None:
        return {}
    intents = [Intent(entry.number, entry.service, entry.intended_at) for entry in mine]
    found = explain(intents, sessions, *known(os.path.dirname(record.path), record.path))
    return {intent.number: session for intent, session in found.items()}


def _unanswered(record: Record, entry: Entry) -> RemoteItError:
    return RemoteItError(
        f"the run {record.run_id} died while it opened this service at {entry.intended_at}, and nobody knows whether a"
        f" connection was opened; if so, it ends by itself at {entry.ends_by_itself_at}"
    )


def _unknown(record: Record, entry: Entry) -> RemoteItError:
    return AuthError(
        f"the run {record.run_id} opened it with another login, and the API does not know it with this one: it is"
        f" closed, or is somebody else's; it ends by itself at {entry.ends_by_itself_at} at the latest"
    )


def _foreign(record: Record, entry: Entry) -> RemoteItError:
    return AuthError(
        f"the run {record.run_id} opened it with other credentials, for {entry.api_url}; run the teardown with those,"
        f" or it ends by itself at {entry.ends_by_itself_at} at the latest"
    )
