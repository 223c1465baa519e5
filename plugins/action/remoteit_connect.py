# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(remoteit_connect) on the controller; the documentation is in the module of the same name."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils import _connect
from ansible_collections.remoteit.fleet.plugins.module_utils._errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.module_utils._fleet import Account, Opened, Order
from ansible_collections.remoteit.fleet.plugins.plugin_utils._action import RemoteItAction
from ansible_collections.remoteit.fleet.plugins.plugin_utils._end_of_run import close_at_the_end_of_this_run
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper_client import KeeperClient, Outcomes
from ansible_collections.remoteit.fleet.plugins.plugin_utils._progress import Shown
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run import THIS_RUN

close_at_the_end_of_this_run()


class ActionModule(RemoteItAction):
    SPEC = _connect.ARGUMENT_SPEC
    RULES = _connect.RULES

    def work(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        fleet = _Elsewhere(self, options, task_vars) if self.runs_elsewhere() else KeeperClient()
        try:
            result = _connect.connect(options, self.environment(), Shown(fleet), check_mode=self._task.check_mode)
        except _NoAnswerError as error:
            result = error.result
        return {**result, "run_id": THIS_RUN.id}


class _NoAnswerError(RemoteItError):
    """The module on the other host failed before it could tell of any service."""

    def __init__(self, result: dict[str, t.Any]) -> None:
        super().__init__(str(result.get("msg")))
        self.result = result


class _Elsewhere(KeeperClient):
    """Lets another host call the API, so that the API sees that host's address; the keeper learns of what it opens."""

    def __init__(self, action: RemoteItAction, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> None:
        super().__init__()
        self._action = action
        self._options = options
        self._task_vars = task_vars

    def open(
        self, account: Account, order: Order, claims: t.Mapping[str, t.Sequence[str]] | None = None
    ) -> t.Iterator[Opened]:
        self._action.reach()  # a host that cannot be reached has opened nothing
        result: dict[str, t.Any] = {}

        def run_module() -> Outcomes:
            options = {**self._options, "deviceaddress": list(order.services), "services": None}
            result.update(self._action.run_module("remoteit.fleet.remoteit_connect", options, account, self._task_vars))
            if "connections" not in result and "failure" in result:  # it gave up before its first call
                return dict.fromkeys(order.services, result["failure"])
            parts = (result.get(name) for name in ("connections", "failures"))
            return {service: entry for part in parts if isinstance(part, dict) for service, entry in part.items()}

        opened = self.adopt(account, order, run_module)
        if "connections" not in result:
            raise _NoAnswerError(result)
        yield from opened
