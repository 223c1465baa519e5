# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The execution environment: what its definition asks for, and whether that is enough."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import Fleet
from documentation import named

ROOT = Path(__file__).resolve().parents[2]
DEFINITION = ROOT / "docs" / "ci" / "execution-environment.yml"
BUILDER = ROOT / ".venv" / "tools" / "bin" / "ansible-builder"

builder = pytest.mark.skipif(not BUILDER.exists(), reason="ansible-builder is not there; tests/setup.sh tools")


def call(*command: str | Path, **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@builder
def test_the_definition_can_be_built_from(tmp_path: Path) -> None:
    command = shlex.split(named("ci-build-image").code)
    assert command[:2] == ["ansible-builder", "build"]
    assert command[3] == DEFINITION.name
    call(BUILDER, "create", *command[2:4], "--context", tmp_path / "context", cwd=DEFINITION.parent)
    (recipe,) = (tmp_path / "context").glob("*file")  # its name depends on what can build it here
    assert "collection install" in recipe.read_text()
    asked = yaml.safe_load((tmp_path / "context" / "_build" / "requirements.yml").read_text())
    assert asked == {"collections": [{"name": "remoteit.fleet"}]}


@builder
def test_the_collection_says_what_it_needs(tmp_path: Path) -> None:
    """Return the requirements that the builder finds in its image, in which the collection is installed."""
    (tmp_path / "ansible_collections" / "remoteit").mkdir(parents=True)
    (tmp_path / "ansible_collections" / "remoteit" / "fleet").symlink_to(ROOT)
    found = yaml.safe_load(call(BUILDER, "introspect", tmp_path))
    assert {kind: {line.partition("  #")[0] for line in lines} for kind, lines in found.items()} == {
        "python": {"requests"},
        "system": {"openssh-client [platform:dpkg]", "openssh-clients [platform:rpm]"},
    }


@pytest.mark.network
def test_the_metadata_is_enough(fleet: Fleet, tmp_path: Path) -> None:
    """A new environment with the tarball, what the metadata names and nothing else runs a playbook."""
    venv, collections = tmp_path / "venv", tmp_path / "collections"
    call(sys.executable, "-m", "venv", venv)
    metadata = yaml.safe_load((ROOT / "meta" / "execution-environment.yml").read_text())["dependencies"]
    engine = ["--constraint", ROOT / "tests" / "requirements.txt", "ansible-core", "ansible-runner"]
    call(venv / "bin" / "pip", "install", "--quiet", *engine, "--requirement", ROOT / metadata["python"])
    galaxy = [venv / "bin" / "ansible-galaxy", "collection"]
    call(*galaxy, "build", ROOT, "--output-path", tmp_path)
    call(*galaxy, "install", *tmp_path.glob("remoteit-fleet-*.tar.gz"), "--collections-path", collections)
    system = tmp_path / "bin"  # a shell, and an SSH client
    system.mkdir()
    for name in ("sh", "ssh"):
        (system / name).symlink_to(call("sh", "-c", f"command -v {name}").strip())

    fleet.write("on_the_devices.yml", [{"name": "Work", "ansible.builtin.raw": "cat device-name"}])
    role = {"role": "remoteit.fleet.remoteit_session", "vars": {"remoteit_session_tasks": "on_the_devices.yml"}}
    fleet.write("play.yml", [{"hosts": "fleet", "gather_facts": False, "roles": [role]}])
    data = tmp_path / "runner"
    (data / "inventory").mkdir(parents=True)
    (data / "inventory" / "hosts.json").write_text(json.dumps(fleet.inventory))
    (data / "project").symlink_to(fleet.project)
    environ = {
        **{name: value for name, value in fleet.environ.items() if not name.startswith("ANSIBLE_CALLBACK")},
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "PATH": f"{venv / 'bin'}{os.pathsep}{system}",
    }
    shown = call(venv / "bin" / "ansible-runner", "run", data, "-p", "play.yml", env=environ)
    assert f"{collections}/ansible_collections/remoteit/fleet/" in shown
    assert len(fleet.simulator.requests("connect")) == 3
    assert not fleet.simulator.open_connections()
