# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where credentials come from, for everything that needs some."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Fleet

URLS = {"REMOTEIT_API_URL": "api_url", "REMOTEIT_GRAPHQL_URL": "graphql_url"}
ACCESS_KEY = {"R3_ACCESS_KEY_ID": "access_key_id", "R3_SECRET_ACCESS_KEY": "secret_access_key"}
FILE = {"REMOTEIT_CREDENTIALS_FILE": "file", "REMOTEIT_PROFILE": "profile"}

#: The variables of each way to give credentials, with what they hold.
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "token": {"REMOTEIT_TOKEN": "token", "REMOTEIT_DEVELOPER_KEY": "developer_key"},
    "the vendor's developer key": {"REMOTEIT_TOKEN": "token", "R3_DEVELOPER_API_KEY": "developer_key"},
    "login": {
        "REMOTEIT_USERNAME": "username", "REMOTEIT_PASSWORD": "password", "REMOTEIT_DEVELOPER_KEY": "developer_key",
    },
    "access key": ACCESS_KEY,
    "access key in a file": FILE,
    "developer key in a file": {"REMOTEIT_TOKEN": "token", **FILE},
}  # fmt: skip


@pytest.mark.parametrize("way", ENVIRONMENTS)
def test_the_environment_serves_actions_delegated_modules_and_the_teardown(fleet: Fleet, way: str) -> None:
    state = {**fleet.simulator.state, "profile": "work"}
    in_file = {"R3_DEVELOPER_API_KEY": "developer_key"} if way.startswith("developer") else ACCESS_KEY
    lines = [f"{name} = {state[key]}" for name, key in in_file.items()]
    state["file"] = str(fleet.write("credentials", "\n".join(["[DEFAULT]", "R3_ACCESS_KEY_ID = x", "[work]", *lines])))
    for name in fleet.credentials:
        del fleet.environ[name]
    fleet.environ.update({name: state[key] for name, key in {**URLS, **ENVIRONMENTS[way]}.items()})
    fleet.inventory = {"gateways": {"hosts": {"gateway": fleet.plain_way("pi-0005")}}}
    here, there = (
        {"name": name, "remoteit.fleet.remoteit_connect": {"deviceaddress": service, "detach": True}}
        for name, service in zip(("here", "there"), fleet.services, strict=False)
    )
    run = fleet.on_localhost([here, {**there, "delegate_to": "gateway"}], leaves_open=2)
    assert run.rc == 0
    assert {request["api"] for request in run.requests} == {"graphql" if way.startswith("access") else "rest"}
    teardown = fleet.run("remoteit.fleet.teardown")
    assert teardown.rc == 0
    assert fleet.ledgers() == []


@pytest.mark.parametrize("way", [way for way in ENVIRONMENTS if "file" not in way])
def test_the_environment_of_a_task(fleet: Fleet, way: str) -> None:
    state = fleet.simulator.state
    for name in fleet.credentials:
        del fleet.environ[name]
    names = {**URLS, **ENVIRONMENTS[way]}
    fleet.write("secrets.yml", {f"its_{key}": state[key] for key in names.values()})
    task = {"name": "open", "remoteit.fleet.remoteit_connect": {"deviceaddress": fleet.services[0]}}
    environment = {name: f"{{{{ its_{key} }}}}" for name, key in names.items()}
    play: dict[str, Any] = {"hosts": "localhost", "gather_facts": False, "vars_files": ["secrets.yml"]}
    run = fleet.run([{**play, "tasks": [{**task, "environment": environment}]}])
    assert run.status("open") == {"localhost": "changed"}


def test_the_environment_of_a_task_comes_before_that_of_the_process(fleet: Fleet) -> None:
    """As a whole: no set is put together from two of them."""
    state = fleet.simulator.state
    fleet.environ.update({name: state[key] for name, key in {**URLS, **ACCESS_KEY}.items()})
    fleet.write("secrets.yml", {f"its_{name}": state[name] for name in ("token", "developer_key")})
    task = {"remoteit.fleet.remoteit_connect": {"deviceaddress": fleet.services[0], "reuse": False}}
    whole = {"REMOTEIT_TOKEN": "{{ its_token }}", "REMOTEIT_DEVELOPER_KEY": "{{ its_developer_key }}"}
    tasks = [{**task, "environment": whole}, {**task, "environment": {"R3_ACCESS_KEY_ID": "half a set"}}]
    play: dict[str, Any] = {"hosts": "localhost", "gather_facts": False, "vars_files": ["secrets.yml"]}
    run = fleet.run([{**play, "tasks": tasks}])
    assert run.rc == 0
    assert [request["api"] for request in run.requests if request["call"] == "connect"] == ["rest", "graphql"]


