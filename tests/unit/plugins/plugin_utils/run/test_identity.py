# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identity of a run, and its directories."""

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

from ansible_collections.remoteit.fleet.plugins.plugin_utils._run import identity as identity_module
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run, state_dir
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import import_copy

CI_VARIABLES = ("REMOTEIT_RUN_ID", "GITHUB_RUN_ID", "CI_JOB_ID", "BUILD_TAG", "SYSTEM_JOBID", "AWX_JOB_ID", "JOB_ID")


@pytest.fixture(autouse=True)
def empty_environment(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables that name a run, and set an empty home and temporary directory."""
    for name in (*CI_VARIABLES, "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "REMOTEIT_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def new_run() -> t.Any:
    """Return the run as a new controller process computes it."""
    return import_copy(identity_module).THIS_RUN


# -- ID ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CI_VARIABLES)
def test_run_id_begins_with_the_ci_job(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "4711")
    assert re.fullmatch(r"4711-[0-9a-f]{10}", new_run().id)


def test_run_id_prefers_the_variable_of_the_collection(monkeypatch: pytest.MonkeyPatch) -> None:
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
        ("jenkins-" + "runner-" * 20 + "job-4711", "r-" + "runner-" * 10 + "job-4711"),
    ],
)
def test_run_id_is_a_valid_file_name(monkeypatch: pytest.MonkeyPatch, given: str, expected: str) -> None:
    monkeypatch.setenv("REMOTEIT_RUN_ID", given)
    assert new_run().id[:-11] == expected


def identity() -> tuple[str, int, str]:
    run = new_run()
    return run.id, run.controller_pid, run.runtime_dir


def test_run_is_the_same_in_a_forked_worker() -> None:
    """Even if the controller did not import the collection before it forked."""
    with multiprocessing.get_context("fork").Pool(2) as workers:
        found = {workers.apply(identity) for _unused in range(4)}
    assert found == {identity()}
    assert new_run().controller_pid == os.getpid()


ORPHAN = f"""
import multiprocessing, os
stdin = os.dup(0)
def work():
    os.read(stdin, 1)  # until the controller has ended
    import {identity_module.__name__} as module
    print(module.THIS_RUN.controller_pid, flush=True)
multiprocessing.get_context("fork").Process(target=work).start()
print(os.getpid(), flush=True)
os.kill(os.getpid(), 9)
"""


def test_controller_is_the_same_after_it_was_killed() -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", ORPHAN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.wait(30) == -9
        found, _unused = process.communicate("\n", timeout=30)
    controller, of_worker = found.split()
    assert of_worker == controller


def test_run_differs_between_controllers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_JOB_ID", "4711")
    code = f"import {identity_module.__name__} as module; print(module.THIS_RUN.id, module.THIS_RUN.runtime_dir)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    lines = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env).stdout]
    lines.append(f"{new_run().id} {new_run().runtime_dir}")
    first, second = (line.split() for line in lines)
    assert first[0] != second[0]
    assert first[1] != second[1]
    assert all(re.fullmatch(r"4711-[0-9a-f]{10}", run_id) for run_id in (first[0], second[0]))


# -- runtime directory -------------------------------------------------------------------------------------------------


def test_runtime_dir_is_below_xdg_runtime_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        assert os.path.dirname(new_run().runtime_dir) == runtime


@pytest.mark.parametrize("runtime", ["/dev/null/nowhere", "/tmp/" + "x" * 60, ""])
def test_runtime_dir_falls_back_to_the_temporary_directory(monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        assert os.path.dirname(new_run().runtime_dir) == temporary


def test_runtime_dir_keeps_socket_paths_short(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    run = new_run()
    assert len(run.socket) < 80
    # the name of a control socket, and the suffix that ssh appends while the master starts
    assert len(os.path.join(run.control_path_dir("an id"), "0123456789")) + 17 < 107


def test_control_path_dir_differs_between_connections() -> None:
    run = Run("id", 1, "/tmp/run")
    first, second = run.control_path_dir("../../one"), run.control_path_dir("two")
    assert first != second
    assert {os.path.dirname(first), os.path.dirname(second)} == {"/tmp/run"}


# -- state directory ---------------------------------------------------------------------------------------------------


def test_state_dir_uses_the_variable_of_the_collection(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert state_dir({"REMOTEIT_STATE_DIR": "~/mine", "XDG_STATE_HOME": "/x"}) == str(tmp_path / "home" / "mine")
    assert state_dir({"REMOTEIT_STATE_DIR": "mine"}) == str(tmp_path / "mine")


def test_state_dir_uses_the_state_directory_of_the_user(tmp_path: pathlib.Path) -> None:
    assert state_dir({"XDG_STATE_HOME": str(tmp_path / "xdg")}) == str(tmp_path / "xdg" / "remoteit-fleet")
    for invalid in ("", "relative"):  # the keeper runs in another directory
        assert state_dir({"XDG_STATE_HOME": invalid}) == str(tmp_path / "home" / ".local" / "state" / "remoteit-fleet")


def test_state_dir_is_used_although_it_cannot_be_written(tmp_path: pathlib.Path) -> None:
    """A teardown fails then. In another directory it would find no ledger, and succeed."""
    (tmp_path / "file").touch()
    assert state_dir({"XDG_STATE_HOME": str(tmp_path / "file")}) == str(tmp_path / "file" / "remoteit-fleet")
    in_home = tmp_path / "home" / ".local" / "state" / "remoteit-fleet"
    in_home.parent.mkdir(parents=True)
    in_home.touch()
    assert state_dir({}) == str(in_home)


def test_state_dir_is_the_same_for_concurrent_runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run creates the directory after this one has found none."""
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    assert state_dir({}) == state_dir({}) == str(tmp_path / "home" / ".local" / "state" / "remoteit-fleet")


def test_state_dir_that_cannot_be_created_is_temporary(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert state_dir({}) == str(tmp_path / "tmp" / f"remoteit-fleet-{os.getuid()}")


@pytest.mark.parametrize("home", ["/", "relative"])
def test_state_dir_without_a_usable_home_is_temporary(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", home)
    assert state_dir({}) == str(tmp_path / "tmp" / f"remoteit-fleet-{os.getuid()}")
