# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which run this is, and where it keeps its things."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._run import identity as _run
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run, state_dir
from ansible_collections.remoteit.fleet.tests.unit.plugins.conversation import executed_again

CI_VARIABLES = ("REMOTEIT_RUN_ID", "GITHUB_RUN_ID", "CI_JOB_ID", "BUILD_TAG", "SYSTEM_JOBID", "AWX_JOB_ID", "JOB_ID")


@pytest.fixture(autouse=True)
def bare(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says nothing, and an empty home and temporary folder."""
    for name in (*CI_VARIABLES, "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "REMOTEIT_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def new_run() -> t.Any:
    """The identity that another controller gets."""
    return executed_again(_run).THIS_RUN


# -- its id ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CI_VARIABLES)
def test_the_id_begins_with_the_one_of_the_ci_job(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "4711")
    assert re.fullmatch(r"4711-[0-9a-f]{10}", new_run().id)


def test_the_users_own_id_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CI_VARIABLES:
        monkeypatch.setenv(name, name)
    assert new_run().id.startswith("REMOTEIT_RUN_ID-")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "run"),
        ("jenkins-My Job/main-7", "jenkins-My-Job-main-7"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "run"),
        ("-rf", "rf"),
        ("a\nb", "a-b"),
        ("ä", "run"),
        ("x" * 500, "x" * 80),
        ("jenkins-" + "folder-" * 20 + "job-4711", "r-" + "folder-" * 10 + "job-4711"),
    ],
)
def test_an_id_is_a_decent_file_name(monkeypatch: pytest.MonkeyPatch, given: str, expected: str) -> None:
    monkeypatch.setenv("REMOTEIT_RUN_ID", given)
    assert new_run().id[:-11] == expected


def identity() -> tuple[str, int, str]:
    run = new_run()
    return run.id, run.controller_pid, run.runtime_dir


def test_run_is_the_same_in_a_forked_worker() -> None:
    """Whether or not the controller had imported the collection before it forked."""
    with multiprocessing.get_context("fork").Pool(2) as workers:
        found = {workers.apply(identity) for _unused in range(4)}
    assert found == {identity()}
    assert new_run().controller_pid == os.getpid()


def test_run_differs_between_controllers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_JOB_ID", "4711")
    code = f"import {_run.__name__} as module; print(module.THIS_RUN.id, module.THIS_RUN.runtime_dir)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    lines = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env).stdout]
    lines.append(f"{new_run().id} {new_run().runtime_dir}")
    first, second = (line.split() for line in lines)
    assert first[0] != second[0]
    assert first[1] != second[1]
    assert all(re.fullmatch(r"4711-[0-9a-f]{10}", run_id) for run_id in (first[0], second[0]))


# -- its folder --------------------------------------------------------------------------------------------------------


def test_the_folder_is_in_the_runtime_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        assert os.path.dirname(new_run().runtime_dir) == runtime


@pytest.mark.parametrize("runtime", ["/dev/null/nowhere", "/tmp/" + "x" * 60, ""])
def test_a_runtime_folder_that_is_not_there_or_too_long(monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        assert os.path.dirname(new_run().runtime_dir) == temporary


def test_sockets_have_short_paths_even_with_a_long_temporary_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    run = new_run()
    assert len(run.socket) < 80
    # ssh's own name of a master, with what it appends while the master starts
    assert len(os.path.join(run.control_path_dir("an id"), "0123456789")) + 17 < 107


def test_each_connection_has_a_control_folder_of_its_own() -> None:
    run = Run("id", 1, "/tmp/folder")
    first, second = run.control_path_dir("../../one"), run.control_path_dir("two")
    assert first != second
    assert {os.path.dirname(first), os.path.dirname(second)} == {"/tmp/folder"}


# -- the state folder --------------------------------------------------------------------------------------------------


def test_the_state_folder_that_the_user_names(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert state_dir({"REMOTEIT_STATE_DIR": "~/mine", "XDG_STATE_HOME": "/x"}) == str(tmp_path / "home" / "mine")
    assert state_dir({"REMOTEIT_STATE_DIR": "mine"}) == str(tmp_path / "mine")


def test_the_state_folder_of_the_user(tmp_path: pathlib.Path) -> None:
    assert state_dir({"XDG_STATE_HOME": str(tmp_path / "xdg")}) == str(tmp_path / "xdg" / "remoteit-fleet")
    for none in ("", "relative"):  # the keeper would take it for another folder
        assert state_dir({"XDG_STATE_HOME": none}) == str(tmp_path / "home" / ".local" / "state" / "remoteit-fleet")


def test_a_state_folder_that_cannot_be_made(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    in_home = str(tmp_path / "home" / ".local" / "state" / "remoteit-fleet")
    in_temporary = str(tmp_path / "tmp" / f"remoteit-fleet-{os.getuid()}")
    assert state_dir({"XDG_STATE_HOME": str(tmp_path / "file")}) == in_home
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert state_dir({"XDG_STATE_HOME": str(tmp_path / "file")}) == in_temporary


@pytest.mark.parametrize("home", ["/", "relative"])
def test_no_usable_home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("HOME", home)
    assert state_dir({}) == str(tmp_path / "tmp" / f"remoteit-fleet-{os.getuid()}")
