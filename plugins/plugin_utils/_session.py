# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The sessions of the role C(remoteit_session): which host has which service, and which variables lead to its proxy."""

from __future__ import annotations

import dataclasses
import shlex
import typing as t

from ansible import constants as C

from ansible_collections.remoteit.fleet.plugins.module_utils._argspec import how_ids_look
from ansible_collections.remoteit.fleet.plugins.module_utils._connect import EVERYONE, WEB_IS_PUBLIC, check_hostip
from ansible_collections.remoteit.fleet.plugins.module_utils._connection import PUBLIC, SERVICE_ID, Connection
from ansible_collections.remoteit.fleet.plugins.module_utils._devices import Warn
from ansible_collections.remoteit.fleet.plugins.module_utils._disconnect import result_of
from ansible_collections.remoteit.fleet.plugins.module_utils._errors import (
    NotFoundError,
    OptionsError,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.module_utils._fleet import Account, Order, Stop
from ansible_collections.remoteit.fleet.plugins.module_utils._targets import Target
from ansible_collections.remoteit.fleet.plugins.plugin_utils._host_keys import HostKeys
from ansible_collections.remoteit.fleet.plugins.plugin_utils._hosts import Hosts, Variables
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper_client import KeeperClient, KeeperError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._progress import shown
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run import THIS_RUN

#: The variables that a session sets, and C(close) puts back.
VARIABLES = (
    "ansible_host",
    "ansible_port",
    "ansible_ssh_common_args",
    "ansible_control_path_dir",
    "ansible_control_path",
    "ansible_ssh_host_key_checking",
)
#: Older names that ssh's plugin prefers to those above.
OLDER_NAMES = ("ansible_ssh_host", "ansible_ssh_port")

#: What a host's part in a session is kept under, as a fact of the host.
RECORD = "remoteit_session__host"

Result = dict[str, t.Any]


def open_session(hosts: Hosts, names: t.Sequence[str], account: Account, *, main: bool, tasks: str | None) -> Result:
    """Open the connections of these hosts in one call, and say what leads each to its own.

    :param main: a close of its own belongs to this opening, and ends nothing else.
    :param tasks: the tasks file, which has to be the same for all of them.
    :raises OptionsError: something is wrong with a host's variables; nothing was opened.
    """
    warnings: list[str] = []
    there = _resolved(_members(hosts, names, tasks), account, warnings.append)
    outcomes = _open(there, account)
    opener = hosts.use_of_the_role if main else None
    result: Result = {"changed": False, "hosts": [], "others": [], "failures": {}, "warnings": warnings}
    for member in there:
        outcome = member.unresolved or outcomes[member.key]
        if isinstance(outcome, RemoteItError):
            failure = {**outcome.as_failure(), "deviceaddress": member.service}
            result["failures"][member.host] = failure
            # one that was led to a connection that is gone; close leads it back
            led = {"before": member.before, "openers": member.opened_by(opener)} if member.openers else {}
            result["others"].append({"host": member.host, "connection": {}, "session": {"failure": failure, **led}})
            continue
        result["changed"] |= not outcome.reused
        result["hosts"].append(_directions(member, outcome, opener))
    if any(member.hostip == PUBLIC for member in there):
        warnings.append(f"remoteit_session_{EVERYONE}")
    if any(hostip and getattr(outcome, "reverse_proxy", False) for (_unused, hostip), outcome in outcomes.items()):
        warnings.append(f"remoteit_session_{WEB_IS_PUBLIC}")
    return result


def send_along(hosts: Hosts, account: Account) -> None:
    """Let the keeper open what the whole batch needs, once; each host's own task will ask for its own."""
    if KeeperClient().is_first(hosts.batch_name):
        found = [Member.of(name, hosts.variables(name)) for name in hosts.batch]
        # what is wrong with the others will be said by their own tasks
        well = [member for member in found if member and member.mistake is None]
        _open(_resolved(well, account, lambda warning: None), account, claim=False)


def close_session(hosts: Hosts, names: t.Sequence[str], account: t.Callable[[], Account], *, main: bool) -> Result:
    """Close what these hosts hold, and say what leads them back.

    What went wrong is returned and not raised, because the hosts' variables have to be put back first.

    :param main: end what the same use of the role has opened, and not what was opened without a use.
    """
    result: Result = {"changed": False, "restore": [], "variables": [], "stay": [], "failures": {}, "problem": None}
    stops: list[Stop] = []
    holders = []
    for name in hosts.with_fact(names, RECORD):
        session = hosts.variables(name).get(RECORD)
        before, openers = session.get("before"), session.get("openers", [])
        ended = hosts.use_of_the_role if main else ""
        rest = [opener for opener in openers if opener != ended]
        if rest == openers:
            continue
        if rest:
            result["stay"].append({"host": name, "session": {**session, "openers": rest}})
        else:
            result["restore"].append({"host": name, "address": before.get("ansible_host") or name})
            result["variables"] += [
                {"host": name, "name": variable, "value": value}
                for variable, value in before.items()
                if value is not None and variable != "ansible_host"
            ]
            if "connectionid" in session:
                stops.append((session["service"], session["connectionid"]))
                holders.append(_holder(name))
    try:
        closing = KeeperClient().close(account(), stops, holders) if stops else iter(())
        outcomes = list(shown("closing", len(stops), closing))
    except RemoteItError as error:
        result["problem"] = f"the connections could not be closed and may still be open: {error.message}"
        return result
    closed = result_of(outcomes)
    return {**result, **{name: closed[name] for name in ("changed", "failures")}, "problem": closed.get("msg")}


def _resolved(there: t.Sequence[Member], account: Account, warn: Warn) -> list[Member]:
    """The same with the service ids of those who go by name, and the reason why one has none."""
    targets = {member.target for member in there if member.target}
    try:
        found: dict[Target, t.Any] = dict(KeeperClient().resolve(account, targets, warn)) if targets else {}
    except (OptionsError, KeeperError):
        raise
    except RemoteItError as error:  # those who go by their ids do without
        found = dict.fromkeys(targets, error)
    members = []
    for member in there:
        service = found[member.target] if member.target else None
        if isinstance(service, RemoteItError):
            member = dataclasses.replace(member, unresolved=service)
        elif service:
            member = dataclasses.replace(member, service=service.id)
        members.append(member)
    return members


def _open(
    there: t.Sequence[Member], account: Account, *, claim: bool = True
) -> dict[tuple[str, str | None], Connection | RemoteItError]:
    """The connection or the error of each service.

    :param claim: whether to wait for them and hold them, or to leave that to each host's own task.
    """
    claims: dict[str | None, dict[str, list[str]]] = {}
    for member in there:
        if member.unresolved:
            continue
        holders = claims.setdefault(member.hostip, {}).setdefault(member.service.upper(), [])
        holders += [_holder(member.host)] if claim else []
    opening = (
        ((service, hostip), outcome)
        for hostip, services in claims.items()
        for service, outcome in KeeperClient().open(account, Order(tuple(services), hostip=hostip), services)
    )
    return dict(shown("opening", sum(map(len, claims.values())) if claim else 0, opening))


def said_by_facts(names: t.Sequence[str]) -> str:
    return (
        f"{', '.join(names)} came as a fact, which a device can make up, and would override the inventory: nothing is"
        " opened for this host; find out which task brought it, and clear the facts (ansible.builtin.meta: clear_facts)"
    )


def _holder(host: str) -> str:
    return f"session of {host}"


@dataclasses.dataclass(frozen=True)
class Member:
    """A host that takes part in a session, as its variables describe it."""

    host: str
    service: str
    hostip: str | None
    keys: HostKeys
    tasks: str | None
    before: dict[str, t.Any]
    openers: list[str]
    older: str | None
    ssh_args: str  # what ssh, sftp and scp get besides
    target: Target | None = None  # by which its service is found, if it does not say its id
    unresolved: RemoteItError | None = None

    @classmethod
    def of(cls, host: str, variables: Variables) -> Member | None:
        """Read a host's variables; none if it names no service."""
        record = variables.get(RECORD) or {}
        before = record.get("before") or {name: variables.get(name) for name in VARIABLES}
        if variables.told_by_the_host:
            lie = OptionsError(said_by_facts(variables.told_by_the_host))
            return cls(
                host,
                f"the device of {host}",
                hostip=None,
                keys=HostKeys("strict", None),
                tasks=None,
                before=before,
                openers=record.get("openers", []),
                older=None,
                ssh_args="",
                unresolved=lie,
            )
        service, device = variables.get("remoteit_deviceaddress"), variables.get("remoteit_device")
        target, unresolved = None, None
        if not service and variables.get("remoteit_device_id"):  # to go by its name might lead to another device
            service = str(variables.get("remoteit_device_id"))
            unresolved = NotFoundError(
                "the inventory found no service on this device that Ansible may use (use_application, use_service and"
                " use_port tell which it may)"
            )
        elif not service and device:
            name = variables.get("remoteit_service")
            target = Target.of(str(device), str(name)) if name else Target.of(str(device), application="ssh")
        elif not service:
            return None
        return cls(
            host,
            str(target or service),
            variables.get("remoteit_session_hostip") or None,
            HostKeys(*(variables.get(f"remoteit_session_{name}") for name in ("host_key_checking", "known_hosts"))),
            variables.get("remoteit_session_tasks"),
            before=before,
            openers=record.get("openers", []),
            older=next((name for name in OLDER_NAMES if variables.get(name) is not None), None),
            ssh_args=_ssh_setting("ssh_args", variables.get("ansible_ssh_args")),
            target=target,
            unresolved=unresolved,
        )

    def opened_by(self, opener: str | None) -> list[str]:
        """Who has opened its session, the last one last; without a close of its own nobody is added to others."""
        return [*self.openers, opener] if opener else self.openers or [""]

    @property
    def key(self) -> tuple[str, str | None]:
        return self.service.upper(), self.hostip

    @property
    def mistake(self) -> str | None:
        """What is wrong with its variables. One that cannot be opened anyway keeps no other from it."""
        if self.unresolved:
            return None
        if not self.target and not SERVICE_ID.fullmatch(self.service):
            return f"remoteit_deviceaddress is not a service id: {self.service!r}; {how_ids_look([self.service])}"
        if self.older:
            return f"{self.older} overrides what the session sets; use its newer name, without ssh_"
        try:
            check_hostip(self.hostip)
        except OptionsError as error:
            return f"remoteit_session_{error.message}"
        return self.keys.mistake


def _members(hosts: Hosts, names: t.Sequence[str], tasks: str | None) -> list[Member]:
    """The part of each host.

    :raises OptionsError: a host names no service, or something is wrong with its variables.
    """
    found = {name: Member.of(name, hosts.variables(name)) for name in names}
    without = [name for name, member in found.items() if member is None]
    if without:
        raise OptionsError(
            f"neither remoteit_deviceaddress nor remoteit_device is set for {', '.join(without[:10])}"
            f"{' and others' if len(without) > 10 else ''}: set one to the id of the service to connect to, or the"
            " other to the name of its device, or leave the host out of the play"
        )
    there = [member for member in found.values() if member is not None]
    mistakes = [f"{member.host}: {member.mistake}" for member in there if member.mistake]
    if mistakes:
        raise OptionsError("; ".join(mistakes[:10]))
    if tasks and any(member.tasks not in (None, tasks) for member in there):
        raise OptionsError("remoteit_session_tasks is not the same for all hosts of the play: make it a play for each")
    return there


def _directions(member: Member, connection: Connection, opener: str | None) -> dict[str, t.Any]:
    """What leads ssh to the proxy, as an item for the role's C(set_fact).

    A reverse proxy has no ssh. A task that goes there by mistake fails, instead of reaching another machine.
    """
    own = _ssh_setting("ssh_common_args", member.before["ansible_ssh_common_args"])
    arguments = member.keys.arguments(member.service)
    if "controlpersist" not in f"{member.ssh_args} {own}".lower():
        # Ansible names no ControlPath then, and one in ssh's own configuration may be the same for several devices
        arguments += ["-o", "ControlPath=none"]
    return {
        "host": member.host,
        "connection": dataclasses.replace(connection, deviceaddress=member.service).as_result(),
        "session": {
            "service": member.service,
            "connectionid": connection.connectionid,
            "before": member.before,
            "openers": member.opened_by(opener),
            "ssh_arguments": arguments,
        },
        "ssh_common_args": f"{own} {shlex.join(arguments)}".strip(),
        "control_path_dir": THIS_RUN.control_path_dir(connection.connectionid),
    }


def _ssh_setting(name: str, own: t.Any) -> str:
    """A setting of ssh's plugin: the host's own, or what the command line, the environment or ansible.cfg say."""
    if own is None:
        own = C.config.get_config_value(name, plugin_type="connection", plugin_name="ssh")
    return str(own or "")
