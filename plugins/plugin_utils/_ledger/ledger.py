# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The ledger: what a run has opened, on disk, for the case that its keeper dies too.

JSON lines, one file a run, written by its keeper alone, which holds it locked while it lives. The first line names
the run and its controller's process. An C(intent) stands before the opening call, C(opened) after it, C(closing) before
the stop, C(closed) after it. A C(teardown) has found its run dead. No secret is in it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import fcntl
import json
import os
import re
import stat
import threading
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import (
    CONNECTION_ID,
    IDLE_SECONDS,
    SERVICE_ID,
    Connection,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, parse_utc, sanitize, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import as_id
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.private_files import (
    create_locked,
    is_private_dir,
    make_private_dir,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import is_alive, is_dead

_SUFFIX = ".jsonl"
#: How long after its time a connection is taken for ended: clocks differ, and so may the vendor's idea of idle.
_GRACE_SECONDS = 60
#: A run's id, as it is made.
_RUN_ID = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,99}")
#: How often a teardown tries again to get what somebody works on, the ledgers of dead runs, and its pauses in seconds.
MAX_LOCK_ATTEMPTS, LOCK_PAUSE_SECONDS = 300, 0.2


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
        cls, folder: str, run_id: str, controller: str | None = None
    ) -> tuple[Ledger, list[tuple[LedgerSnapshot, Ledger]]]:
        """Create the ledger of a run, and lock those of keepers of the same run that were killed.

        :param controller: the mark of its controller's process.
        """
        make_private_dir(os.path.dirname(folder))
        make_private_dir(folder)
        predecessors = []
        for path, file in _files(folder, "r+b", unreadable=[]):
            record = _parse(path, file, kept=False)
            if record.run_id == run_id and _lock(file) and os.path.exists(path):
                predecessors.append((_reload(record, file), cls(file, path)))
            else:
                file.close()
        path = os.path.join(folder, run_id + _SUFFIX)
        if os.path.exists(path):
            path = os.path.join(folder, f"{run_id}-{os.getpid()}{_SUFFIX}")
        file = create_locked(path, _line({"event": "run", "run": run_id, "controller": controller}))
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

    def closed(self, number: int, how: str) -> None:
        self._try_to_write({"event": "closed", "number": number, "how": how})

    def torn_down(self) -> None:
        """Say that a teardown has found its run dead, which others cannot tell while that one has the lock."""
        self._try_to_write({"event": "teardown"})

    def remove(self) -> None:
        with contextlib.suppress(OSError):  # one that stays tells of nothing that is open
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
    return json.dumps({**entry, "at": format_utc(utc_now())}).encode() + b"\n"


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
    closing: bool = False
    closed: str | None = None

    @property
    def ends_by_itself_at(self) -> str:
        """When the vendor ends it at the latest. An opening whose answer was lost has nobody who uses it."""
        if self.connectionid is None:
            return format_utc(parse_utc(self.intended_at) + datetime.timedelta(seconds=IDLE_SECONDS))
        return self.expires_at or format_utc(
            parse_utc(self.opened_at or self.intended_at) + datetime.timedelta(hours=8)
        )

    @property
    def has_ended(self) -> bool:
        return parse_utc(self.ends_by_itself_at) + datetime.timedelta(seconds=_GRACE_SECONDS) < utc_now()

    def as_info(self, record: LedgerSnapshot) -> dict[str, t.Any]:
        opened_at = self.opened_at or self.intended_at
        return {
            "run_id": record.run_id,
            "alive": record.alive,
            "deviceaddress": self.service,
            "connectionid": self.connectionid,
            "opened_at": opened_at,
            "age": int((utc_now() - parse_utc(opened_at)).total_seconds()),
            "ends_by_itself_at": self.ends_by_itself_at,
            "time_left": max(0, int((parse_utc(self.ends_by_itself_at) - utc_now()).total_seconds())),
            "detached": self.detached,
            "account": self.account,
            "api_url": self.api_url,
        }


