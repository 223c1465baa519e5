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
import multiprocessing
import typing as t

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
        variables = self._variables(name)
        templar = Templar(loader=self._loader, variables=variables)
        options = {}
        for option, variable in HOST_VARIABLES.items():
            if variables.get(variable) is not None:
                try:
                    options[option] = to_plain_types(templar.template(variables[variable]))
                except Exception as error:
                    raise OptionsError(f"the variable {variable} of {name} cannot be templated: {error}") from error
        return self._reader.read(name, options, variables.get("ansible_facts") or {})

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
                if self.uses_plugin(name):
                    hosts.append(self.read(name))
        return hosts

    def _variables(self, name: str) -> dict[str, t.Any]:
        if name == self.inventory_hostname:
            return self._task_vars
        if self._cached_variables is not None and self._cached_variables[0] == name:
            return self._cached_variables[1]
        hostvars = self._task_vars["hostvars"]
        # ``hostvars[name]`` does not contain the variables of the play.
        variables = hostvars._variable_manager.get_vars(
            play=self._task.get_play(),
            host=self._find_host(name),
            task=self._task,
            _hosts=self._task_vars["ansible_play_hosts"],
            _hosts_all=self._task_vars["ansible_play_hosts_all"],
        )
        self._cached_variables = name, variables
        return variables

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
