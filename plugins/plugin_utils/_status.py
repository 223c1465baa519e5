# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Show open connections as a table that fits in 80 columns, together with what Ansible prints around each line."""

from __future__ import annotations

import datetime
import itertools
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import MAX_SECONDS
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, parse_utc, sanitize

Entry = t.Mapping[str, t.Any]

_MAX_LINE_LENGTH = 69
_MAX_NAME_LENGTH = 37
_UNKNOWN = "unknown"


def table_of(connections: t.Sequence[Entry], sessions: t.Sequence[Entry] | None) -> list[str]:
    """Return the lines of the table: the connections of each run, then those that no run has opened.

    :param connections: those of the ledgers, as ``remoteit_connection_info`` documents them.
    :param sessions: those of the account; ``None`` if they cannot be listed.
    """
    lines = []
    for run_id, entries in itertools.groupby(sorted(connections, key=_order), key=lambda entry: str(entry["run_id"])):
        of_run = list(entries)
        lines.append(_heading_of(run_id, is_running=of_run[0]["alive"]))
        lines += [_row(entry, entry["ends_by_itself_at"]) for entry in of_run]
    known = {entry["connectionid"] for entry in connections}
    foreign = [session for session in sessions or () if session["connectionid"] not in known]
    if foreign:
        lines.append("account, opened by no run on this controller")
        lines += [
            _row(session, _end_of(session)) for session in sorted(foreign, key=lambda each: str(each["opened_at"]))
        ]
    if lines:
        lines.insert(0, f"{'DEVICE':<{_MAX_NAME_LENGTH + 2}}  OPENED (UTC)   ENDS BY (UTC)")
    elif sessions is None:
        lines.append("no run on this controller has an open connection")
    else:
        lines.append("no open connections")
    if sessions is None:
        lines.append("the connections of the account are unknown: it could not be listed")
    return lines


def _order(entry: Entry) -> tuple[str, str, str]:
    return str(entry["run_id"]), str(entry["opened_at"]), str(entry["inventory_host"])


def _heading_of(run_id: str, *, is_running: bool) -> str:
    ending = "running" if is_running else "ended"
    return f"run {_shorten(run_id, _MAX_LINE_LENGTH - len('run , running'))}, {ending}"


def _row(entry: Entry, end: str | None) -> str:
    name = sanitize(entry.get("inventory_host") or entry["deviceaddress"]) or _UNKNOWN
    kept = " (detached)" if entry.get("detached") else ""
    cell = _shorten(name, _MAX_NAME_LENGTH - len(kept)) + kept
    return f"  {cell:<{_MAX_NAME_LENGTH}}  {_minute_of(entry['opened_at']):<12}   {_minute_of(end)}"


def _end_of(session: Entry) -> str | None:
    """Return when the vendor ends a session at the latest."""
    try:
        return format_utc(parse_utc(session["opened_at"]) + datetime.timedelta(seconds=MAX_SECONDS))
    except (TypeError, ValueError, OverflowError):
        return None


def _minute_of(time: str | None) -> str:
    """Return a time without its year and seconds."""
    return _UNKNOWN if time is None else f"{time[5:10]} {time[11:16]}"


def _shorten(text: str, length: int) -> str:
    """Return the text, or its end: the numbers of devices and of CI jobs are there."""
    return text if len(text) <= length else "..." + text[3 - length :]
