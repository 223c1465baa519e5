# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Read the options of ``remoteit_disconnect``, close the connections, and build the result."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import (
    ALREADY_CLOSED,
    CLOSED,
    NOT_KNOWN,
    STILL_USED,
    ConnectionBackend,
    ConnectionRef,
    DisconnectResult,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import CONNECTION_ID
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._argspec import (
    AUTH_SPEC,
    account_of,
    canonical_service_ids,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._progress import with_progress
from ansible_collections.remoteit.fleet.plugins.plugin_utils._results import (
    MAX_LISTED,
    failed_for,
    list_failures,
    with_warnings,
)

ARGUMENT_SPEC: dict[str, t.Any] = {
    **AUTH_SPEC,
    "deviceaddress": {"type": "str", "aliases": ["service_id"]},
    "connectionid": {"type": "str"},
    "connections": {"type": "raw"},
    "hosts": {"type": "list", "elements": "str"},
    "run_id": {"type": "raw"},
    "all": {"type": "bool"},
}
ARGUMENT_RULES: dict[str, t.Any] = {
    "mutually_exclusive": [("deviceaddress", "connections", "hosts", "run_id", "all"), ("connectionid", "connections")],
    "required_together": [("deviceaddress", "connectionid")],
    "required_one_of": [("deviceaddress", "connections", "hosts", "run_id", "all")],
}


def disconnect(
    options: t.Mapping[str, t.Any], environ: t.Mapping[str, str], backend: ConnectionBackend, *, check_mode: bool
) -> dict[str, t.Any]:
    """Close the connections that the options name, and return the task's result.

    :raises RemoteItError: nothing was closed.
    """
    refs = _connection_refs(options)
    if check_mode:
        return result_of((ref, CLOSED) for ref in refs)
    if not refs:
        return result_of(())
    results = backend.disconnect_all(account_of(options, environ), refs)
    return result_of(with_progress("closing", len(refs), results))


def result_of(results: t.Iterable[DisconnectResult]) -> dict[str, t.Any]:
    """Return the task's result."""
    outcomes: dict[str, list[dict[str, str]]] = {CLOSED: [], ALREADY_CLOSED: [], STILL_USED: []}
    failures: dict[str, dict[str, str]] = {}
    reasons: list[tuple[str, str]] = []
    unknown: list[str] = []
    for (deviceaddress, connectionid), outcome in results:
        if isinstance(outcome, RemoteItError):
            key = deviceaddress
            if key in failures:
                key += f" {connectionid or f'unknown-{len(failures)}'}"
            failures[key] = {**outcome.as_failure(), "connectionid": connectionid}
            reasons.append((f"{deviceaddress} (connection {connectionid or 'unknown'})", outcome.message))
        else:
            if outcome == NOT_KNOWN:
                unknown.append(f"{deviceaddress} (connection {connectionid})")
                outcome = ALREADY_CLOSED
            outcomes[outcome].append({"deviceaddress": deviceaddress, "connectionid": connectionid})
    result: dict[str, t.Any] = {"changed": bool(outcomes[CLOSED]), **outcomes, "failures": failures}
    if failures:
        result.update(_failed(failures, reasons))
    return with_warnings(result, [_warning_about(unknown)] if unknown else [])


def with_facts(result: dict[str, t.Any], task_vars: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the result. It resets the fact of the host if the connection of the fact is closed."""
    fact = (task_vars.get("ansible_facts") or {}).get("remoteit_connection")
    closed = [entry["connectionid"] for entry in (*result[CLOSED], *result[ALREADY_CLOSED])]
    if isinstance(fact, t.Mapping) and fact.get("connectionid") in closed:
        return {**result, "ansible_facts": {"remoteit_connection": {}}}
    return result


def _connection_refs(options: t.Mapping[str, t.Any]) -> list[ConnectionRef]:
    if options.get("connections") is not None:
        # the results of check mode and of remoteit_disconnect have entries without a connection
        entries = [entry for entry in _entries(options["connections"]) if entry.get("connectionid") is not None]
    elif options.get("deviceaddress"):
        entries = [options]
    else:
        raise OptionsError(
            "there is nothing to close: set deviceaddress and connectionid, connections, hosts, run_id, or all"
        )
    refs = []
    for entry in entries:
        deviceaddress, connectionid = entry.get("deviceaddress"), entry.get("connectionid")
        canonical_service_ids([str(deviceaddress)])
        if not isinstance(connectionid, str) or not CONNECTION_ID.fullmatch(connectionid):
            raise OptionsError(f"invalid connectionid {connectionid!r} of the service {deviceaddress}")
        refs.append((str(deviceaddress), str(connectionid)))
    return list(dict.fromkeys(refs))


def _entries(value: t.Any) -> list[t.Mapping[str, t.Any]]:
    """Return the connections in a registered result, also in that of a loop, or in a part of one."""
    if isinstance(value, t.Mapping):
        if value.get("skipped"):  # the task did not run, for example in a block that failed before it
            return []
        for key in ("results", "connections"):
            if key in value:
                return _entries(value[key])
        if "connectionid" in value:
            return [value]
        value = list(value.values())
    if not isinstance(value, list):
        raise OptionsError(
            "connections is not a result of remoteit_connect: set it to the registered variable, or to its connections"
        )
    return [entry for item in value for entry in _entries(item)]


def _warning_about(unknown: list[str]) -> str:
    others = " and others, see already_closed" if len(unknown) > MAX_LISTED else ""
    return (
        f"with this login, the API does not know {', '.join(unknown[:MAX_LISTED])}{others}: if another login opened it,"
        " close it with that login, because it may still be open"
    )


def _failed(failures: dict[str, dict[str, str]], reasons: list[tuple[str, str]]) -> dict[str, t.Any]:
    subject = "1 connection" if len(reasons) == 1 else f"{len(reasons)} connections"
    return failed_for(failures, f"{subject} could not be closed and may still be open: {list_failures(reasons)}")
