# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The ledger: what a run has opened, on disk, for the case that its keeper dies too.

JSON lines, one file a run, written by its keeper alone, which holds it locked while it lives. An C(intent) stands
before the opening call, C(opened) after it, C(closed) after the stop. No secret is in it.
"""

from __future__ import annotations

import fcntl
import json
import os
import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils._connection import Connection, iso, utc_now
from ansible_collections.remoteit.fleet.plugins.module_utils._errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run import private_folder


class Ledger:
    """The ledger of the run that lives.

    :raises OSError: it cannot be written, so nothing may be opened.
    """

    def __init__(self, path: str, run_id: str) -> None:
        folder = os.path.dirname(path)
        private_folder(os.path.dirname(folder))
        private_folder(folder)
        if os.path.exists(path):  # by a keeper of this run that died: what it says is for the teardown
            path = f"{path[: -len('.jsonl')]}-{os.getpid()}.jsonl"
        self.path = path
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._file = open(descriptor, "wb", buffering=0)  # noqa: SIM115 - it stays open, and locked, with the keeper
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._write({"event": "run", "run": run_id})

    def intent(self, number: int, service: str, api_url: str, account: str) -> None:
        """Say that an opening call is about to be sent.

        :raises RemoteItError: it cannot be said, so the call must not be sent.
        """
        try:
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

    def closed(self, number: int, how: str) -> None:
        self._try_to_write({"event": "closed", "number": number, "how": how})

    def remove(self) -> None:
        os.unlink(self.path)

    def _try_to_write(self, entry: dict[str, t.Any]) -> None:
        """A line that may be missing: the intent is there, and the keeper knows the rest as long as it lives."""
        try:
            self._write(entry)
        except OSError:
            pass

    def _write(self, entry: dict[str, t.Any]) -> None:
        # one write a line: a reader sees a line whole, or, after a crash, a last one that does not end
        line = json.dumps({**entry, "at": iso(utc_now())}).encode() + b"\n"
        if self._file.write(line) != len(line):
            raise OSError(28, "no space left for a whole line")
