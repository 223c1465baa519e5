# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one account: its secrets, its login tokens, and the check of both; and the other users that it meets."""

from __future__ import annotations

import base64
import secrets
import string
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clock import Clock
from responses import ApiError
from settings import Settings
from signature import AccessKey

FEATURES = b"ads=0,share=200,concurrent=100,p2pduration=28800,p2pdaily=10000,guest=0"
"""What a recorded login says the account may do."""


@dataclass(frozen=True)
class User:
    """Who owns a device or a connection."""

    id: str
    email: str

    @classmethod
    def from_email(cls, email: str) -> User:
        """Somebody, who is the same in each run."""
        return cls(str(uuid.uuid5(uuid.NAMESPACE_URL, f"mailto:{email}")), email)

    def row(self) -> dict[str, Any]:
        return {"id": self.id, "email": self.email}


class Account:
    """Random secrets for each run, so that a secret found in a log can only come from there."""

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self._tokens: dict[str, float] = {}
        self.user = User.from_email("fleet@example.com")
        self.username = self.user.email
        self.password = secrets.token_hex(12)
        self.authhash = secrets.token_hex(20).upper()
        self.developer_key = secrets.token_hex(20).upper()
        self.access_key_id = "".join(secrets.choice(string.ascii_uppercase + "234567") for _unused in range(20))
        self.secret_access_key = _base64_secret()
        self.access_key = AccessKey(self.access_key_id, self.secret_access_key, settings)

    def issue_token(self) -> tuple[str, int]:
        """Return a new token, 32 lower-case hex digits, and the Unix time at which it expires."""
        token = secrets.token_hex(16)
        self._tokens[token] = self._clock.now() + self._settings.token_life
        return token, int(self._tokens[token])

    def forget(self, token: str) -> None:
        """Log a token out."""
        self._tokens.pop(token, None)

    def expire_tokens(self) -> int:
        """Forget every token and tell how many there were."""
        count = len(self._tokens)
        self._tokens.clear()
        return count

    def check_developer_key(self, headers: Mapping[str, str]) -> None:
        """Wording: section 8 of the reference, confidence H. `apikey` is accepted as well (section 1.2)."""
        given = headers.get("developerkey") or headers.get("apikey") or ""
        if not secrets.compare_digest(given.encode(), self.developer_key.encode()):
            raise ApiError(401, "api key failed validation")

    def check_token(self, headers: Mapping[str, str]) -> None:
        """A missing and an expired token are answered alike (section 8)."""
        if self._tokens.get(headers.get("token", ""), 0.0) <= self._clock.now():
            raise ApiError(401, "missing api token")

    def login(self, body: dict[str, Any]) -> dict[str, Any]:
        """ApiResponse a login with the keys that were recorded, secrets included (section 2)."""
        if not body.get("username"):
            raise ApiError(401, "missing user")
        given = (str(body["username"]).lower(), body.get("password"), body.get("authhash"))
        if given not in ((self.username, self.password, None), (self.username, None, self.authhash)):
            raise ApiError(401, "[0102] The username or password is invalid")
        if self._settings.mfa:
            raise ApiError(401, "multi-factor authentication is required", self._settings.mfa)
        return self.info()

    def info(self) -> dict[str, Any]:
        """The account with a new token, in the keys of a recorded login (sections 2 and 10)."""
        token, expires = self.issue_token()
        return {
            "status": "true",
            "token": token,
            "token_index": "email",
            "email": self.username,
            "guid": self.user.id,
            "service_authhash": self.authhash,
            "service_token": token,
            "service_level": "BASIC",
            "storage_plan": "BASIC",
            "secondary_auth": secrets.token_hex(20).upper(),
            "auth_token": token,
            "auth_expiration": expires,
            "apikey": self.developer_key,
            "developer_key": self.developer_key,
            "language": "en",
            "developer_plan": "BASIC",
            "portal_plan": "BASIC",
            "portal_plan_expires": "2038-01-01 00:00:00",
            "announcements": [],
            "service_features": base64.b64encode(FEATURES).decode(),
            "member_since": "2018-03-29T04:19:02.19-04:00",
            "index": self.user.id,
            "pubsub_channel": self.user.id,
            "aws_identity": None,
            "commerical_setting": "0",
        }


def _base64_secret() -> str:
    """30 random bytes, of which the two alphabets of base64 make different texts."""
    while not set("+/") & set(secret := base64.b64encode(secrets.token_bytes(30)).decode()):
        pass
    return secret
