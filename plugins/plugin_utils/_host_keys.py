# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""How ssh makes sure that a device is itself, although the host and port of its proxy change with every connection."""

from __future__ import annotations

import dataclasses
import os


@dataclasses.dataclass(frozen=True)
class HostKeys:
    """How ssh makes sure of a device's identity."""

    checking: str
    known_hosts: str | None

    @property
    def file(self) -> str | None:
        return os.path.abspath(os.path.expanduser(self.known_hosts)) if self.known_hosts else None

    @property
    def mistake(self) -> str | None:
        if self.file and not os.path.isdir(os.path.dirname(self.file)):
            return f"remoteit_session_known_hosts is in a folder that does not exist: {self.file}"
        if self.file and ('"' in self.file or "${" in self.file):
            return f"remoteit_session_known_hosts has a quote or ${{ in its path, which ssh cannot take: {self.file}"
        return None

    def arguments(self, service: str) -> list[str]:
        """Options for ssh: the proxy's host and port change with every connection, the alias does not."""
        options = {
            "HostKeyAlias": alias(service),
            "StrictHostKeyChecking": "accept-new" if self.checking == "accept-new" else "yes",
            # a dead link ends a task instead of hanging it
            "ServerAliveInterval": "10",
            "ServerAliveCountMax": "3",
        }
        if self.file:
            path = self.file.replace("%", "%%")  # ssh has tokens that begin with it
            options["UserKnownHostsFile"] = f'"{path}"'
        return [argument for name, value in options.items() for argument in ("-o", f"{name}={value}")]


def alias(service: str) -> str:
    """The name under which known_hosts keeps a service's host key."""
    return f"remoteit-{service.lower().replace(':', '-')}"
