# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit trail of runs and teardowns."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import Fleet, play, raw, who
from documentation import named
from support import wait_until

JOB = "4711"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def summary(path: Path) -> list[tuple[str, str, str]]:
    """Return the event, its actor and the inventory host of each line, sorted."""
    return sorted((line["event"], line["by"], line["inventory_host"]) for line in lines(path))


@pytest.mark.each_api
def test_run_writes_the_audit_trail(fleet: Fleet) -> None:
    """A run with an offline device writes one line for each event, and the vendor agrees."""
    path = fleet.project / "logs" / "audit.jsonl"
    path.parent.mkdir()
    fleet.environ |= {"REMOTEIT_AUDIT_LOG": "logs/audit.jsonl", "CI_JOB_ID": JOB}
    online, offline = fleet.devices[:2], fleet.devices[2]
    fleet.simulator.device(offline, online=False)
    run = fleet.run([play(who())])
    assert set(run.stdout_of("who")) == {*fleet.devices}
    assert summary(path) == sorted(
        [
            *(("opened", "task", host) for host in online),
            *(("closed", "keeper", host) for host in online),
            ("refused", "api", offline),
        ]
    )
    for line in lines(path):
        assert line["run_id"].startswith(f"{JOB}-")
        assert line["ci_job"] == JOB
        assert line["deviceaddress"] == fleet.simulator.service(line["inventory_host"])
        assert line["restriction"] == (None if line["event"] == "refused" else fleet.restriction)
    opened = {line["connectionid"]: line for line in lines(path) if line["event"] == "opened"}
    assert set(opened) == {entry["connectionid"] for entry in run.connections}
    assert fleet.secrets_in(path.read_text()) == []


def test_ad_hoc_ping_writes_the_default_file(fleet: Fleet) -> None:
    fleet.environ["REMOTEIT_AUDIT_LOG"] = "true"
    fleet.ad_hoc(fleet.devices[0], "-m", "ansible.builtin.ping").assert_all_closed()
    assert [line["event"] for line in lines(fleet.state / "audit.jsonl")] == ["opened", "closed"]


def test_run_without_the_setting_writes_no_file(fleet: Fleet) -> None:
    fleet.ad_hoc(fleet.devices[0], "-m", "ansible.builtin.ping").assert_all_closed()
    assert not (fleet.state / "audit.jsonl").exists()


def test_teardown_of_a_killed_run_completes_the_audit_trail(fleet: Fleet) -> None:
    path = fleet.directory / "audit.jsonl"
    fleet.environ["REMOTEIT_AUDIT_LOG"] = str(path)

    def kill() -> None:
        (keeper,) = fleet.keepers()
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not fleet.keepers())

    fleet.run(
        [play(who(), fleet.wait_here())],
        while_running=fleet.once(lambda: fleet.has_ended("who", 3), kill),
        leaves_open=3,
    )
    assert summary(path) == [("opened", "task", host) for host in fleet.devices]
    fleet.run("remoteit.fleet.teardown")
    closed = [line for line in lines(path) if line["event"] == "closed"]
    assert sorted((line["inventory_host"], line["by"]) for line in closed) == [
        (host, "teardown") for host in fleet.devices
    ]
    opened = {line["connectionid"]: line for line in lines(path) if line["event"] == "opened"}
    assert {line["connectionid"] for line in closed} == set(opened)
    assert {line["run_id"] for line in closed} == {line["run_id"] for line in opened.values()}


def test_full_disk_is_a_warning_of_the_run_and_of_the_teardown(fleet: Fleet) -> None:
    fleet.environ["REMOTEIT_AUDIT_LOG"] = "/dev/full"
    close = {"remoteit.fleet.remoteit_disconnect": {"all": True}, "name": "teardown", "delegate_to": "localhost"}
    run = fleet.run([play(who(), raw("again", "true"))])
    assert run.rc == 0
    run.assert_all_closed()
    assert run.stderr.count("the audit trail '/dev/full' is incomplete") == 1
    assert fleet.on_localhost([close]).rc == 0


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_page_answers_questions_by_jq(fleet: Fleet) -> None:
    path = fleet.directory / "audit.jsonl"
    fleet.environ |= {"REMOTEIT_AUDIT_LOG": str(path), "CI_JOB_ID": JOB}
    fleet.simulator.device(fleet.devices[2], online=False)
    run = fleet.run([play(who())])
    ids = {entry["deviceaddress"]: entry["connectionid"] for entry in run.connections}
    first, second = (ids[service] for service in fleet.services[:2])

    def ask(name: str) -> list[dict[str, Any]]:
        environ = {**os.environ, "REMOTEIT_AUDIT_LOG": str(path)}
        output = subprocess.run(
            named(name).code, env=environ, shell=True, check=True, capture_output=True, text=True
        ).stdout
        return [json.loads(line) for line in output.splitlines()]

    (reached,) = ask("audit-device")
    assert (reached["connectionid"], reached["ci_job"]) == (first, JOB)
    assert ask("audit-open") == []
    assert ask("audit-long") == []

    trail = lines(path)
    not_closed = [line for line in trail if (line["event"], line["connectionid"]) != ("closed", second)]
    for line in not_closed:
        if line["event"] == "closed":
            line["seconds_open"] = 3601
    path.write_text("".join(f"{json.dumps(line)}\n" for line in not_closed))
    assert [line["connectionid"] for line in ask("audit-open")] == [second]
    assert [(line["ci_job"], line["inventory_host"]) for line in ask("audit-long")] == [(JOB, fleet.devices[0])]
