# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role C(remoteit_session) cannot say in YAML; the documentation is in the module of the same name."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils import _argspec, _session_spec
from ansible_collections.remoteit.fleet.plugins.module_utils._errors import OptionsError, from_failure
from ansible_collections.remoteit.fleet.plugins.module_utils._fleet import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._action import RemoteItAction
from ansible_collections.remoteit.fleet.plugins.plugin_utils._end_of_run import close_at_the_end_of_this_run
from ansible_collections.remoteit.fleet.plugins.plugin_utils._hosts import Hosts
from ansible_collections.remoteit.fleet.plugins.plugin_utils._readiness import check_the_way, wait_until_it_answers
from ansible_collections.remoteit.fleet.plugins.plugin_utils._session import (
    OLDER_NAMES,
    RECORD,
    VARIABLES,
    close_session,
    open_session,
    said_by_facts,
    send_along,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._tasks_file import find_tasks_file

close_at_the_end_of_this_run()


class ActionModule(RemoteItAction):
    SPEC = _session_spec.ARGUMENT_SPEC

    def work(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        hosts = Hosts(self._task, task_vars, self._templar)
        if options["phase"] == "find":
            name = "remoteit_session_tasks"
            if name in hosts.variables(hosts.this).told_by_the_host:
                raise OptionsError(said_by_facts([name]))
            path = find_tasks_file(options["tasks"], task_vars)
            return {"changed": False, "path": path, "force_handlers": hosts.force_handlers}
        if options["phase"] == "ready":
            return self._ready(options, hosts, task_vars)
        if hosts.in_step or options["alone"]:
            options["concurrency"] = self._concurrency(hosts)
            opens = options["phase"] == "open"
            done = self._open(options, hosts, task_vars) if opens else self._close(options, hosts)
            return {**done, "in_step": hosts.in_step}
        return {"changed": False, "in_step": False, "hosts": [], "others": [], "failures": {}, "problem": None}

    def _open(self, options: dict[str, t.Any], hosts: Hosts, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        hosts.check_nothing_overrides((*VARIABLES, *OLDER_NAMES), self._loader)
        account, main, tasks = self._account(options), options["main"], options["tasks"]
        if not options["alone"]:
            return open_session(hosts, hosts.batch, account, main=main, tasks=tasks)
        # found anew: what a task with run_once registers is every host's, and others may be in the next use of the role
        path = find_tasks_file(tasks, task_vars) if main else None
        send_along(hosts, account)
        return {**open_session(hosts, [hosts.this], account, main=main, tasks=tasks), "path": path}

    def _close(self, options: dict[str, t.Any], hosts: Hosts) -> dict[str, t.Any]:
        names = [hosts.this] if options["alone"] else hosts.all_of_the_play
        if hosts.force_handlers and not options["main"]:  # theirs are still to run, and the end of the run closes
            names = hosts.still_in_the_play(names)
        return close_session(hosts, names, lambda: self._account(options), main=options["main"])

    def _concurrency(self, hosts: Hosts) -> int:
        """Read here and not by the role's task, which would have it from whichever host comes first."""
        value = hosts.said_for_all("remoteit_session_concurrency")
        try:
            return int(self.SPEC["concurrency"]["default"] if value is None else value)
        except (TypeError, ValueError):
            raise OptionsError(f"remoteit_session_concurrency is not a number: {value}") from None

    def _ready(self, options: dict[str, t.Any], hosts: Hosts, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        own = hosts.variables(hosts.this)
        session, connection = own.get(RECORD), own.get("remoteit_connection")
        if not session:
            raise OptionsError(
                f"there is no session for {hosts.this}: a condition on the role holds for all hosts of a play or for"
                " none; choose the hosts with the play's pattern"
            )
        if self._task.delegate_to:
            raise OptionsError(
                f"the role, or what is around it, is delegated to {self._task.delegate_to}: the tasks would run there"
                " and not on the device; take delegate_to away"
            )
        if "failure" in session:
            failure = session["failure"]
            failure["message"] = f"could not open a connection to {failure['deviceaddress']}: {failure['message']}"
            raise from_failure(failure)
        warnings: list[str] = []
        if not connection["reverse_proxy"]:
            warnings = check_the_way(self._connection, connection, session["ssh_arguments"], task_vars)
            wait_until_it_answers(self._connection, options["wait_timeout"], session["service"])
            if options["gather_facts"]:
                with self.without_credentials():  # they would be among the facts
                    facts: dict[str, t.Any] = self._execute_module(
                        "ansible.legacy.setup", module_args={}, task_vars=task_vars
                    )
                return {**facts, "warnings": [*facts.get("warnings", []), *warnings]}
        return {"changed": False, "warnings": warnings}

    def _account(self, options: dict[str, t.Any]) -> Account:
        return _argspec.account_of(options, self.environment())
