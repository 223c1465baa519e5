# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Read the hosts of the current play and their variables, in an action or in a connection plugin.

ansible-core does not pass the play to a connection plugin, but its worker process knows it.
``multiprocessing.current_process()`` is ansible-core's ``WorkerProcess``. Its private attributes are the same from 2.16
to 2.21.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import typing as t

from ansible.playbook.block import Block
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.loader import strategy_loader
from ansible.plugins.strategy.free import StrategyModule as FreeStrategy
from ansible.template import Templar

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._fleet_host import HOST_VARIABLES, HostReader
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.destination import CONNECTION

#: The value of ``ansible_connection`` that ansible-core sets for the host that runs the task, if no variable sets it.
_LOADED_CONNECTION = "ansible_collections.remoteit.fleet.plugins.connection.ssh"


class Play:
    """The play of the current task."""

    def __init__(self, task: t.Any, task_vars: dict[str, t.Any], loader: t.Any) -> None:
        self._task = task
        self._task_vars = task_vars
        self._loader = loader
        self._reader = HostReader()
        self._cached_variables: tuple[str, dict[str, t.Any]] | None = None

    @classmethod
    def of_this_worker(cls) -> Play | None:
        """Return the play of the task that this worker process runs, or ``None`` in the main process."""
        worker: t.Any = multiprocessing.current_process()
        try:
            return cls(worker._task, worker._task_vars, worker._loader)
        except AttributeError:
            return None

    @property
    def id(self) -> str:
        """Return the unique ID of the play."""
        return str(self._task.get_play()._uuid)

    @property
    def inventory_hostname(self) -> str:
        """Return the name of the host that runs the task."""
        return self._task_vars["inventory_hostname"]

    @property
    def role_name(self) -> str | None:
        """Return the name of the role that contains the task, without its collection."""
        return None if self._task._role is None else str(self._task._role.get_name(include_role_fqcn=False))

    @property
    def batch(self) -> list[str]:
        """Return the hosts of the current batch that have not failed."""
        return list(self._task_vars.get("ansible_play_batch") or [])

    @property
    def is_lockstep(self) -> bool:
        """Return whether a ``run_once`` task runs once. ``free`` and strategies derived from it ignore ``run_once``."""
        return not issubclass(strategy_loader.get(self._task.get_play().strategy, class_only=True), FreeStrategy)

    @property
    def runs_on_every_host(self) -> bool:
        """Return whether each host of the batch runs this task on its own device."""
        return not (self._task.run_once or self._task.delegate_to)

    def is_delegated_to(self, name: str) -> bool:
        """Return whether the task of another host runs on this host."""
        return bool(self._task.delegate_to) and name != self.inventory_hostname

    def facts_of(self, name: str) -> t.Collection[t.Any]:
        """Return the names of a host's facts. For another host than the current one, this takes a few milliseconds."""
        if name == self.inventory_hostname:
            return self._task_vars.get("ansible_facts") or {}
        hostvars = self._task_vars.get("hostvars")
        variables = hostvars.raw_get(name) if hostvars is not None and name in hostvars else {}
        return variables.get("ansible_facts") or {}

    def read(self, name: str) -> HostRequest:
        """Return what the variables of a host describe, with the same result as in the connection plugin.

        :raises OptionsError: a variable is missing, is invalid, or cannot be templated.
        :raises RemoteItError: see ``HostReader.read``.
        """
        return self._read(name, self._variables(name))

    def _read(self, name: str, variables: dict[str, t.Any]) -> HostRequest:
        templar = Templar(loader=self._loader, variables=variables)
        options = {}
        for option, variable in HOST_VARIABLES.items():
            if variables.get(variable) is not None:
                try:
                    options[option] = to_plain_types(templar.template(variables[variable]))
                except Exception as error:
                    raise OptionsError(f"the variable {variable} of {name} cannot be templated: {error}") from error
        return self._reader.read(name, options, variables.get("ansible_facts") or {})

    def reads_own_values(self, name: str) -> bool:
        """Return whether ``read`` returns a host's own values, and not those of an include that runs on other hosts.

        ansible-core does not show which hosts run an include. If its variables make a difference to a host that may not
        run it, the host has to open its own connection.
        """
        if name == self.inventory_hostname or not self._names_for_some_hosts:
            return True
        try:
            variables = self._variables(name)
            values = [variables.get(variable) for variable in HOST_VARIABLES.values()]
            if self._names_for_some_hosts.isdisjoint(HOST_VARIABLES.values()) and not any(map(_is_template, values)):
                return True
            return self._read(name, variables) == self._read(name, self._get_variables(name, task=None))
        except Exception:  # the task of the host reports the error
            return False

    @functools.cached_property
    def _names_for_some_hosts(self) -> set[str]:
        """The variables of the task and its includes, unless all hosts run them."""
        node = self._task
        while node is not None:
            if _may_run_on_some_hosts(node):
                return {name for name in self._task.get_vars() if not name.startswith("remoteit_session__")}
            node = node._parent
        return set()

    def check_hosts(self, names: t.Iterable[str]) -> None:
        """Raise an error if a name is not that of a host. A host of the play can have left the inventory since.

        :raises OptionsError: the inventory has no such host.
        """
        for name in set(names).difference(self._task_vars["ansible_play_hosts_all"]):
            self._find_host(name)

    def uses_plugin(self, name: str) -> bool:
        """Return whether a host uses the connection plugin, because of its variable or of the play's keyword."""
        variables = self._variables(name)
        connection = variables.get("ansible_connection")
        if connection is not None:
            connection = Templar(loader=self._loader, variables=variables).template(connection)
        # Not the task's keyword: ansible-core 2.21 sets it to the connection of the host that runs the task.
        return (connection or self._task.get_play().connection) in (CONNECTION, _LOADED_CONNECTION)

    def read_batch(self) -> list[HostRequest]:
        """Return the hosts of the batch that use the plugin. A host that cannot be read is omitted."""
        hosts = []
        for name in self.batch:
            with contextlib.suppress(Exception):  # the task of the host reports the error
                if self.uses_plugin(name) and self.reads_own_values(name):
                    hosts.append(self.read(name))
        return hosts

    def _variables(self, name: str) -> dict[str, t.Any]:
        if name == self.inventory_hostname:
            return self._task_vars
        if self._cached_variables is not None and self._cached_variables[0] == name:
            return self._cached_variables[1]
        variables = self._get_variables(name, self._task)
        self._cached_variables = name, variables
        return variables

    def _get_variables(self, name: str, task: t.Any) -> dict[str, t.Any]:
        """Return the variables of another host, with those of a task.

        ``hostvars[name]`` does not contain the variables of the play.
        """
        return self._task_vars["hostvars"]._variable_manager.get_vars(
            play=self._task.get_play(),
            host=self._find_host(name),
            task=task,
            _hosts=self._task_vars["ansible_play_hosts"],
            _hosts_all=self._task_vars["ansible_play_hosts_all"],
        )

    def _find_host(self, name: str) -> t.Any:
        """Return a host of the inventory.

        :raises OptionsError: no host has this name.
        """
        host = self._task_vars["hostvars"]._inventory.get_host(name)
        if host is None:
            is_group = name in self._task_vars["groups"]
            hint = f". For the hosts of the group, write \"{{{{ groups['{name}'] }}}}\"" if is_group else ""
            raise OptionsError(f"the inventory has no host {name!r}{hint}")
        return host


def _may_run_on_some_hosts(node: t.Any) -> bool:
    """Return whether a task, block or include may run for some hosts of the play only."""
    if node.when:
        return True
    if isinstance(node, TaskInclude) and not node.statically_loaded:
        # from 2.19 on, the arguments contain the name of one host's file
        source = {key: value for key, value in (node.get_ds() or {}).items() if key not in ("name", "vars")}
        return bool(node.loop) or _is_template(str(source))
    return isinstance(node, Block) and bool(node.rescue)


def _is_template(value: t.Any) -> bool:
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def to_plain_types(value: t.Any) -> t.Any:
    """Return a copy in built-in types. ansible-core's subclasses would appear in messages and cannot be serialized."""
    if isinstance(value, dict):
        return {to_plain_types(key): to_plain_types(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain_types(item) for item in value]
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return int(value)
    return "".join(value) if isinstance(value, str) else str(value)
