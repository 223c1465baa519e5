# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The sessions of the role C(remoteit_session): which host has which service, and which variables lead to its proxy."""

from __future__ import annotations

import dataclasses
import os
import shlex
import typing as t

from ansible import constants as C

from ansible_collections.remoteit.fleet.plugins.module_utils._argspec import how_ids_look
from ansible_collections.remoteit.fleet.plugins.module_utils._connection import SERVICE_ID, Connection
from ansible_collections.remoteit.fleet.plugins.module_utils._errors import OptionsError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.module_utils._fleet import Account, Order, Stop
from ansible_collections.remoteit.fleet.plugins.plugin_utils._action import Progress
from ansible_collections.remoteit.fleet.plugins.plugin_utils._hosts import Hosts, Variables
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper_client import KeeperClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run import THIS_RUN

#: The variables that a session sets, and C(close) puts back.
VARIABLES = (
    "ansible_host",
    "ansible_port",
    "ansible_ssh_common_args",
    "ansible_control_path_dir",
    "ansible_ssh_host_key_checking",
)
#: Older names that ssh's plugin prefers to those above.
OLDER_NAMES = ("ansible_ssh_host", "ansible_ssh_port")

#: What a host's part in a session is kept under, as a fact of the host.
RECORD = "remoteit_session__host"

Result = dict[str, t.Any]


def open_session(hosts: Hosts, names: t.Sequence[str], account: Account, hostip: str | None, keys: HostKeys) -> Result:
    """Open the connections of these hosts in one call, and say what leads each to its own.

    :raises OptionsError: a host names no service; nothing was opened.
    """
    there = members(hosts, names)
    outcomes = _open(there, account, hostip)
    result: Result = {"changed": False, "hosts": [], "others": [], "failures": {}}
    for member in there:
        outcome = outcomes[member.service.upper()]
        if isinstance(outcome, RemoteItError):
            failure = {**outcome.as_failure(), "deviceaddress": member.service}
            result["failures"][member.host] = failure
            result["others"].append({"host": member.host, "connection": {}, "session": {"failure": failure}})
            continue
        result["changed"] |= not outcome.reused
        if outcome.reverse_proxy:
            result["others"].append(_record(member, outcome))
        else:
            result["hosts"].append(_directions(member, outcome, keys))
    return result


def send_along(hosts: Hosts, account: Account, hostip: str | None) -> None:
    """Let the keeper open what the whole batch needs, once; each host's own task will ask for its own."""
    if KeeperClient().is_first(hosts.batch_name):
        found = [Member.of(name, hosts.variables(name)) for name in hosts.batch]
        # what is wrong with the others will be said by their own tasks
        _open(
            [member for member in found if member and SERVICE_ID.fullmatch(member.service)],
            account,
            hostip,
            claim=False,
        )


def close_session(hosts: Hosts, names: t.Sequence[str], account: t.Callable[[], Account]) -> Result:
    """Close what these hosts hold, and say what leads them back.

    What went wrong is returned and not raised, because the hosts' variables have to be put back first.
    """
    result: Result = {"changed": False, "restore": [], "variables": [], "failures": {}, "problem": None}
    stops: list[Stop] = []
    holders = []
    for name in names:
        session = hosts.variables(name).get(RECORD) or {}
        before = session.get("before")
        if before:
            result["restore"].append({"host": name, "address": before.get("ansible_host") or name})
            result["variables"] += [
                {"host": name, "name": variable, "value": value}
                for variable, value in before.items()
                if value is not None and variable != "ansible_host"
            ]
            stops.append((session["service"], session["connectionid"]))
            holders.append(_holder(name))
    try:
        outcomes = list(KeeperClient().close(account(), stops, holders)) if stops else []
    except RemoteItError as error:
        result["problem"] = f"the connections could not be closed and may still be open: {error.message}"
        return result
    failed = {stop: outcome for stop, outcome in outcomes if isinstance(outcome, RemoteItError)}
    result["changed"] = len(failed) < len(outcomes)
    if failed:
        result["failures"] = {service: error.as_failure() for (service, _), error in failed.items()}
        result["problem"] = "connections could not be closed and may still be open: " + "; ".join(
            f"{service} (connection {connectionid}): {error.message}"
            for (service, connectionid), error in list(failed.items())[:10]
        )
    return result


