# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""What the action plugins of the collection have in common."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from ansible.utils.unsafe_proxy import wrap_var

from ansible_collections.remoteit.fleet.plugins.module_utils import _credentials, _results
from ansible_collections.remoteit.fleet.plugins.module_utils._errors import OptionsError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.module_utils._fleet import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run import THIS_RUN


class RemoteItAction(ActionBase):
    """Validates the options, runs C(work) and turns what it raises into the task's result.

    Nothing of the result is an invocation: the options hold secrets.
    """

    SPEC: t.ClassVar[dict[str, t.Any]]
    RULES: t.ClassVar[dict[str, t.Any]] = {}

    _supports_check_mode = True
    _supports_async = False

    def work(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        raise NotImplementedError

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        validation = ArgumentSpecValidator(self.SPEC, **self.RULES).validate(plain(self._task.args))
        try:
            if validation.error_messages:
                raise OptionsError("; ".join(validation.error_messages))
            outcome = self.work(validation.validated_parameters, task_vars or {})
        except RemoteItError as error:
            outcome = _results.failed(error)
        _leave_if_nobody_listens()
        result.update(remove_values(outcome, validation._no_log_values))
        return result

    def environment(self) -> dict[str, str]:
        """The environment of the task, laid over the one of this process."""
        return _credentials.merged(self._environment_of_the_task(), os.environ)

    def _environment_of_the_task(self) -> dict[str, str]:
        found: dict[str, t.Any] = {}
        self._compute_environment_string(found)  # type: ignore[no-untyped-call]
        return {str(name): str(value) for name, value in found.items()}

    @contextlib.contextmanager
    def without_credentials(self) -> t.Iterator[None]:
        """Within it, what runs on another host does not get the credentials of the task's environment."""
        before = self._task.environment
        rest = {name: value for name, value in self._environment_of_the_task().items() if not _is_ours(name)}
        self._task.environment = [wrap_var(rest)]
        try:
            yield
        finally:
            self._task.environment = before

    def runs_elsewhere(self) -> bool:
        """Whether the task is delegated to another host than the controller."""
        return bool(self._task.delegate_to) and self._connection.transport != "local"

    def reach(self) -> None:
        """Make sure that the host to which the task is delegated can be reached at all."""
        with self.without_credentials():
            self._low_level_execute_command("true")

    def run_module(
        self, name: str, options: dict[str, t.Any], account: Account, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        """Run the module of the same name where the task is delegated to, with the controller's credentials."""
        left_here = {"profile", "credentials_file"}
        # an alias would win over what the option of this name says by now
        names = self.SPEC.keys() - left_here
        elsewhere = {key: value for key, value in options.items() if value is not None and key in names}
        with self.without_credentials():
            result: dict[str, t.Any] = self._execute_module(
                module_name=name, module_args={**elsewhere, **account.credentials.as_options()}, task_vars=task_vars
            )
        result.pop("invocation", None)
        return result


def _is_ours(name: str) -> bool:
    return name.startswith(("REMOTEIT_", "R3_"))


def _leave_if_nobody_listens() -> None:
    """End this worker if the controller is dead: a large result would block it for ever in a pipe without a reader."""
    try:
        os.kill(THIS_RUN.controller_pid, 0)
    except ProcessLookupError:
        os._exit(1)


def plain(value: t.Any) -> t.Any:
    """A copy in plain types; the engine's own subclasses would show up in error messages and cannot be sent."""
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return int(value)
    return "".join(value) if isinstance(value, str) else str(value)
