# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP signatures and secret access keys."""

from __future__ import annotations

import base64
import calendar
import email.utils
import hashlib
import hmac
import re
import time

import pytest
import requests

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api import signature as _signature
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import hmac_key
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.signature import Signature
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import ACCESS_KEY_ID, SECRET_ACCESS_KEY, import_copy

URL = "https://api.remote.it/graphql/v1"
SIGNED_AT = calendar.timegm((2022, 6, 7, 20, 51, 35))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Set the time of the clock."""
    now = [float(SIGNED_AT)]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def signed(url: str = URL, secret: str = SECRET_ACCESS_KEY) -> requests.PreparedRequest:
    request = requests.Request(
        "POST", url, data=b"{}", headers={"Content-Type": "application/json"}, auth=Signature(ACCESS_KEY_ID, secret)
    )
    return requests.Session().prepare_request(request)


def test_signature_matches_the_reference_vector(now: list[float]) -> None:
    headers = signed().headers
    assert headers["Authorization"] == (
        'Signature keyId="PV7BWOOSA34XBPHDYFFO",algorithm="hmac-sha256",headers="(request-target) host date'
        ' content-type",signature="phXkERhDC/YXWIhVE/KlDrVH6cALe59KE0lF9ar4y+U="'
    )
    assert (headers["Date"], headers["Host"]) == ("Tue, 07 Jun 2022 20:51:35 GMT", "api.remote.it")


def test_signature_matches_the_vector_with_content_length(now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor's page lists five headers, with a known signature."""
    monkeypatch.setattr(_signature, "_HEADERS", (*_signature._HEADERS, "content-length"))
    request = requests.Request("POST", URL, data=b"x" * 28, headers={"Content-Type": "application/json"})
    prepared = Signature(ACCESS_KEY_ID, SECRET_ACCESS_KEY)(request.prepare())
    assert prepared.headers["Authorization"].endswith('signature="9BzteYeGNRZSa+qQdX6FVoX3Z/JSjAdilZ3I2pyXP4E="')


@pytest.mark.parametrize(
    ("url", "target", "host"),
    [
        ("http://127.0.0.1:8080/graphql/v1", "post /graphql/v1", "127.0.0.1:8080"),
        ("https://api.remote.it/a%20b?x=1&y=%2F", "post /a%20b?x=1&y=%2F", "api.remote.it"),
        ("https://api.remote.it", "post /", "api.remote.it"),
    ],
)
def test_signature_covers_the_sent_request(now: list[float], url: str, target: str, host: str) -> None:
    headers = signed(url).headers
    lines = [f"(request-target): {target}", f"host: {host}", f"date: {headers['Date']}"]
    text = "\n".join([*lines, "content-type: application/json"])
    digest = hmac.new(base64.b64decode(SECRET_ACCESS_KEY), text.encode(), hashlib.sha256).digest()
    assert re.search(r'signature="(.*)"$', headers["Authorization"])[1] == base64.b64encode(digest).decode()  # type: ignore[index]
    assert headers["Host"] == host


def test_signature_has_the_current_date_in_utc(now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        first = signed()
        now[0] += 61
        second = signed()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert second.headers["Date"] == "Tue, 07 Jun 2022 20:52:36 GMT"
    assert email.utils.parsedate_to_datetime(str(first.headers["Date"])).timestamp() == SIGNED_AT
    assert first.headers["Authorization"] != second.headers["Authorization"]


@pytest.mark.parametrize("key", [b"\xfb\xff\xfe" * 10, b"\xfb\xff" * 11, b"\xff", b"k" * 32])
def test_hmac_key_accepts_every_base64_form(key: bytes) -> None:
    for text in (base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode()):
        assert hmac_key(text) == hmac_key(text.rstrip("=")) == key


@pytest.mark.parametrize("secret", ["", "=", "hunter2 x", "hunter2\n", "hunter2ä", "hunter2!", "hunter222", "abc\0"])
def test_hmac_key_rejects_invalid_secrets_without_printing(secret: str) -> None:
    with pytest.raises(OptionsError) as caught:
        Signature(ACCESS_KEY_ID, secret)
    assert "hunter2" not in caught.value.message


def test_signature_repr_has_no_secret() -> None:
    assert SECRET_ACCESS_KEY not in repr(Signature(ACCESS_KEY_ID, SECRET_ACCESS_KEY))


def test_signature_imports_without_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "requests.auth", None)
    assert import_copy(_signature).hmac_key("QUJD") == b"ABC"
