# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Document the options of the installed ``ansible.builtin.ssh`` for the connection plugin that is derived from it.

A copy of them would match only one version of ansible-core. The base class fails with ``KeyError`` if it reads an
option that the derived plugin does not document.
"""

from __future__ import annotations

import typing as t

import yaml
from ansible.plugins.connection import ssh

# libyaml is ten times as fast, but not every PyYAML has it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

#: The options whose meaning differs from that in ``ansible.builtin.ssh``.
_REWORDED: dict[str, dict[str, t.Any]] = {
    "host": {
        "description": [
            "The name of the inventory host. The host and the port to connect to are those of its proxy.",
            "C(ansible_host) and C(ansible_port) have no effect.",
        ],
        "type": "str",
        "default": "inventory_hostname",
        "vars": [{"name": "inventory_hostname"}],
    },
    "port": {
        "description": ["Has no effect. The port is that of the proxy."],
        "type": "int",
    },
    "reconnection_retries": {
        "description": [
            "The maximum number of additional replacements for a connection whose proxy refuses the TCP connection.",
            "The first replacement is always opened, even with V(0).",
            "Other failures are not retried, because a command could run twice.",
        ],
    },
    "control_path": {"description": ["Has no effect. Each connection has separate control sockets."]},
    "control_path_dir": {"description": ["Has no effect. The control sockets are in a private directory of the run."]},
}


def _without_history(value: t.Any) -> t.Any:
    """Return the documentation without ``version_added`` and ``deprecated``, which ``ansible-test sanity`` rejects."""
    if isinstance(value, dict):
        return {
            key: _without_history(item)
            for key, item in value.items()
            if key not in ("version_added", "version_added_collection", "deprecated")
        }
    if isinstance(value, list):
        return [_without_history(item) for item in value]
    return value


def _options() -> dict[str, t.Any]:
    documented: t.Any = yaml.load(ssh.DOCUMENTATION, Loader=_LOADER)  # type: ignore[no-untyped-call]
    options = _without_history(documented["options"])
    for name, documentation in _REWORDED.items():
        if name in ("host", "port"):
            options[name] = documentation
        else:
            options[name] = {**options.get(name, {}), **documentation}
    return options


class ModuleDocFragment:
    # The annotation is required: ansible-test's yamllint expects a string literal in a plain assignment.
    DOCUMENTATION: t.ClassVar[str] = yaml.dump({"options": _options()}, Dumper=_DUMPER, sort_keys=False)  # type: ignore[no-untyped-call]
