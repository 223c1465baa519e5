# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users, and the account of the client: its secrets, and the checks of the secrets in requests.

"Section" means one of the reference on the vendor's API, here and in the other modules.
"""

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
"""The features of the account, as in a recorded response to a login."""


@dataclass(frozen=True)
class User:
    """The owner of a device or a connection."""

    id: str
    email: str

    @classmethod
    def from_email(cls, email: str) -> User:
        """Return a user whose ID depends only on the email address."""
        return cls(str(uuid.uuid5(uuid.NAMESPACE_URL, f"mailto:{email}")), email)

    def row(self) -> dict[str, Any]:
        return {"id": self.id, "email": self.email}


class Account:
    """The account of the client. Its secrets are random, so that a secret in a log can only come from the simulator."""

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
        """Invalidate all tokens, and return their number."""
        count = len(self._tokens)
        self._tokens.clear()
        return count

    def check_developer_key(self, headers: Mapping[str, str]) -> None:
        """Raise ``ApiError`` with the vendor's words (section 8). ``apikey`` is accepted as well (section 1.2)."""
        given = headers.get("developerkey") or headers.get("apikey") or ""
        if not secrets.compare_digest(given.encode(), self.developer_key.encode()):
            raise ApiError(401, "api key failed validation")

    def check_token(self, headers: Mapping[str, str]) -> None:
        """Raise the same ``ApiError`` for a missing and an expired token (section 8)."""
        if self._tokens.get(headers.get("token", ""), 0.0) <= self._clock.now():
            raise ApiError(401, "missing api token")

    def login(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the response to a login, with all recorded keys, including secrets (section 2)."""
        if not body.get("username"):
            raise ApiError(401, "missing user")
        given = (str(body["username"]).lower(), body.get("password"), body.get("authhash"))
        if given not in ((self.username, self.password, None), (self.username, None, self.authhash)):
            raise ApiError(401, "[0102] The username or password is invalid")
        if self._settings.mfa:
            raise ApiError(401, "multi-factor authentication is required", self._settings.mfa)
        return self.info()

    def info(self) -> dict[str, Any]:
        """Return the account with a new token, as in a recorded response to a login (sections 2 and 10)."""
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
    """Return 30 random bytes whose encodings in the two alphabets of base64 differ."""
    while not set("+/") & set(secret := base64.b64encode(secrets.token_bytes(30)).decode()):
        pass
    return secret
