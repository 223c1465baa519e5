# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ``remoteit_connect`` on the controller. The module of the same name has the documentation."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils import _connect
from ansible_collections.remoteit.fleet.plugins.plugin_utils._action import RemoteItAction
from ansible_collections.remoteit.fleet.plugins.plugin_utils._host_connections import connect_hosts
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.client import KeeperClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.shutdown import register_in_main_process
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import THIS_RUN

register_in_main_process()


class ActionModule(RemoteItAction):
    ARGUMENT_SPEC = _connect.ARGUMENT_SPEC
    ARGUMENT_RULES = _connect.ARGUMENT_RULES

    def execute(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        check_mode = self._task.check_mode
        if options["hosts"] is not None:
            result = connect_hosts(options, self.play(task_vars), check_mode=check_mode)
        else:
            result = _connect.connect(options, self.environment(), KeeperClient(), check_mode=check_mode)
        return {**result, "run_id": THIS_RUN.id}
