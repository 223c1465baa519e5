# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A night of a fleet: a killed run, a teardown, a run with offline devices, and the run that catches up."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from conftest import Fleet, play, raw, who
from support import wait_until

DEVICES = [f"pi-{number:04}" for number in range(1, 31)]
OFFLINE, LATE, BROKEN = DEVICES[-4:], DEVICES[-5], DEVICES[4]
KILLED, NIGHT, CATCH_UP = "4711", "4712", "4713"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def reached(trail: list[dict[str, Any]], job: str) -> set[str]:
    """Return the hosts that a CI job reached."""
    return {line["inventory_host"] for line in trail if line["ci_job"] == job and line["event"] == "opened"}


@pytest.mark.each_api
def test_audit_trail_of_a_night(fleet: Fleet) -> None:
    simulator = fleet.simulator
    before = len(simulator.connections())
    path = fleet.directory / "audit.jsonl"
    fleet.environ |= {
        "ANSIBLE_FORKS": "10",
        "REMOTEIT_AUDIT_LOG": str(path),
        "REMOTEIT_OFFLINE_FILE": "offline.txt",
    }
    fleet.inventory["fleet"]["hosts"] = {
        device: {"remoteit_deviceaddress": simulator.service(device)} for device in DEVICES
    }
    for device in (*OFFLINE, LATE):
        simulator.device(device, online=False)
    update = play(who(), raw("update", f"[ $(cat device-name) != {BROKEN} ]"))

    def kill() -> None:
        (keeper,) = fleet.keepers()
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not fleet.keepers())

    fleet.run(
        [play(who(), fleet.wait_here())],
        environ={"CI_JOB_ID": KILLED},
        while_running=fleet.once(lambda: fleet.has_ended("who", len(DEVICES)), kill),
        leaves_open=25,
    )
    assert fleet.run("remoteit.fleet.teardown").rc == 0
    assert simulator.open_connections() == []

    (fleet.directory / "go on").unlink()
    fleet.inventory["fleet"]["hosts"][LATE]["remoteit_wait_for_online"] = 60
    simulator.clear_requests()

    def is_waiting() -> bool:
        return any(
            call["deviceaddress"] == simulator.service(LATE) and call["answered"]
            for call in simulator.requests("connect")
        )

    night = fleet.run(
        [update],
        environ={"CI_JOB_ID": NIGHT},
        while_running=fleet.once(is_waiting, lambda: simulator.device(LATE, online=True)),
    )
    assert {host for host, status in night.status("who").items() if status == "unreachable"} == set(OFFLINE)
    assert [host for host, status in night.status("update").items() if status == "failed"] == [BROKEN]
    assert night.recap == "opened 26, closed 26, left open 0"
    assert night.stderr.splitlines()[-1] == f"remote.it: 4 devices were offline: {', '.join(OFFLINE)}"

    for device in OFFLINE:
        simulator.device(device, online=True)
    catch_up = fleet.run([update], "--limit", "@offline.txt", environ={"CI_JOB_ID": CATCH_UP})
    assert catch_up.rc == 0
    assert catch_up.stdout_of("who") == {device: device for device in OFFLINE}
    assert "offline" not in catch_up.stderr

    trail = lines(path)
    assert reached(trail, KILLED) == {*DEVICES} - {*OFFLINE, LATE}
    assert reached(trail, NIGHT) == {*DEVICES} - {*OFFLINE}
    assert reached(trail, CATCH_UP) == {*OFFLINE}
    refused = {(line["ci_job"], line["inventory_host"]) for line in trail if line["event"] == "refused"}
    assert refused == {(KILLED, LATE), (NIGHT, LATE), *((job, host) for job in (KILLED, NIGHT) for host in OFFLINE)}
    of_vendor = {entry["connectionid"]: entry["deviceaddress"] for entry in simulator.connections()[before:]}
    for event in ("opened", "closed"):
        found = [line for line in trail if line["event"] == event]
        assert len(found) == len(of_vendor)
        assert {line["connectionid"]: line["deviceaddress"] for line in found} == of_vendor
    closers = {(line["ci_job"], line["by"]) for line in trail if line["event"] == "closed"}
    assert closers == {(KILLED, "teardown"), (NIGHT, "keeper"), (CATCH_UP, "keeper")}
    assert {line["event"] for line in trail} == {"opened", "closed", "refused"}
    assert simulator.open_connections() == []
    assert fleet.secrets_in(path.read_text()) == []
