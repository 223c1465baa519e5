# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Judge a connection that the API does not know by the ledgers that list it."""

from __future__ import annotations

import contextlib

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import (
    ALREADY_CLOSED,
    CLOSED,
    NOT_KNOWN_BUT_RESPONDS,
    ConnectionRef,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import AuthError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import Entry, LedgerSnapshot
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import entries_of
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger


def is_known_closed(directory: str, ref: ConnectionRef, login: str | None) -> bool:
    """Return whether the ledgers of a directory prove that a connection is closed. The API does not know it.

    :param login: the fingerprint of the credentials; ``None`` if the API lists the connections of all logins.
    :raises RemoteItError: it may be open.
    """
    is_closed = False
    for snapshot, entry in entries_of(directory, ref):
        is_closed |= entry.closed in (None, CLOSED, ALREADY_CLOSED)
        if entry.closed is None and not entry.has_expired:
            _require_closed(snapshot, entry, login)
    return is_closed


def _require_closed(snapshot: LedgerSnapshot, entry: Entry, login: str | None) -> None:
    """Check the proxy and the login of a connection. A test is a use of the proxy, so test it once.

    :raises RemoteItError: it may be open.
    """
    if entry.proxy is not None and snapshot.may_respond(entry):
        if entry.responded_at is None and entry.proxy.is_open():
            entry.responded_at = format_utc(utc_now())
            with contextlib.suppress(OSError):
                Ledger.note_responded(snapshot.path, entry.number)
        if entry.responded_at is not None:
            raise error_responded(snapshot, entry)
    if login is not None and entry.account != login:
        raise error_unknown_to_login(snapshot, entry)


def error_responded(snapshot: LedgerSnapshot, entry: Entry) -> RemoteItError:
    return RemoteItError(
        f"{NOT_KNOWN_BUT_RESPONDS}. If nothing uses it, it ends by itself. Run the teardown again after"
        f" {snapshot.idle_end(entry)}"
    )


def error_unknown_to_login(snapshot: LedgerSnapshot, entry: Entry) -> RemoteItError:
    """Return the error for a new token, or for another user with the same developer key.

    The API reports the same to them if the connection is open.
    """
    return AuthError(
        f"the run {snapshot.run_id!r} opened the connection with another login, and the API does not know it with the"
        " current login. It is closed, or belongs to another user. Run the teardown with the login of that run, or"
        f" wait: it ends by itself at {entry.expires_by} at the latest"
    )
