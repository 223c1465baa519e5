# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The format of a ledger: one event in each line, as JSON.

The first line is a ``run`` event: it contains the IDs of the run and of its CI job, and the identity of its controller
process. The other events belong to a connection, whose ``number`` is unique in the file:

- ``intent``: a connect call is about to be sent,
- ``opened``: the call opened a connection,
- ``settling``: a session was closed as the connection of this call. It may be another one, and the API may open that of
  the call later,
- ``detached``: the connection stays open when the run ends,
- ``closing``: a disconnect call is about to be sent, and this run does not need the connection any more,
- ``responded``: the API did not know the connection, but its proxy responded,
- ``closed``: the connection is closed, or was never opened.

The keeper appends an ``ended`` event when the run ends and leaves something open. A teardown appends one when it finds
that the run has ended. A ledger contains no secrets.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import (
    CONNECTION_ID,
    IDLE_SECONDS,
    MAX_SECONDS,
    SERVICE_ID,
    PortProxy,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, parse_utc, sanitize, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import sanitize_job_id
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import has_exited, is_alive

#: Seconds after its expiry until a connection counts as closed. They allow for clock skew.
_GRACE_SECONDS = 60
#: Seconds after which a connect call has opened its connection, or never will: the minute in which it may be repeated,
#: and the largest ``timeout``.
SETTLED_SECONDS = 240
#: The form of a run ID.
_RUN_ID = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,99}")
#: The PID of a further keeper of the run, in the name of its ledger.
_PID_IN_NAME = re.compile(r"(-[0-9a-f]{10})-[0-9]+$")


@dataclasses.dataclass
class Entry:
    """A connect call and its connection, as a ledger records them."""

    number: int
    service: str
    api_url: str
    account: str
    intended_at: str
    host: str | None = None  # the inventory host for which it was opened
    connectionid: str | None = None
    opened_at: str | None = None
    expires_at: str | None = None
    proxy: PortProxy | None = None  # unless it is a reverse proxy or not known
    detached: bool = False
    closing: bool = False
    settling: bool = False
    responded_at: str | None = None  # when its proxy responded, although the API did not know the connection
    closed: str | None = None

    @property
    def expires_by(self) -> str:
        """Return when the vendor closes the connection at the latest.

        A connection whose ID is unknown cannot be used, so it expires when it has been idle for 15 minutes. It may have
        been opened some time after the call was sent.
        """
        if self.connectionid is None:
            return format_utc(parse_utc(self.intended_at) + datetime.timedelta(seconds=SETTLED_SECONDS + IDLE_SECONDS))
        return self.expires_at or format_utc(
            parse_utc(self.opened_at or self.intended_at) + datetime.timedelta(seconds=MAX_SECONDS)
        )

    @property
    def age(self) -> int:
        """Return the seconds since it was opened, or since its connect call was sent."""
        return int((utc_now() - parse_utc(self.opened_at or self.intended_at)).total_seconds())

    @property
    def gone_at(self) -> str:
        """Return when it counts as closed."""
        return format_utc(parse_utc(self.expires_by) + datetime.timedelta(seconds=_GRACE_SECONDS))

    @property
    def has_expired(self) -> bool:
        return parse_utc(self.gone_at) < utc_now()

    def as_info(self, snapshot: LedgerSnapshot) -> dict[str, t.Any]:
        """Return the entry as ``remoteit_connection_info`` documents it."""
        return {
            "run_id": snapshot.run_id,
            "alive": snapshot.alive,
            "inventory_host": self.host,
            "deviceaddress": self.service,
            "connectionid": self.connectionid,
            "opened_at": self.opened_at or self.intended_at,
            "age": self.age,
            "ends_by_itself_at": self.expires_by,
            "time_left": max(0, int((parse_utc(self.expires_by) - utc_now()).total_seconds())),
            "detached": self.detached,
            "account": self.account,
            "api_url": self.api_url,
        }


@dataclasses.dataclass
class LedgerSnapshot:
    """The content of a ledger at one time."""

    path: str
    run_id: str
    alive: bool  # the run is still running
    entries: list[Entry]
    job: str | None = None  # the ID of the CI job
    controller: str | None = None  # the identity of the controller process
    has_ended: bool = False  # the ledger contains an ``ended`` event
    was_killed: bool = True  # the keeper did not end the run
    has_first_line: bool = False
    is_damaged: bool = False  # a line is invalid or missing
    changed_at: float = 0.0  # the time of the last change of the file, in seconds since 1970

    @property
    def unfinished(self) -> list[Entry]:
        """Return the entries that a teardown has to finish."""
        return [entry for entry in self.entries if entry.closed is None]

    @property
    def open(self) -> list[Entry]:
        """Return the entries that are open, or may be."""
        return [entry for entry in self.unfinished if not entry.settling]

    def matches(self, run_id: str | None) -> bool:
        """Return whether the run has this ID, or belongs to the CI job with this ID. ``None`` matches every run."""
        if run_id is None or run_id in (self.run_id, self.job):
            return True
        if self.has_first_line:
            return False
        # The first line of a damaged ledger may have contained this ID.
        return re.fullmatch(rf"{re.escape(sanitize_job_id(run_id))}-[0-9a-f]{{10}}", self.run_id) is not None

    @property
    def hides_until(self) -> str:
        """Return when the last connection ends of which a damaged ledger shows nothing."""
        return format_utc(self._last_change + datetime.timedelta(seconds=MAX_SECONDS + _GRACE_SECONDS))

    @property
    def may_hide_connections(self) -> bool:
        return self.is_damaged and parse_utc(self.hides_until) > utc_now()

    def idle_end(self, entry: Entry) -> str:
        """Return when the proxy of a connection has ended by itself, if nothing has used it since it was tested.

        One that was not tested was used until the last change of the file at least.
        """
        used_at = self._last_change if entry.responded_at is None else parse_utc(entry.responded_at)
        return format_utc(used_at + datetime.timedelta(seconds=IDLE_SECONDS + _GRACE_SECONDS))

    def may_respond(self, entry: Entry) -> bool:
        """Return whether the proxy of a connection can be open.

        The vendor may give its address to another connection after its end. A run that is running keeps it open.
        """
        return not entry.has_expired and (self.alive or parse_utc(self.idle_end(entry)) > utc_now())

    @property
    def _last_change(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.changed_at, datetime.timezone.utc)

    @property
    def is_known_ended(self) -> bool:
        """Return whether the run has certainly ended, even if another process holds the lock."""
        return self.has_ended or has_exited(self.controller)

    @property
    def ids_in_use(self) -> set[str]:
        """Return the IDs of the connections that the run still needs. A run that has ended needs none."""
        return {entry.connectionid for entry in self.open if self.alive and not entry.closing and entry.connectionid}


