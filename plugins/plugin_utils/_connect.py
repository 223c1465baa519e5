# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The work of C(remoteit_connect), the same for its module and its action plugin."""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectionBackend, ConnectRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import (
    LATCHING,
    PUBLIC,
    Connection,
    host_key_alias,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import AuthError, OptionsError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._argspec import (
    AUTH_SPEC,
    account_of,
    canonical_service_ids,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._results import failed_for

ARGUMENT_SPEC: dict[str, t.Any] = {
    **AUTH_SPEC,
    "deviceaddress": {
        "type": "list",
        "elements": "str",
        "aliases": ["service_id", "service_ids"],
    },
    "services": {
        "type": "list",
        "elements": "dict",
        "options": {
            "device": {"type": "str", "required": True},
            "service": {"type": "str"},
            "application": {"type": "str"},
        },
        "mutually_exclusive": [("service", "application")],
        "required_one_of": [("service", "application")],
    },
    "hostip": {"type": "str"},
    "wait": {"type": "bool", "default": True},
    "reuse": {"type": "bool", "default": True},
    "detach": {"type": "bool", "default": False},
    "hosts": {"type": "list", "elements": "str"},
    "fail_on": {"type": "str", "choices": ["any", "all", "none"], "default": "any"},
}

ARGUMENT_RULES: dict[str, t.Any] = {
    "required_one_of": [("deviceaddress", "services", "hosts")],
    "mutually_exclusive": [("deviceaddress", "hosts"), ("services", "hosts"), ("hostip", "hosts")],
}

#: What an option C(hostip) does not protect.
WARN_PUBLIC_PROXY = f"hostip {PUBLIC} opens the proxy to everyone who finds its host and port"
WARN_PUBLIC_URL = "hostip does not protect a reverse proxy: the URL of a web service is open to everyone"

#: What exactly one service has at top level as well.
_TOP_LEVEL = ("proxy", "connectionid", "host", "port", "expirationsec")


def connect(
    options: t.Mapping[str, t.Any], environ: t.Mapping[str, str], backend: ConnectionBackend, *, check_mode: bool
) -> dict[str, t.Any]:
    """Open what the options ask for and return the task's result.

    :raises RemoteItError: nothing was opened.
    """
    given = options["deviceaddress"] or []
    targets = [ServiceName.parse(**entry) for entry in options["services"] or []]
    if len({str(target) for target in targets}) < len(set(targets)):
        raise OptionsError("services: two entries that are not the same would have one key in connections; ask for one")
    if given or not targets:
        canonical_service_ids(given)
    check_hostip(options["hostip"])
    account = account_of(options, environ)
    warnings = _warnings(options)

    connections: dict[str, dict[str, t.Any]] = {}
    failures: dict[str, dict[str, t.Any]] = {}
    wanted: dict[str, tuple[str, str | None]] = {spelling: (spelling, None) for spelling in given}  # id and name
    for target, found in (backend.find_services(account, targets, warnings.append) if targets else {}).items():
        if isinstance(found, RemoteItError):
            failures[str(target)] = found.as_failure()
        else:
            wanted[str(target)] = found.id, found.name
    spellings = canonical_service_ids([spelling for spelling, _unused in wanted.values()]) if wanted else {}
    order = _connect_request(options, spellings.values())

    outcomes = {} if check_mode or not wanted else dict(backend.connect_all(account, order))

    for key, (spelling, name) in wanted.items():
        if check_mode:
            connections[key] = {**check_mode_entry(spelling), "name": name}
            continue
        outcome = outcomes[spellings[spelling]]
        if isinstance(outcome, RemoteItError):
            failures[key] = outcome.as_failure()
        else:
            connections[key] = dataclasses.replace(outcome, deviceaddress=spelling, name=name).as_result()

    if order.hostip and any(entry["reverse_proxy"] for entry in connections.values()):
        warnings.append(WARN_PUBLIC_URL)
    opened = [entry for entry in connections.values() if not entry["reused"]]
    result = result_of(connections, failures, warnings, changed=bool(opened), fail_on=options["fail_on"])
    if len(connections) == 1 and not failures:
        entry = next(iter(connections.values()))
        result.update({name: entry[name] for name in _TOP_LEVEL})
        result["ansible_facts"] = {"remoteit_connection": entry}
    return result


def _connect_request(options: t.Mapping[str, t.Any], services: t.Iterable[str]) -> ConnectRequest:
    return ConnectRequest(
        tuple(dict.fromkeys(services)),
        hostip=check_hostip(options["hostip"]),
        wait=options["wait"],
        reuse=options["reuse"],
        detach=options["detach"],
    )


def check_hostip(hostip: str | None) -> str | None:
    if not hostip:
        return None
    if hostip == "255.255.255.25":
        raise OptionsError(f"hostip {hostip} is a misprint of the vendor's page: latching is {LATCHING}")
    try:
        return str(ipaddress.IPv4Address(hostip))
    except ValueError:
        raise OptionsError(
            f"hostip is not an IPv4 address: {hostip!r}; give one address, {LATCHING} for the first comer,"
            f" or {PUBLIC} for everyone"
        ) from None


def _warnings(options: t.Mapping[str, t.Any]) -> list[str]:
    warnings = []
    if options["hostip"] == PUBLIC:
        warnings.append(WARN_PUBLIC_PROXY)
    if not options["wait"]:
        warnings.append("wait: false asks the API for an answer that the vendor does not document")
    return warnings


def check_mode_entry(spelling: str) -> dict[str, t.Any]:
    """Return the entry of a connection in check mode."""
    entry = {field.name: None for field in dataclasses.fields(Connection) if field.name != "overrode"}
    return {**entry, "deviceaddress": spelling, "host_key_alias": host_key_alias(spelling), "reused": False}


def result_of(
    connections: dict[str, dict[str, t.Any]],
    failures: dict[str, dict[str, t.Any]],
    warnings: list[str],
    *,
    changed: bool,
    fail_on: str,
) -> dict[str, t.Any]:
    """Return the task's result."""
    result: dict[str, t.Any] = {"changed": changed, "connections": connections, "failures": failures}
    if warnings:
        result["warnings"] = warnings
    refused = any(failure["code"] == AuthError.code for failure in failures.values())
    if failures and (fail_on == "any" or refused or (fail_on == "all" and not connections)):
        result.update(_failed(failures, len(connections) + len(failures)))
    return result


def _failed(failures: dict[str, dict[str, t.Any]], total: int) -> dict[str, t.Any]:
    shown = [f"{service}: {failure['message']}" for service, failure in list(failures.items())[:10]]
    if len(failures) > len(shown):
        shown.append(f"and {len(failures) - len(shown)} more, see failures")
    if total == 1:
        msg = f"could not open a connection to {shown[0]}"
    else:
        msg = f"could not open {len(failures)} of {total} connections: " + "; ".join(shown)
    return failed_for(failures, msg)
