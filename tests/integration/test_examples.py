# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of the documentation is run."""

from __future__ import annotations

import ast
import itertools
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Fleet
from documentation import BLOCKS, named, plays, titled

pytestmark = pytest.mark.each_api

ROOT = Path(__file__).resolve().parents[2]
ACCESS_KEY = ("access_key_id", "secret_access_key")
MODULES = ["remoteit_connect", "remoteit_disconnect", "remoteit_connection_info", "remoteit_service_info"]


@pytest.fixture(autouse=True)
def surroundings(fleet: Fleet) -> None:
    """Write the files that the examples assume, for two devices."""
    fleet.use_devices(2)
    fleet.write("update.yml", [{"name": "who", "ansible.builtin.raw": "cat device-name"}])
    for role in ("gateway", "kiosk"):
        fleet.write(f"roles/{role}/tasks/main.yml", [{"name": "who", "ansible.builtin.raw": "cat device-name"}])


def call(fleet: Fleet, group: str) -> None:
    fleet.inventory = {group: fleet.inventory["fleet"]}


def examples(module: str) -> list[dict[str, Any]]:
    """The tasks of a module's documentation."""
    tree = ast.parse((ROOT / "plugins" / "modules" / f"{module}.py").read_text())
    (text,) = (
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.targets[0].id == "EXAMPLES"
    )
    return yaml.safe_load(text)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module(fleet: Fleet, module: str) -> None:
    call(fleet, "kiosks")
    for device, variables in fleet.inventory["kiosks"]["hosts"].items():
        variables["remoteit_device"] = device
    tasks = examples(module)
    run = fleet.run([{"hosts": "kiosks", "gather_facts": False, "tasks": tasks}])
    assert run.rc == 0
    assert {entry["task"] for entry in run.journal} == {task["name"] for task in tasks}


def test_the_role_skips_what_is_offline(fleet: Fleet) -> None:
    call(fleet, "kiosks")
    fleet.simulator.device("pi-0002", online=False)
    run = fleet.run(plays("Update the kiosks"))
    assert run.rc == 0
    assert run.stdout_of("who") == {"pi-0001": "pi-0001"}


def test_many_devices(fleet: Fleet) -> None:
    call(fleet, "kiosks")
    run = fleet.run(plays("Update many kiosks"))
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices}


def test_open_and_close_around_a_role(fleet: Fleet) -> None:
    call(fleet, "gateways")
    run = fleet.run(plays("Set up the gateways"))
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices}


def test_batches(fleet: Fleet) -> None:
    call(fleet, "kiosks")
    (play,) = plays("Update the kiosks in batches")
    run = fleet.run([{**play, "serial": 1}])
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices}
    assert all(first["closed_at"] <= then["opened_at"] for first, then in itertools.pairwise(run.connections))


def test_credentials_of_a_play(fleet: Fleet) -> None:
    """Options of ``module_defaults`` take precedence over the environment."""
    state = fleet.simulator.state
    fleet.environ["REMOTEIT_GRAPHQL_URL"] = state["graphql_url"]
    vault = fleet.write("vault.yml", {f"vault_{name}": state[name] for name in ACCESS_KEY})
    run = fleet.run(plays("Find the kiosks of another account"), "-e", f"@{vault}")
    assert run.rc == 0
    assert {entry["api"] for entry in run.requests} == {"graphql"}


@pytest.mark.parametrize("page", ["group-vars-kiosks"])
def test_credentials_of_a_group(fleet: Fleet, page: str) -> None:
    """Host variables take precedence over the environment."""
    call(fleet, "kiosks")
    state = fleet.simulator.state
    fleet.environ["REMOTEIT_GRAPHQL_URL"] = state["graphql_url"]
    fleet.write("group_vars/kiosks.yml", named(page).code)
    vault = fleet.write("vault.yml", {f"vault_{name}": state[name] for name in ACCESS_KEY})
    run = fleet.ad_hoc("kiosks", "-m", "ping", "-e", f"@{vault}")
    assert run.rc == 0
    assert {entry["api"] for entry in run.requests} == {"graphql"}


