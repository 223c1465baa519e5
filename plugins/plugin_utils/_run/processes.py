# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Identify processes, and find out whether they are running.

A run is running as long as its controller process, with or without a keeper. A keeper holds locks while it is running.
"""

from __future__ import annotations

import os
import subprocess
import typing as t


def process_identity(pid: int) -> str | None:
    """Return an identifier that no other process ever has, or ``None`` if the process has exited or is unknown.

    It contains the boot ID of the machine, the PID namespace, the PID and the start time of the process.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            state, *fields = file.read().rpartition(")")[2].split()
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            boot = file.read().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # no such process, or no /proc
        return None if os.path.exists("/proc/self/stat") else _identity_by_ps(pid)
    return None if state in ("Z", "X") else f"{boot} {namespace} {pid} {fields[18]}"


def _identity_by_ps(pid: int) -> str | None:
    """Return the identifier on a system without ``/proc``, with the start time that ``ps`` prints."""
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    try:
        done = subprocess.run(command, capture_output=True, check=False, text=True, env={**os.environ, "LC_ALL": "C"})
    except OSError:
        return None
    started = "_".join(done.stdout.split())
    return f"- - {pid} {started}" if started else None


def is_alive(identity: str | None) -> bool:
    """Return whether the process is certainly running. This is unknown for a process of another container."""
    try:
        return identity is not None and process_identity(int(identity.split()[2])) == identity
    except (ValueError, IndexError):
        return False


def has_exited(identity: t.Any) -> bool:
    """Return whether the process has certainly exited.

    This is unknown for a process of another container or machine. A process from before the last boot looks like one of
    another machine. In these cases, only a lock shows whether the process is running.
    """
    here = process_identity(os.getpid())
    if here is None or not isinstance(identity, str):
        return False
    return identity.split()[:2] == here.split()[:2] and not is_alive(identity)
