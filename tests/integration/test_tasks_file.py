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


@pytest.fixture(autouse=True)
def use_one_device(fleet: Fleet) -> None:
    fleet.use_devices(1)


@pytest.fixture
def elsewhere(fleet: Fleet) -> Path:
    """Make a current directory that is not the playbook's."""
    path = fleet.directory / "elsewhere"
    path.mkdir()
    return path


def assert_ran(run: Run, *names: str) -> None:
    assert run.rc == 0
    for name in names:
        assert run.stdout_of(name) == themselves("pi-0001")


def test_tasks_file_of_a_playbook(fleet: Fleet, elsewhere: Path) -> None:
    """Beside the playbook, in the current directory, or absolute. It is never one of the role's own files.

    An include is relative to the file that contains it.
    """
    for name, who_name in {"open.yml": "mine", "sub/skip.yml": "below"}.items():
        fleet.write(name, [who(who_name), {"include_tasks": f"beside_{who_name}.yml"}])
        fleet.write(str(Path(name).with_name(f"beside_{who_name}.yml")), [who(f"beside {who_name}")])
    for name in ("open.yml", "other.yml"):
        fleet.write(f"../elsewhere/{name}", [who(f"elsewhere {name}")])
    plays = [play_of(name) for name in ("open.yml", "sub/skip.yml", "other.yml", str(elsewhere / "open.yml"))]
    plays[1]["vars"] = {"remoteit_session_on_failure": "skip"}
    run = fleet.run(plays, cwd=elsewhere)
    assert_ran(run, "mine", "beside mine", "below", "beside below", "elsewhere other.yml", "elsewhere open.yml")


@pytest.mark.every_engine
def test_tasks_file_names_files_that_the_role_could_have(fleet: Fleet) -> None:
    """ansible-core searches the role first. Its files have other names than those of users mostly have."""
    names = ("main.yml", "open.yml", "close.yml", "connect.yml", "skip.yml")
    for name in names:
        fleet.write(name, [who(name)])
    fleet.write("vars/main.yml", {"mine": "cat device-name"})
    tasks: list[dict[str, Any]] = [{"include_tasks": name} for name in names]
    tasks += [{"include_vars": "main.yml"}, raw("include_vars", "{{ mine }}")]
    tasks += [raw("lookup", "{{ (lookup('file', 'vars/main.yml') | from_yaml).mine }}")]
    fleet.write("on_the_devices.yml", tasks)
    assert_ran(fleet.run([play_of("on_the_devices.yml")]), *names, "include_vars", "lookup")


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
    assert_ran(run, "include_role", "import_role")
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
    for directory in (fleet.project / "roles/caller/tasks", fleet.project, elsewhere):
        assert str(directory) in reason


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Set remoteit_session_tasks to the path of a tasks file."),
        (("-e", "remoteit_session_tasks="), "Set remoteit_session_tasks to the path of a tasks file."),
        (("-e", "remoteit_session_tasks=/absent.yml"), "file /absent.yml (remoteit_session_tasks) does not exist."),
        (("-e", "remoteit_session_tasks=sub"), "sub (remoteit_session_tasks) is a directory."),
    ],
)
def test_tasks_file_is_not_a_file(fleet: Fleet, arguments: tuple[str, ...], message: str) -> None:
    (fleet.project / "sub").mkdir()
    run = fleet.run("remoteit.fleet.run", *arguments)
    assert run.rc == 2
    assert run.requests == []
    (reason,) = run.failures().values()
    assert message in reason


@pytest.mark.parametrize("pwd", [True, False], ids=["from a shell", "without PWD"])
def test_run_playbook_from_another_directory(fleet: Fleet, elsewhere: Path, pwd: bool) -> None:
    """Paths are relative to the current directory. Hosts need no ``ansible_connection``."""
    hosts = fleet.inventory["fleet"]["hosts"]
    hosts["pi-0002"] = {"remoteit_deviceaddress": fleet.simulator.service("pi-0002")}
    del fleet.inventory["fleet"]["vars"]["ansible_connection"]
    fleet.write("../elsewhere/run.yml", [{**who("mine"), "changed_when": True, "notify": "restart"}])
    fleet.write("../elsewhere/handlers.yml", [who("restart")])
    run = fleet.run(
        "remoteit.fleet.run",
        "-e", "remoteit_run_hosts=pi-0001",
        "-e", "remoteit_session_tasks=run.yml",
        "-e", "remoteit_session_handlers=handlers.yml",
        cwd=elsewhere,
        environ={} if pwd else {"PWD": None},
    )  # fmt: skip
    assert_ran(run, "mine", "restart")
    assert len(run.connections) == 1


def test_imported_run_playbook_reads_the_current_directory(fleet: Fleet, elsewhere: Path) -> None:
    """Even if a file of this name is beside the playbook, as the documentation says."""
    fleet.write("tasks.yml", [who("beside")])
    plays = [{"import_playbook": "remoteit.fleet.run", "vars": {"remoteit_session_tasks": "tasks.yml"}}]
    run = fleet.run(plays, "--limit", "pi-0001", cwd=elsewhere)
    assert run.rc == 2
    (reason,) = run.failures().values()
    assert f"is not in {elsewhere}." in reason
    fleet.write("../elsewhere/tasks.yml", [who("mine")])
    run = fleet.run(plays, "--limit", "pi-0001", cwd=elsewhere)
    assert_ran(run, "mine")
    assert run.status("beside") == {}


def test_run_playbook_with_absolute_paths_and_tags(fleet: Fleet, elsewhere: Path) -> None:
    """The handlers are not notified."""
    file = fleet.write("main.yml", [who(name, tags=[name]) for name in ("mine", "other")])
    handlers = fleet.write("handlers.yml", [raw("unused", "false")])
    arguments = ("-e", f"remoteit_session_tasks={file}", "-e", f"remoteit_session_handlers={handlers}")
    run = fleet.run("remoteit.fleet.run", *arguments, "--tags", "mine", cwd=elsewhere)
    assert_ran(run, "mine")
    assert run.status("other") == {}