def test_ssh_config_has_a_pattern_for_all_devices(fleet: Fleet) -> None:
    text = named("ssh-config").code
    assert "User pi\n" in text and fleet.simulator.state["ssh_user"] == "pi"
    text = text.replace("~/.ssh/fleet", fleet.inventory["fleet"]["vars"].pop("ansible_ssh_private_key_file"))
    del fleet.inventory["fleet"]["vars"]["ansible_user"]
    config = fleet.write("ssh_config", "\n".join(line for line in text.splitlines() if "ProxyJump" not in line) + "\n")
    fleet.environ["ANSIBLE_SSH_ARGS"] = f"-F {config}"
    run = fleet.ad_hoc("fleet", "-m", "ping")
    assert run.rc == 0


def commands(page: str, *names: str) -> list[list[str]]:
    """The calls of these programs on a page."""
    code = "\n".join(block.code for block in BLOCKS if block.page.endswith(page) and block.language == "sh")
    lines = code.replace("\\\n", " ").splitlines()
    return [words for words in map(shlex.split, lines) if words and words[0] in names]


def test_hosts_by_hand(fleet: Fleet) -> None:
    (text,) = (block.code for block in titled("inventory.yml"))
    first, second, *_unused = fleet.services
    text = text.replace("80:00:00:00:01:00:40:C5", first).replace("80:00:00:00:01:00:40:D5", second)
    inventory = yaml.safe_load(text)
    assert inventory["kiosks"]["vars"]["ansible_user"] == fleet.simulator.state["ssh_user"]
    inventory["kiosks"]["vars"] |= {**fleet.login, **fleet.host_keys}
    fleet.inventory = inventory
    *_unused, command = commands("docs/docsite/rst/inventory.rst", "ansible")
    assert command == ["ansible", "kiosks", "-i", "inventory.yml", "-m", "ping"]
    run = fleet.ad_hoc("kiosks", "-m", "ping")
    assert run.rc == 0
    assert len(run.connections) == 2


def first_run(page: str) -> tuple[list[str], list[list[str]]]:
    """Return the files and the commands of the page by which a user begins."""
    files = [block.code for block in BLOCKS if block.page == page and block.title]
    return files, [commands(page, "ansible")[-1], commands(page, "ansible-playbook")[0]]


def test_a_first_run(fleet: Fleet) -> None:
    """The README and the first page of the documentation have the same."""
    page = "README.md"
    assert first_run(page) == first_run("docs/docsite/rst/getting_started.rst")
    fleet.simulator.device("pi-0004", online=False)
    files = [block for block in BLOCKS if block.page == page and block.title]
    assert [block.title for block in files] == ["fleet.remoteit.yml", "site.yml"]
    for block in files:
        fleet.write(str(block.title), block.code)
    source = {**files[0].data, "device": [*fleet.devices, "pi-0004"]}  # not all of the simulator's, which takes long
    fleet.write("fleet.remoteit.yml", source)
    login = {"ansible_ssh_private_key_file": fleet.login["ansible_ssh_private_key_file"]}
    python = {"ansible_python_interpreter": fleet.login["ansible_python_interpreter"]}
    fleet.write("group_vars/all.yml", {**login, **python})
    fleet.inventory = fleet.project / "fleet.remoteit.yml"
    known_hosts = f" -o UserKnownHostsFile={fleet.known_hosts}"
    *_unused, ping = commands(page, "ansible")
    assert ping[:4] == ["ansible", "all", "-i", "fleet.remoteit.yml"]
    assert ping[-1].startswith("--ssh-extra-args=")
    run = fleet.ad_hoc("all", *ping[4:-1], ping[-1] + known_hosts)
    assert sorted(host for host, status in run.status("ping").items() if status == "ok") == fleet.devices
    assert run.rc == 4  # one device is offline
    assert run.recap == "opened 2, closed 2, left open 0"
    playbook, *teardowns = commands(page, "ansible-playbook")
    fleet.environ["ANSIBLE_SSH_COMMON_ARGS"] = known_hosts.strip()
    run = fleet.run(playbook[3], *playbook[4:], "--limit", "remoteit_state_active")
    assert run.rc == 0
    assert run.status("Restart the kiosk") == dict.fromkeys(fleet.devices, "changed")
    assert [fleet.run(*teardown[1:]).rc for teardown in teardowns] == [0]
