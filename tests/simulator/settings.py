# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that tests can change while the simulator runs."""

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
    "account_sessions": ("own", "all"),
    "mfa": (None, "SMS_MFA", "SOFTWARE_TOKEN_MFA", "MFA_SETUP"),
}


@dataclass
class Settings:
    """The settings. Their defaults are the known behavior of the vendor (sections 1.4, 1.5, 4.3 and 4.6)."""

    latency: float = 0.0
    """The seconds that a connect call takes. The next three are those of other calls."""
    stop_latency: float = 0.0
    login_latency: float = 0.0
    list_latency: float = 0.0
    second_connect: str = "add"
    """The effect of a connect call on a service with an open connection. Recordings of the vendor's API conflict."""
    web_host: str = "*.p1.localhost"
    """The host of a reverse proxy. A label replaces the star. Not every resolver knows names below localhost."""
    body: str = "full"
    """The response to a connect call: as recorded in 2021, as the vendor documents it, or as recorded in 2020."""
    connectionid: str | None = None
    """The place of the ID in the response to a connect call. The default depends on ``body``."""
    numbers: str = "mixed"
    """The type of ``expirationsec`` and ports: each as recorded, strings, or numbers."""
    escaped_slashes: bool = True
    nulls: bool = False
    """Whether missing values are sent as ``[null]``."""
    extra_keys: bool = False
    """Whether responses contain undocumented keys."""
    failures: str = "codes"
    """The form of errors: ``codes`` is an HTTP status, a code and a reason. ``bare`` is 200 and ``{"status": "false"}``
    for connect and list, as documented in 2021. ``bare-everywhere`` is the same for all calls."""
    mfa: str | None = None
    """The error code if the account needs a second factor, which prevents a login with a password."""
    access_key: bool = True
    """Whether the access key is enabled."""
    signature_window: float = 300.0
    """The seconds by which the date of a signature can differ from real time. The vendor's value is unknown."""
    clock_skew: float = 0.0
    """The seconds by which the server's real time and its ``Date`` header are ahead."""
    graphql_refusal: str = "forbidden"
    """The response to a wrong signature: 403 or 401. Both were recorded (section 3.6)."""
    disconnect_unknown: str = "false"
    """The response to a disconnect of an unknown connection. The vendor's is unknown."""
    bulk_in_services: bool = True
    """Whether the services of a device include its Bulk service."""
    account_sessions: str = "own"
    """The content of ``login.sessions``: the sessions of the user's own services. ``all`` adds those that the user
    opened to services of an organization (section 10). ``Service.sessions`` contains all of them."""
    session_ids_match: bool = True
    """Whether a session has the ID of its connection, as since 2022 (section 6.4)."""
    vanishing_devices: bool = False
    """Whether the first device of each page is removed before the next page."""
    max_connections: int = 0
    """The limit of open connections of the account. 0 is no limit. The vendor's limit is unknown."""
    rate_limit: int = 0
    """The connect calls of the account in a second. Others get 429 and ``Retry-After: 1``. 0 is no limit."""
    life: float = 28800.0
    idle: float = 900.0
    token_life: float = 604800.0

    def update(self, changes: dict[str, Any]) -> None:
        """Apply all changes, or raise ``ValueError`` and apply none."""
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
