# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The options that several modules share, and what they mean."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api import credentials as _credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import SERVICE_ID
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.transport import Transport

#: Documented in the doc fragment C(_auth).
AUTH_SPEC: dict[str, t.Any] = {
    "token": {"type": "str", "no_log": True},
    "developer_key": {"type": "str", "no_log": True},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "access_key_id": {"type": "str", "no_log": True},
    "secret_access_key": {"type": "str", "no_log": True},
    "profile": {"type": "str"},
    "credentials_file": {"type": "path"},
    "api_url": {"type": "str"},
    "graphql_url": {"type": "str"},
    "concurrency": {"type": "int", "default": 16},
    "timeout": {"type": "int", "default": 60},
}


def account_of(options: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> Account:
    """The account that the options, the environment and the credentials file describe."""
    for name in ("concurrency", "timeout"):
        if options[name] < 1:
            raise OptionsError(f"{name} must be at least 1, not {options[name]}")
    credentials = _credentials.load_credentials(options, environ)
    return Account(
        credentials,
        Transport.from_environment(environ, credentials.url),
        timeout=options["timeout"],
        concurrency=options["concurrency"],
    )


def canonical_service_ids(spellings: t.Sequence[str]) -> dict[str, str]:
    """Each spelling that the user chose, with the one under which its service is opened: ids ignore case."""
    if not spellings:
        raise OptionsError("deviceaddress is an empty list: name at least one service id")
    wrong = [spelling for spelling in spellings if not SERVICE_ID.fullmatch(spelling)]
    if wrong:
        raise OptionsError(f"not a service id: {', '.join(map(repr, wrong[:5]))}; {service_id_hint(wrong)}")
    first: dict[str, str] = {}
    return {spelling: first.setdefault(spelling.upper(), spelling) for spelling in spellings}


def service_id_hint(wrong: t.Sequence[str]) -> str:
    """What to do about ids that are none."""
    if any(spelling.isdigit() for spelling in wrong):
        return "write service ids in quotes: YAML takes one without letters for a number"
    return "it has eight octets, for instance 80:00:00:00:01:00:40:C5"
