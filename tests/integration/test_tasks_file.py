# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the role and the playbook ``remoteit.fleet.run`` find the files of the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import Fleet, Run

ROLE = "remoteit.fleet.remoteit_session"


def tasks(name: str) -> list[dict[str, Any]]:
    return [{"name": name, "ansible.builtin.raw": "cat device-name"}]


def play(file: str | None) -> list[dict[str, Any]]:
    variables = {} if file is None else {"remoteit_session_tasks": file}
    return [{"hosts": "fleet", "gather_facts": False, "roles": [{"role": ROLE, "vars": variables}]}]


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
@pytest.mark.parametrize("name", ["open.yml", "sub/skip.yml"])
def test_tasks_file_beside_the_playbook(fleet: Fleet, elsewhere: Path, name: str, on_failure: str) -> None:
    """Never one of the role's own; an include in it is relative to it."""
    fleet.inventory["fleet"]["vars"]["remoteit_session_on_failure"] = on_failure
    fleet.write(name, [*tasks("mine"), {"include_tasks": "beside.yml"}])
    fleet.write(str(Path(name).with_name("beside.yml")), tasks("beside"))
    run = fleet.run(play(name), cwd=elsewhere)
    assert_ran(run, "mine")
    assert_ran(run, "beside")


def test_tasks_file_in_the_current_directory_or_absolute(fleet: Fleet, elsewhere: Path) -> None:
    fleet.write("../elsewhere/open.yml", tasks("elsewhere"))
    assert_ran(fleet.run(play("open.yml"), cwd=elsewhere), "elsewhere")
    fleet.write("open.yml", tasks("beside"))
    assert_ran(fleet.run(play(str(elsewhere / "open.yml"))), "elsewhere")
    assert_ran(fleet.run(play("open.yml"), cwd=elsewhere), "beside")


@pytest.mark.parametrize("how", ["include_role", "import_role"])
def test_tasks_file_of_a_calling_role(fleet: Fleet, how: str) -> None:
    fleet.write("roles/caller/tasks/open.yml", tasks("of the role"))
    fleet.write("open.yml", tasks("beside"))
    call = {how: {"name": ROLE}, "vars": {"remoteit_session_tasks": "open.yml"}}
    fleet.write("roles/caller/tasks/main.yml", [call])
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, "roles": ["caller"]}])
    assert_ran(run, "of the role")


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


@pytest.mark.parametrize("empty", [None, ""])
def test_tasks_file_is_not_set(fleet: Fleet, empty: str | None) -> None:
    run = fleet.run(play(empty))
    assert run.rc == 2
    assert run.requests == []
    (reason,) = run.failures().values()
    assert "remoteit_session_tasks" in reason


@pytest.mark.parametrize("pwd", [True, False], ids=["from a shell", "without PWD"])
def test_run_playbook_from_another_directory(fleet: Fleet, elsewhere: Path, pwd: bool) -> None:
    """Paths are relative to the current directory. Hosts need no ``ansible_connection``."""
    del fleet.inventory["fleet"]["vars"]["ansible_connection"]
    fleet.write("../elsewhere/run.yml", [{**tasks("mine")[0], "changed_when": True, "notify": "restart"}])
    fleet.write("../elsewhere/handlers.yml", tasks("restart"))
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
    file = fleet.write("main.yml", [{**tasks(name)[0], "tags": [name]} for name in ("mine", "other")])
    run = fleet.run("remoteit.fleet.run", "-e", f"remoteit_session_tasks={file}", "--tags", "mine")
    assert_ran(run, "mine")
    assert run.status("other") == {}


def test_run_playbook_with_absolute_paths(fleet: Fleet, elsewhere: Path) -> None:
    """With handlers and without; without tasks it is red."""
    file = fleet.write("main.yml", tasks("mine"))
    handlers = fleet.write("handlers.yml", [{"name": "unused", "ansible.builtin.raw": "false"}])
    arguments = ("-e", f"remoteit_session_tasks={file}")
    assert_ran(fleet.run("remoteit.fleet.run", *arguments, cwd=elsewhere), "mine")
    assert_ran(fleet.run("remoteit.fleet.run", *arguments, "-e", f"remoteit_session_handlers={handlers}"), "mine")
    none = fleet.run("remoteit.fleet.run")
    assert none.rc == 2
    assert none.requests == []
