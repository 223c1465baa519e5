# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Provide the base class of the action plugins."""

from __future__ import annotations

import os
import typing as t

from ansible import constants as C
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.errors import AnsibleValidationError, UnsupportedError
from ansible.plugins.action import ActionBase

from ansible_collections.remoteit.fleet.plugins.plugin_utils import _results
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api import credentials as _credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.files import has_ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._play import Play, to_plain_types
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import (
    exit_if_controller_ended,
    fallback_state_dir,
    has_home,
    runs_dir,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.private_files import is_private_dir

#: The variables that only the environment of ``ansible-playbook`` sets: all processes of a run use its ledger.
_VARIABLES_OF_THE_RUN = ("REMOTEIT_STATE_DIR", "REMOTEIT_RUN_ID")


class RemoteItAction(ActionBase):
    """An action that validates its options, runs ``execute`` and converts its errors to a failed result.

    The result does not contain the invocation, because the options can contain secrets.
    """

    ARGUMENT_SPEC: t.ClassVar[dict[str, t.Any]]
    ARGUMENT_RULES: t.ClassVar[dict[str, t.Any]] = {}

    _supports_check_mode = True
    _supports_async = False

    def execute(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the result of the task.

        :raises RemoteItError: the task fails.
        """
        raise NotImplementedError

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the result of the task, with secrets masked."""
        result = super().run(tmp, task_vars)
        validation = ArgumentSpecValidator(self.ARGUMENT_SPEC, **self.ARGUMENT_RULES).validate(
            to_plain_types(self._task.args)
        )
        try:
            self._check_delegation()
            if validation.error_messages:
                raise OptionsError("; ".join(map(_describe, validation.errors)))
            task_result = self.execute(validation.validated_parameters, task_vars or {})
        except RemoteItError as error:
            task_result = _results.failed(error)
        exit_if_controller_ended()  # a large result would block this worker forever in a pipe without a reader
        result.update(remove_values(task_result, validation._no_log_values))
        return result

    def environment(self) -> dict[str, str]:
        """Return the environment of this process, overridden by that of the task."""
        return _credentials.merge_environments(self._task_environment(), os.environ)

    def ledgers_dir(self, warnings: list[str]) -> str:
        """Return the directory of the ledgers.

        :param warnings: gets a warning if the directory does not exist.
        :raises OptionsError: the environment of the task selects another directory or run than that of this process, or
            the default directory is uncertain.
        """
        of_task = self._task_environment()
        for name in _VARIABLES_OF_THE_RUN:
            value = of_task.get(name, "")
            if name in of_task and value != os.environ.get(name, ""):
                raise OptionsError(
                    f"the environment of the task sets {name} to {value!r}, which does not select the ledgers. Set it"
                    " in the environment of ansible-playbook"
                )
        directory = runs_dir()
        if not os.environ.get("REMOTEIT_STATE_DIR"):
            _check_default_directory(os.path.dirname(directory))
        if not os.path.lexists(directory):
            warnings.append(f"there are no ledgers, because {directory!r} does not exist. Check REMOTEIT_STATE_DIR")
        return directory

    def play(self, task_vars: dict[str, t.Any]) -> Play:
        """Return the play of this task."""
        return Play(self._task, task_vars, self._loader)

    def _task_environment(self) -> dict[str, str]:
        environment: dict[str, t.Any] = {}
        self._compute_environment_string(environment)  # type: ignore[no-untyped-call]
        return {str(name): str(value) for name, value in environment.items()}

    def _check_delegation(self) -> None:
        """Raise an error if the task is delegated to another host: an action always runs on the controller.

        :raises OptionsError: the message recommends ``hostip``.
        """
        host = self._task.delegate_to
        if host and host not in C.LOCALHOST:
            raise OptionsError(
                f"{self._task.action} runs on the controller and cannot be delegated to {host!r}; to let that machine"
                " use the proxy, set hostip to its public IPv4 address"
            )


def _check_default_directory(directory: str) -> None:
    """Raise an error if a run may have used another state directory, because its home could not be used.

    :raises OptionsError: the message names the directories.
    """
    fallback = fallback_state_dir()
    if directory == fallback and has_home():
        raise OptionsError(
            f"the home {os.path.expanduser('~')!r} cannot be used, so it is not known where the ledgers are. Set"
            f" REMOTEIT_STATE_DIR, for example to {fallback!r} if the runs could not use it either"
        )
    if directory != fallback and is_private_dir(fallback) and has_ledger(os.path.join(fallback, "runs")):
        raise OptionsError(
            f"there are ledgers in {fallback!r} too: a run could not use {directory!r}. Run this playbook once with"
            " each of these paths as REMOTEIT_STATE_DIR"
        )


def _describe(error: AnsibleValidationError) -> str:
    """Return the message of the error. That of an unsupported option is a part of a sentence."""
    message: str = error.msg
    return f"unsupported parameters: {message}" if isinstance(error, UnsupportedError) else message
