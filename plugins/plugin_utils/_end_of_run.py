# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""What the controller does when its run ends in an orderly way, is interrupted, or is asked to end."""

from __future__ import annotations

import atexit
import functools
import os
import signal
import sys
import threading
import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils._errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper_client import KeeperClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger import listing
from ansible_collections.remoteit.fleet.plugins.plugin_utils._masters import remove_folder
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run import THIS_RUN, runs_folder


@functools.cache
def close_at_the_end_of_this_run() -> None:
    """Make the controller ask its keeper to finish, at an orderly end, on Ctrl-C, and on SIGTERM.

    The keeper would notice by itself, but in a container it dies together with the controller. Called when an action
    plugin is imported, which happens in the main process; workers inherit it and leave by C(os._exit).
    """
    if os.getpid() != THIS_RUN.controller_pid or threading.current_thread() is not threading.main_thread():
        return
    atexit.register(_finish)
    before = signal.getsignal(signal.SIGTERM)

    def on_sigterm(number: int, frame: t.Any) -> None:
        _finish()
        if callable(before):
            before(number, frame)
            return
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, on_sigterm)


def _finish() -> None:
    if os.getpid() != THIS_RUN.controller_pid:
        return
    try:
        recap = KeeperClient().finish()
        if recap is None:
            remove_folder(THIS_RUN.folder)  # its keeper died, or could not be started
    except TimeoutError:
        print("remote.it: connections are still being closed in the background", file=sys.stderr)
        return
    except RemoteItError as error:
        print(f"[WARNING]: remote.it: {error.message}", file=sys.stderr)
        return
    recap = with_leftovers(recap, left_by_killed_keepers())
    if recap and (recap["opened"] or recap["unsure"]):
        print(recap_text(recap), file=sys.stderr, flush=True)


def left_by_killed_keepers() -> list[dict[str, t.Any]]:
    """What ledgers of this run still tell of, though no keeper of it is left."""
    folder = runs_folder()
    try:
        if not any(THIS_RUN.id in name for name in os.listdir(folder)):
            return []
        return [entry for entry in listing(folder, THIS_RUN.id) if not entry["detached"]]
    except (OSError, RemoteItError):
        return []


def with_leftovers(recap: dict[str, t.Any] | None, leftovers: t.Sequence[dict[str, t.Any]]) -> dict[str, t.Any] | None:
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
        f"[WARNING]: remote.it: the connection {left['connectionid']} to {left['service']} could not be closed:"
        f" {left['why']}; it ends by itself at {left['expires_at'] or 'a time that the API did not tell'}"
        for left in recap["left"]
    ]
    lines += [
        f"[WARNING]: remote.it: the call that was to open {unsure['service']} at {unsure['at']} had no clear answer and"
        f" may have opened a connection; it ends by itself 15 minutes after its last use: {unsure['why']}"
        for unsure in recap["unsure"]
    ]
    lines += [
        f"[WARNING]: remote.it: the connection {ended['connectionid']} to {ended['service']} was ended before its time"
        " by somebody else, perhaps by another run's connection to the same service; or the answer to its stop was lost"
        for ended in recap["ended_early"]
    ]
    return "\n".join(lines)
