# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import socket
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.keeper import Keeper
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import MockApi


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Return the home directory, which contains no credentials."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Run:
    return Run("a-run", os.getpid(), str(tmp_path / "runtime"))


@pytest.fixture
def ledger(tmp_path: pathlib.Path) -> Ledger:
    ledger, _unused = Ledger.begin(str(tmp_path / "state" / "runs"), "a-run")
    return ledger


@pytest.fixture
def keeper(mock_api: MockApi, run: Run, ledger: Ledger) -> Keeper:
    return Keeper(run, ledger)


@pytest.fixture
def listener() -> t.Iterator[socket.socket]:
    """Listen on the port of a proxy."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def alive(listener: socket.socket) -> str:
    """Return the URL of a proxy that responds."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def dead() -> str:
    """Return the URL of a proxy that is gone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
