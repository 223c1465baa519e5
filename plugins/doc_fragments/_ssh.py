# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the installed ``ansible.builtin.ssh``, for the connection plugin that is derived from it.

A copy of them would fit one version of ansible-core: the base class fails with ``KeyError`` if it asks for an option
that the derived plugin does not document.
"""

from __future__ import annotations

import typing as t

import yaml
from ansible.plugins.connection import ssh

# libyaml, where there is one, is ten times as fast
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

#: Options that mean something else here.
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
            "The number of further connections to open if the proxy refuses the TCP connection.",
            "One is opened in any case.",
            "Nothing else is retried, because a command could run twice.",
        ],
    },
    "control_path": {"description": ["Has no effect. Each connection has control sockets of its own."]},
    "control_path_dir": {"description": ["Has no effect. The control sockets are in a directory of the run."]},
}


def _without_history(value: t.Any) -> t.Any:
    """Return the documentation without the version in which ansible-core added or deprecated something."""
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
    # annotated, because ansible-test's yamllint expects a string literal in a plain assignment
    DOCUMENTATION: t.ClassVar[str] = yaml.dump({"options": _options()}, Dumper=_DUMPER, sort_keys=False)  # type: ignore[no-untyped-call]