@dataclasses.dataclass
class LedgerSnapshot:
    """What the ledger of a run says."""

    path: str
    run_id: str
    alive: bool
    entries: list[Entry]
    controller: str | None = None
    torn_down: bool = False

    @property
    def open(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.closed is None]

    def is_of(self, run_id: str | None) -> bool:
        """Whether it is the record of this run, or of a run in this CI job."""
        of_the_job = rf"{re.escape(as_id(run_id or ''))}-[0-9a-f]{{10}}"
        return run_id is None or self.run_id == run_id or re.fullmatch(of_the_job, self.run_id) is not None

    @property
    def is_known_dead(self) -> bool:
        """Whether the run is known to be dead, whoever has the lock."""
        return self.torn_down or is_dead(self.controller)

    @property
    def needed(self) -> set[str]:
        """The ids of connections that it has open and is not about to close; of a run that is dead, none."""
        return {entry.connectionid for entry in self.open if self.alive and not entry.closing and entry.connectionid}


def list_open_connections(folder: str, run_id: str | None) -> list[dict[str, t.Any]]:
    """What is open according to the ledgers, as the module C(remoteit_connection_info) documents it."""
    found = []
    for path, file in _files(folder):
        with file:
            record = _parse(path, file, kept=not _lock(file))
            found += [entry.as_info(record) for entry in record.open if record.is_of(run_id)]
    return found


def known_connections(folder: str, but: str) -> tuple[set[str], set[str]]:
    """The ids of all connections of which ledgers tell, in small letters, and the services, in capitals, that other
    ledgers say are being opened.

    :param but: the ledger that is not another one.
    """
    ids: set[str] = set()
    services: set[str] = set()
    for path, file in _files(folder):
        with file:
            for entry in _parse(path, file, kept=True).entries:
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
    for path, file in _files(folder, unreadable=[]):  # what cannot be read keeps nothing open
        with file:
            if path not in dead:
                record = _parse(path, file, kept=not _lock(file))
                found.update(record.needed)
    return found


def is_used_by_another(own: str, connectionid: str) -> bool:
    """Whether another run that lives has this connection too: the vendor may give one to two runs.

    Whoever asks has said before that it is C(closing) it; of two who do so at once, both close it.

    :param own: the path of the ledger of the run that asks.
    """
    with contextlib.suppress(RemoteItError):  # what cannot be read keeps nothing open
        for path, file in _files(os.path.dirname(own), unreadable=[]):
            with file, contextlib.suppress(OSError):
                if path == own or connectionid.encode() not in file.read():  # so that thousands are looked for quickly
                    continue
                file.seek(0)
                record = _parse(path, file, kept=not _lock(file))
                if connectionid in record.needed:
                    return True
    return False


def has_ledger(folder: str, run_id: str) -> bool:
    """Whether there is a ledger of this run."""
    try:
        return any(name.startswith(run_id) and name.endswith(_SUFFIX) for name in os.listdir(folder))
    except OSError:
        return False


@contextlib.contextmanager
def lock_dead_ledgers(
    folder: str, run_id: str | None, unreadable: list[RemoteItError]
) -> t.Iterator[list[tuple[LedgerSnapshot, Ledger | None]]]:
    """The ledgers of runs that are dead, locked, so that two teardowns do not get in each other's way.

    One that somebody still works on, its keeper or another teardown, is waited for. If that takes too long, it comes
    with its record alone.

    :param run_id: only those of this run, or of this CI job; none for all.
    :param unreadable: takes an error for each of which nobody knows what it says.
    """
    tries = MAX_LOCK_ATTEMPTS
    with contextlib.ExitStack() as stack:
        found: list[tuple[LedgerSnapshot, Ledger | None]] = []
        for path, file in _files(folder, "r+b", unreadable):
            stack.enter_context(file)
            record = _parse(path, file, kept=False)
            if record.alive or not record.is_of(run_id):
                file.close()
                continue
            locked = _lock(file)
            while not locked and (_reload(record, file).is_known_dead or _has_only_readers(file)) and tries > 0:
                tries -= 1
                time.sleep(LOCK_PAUSE_SECONDS)
                locked = _lock(file)
            if not os.path.exists(path):
                continue  # whoever had it has finished it
            record = _reload(record, file)
            if locked:
                ledger = Ledger(file, path)
                ledger.torn_down()
                found.append((record, ledger))
            elif record.is_known_dead:
                found.append((record, None))
        yield found


