# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Specify and read the options that several modules share."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api import credentials as _credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import SERVICE_ID
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.transport import Transport

#: The largest ``timeout``. A teardown counts on it: see ``SETTLED_SECONDS``.
_MAX_TIMEOUT = 180
#: The doc fragment ``_auth`` documents these options.
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


def account_of(
    options: t.Mapping[str, t.Any], environ: t.Mapping[str, str], variables: t.Mapping[str, str] | None = None
) -> Account:
    """Return the account that the options, the environment and the credentials file describe.

    :param variables: the host variable that sets each option, see ``load_credentials``.
    :raises OptionsError: an option is invalid.
    :raises NoCredentialsError: no complete set of credentials was found.
    """
    for name in ("concurrency", "timeout"):
        if options[name] < 1:
            raise OptionsError(f"{name} must be at least 1, not {options[name]}")
    if options["timeout"] > _MAX_TIMEOUT:
        raise OptionsError(f"timeout must be at most {_MAX_TIMEOUT} seconds, not {options['timeout']}")
    credentials = _credentials.load_credentials(options, environ, variables)
    return Account(
        credentials,
        Transport.from_environment(environ, credentials.url),
        timeout=options["timeout"],
        concurrency=options["concurrency"],
    )


def parse_run_id(run_id: t.Any) -> str | None:
    """Return the option ``run_id`` as text. Job IDs of many CI systems are numbers.

    :raises OptionsError: it is blank, for example because a CI system does not set a variable, or of another type. As
        text, it would be an ID that no run has.
    """
    if run_id is None:
        return None
    if isinstance(run_id, bool) or not isinstance(run_id, (str, int)):
        raise OptionsError(f"run_id must be the ID of one run or CI job, not {run_id!r}. Quote an ID such as '1e3'")
    run_id = str(run_id)
    if not run_id.strip():
        raise OptionsError(
            "run_id is empty: set it to the ID of a run or of a CI job. The playbook remoteit.fleet.teardown sets it to"
            " remoteit_teardown_run_id"
        )
    return run_id


def canonical_service_ids(given_ids: t.Sequence[str]) -> dict[str, str]:
    """Return each given ID with the first one that differs at most in case, because IDs are case-insensitive.

    :raises OptionsError: there is no ID, or one is invalid.
    """
    if not given_ids:
        raise OptionsError("deviceaddress is an empty list: set at least one service ID")
    invalid = [given_id for given_id in given_ids if not SERVICE_ID.fullmatch(given_id)]
    if invalid:
        raise OptionsError(f"invalid service ID {', '.join(map(repr, invalid[:5]))}: {service_id_hint(invalid)}")
    first: dict[str, str] = {}
    return {given_id: first.setdefault(given_id.upper(), given_id) for given_id in given_ids}


def service_id_hint(invalid: t.Iterable[str]) -> str:
    """Return how to correct invalid service IDs."""
    if any(given_id.isdigit() for given_id in invalid):
        return "put it in quotes, because YAML reads an ID without letters as a number"
    return "expected eight hexadecimal octets, for example 80:00:00:00:01:00:40:C5"
