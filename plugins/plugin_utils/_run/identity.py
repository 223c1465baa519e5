# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Identify the run that this process belongs to, and name its directories.

Every worker of a run computes the same identity from the controller process, so that all of them find one keeper,
whether or not the collection was imported before the workers were forked.
"""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import os
import re
import tempfile
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.private_files import is_safe_parent_dir
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import process_identity

#: The variables in which CI systems put the ID of a job: GitLab, Jenkins, Azure Pipelines, AWX. GitHub Actions has only
#: the ID of the workflow run.
_JOB_IDS = ("REMOTEIT_RUN_ID", "GITHUB_RUN_ID", "CI_JOB_ID", "BUILD_TAG", "SYSTEM_JOBID", "AWX_JOB_ID", "JOB_ID")

#: The values of ``REMOTEIT_AUDIT_LOG`` that are not a path.
_ON, _OFF = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")

#: The path of a Unix socket holds 107 bytes, and ssh appends 17 to the path of a control master that is starting.
MAX_RUNTIME_DIR_LENGTH = 62


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of ``ansible-playbook``, ``ansible`` or ``ansible-console``."""

    id: str
    controller_pid: int
    runtime_dir: str  # private: the keeper's socket and the control sockets of ssh
    job: str | None = None  # the ID of the CI job, or REMOTEIT_RUN_ID
    controller: str | None = None  # the identity of the controller process: its PID may be used again

    @property
    def socket(self) -> str:
        """Return the path of the keeper's socket."""
        return os.path.join(self.runtime_dir, "keeper")

    def control_path_dir(self, connectionid: str) -> str:
        """Return the directory of one connection's control sockets. Their masters stop before the connection closes."""
        return os.path.join(self.runtime_dir, hashlib.sha256(connectionid.encode()).hexdigest()[:8])


def _this_run() -> Run:
    """Derive the run from the controller process: a worker's parent, or this process itself."""
    parent = multiprocessing.parent_process()
    # not os.getppid(): if the controller was killed, that is another process, which may run for years
    controller = os.getpid() if parent is None or parent.pid is None else parent.pid
    identity = process_identity(controller)
    suffix = hashlib.sha256((identity or f"pid {controller}").encode()).hexdigest()[:10]
    job = next((os.environ[name] for name in _JOB_IDS if os.environ.get(name)), None)
    return Run(
        id=f"{sanitize_job_id(job or '')}-{suffix}",
        job=job,
        controller_pid=controller,
        runtime_dir=os.path.join(_runtime_base(), f"remoteit-{suffix}"),
        controller=identity,
    )


def sanitize_job_id(job: str) -> str:
    """Return a CI job ID as part of a file name. Keep the end of a long ID, where Jenkins puts the build number."""
    return re.sub(r"[^0-9A-Za-z_.-]+", "-", job)[-80:].lstrip(".-") or "run"


def ci_job_of(run_id: str) -> str | None:
    """Return the CI job ID, or the ``REMOTEIT_RUN_ID``, that a run ID contains."""
    job = run_id.rpartition("-")[0]
    return job if job != "run" else None


def _runtime_base() -> str:
    """Return the directory for runtime directories: the first that is safe, and short enough for sockets."""
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()):
        if base and len(base) + len("/remoteit-0123456789") <= MAX_RUNTIME_DIR_LENGTH and is_safe_parent_dir(base):
            return base
    return "/tmp"


def state_dir(environ: t.Mapping[str, str]) -> str:
    """Return the state directory: ``REMOTEIT_STATE_DIR``, else a directory in the user's state directory.

    If it does not exist and cannot be created, return ``fallback_state_dir``. A directory that exists is used even if
    it cannot be written now: a teardown must not miss the ledgers in it.
    """
    explicit = environ.get("REMOTEIT_STATE_DIR")
    if explicit:
        return os.path.abspath(os.path.expanduser(explicit))
    base = environ.get("XDG_STATE_HOME", "")
    # A relative path is invalid and must be ignored: https://specifications.freedesktop.org/basedir/latest/
    if os.path.isabs(base):
        return os.path.join(base, "remoteit-fleet")
    if has_home():
        directory = os.path.join(os.path.expanduser("~"), ".local", "state", "remoteit-fleet")
        if os.path.lexists(directory) or _can_create(directory):
            return directory
    return fallback_state_dir()


def has_home() -> bool:
    """Return whether this user has a home, even if it cannot be used at the moment."""
    home = os.path.expanduser("~")
    return home != "/" and os.path.isabs(home)


def fallback_state_dir() -> str:
    """Return the directory for a user without a usable home, for example in a container with a random user ID."""
    return os.path.join(tempfile.gettempdir(), f"remoteit-fleet-{os.getuid()}")


def _can_create(directory: str) -> bool:
    """Create a private directory, and return whether that succeeded. Another process may create it at the same time."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except OSError:
        return False
    return True


def runs_dir() -> str:
    """Return the directory of the ledgers."""
    return os.path.join(state_dir(os.environ), "runs")


def audit_log_path() -> str | None:
    """Return the path of the audit trail; ``None`` if it is off."""
    value = os.environ.get("REMOTEIT_AUDIT_LOG", "").strip()
    if value.lower() in _OFF:
        return None
    if value.lower() in _ON:
        return os.path.join(state_dir(os.environ), "audit.jsonl")
    return os.path.abspath(os.path.expanduser(value))


THIS_RUN = _this_run()


def exit_if_controller_ended() -> None:
    """End this worker if its controller has ended: nothing reads its results, and nothing may be opened any more.

    ansible-core leaves its workers behind when it is killed, and 2.16 also at SIGTERM.
    """
    if os.getpid() != THIS_RUN.controller_pid and os.getppid() != THIS_RUN.controller_pid:
        os._exit(1)
