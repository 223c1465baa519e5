# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(remoteit_service_info) on the controller; the documentation is in the module of the same name."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils import _service_info
from ansible_collections.remoteit.fleet.plugins.plugin_utils._action import RemoteItAction
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper_client import KeeperClient


class ActionModule(RemoteItAction):
    SPEC = _service_info.ARGUMENT_SPEC

    def work(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        return _service_info.service_info(options, self.environment(), KeeperClient(), check_mode=self._task.check_mode)
