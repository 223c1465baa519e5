# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The hosts of a play and their variables, as the engine sees them."""

from __future__ import annotations

import typing as t

from ansible.plugins.loader import strategy_loader
from ansible.plugins.strategy.free import StrategyModule as FreeStrategy
from ansible.template import Templar
from ansible.utils.vars import load_extra_vars

from ansible_collections.remoteit.fleet.plugins.module_utils._errors import OptionsError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._action import plain


class Hosts:
    """The hosts of a play as the engine sees them, other hosts' play and task variables included."""

    def __init__(self, task: t.Any, task_vars: dict[str, t.Any], templar: Templar) -> None:
        self._task = task
        self._task_vars = task_vars
        self._templar = templar

    @property
    def in_step(self) -> bool:
        """Whether a C(run_once) task speaks for the whole batch; C(free) and its like run it on every host."""
        return not issubclass(strategy_loader.get(self._task.get_play().strategy, class_only=True), FreeStrategy)

    @property
    def force_handlers(self) -> bool:
        """Whether handlers run on hosts that have failed, which they do at the end of the play's section."""
        return bool(self._task.get_play().force_handlers)

    @property
    def use_of_the_role(self) -> str:
        """What tells this use of the role from others in the play, one inside of the other included."""
        return str(self._task._role._uuid)

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

    def still_in_the_play(self, names: t.Sequence[str]) -> list[str]:
        """Those that have not failed, or will be rescued."""
        there = set(self._task_vars["ansible_play_hosts"])
        return [name for name in names if name in there]

    def with_fact(self, names: t.Sequence[str], fact: str) -> list[str]:
        """Those for which this was set as a fact. To read all variables of the others too would take long."""
        facts = self._task_vars["hostvars"]._variable_manager._nonpersistent_fact_cache
        return [name for name in names if facts.get(name, {}).get(fact)]

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

    def said_for_all(self, name: str) -> t.Any:
        """A variable that is the same for all hosts, of one whose device has not made it up; none if there is none."""
        for host in dict.fromkeys([self.this, *self.batch]):
            variables = self.variables(host)
            if name not in variables.told_by_the_host:
                return variables.get(name)
        return None

    def check_nothing_overrides(self, names: t.Sequence[str], loader: t.Any) -> None:
        """Make sure that these variables take effect when they are set as facts.

        :raises OptionsError: extra variables, role or include parameters would win, and tasks would run elsewhere.
        """
        role = self._task._role
        sources = {
            "-e": load_extra_vars(loader),
            "the parameters of the role": role.get_role_params() if role else {},
            "the variables of the include": self._task.get_include_params(),
        }
        for source, variables in sources.items():
            for name in names:
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

    @property
    def told_by_the_host(self) -> list[str]:
        """Variables of ours that are facts of the host: modules may bring some, and they beat the inventory."""
        facts = self._everything.get("ansible_facts") or {}
        return sorted(
            name for name in map(str, facts) if name.startswith("remoteit_") and name != "remoteit_connection"
        )

    def get(self, name: str) -> t.Any:
        """The value in plain types; none if it is not set."""
        value = self._everything.get(name)
        return plain(self._templar.template(value)) if value is not None else None
