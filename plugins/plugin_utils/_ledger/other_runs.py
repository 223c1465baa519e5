# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Judge and update a connection that another run opened, by the ledgers that list it."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import (
    ALREADY_CLOSED,
    CLOSED,
    NOT_KNOWN_BUT_RESPONDS,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import is_same_account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import AuthError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import Entry, LedgerSnapshot
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger

_Entries = t.Sequence[tuple[LedgerSnapshot, Entry]]


def record_closed(entries: _Entries) -> None:
    """Record in the ledgers of ended runs that a connection is closed. The keeper of a running run finds that out.

    :param entries: those of the connection.
    """
    for snapshot, entry in entries:
        with contextlib.suppress(OSError), Ledger.of_ended_run(snapshot.path) as ledger:
            if ledger is not None:
                ledger.closed(entry.number, CLOSED)


def is_known_closed(entries: _Entries, login: str) -> bool:
    """Return whether the ledgers prove that a connection is closed. The API does not know it.

    :param entries: those of the connection.
    :param login: the fingerprint of the credentials.
    :raises RemoteItError: it may be open.
    """
    is_closed = False
    for snapshot, entry in entries:
        is_closed |= entry.closed in (None, CLOSED, ALREADY_CLOSED)
        if entry.closed is None and not entry.has_expired:
            _require_closed(snapshot, entry, login)
    return is_closed


def _require_closed(snapshot: LedgerSnapshot, entry: Entry, login: str) -> None:
    """Check the login and the proxy of a connection. A test is a use of the proxy, so test it once.

    :raises RemoteItError: it may be open.
    """
    if not is_same_account(entry.account, login):
        raise error_other_account(snapshot, entry)
    if entry.account != login:
        raise error_unknown_to_login(snapshot, entry)
    if entry.proxy is None or not snapshot.may_respond(entry):
        return
    if entry.responded_at is None and entry.proxy.is_open():
        entry.responded_at = format_utc(utc_now())
        with contextlib.suppress(OSError), Ledger.of_ended_run(snapshot.path) as ledger:
            if ledger is not None:
                ledger.responded(entry.number)
    if entry.responded_at is not None:
        raise error_responded(snapshot, entry)


def error_responded(snapshot: LedgerSnapshot, entry: Entry) -> RemoteItError:
    return RemoteItError(
        f"{NOT_KNOWN_BUT_RESPONDS}. If nothing uses it, it ends by itself."
        f" {_advice(snapshot, f'Run the teardown again after {snapshot.idle_end(entry)}')}"
    )


def error_unknown_to_login(snapshot: LedgerSnapshot, entry: Entry) -> RemoteItError:
    """Return the error for a new token, or for another user with the same developer key.

    The API reports the same to them if the connection is open.
    """
    return AuthError(
        f"the run {snapshot.run_id!r} opened the connection with another login, and the API does not know it with the"
        " current login. It is closed, or belongs to another user."
        f" {_advice(snapshot, 'Run the teardown with the login of that run')}, or wait: it ends by itself at"
        f" {entry.expires_by} at the latest"
    )


def error_other_account(snapshot: LedgerSnapshot, entry: Entry, used: str = "") -> RemoteItError:
    """Return the error for credentials of another account.

    :param used: from where the credentials come, in words.
    """
    return AuthError(
        f"the run {snapshot.run_id!r} opened the connection with other credentials, for {entry.api_url!r}."
        f" {_advice(snapshot, 'Run the teardown with those credentials')}, or wait: it ends by itself at"
        f" {entry.expires_by} at the latest{f'; credentials used: {used}' if used else ''}"
    )


def _advice(snapshot: LedgerSnapshot, teardown: str) -> str:
    """Return what to do about a connection: a teardown closes only those of ended runs."""
    return "That run is still running, and closes it at its end" if snapshot.alive else teardown
