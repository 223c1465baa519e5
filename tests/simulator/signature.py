# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verification of signed requests, in both forms (sections 3.2 and 3.3)."""

from __future__ import annotations

import base64
import hmac
import re
import time
from datetime import datetime, timezone
from email.utils import formatdate

from aiohttp import web

from responses import ApiError
from settings import Settings

MESSAGE_SIGNATURE = re.compile(r"(?P<label>[a-z*][\w.*-]*)=(?P<inputs>\((?P<components>[^)]*)\)(?P<parameters>.*))")
MESSAGE_PARAMETER = re.compile(r';(\w+)=(?:"([^"]*)"|([^;]*))')
COMPONENT = re.compile(r'"([^"]+)"')
PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class InvalidSignature(Exception):
    """The signature is missing or wrong."""


class AccessKey:
    """The access key. Dates are compared with real time, so that a moved clock does not invalidate signatures."""

    def __init__(self, keyid: str, secret: str, settings: Settings) -> None:
        self._keyid = keyid
        self._secret = base64.b64decode(secret)
        self._settings = settings

    def date(self) -> str:
        """Return the value of the ``Date`` header."""
        return formatdate(self._now(), usegmt=True)

    def _now(self) -> float:
        return time.time() + self._settings.clock_skew

    def check(self, request: web.Request) -> None:
        """Check a signature. The client chooses which headers it signs.

        Raise ``InvalidSignature``, or ``ApiError`` for a date that cannot be parsed.
        """
        if "Signature-Input" in request.headers:
            self._check_rfc9421(request)
            return
        scheme, _unused, rest = request.headers.get("Authorization", "").partition(" ")
        given = dict(PARAMETER.findall(rest))
        names = given.get("headers", "date").lower().split()
        if scheme.lower() != "signature" or given.get("keyId") != self._keyid or not self._settings.access_key:
            raise InvalidSignature
        if given.get("algorithm", "hmac-sha256") != "hmac-sha256" or "date" not in names:
            raise InvalidSignature
        if abs(self._now() - _parse_date(request.headers.get("Date", ""))) > self._settings.signature_window:
            raise InvalidSignature
        text = "\n".join(f"{name}: {_value(request, name)}" for name in names)
        expected = base64.b64encode(hmac.digest(self._secret, text.encode(), "sha256")).decode()
        if not hmac.compare_digest(expected.encode(), given.get("signature", "").encode()):
            raise InvalidSignature

    def _check_rfc9421(self, request: web.Request) -> None:
        """Check an HTTP Message Signature. The client chooses the label and the components."""
        match = MESSAGE_SIGNATURE.fullmatch(request.headers["Signature-Input"])
        if match is None or not self._settings.access_key:
            raise InvalidSignature
        label, inputs, components = match["label"], match["inputs"], COMPONENT.findall(match["components"])
        given = {name: quoted or bare for name, quoted, bare in MESSAGE_PARAMETER.findall(match["parameters"])}
        if given.get("keyid") != self._keyid or given.get("alg", "hmac-sha256") != "hmac-sha256":
            raise InvalidSignature
        created = given.get("created", "")
        signed_at = float(created) if created.isdigit() else _parse_date(request.headers.get("Date", ""))
        if abs(self._now() - signed_at) > self._settings.signature_window:
            raise InvalidSignature
        if given.get("expires", "").isdigit() and int(given["expires"]) < self._now():
            raise InvalidSignature
        lines = [f'"{name}": {_component(request, name)}' for name in components]
        text = "\n".join([*lines, f'"@signature-params": {inputs}'])
        signature = re.fullmatch(rf"{re.escape(label)}=:([^:]*):", request.headers.get("Signature", ""))
        expected = base64.b64encode(hmac.digest(self._secret, text.encode(), "sha256")).decode()
        if signature is None or not hmac.compare_digest(expected.encode(), signature[1].encode()):
            raise InvalidSignature


def _component(request: web.Request, name: str) -> str:
    """Return a component of RFC 9421, section 2. Only those that the vendor's clients sign are supported."""
    derived = {
        "@method": request.method,
        "@authority": request.host.lower(),
        "@target-uri": f"https://{request.host}{request.raw_path}",
        "@path": request.path,
    }
    if name == "@target-uri" and not request.secure:
        derived[name] = f"http://{request.host}{request.raw_path}"
    return derived[name] if name in derived else _value(request, name)


def _value(request: web.Request, name: str) -> str:
    if name == "(request-target)":
        return f"{request.method.lower()} {request.raw_path}"
    if name not in request.headers:
        raise InvalidSignature
    return ", ".join(value.strip() for value in request.headers.getall(name))


def _parse_date(date: str) -> float:
    """Parse a date of RFC 1123. The vendor's samples contain ``GMT`` and ``UTC`` (section 3.4)."""
    text, _unused, zone = date.rpartition(" ")
    try:
        moment = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S")
    except ValueError:
        moment = None
    if moment is None or zone not in ("GMT", "UTC"):
        raise ApiError(401, "Invalid Date", "INVALID_AUTH")
    return moment.replace(tzinfo=timezone.utc).timestamp()
