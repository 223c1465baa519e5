# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Who lives. A keeper holds locks while it does; a run lives as long as its controller, with or without a keeper."""

from __future__ import annotations

import os
import subprocess
import typing as t


def process_identity(pid: int) -> str | None:
    """What tells a process from every other that ever had its number; none if it is gone, or cannot be told here.

    The machine's boot, the namespace of the number, the number, and when the process started.
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
    """Return the same on a system without ``/proc``, where ``ps`` knows when a process started."""
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    try:
        done = subprocess.run(command, capture_output=True, check=False, text=True, env={**os.environ, "LC_ALL": "C"})
    except OSError:
        return None
    started = "_".join(done.stdout.split())
    return f"- - {pid} {started}" if started else None


def is_alive(identity: str | None) -> bool:
    """Whether the process of which this is the identity is known to live; another container's is not."""
    try:
        return identity is not None and process_identity(int(identity.split()[2])) == identity
    except (ValueError, IndexError):
        return False


def has_exited(identity: t.Any) -> bool:
    """Whether the process of which this is the identity is known to be gone.

    Of another container's, or another machine's, nobody knows; nor of one before a boot of this machine, which looks
    like the latter. Locks tell there.
    """
    here = process_identity(os.getpid())
    if here is None or not isinstance(identity, str):
        return False
    return identity.split()[:2] == here.split()[:2] and not is_alive(identity)
