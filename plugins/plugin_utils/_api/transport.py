# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""How API requests leave the controller: read from the environment by a worker, used by the keeper.

Workers send no requests, so this does not import ``requests``, which takes 80 ms.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t
from urllib.parse import urlsplit

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError


@dataclasses.dataclass(frozen=True)
class Transport:
    """How requests leave this machine: what C(requests) would have read from the environment."""

    proxies: dict[str, str] = dataclasses.field(default_factory=dict, repr=False, hash=False)  # may hold a password
    ca_bundle: str | None = None

    @classmethod
    def from_environment(cls, environ: t.Mapping[str, str], url: str) -> Transport:
        """Read C(HTTPS_PROXY), C(NO_PROXY) and C(REQUESTS_CA_BUNDLE) as C(requests) does, but never a C(.netrc).

        :raises OptionsError: one of them is nothing that could be used.
        """
        get = {key.lower(): value for key, value in environ.items() if value}
        used = url.split(":")[0]
        proxies = {scheme: get[f"{scheme}_proxy"] for scheme in (used, "all") if f"{scheme}_proxy" in get}
        if proxies and _bypasses_proxies(url, get.get("no_proxy", "")):
            proxies = {}
        proxies = {scheme: proxy if "://" in proxy else f"http://{proxy}" for scheme, proxy in proxies.items()}
        for scheme, proxy in proxies.items():
            if not re.match(r"https?://|socks[45][ah]?://", proxy, re.IGNORECASE) or not is_valid_url(proxy):
                raise OptionsError(  # not shown: there may be a password in it
                    f"the environment's {scheme.upper()}_PROXY is not the URL of a proxy, such as"
                    " http://proxy.example.com:3128; write what is no letter or digit of a user name or password as %XX"
                )
        ca_bundle = get.get("requests_ca_bundle") or get.get("curl_ca_bundle")
        if ca_bundle and used == "https" and not os.path.exists(ca_bundle):
            raise OptionsError(f"there is no CA bundle {ca_bundle}, which the environment names in REQUESTS_CA_BUNDLE")
        return cls(proxies, os.path.abspath(ca_bundle) if ca_bundle else None)  # the keeper works in another folder


def _bypasses_proxies(url: str, no_proxy: str) -> bool:
    try:
        import requests.utils
    except ImportError:
        return True  # whoever sends the request says what is missing
    return bool(requests.utils.should_bypass_proxies(url, no_proxy=no_proxy))


def is_valid_url(url: str) -> bool:
    """Whether the URL has a host and a port that C(requests) could call; it trips over many others."""
    try:
        parts = urlsplit(url)
        return bool((parts.hostname or "").encode("idna")) and parts.port != 0
    except ValueError:
        return False
