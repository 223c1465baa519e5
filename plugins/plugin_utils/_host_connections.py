# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Open and close the connections of inventory hosts: ``hosts`` of ``remoteit_connect`` and ``remoteit_disconnect``."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import DisconnectResult
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import PUBLIC, Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import list_first
from ansible_collections.remoteit.fleet.plugins.plugin_utils._connect import (
    WARN_PUBLIC_PROXY,
    WARN_PUBLIC_URL,
    check_mode_entry,
    connect_request,
    result_of,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._fleet_host import ACCOUNT_OPTIONS
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.client import KeeperClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest, KeeperError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._play import Play
from ansible_collections.remoteit.fleet.plugins.plugin_utils._progress import with_progress
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.destination import CONNECTION

_ROLE = "remoteit_session"


def connect_hosts(options: t.Mapping[str, t.Any], play: Play, *, check_mode: bool) -> dict[str, t.Any]:
    """Open the services of the hosts, each with the account of its host, and return the task's result.

    :raises OptionsError: an option is set that comes from the hosts; nothing was opened.
    """
    _check_options(options)
    names = _names(options["hosts"], play)
    is_role = play.role_name == _ROLE
    if is_role:  # the first task of another host opens its connection
        names = [name for name in names if play.reads_own_values(name)]
    hosts, failed = _read(names, play, requires_plugin=is_role)
    outcomes: dict[str, Connection | RemoteItError] = dict(failed)
    warnings: list[str] = []
    services = _find_services(hosts, outcomes, warnings.append)
    if check_mode:
        connections = {name: check_mode_entry(service) for name, service in services.items()}
        failures = {name: error.as_failure() for name, error in failed.items()}
        return result_of(connections, failures, warnings, changed=False, fail_on=options["fail_on"])

    outcomes.update(with_progress("opening", len(services), _connect_all(hosts, services, options)))
    if any(host.hostip == PUBLIC for host in hosts):
        # the text of the connection plugin, so that Ansible shows it once
        warnings.append(f"remoteit_{WARN_PUBLIC_PROXY}")
    connections, failures, changed = {}, {}, False
    for name in names:
        outcome = outcomes[name]
        if isinstance(outcome, RemoteItError):
            failures[name] = outcome.as_failure()
        else:
            changed |= not outcome.reused
            connections[name] = dataclasses.replace(outcome, deviceaddress=services[name]).as_result()
    if any(host.hostip and connections.get(host.host, {}).get("reverse_proxy") for host in hosts):
        warnings.append(f"remoteit_{WARN_PUBLIC_URL}")
    return result_of(connections, failures, warnings, changed=changed, fail_on=options["fail_on"])


def disconnect_hosts(options: t.Mapping[str, t.Any], play: Play, *, check_mode: bool) -> t.Iterator[DisconnectResult]:
    """Close what ``remoteit_connect`` opened for the hosts, even of a host whose variables cannot be read any more.

    :raises OptionsError: an option is set that comes from the hosts, or a host does not exist; nothing was closed.
    """
    _check_options(options)
    play.check_hosts(options["hosts"])
    if check_mode:
        return
    names = _names(options["hosts"], play)
    hosts, _failed = _read(names, play)
    results = KeeperClient().release_hosts(names, [host.account for host in hosts])
    yield from with_progress("closing", len(names), results)


def _check_options(options: t.Mapping[str, t.Any]) -> None:
    given = sorted(
        name
        for name in ACCOUNT_OPTIONS.values()
        if name not in ("concurrency", "timeout") and options.get(name) is not None
    )
    if given:
        raise OptionsError(
            f"hosts cannot be combined with {', '.join(given)}, because each host has its own account: set"
            f" remoteit_{given[0]} as a variable of the hosts instead"
        )


def _names(names: t.Sequence[str], play: Play) -> list[str]:
    """Return the hosts to handle. A task that runs on every host handles its own host only."""
    return list(dict.fromkeys(name for name in names if play.is_lockstep or name == play.inventory_hostname))


def _read(
    names: t.Iterable[str], play: Play, *, requires_plugin: bool = False
) -> tuple[list[HostRequest], dict[str, RemoteItError]]:
    """Return the hosts, and the errors of those whose variables cannot be read.

    :param requires_plugin: whether all hosts must use the connection plugin.
    :raises OptionsError: a host uses another one.
    """
    hosts, failed, others = [], {}, []
    for name in names:
        if requires_plugin and not play.uses_plugin(name):
            others.append(name)
            continue
        try:
            hosts.append(play.read(name))
        except RemoteItError as error:
            failed[name] = error
    if others:
        raise OptionsError(
            f"the role remoteit_session needs the connection plugin {CONNECTION}, which is not the one of"
            f" {list_first(others, 10)}. For a device, set ansible_connection in the inventory, or connection:"
            f" {CONNECTION} on the play. Exclude other hosts by the hosts of the play, or remoteit_run_hosts"
        )
    return hosts, failed


def _find_services(
    hosts: list[HostRequest], outcomes: dict[str, t.Any], warn: t.Callable[[str], None]
) -> dict[str, str]:
    """Return the service ID of each host. Put the reason why a host has no service into ``outcomes``."""
    services = {host.host: host.service for host in hosts if host.service}
    targets: dict[Account, set[ServiceName]] = collections.defaultdict(set)
    for host in hosts:
        if host.target is not None:
            targets[host.account].add(host.target)
    for account, wanted in targets.items():
        try:
            found: t.Mapping[ServiceName, t.Any] = KeeperClient().find_services(account, wanted, warn)
        except KeeperError:
            raise  # fail_on is about hosts that the API refuses
        except RemoteItError as error:
            found = dict.fromkeys(wanted, error)
        for host in hosts:
            if host.account == account and host.target is not None:
                service = found[host.target]
                if isinstance(service, RemoteItError):
                    outcomes[host.host] = service
                else:
                    services[host.host] = service.id
    return services


def _connect_all(
    hosts: list[HostRequest], services: t.Mapping[str, str], options: t.Mapping[str, t.Any]
) -> t.Iterator[tuple[str, Connection | RemoteItError]]:
    """Open by account and restriction, and yield the outcome of each host."""
    groups: dict[tuple[Account, str | None], dict[str, list[str]]] = collections.defaultdict(dict)
    for host in hosts:
        if host.host in services:
            of_service = groups[host.account, host.hostip].setdefault(services[host.host].upper(), [])
            of_service.append(host.host)
    for (account, hostip), names in groups.items():
        request = connect_request(options, names, hostip)
        try:
            for service, outcome in KeeperClient().connect_all(account, request, dict(names)):
                for name in names.pop(service):
                    yield name, outcome
        except KeeperError:
            raise
        except RemoteItError as error:
            for name in itertools.chain.from_iterable(names.values()):
                yield name, error
