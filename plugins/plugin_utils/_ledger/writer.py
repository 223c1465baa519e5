# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The ledger of this run."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import (
    LedgerSnapshot,
    encode_event,
    parse_ledger,
    reload_ledger,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.files import SUFFIX, open_ledgers, try_lock
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.private_files import create_locked, make_private_dir


class Ledger:
    """A ledger that this process holds locked, to write into it.

    :raises OSError: it cannot be written, so nothing may be opened.
    """

    def __init__(self, file: t.BinaryIO, path: str) -> None:
        self.path = path
        self._file = file
        self._lock = threading.Lock()

    @classmethod
    def begin(
        cls, directory: str, run_id: str, controller: str | None = None
    ) -> tuple[Ledger, list[tuple[LedgerSnapshot, Ledger]]]:
        """Create the ledger of a run, and lock those of keepers of the same run that were killed.

        :param controller: the mark of its controller's process.
        """
        make_private_dir(os.path.dirname(directory))
        make_private_dir(directory)
        predecessors = []
        for path, file in open_ledgers(directory, "r+b", unreadable=[]):
            snapshot = parse_ledger(path, file, is_locked=False)
            if snapshot.run_id == run_id and try_lock(file) and os.path.exists(path):
                predecessors.append((reload_ledger(snapshot, file), cls(file, path)))
            else:
                file.close()
        path = os.path.join(directory, run_id + SUFFIX)
        if os.path.exists(path):
            path = os.path.join(directory, f"{run_id}-{os.getpid()}{SUFFIX}")
        file = create_locked(path, encode_event({"event": "run", "run": run_id, "controller": controller}))
        return cls(file, path), predecessors

    def intent(self, number: int, service: str, api_url: str, account: str) -> None:
        """Say that an opening call is about to be sent.

        :raises RemoteItError: it cannot be said, so the call must not be sent.
        """
        try:
            if os.fstat(self._file.fileno()).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, "somebody has removed it")
            self._write(
                {"event": "intent", "number": number, "service": service, "api_url": api_url, "account": account}
            )
        except OSError as error:
            raise RemoteItError(
                f"nothing was opened: the ledger {self.path} cannot be written: {error.strerror}"
            ) from error

    def opened(self, number: int, connection: Connection, *, detached: bool) -> None:
        self._try_to_write(
            {
                "event": "opened",
                "number": number,
                "connectionid": connection.connectionid,
                "expires_at": connection.expires_at,
                "detached": detached,
            }
        )

    def detached(self, number: int) -> None:
        self._try_to_write({"event": "detached", "number": number})

    def closing(self, number: int) -> None:
        """Say that this run does not need it any more."""
        self._try_to_write({"event": "closing", "number": number})

    def closed(self, number: int, outcome: str) -> None:
        self._try_to_write({"event": "closed", "number": number, "outcome": outcome})

    def run_ended(self) -> None:
        """Say that a teardown has found its run dead, which others cannot tell while that one has the lock."""
        self._try_to_write({"event": "ended"})

    def remove(self) -> None:
        with contextlib.suppress(OSError):  # one that stays tells of nothing that is open
            os.unlink(self.path)

    def _try_to_write(self, entry: dict[str, t.Any]) -> None:
        """A line that may be missing: the intent is there, and the keeper knows the rest as long as it lives."""
        with contextlib.suppress(OSError):
            self._write(entry)

    def _write(self, entry: dict[str, t.Any]) -> None:
        line = encode_event(entry)
        with self._lock:
            before = os.fstat(self._file.fileno()).st_size
            if self._file.write(line) != len(line):
                os.ftruncate(self._file.fileno(), before)  # half a line would spoil the next one
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
