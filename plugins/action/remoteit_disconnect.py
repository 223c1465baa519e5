# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ``remoteit_disconnect`` on the controller. The module of the same name has the documentation."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils import _argspec, _disconnect
from ansible_collections.remoteit.fleet.plugins.plugin_utils._action import RemoteItAction
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import DirectBackend
from ansible_collections.remoteit.fleet.plugins.plugin_utils._host_connections import disconnect_hosts
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.client import KeeperClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.shutdown import register_in_main_process
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import runs_left_open
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.teardown import teardown
from ansible_collections.remoteit.fleet.plugins.plugin_utils._progress import ProgressBackend
from ansible_collections.remoteit.fleet.plugins.plugin_utils._results import with_warnings
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import THIS_RUN, audit_log_path
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.control_masters import remove_stale_runtime_dirs

if t.TYPE_CHECKING:
    from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.audit import AuditLog

register_in_main_process()


class ActionModule(RemoteItAction):
    ARGUMENT_SPEC = _disconnect.ARGUMENT_SPEC
    ARGUMENT_RULES = _disconnect.ARGUMENT_RULES

    def execute(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        result = self._close(options, task_vars)
        return result if self._task.check_mode else _disconnect.with_facts(result, task_vars)

    def _close(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        environ = self.environment()
        if options["hosts"] is not None:
            play = self.play(task_vars)
            return _disconnect.result_of(disconnect_hosts(options, play, check_mode=self._task.check_mode))
        run_id = _argspec.parse_run_id(options["run_id"])
        if run_id is not None or options["all"]:
            return self._close_ended_runs(run_id, options, environ)
        return _disconnect.disconnect(options, environ, KeeperClient(), check_mode=self._task.check_mode)

    def _close_ended_runs(
        self, run_id: str | None, options: dict[str, t.Any], environ: dict[str, str]
    ) -> dict[str, t.Any]:
        warnings: list[str] = []
        directory = self.ledgers_dir(warnings)
        remove_stale_runtime_dirs(THIS_RUN.runtime_dir)
        audit_log = _open_audit_log()
        outcomes = list(
            teardown(
                directory,
                run_id,
                lambda: _argspec.account_of(options, environ),
                ProgressBackend(DirectBackend()),
                check_mode=self._task.check_mode,
                audit_log=audit_log,
            )
        )
        others = runs_left_open(directory) if run_id is not None and not outcomes else []
        if others:
            warnings.append(
                f"the run {run_id!r} has left nothing open, but other ended runs have: {', '.join(others)}."
                " Check the ID, or run the playbook remoteit.fleet.teardown without an ID"
            )
        if audit_log is not None and audit_log.error is not None:
            warnings.append(audit_log.error)
        result = _disconnect.result_of(outcomes)
        return with_warnings(result, warnings)


def _open_audit_log() -> AuditLog | None:
    """Return the audit trail, or ``None`` if it is off. Without one, do not import it."""
    path = audit_log_path()
    if path is None:
        return None
    from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.audit import AuditLog

    return AuditLog(path)
