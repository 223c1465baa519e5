# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""HTTP signatures with an access key: https://docs.remote.it/developer-tools/authentication

The form is draft-cavage-http-signatures with hmac-sha256, as on the vendor's page. It covers four of the five headers
that the page lists: without ``content-length``, which clients get wrong by counting characters instead of bytes.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import hmac
import typing as t
from urllib.parse import urlsplit

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import hmac_key

try:
    from requests.auth import AuthBase
except ImportError:
    AuthBase = object  # type: ignore[misc,assignment]  # without requests, HttpClient raises an error

_HEADERS = ("(request-target)", "host", "date", "content-type")


class Signature(AuthBase):
    """Sign each request, with the time at which it is sent.

    :raises OptionsError: the secret access key is not base64.
    """

    def __init__(self, access_key_id: str, secret_access_key: str) -> None:
        self._id = access_key_id
        self._key = hmac_key(secret_access_key)

    def __call__(self, request: t.Any) -> t.Any:
        headers = request.headers
        headers["Host"] = urlsplit(request.url).netloc
        headers["Date"] = email.utils.formatdate(usegmt=True)
        values = (f"{request.method.lower()} {request.path_url}", *(headers[name] for name in _HEADERS[1:]))
        text = "\n".join(f"{name}: {value}" for name, value in zip(_HEADERS, values))
        signature = base64.b64encode(hmac.new(self._key, text.encode(), hashlib.sha256).digest()).decode()
        headers["Authorization"] = (
            f'Signature keyId="{self._id}",algorithm="hmac-sha256",headers="{" ".join(_HEADERS)}",'
            f'signature="{signature}"'
        )
        return request
