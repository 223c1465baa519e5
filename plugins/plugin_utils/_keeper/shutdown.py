# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""What the controller does when its run ends in an orderly way, is interrupted, or is asked to end."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import os
import signal
import sys
import threading
import typing as t

from ansible import constants as C
from ansible.plugins.loader import connection_loader

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.client import KeeperClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import list_open_connections
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import THIS_RUN, runs_dir
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.control_masters import remove_runtime_dir
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.destination import CONNECTION


@functools.cache
def register_in_main_process() -> None:
    """Make the controller ask its keeper to finish, at an orderly end, on Ctrl-C, and on SIGTERM.

    The keeper would notice by itself, but in a container it ends together with the controller. Workers inherit the
    handlers, and leave by ``os._exit``. Does nothing in a worker.
    """
    if os.getpid() != THIS_RUN.controller_pid:
        return
    atexit.register(_finish)
    if threading.current_thread() is threading.main_thread():
        _handle_sigterm()
    else:
        _handle_sigterm_from_thread()
    # from 2.19 on, ansible-core sets its own handler after it has read the inventory, and for each console command
    os.register_at_fork(before=_handle_sigterm)
    # from now on workers inherit the plugin, whose documentation takes 0.3 s to parse
    with contextlib.suppress(Exception):
        plugin = connection_loader.get(CONNECTION, class_only=True)
        C.config.get_configuration_definitions("connection", plugin._load_name)


def is_registered() -> bool:
    """Whether the main process has the handlers. A worker knows what the main process had when it was forked."""
    return bool(register_in_main_process.cache_info().currsize)


class _SigtermHandler:
    """Closes what is open, then does what would have been done without it."""

    def __init__(self, before: t.Any) -> None:
        self._before = before

    def __call__(self, number: int, frame: t.Any) -> None:
        _finish()
        if callable(self._before):
            self._before(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        if os.getpid() == 1:  # the first process of a PID namespace survives a signal that it does not handle
            os._exit(128 + number)


def _handle_sigterm() -> None:
    if os.getpid() != THIS_RUN.controller_pid or threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_IGN and not isinstance(before, _SigtermHandler):
        signal.signal(signal.SIGTERM, _SigtermHandler(before))


def _pending_call(_unused: t.Any) -> int:
    with contextlib.suppress(ValueError):  # this Python has called it in another thread
        _handle_sigterm()
    return 0


_PENDING_CALL = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_pending_call)  # has to stay alive


def _handle_sigterm_from_thread() -> None:
    """Handle SIGTERM although this is not the main thread, which alone may set a handler.

    CPython calls what ``Py_AddPendingCall`` has noted in its main thread (https://docs.python.org/3/c-api/init.html).
    """
    with contextlib.suppress(AttributeError):  # not CPython
        ctypes.pythonapi.Py_AddPendingCall(_PENDING_CALL, None)


def _finish() -> None:
    if os.getpid() != THIS_RUN.controller_pid:
        return
    try:
        recap = KeeperClient().finish()
        if recap is None:
            remove_runtime_dir(THIS_RUN.runtime_dir)  # its keeper died, or could not be started
    except (TimeoutError, KeyboardInterrupt):
        print("remote.it: connections are still being closed in the background", file=sys.stderr)
        return
    except RemoteItError as error:
        print(f"[WARNING]: remote.it: {error.message}", file=sys.stderr)
        return
    recap = add_orphans(recap, orphaned_connections())
    if recap and (recap["opened"] or recap["unsure"]):
        print(recap_text(recap), file=sys.stderr, flush=True)


def orphaned_connections() -> list[dict[str, t.Any]]:
    """What ledgers of this run still tell of, though no keeper of it is left."""
    folder = runs_dir()
    try:
        if not any(THIS_RUN.id in name for name in os.listdir(folder)):
            return []
        return [entry for entry in list_open_connections(folder, THIS_RUN.id) if not entry["detached"]]
    except (OSError, RemoteItError):
        return []


def add_orphans(recap: dict[str, t.Any] | None, leftovers: t.Sequence[dict[str, t.Any]]) -> dict[str, t.Any] | None:
    """The recap of the run's last keeper, with what one that was killed has left."""
    whole = recap or {"opened": 0, "closed": 0, "left": [], "unsure": [], "ended_early": []}
    told = {left["connectionid"] for left in whole["left"]} | {None}
    left = [
        {
            "service": entry["deviceaddress"],
            "connectionid": entry["connectionid"],
            "expires_at": entry["ends_by_itself_at"],
            "why": "the keeper that opened it was killed; run the playbook remoteit.fleet.teardown",
        }
        for entry in leftovers
        if entry["connectionid"] not in told
    ]
    if not left:
        return recap
    return {**whole, "opened": whole["opened"] + len(left), "left": [*whole["left"], *left]}


def recap_text(recap: dict[str, t.Any]) -> str:
    opened, closed = recap["opened"], recap["closed"]
    lines = [f"remote.it: opened {opened}, closed {closed}, left open {opened - closed}"]
    lines += [
        f"[WARNING]: remote.it: the connection {left['connectionid']} to {_label(left)} could not be closed:"
        f" {left['why']}; it ends by itself at {left['expires_at'] or 'a time that the API did not tell'}"
        for left in recap["left"]
    ]
    lines += [
        f"[WARNING]: remote.it: the call that was to open {_label(unsure)} at {unsure['at']} had no clear answer and"
        f" may have opened a connection; it ends by itself 15 minutes after its last use: {unsure['why']}"
        for unsure in recap["unsure"]
    ]
    lines += [
        f"[WARNING]: remote.it: the connection {ended['connectionid']} to {_label(ended)} was ended before its time"
        " by somebody else, perhaps by another run's connection to the same service; or the answer to its stop was lost"
        for ended in recap["ended_early"]
    ]
    return "\n".join(lines)


def _label(entry: dict[str, t.Any]) -> str:
    """Return the service, and the inventory host whose service it is if one has used it."""
    return f"{entry['service']} ({entry['host']})" if entry.get("host") else str(entry["service"])
