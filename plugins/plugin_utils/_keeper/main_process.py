# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Register the handlers for the end of the run in the controller's main process, from one of its workers.

ansible-core imports a connection plugin in workers only. A worker's display messages are unpickled in the main process,
by a thread that receives results. ``_Import`` makes the unpickling import ``shutdown.py`` there.

A worker that is forked while a module is being imported inherits the import lock, and hangs as soon as it imports the
same module. ansible-core holds the lock of ``Display`` while it forks (``WorkerProcess.start``). So does the import.
"""

from __future__ import annotations

import operator
import typing as t

from ansible.utils.display import Display

from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper import shutdown

_STATEMENT = f"""
from ansible.utils.display import Display
with Display()._lock:
    import importlib
    importlib.import_module({shutdown.__name__!r}).register_in_main_process()
"""


class _Import:
    """Unpickled as ``None``, after the import."""

    def __reduce__(self) -> tuple[t.Any, ...]:
        return exec, (_STATEMENT,)


class _Message(str):
    """Unpickled as a plain string."""

    __slots__ = ()

    def __reduce__(self) -> tuple[t.Any, ...]:
        return operator.itemgetter(0), ((str(self), _Import()),)


def register_shutdown_handlers() -> None:
    """Make sure that the main process closes what is open when it ends. Call it in a worker."""
    if not shutdown.is_registered():
        Display().display(
            _Message("remote.it: connections that are open at the end of the run are closed"), log_only=True
        )
