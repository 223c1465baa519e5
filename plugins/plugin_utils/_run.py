# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Which run this is, and where it keeps its things.

The module is imported in the controller's main process before it forks its workers, so all of them see one identity.
"""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import os
import re
import secrets
import tempfile
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._liveness import mark_of
from ansible_collections.remoteit.fleet.plugins.plugin_utils._private import nobody_renames_in

#: What CI systems call a job: GitLab, Jenkins, Azure Pipelines, AWX; GitHub Actions tells only the workflow's run.
_JOB_IDS = ("REMOTEIT_RUN_ID", "GITHUB_RUN_ID", "CI_JOB_ID", "BUILD_TAG", "SYSTEM_JOBID", "AWX_JOB_ID", "JOB_ID")

#: A Unix socket's path holds 107 bytes, and ssh appends 17 to the one of a master that is starting.
_LONGEST_FOLDER = 62


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of ansible-playbook or ansible."""

    id: str
    controller_pid: int
    folder: str  # private; holds the keeper's socket and the control sockets of ssh
    controller: str | None = None  # the mark of its process, which the number alone is not

    @property
    def socket(self) -> str:
        return os.path.join(self.folder, "keeper")

    def control_path_dir(self, connectionid: str) -> str:
        """Where ssh keeps the masters of one connection, so that whoever stops it can end them first."""
        return os.path.join(self.folder, hashlib.sha256(connectionid.encode()).hexdigest()[:8])


def _this_run() -> Run:
    suffix = secrets.token_hex(5)
    job = next((os.environ[name] for name in _JOB_IDS if os.environ.get(name)), "run")
    # a strategy that imports actions only in its workers gets a keeper a worker; their parent is the controller
    in_worker = multiprocessing.parent_process() is not None
    controller = os.getppid() if in_worker else os.getpid()
    return Run(
        id=f"{as_id(job)}-{suffix}",
        controller_pid=controller,
        folder=os.path.join(_runtime_base(), f"remoteit-{suffix}"),
        controller=mark_of(controller),
    )


def as_id(job: str) -> str:
    """A CI system's id of a job as part of a file's name; of a long one the end, where Jenkins has the number."""
    return re.sub(r"[^0-9A-Za-z_.-]+", "-", job)[-80:].lstrip(".-") or "run"


def _runtime_base() -> str:
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()):
        if base and len(base) + len("/remoteit-0123456789") <= _LONGEST_FOLDER and nobody_renames_in(base):
            return base
    return "/tmp"


def state_folder(environ: t.Mapping[str, str]) -> str:
    """Where ledgers are kept: C(REMOTEIT_STATE_DIR), the user's state folder, or a private temporary one."""
    explicit = environ.get("REMOTEIT_STATE_DIR")
    if explicit:
        return os.path.abspath(os.path.expanduser(explicit))
    home = os.path.expanduser("~")
    candidates = [environ.get("XDG_STATE_HOME", ""), os.path.join(home, ".local", "state") if home != "/" else ""]
    # what is relative is to be ignored: https://specifications.freedesktop.org/basedir/latest/
    for candidate in filter(os.path.isabs, candidates):
        folder = os.path.join(candidate, "remoteit-fleet")
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    # no usable home, as in a container with a random uid
    return os.path.join(tempfile.gettempdir(), f"remoteit-fleet-{os.getuid()}")


def runs_folder() -> str:
    return os.path.join(state_folder(os.environ), "runs")


THIS_RUN = _this_run()
