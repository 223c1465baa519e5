# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recipes for CI systems: their scripts are run with the variables that the CI sets, and so is what always runs."""

from __future__ import annotations

import functools
import itertools
import re
import shlex
import shutil
import signal
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import ci_recipes as ci
import pytest
from conftest import ANSIBLE_PLAYBOOK, Fleet
from documentation import named
from support import wait_until
from termination_table import is_product

ROOT = ci.RECIPES.parents[1]

#: The function that runs the recipe, and the version of ansible-core, if it is there.
SYSTEMS = {
    "github-actions": (ci.github_actions, "2.16"),
    "gitlab": (ci.gitlab, "2.19"),
    "jenkins": (ci.jenkins, "2.21"),
    "awx": (ci.awx, "2.21"),
}
TASKS = {
    "green": "cat device-name",
    "red": "test $(cat device-name) != pi-0002",
    "killed": "touch reached; sleep 30",
    "canceled": "touch reached; sleep 30",
}
END = {"killed": signal.SIGKILL, "canceled": signal.SIGINT}


def systems(*chosen: str) -> pytest.MarkDecorator:
    """Parametrize a test with these CI systems, or with all for the product."""
    return pytest.mark.parametrize("system", SYSTEMS if is_product() else chosen)


@pytest.fixture
def api() -> str:
    return "graphql"


@pytest.fixture
def project(fleet: Fleet) -> Fleet:
    """The repository that the recipes take for granted, with the account's own names of devices and user."""
    for name in ("update.yml", "awx/teardown.yml", "awx/ansible.cfg"):
        shutil.copy(ci.RECIPES / name, fleet.project)
    with (fleet.project / "ansible.cfg").open("a") as configuration:
        configuration.write("inventory = unreadable.remoteit.yml\n")  # a teardown needs no inventory
    source = ci.recipe("fleet.remoteit.yml")
    del source["tags_all"]
    source["device"] = fleet.devices
    source["compose"]["ansible_user"] = f"'{fleet.simulator.state['ssh_user']}'"
    fleet.write("fleet.remoteit.yml", source)
    fleet.write("known_hosts", "".join(map(fleet.known_host, fleet.devices)))
    return fleet


def machines(fleet: Fleet, system: str) -> ci.Prepare:
    engine = ROOT / ".venv" / "engines" / SYSTEMS[system][1] / "bin"
    directory = engine if engine.exists() else Path(ANSIBLE_PLAYBOOK).parent
    if system == "awx" and not (directory / "ansible-runner").exists():
        pytest.skip("ansible-runner is not there")
    return functools.partial(ci.Machine, fleet, directory)


def run(fleet: Fleet, system: str, tasks: str, **options: bool) -> tuple[bool, ci.Machine]:
    """Whether the CI calls it a success, and the last machine, which has the reports."""
    fleet.write("tasks.yml", [{"name": "Work", "ansible.builtin.raw": TASKS[tasks]}])
    return SYSTEMS[system][0](machines(fleet, system), end=END.get(tasks), **options)


def runs(machine: ci.Machine) -> list[ci.Step]:
    """The update, and the teardowns."""
    return [step for step in machine.steps if "PLAY [" in step.output]


def reports(machine: ci.Machine) -> dict[str, list[xml.etree.ElementTree.Element]]:
    """The cases of each playbook's JUnit report."""
    found: dict[str, list[xml.etree.ElementTree.Element]] = {}
    for path in (machine.workspace / "junit").glob("*.xml"):
        found.setdefault(path.name.split("-")[0], []).extend(xml.etree.ElementTree.parse(path).iter("testcase"))
    return found


def nothing_is_left(fleet: Fleet, machine: ci.Machine) -> None:
    assert not fleet.simulator.open_connections()
    assert len(fleet.simulator.requests("connect")) >= 3
    wait_until(lambda: not fleet.processes())
    texts = [step.output for step in machine.steps]
    texts += [path.read_text() for path in (machine.workspace / "junit").glob("*")]
    assert not (found := fleet.secrets_in(*texts)), found
    key = machine.secrets["DEVICE_KEY"].splitlines()[1]
    assert not any(key in text for text in texts)


