# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test can switch while the simulator runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

CHOICES: dict[str, tuple[str | None, ...]] = {
    "second_connect": ("reuse", "override", "add"),
    "body": ("full", "minimal", "override"),
    "connectionid": (None, "inner", "top", "both", "absent"),
    "numbers": ("mixed", "strings", "numbers"),
    "failures": ("codes", "bare", "bare-everywhere"),
    "web_host": ("*.p1.localhost", "localhost", "127.0.0.1"),
    "graphql_refusal": ("forbidden", "unauthorized"),
    "disconnect_unknown": ("false", "error"),
    "pages": ("honest", "endless", "repeating"),
    "between_pages": (None, "vanish", "return"),
    "account_sessions": ("own", "all"),
    "mfa": (None, "SMS_MFA", "SOFTWARE_TOKEN_MFA", "MFA_SETUP"),
}


@dataclass
class Settings:
    """Defaults are the vendor's behaviour as far as it is known (remoteit-api.md, sections 1.4, 1.5, 4.3 and 4.6)."""

    latency: float = 0.0
    """Seconds a connect takes; the next three are those of the other calls."""
    stop_latency: float = 0.0
    login_latency: float = 0.0
    list_latency: float = 0.0
    second_connect: str = "add"
    """What a connect does to a service that has an open connection. The evidence conflicts, so all three exist."""
    web_host: str = "*.p1.localhost"
    """Host of a reverse proxy's URL, a label in place of the star. Not every resolver knows names below localhost."""
    body: str = "full"
    """ApiResponse to a connect: as recorded in 2021 (full), as the vendor's page prints it, or as recorded in 2020."""
    connectionid: str | None = None
    """Where an answer to a connect carries its id; None: where that body has it."""
    numbers: str = "mixed"
    """`expirationsec` and ports as strings, as numbers, or each as recorded."""
    escaped_slashes: bool = True
    nulls: bool = False
    """Absent values are sent as `[null]`."""
    extra_keys: bool = False
    """Answers carry keys that no document knows."""
    failures: str = "codes"
    """Failures answer a code and a reason; or (`bare`) 200 and `{"status": "false"}` to connect and list, as documented
    in 2021; or so to every call."""
    mfa: str | None = None
    """The account asks for a second factor: no login by password."""
    access_key: bool = True
    """The access key is enabled."""
    signature_window: float = 300.0
    """By how many seconds the date of a signature may differ from the server's real time; the true one is unknown."""
    clock_skew: float = 0.0
    """By how many seconds the server's real time, its `Date` header included, is ahead of ours."""
    graphql_refusal: str = "forbidden"
    """A signature that is refused: 403 `Forbidden`, or 401 `Unauthorized`; both were seen (section 3.6)."""
    disconnect_unknown: str = "false"
    """What disconnecting an unknown connection answers: `false`, or an error. Nobody knows."""
    bulk_in_services: bool = True
    """A device's services include the device itself, its Bulk service."""
    account_sessions: str = "own"
    """The sessions in `login.sessions`: only those to the user's own services, or also those that the user has opened
    to services of an organization (section 10). `Service.sessions` has all of them."""
    session_ids_match: bool = True
    """A session has its connection's id, as since 2022; or an id of its own (section 6.4)."""
    pages: str = "honest"
    """What `hasMore` says after the last device: the truth; or true, and empty pages; or true, and all over again."""
    between_pages: str | None = None
    """After a page with more to come: its first device is gone; or all that were gone are back."""
    max_connections: int = 0
    """How many connections the account may have open; 0: any number. Whether the vendor has a limit is not known."""
    life: float = 28800.0
    idle: float = 900.0
    token_life: float = 604800.0

    def update(self, changes: dict[str, Any]) -> None:
        """Take over all changes, or none and raise ValueError."""
        known = {field.name for field in fields(self)}
        clean: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"unknown setting {name!r}, there are {sorted(known)}")
            if name in CHOICES:
                if value not in CHOICES[name]:
                    raise ValueError(f"{name} is one of {CHOICES[name]}, not {value!r}")
            elif isinstance(getattr(self, name), bool):
                if not isinstance(value, bool):
                    raise ValueError(f"{name} is true or false, not {value!r}")
            elif isinstance(value, bool) or not isinstance(value, (int, float)) or (value < 0 and name != "clock_skew"):
                raise ValueError(f"{name} is a number, not {value!r}")
            clean[name] = value
        for name, value in clean.items():
            setattr(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