def test_the_credentials_of_a_tasks_environment_stay_on_the_controller(fleet: Fleet) -> None:
    """Neither a host that a task is delegated to gets them, nor a device whose facts are gathered."""
    state = fleet.simulator.state
    for name in fleet.credentials:
        if not name.endswith("_URL"):
            del fleet.environ[name]
    fleet.write("secrets.yml", {f"its_{name}": state[name] for name in ("token", "developer_key")})
    fleet.inventory["gateways"] = {"hosts": {"gateway": fleet.plain_way("pi-0005")}}
    environment = {
        "REMOTEIT_TOKEN": "{{ its_token }}",
        "REMOTEIT_DEVELOPER_KEY": "{{ its_developer_key }}",
        "OTHER": "{{ 6 * 7 }}",
    }
    connect = {"deviceaddress": "{{ remoteit_deviceaddress }}", "reuse": False}
    role = {"name": "remoteit.fleet.remoteit_session", "tasks_from": "open", "apply": {"environment": environment}}
    tasks = [
        {"remoteit.fleet.remoteit_connect": connect, "delegate_to": "gateway", "environment": environment},
        {"include_role": role, "vars": {"remoteit_session_gather_facts": True}},
        {"name": "facts", "ansible.builtin.debug": {"msg": "{{ ansible_facts.env.OTHER }}"}},
    ]
    play: dict[str, Any] = {"hosts": "fleet", "gather_facts": False, "vars_files": ["secrets.yml"]}
    run = fleet.run([{**play, "tasks": tasks}], "-vvvv")  # which looks for secrets in its output
    assert run.rc == 0
    assert {int(result["msg"]) for result in run.results("facts").values()} == {42}


def test_credentials_of_the_task(fleet: Fleet) -> None:
    """From the environment of a task, from module_defaults for the group, from a file, and by one login for the run."""
    state = fleet.simulator.state
    for name in ("REMOTEIT_TOKEN", "REMOTEIT_DEVELOPER_KEY"):
        del fleet.environ[name]
    fleet.write("credentials", f"[work]\nR3_DEVELOPER_API_KEY={state['developer_key']}\n")
    login = {name: state[name] for name in ("username", "password")}
    fleet.write("secrets.yml", {**{name: state[name] for name in ("token", "developer_key")}, "login": login})
    fleet.inventory = {}
    run = fleet.run(
        """\
        - hosts: localhost
          gather_facts: false
          vars_files: secrets.yml
          tasks:
            - name: nothing
              remoteit.fleet.remoteit_connect: {deviceaddress: "{{ service }}"}
              ignore_errors: true
            - name: environment
              remoteit.fleet.remoteit_connect: {deviceaddress: "{{ service }}", reuse: false}
              environment: {REMOTEIT_TOKEN: "{{ token }}", REMOTEIT_DEVELOPER_KEY: "{{ developer_key }}"}
            - name: file
              remoteit.fleet.remoteit_connect:
                deviceaddress: "{{ service }}"
                token: "{{ token }}"
                profile: WORK
                credentials_file: credentials
                reuse: false
        - hosts: localhost
          gather_facts: false
          vars_files: secrets.yml
          module_defaults:
            group/remoteit.fleet.remoteit:
              username: "{{ login.username }}"
              password: "{{ login.password }}"
              developer_key: "{{ developer_key }}"
          tasks:
            - name: login
              remoteit.fleet.remoteit_connect: {deviceaddress: "{{ service }}", reuse: false}
              register: opened
              loop: [1, 2]
            - name: look
              remoteit.fleet.remoteit_service_info: {device: pi-0001, concurrency: 2, timeout: 30}
            - name: logout
              remoteit.fleet.remoteit_disconnect: {connections: "{{ opened.results[0] }}"}
        """,
        "-e", f"service={fleet.services[0]}",
    )  # fmt: skip
    assert run.rc == 0
    missing = run.result("nothing")
    assert missing["failure"]["code"] == "auth"
    for way in ("REMOTEIT_TOKEN", "REMOTEIT_USERNAME", "REMOTEIT_DEVELOPER_KEY", "R3_DEVELOPER_API_KEY", "credentials"):
        assert way in missing["msg"]
    calls = [request["call"] for request in run.requests]
    assert calls[:6] == ["connect", "connect", "login", "connect", "connect", "list"]
    assert calls[6:] == ["stop"] * 4
    assert {c["closed_by"] for c in run.connections} == {"stop"}
