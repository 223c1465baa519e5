# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The audit trail: a file to which runs and teardowns append one line of JSON for each event of a connection.

Each line is one ``write`` to a file that is open for appending, so that the lines of several processes do not mix. The
file is opened again for each line, so that it can be rotated at any time. Only runs with an audit trail import this.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pwd
import socket
import threading
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ALREADY_CLOSED, CLOSED, STILL_USED
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, sanitize, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import Entry, LedgerSnapshot
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import ci_job_of

Kind = t.Literal["opened", "reopened", "refused", "closed", "left"]
Actor = t.Literal["task", "keeper", "teardown", "api"]

EXPIRED = "it has expired"
NOT_KNOWN = "the API does not know it any more"


@dataclasses.dataclass(frozen=True)
class AuditEvent:
    """An event of a connection. The page "Audit trail" documents the fields."""

    event: Kind
    by: Actor
    reason: str | None
    run_id: str
    account: str
    deviceaddress: str
    connectionid: str | None = None
    device: str | None = None
    inventory_host: str | None = None
    restriction: str | None = None
    hostip: str | None = None
    proxy: str | None = None
    seconds_open: int | None = None


class AuditLog:
    """The file of the audit trail.

    :ivar error: the reason why a line could not be written; ``None`` if all lines were written.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.error: str | None = None
        self._lock = threading.Lock()
        self._is_cut = False  # the last line of this process is incomplete
        self._origin = {"user": _user(), "controller": socket.gethostname()}

    def append(self, event: AuditEvent) -> None:
        """Append the line of an event. A failure is recorded, and never raised."""
        facts = {name: sanitize(value) if isinstance(value, str) else value for name, value in vars(event).items()}
        origin = {"run_id": event.run_id, "ci_job": ci_job_of(event.run_id), **self._origin}
        line = json.dumps({"time": format_utc(utc_now()), "event": event.event, **origin, **facts}).encode() + b"\n"
        try:
            with self._lock:
                self._write(line)
        except OSError as error:
            self.error = (
                f"the audit trail {self.path!r} is incomplete, because it cannot be written: {error.strerror}. Free"
                " disk space, or set REMOTEIT_AUDIT_LOG to a writable file"
            )

    def append_teardown(
        self, snapshot: LedgerSnapshot, entry: Entry, connectionid: str, outcome: str | RemoteItError | None
    ) -> None:
        """Append the outcome of a teardown for a connection of an ended run.

        :param connectionid: an empty text if it is not known.
        :param outcome: ``None`` for a connect call that was unconfirmed and is not any more.
        """
        kind: Kind
        actor: Actor
        reason: str
        if isinstance(outcome, RemoteItError):
            kind, actor, reason = "left", "teardown", outcome.message
        else:
            kind, actor, reason = _OUTCOMES[outcome]
            if outcome in (ALREADY_CLOSED, None) and entry.has_expired:
                reason = EXPIRED
        event = AuditEvent(
            event=kind,
            by=actor,
            reason=reason,
            run_id=snapshot.run_id,
            account=entry.account,
            deviceaddress=entry.service,
            connectionid=connectionid or None,
            inventory_host=entry.host,
            seconds_open=entry.age if entry.opened_at else None,
        )
        self.append(event)

    def _write(self, line: bytes) -> None:
        # O_NONBLOCK: a pipe without a reader must not stop the run
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self.path, flags, 0o600)
        try:
            data = b"\n" + line if self._is_cut else line
            written = os.write(descriptor, data)
            self._is_cut = written != len(data)
        finally:
            os.close(descriptor)
        if self._is_cut:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


_OUTCOMES: dict[str | None, tuple[Kind, Actor, str]] = {
    CLOSED: ("closed", "teardown", "its run had ended"),
    ALREADY_CLOSED: ("closed", "api", NOT_KNOWN),
    None: ("closed", "teardown", "the sessions of the account show whether its connect call opened a connection"),
    STILL_USED: ("left", "teardown", "a run that is running uses it too"),
}


def _user() -> str:
    """Return the name of this user, or the user ID if it has no name, for example in a container."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
