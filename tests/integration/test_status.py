# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook that shows open connections."""

from __future__ import annotations

import json
import os
import signal

import pytest
from conftest import Fleet, play, who
from support import wait_until

STATUS = "remoteit.fleet.status"


@pytest.mark.each_api
def test_status_shows_connections_of_a_killed_run_and_of_the_account(fleet: Fleet) -> None:
    def kill() -> None:
        (keeper,) = fleet.keepers()
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not fleet.keepers())

    foreign = fleet.simulator.connect("pi-0005")
    fleet.environ["CI_JOB_ID"] = "4711"
    fleet.run(
        [play(who(), fleet.wait_here())],
        while_running=fleet.once(lambda: fleet.has_ended("who", 3), kill),
        leaves_open=3,
    )
    run = fleet.run(STATUS, "-e", "remoteit_status_file=status.json")
    assert run.rc == 0
    assert max(map(len, run.stdout.split("TASK [Show")[1].split("TASK [Write")[0].splitlines()[1:])) <= 80
    assert "run 4711-" in run.stdout
    for device in fleet.devices:
        assert f"  {device} " in run.stdout
    assert (fleet.simulator.service("pi-0005") in run.stdout) == (fleet.api == "graphql")
    status = json.loads((fleet.project / "status.json").read_text())
    assert sorted(entry["inventory_host"] for entry in status["connections"]) == fleet.devices
    assert not any(entry["alive"] for entry in status["connections"])
    if fleet.api == "graphql":
        assert foreign["connectionid"] in {entry["connectionid"] for entry in status["sessions"]}
    else:
        assert status["sessions"] is None

    fleet.run("remoteit.fleet.teardown")
    assert "pi-0001" not in fleet.run(STATUS).stdout


def test_status_needs_no_credentials(fleet: Fleet) -> None:
    run = fleet.run(STATUS, environ=dict.fromkeys(fleet.credentials))
    assert run.rc == 0
    assert "no run on this controller has an open connection" in run.stdout


@pytest.mark.parametrize("arguments", [("--limit", "pi-0001"), ("--skip-tags", "always")])
def test_status_refuses_to_show_nothing(fleet: Fleet, arguments: tuple[str, str]) -> None:
    assert fleet.run(STATUS, *arguments).rc != 0
