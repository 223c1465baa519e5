# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the role and the playbook ``remoteit.fleet.run`` find the files of the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import ROLE, Fleet, Run, raw, role_play, themselves, who


def play_of(file: str) -> dict[str, Any]:
    play = role_play()
    play["roles"][0]["vars"]["remoteit_session_tasks"] = file
    return play


def assert_ran(run: Run, name: str) -> None:
    assert run.rc == 0
    assert run.stdout_of(name) == {device: device for device in ("pi-0001", "pi-0002", "pi-0003")}
    assert len(run.connections) == 3


@pytest.fixture
def elsewhere(fleet: Fleet) -> Path:
    """A current directory that is not the playbook's."""
    path = fleet.folder / "elsewhere"
    path.mkdir()
    return path


@pytest.mark.parametrize("on_failure", ["fail", "skip"])
def test_tasks_file_beside_the_playbook(fleet: Fleet, elsewhere: Path, on_failure: str) -> None:
    """Never one of the role's own files. An include is relative to the file that has it."""
    fleet.inventory["fleet"]["vars"]["remoteit_session_on_failure"] = on_failure
    names = {"open.yml": "mine", "sub/skip.yml": "below"}
    for name, task in names.items():
        fleet.write(name, [who(task), {"include_tasks": f"beside_{task}.yml"}])
        fleet.write(str(Path(name).with_name(f"beside_{task}.yml")), [who(f"beside {task}")])
    run = fleet.run([play_of(name) for name in names], cwd=elsewhere)
    assert run.rc == 0
    for task in names.values():
        assert run.stdout_of(task) == run.stdout_of(f"beside {task}") == themselves(*fleet.devices)


def test_tasks_file_in_the_current_directory_or_absolute(fleet: Fleet, elsewhere: Path) -> None:
    fleet.write("../elsewhere/open.yml", [who("elsewhere")])
    assert_ran(fleet.run([play_of("open.yml")], cwd=elsewhere), "elsewhere")
    fleet.write("open.yml", [who("beside")])
    plays = [play_of("open.yml"), play_of(str(elsewhere / "open.yml"))]
    run = fleet.run(plays, cwd=elsewhere)
    assert run.rc == 0
    assert run.stdout_of("beside") == run.stdout_of("elsewhere") == themselves(*fleet.devices)


def test_tasks_file_of_a_calling_role(fleet: Fleet) -> None:
    """By ``include_role`` and ``import_role``."""
    fleet.write("open.yml", [who("beside")])
    plays = []
    for how in ("include_role", "import_role"):
        fleet.write(f"roles/{how}/tasks/open.yml", [who(how)])
        call = {how: {"name": ROLE}, "vars": {"remoteit_session_tasks": "open.yml"}}
        fleet.write(f"roles/{how}/tasks/main.yml", [call])
        plays.append({"hosts": "fleet", "gather_facts": False, "roles": [how]})
    run = fleet.run(plays)
    assert run.rc == 0
    assert run.stdout_of("include_role") == run.stdout_of("import_role") == themselves(*fleet.devices)
    assert run.status("beside") == {}


def test_tasks_file_is_missing(fleet: Fleet, elsewhere: Path) -> None:
    """The message names the directories."""
    call = {"include_role": {"name": ROLE}, "vars": {"remoteit_session_tasks": "absent.yml"}}
    fleet.write("roles/caller/tasks/main.yml", [call])
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, "roles": ["caller"]}], cwd=elsewhere)
    assert run.rc == 2
    assert run.requests == []
    (reason,) = run.failures().values()
    assert "absent.yml" in reason
    for folder in (fleet.project / "roles/caller/tasks", fleet.project, elsewhere):
        assert str(folder) in reason


def test_tasks_file_is_not_set(fleet: Fleet) -> None:
    run = fleet.run([play_of("")])
    assert run.rc == 2
    assert run.requests == []
    (reason,) = run.failures().values()
    assert "remoteit_session_tasks" in reason
    assert fleet.run("remoteit.fleet.run").rc == 2


@pytest.mark.parametrize("pwd", [True, False], ids=["from a shell", "without PWD"])
def test_run_playbook_from_another_directory(fleet: Fleet, elsewhere: Path, pwd: bool) -> None:
    """Paths are relative to the current directory. Hosts need no ``ansible_connection``."""
    del fleet.inventory["fleet"]["vars"]["ansible_connection"]
    fleet.write("../elsewhere/run.yml", [{**who("mine"), "changed_when": True, "notify": "restart"}])
    fleet.write("../elsewhere/handlers.yml", [who("restart")])
    run = fleet.run(
        "remoteit.fleet.run",
        "-e", "remoteit_run_hosts=pi-0001,pi-0003",
        "-e", "remoteit_session_tasks=run.yml",
        "-e", "remoteit_session_handlers=handlers.yml",
        cwd=elsewhere,
        environ={} if pwd else {"PWD": None},
    )  # fmt: skip
    assert run.rc == 0
    assert run.stdout_of("mine") == run.stdout_of("restart") == {device: device for device in ("pi-0001", "pi-0003")}
    assert len(run.connections) == 2


def test_run_playbook_with_tags(fleet: Fleet) -> None:
    file = fleet.write("main.yml", [{**who(name), "tags": [name]} for name in ("mine", "other")])
    run = fleet.run("remoteit.fleet.run", "-e", f"remoteit_session_tasks={file}", "--tags", "mine")
    assert_ran(run, "mine")
    assert run.status("other") == {}


def test_run_playbook_with_absolute_paths(fleet: Fleet, elsewhere: Path) -> None:
    """The handlers are not notified."""
    file = fleet.write("main.yml", [who("mine")])
    handlers = fleet.write("handlers.yml", [raw("unused", "false")])
    arguments = ("-e", f"remoteit_session_tasks={file}", "-e", f"remoteit_session_handlers={handlers}")
    assert_ran(fleet.run("remoteit.fleet.run", *arguments, cwd=elsewhere), "mine")
