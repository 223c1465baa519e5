# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An account whose open connections are limited: the refusal says what to do, and what it says works."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Fleet, one_line

pytestmark = pytest.mark.each_api

LIMIT = 2
TASK = {"name": "who", "ansible.builtin.raw": "cat device-name"}


@pytest.fixture(autouse=True)
def limit(fleet: Fleet) -> None:
    fleet.simulator.settings(max_connections=LIMIT)


def test_connection_above_the_limit_says_what_to_do(fleet: Fleet) -> None:
    plays: list[dict[str, Any]] = [{"hosts": "fleet", "gather_facts": False, "tasks": [TASK]}]
    run = fleet.run(plays)
    assert run.rc == 4
    statuses = run.status("who")
    assert sorted(statuses.values()) == ["changed", "changed", "unreachable"]
    (refused,) = (host for host, status in statuses.items() if status == "unreachable")
    message = one_line(run.result("who", refused)["msg"])
    assert "serial on the play and the role remoteit_session" in message
    assert {entry["closed_by"] for entry in run.connections} == {"stop"}
    assert len(run.connections) == LIMIT


def test_connect_reports_the_limit_as_throttled(fleet: Fleet) -> None:
    connect = {"deviceaddress": fleet.services, "fail_on": "none"}
    run = fleet.on_localhost([{"name": "open", "remoteit.fleet.remoteit_connect": connect}])
    assert run.rc == 0
    (failure,) = run.result("open")["failures"].values()
    assert failure["code"] == "throttled"
    assert len(run.result("open")["connections"]) == LIMIT


def test_serial_with_the_role_stays_below_the_limit(fleet: Fleet) -> None:
    run = fleet.session([TASK], play={"serial": LIMIT})
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices}
    assert len(run.connections) == len(fleet.devices)
