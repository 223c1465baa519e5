# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger after everything has died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Fleet
from support import wait_until
from termination_table import is_product

CONCURRENT_WORKERS = Path(__file__).with_name("concurrent_workers.py")


@pytest.mark.parametrize("attempt", range(5 if is_product() else 1))
def test_teardown_closes_after_random_kills(fleet: Fleet, attempt: int) -> None:
    """Half of the workers, then the keeper, then the controller are killed in the middle of their work."""
    fleet.simulator.settings(latency=0.3, stop_latency=0.1)
    state = fleet.directory / "simulator.json"
    state.write_text(json.dumps(fleet.simulator.state))
    pipe = subprocess.PIPE
    workers = subprocess.Popen([sys.executable, CONCURRENT_WORKERS, state], env=fleet.environ, stdin=pipe, stdout=pipe)
    assert workers.stdin is not None
    assert workers.stdout is not None
    wait_until(lambda: any('"opened"' in path.read_text() for path in fleet.ledgers()))
    workers.stdin.write(b"kill\n")
    workers.stdin.flush()
    assert workers.stdout.readline() == b"killed\n"
    (keeper,) = fleet.keepers()
    os.kill(keeper, signal.SIGKILL)
    workers.kill()
    workers.wait()
    wait_until(lambda: not fleet.simulator.requests() or all(entry["answered"] for entry in fleet.simulator.requests()))
    (path,) = fleet.ledgers()
    text = path.read_text()
    assert text.endswith("\n")
    events = [json.loads(line) for line in text.splitlines()]
    assert {"run", "intent", "opened"} <= {event["event"] for event in events}

    fleet.end()  # workers that were left
    fleet.run("remoteit.fleet.teardown", leaves_open=0)
    known = {event.get("connectionid") for event in events}
    assert [entry for entry in fleet.simulator.open_connections() if entry["connectionid"] in known] == []
    fleet.simulator.advance(15 * 60 + 1)  # what had no answer yet when the keeper was killed
    assert fleet.simulator.open_connections() == []
