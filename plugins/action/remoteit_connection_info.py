# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(remoteit_connection_info); the documentation is in the module of the same name."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils import _connection_info_spec
from ansible_collections.remoteit.fleet.plugins.plugin_utils._action import RemoteItAction
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger import listing
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run import runs_folder


class ActionModule(RemoteItAction):
    SPEC = _connection_info_spec.ARGUMENT_SPEC

    def work(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        return {"changed": False, "connections": listing(runs_folder(), options["run_id"])}
