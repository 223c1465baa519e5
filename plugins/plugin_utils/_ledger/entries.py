# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The events of a ledger, and what they add up to."""

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
    SERVICE_ID,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, parse_utc, sanitize, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import sanitize_job_id
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import has_exited, is_alive

#: How long after its time a connection is taken for ended: clocks differ, and so may the vendor's idea of idle.
_GRACE_SECONDS = 60
#: A run's id, as it is made.
_RUN_ID = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,99}")


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
    def expires_by(self) -> str:
        """When the vendor ends it at the latest. An opening whose answer was lost has nobody who uses it."""
        if self.connectionid is None:
            return format_utc(parse_utc(self.intended_at) + datetime.timedelta(seconds=IDLE_SECONDS))
        return self.expires_at or format_utc(
            parse_utc(self.opened_at or self.intended_at) + datetime.timedelta(hours=8)
        )

    @property
    def has_expired(self) -> bool:
        return parse_utc(self.expires_by) + datetime.timedelta(seconds=_GRACE_SECONDS) < utc_now()

    def as_info(self, snapshot: LedgerSnapshot) -> dict[str, t.Any]:
        opened_at = self.opened_at or self.intended_at
        return {
            "run_id": snapshot.run_id,
            "alive": snapshot.alive,
            "deviceaddress": self.service,
            "connectionid": self.connectionid,
            "opened_at": opened_at,
            "age": int((utc_now() - parse_utc(opened_at)).total_seconds()),
            "ends_by_itself_at": self.expires_by,
            "time_left": max(0, int((parse_utc(self.expires_by) - utc_now()).total_seconds())),
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
    found_ended: bool = False

    @property
    def open(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.closed is None]

    def matches(self, run_id: str | None) -> bool:
        """Whether it is the snapshot of this run, or of a run in this CI job."""
        of_the_job = rf"{re.escape(sanitize_job_id(run_id or ''))}-[0-9a-f]{{10}}"
        return run_id is None or self.run_id == run_id or re.fullmatch(of_the_job, self.run_id) is not None

    @property
    def is_known_ended(self) -> bool:
        """Whether the run is known to be dead, whoever has the lock."""
        return self.found_ended or has_exited(self.controller)

    @property
    def ids_in_use(self) -> set[str]:
        """The ids of connections that it has open and is not about to close; of a run that is dead, none."""
        return {entry.connectionid for entry in self.open if self.alive and not entry.closing and entry.connectionid}


def encode_event(entry: dict[str, t.Any]) -> bytes:
    return json.dumps({**entry, "at": format_utc(utc_now())}).encode() + b"\n"


def parse_ledger(path: str, file: t.IO[bytes], *, is_locked: bool) -> LedgerSnapshot:
    """Read a ledger; a line that is not one of ours, or not whole, is passed over.

    :param is_locked: its keeper lives; a run may also live on without one.
    """
    snapshot = LedgerSnapshot(path, sanitize(os.path.basename(path).removesuffix(".jsonl")), is_locked, [])
    entries: dict[t.Any, Entry] = {}
    for line in file.read().split(b"\n"):
        try:
            event = json.loads(line)
            kind, number = event["event"], event.get("number")
            if kind == "run":
                snapshot.run_id = _checked(event["run"], _RUN_ID)
                snapshot.controller = event.get("controller") and _text(event, "controller")
                snapshot.alive = is_alive(snapshot.controller) or (is_locked and not has_exited(snapshot.controller))
            elif kind == "ended":
                snapshot.found_ended, snapshot.alive = True, is_alive(snapshot.controller)
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
                entries[number].closed = str(event["outcome"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    snapshot.entries = list(entries.values())
    return snapshot


def reload_ledger(snapshot: LedgerSnapshot, file: t.IO[bytes]) -> LedgerSnapshot:
    """What it says by now; its run does not live."""
    file.seek(0)
    return parse_ledger(snapshot.path, file, is_locked=False)


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
