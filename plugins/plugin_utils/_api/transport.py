# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The way of API requests to the vendor: proxies and CA bundle, read from the environment.

Workers read them and the keeper uses them. Workers send no requests, so this file does not import ``requests``, which
takes 80 ms.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t
from urllib.parse import unquote, urlsplit

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError


@dataclasses.dataclass(frozen=True)
class Transport:
    """The proxies and the CA bundle that ``requests`` would have read from the environment."""

    proxies: dict[str, str] = dataclasses.field(default_factory=dict, repr=False, hash=False)  # may hold a password
    ca_bundle: str | None = None

    @classmethod
    def from_environment(cls, environ: t.Mapping[str, str], url: str) -> Transport:
        """Read ``HTTPS_PROXY``, ``NO_PROXY`` and ``REQUESTS_CA_BUNDLE`` as ``requests`` does, but never a ``.netrc``.

        :raises OptionsError: one of them cannot be used.
        """
        ca_bundle = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
        if ca_bundle and url.startswith("https:") and not os.path.exists(ca_bundle):
            raise OptionsError(
                f"the CA bundle {ca_bundle} does not exist; the environment sets it as REQUESTS_CA_BUNDLE"
            )
        # an absolute path, because the keeper works in another directory
        return cls(_proxies(_proxy_variables(environ), url), os.path.abspath(ca_bundle) if ca_bundle else None)


def _proxy_variables(environ: t.Mapping[str, str]) -> dict[str, str]:
    """Return the variables with lower-case names. Like in ``urllib``, such a variable overrides one in upper case.

    An empty one unsets it, except ``no_proxy``.
    """
    upper = {name.lower(): value for name, value in environ.items() if value}
    lower = {name: value for name, value in environ.items() if name.islower() and (value or name != "no_proxy")}
    return {name: value for name, value in {**upper, **lower}.items() if value}


def _proxies(variables: t.Mapping[str, str], url: str) -> dict[str, str]:
    """Return the proxy for the URL, by its scheme or ``all``, in the form that ``requests`` takes.

    :raises OptionsError: it is not the URL of a proxy.
    """
    # like requests, ignore all_proxy beside the variable of the scheme: desktops set it to URLs that cannot be used
    scheme = next((scheme for scheme in (url.split(":")[0], "all") if f"{scheme}_proxy" in variables), None)
    if scheme is None or _bypasses_proxies(url, variables.get("no_proxy", "")):
        return {}
    proxy = variables[f"{scheme}_proxy"]
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not re.match(r"https?://|socks[45][ah]?://", proxy, re.IGNORECASE) or not _is_proxy_url(proxy):
        raise OptionsError(  # without the value, which may contain a password
            f"the environment's {scheme.upper()}_PROXY is not the URL of a proxy, such as"
            " http://proxy.example.com:3128 or socks5h://proxy.example.com:1080; percent-encode special characters in"
            " the user name and password"
        )
    parts = urlsplit(proxy)
    if any(ord(character) > 255 for character in unquote(f"{parts.username}{parts.password}")):
        raise OptionsError(
            f"the user name or password in {scheme.upper()}_PROXY has a character outside of Latin-1, which the Python"
            " library requests cannot send to a proxy"
        )
    return {scheme: proxy}


def _bypasses_proxies(url: str, no_proxy: str) -> bool:
    try:
        import requests.utils
    except ImportError:
        return True  # the sender of the request reports the missing library
    return bool(requests.utils.should_bypass_proxies(url, no_proxy=no_proxy))


def _is_proxy_url(url: str) -> bool:
    """Return whether the URL is valid, without a password that ends the name of the host by a ``#``."""
    return is_valid_url(url) and "@" not in "".join(urlsplit(url)[2:])


def is_valid_url(url: str) -> bool:
    """Return whether the URL has a host and a port that ``requests`` accepts. Many others make it raise odd errors."""
    try:
        parts = urlsplit(url)
        return bool((parts.hostname or "").encode("idna")) and parts.port != 0 and "\\" not in url
    except ValueError:
        return False