def _open(
    there: t.Sequence[Member], account: Account, hostip: str | None, *, claim: bool = True
) -> dict[str, Connection | RemoteItError]:
    """The connection or the error of each service, by its id in capitals.

    :param claim: whether to wait for them and hold them, or to leave that to each host's own task.
    """
    services = {member.service.upper(): member.service for member in there}
    claims: dict[str, list[str]] = {service: [] for service in services.values()}
    for member in there if claim else ():
        claims[services[member.service.upper()]].append(_holder(member.host))
    progress = Progress(len(services))
    outcomes = {}
    for service, outcome in KeeperClient().open(account, Order(tuple(services.values()), hostip=hostip), claims):
        outcomes[service.upper()] = outcome
        progress(outcome)
    return outcomes


def _holder(host: str) -> str:
    return f"session of {host}"


@dataclasses.dataclass(frozen=True)
class Member:
    """A host that takes part in a session."""

    host: str
    service: str
    before: dict[str, t.Any]

    @classmethod
    def of(cls, host: str, variables: Variables) -> Member | None:
        """Read a host's service and the variables to put back; none if it names no service."""
        service = variables.get("remoteit_deviceaddress")
        if not service:
            return None
        record = variables.get(RECORD)
        before = (record or {}).get("before") or {name: variables.get(name) for name in VARIABLES}
        return cls(host, str(service), before)


@dataclasses.dataclass(frozen=True)
class HostKeys:
    """How ssh makes sure of a device's identity."""

    checking: str
    known_hosts: str | None

    def arguments(self, service: str) -> list[str]:
        """Options for ssh: the proxy's host and port change with every connection, the alias does not."""
        options = {
            "HostKeyAlias": alias(service),
            "StrictHostKeyChecking": {"strict": "yes", "accept-new": "accept-new"}[self.checking],
            # a dead link ends a task instead of hanging it
            "ServerAliveInterval": "10",
            "ServerAliveCountMax": "3",
        }
        if self.known_hosts:
            options["UserKnownHostsFile"] = f'"{os.path.abspath(os.path.expanduser(self.known_hosts))}"'
        return [argument for name, value in options.items() for argument in ("-o", f"{name}={value}")]


def alias(service: str) -> str:
    """The name under which known_hosts keeps a service's host key."""
    return f"remoteit-{service.lower().replace(':', '-')}"


def members(hosts: Hosts, names: t.Sequence[str]) -> list[Member]:
    """The part of each host.

    :raises OptionsError: a host names no service, or something that is none.
    """
    found = {name: Member.of(name, hosts.variables(name)) for name in names}
    without = [name for name, member in found.items() if member is None]
    if without:
        raise OptionsError(
            f"no remoteit_deviceaddress is set for {', '.join(without[:10])}"
            f"{' and others' if len(without) > 10 else ''}: set it to the id of the service to connect to, or leave the"
            " host out of the play"
        )
    there = [member for member in found.values() if member is not None]
    wrong = [member for member in there if not SERVICE_ID.fullmatch(member.service)]
    if wrong:
        raise OptionsError(
            "remoteit_deviceaddress is not a service id: "
            + ", ".join(f"{member.service!r} of {member.host}" for member in wrong[:10])
            + f"; {how_ids_look([member.service for member in wrong])}"
        )
    return there


def _directions(member: Member, connection: Connection, keys: HostKeys) -> dict[str, t.Any]:
    """What leads ssh to the proxy, as an item for the role's C(set_fact)."""
    own = member.before["ansible_ssh_common_args"]
    if own is None:  # not set for the host: what the command line, the environment or ansible.cfg say
        own = C.config.get_config_value("ssh_common_args", plugin_type="connection", plugin_name="ssh")
    return {
        **_record(member, connection),
        "ssh_common_args": f"{own or ''} {shlex.join(keys.arguments(member.service))}".strip(),
        "control_path_dir": THIS_RUN.control_path_dir(connection.connectionid),
    }


def _record(member: Member, connection: Connection) -> dict[str, t.Any]:
    return {
        "host": member.host,
        "connection": connection.as_result(),
        "session": {"service": member.service, "connectionid": connection.connectionid, "before": member.before},
    }
