# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.ledger.ledgers import begin_ledger


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "state" / "runs")


@pytest.fixture
def ledger(directory: str) -> Ledger:
    """Return the ledger of a running run."""
    return begin_ledger(directory)
