# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The ledger: what a run has opened, on disk, for the case that its keeper dies too.

JSON lines, one file a run, written by its keeper alone, which holds it locked while it lives. The first line names
the run and its controller's process. An C(intent) stands
before the opening call, C(opened) after it, C(closed) after the stop. No secret is in it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import fcntl
import json
import os
import threading
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils._connection import (
    IDLE_SECONDS,
    Connection,
    iso,
    moment,
    utc_now,
)
from ansible_collections.remoteit.fleet.plugins.module_utils._errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._liveness import create_locked, lives
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run import as_id, is_ours, private_folder

_SUFFIX = ".jsonl"
#: How long after its time a connection is taken for ended: clocks differ, and so may the vendor's idea of idle.
_GRACE_SECONDS = 60


class Ledger:
    """A ledger that this process holds locked, to write into it.

    :raises OSError: it cannot be written, so nothing may be opened.
    """

    def __init__(self, file: t.BinaryIO, path: str) -> None:
        self.path = path
        self._file = file
        self._lock = threading.Lock()

    @classmethod
    def begin(cls, folder: str, run_id: str, controller: str | None = None) -> Ledger:
        """The ledger of a run that begins.

        :param controller: the mark of its controller's process.
        """
        private_folder(os.path.dirname(folder))
        private_folder(folder)
        path = os.path.join(folder, run_id + _SUFFIX)
        if os.path.exists(path):  # by a keeper of this run that died: what it says is for the teardown
            path = os.path.join(folder, f"{run_id}-{os.getpid()}{_SUFFIX}")
        return cls(create_locked(path, _line({"event": "run", "run": run_id, "controller": controller})), path)

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

    def detached(self, number: int) -> None:
        self._try_to_write({"event": "detached", "number": number})

    def closed(self, number: int, how: str) -> None:
        self._try_to_write({"event": "closed", "number": number, "how": how})

    def remove(self) -> None:
        os.unlink(self.path)

    def _try_to_write(self, entry: dict[str, t.Any]) -> None:
        """A line that may be missing: the intent is there, and the keeper knows the rest as long as it lives."""
        with contextlib.suppress(OSError):
            self._write(entry)

    def _write(self, entry: dict[str, t.Any]) -> None:
        line = _line(entry)
        with self._lock:
            before = os.fstat(self._file.fileno()).st_size
            if self._file.write(line) != len(line):
                os.ftruncate(self._file.fileno(), before)  # half a line would spoil the next one
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _line(entry: dict[str, t.Any]) -> bytes:
    return json.dumps({**entry, "at": iso(utc_now())}).encode() + b"\n"


@dataclasses.dataclass
class Entry:
    """One opening, as a ledger tells of it."""

    number: int
    service: str
    api_url: str
    account: str
    intended_at: str
    connectionid: str | None = None
    opened_at: str | None = None
    expires_at: str | None = None
    detached: bool = False
    closed: str | None = None

    @property
    def ends_by_itself_at(self) -> str:
        """When the vendor ends it at the latest. An opening whose answer was lost has nobody who uses it."""
        if self.connectionid is None:
            return iso(moment(self.intended_at) + datetime.timedelta(seconds=IDLE_SECONDS))
        return self.expires_at or iso(moment(self.opened_at or self.intended_at) + datetime.timedelta(hours=8))

    @property
    def has_ended(self) -> bool:
        return moment(self.ends_by_itself_at) + datetime.timedelta(seconds=_GRACE_SECONDS) < utc_now()

    def as_info(self, record: Record) -> dict[str, t.Any]:
        opened_at = self.opened_at or self.intended_at
        return {
            "run_id": record.run_id,
            "alive": record.alive,
            "deviceaddress": self.service,
            "connectionid": self.connectionid,
            "opened_at": opened_at,
            "age": int((utc_now() - moment(opened_at)).total_seconds()),
            "ends_by_itself_at": self.ends_by_itself_at,
            "time_left": max(0, int((moment(self.ends_by_itself_at) - utc_now()).total_seconds())),
            "detached": self.detached,
            "account": self.account,
            "api_url": self.api_url,
        }


