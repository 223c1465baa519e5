# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ``remoteit_connection_info`` on the controller. The module of the same name has the documentation."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils import _argspec
from ansible_collections.remoteit.fleet.plugins.plugin_utils._action import RemoteItAction
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import NoCredentialsError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import list_open_connections
from ansible_collections.remoteit.fleet.plugins.plugin_utils._results import with_warnings
from ansible_collections.remoteit.fleet.plugins.plugin_utils._status import table_of


class ActionModule(RemoteItAction):
    ARGUMENT_SPEC = {**_argspec.AUTH_SPEC, "run_id": {"type": "raw"}}

    def execute(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        warnings: list[str] = []
        directory = self.ledgers_dir(warnings)
        connections = list_open_connections(directory, _argspec.parse_run_id(options["run_id"]))
        result: dict[str, t.Any] = {"changed": False, "connections": connections, "sessions": None}
        try:
            result["sessions"] = self._sessions(options)
        except RemoteItError as error:  # the ledgers are returned even if the API fails
            warnings.append(f"the sessions of the account cannot be listed: {error.message}")
        result["table"] = table_of(connections, result["sessions"])
        return with_warnings(result, warnings)

    def _sessions(self, options: dict[str, t.Any]) -> list[dict[str, t.Any]] | None:
        """Return the proxy connections of the account, or ``None`` without an access key."""
        try:
            account = _argspec.account_of(options, self.environment())
        except NoCredentialsError:
            return None
        sessions = account.api().sessions()
        if sessions is None:
            return None
        return [
            {"connectionid": session.id, "deviceaddress": session.service_id, "opened_at": session.started}
            for session in sessions
            if session.is_ours and session.is_proxy
        ]