def _files(
    folder: str, mode: t.Literal["rb", "r+b"] = "rb", unreadable: list[RemoteItError] | None = None
) -> t.Iterator[tuple[str, t.BinaryIO]]:
    """Each ledger, open. A link, a folder or a pipe is none.

    :param unreadable: takes an error for each that cannot be read; without it, the first of them is raised.
    :raises RemoteItError: one cannot be read, so nobody knows what it says is open.
    """
    if not os.path.lexists(folder):
        return
    if not is_private_dir(folder):
        raise RemoteItError(f"the ledgers in {folder} were not read: it is not a folder of this user alone")
    flags = (os.O_RDONLY if mode == "rb" else os.O_RDWR) | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    for name in _names(folder):
        path = os.path.join(folder, name)
        if not name.endswith(_SUFFIX) or not _is_file(path):
            continue
        try:
            file = open(os.open(path, flags), mode, buffering=0)  # noqa: SIM115 - who asked for it closes it
        except FileNotFoundError:
            continue  # its run has just finished
        except OSError as error:
            failure = RemoteItError(f"the ledger {path} cannot be read: {error.strerror}", path=path)
            if unreadable is None:
                raise failure from error
            unreadable.append(failure)
            continue
        yield path, t.cast(t.BinaryIO, file)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []  # somebody has removed it
    except OSError as error:
        raise RemoteItError(f"the ledgers in {folder} cannot be read: {error.strerror}") from error


def _is_file(path: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return stat.S_ISREG(os.lstat(path).st_mode)
    return False


def _lock(file: t.IO[bytes]) -> bool:
    """Take the lock, which the keeper of a run that lives holds for good; to read, share it with others who read."""
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if file.writable() else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _has_only_readers(file: t.IO[bytes]) -> bool:
    """Whether nobody but readers have the lock, for as long as it takes to read."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return True


def _parse(path: str, file: t.IO[bytes], *, kept: bool) -> LedgerSnapshot:
    """Read a ledger; a line that is not one of ours, or not whole, is passed over.

    :param kept: its keeper lives; a run may also live on without one.
    """
    record = LedgerSnapshot(path, sanitize(os.path.basename(path)[: -len(_SUFFIX)]), kept, [])
    entries: dict[t.Any, Entry] = {}
    for line in file.read().split(b"\n"):
        try:
            event = json.loads(line)
            kind, number = event["event"], event.get("number")
            if kind == "run":
                record.run_id = _checked(event["run"], _RUN_ID)
                record.controller = event.get("controller") and _text(event, "controller")
                record.alive = is_alive(record.controller) or (kept and not is_dead(record.controller))
            elif kind == "teardown":
                record.torn_down, record.alive = True, is_alive(record.controller)
            elif kind == "intent":
                entries[number] = Entry(
                    number,
                    _checked(event["service"], SERVICE_ID),
                    _text(event, "api_url"),
                    _text(event, "account"),
                    _time(event, "at"),
                )
            elif kind == "opened":
                entry = entries[number]
                entry.connectionid = _checked(event["connectionid"], CONNECTION_ID)
                entry.opened_at, entry.detached = _time(event, "at"), event["detached"] is True
                entry.expires_at = event["expires_at"] and _time(event, "expires_at")
            elif kind == "detached":
                entries[number].detached = True
            elif kind == "closing":
                entries[number].closing = True
            elif kind == "closed":
                entries[number].closed = str(event["how"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    record.entries = list(entries.values())
    return record


def _reload(record: LedgerSnapshot, file: t.IO[bytes]) -> LedgerSnapshot:
    """What it says by now; its run does not live."""
    file.seek(0)
    return _parse(record.path, file, kept=False)


def _checked(text: str, form: re.Pattern[str]) -> str:
    """The text, which must have this form."""
    if not form.fullmatch(text):
        raise ValueError(text)
    return text


def _time(event: dict[str, t.Any], name: str) -> str:
    """The moment, which must be one with which time can be reckoned."""
    if not 2000 <= parse_utc(event[name]).year < 3000:
        raise ValueError(event[name])
    return str(event[name])


def _text(event: dict[str, t.Any], name: str) -> str:
    """The text, which must be one that can be shown."""
    if not event[name].isprintable():
        raise ValueError(name)
    return str(event[name])
