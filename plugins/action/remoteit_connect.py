# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(remoteit_connect) on the controller; the documentation is in the module of the same name."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils import _argspec, _connect
from ansible_collections.remoteit.fleet.plugins.plugin_utils._action import Progress, RemoteItAction
from ansible_collections.remoteit.fleet.plugins.plugin_utils._end_of_run import close_at_the_end_of_this_run
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper_client import KeeperClient, Outcomes
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run import THIS_RUN

close_at_the_end_of_this_run()


class ActionModule(RemoteItAction):
    SPEC = _connect.ARGUMENT_SPEC

    def work(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        if self.runs_elsewhere():
            return self._elsewhere(options, task_vars)
        result = _connect.connect(
            options, self.environment(), KeeperClient(), check_mode=self._task.check_mode, progress=Progress
        )
        return {**result, "run_id": THIS_RUN.id}

    def _elsewhere(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Let the other host call the API, so that the API sees that host's address; the keeper learns of it."""
        account = _argspec.account_of(options, self.environment())
        order = _connect.order_of(options, _argspec.check_service_ids(options["deviceaddress"]))
        self._low_level_execute_command("true")  # a host that cannot be reached has opened nothing
        result: dict[str, t.Any] = {}

        def run_module() -> Outcomes:
            result.update(self.run_module("remoteit.fleet.remoteit_connect", options, account, task_vars))
            if "connections" not in result and "failure" in result:  # it gave up before its first call
                return dict.fromkeys(order.services, result["failure"])
            return {**result.get("connections", {}), **result.get("failures", {})}

        if self._task.check_mode:
            run_module()
        else:
            KeeperClient().adopt(account, order, run_module)
        return {**result, "run_id": THIS_RUN.id}
