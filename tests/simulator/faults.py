# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that tests inject into the next calls."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

CALLS = ("connect", "stop", "login", "list", "sessions", "account", "any")
KINDS = ("http", "html", "empty", "delay", "drop", "throttle", "lost", "body")


@dataclass
class Fault:
    """A fault of the next ``times`` calls that match."""

    fault: str
    call: str = "any"
    deviceaddress: str | None = None
    times: int | str = 1
    seconds: float = 0.0
    """The delay before anything else happens, for every kind of fault."""
    status: int | None = None
    reason: str | None = None
    code: str = "GENERAL_ERROR"
    title: str = "Slim Application Error"
    retry_after: int | str | None = None
    create: bool = False
    """For ``body``: whether to perform the call before the response is sent."""
    text: str | None = None
    json: Any = None
    override: dict[str, Any] | None = None
    """For ``body``: values to merge into the real response, which implies ``create``."""
    content_type: str = "application/json"

    @classmethod
    def parse(cls, row: Any) -> Fault:
        """Parse a fault, or raise ``ValueError`` or ``TypeError``."""
        if not isinstance(row, dict):
            raise TypeError(f"a fault is an object, not {row!r}")
        unknown = set(row) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown keys in a fault: {sorted(unknown)}")
        if row.get("fault") not in KINDS:
            raise ValueError(f"fault is one of {KINDS}, not {row.get('fault')!r}")
        if row.get("call", "any") not in CALLS:
            raise ValueError(f"call is one of {CALLS}, not {row['call']!r}")
        times = row.get("times", 1)
        if times != "always" and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
            raise ValueError(f"times is a positive number or 'always', not {times!r}")
        if row["fault"] == "body" and not {"text", "json", "override"} & set(row):
            raise ValueError("a fault 'body' needs text, json or override")
        return cls(**row)

    def matches(self, call: str, deviceaddress: str | None) -> bool:
        if self.call not in ("any", call):
            return False
        return self.deviceaddress is None or self.deviceaddress.lower() == (deviceaddress or "").lower()


class Faults:
    """The faults to come. A call uses the first fault that matches it."""

    def __init__(self) -> None:
        self._script: list[Fault] = []

    def extend(self, rows: Any) -> None:
        """Append faults, or none if one of them is invalid."""
        self._script += [Fault.parse(row) for row in (rows if isinstance(rows, list) else [rows])]

    def clear(self) -> None:
        self._script.clear()

    def take(self, call: str, deviceaddress: str | None) -> Fault | None:
        for fault in self._script:
            if fault.matches(call, deviceaddress):
                if isinstance(fault.times, int):
                    fault.times -= 1
                    if fault.times == 0:
                        self._script.remove(fault)
                return fault
        return None

    def as_list(self) -> list[dict[str, Any]]:
        """Return the faults that are left."""
        return [asdict(fault) for fault in self._script]


def merge(base: Any, changes: Any) -> Any:
    """Return ``base`` with changes. Objects are merged, everything else is replaced."""
    if not (isinstance(base, dict) and isinstance(changes, dict)):
        return changes
    return {**base, **{key: merge(base.get(key), value) for key, value in changes.items()}}


def fill(template: Any, facts: dict[str, str]) -> Any:
    """Replace ``{connectionid}``, ``{port}`` and other values in every string of a template."""
    if isinstance(template, str):
        for name, value in facts.items():
            template = template.replace("{" + name + "}", value)
        return template
    if isinstance(template, list):
        return [fill(item, facts) for item in template]
    if isinstance(template, dict):
        return {key: fill(value, facts) for key, value in template.items()}
    return template
