# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledgers that a teardown locks: those of ended runs, each by one teardown."""

from __future__ import annotations

import subprocess
import time
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.ended_runs import lock_ended_ledgers
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.files import try_lock
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import list_open_connections
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import process_identity
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import ID
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.ledger.ledgers import (
    RUN,
    begin_ledger,
    kill_keeper,
    record_connection,
)


def locked_runs(directory: str, run_id: str | None = None) -> dict[str, bool]:
    """Return the ended runs that a teardown finds, and whether it can lock their ledgers."""
    with lock_ended_ledgers(directory, run_id, []) as found:
        return {snapshot.run_id: ledger is not None for snapshot, ledger in found}


def test_lock_excludes_running_runs_and_other_teardowns(ledger: Ledger, directory: str, pauses: list[float]) -> None:
    record_connection(ledger)
    assert locked_runs(directory) == {}
    kill_keeper(ledger)
    with lock_ended_ledgers(directory, None, []) as found:
        ((snapshot, locked),) = found
        assert [entry.connectionid for entry in snapshot.open] == [ID]
        assert locked_runs(directory) == {RUN: False}
        t.cast(Ledger, locked).closed(1, "closed")
    assert list_open_connections(directory, None) == []


def test_lock_waits_for_readers(ledger: Ledger, directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the run of another container, only the lock shows whether it is running."""
    kill_keeper(ledger)
    with open(ledger.path, "rb") as reader:
        assert try_lock(reader)
        monkeypatch.setattr(time, "sleep", lambda _unused: reader.close())
        assert locked_runs(directory) == {RUN: True}


def test_run_is_running_while_its_controller_is(directory: str) -> None:
    """Even if its keeper was killed."""
    controller = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    ledger = begin_ledger(directory, controller=process_identity(controller.pid))
    record_connection(ledger)
    kill_keeper(ledger)
    assert [listed["alive"] for listed in list_open_connections(directory, None)] == [True]
    assert locked_runs(directory) == {}
    controller.communicate()
    assert [listed["alive"] for listed in list_open_connections(directory, None)] == [False]
    assert locked_runs(directory) == {RUN: True}


def test_lock_leaves_other_runs_unlocked(ledger: Ledger, directory: str) -> None:
    kill_keeper(ledger)
    with lock_ended_ledgers(directory, "another", []) as found:
        assert found == []
        assert locked_runs(directory, RUN) == {RUN: True}
