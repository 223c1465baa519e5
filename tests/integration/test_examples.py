# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of the documentation is run."""

from __future__ import annotations

import ast
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import DEVICES, Fleet
from documentation import BLOCKS, plays, titled
from support import WEB

pytestmark = pytest.mark.each_api

ROOT = Path(__file__).resolve().parents[2]
MODULES = ["remoteit_connect", "remoteit_disconnect", "remoteit_connection_info", "remoteit_service_info"]


@pytest.fixture(autouse=True)
def surroundings(fleet: Fleet) -> None:
    """What the examples take for granted: the group's name, the tasks file, the role."""
    fleet.write("update.yml", [{"name": "who", "ansible.builtin.raw": "cat device-name"}])
    fleet.write("roles/gateway/tasks/main.yml", [{"name": "who", "ansible.builtin.raw": "cat device-name"}])


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


def test_a_tasks_file(fleet: Fleet) -> None:
    call(fleet, "kiosks")
    fleet.simulator.device("pi-0002", online=False)
    run = fleet.run(plays("Update the kiosks"))
    assert run.rc == 0
    assert run.stdout_of("who") == {"pi-0001": "pi-0001", "pi-0003": "pi-0003"}


def test_many_devices(fleet: Fleet) -> None:
    call(fleet, "kiosks")
    run = fleet.run(plays("Update many kiosks"))
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices}


def test_roles(fleet: Fleet) -> None:
    call(fleet, "gateways")
    run = fleet.run(plays("Set up the gateways"))
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices}


def test_the_modules_alone(fleet: Fleet) -> None:
    (play,) = plays("Open and close one connection")
    play["tasks"][0]["remoteit.fleet.remoteit_connect"]["deviceaddress"] = fleet.services[0]
    run = fleet.run([play])
    assert run.rc == 0
    assert run.result("Show where the proxy is")["msg"].startswith("http://127.0.0.1:")


def test_names(fleet: Fleet) -> None:
    play = "Look for devices, and open connections by name"
    fleet.simulator.device("pi-0001", fields={"name": "kiosk-lobby"})
    names = {fleet.services[0]: "kiosk-lobby-ssh", fleet.simulator.service("pi-0001", WEB): "kiosk-lobby-web"}
    fleet.simulator.device("pi-0001", services={service: {"name": name} for service, name in names.items()})
    run = fleet.run(plays(play))
    assert run.rc == 0
    assert {entry["deviceaddress"] for entry in run.connections} == set(names)


def test_a_web_service(fleet: Fleet) -> None:
    call(fleet, "controllers")
    for device, variables in fleet.inventory["controllers"]["hosts"].items():
        variables["remoteit_deviceaddress"] = fleet.simulator.service(device, WEB)
    fleet.simulator.settings(web_host="localhost")
    fleet.environ["SSL_CERT_FILE"] = fleet.simulator.state["ca_file"]
    run = fleet.run(plays("Read the plant controller's status page"))
    assert run.rc == 0
    assert {result["status"] for result in run.results("Read the page").values()} == {200}


def test_credentials_of_a_play(fleet: Fleet) -> None:
    """Those of the options come before those of the environment, of whichever kind."""
    call(fleet, "kiosks")
    state = fleet.simulator.state
    fleet.environ["REMOTEIT_GRAPHQL_URL"] = state["graphql_url"]
    names = ("access_key_id", "secret_access_key")
    vault = fleet.write("vault.yml", {f"vault_{name}": state[name] for name in names})
    run = fleet.run(plays("Update the kiosks of another account"), "-e", f"@{vault}")
    assert run.rc == 0
    assert {entry["call"] for entry in run.requests if entry["api"] == "rest"} == set()
    assert run.stdout_of("who") == {device: device for device in fleet.devices}


def commands(page: str) -> list[list[str]]:
    """The calls of ansible-playbook on a page."""
    code = "\n".join(block.code for block in BLOCKS if block.page.endswith(page) and block.language == "sh")
    lines = code.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("ansible-playbook ")]


def test_hosts_by_hand(fleet: Fleet) -> None:
    (text,) = (block.code for block in titled("inventory.yml"))
    first, second, *_unused = fleet.services
    text = text.replace("80:00:00:00:01:00:40:C5", first).replace("80:00:00:00:01:00:40:D5", second)
    inventory = yaml.safe_load(text)
    assert inventory["kiosks"]["vars"] == {"ansible_user": fleet.simulator.state["ssh_user"]}
    inventory["kiosks"]["vars"] |= {**fleet.login, **fleet.host_keys}
    fleet.inventory = inventory
    *_unused, command = commands("docs/docsite/rst/inventory.rst")
    assert command[:3] == ["ansible-playbook", "-i", "inventory.yml"]
    run = fleet.run(*command[3:])
    assert run.rc == 0
    assert sorted(run.stdout_of("who").values()) == ["pi-0001", "pi-0002"]


@pytest.mark.parametrize("page", ["README.md", "docs/docsite/rst/getting_started.rst"])
def test_a_first_run(fleet: Fleet, page: str) -> None:
    for number in range(3, DEVICES + 1):
        fleet.simulator.device(f"pi-{number:04}", online=False)
    fleet.inventory = {"all": {"vars": {**fleet.login, "remoteit_session_known_hosts": str(fleet.known_hosts)}}}
    files = [block for block in BLOCKS if block.page == page and block.title]
    assert [block.title for block in files] == ["fleet.remoteit.yml", "update.yml"]
    for block in files:
        fleet.write(str(block.title), block.code)
    command, *teardowns = commands(page)
    run = fleet.run(*command[3:], "-i", command[2])
    assert run.rc == 0
    assert run.status("Show it") == {"pi-0001": "ok", "pi-0002": "ok"}
    assert [fleet.run(*teardown[1:]).rc for teardown in teardowns] == [0] * (page == "README.md")
