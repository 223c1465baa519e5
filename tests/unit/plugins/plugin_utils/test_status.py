# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of open connections."""

from __future__ import annotations

import typing as t

from documentation import named

from ansible_collections.remoteit.fleet.plugins.plugin_utils._status import table_of

SERVICE = "80:00:00:00:01:00:40:C5"


def entry(
    run_id: str = "4711-09af3c55d2", host: str | None = "kiosk-7", at: str = "23:20", end: str = "07:20", **more: t.Any
) -> dict[str, t.Any]:
    return {
        "run_id": run_id,
        "alive": True,
        "inventory_host": host,
        "deviceaddress": SERVICE,
        "connectionid": f"{run_id} {host}",
        "opened_at": f"2026-01-15T{at}:00Z",
        "ends_by_itself_at": f"2026-01-16T{end}:00Z",
        "detached": False,
        **more,
    }


def session(connectionid: str | None, opened_at: str | None = "2026-01-15T21:40:00Z") -> dict[str, t.Any]:
    return {"connectionid": connectionid, "deviceaddress": "80:00:00:00:01:00:40:C6", "opened_at": opened_at}


def test_table_is_as_documented() -> None:
    connections = [
        entry("4712-5a0b1d22c7", None, "22:05", "06:05", alive=False),
        entry(host="kiosk-8", at="23:21", end="07:21", detached=True),
        entry(),
    ]
    table = table_of(connections, [session("foreign"), session(connections[0]["connectionid"])])
    assert "\n".join(table) == named("status-table").code.rstrip("\n")


def test_table_without_connections() -> None:
    assert table_of([], []) == ["no open connections"]
    assert table_of([], None)[0] == "no run on this controller has an open connection"
    assert len(table_of([], None)) == 2


def test_table_with_unknown_values() -> None:
    table = table_of([], [session(None, None)])
    assert table[-1].split() == ["80:00:00:00:01:00:40:C6", "unknown", "unknown"]


def test_lines_are_short_and_printable() -> None:
    """Eight columns of indentation, two quotes and a comma are left for what Ansible prints around a line."""
    connections = [entry("r" * 90 + "-0123456789", "h" * 200 + "-7", detached=True), entry(host="\x1b[31m")]
    table = table_of(connections, [session("foreign")])
    assert max(map(len, table)) <= 80 - 8 - 3
    assert "".join(table).isprintable()
    assert any("h-7 (detached)" in line for line in table)