@systems("jenkins")
def test_recipe_succeeds(project: Fleet, system: str) -> None:
    succeeds, machine = run(project, system, "green")
    assert succeeds
    assert {step.code for step in machine.steps} == {0}
    assert {entry["hostip"] for entry in project.simulator.connections()[-3:]} == {"127.0.0.1"}
    report = reports(machine)
    assert [case for case in report["update"] if "Work" in case.get("name", "")]
    assert not [case for case in report["update"] if case.find("failure") is not None]
    assert report["teardown"]
    nothing_is_left(project, machine)


@systems("awx")
def test_recipe_fails_if_a_task_fails(project: Fleet, system: str) -> None:
    """The CI says so, although the teardown after it is green."""
    succeeds, machine = run(project, system, "red")
    assert not succeeds
    update, *teardowns = runs(machine)
    assert update.code == 2
    assert {step.code for step in teardowns} == {2 if system == "awx" else 0}
    assert system != "awx" or "The update failed" in teardowns[0].output
    failed = [case.get("name", "") for case in reports(machine)["update"] if case.find("failure") is not None]
    assert [name for name in failed if "pi-0002" in name and "Work" in name] == failed
    nothing_is_left(project, machine)


@pytest.mark.parametrize(
    ("system", "status"),
    [*(itertools.product(SYSTEMS, [403, 503]) if is_product() else zip(SYSTEMS, [403, 503, 403, 503]))],
)
def test_recipe_fails_without_an_inventory(project: Fleet, system: str, status: int) -> None:
    """The key is wrong, or the API is down."""
    project.simulator.inject_fault(call="list", fault="http", status=status, times="always")
    project.simulator.clear_requests()
    succeeds, _machine = run(project, system, "green")
    assert not succeeds
    assert not project.simulator.requests("connect")


@systems("github-actions", "jenkins")
def test_recipe_fails_without_a_device(project: Fleet, system: str) -> None:
    """The tag is misspelled, or all devices are offline and left out."""
    project.write("fleet.remoteit.yml", {**ci.recipe("fleet.remoteit.yml"), "tags_all": ["kisok"]})
    succeeds, machine = run(project, system, "green")
    assert not succeeds
    update = next(step for step in machine.steps if step.code)
    assert "The inventory contains no device" in update.output


@pytest.mark.parametrize(
    "arguments", [(), ("--tags", "x"), *(("--skip-tags", tag) for tag in ("untagged", "always")), ("--limit", "kiosks")]
)
def test_update_fails_without_a_device(fleet: Fleet, arguments: tuple[str, ...]) -> None:
    fleet.inventory = {}
    fleet.write("tasks.yml", [])
    run = fleet.run((ci.RECIPES / "update.yml").read_text(), *arguments)
    assert run.rc != 0
    assert "The inventory contains no device" in run.text


@systems("github-actions")
def test_recipe_closes_after_kill_of_run_and_keeper(project: Fleet, system: str) -> None:
    """The step that always runs closes what the ledger contains."""
    succeeds, machine = run(project, system, "killed")
    assert not succeeds
    update, *teardowns = runs(machine)
    assert update.left_open == 3
    assert re.fullmatch(r"\S*4711\S*-[0-9a-f]{10}", *update.ledgers)
    assert teardowns[0].left_open == 0
    assert teardowns[0].ledgers == []
    nothing_is_left(project, machine)


def test_gitlab_closes_after_kill_of_its_container(project: Fleet) -> None:
    """There is no after_script then. The last job closes the connections in the artifact."""
    succeeds, machine = run(project, "gitlab", "killed", and_container=True)
    assert not succeeds
    assert [(step.name, step.left_open) for step in machine.steps] == [("update", 3), ("teardown", 0)]
    nothing_is_left(project, machine)


def test_github_closes_after_a_canceled_job(project: Fleet) -> None:
    """SIGINT reaches the first process of a step and no other; what always runs is run."""
    succeeds, machine = run(project, "github-actions", "canceled")
    assert not succeeds
    update, teardown = runs(machine)
    assert (update.code, update.left_open) == (99, 0)
    assert "remote.it: opened 3, closed 3, left open 0" in update.output
    assert teardown.code == 0
    nothing_is_left(project, machine)