@dataclasses.dataclass
class Record:
    """What the ledger of a run says."""

    path: str
    run_id: str
    alive: bool
    entries: list[Entry]

    @property
    def open(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.closed is None]

    def is_of(self, run_id: str | None) -> bool:
        """Whether it is the record of this run, or of a run in this CI job."""
        return run_id is None or self.run_id == run_id or self.run_id.startswith(f"{as_id(run_id)}-")


def listing(folder: str, run_id: str | None) -> list[dict[str, t.Any]]:
    """What is open according to the ledgers, as the module C(remoteit_connection_info) documents it."""
    found = []
    for path in _paths(folder):
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            record = _record(path, file, kept=not _lock(file))
            found += [entry.as_info(record) for entry in record.open if record.is_of(run_id)]
    return found


def known(folder: str, but: str) -> tuple[set[str], set[str]]:
    """The ids of all connections of which ledgers tell, in small letters, and the services, in capitals, that other
    ledgers say are being opened.

    :param but: the ledger that is not another one.
    """
    ids: set[str] = set()
    services: set[str] = set()
    for path in _paths(folder):
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            for entry in _record(path, file, kept=True).entries:
                if entry.connectionid is not None:
                    ids.add(entry.connectionid.lower())
                elif entry.closed is None and path != but and not entry.has_ended:
                    services.add(entry.service.upper())
    return ids, services


@contextlib.contextmanager
def of_dead_runs(folder: str, run_id: str | None) -> t.Iterator[list[tuple[Record, Ledger]]]:
    """The ledgers of runs that are dead, locked, so that two teardowns do not get in each other's way.

    :param run_id: only those of this run, or of this CI job; none for all.
    """
    with contextlib.ExitStack() as stack:
        found = []
        for path in _paths(folder):
            try:
                file = stack.enter_context(open(path, "r+b", buffering=0))
            except FileNotFoundError:
                continue
            if not _lock(file, tries=5) or not os.path.exists(path):
                continue  # its keeper lives, or another teardown has it or has just finished it
            record = _record(path, file, kept=False)
            if record.is_of(run_id) and not record.alive:
                file.seek(0, os.SEEK_END)
                found.append((record, Ledger(file, path)))
            else:
                file.close()  # another teardown may want it
        yield found


def _paths(folder: str) -> list[str]:
    if not os.path.lexists(folder):
        return []
    if not is_ours(folder):
        raise RemoteItError(f"the ledgers in {folder} were not read: it is not a folder of this user alone")
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(_SUFFIX)]


def _lock(file: t.IO[bytes], tries: int = 1) -> bool:
    """Take the lock; a reader may hold it for a moment, the keeper of a run that lives holds it for good."""
    for left in reversed(range(tries)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05 if left else 0)
        else:
            return True
    return False


def _record(path: str, file: t.IO[bytes], *, kept: bool) -> Record:
    """Read a ledger; a line that is not one of ours, or not whole, is passed over.

    :param kept: its keeper lives; a run may also live on without one.
    """
    record = Record(path, os.path.basename(path)[: -len(_SUFFIX)], kept, [])
    entries: dict[t.Any, Entry] = {}
    for line in file.readlines():
        try:
            event = json.loads(line)
            kind, number = event["event"], event.get("number")
            if kind == "run":
                record.run_id = str(event["run"])
                record.alive = kept or lives(event.get("controller"))
            elif kind == "intent":
                moment(event["at"])
                entries[number] = Entry(number, event["service"], event["api_url"], event["account"], event["at"])
            elif kind == "opened":
                entry = entries[number]
                entry.connectionid, entry.expires_at = event["connectionid"], event["expires_at"]
                entry.opened_at, entry.detached = event["at"], event["detached"]
            elif kind == "detached":
                entries[number].detached = True
            elif kind == "closed":
                entries[number].closed = event["how"]
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    record.entries = list(entries.values())
    return record
