# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was notified in a session runs on the device, or nowhere; without a session each host leads to another one."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Fleet, Run

pytestmark = pytest.mark.every_engine

OPEN = {"include_role": {"name": "remoteit.fleet.remoteit_session", "tasks_from": "open"}}
CLOSE = {"include_role": {"name": "remoteit.fleet.remoteit_session", "tasks_from": "close"}}
MAIN = {
    "include_role": {"name": "remoteit.fleet.remoteit_session"},
    "vars": {"remoteit_session_tasks": "on_the_devices.yml"},
}
NOTIFY = {"name": "notify", "ansible.builtin.raw": "true", "changed_when": True, "notify": "handler"}
HANDLER = {"name": "handler", "ansible.builtin.raw": "cat device-name"}
FAIL = {"name": "fail", "ansible.builtin.raw": "false", "when": "inventory_hostname == 'pi-0002'"}
WELL = {device: device for device in ("pi-0001", "pi-0003")}


@pytest.fixture(autouse=True)
def elsewhere(fleet: Fleet) -> None:
    fleet.inventory["fleet"]["vars"] |= fleet.plain_way("pi-0005")


def run_of(fleet: Fleet, tasks: list[dict[str, Any]], *arguments: str, **play: Any) -> Run:
    """A play of these tasks, and a look at the vendor's side after it."""
    look = {"url": f"{fleet.simulator.state['control_url']}/connections"}
    fleet.write("on_the_devices.yml", [NOTIFY, FAIL])
    devices = {"hosts": "fleet", "gather_facts": False, "tasks": tasks, "handlers": [HANDLER], **play}
    after = {"hosts": "localhost", "gather_facts": False, "tasks": [{"name": "look", "ansible.builtin.uri": look}]}
    return fleet.run([devices, after], *arguments)


def closed_by_the_play(run: Run) -> bool:
    ours = {entry["connectionid"] for entry in run.connections}
    return not any(entry["open"] for entry in run.result("look")["json"] if entry["connectionid"] in ours)


def everywhere(fleet: Fleet) -> dict[str, str]:
    return {device: device for device in fleet.devices}


def test_whatever_tags_choose(fleet: Fleet) -> None:
    fleet.write("on_the_devices.yml", [{**NOTIFY, "tags": ["some"]}])
    tasks = [{**MAIN, "tags": ["always"]}]
    play = {"hosts": "fleet", "gather_facts": False, "tasks": tasks, "handlers": [HANDLER]}
    run = fleet.run([play], "--tags", "some")
    assert run.rc == 0
    assert run.stdout_of("handler") == everywhere(fleet)


@pytest.mark.parametrize("strategy", ["linear", "free"])
@pytest.mark.parametrize("how", ["play", "command line", "nobody"])
def test_of_a_host_that_failed(fleet: Fleet, how: str, strategy: str) -> None:
    """They run where force_handlers says so."""
    arguments = ["--force-handlers"] if how == "command line" else []
    play = {"force_handlers": True} if how == "play" else {}
    run = run_of(fleet, [MAIN], *arguments, strategy=strategy, **play)
    assert run.rc == 2
    assert run.stdout_of("handler") == (WELL if how == "nobody" else everywhere(fleet))
    assert list(run.failures()) == ["pi-0002"]
    assert closed_by_the_play(run)


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_of_a_host_that_is_rescued(fleet: Fleet, strategy: str) -> None:
    rescue = {"name": "rescued", "ansible.builtin.raw": "cat device-name"}
    run = run_of(fleet, [{"block": [MAIN], "rescue": [rescue]}], strategy=strategy)
    assert run.rc == 0
    assert run.stdout_of("handler") == everywhere(fleet)
    assert run.stdout_of("rescued") == {"pi-0002": "pi-0005"}
    assert len(run.entries("handler")) == 3
    assert closed_by_the_play(run)


@pytest.mark.parametrize("around", ["nothing", "rescue", "force_handlers"])
def test_one_that_fails_leaves_nothing_open(fleet: Fleet, around: str) -> None:
    """On every device, those that have failed before included."""
    tasks = [{"block": [MAIN], "rescue": [{"name": "rescued", "ansible.builtin.debug": {}}]}]
    failing = {"name": "handler", "ansible.builtin.raw": "cat device-name; false"}
    play = {"force_handlers": True} if around == "force_handlers" else {}
    run = run_of(fleet, tasks if around == "rescue" else [MAIN], handlers=[failing], **play)
    assert run.rc == (0 if around == "rescue" else 2)
    assert run.stdout_of("handler") == (WELL if around == "nothing" else everywhere(fleet))
    assert run.recap == "opened 3, closed 3, left open 0"


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_close_runs_them_first(fleet: Fleet, strategy: str) -> None:
    run = run_of(fleet, [OPEN, NOTIFY, CLOSE], strategy=strategy)
    assert run.rc == 0
    assert run.stdout_of("handler") == everywhere(fleet)
    assert closed_by_the_play(run)


@pytest.mark.parametrize("strategy", ["linear", "free"])
@pytest.mark.parametrize("forced", [True, False])
def test_between_open_and_close(fleet: Fleet, forced: bool, strategy: str) -> None:
    """With force_handlers a host that failed keeps its connection until they have run."""
    run = run_of(fleet, [OPEN, NOTIFY, FAIL, CLOSE], force_handlers=forced, strategy=strategy)
    assert run.rc == 2
    assert run.stdout_of("handler") == (everywhere(fleet) if forced else WELL)
    assert closed_by_the_play(run) == (strategy == "linear" and not forced)


@pytest.mark.parametrize("strategy", ["linear", "free"])
@pytest.mark.parametrize("forced", [True, False])
def test_close_in_an_always_of_the_user(fleet: Fleet, forced: bool, strategy: str) -> None:
    tasks = [{"block": [OPEN, NOTIFY, FAIL], "always": [CLOSE]}]
    run = run_of(fleet, tasks, force_handlers=forced, strategy=strategy)
    assert run.rc == 2
    assert run.stdout_of("handler") == (everywhere(fleet) if forced else WELL)
    assert closed_by_the_play(run) == (not forced)