def test_github_matrix_jobs_have_their_own_run_ids(project: Fleet) -> None:
    """Two runners that share a directory of ledgers are lost. The teardown of a job closes its connections only."""
    project.simulator.settings(second_connect="add")
    state = project.directory / "state"
    project.write("tasks.yml", [{"name": "Work", "ansible.builtin.raw": TASKS["killed"]}])
    opened, ids = [], []
    for leg in (0, 1):
        for device in project.devices:
            (project.simulator.home(device) / "reached").unlink(missing_ok=True)
        before = len(project.simulator.connections())
        how = {"end": signal.SIGKILL, "leg": leg, "lost": True}
        prepare = machines(project, "github-actions")
        _unused, machine = ci.github_actions(prepare, **how, REMOTEIT_STATE_DIR=str(state))
        (step,) = runs(machine)
        opened.append({entry["connectionid"] for entry in project.simulator.connections()[before:]})
        ids.append([run.rpartition("-")[0] for run in step.ledgers])
    assert [len(connections) for connections in opened] == [3, 3]
    (own,), both = ids
    (other,) = {*both} - {own}
    environ = {**machine.secrets, "REMOTEIT_STATE_DIR": str(state)}
    for job, left in ((own, opened[1]), (other, set())):
        command = shlex.split(named("ci-teardown-of-one-job").code.replace("$REMOTEIT_RUN_ID", job))
        assert machine.execute("teardown", command, environ).code == 0
        assert {entry["connectionid"] for entry in project.simulator.open_connections()} == left


@systems("gitlab")
def test_recipe_fails_if_the_teardown_cannot_close(project: Fleet, system: str) -> None:
    """Even if the CI ignores the status of the step that always runs."""
    project.simulator.inject_fault(call="stop", fault="http", status=500, times="always")
    succeeds, machine = run(project, system, "killed")
    assert not succeeds
    assert machine.steps[-1].code != 0
    assert machine.steps[-1].left_open == 3
    project.simulator.clear_faults()


def test_page_command_records_the_host_keys(project: Fleet) -> None:
    recorded = (project.project / "known_hosts").read_text()
    (project.project / "known_hosts").unlink()
    project.write("tasks.yml", [{"name": "Work", "ansible.builtin.raw": "touch reached"}])
    machine = ci.Machine(project, Path(ANSIBLE_PLAYBOOK).parent, "desk")
    command = shlex.split(named("ci-known-hosts").code)
    key = ["--private-key", project.simulator.state["ssh_private_key_file"]]
    assert machine.execute("record", [*command, *key], machine.secrets).code == 0
    found = (machine.workspace / "known_hosts").read_text()
    assert sorted(found.splitlines()) == sorted(recorded.splitlines())
    assert not any((project.simulator.home(device) / "reached").exists() for device in project.devices)


# -- the page -------------------------------------------------------------------------------------------------------

SHOWN = {
    "ci-update-yml": "update.yml",
    "ci-fleet-remoteit-yml": "fleet.remoteit.yml",
    "ci-github-actions-yml": "github-actions.yml",
    "ci-gitlab-ci-yml": "gitlab-ci.yml",
    "ci-jenkinsfile": "Jenkinsfile",
    "ci-awx-setup-yml": "awx/setup.yml",
    "ci-awx-teardown-yml": "awx/teardown.yml",
    "ci-awx-ansible-cfg": "awx/ansible.cfg",
    "ci-execution-environment-yml": "execution-environment.yml",
}


def test_page_shows_the_files_that_are_run(subtests: Any) -> None:
    """Without their license."""
    for name, file in SHOWN.items():
        with subtests.test(name):
            text = (ci.RECIPES / file).read_text().split("\n", 3)[3]
            assert named(name).code == text.removeprefix("---\n").lstrip("\n"), "copy the file into the page"


def test_page_shows_every_recipe() -> None:
    assert {str(path.relative_to(ci.RECIPES)) for path in ci.RECIPES.rglob("*") if path.is_file()} == {*SHOWN.values()}
