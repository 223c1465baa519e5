# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the role finds the user's tasks file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import Fleet, Run


def tasks(which: str) -> list[dict[str, Any]]:
    return [{"name": which, "ansible.builtin.raw": "cat device-name"}]


def play(file: str | None) -> list[dict[str, Any]]:
    variables = {} if file is None else {"remoteit_session_tasks": file}
    role = {"role": "remoteit.fleet.remoteit_session", "vars": variables}
    return [{"hosts": "fleet", "gather_facts": False, "roles": [role]}]


def assert_ran(run: Run, which: str) -> None:
    assert run.rc == 0
    assert run.stdout_of(which) == {device: device for device in ("pi-0001", "pi-0002", "pi-0003")}
    assert len(run.connections) == 3


@pytest.mark.parametrize("name", ["open.yml", "main.yml", "sub/close.yml"])
def test_beside_the_playbook_never_a_file_of_the_role(fleet: Fleet, name: str) -> None:
    """The role has an open.yml itself; and a relative include in the user's file is relative to that file."""
    fleet.write(name, [*tasks("mine"), {"include_tasks": "beside.yml"}])
    fleet.write(str(Path(name).with_name("beside.yml")), tasks("beside"))
    (elsewhere := fleet.folder / "elsewhere").mkdir()
    run = fleet.run(play(name), cwd=elsewhere)
    assert_ran(run, "mine")
    assert_ran(run, "beside")


def test_current_directory_and_absolute(fleet: Fleet) -> None:
    elsewhere = fleet.folder / "elsewhere"
    fleet.write("../elsewhere/open.yml", tasks("elsewhere"))
    assert_ran(fleet.run(play("open.yml"), cwd=elsewhere), "elsewhere")
    fleet.write("open.yml", tasks("beside"))
    assert_ran(fleet.run(play(str(elsewhere / "open.yml"))), "elsewhere")
    assert_ran(fleet.run(play("open.yml"), cwd=elsewhere), "beside")


@pytest.mark.parametrize("how", ["include_role", "import_role", "dependency"])
def test_tasks_of_a_calling_role(fleet: Fleet, how: str) -> None:
    fleet.write("roles/caller/tasks/open.yml", tasks("of the role"))
    fleet.write("open.yml", tasks("beside"))
    role = {"name": "remoteit.fleet.remoteit_session"}
    variables = {"remoteit_session_tasks": "open.yml"}
    if how == "dependency":
        pytest.skip("a dependency is not called by a role's tasks")
    fleet.write("roles/caller/tasks/main.yml", [{how: role, "vars": variables}])
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, "roles": ["caller"]}])
    assert_ran(run, "of the role")


def test_missing(fleet: Fleet) -> None:
    elsewhere = fleet.folder / "elsewhere"
    elsewhere.mkdir()
    fleet.write("roles/caller/tasks/main.yml", [
        {"include_role": {"name": "remoteit.fleet.remoteit_session"}, "vars": {"remoteit_session_tasks": "absent.yml"}}
    ])  # fmt: skip
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, "roles": ["caller"]}], cwd=elsewhere)
    assert run.rc == 2
    assert run.requests == []
    (reason,) = set(run.failures().values())
    for folder in (fleet.project / "roles/caller/tasks", fleet.project, elsewhere):
        assert f"{folder}/absent.yml" in reason


@pytest.mark.parametrize("empty", [None, ""])
def test_none_given(fleet: Fleet, empty: str | None) -> None:
    """The message leads to the other way of using the role."""
    run = fleet.run(play(empty))
    assert run.rc == 2
    assert run.requests == []
    assert all("remoteit_session_tasks" in reason for reason in run.failures().values())
    assert any("open" in reason for reason in run.failures().values())


@pytest.mark.parametrize("pwd", [True, False], ids=["from a shell", "without PWD"])
def test_the_playbook_of_the_collection_from_another_folder(fleet: Fleet, pwd: bool) -> None:
    """Paths are those of the folder where the user stands."""
    elsewhere = fleet.folder / "elsewhere"
    fleet.write("../elsewhere/run.yml", [{**tasks("mine")[0], "changed_when": True, "notify": "restart"}])
    fleet.write("../elsewhere/handlers.yml", [{"name": "restart", "ansible.builtin.raw": "cat device-name"}])
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


def test_tags_choose_among_the_tasks_of_the_playbook_of_the_collection(fleet: Fleet) -> None:
    file = fleet.write("main.yml", [{**tasks(name)[0], "tags": [name]} for name in ("mine", "other")])
    run = fleet.run("remoteit.fleet.run", "-e", f"remoteit_session_tasks={file}", "--tags", "mine")
    assert_ran(run, "mine")
    assert run.status("other") == {}


def test_the_playbook_of_the_collection_with_absolute_paths_and_without_handlers(fleet: Fleet) -> None:
    file = fleet.write("main.yml", tasks("mine"))
    file.write_text(f"# no clear_host_errors\n{file.read_text()}")
    handlers = fleet.write("handlers.yml", [{"name": "unused", "ansible.builtin.raw": "false"}])
    arguments = ("-e", f"remoteit_session_tasks={file}")
    elsewhere = fleet.folder / "elsewhere"
    elsewhere.mkdir()
    assert_ran(fleet.run("remoteit.fleet.run", *arguments, cwd=elsewhere), "mine")
    assert_ran(fleet.run("remoteit.fleet.run", *arguments, "-e", f"remoteit_session_handlers={handlers}"), "mine")
    none = fleet.run("remoteit.fleet.run")
    assert none.rc == 2
    assert none.requests == []
