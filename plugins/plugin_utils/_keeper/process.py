# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Start of the keeper's process: a script that is run by path, with everything it needs in a line on standard input.

It cannot rely on Ansible's loader, on the environment, or on the working directory.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import types


def _make_importable(plugins: str) -> None:
    """Let the names that the collection's files use for each other lead to this collection and no other."""
    name = ""
    for part, path in (("ansible_collections", []), ("remoteit", []), ("fleet", []), ("plugins", [plugins])):
        name = f"{name}.{part}" if name else part
        module = types.ModuleType(name)
        module.__path__ = path
        sys.modules[name] = module


def main() -> None:
    start = json.loads(sys.stdin.readline())
    sys.path[:] = start["sys_path"]
    _make_importable(str(pathlib.Path(__file__).resolve().parents[2]))

    from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.server import serve
    from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run

    def ready() -> None:
        print(json.dumps({"ready": True}), flush=True)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)

    try:
        serve(Run(**start["run"]), start["runs_folder"], ready)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        print(json.dumps({"error": f"{error.strerror or error}{where}"}), flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
