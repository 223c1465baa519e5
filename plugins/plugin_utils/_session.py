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
from ansible.template import Templar
from ansible.utils.vars import load_extra_vars

from ansible_collections.remoteit.fleet.plugins.module_utils._argspec import how_ids_look
from ansible_collections.remoteit.fleet.plugins.module_utils._connection import SERVICE_ID, Connection
from ansible_collections.remoteit.fleet.plugins.module_utils._errors import OptionsError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._action import plain

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

_SCATTERED = ("free", "host_pinned")


class Hosts:
    """The hosts of a play as the engine sees them, other hosts' play and task variables included."""

    def __init__(self, task: t.Any, task_vars: dict[str, t.Any], templar: Templar) -> None:
        self._task = task
        self._task_vars = task_vars
        self._templar = templar

    @property
    def in_step(self) -> bool:
        """Whether a C(run_once) task speaks for the whole batch; C(free) runs it on every host."""
        return self._task.get_play().strategy.rsplit(".", 1)[-1] not in _SCATTERED

    @property
    def this(self) -> str:
        return self._task_vars["inventory_hostname"]

    @property
    def batch(self) -> list[str]:
        """The hosts of this batch that are still in the play."""
        return list(self._task_vars["ansible_play_batch"])

    @property
    def batch_name(self) -> str:
        return f"{self._task.get_play()._uuid} {self.batch[0]}"

    @property
    def all_of_the_play(self) -> list[str]:
        """Every host of the play, failed and unreachable ones and other batches included."""
        return list(self._task_vars["ansible_play_hosts_all"])

    def variables(self, name: str) -> Variables:
        if name == self.this:
            return Variables(self._task_vars, self._templar)
        hostvars = self._task_vars["hostvars"]
        # hostvars[name] lacks the play's variables, which a host may take its address from
        everything = hostvars._variable_manager.get_vars(
            play=self._task.get_play(),
            host=hostvars._inventory.get_host(name),
            task=self._task,
            _hosts=self._task_vars["ansible_play_hosts"],
            _hosts_all=self._task_vars["ansible_play_hosts_all"],
        )
        return Variables(everything, self._templar.copy_with_new_env(available_variables=everything))

    def check_nothing_overrides(self, loader: t.Any) -> None:
        """Make sure that what a session sets takes effect.

        :raises OptionsError: extra variables, role or include parameters would win, and tasks would run elsewhere.
        """
        role = self._task._role
        sources = {
            "-e": load_extra_vars(loader),
            "the parameters of the role": role.get_role_params() if role else {},
            "the variables of the include": self._task.get_include_params(),
        }
        for source, variables in sources.items():
            for name in (*VARIABLES, *OLDER_NAMES, "ansible_connection"):
                if name in variables:
                    raise OptionsError(
                        f"{name} is set by {source}, which overrides what the session sets: the tasks would not run on"
                        " the device; set it in the inventory or the play instead"
                    )


class Variables:
    """The variables of one host, templated when asked for."""

    def __init__(self, everything: dict[str, t.Any], templar: Templar) -> None:
        self._everything = everything
        self._templar = templar

    def get(self, name: str) -> t.Any:
        """The value in plain types; none if it is not set."""
        value = self._everything.get(name)
        return plain(self._templar.template(value)) if value is not None else None


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
        before = record["before"] if record else {name: variables.get(name) for name in VARIABLES}
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


def well_named(hosts: Hosts, names: t.Sequence[str]) -> t.Iterator[Member]:
    """The parts of those hosts that name a service; the others' own tasks will say what is wrong."""
    for name in names:
        member = Member.of(name, hosts.variables(name))
        if member is not None and SERVICE_ID.fullmatch(member.service):
            yield member


def directions(member: Member, connection: Connection, control_path_dir: str, keys: HostKeys) -> dict[str, t.Any]:
    """What leads ssh to the proxy, as an item for the role's C(set_fact)."""
    own = member.before["ansible_ssh_common_args"]
    if own is None:  # not set for the host: what the command line, the environment or ansible.cfg say
        own = C.config.get_config_value("ssh_common_args", plugin_type="connection", plugin_name="ssh")
    return {
        **record(member, connection),
        "ssh_common_args": f"{own or ''} {shlex.join(keys.arguments(member.service))}".strip(),
        "control_path_dir": control_path_dir,
    }


def record(member: Member, connection: Connection) -> dict[str, t.Any]:
    return {
        "host": member.host,
        "connection": connection.as_result(),
        "session": {"service": member.service, "connectionid": connection.connectionid, "before": member.before},
    }


def find_tasks_file(name: str | None, task_vars: dict[str, t.Any]) -> str:
    """The absolute path of the user's tasks file.

    :raises OptionsError: there is none; every place that was tried is named.
    """
    if not name:
        raise OptionsError(
            "remoteit_session_tasks is not set: name the file with the tasks to run on the devices; or, to open a"
            " session for roles and tasks that follow, call the role with tasks_from: open"
        )
    folders = []
    if task_vars.get("ansible_parent_role_paths"):
        folders.append(os.path.join(task_vars["ansible_parent_role_paths"][0], "tasks"))
    folders += [task_vars["playbook_dir"], os.getcwd()]
    # a playbook of this collection is not beside the user's files
    own = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", "playbooks"))
    wanted = os.path.expanduser(name)
    candidates = list(
        dict.fromkeys(os.path.join(folder, wanted) for folder in folders if os.path.realpath(folder) != own)
    )
    for candidate in candidates:
        if os.path.isfile(candidate):
            return os.path.abspath(candidate)
    raise OptionsError(f"the tasks file {name} does not exist; tried: {', '.join(candidates)}")
