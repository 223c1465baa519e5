# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Close the connections of a run when its controller ends, is interrupted or receives SIGTERM, and print the recap."""

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
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recap import (
    LeftOpen,
    MayBeOpen,
    Recap,
    lines_of_open,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.files import has_ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import list_orphans
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import THIS_RUN, runs_dir
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.private_files import require_regular_file
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.control_masters import remove_runtime_dir
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.destination import CONNECTION

_NO_KEEPER = "the keeper that opened it ended before the run; run the playbook remoteit.fleet.teardown"
_STILL_CLOSING = "its keeper has not reported in time; run the playbook remoteit.fleet.teardown"
_NO_OUTCOME = "the keeper ended before the run, without the outcome; run the playbook remoteit.fleet.teardown"


@functools.cache
def register_in_main_process() -> None:
    """Make the controller ask its keeper to finish, at an orderly end, on Ctrl-C, and on SIGTERM.

    The keeper notices the end of the controller, but in a container it ends together with the controller. Workers
    inherit the handlers, and exit by ``os._exit``. In a worker, this function does nothing.
    """
    if os.getpid() != THIS_RUN.controller_pid:
        return
    atexit.register(_finish)
    if threading.current_thread() is threading.main_thread():
        _handle_sigterm()
    else:
        _handle_sigterm_from_thread()
    os.register_at_fork(before=_prepare_fork)


def _prepare_fork() -> None:
    # from 2.19 on, ansible-core sets its own handler after it has read the inventory, and for each console command
    _handle_sigterm()
    _load_connection_plugin()


@functools.cache
def _load_connection_plugin() -> None:
    """Let all workers inherit the plugin, whose documentation takes 0.3 s to parse."""
    if os.getpid() == THIS_RUN.controller_pid:
        with contextlib.suppress(Exception):
            plugin = connection_loader.get(CONNECTION, class_only=True)
            C.config.get_configuration_definitions("connection", plugin._load_name)


def is_registered() -> bool:
    """Return whether the main process has the handlers. In a worker: whether it had them when the worker was forked."""
    return bool(register_in_main_process.cache_info().currsize)


class _SigtermHandler:
    """Close what is open, then call the handler that was set before."""

    def __init__(self, previous: t.Any) -> None:
        self._previous = previous

    def __call__(self, number: int, frame: t.Any) -> None:
        _finish()
        if callable(self._previous):
            self._previous(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        if os.getpid() == 1:  # the first process of a PID namespace survives a signal that it does not handle
            os._exit(128 + number)


def _handle_sigterm() -> None:
    if os.getpid() != THIS_RUN.controller_pid or threading.current_thread() is not threading.main_thread():
        return
    previous = signal.getsignal(signal.SIGTERM)
    if previous is not signal.SIG_IGN and not isinstance(previous, _SigtermHandler):
        signal.signal(signal.SIGTERM, _SigtermHandler(previous))


def _pending_call(_unused: t.Any) -> int:
    with contextlib.suppress(ValueError):  # this Python called it in a thread that may not set a handler
        _handle_sigterm()
    return 0


_PENDING_CALL = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_pending_call)  # must not be garbage collected


def _handle_sigterm_from_thread() -> None:
    """Handle SIGTERM from another thread, although only the main thread may set a handler.

    ``Py_AddPendingCall`` lets CPython call a function in its main thread (https://docs.python.org/3/c-api/init.html).
    """
    with contextlib.suppress(AttributeError):  # not CPython
        ctypes.pythonapi.Py_AddPendingCall(_PENDING_CALL, None)


def _finish() -> None:
    if os.getpid() != THIS_RUN.controller_pid:
        return
    try:
        recap = KeeperClient().finish()
        if recap is None:
            remove_runtime_dir(THIS_RUN.runtime_dir)  # its keeper was killed, or could not be started
    except (TimeoutError, KeyboardInterrupt):
        lines = ["remote.it: connections are still being closed in the background"]
        lines += lines_of_open(*_orphans(only_killed=False, reason=_STILL_CLOSING))
        print(*lines, sep="\n", file=sys.stderr, flush=True)
        _write_offline_hosts([])  # the keeper has not named them, and those of an earlier run are not theirs
        return
    except RemoteItError as error:
        print(f"[WARNING]: remote.it: {error.message}", file=sys.stderr)
        return
    # a keeper that has ended in order has reported what it left open, unless it ended before this process asked it
    recap = (recap or Recap()).with_orphans(*_orphans(only_killed=recap is not None))
    _write_offline_hosts(recap.offline_hosts)
    if recap.is_worth_printing:
        print(recap.as_text(), file=sys.stderr, flush=True)


def _write_offline_hosts(hosts: list[str]) -> None:
    """Write the hosts whose devices were offline to ``REMOTEIT_OFFLINE_FILE``, one on each line.

    Without such a host, remove the file: ansible-core treats ``--limit`` with an empty file as no limit.
    """
    path = os.path.expanduser(os.environ.get("REMOTEIT_OFFLINE_FILE", ""))
    if not path:
        return
    try:
        # A device must not be removed, a pipe can block, and /dev/stdout is a link that can point to a log.
        with contextlib.suppress(FileNotFoundError):
            require_regular_file(path)
        if hosts:
            with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.writelines(f"{host}\n" for host in hosts)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    except OSError as error:
        print(
            f"[WARNING]: remote.it: the hosts that were offline could not be written to {path!r}: {error.strerror}. Set"
            " REMOTEIT_OFFLINE_FILE to a writable file",
            file=sys.stderr,
        )


def _orphans(*, only_killed: bool, reason: str = "") -> tuple[list[LeftOpen], list[MayBeOpen]]:
    """Return the connections and calls of this run's keepers that no later keeper has taken over or reported."""
    left_open: list[LeftOpen] = []
    may_be_open: list[MayBeOpen] = []
    directory = runs_dir()
    try:
        if not has_ledger(directory, THIS_RUN.id):
            return left_open, may_be_open
        entries = list_orphans(directory, THIS_RUN.id, only_killed=only_killed)
    except RemoteItError as error:
        print(f"[WARNING]: remote.it: {error.message}", file=sys.stderr)
        return left_open, may_be_open
    for entry in entries:
        if entry.connectionid is None:
            may_be_open.append(MayBeOpen(entry.service, entry.host, entry.intended_at, reason or _NO_OUTCOME))
        else:
            left_open.append(
                LeftOpen(entry.service, entry.host, entry.connectionid, entry.expires_by, reason or _NO_KEEPER)
            )
    return left_open, may_be_open
