# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Write a ledger: append one event at a time.

The ``intent`` event must be on disk before a connect call is sent, and the ``opened`` event before the connection is
used: a teardown assumes that a connection without an ID is idle. Other events are written if possible: without them, a
teardown finds more than is open, and not less.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import (
    LedgerSnapshot,
    encode_event,
    is_lost_block,
    parse_ledger,
    reload_ledger,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.files import SUFFIX, open_ledgers, try_lock
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.private_files import create_locked, make_private_dir


class Ledger:
    """A ledger whose exclusive lock this process holds. Each method that is named after an event appends it."""

    def __init__(self, file: t.BinaryIO, path: str) -> None:
        self.path = path
        self._file = file
        self._lock = threading.Lock()

    @classmethod
    def begin(
        cls, directory: str, run_id: str, controller: str | None = None, job: str | None = None
    ) -> tuple[Ledger, list[tuple[LedgerSnapshot, Ledger]]]:
        """Create the ledger of a run, and lock the ledgers of its previous keepers, which were killed.

        :param controller: the identity of the controller process.
        :param job: the ID of the CI job.
        :return: the new ledger, and each previous ledger with its content.
        :raises OSError: the ledger cannot be written, so no connection may be opened.
        :raises RemoteItError: the directory cannot be read.
        """
        make_private_dir(os.path.dirname(directory))
        make_private_dir(directory)
        predecessors = []
        for path, file in open_ledgers(directory, "r+b", unreadable=[]):
            snapshot = parse_ledger(path, file, is_locked=False)
            is_previous = snapshot.run_id == run_id and not snapshot.is_damaged
            if is_previous and try_lock(file) and os.path.exists(path):
                predecessors.append((reload_ledger(snapshot, file), cls.reopen(file, path)))
            else:
                file.close()
        path = os.path.join(directory, run_id + SUFFIX)
        if os.path.exists(path):
            path = os.path.join(directory, f"{run_id}-{os.getpid()}{SUFFIX}")
        file = create_locked(path, encode_event({"event": "run", "run": run_id, "job": job, "controller": controller}))
        return cls(file, path), predecessors

    @classmethod
    def reopen(cls, file: t.BinaryIO, path: str) -> Ledger:
        """Return the ledger of a killed keeper. Its last line can be incomplete, and would spoil the next one."""
        file.seek(0)
        *_unused, last = file.read().split(b"\n")
        with contextlib.suppress(OSError):
            if _is_cut(last):
                os.ftruncate(file.fileno(), file.seek(-len(last), os.SEEK_END))
            elif last:
                file.write(b"\n")
        return cls(file, path)

    def intent(
        self, number: int, service: str, api_url: str, account: str, host: str | None = None, at: str | None = None
    ) -> None:
        """Record that a connect call is about to be sent, after ``sync``.

        :param account: the fingerprint of the credentials.
        :param host: the inventory host for which the connection is opened.
        :param at: the time of the call, by default the current time.
        :raises RemoteItError: the event cannot be written, so the call must not be sent.
        """
        call = {"number": number, "service": service, "api_url": api_url, "account": account, "host": host}
        try:
            self._write_to_file({"event": "intent", **call, **({} if at is None else {"at": at})})
        except RemoteItError as error:
            raise error.reworded(f"nothing was opened: {error.message}") from error

    def sync(self) -> None:
        """Wait until the events are on disk, where they outlive this machine. It can take some milliseconds.

        :raises RemoteItError: they cannot be written, so no connect call must be sent.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RemoteItError(f"nothing was opened: {self._cannot_write(error)}") from error

    def opened(self, number: int, connection: Connection, *, detached: bool) -> None:
        """Record the ID and the proxy of a connection.

        That of a detached one is on disk afterward: it stays open if this machine loses power, and others may use it.

        :raises RemoteItError: the event cannot be written, so the connection must not be used.
        """
        self._write_to_file(
            {
                "event": "opened",
                "number": number,
                "connectionid": connection.connectionid,
                "expires_at": connection.expires_at,
                "proxy": connection.port_proxy and connection.port_proxy._asdict(),
                "detached": detached,
            },
            sync=detached,
        )

    def detached(self, number: int) -> None:
        with contextlib.suppress(RemoteItError):
            self._write_to_file({"event": "detached", "number": number}, sync=True)

    def closing(self, number: int) -> bool:
        """Record that this run does not need the connection any more, and return whether other runs can see that."""
        return self._try_to_write({"event": "closing", "number": number})

    def settling(self, number: int) -> None:
        """Record that a session was closed as the connection of a call that may still open one."""
        self._try_to_write({"event": "settling", "number": number})

    def responded(self, number: int) -> None:
        """Record that the API did not know a connection, but its proxy responded."""
        self._try_to_write({"event": "responded", "number": number})

    @classmethod
    @contextlib.contextmanager
    def of_ended_run(cls, path: str) -> t.Iterator[Ledger | None]:
        """Yield the ledger of an ended run, locked, or ``None`` if another process has locked it.

        :raises OSError: the ledger cannot be opened.
        """
        with open(path, "r+b", buffering=0) as file:
            yield cls.reopen(file, path) if try_lock(file) else None

    def closed(self, number: int, outcome: str) -> None:
        self._try_to_write({"event": "closed", "number": number, "outcome": outcome})

    def run_ended(self, by: t.Literal["keeper", "teardown"]) -> None:
        """Record that the run has ended. Other processes cannot see that while this one holds the lock."""
        self._try_to_write({"event": "ended", "by": by})

    def set_changed_at(self, seconds: float) -> None:
        """Set the time of the last change, which shows when the connections of a damaged ledger have ended."""
        with contextlib.suppress(OSError):
            os.utime(self._file.fileno(), (seconds, seconds))

    def remove(self) -> None:
        """Remove the file, if possible. A file that remains lists no open connection."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)

    def _write_to_file(self, event: dict[str, t.Any], *, sync: bool = False) -> None:
        """Append an event that a teardown must find.

        :param sync: wait until it is on disk.
        :raises RemoteItError: it cannot be written, or the file has been removed.
        """
        try:
            if os.fstat(self._file.fileno()).st_nlink == 0:
                raise RemoteItError(f"the ledger {self.path!r} was removed during the run. Run the playbook again")
            self._write(event)
            if sync:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise RemoteItError(self._cannot_write(error)) from error

    def _cannot_write(self, error: OSError) -> str:
        return (
            f"the ledger {self.path!r} cannot be written: {error.strerror}. Free disk space, or set REMOTEIT_STATE_DIR"
            " to a writable directory"
        )

    def _try_to_write(self, event: dict[str, t.Any]) -> bool:
        """Append an event that may be missing, and return whether it is there."""
        try:
            self._write(event)
        except OSError:
            return False
        return True

    def _write(self, event: dict[str, t.Any]) -> None:
        line = encode_event(event)
        with self._lock:
            written = self._file.write(line)
            if written != len(line):
                size = os.fstat(self._file.fileno()).st_size
                os.ftruncate(self._file.fileno(), size - written)  # an incomplete line would spoil the next one
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_cut(line: bytes) -> bool:
    """Return whether the writer of the last line was killed. A lost block is a damage, which must stay visible."""
    try:
        json.loads(line or b"{}")
    except (RecursionError, ValueError):
        return not is_lost_block(line)
    return False


def not_announced_error(path: str) -> RemoteItError:
    """Return the error for a connection that two runs would leave to each other."""
    return RemoteItError(
        f"another run uses the connection too, and the ledger {path!r} cannot be written. Free disk space, and run the"
        " playbook remoteit.fleet.teardown"
    )
