# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where credentials come from, for the modules, the role, the connection plugin and the teardown."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import CONNECT, DISCONNECT, OPEN, Fleet, play, themselves, who
from termination_table import is_product

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


@pytest.fixture(autouse=True)
def without_credentials(fleet: Fleet) -> None:
    for name in fleet.credentials:
        del fleet.environ[name]
    fleet.environ |= {name: fleet.simulator.state[key] for name, key in URLS.items()}


def write_secrets(fleet: Fleet, *names: str) -> dict[str, str]:
    """Write a file of variables, and return a template for each value."""
    fleet.write("secrets.yml", {f"its_{name}": fleet.simulator.state[name] for name in names})
    return {name: f"{{{{ its_{name} }}}}" for name in names}


def play_of(*tasks: dict[str, Any], hosts: str = "localhost", **keywords: Any) -> list[dict[str, Any]]:
    return [play(*tasks, hosts=hosts, vars_files=["secrets.yml"], **keywords)]


@pytest.mark.parametrize("way", ENVIRONMENTS if is_product() else ["login", "access key in a file"])
def test_environment_of_the_process(fleet: Fleet, way: str) -> None:
    """A module, ``hosts``, the connection plugin and the teardown use it."""
    state = {**fleet.simulator.state, "profile": "work"}
    in_file = {"R3_DEVELOPER_API_KEY": "developer_key"} if way.startswith("developer") else ACCESS_KEY
    lines = [f"{name} = {state[key]}" for name, key in in_file.items()]
    state["file"] = str(fleet.write("credentials", "\n".join(["[DEFAULT]", "R3_ACCESS_KEY_ID = x", "[work]", *lines])))
    fleet.environ |= {name: state[key] for name, key in ENVIRONMENTS[way].items()}
    fleet.use_devices(2)
    module = {"name": "module", CONNECT: {"deviceaddress": fleet.services[0], "detach": True}, "run_once": True}
    hosts = {"name": "hosts", CONNECT: {"hosts": ["pi-0002"]}, "run_once": True}
    run = fleet.run([play(module, hosts, who())], leaves_open=1)
    assert run.rc == 0
    assert run.stdout_of("who") == themselves("pi-0001", "pi-0002")
    assert {request["api"] for request in run.requests} == {"graphql" if way.startswith("access") else "rest"}
    assert run.calls("login") == ([None] if way == "login" else [])
    assert fleet.run("remoteit.fleet.teardown").rc == 0
    assert fleet.ledgers() == []


def test_refused_login_is_not_repeated_by_a_search(fleet: Fleet) -> None:
    """For each host, and with retries."""
    fleet.environ |= {name: fleet.simulator.state[key] for name, key in ENVIRONMENTS["login"].items()}
    fleet.environ["REMOTEIT_PASSWORD"] = "wrong"
    search = {"name": "search", "remoteit.fleet.remoteit_service_info": {}, "until": "false", "retries": 2, "delay": 0}
    run = fleet.run([play(search)])
    assert set(run.status("search").values()) == {"failed"}
    assert run.calls("login") == [None]


def test_environment_of_a_task(fleet: Fleet) -> None:
    """Each task of a run has other credentials. No set of credentials is completed from the process."""
    fleet.environ |= {name: fleet.simulator.state[key] for name, key in ACCESS_KEY.items()}
    ways = {way: names for way, names in ENVIRONMENTS.items() if "file" not in way}
    templates = write_secrets(fleet, *{key for names in ways.values() for key in names.values()})
    environments = {way: {name: templates[key] for name, key in names.items()} for way, names in ways.items()}
    environments["half a set"] = {"R3_ACCESS_KEY_ID": "half a set"}
    connect = {"deviceaddress": fleet.services[0], "reuse": False}
    tasks = [{"name": way, CONNECT: connect, "environment": environ} for way, environ in environments.items()]
    run = fleet.run(play_of(*tasks), "-vvvv")  # its output is searched for secrets
    assert run.rc == 0
    assert {way: run.status(way)["localhost"] for way in environments} == dict.fromkeys(environments, "changed")
    apis = [request["api"] for request in run.requests if request["call"] == "connect"]
    assert apis == ["rest", "rest", "rest", "graphql", "graphql"]


def test_environment_of_a_task_is_for_its_module_only(fleet: Fleet) -> None:
    """Hosts have their variables, and the environment of the process. Devices do not get the credentials."""
    fleet.use_devices(1)
    fleet.environ |= {name: fleet.simulator.state[key] for name, key in ACCESS_KEY.items()}
    templates = write_secrets(fleet, "token", "developer_key")
    environment = {f"REMOTEIT_{name.upper()}": value for name, value in templates.items()}
    tasks = [
        {"name": "hosts", CONNECT: {"hosts": ["pi-0001"]}, "environment": environment},
        {"import_role": OPEN["include_role"], "environment": environment},
        {"name": "module", CONNECT: {"deviceaddress": "{{ remoteit_deviceaddress }}"}, "environment": environment},
        {"name": "look", "ansible.builtin.command": "printenv"},
    ]
    run = fleet.run(play_of(*tasks, hosts="pi-0001"))
    assert run.rc == 0
    assert [request["api"] for request in run.requests if request["call"] == "connect"] == ["graphql", "rest"]
    (printed,) = run.stdout_of("look").values()
    assert "REMOTEIT" not in printed
    assert "R3_" not in printed