def is_lost_block(line: bytes) -> bool:
    """Return whether a file system has lost the content of a line, which is zeros then."""
    return b"\0" in line


def encode_event(event: dict[str, t.Any]) -> bytes:
    """Return the line of an event, by default with the current time."""
    return json.dumps({"at": format_utc(utc_now()), **event}).encode() + b"\n"


def parse_ledger(path: str, file: t.IO[bytes], *, is_locked: bool) -> LedgerSnapshot:
    """Read a ledger from the current position of the file. Skip lines that are incomplete or invalid.

    The last line is incomplete if its writer was killed. Any other invalid line is a damage, and so is a lost block.

    :param is_locked: another process, the keeper, holds the exclusive lock. A run can also be running without a keeper.
    """
    name = os.path.basename(path).removesuffix(".jsonl")
    snapshot = LedgerSnapshot(path, sanitize(_PID_IN_NAME.sub(r"\1", name)), is_locked, [])
    snapshot.changed_at = os.fstat(file.fileno()).st_mtime
    entries: dict[t.Any, Entry] = {}
    lines = file.read().split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            if event["event"] in ("run", "ended"):
                _apply_to_run(event, snapshot, is_locked)
            elif event["event"] == "intent":
                entries[event["number"]] = _parse_intent(event)
            else:
                _apply_to_entry(event, entries[event["number"]])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            snapshot.is_damaged |= number < len(lines) or is_lost_block(line)
    snapshot.is_damaged |= not snapshot.has_first_line
    snapshot.entries = list(entries.values())
    return snapshot


def reload_ledger(snapshot: LedgerSnapshot, file: t.IO[bytes]) -> LedgerSnapshot:
    """Read the ledger of an ended run again."""
    file.seek(0)
    return parse_ledger(snapshot.path, file, is_locked=False)


def _apply_to_run(event: dict[str, t.Any], snapshot: LedgerSnapshot, is_locked: bool) -> None:
    if event["event"] == "run":
        snapshot.run_id = _checked(event["run"], _RUN_ID)
        snapshot.has_first_line = True
        snapshot.job = event.get("job") and str(event["job"])
        snapshot.controller = event.get("controller") and _text(event, "controller")
        snapshot.alive = is_alive(snapshot.controller) or (is_locked and not has_exited(snapshot.controller))
    else:
        snapshot.has_ended, snapshot.alive = True, is_alive(snapshot.controller)
        snapshot.was_killed = snapshot.was_killed and event.get("by") != "keeper"


def _parse_intent(event: dict[str, t.Any]) -> Entry:
    return Entry(
        number=event["number"],
        service=_checked(event["service"], SERVICE_ID),
        api_url=_text(event, "api_url"),
        account=_text(event, "account"),
        intended_at=_time(event, "at"),
        host=sanitize(event.get("host")) or None,
    )


def _apply_to_entry(event: dict[str, t.Any], entry: Entry) -> None:
    kind = event["event"]
    if kind == "opened":
        entry.connectionid = _checked(event["connectionid"], CONNECTION_ID)
        entry.opened_at, entry.detached = _time(event, "at"), event["detached"] is True
        entry.expires_at = event["expires_at"] and _time(event, "expires_at")
        entry.proxy = event["proxy"] and _proxy(event["proxy"])
    elif kind == "detached":
        entry.detached = True
    elif kind == "closing":
        entry.closing = True
    elif kind == "settling":
        entry.settling = True
    elif kind == "responded":
        entry.responded_at = _time(event, "at")
    elif kind == "closed":
        entry.closed = str(event["outcome"])


def _checked(text: str, form: re.Pattern[str]) -> str:
    """Return the text.

    :raises ValueError: the text does not have this form.
    """
    if not form.fullmatch(text):
        raise ValueError(text)
    return text


def _time(event: dict[str, t.Any], name: str) -> str:
    """Return a timestamp of an event.

    :raises ValueError: the value is not a timestamp, or adding hours to it could overflow.
    """
    if not 2000 <= parse_utc(event[name]).year < 3000:
        raise ValueError(event[name])
    return str(event[name])


def _proxy(value: dict[str, t.Any]) -> PortProxy:
    """Return the address of a proxy.

    :raises ValueError: the port is not one.
    """
    if not (isinstance(value["port"], int) and 0 < value["port"] < 65536):
        raise ValueError(value["port"])
    return PortProxy(_text(value, "host"), value["port"], _text(value, "restriction"))


def _text(event: dict[str, t.Any], name: str) -> str:
    """Return a text of an event.

    :raises ValueError: the text contains characters that cannot be printed.
    """
    if not event[name].isprintable():
        raise ValueError(name)
    return str(event[name])
