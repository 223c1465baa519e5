# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Where the file with the user's tasks is."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils._errors import OptionsError


def find_tasks_file(name: str | None, task_vars: dict[str, t.Any]) -> str:
    """The absolute path of the user's tasks file.

    :raises OptionsError: there is none, and every place that was tried is named; or it does what no session can bear.
    """
    if not name:
        raise OptionsError(
            "remoteit_session_tasks is not set: name the file with the tasks to run on the devices; or, to open a"
            " session for roles and tasks that follow, call the role with tasks_from: open"
        )
    folders = []
    if task_vars.get("ansible_parent_role_paths"):
        folders.append(os.path.join(task_vars["ansible_parent_role_paths"][0], "tasks"))
    folders += [task_vars["playbook_dir"], os.getcwd()]
    # a playbook of this collection is not beside the user's files
    own = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", "playbooks"))
    wanted = os.path.expanduser(name)
    candidates = list(
        dict.fromkeys(os.path.join(folder, wanted) for folder in folders if os.path.realpath(folder) != own)
    )
    for candidate in candidates:
        if os.path.isfile(candidate):
            _check(candidate)
            return os.path.abspath(candidate)
    raise OptionsError(f"the tasks file {name} does not exist; tried: {', '.join(candidates)}")


def _check(path: str) -> None:
    with open(path, "rb") as file:
        if re.search(rb"(?m)^[^#\n]*clear_host_errors", file.read()):
            raise OptionsError(
                f"the tasks file {path} has meta: clear_host_errors: what is left of it for a host would run after the"
                " session, and not on the device; put it into the play, after the session"
            )