def test_host_variables_precede_the_environment(fleet: Fleet) -> None:
    """In the role and in the connection plugin. They may be templates, and each host has another account."""
    fleet.environ |= {"REMOTEIT_TOKEN": "of-another-account", "REMOTEIT_DEVELOPER_KEY": "of-another-account"}
    sets = [
        ("token", "developer_key"),
        ("username", "password", "developer_key"),
        ("access_key_id", "secret_access_key"),
    ]
    templates = write_secrets(fleet, *{name for names in sets for name in names})
    for device, names in zip(fleet.devices, sets, strict=True):
        fleet.inventory["fleet"]["hosts"][device] |= {f"remoteit_{name}": templates[name] for name in names}
    run = fleet.run([*play_of(who("first"), hosts="pi-0001"), *play_of(OPEN, who(), hosts="fleet")])
    assert run.rc == 0
    assert run.stdout_of("first") == themselves("pi-0001")
    assert run.stdout_of("who") == themselves(*fleet.devices)
    assert len(run.connections) == 3
    apis = {request["deviceaddress"]: request["api"] for request in run.requests if request["call"] == "connect"}
    assert apis == dict(zip(fleet.services, ["rest", "rest", "graphql"], strict=True))
    assert len([r for r in run.requests if r["call"] == "login"]) == 1


def test_profile_of_hosts_and_options_precedes_the_environment(fleet: Fleet) -> None:
    """In a module, ``hosts``, the connection plugin and an inventory source. The environment has another account."""
    fleet.use_devices(2)
    lines = [f"{name} = {fleet.simulator.state[key]}" for name, key in ACCESS_KEY.items()]
    path = str(fleet.write("credentials", "\n".join(["[work]", *lines])))
    fleet.environ |= {"R3_ACCESS_KEY_ID": "another", "R3_SECRET_ACCESS_KEY": "YW5vdGhlcg=="}
    fleet.environ["REMOTEIT_CREDENTIALS_FILE"] = path
    fleet.inventory["fleet"]["vars"]["remoteit_profile"] = "work"
    module = {"name": "module", CONNECT: {"deviceaddress": fleet.services[0], "profile": "work"}, "run_once": True}
    hosts = {"name": "hosts", CONNECT: {"hosts": ["pi-0002"]}, "run_once": True}
    run = fleet.run([play(module, hosts, who())])
    assert run.rc == 0
    assert run.stdout_of("who") == themselves("pi-0001", "pi-0002")
    source = {"plugin": "remoteit.fleet.services", "device": ["pi-0001"], "profile": "work"}
    source["compose"] = {"ansible_connection": "'local'"}
    fleet.inventory = fleet.write("fleet.remoteit.yml", source)
    assert fleet.run([play({"name": "listed", "ansible.builtin.debug": {}}, hosts="all")]).status("listed")


def test_credentials_of_options_and_module_defaults(fleet: Fleet) -> None:
    """From options, the file, and ``module_defaults`` with one login for the run."""
    state = fleet.simulator.state
    fleet.write("credentials", f"[work]\nR3_DEVELOPER_API_KEY={state['developer_key']}\n")
    templates = write_secrets(fleet, "token", "developer_key", "username", "password")
    connect = {"deviceaddress": fleet.services[0], "reuse": False}
    file = {"token": templates["token"], "profile": "WORK", "credentials_file": "credentials"}
    login = {name: templates[name] for name in ("username", "password", "developer_key")}
    run = fleet.run(
        [
            *play_of(
                {"name": "nothing", CONNECT: connect, "ignore_errors": True},
                {"name": "file", CONNECT: {**connect, **file}},
            ),
            *play_of(
                {"name": "login", CONNECT: connect, "register": "opened", "loop": [1, 2]},
                {"name": "find", "remoteit.fleet.remoteit_service_info": {"device": "pi-0001"}},
                {"name": "logout", DISCONNECT: {"connections": "{{ opened.results[0] }}"}},
                module_defaults={"group/remoteit.fleet.remoteit": login},
            ),
        ]
    )
    assert run.rc == 0
    missing = run.result("nothing")
    assert missing["failure"]["code"] == "auth"
    for way in ("REMOTEIT_TOKEN", "REMOTEIT_USERNAME", "REMOTEIT_DEVELOPER_KEY", "R3_DEVELOPER_API_KEY", "credentials"):
        assert way in missing["msg"]
    calls = [request["call"] for request in run.requests]
    assert calls[:5] == ["connect", "login", "connect", "connect", "list"]
    assert calls[5:] == ["stop"] * 3
    assert {c["closed_by"] for c in run.connections} == {"stop"}
