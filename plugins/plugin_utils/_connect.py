# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Read the options of ``remoteit_connect``, open the connections, and build the result."""

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
from ansible_collections.remoteit.fleet.plugins.plugin_utils._progress import with_progress
from ansible_collections.remoteit.fleet.plugins.plugin_utils._results import failed_for, list_failures

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

#: Warnings about connections that anyone can use.
WARN_PUBLIC_PROXY = f"hostip {PUBLIC} opens the proxy to everyone: anyone who knows its host and port can connect"
WARN_PUBLIC_URL = "hostip does not protect a reverse proxy: the URL of a web service is open to everyone"

#: Keys that the result has at top level as well if it has exactly one service.
_TOP_LEVEL = ("proxy", "connectionid", "host", "port", "expirationsec")


class _Requested(t.NamedTuple):
    """A service to open: its ID as it was given, and the name by which it was found."""

    service: str
    name: str | None


def connect(
    options: t.Mapping[str, t.Any], environ: t.Mapping[str, str], backend: ConnectionBackend, *, check_mode: bool
) -> dict[str, t.Any]:
    """Open the services that the options name, and return the task's result.

    :raises RemoteItError: nothing was opened.
    """
    names = _check_services(options)
    account = account_of(options, environ)
    warnings = _warnings(options)
    requested = {service: _Requested(service, None) for service in options["deviceaddress"] or []}
    failures: dict[str, dict[str, t.Any]] = {}
    for name, found in (backend.find_services(account, names, warnings.append) if names else {}).items():
        if isinstance(found, RemoteItError):
            failures[str(name)] = found.as_failure()
        else:
            requested[str(name)] = _Requested(found.id, found.name)

    connections: dict[str, dict[str, t.Any]] = {}
    if check_mode:
        connections = {key: {**check_mode_entry(each.service), "name": each.name} for key, each in requested.items()}
    elif requested:
        canonical = canonical_service_ids([each.service for each in requested.values()])
        request = connect_request(options, canonical.values(), check_hostip(options["hostip"]))
        outcomes = dict(with_progress("opening", len(request.services), backend.connect_all(account, request)))
        for key, each in requested.items():
            outcome = outcomes[canonical[each.service]]
            if isinstance(outcome, RemoteItError):
                failures[key] = outcome.as_failure()
            else:
                entry = dataclasses.replace(outcome, deviceaddress=each.service, name=each.name)
                connections[key] = entry.as_result()
    if options["hostip"] and any(entry["reverse_proxy"] for entry in connections.values()):
        warnings.append(WARN_PUBLIC_URL)
    changed = any(not entry["reused"] for entry in connections.values())
    result = result_of(connections, failures, warnings, changed=changed, fail_on=options["fail_on"])
    return {**result, **_single_entry(connections, failures)}


def _check_services(options: t.Mapping[str, t.Any]) -> list[ServiceName]:
    """Check the options that name services, and return the names.

    :raises OptionsError: an option is invalid, or names no service.
    """
    names = [ServiceName.parse(**entry) for entry in options["services"] or []]
    if len({str(name) for name in names}) < len(set(names)):
        raise OptionsError(
            "services: two different entries would have the same key in connections; use one task for each"
        )
    if not names and options["deviceaddress"] is None:
        raise OptionsError("services is an empty list: set the name of at least one service")
    if options["deviceaddress"] or not names:
        canonical_service_ids(options["deviceaddress"] or [])
    check_hostip(options["hostip"])
    return names


def _single_entry(
    connections: t.Mapping[str, dict[str, t.Any]], failures: t.Mapping[str, dict[str, t.Any]]
) -> dict[str, t.Any]:
    """Return the keys that a result with exactly one service has at top level."""
    if failures or len(connections) != 1:
        return {}
    (entry,) = connections.values()
    return {**{name: entry[name] for name in _TOP_LEVEL}, "ansible_facts": {"remoteit_connection": entry}}


def connect_request(options: t.Mapping[str, t.Any], services: t.Iterable[str], hostip: str | None) -> ConnectRequest:
    """Return the request to open services as the options say."""
    return ConnectRequest(
        tuple(dict.fromkeys(services)),
        hostip=hostip,
        wait=options["wait"],
        reuse=options["reuse"],
        detach=options["detach"],
    )


def check_hostip(hostip: str | None) -> str | None:
    """Return the address in its canonical form.

    :raises OptionsError: it is not an IPv4 address.
    """
    if not hostip:
        return None
    if hostip == "255.255.255.25":
        raise OptionsError(f"hostip {hostip} is a misprint in the vendor's documentation: use {LATCHING} for latching")
    try:
        return str(ipaddress.IPv4Address(hostip))
    except ValueError:
        raise OptionsError(
            f"invalid hostip {hostip!r}: set it to one IPv4 address, to {LATCHING} for the first client that connects,"
            f" or to {PUBLIC} for everyone"
        ) from None


def _warnings(options: t.Mapping[str, t.Any]) -> list[str]:
    warnings = []
    if options["hostip"] == PUBLIC:
        warnings.append(WARN_PUBLIC_PROXY)
    if not options["wait"]:
        warnings.append("with wait: false the API returns a response that the vendor does not document")
    return warnings


def check_mode_entry(service: str) -> dict[str, t.Any]:
    """Return the entry of a connection in check mode."""
    entry = {field.name: None for field in dataclasses.fields(Connection) if field.name != "overrode"}
    return {**entry, "deviceaddress": service, "host_key_alias": host_key_alias(service), "reused": False}


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
    listed = list_failures([(service, failure["message"]) for service, failure in failures.items()])
    subject = "a connection to " if total == 1 else f"{len(failures)} of {total} connections: "
    return failed_for(failures, f"could not open {subject}{listed}")
