# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of a session run on the device of their host, or nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Fleet


def reach(name: str) -> dict[str, Any]:
    return {"name": name, "ansible.builtin.raw": "cat device-name"}


def everywhere(fleet: Fleet) -> dict[str, str]:
    return {device: device for device in fleet.devices}


def session_of(file: str, **more: Any) -> dict[str, Any]:
    """The role as a task."""
    return {
        "include_role": {"name": "remoteit.fleet.remoteit_session"},
        "vars": {"remoteit_session_tasks": file, **more},
    }


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_a_session_in_a_session_leaves_the_outer_one_open(fleet: Fleet, strategy: str) -> None:
    fleet.write("inner.yml", [reach("inside")])
    run = fleet.session([reach("before"), session_of("inner.yml"), reach("after")], play={"strategy": strategy})
    assert run.rc == 0
    for name in ("before", "inside", "after"):
        assert run.stdout_of(name) == everywhere(fleet)
    assert run.recap == "opened 3, closed 3, left open 0"


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_a_session_that_could_not_begin_leaves_the_outer_one_open(fleet: Fleet, strategy: str) -> None:
    fleet.write("inner.yml", [reach("inside")])
    inner = session_of("inner.yml", remoteit_session_hostip="nowhere")
    tasks = [{"block": [inner], "rescue": [reach("rescue")]}, reach("after")]
    run = fleet.session(tasks, play={"strategy": strategy})
    assert run.rc == 0
    assert run.status("inside") == {}
    for name in ("rescue", "after"):
        assert run.stdout_of(name) == everywhere(fleet)
    assert run.recap == "opened 3, closed 3, left open 0"


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_a_half_session_in_a_session_leaves_the_outer_one_open(fleet: Fleet, strategy: str) -> None:
    halves = [
        {"include_role": {"name": "remoteit.fleet.remoteit_session", "tasks_from": half}} for half in ("open", "close")
    ]
    tasks = [reach("before"), halves[0], reach("inside"), halves[1], reach("after")]
    run = fleet.session(tasks, play={"strategy": strategy})
    assert run.rc == 0
    for name in ("before", "inside", "after"):
        assert run.stdout_of(name) == everywhere(fleet)
    assert run.recap == "opened 3, closed 3, left open 0"


def test_a_tasks_file_that_brings_hosts_back_late_is_refused(fleet: Fleet) -> None:
    """The engine runs what is left for them when the others are through, the close included."""
    tasks = [reach("one"), {"ansible.builtin.meta": "clear_host_errors"}, reach("two")]
    run = fleet.session(tasks)
    assert run.rc == 2
    assert run.requests == []
    assert all("clear_host_errors" in reason for reason in run.failures().values())


@pytest.mark.every_engine
def test_handlers_after_a_rescue_of_all_run_on_the_devices(fleet: Fleet) -> None:
    """The engine takes all hosts for failed then; on some versions only the one that failed runs the rescue."""
    fleet.inventory["fleet"]["vars"].update(fleet.plain_way("pi-0005"))
    fail = {"name": "fail", "ansible.builtin.raw": "false", "when": "inventory_hostname == 'pi-0001'"}
    block = {"block": [fail], "rescue": [reach("rescue")], "any_errors_fatal": True}
    after = {**reach("after"), "changed_when": True, "notify": "handler"}
    fleet.write("on_the_devices.yml", [block, after])
    role = session_of("on_the_devices.yml")
    play = {"hosts": "fleet", "gather_facts": False, "tasks": [role, reach("outside")], "handlers": [reach("handler")]}
    run = fleet.run([play])
    assert run.rc == 0
    for name in ("after", "handler"):
        assert run.stdout_of(name) == everywhere(fleet)
    assert run.stdout_of("outside") == dict.fromkeys(fleet.devices, "pi-0005")


def test_a_strategy_that_is_made_of_free_is_one_without_a_common_step(fleet: Fleet) -> None:
    fleet.write("strategies/liberal.py", """\
        from ansible.plugins.strategy.free import StrategyModule as Free


        class StrategyModule(Free):
            pass
        """)  # fmt: skip
    fleet.environ["ANSIBLE_STRATEGY_PLUGINS"] = str(fleet.project / "strategies")
    slow = {"name": "slow", "ansible.builtin.raw": "sleep 3", "when": "inventory_hostname == 'pi-0002'"}
    run = fleet.session([slow, reach("who")], play={"strategy": "liberal"})
    assert run.rc == 0
    assert run.stdout_of("who") == everywhere(fleet)


@pytest.mark.every_engine
@pytest.mark.parametrize("strategy", ["free", "host_pinned"])
def test_a_slow_device_runs_the_tasks_of_its_own_session_though_others_are_in_the_next_one(
    fleet: Fleet, strategy: str
) -> None:
    fleet.simulator.fault(fleet.simulator.service("pi-0003"), call="connect", fault="delay", seconds=8)
    roles = []
    for name in ("first", "second"):
        fleet.write(f"{name}.yml", [reach(name)])
        roles.append({"role": "remoteit.fleet.remoteit_session", "vars": {"remoteit_session_tasks": f"{name}.yml"}})
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, "strategy": strategy, "roles": roles}])
    assert run.rc == 0
    for name in ("first", "second"):
        assert run.stdout_of(name) == everywhere(fleet)
    assert run.recap == "opened 6, closed 6, left open 0"


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_a_session_in_the_next_batch_leaves_that_of_the_first_one_open(fleet: Fleet, strategy: str) -> None:
    fleet.write("inner.yml", [reach("inside")])
    role = "remoteit.fleet.remoteit_session"
    outer = {"include_role": {"name": role, "tasks_from": "open"}}
    inner = {"include_role": {"name": role}, "vars": {"remoteit_session_tasks": "inner.yml"}}
    devices = {"hosts": "fleet", "gather_facts": False, "strategy": strategy}
    run = fleet.run([{**devices, "serial": 2, "tasks": [outer, inner]}, {**devices, "tasks": [reach("later")]}])
    assert run.rc == 0
    for name in ("inside", "later"):
        assert run.stdout_of(name) == everywhere(fleet)
    assert len(run.connections) == 3


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_a_host_without_a_connection_runs_no_task_even_if_errors_are_ignored(fleet: Fleet, strategy: str) -> None:
    fleet.inventory["fleet"]["hosts"]["pi-0002"] |= fleet.plain_way("pi-0003")
    fleet.simulator.device("pi-0002", online=False)
    run = fleet.session([reach("who")], play={"ignore_errors": True, "strategy": strategy})
    assert run.stdout_of("who") == {device: device for device in ("pi-0001", "pi-0003")}
    assert run.rc == 2


def test_a_role_that_is_delegated_is_refused(fleet: Fleet) -> None:
    fleet.write("on_the_devices.yml", [reach("who")])
    tasks = [{"block": [session_of("on_the_devices.yml")], "delegate_to": "pi-0003"}]
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, "tasks": tasks}])
    assert run.rc == 2
    assert run.status("who") == {}
    assert all("delegate_to" in reason for reason in run.failures().values())


def test_a_control_path_of_the_user_does_not_mix_devices_up(fleet: Fleet) -> None:
    fleet.environ["ANSIBLE_SSH_CONTROL_PATH"] = f"{fleet.plain_masters}/%%h-%%r"
    run = fleet.session([reach("who")])
    assert run.rc == 0
    assert run.stdout_of("who") == everywhere(fleet)


def test_a_control_path_of_ssh_itself_does_not_mix_devices_up(fleet: Fleet) -> None:
    """Ansible gives it one only with ControlPersist among the arguments, so that the configuration's counts."""
    config = fleet.write("ssh_config", f"""\
        Host *
            ControlMaster auto
            ControlPersist 60
            ControlPath {fleet.plain_masters}/%h-%r
        """)  # fmt: skip
    fleet.environ["ANSIBLE_SSH_ARGS"] = f"-F {config}"
    run = fleet.session([reach("who")])
    assert run.rc == 0
    assert run.stdout_of("who") == everywhere(fleet)


@pytest.mark.parametrize("name", ["%h-%r", "%p-%r", "%%C"])
def test_a_control_path_in_the_ssh_arguments_is_refused(fleet: Fleet, name: str) -> None:
    fleet.environ["ANSIBLE_SSH_ARGS"] += f" -o ControlPath={fleet.plain_masters}/{name}"
    run = fleet.session([reach("who")])
    assert run.rc == 2
    assert run.status("who") == {}
    assert all("ControlPath" in reason for reason in run.failures().values())


@pytest.mark.parametrize("name", ["sftp_extra_args", "scp_extra_args"])
def test_arguments_that_lead_files_elsewhere_are_refused(fleet: Fleet, name: str) -> None:
    fleet.inventory["fleet"]["vars"][f"ansible_{name}"] = "-oHostName=127.0.0.9"
    run = fleet.session([reach("who")])
    assert run.rc == 2
    assert run.status("who") == {}
    assert all(f"{name} holds HostName" in reason for reason in run.failures().values())


@pytest.mark.parametrize(
    ("ssh_args", "common_args", "named"),
    [
        ("-o Port=9", "", "Port=9"),
        ("-Cp9", "", "Port=9"),
        ("", "-o HostName=127.0.0.9", "HostName=127.0.0.9"),
        ("", "-o 'hostname 127.0.0.9'", "HostName=127.0.0.9"),
        ("127.0.0.9", "", "127.0.0.9"),
    ],
)
def test_ssh_arguments_that_lead_elsewhere_are_refused(
    fleet: Fleet, ssh_args: str, common_args: str, named: str
) -> None:
    """The first one counts, and what the session sets comes after C(ssh_args)."""
    fleet.environ["ANSIBLE_SSH_ARGS"] += f" {ssh_args}"
    fleet.inventory["fleet"]["vars"]["ansible_ssh_common_args"] = common_args
    run = fleet.session([reach("who")])
    assert run.rc == 2
    assert run.status("who") == {}
    assert all(named in reason for reason in run.failures().values())


def test_ssh_arguments_that_come_too_late_to_lead_elsewhere(fleet: Fleet) -> None:
    fleet.inventory["fleet"]["vars"]["ansible_ssh_common_args"] = "-o Port=9 -p 9"
    run = fleet.session([reach("who")])
    assert run.rc == 0
    assert run.stdout_of("who") == everywhere(fleet)


@pytest.mark.each_api
def test_an_ssh_service_that_is_answered_as_a_web_service(fleet: Fleet) -> None:
    fleet.inventory["fleet"]["hosts"]["pi-0002"] |= fleet.plain_way("pi-0003")
    override = {"connection": {"reverseProxy": "true"}}
    fleet.simulator.fault(fleet.services[1], call="connect", fault="body", override=override)
    run = fleet.session([reach("who")])
    assert run.stdout_of("who").get("pi-0002") in ("pi-0002", "", None)


@pytest.mark.each_api
def test_each_host_has_its_own_settings(fleet: Fleet) -> None:
    fleet.inventory["fleet"]["hosts"]["pi-0001"]["remoteit_session_hostip"] = "0.0.0.0"
    fleet.inventory["fleet"]["hosts"]["pi-0002"]["remoteit_session_host_key_checking"] = "strict"
    run = fleet.session([reach("who")])
    assert {c["device"]: c["restriction"] for c in run.connections} == {
        "pi-0001": "public",
        "pi-0002": fleet.restriction,
        "pi-0003": fleet.restriction,
    }
    assert list(run.failures()) == ["pi-0002"]
    assert "host key" in run.failures()["pi-0002"]


def test_a_folder_for_host_keys_that_is_not_there_is_named_before_any_request(fleet: Fleet) -> None:
    fleet.inventory["fleet"]["vars"]["remoteit_session_known_hosts"] = f"{fleet.folder}/nowhere/known_hosts"
    run = fleet.session([reach("who")])
    assert run.rc == 2
    assert run.requests == []
    assert "remoteit_session_known_hosts" in run.text


def test_a_condition_that_leaves_out_the_first_host_is_explained(fleet: Fleet) -> None:
    fleet.write("on_the_devices.yml", [reach("who")])
    role = {
        "role": "remoteit.fleet.remoteit_session",
        "vars": {"remoteit_session_tasks": "on_the_devices.yml"},
        "when": "inventory_hostname != 'pi-0001'",
    }
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, "roles": [role]}])
    assert run.rc == 2
    assert run.status("who") == dict.fromkeys(run.status("who"), "skipped")
    assert "there is no session for pi-0002" in run.text
    assert run.connections == []


LIE = """\
#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule(argument_spec={"facts": {"type": "dict", "default": {}}})
module.exit_json(changed=False, ansible_facts=module.params["facts"])
"""


@pytest.mark.every_engine
@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_a_device_chooses_neither_its_service_nor_who_may_use_its_proxy(fleet: Fleet, strategy: str) -> None:
    """By facts, which any module's answer may bring and which beat the inventory; nothing is opened for it."""
    fleet.write("library/lie.py", LIE)
    facts = {
        "remoteit_deviceaddress": fleet.services[1],
        "remoteit_session_hostip": "0.0.0.0",
        "remoteit_session_known_hosts": str(fleet.project / "of-the-device"),
    }
    liar = {"hosts": "pi-0002", "connection": "local", "gather_facts": False, "tasks": [{"lie": {"facts": facts}}]}
    fleet.write("on_the_devices.yml", [reach("who")])
    role = {"role": "remoteit.fleet.remoteit_session", "remoteit_session_tasks": "on_the_devices.yml"}
    session = {"hosts": "fleet", "gather_facts": False, "strategy": strategy, "roles": [role]}
    run = fleet.run([liar, session])
    assert run.rc == 2
    assert list(run.failures()) == ["pi-0002"]
    assert "remoteit_deviceaddress, remoteit_session_hostip" in run.failures()["pi-0002"]
    assert run.stdout_of("who") == {"pi-0001": "pi-0001", "pi-0003": "pi-0003"}
    assert sorted(c["deviceaddress"] for c in run.connections) == [fleet.services[0], fleet.services[2]]
    assert not (fleet.project / "of-the-device").exists()


@pytest.mark.parametrize("value", [0, "many"])
def test_a_device_does_not_say_how_many_calls_are_made(fleet: Fleet, value: Any) -> None:
    """It is the first, whose variables count for what is done once for all."""
    fleet.write("library/lie.py", LIE)
    lie = {"lie": {"facts": {"remoteit_session_concurrency": value}}, "delegate_to": "localhost"}
    run = fleet.session([{**lie, "when": "inventory_hostname == 'pi-0001'"}, reach("who")])
    assert run.rc == 0
    assert run.stdout_of("who") == everywhere(fleet)
    liar = {"hosts": "pi-0001", "connection": "local", "gather_facts": False, "tasks": [lie]}
    fleet.write("on_the_devices.yml", [reach("who")])
    role = {"role": "remoteit.fleet.remoteit_session", "remoteit_session_tasks": "on_the_devices.yml"}
    run = fleet.run([liar, {"hosts": "fleet", "gather_facts": False, "roles": [role]}])
    assert list(run.failures()) == ["pi-0001"]
    assert run.stdout_of("who") == {"pi-0002": "pi-0002", "pi-0003": "pi-0003"}


@pytest.mark.every_engine
def test_a_device_does_not_keep_the_fleet_open(fleet: Fleet) -> None:
    """With a private variable of the role as a fact C(close) would leave everything to the end of the run."""
    fleet.write("library/lie.py", LIE)
    lie = {
        "lie": {"facts": {"remoteit_session__main": True, "remoteit_session__force_handlers": True}},
        "delegate_to": "localhost",
    }
    halves = [
        {"import_role": {"name": "remoteit.fleet.remoteit_session", "tasks_from": half}} for half in ("open", "close")
    ]
    look = {"url": f"{fleet.simulator.state['control_url']}/connections"}
    tasks = [
        halves[0],
        lie,
        halves[1],
        {"name": "look", "ansible.builtin.uri": look, "delegate_to": "localhost", "run_once": True},
    ]
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, "tasks": tasks}])
    assert run.rc == 0
    ours = {entry["connectionid"] for entry in run.connections}
    assert len(ours) == 3
    seen = run.result("look", "pi-0001")["json"]
    assert not any(entry["open"] for entry in seen if entry["connectionid"] in ours)


@pytest.mark.every_engine
def test_the_tasks_find_modules_beside_the_playbook(fleet: Fleet) -> None:
    fleet.write("library/lie.py", LIE)
    run = fleet.session([{"name": "ask", "lie": {}, "delegate_to": "localhost"}])
    assert run.rc == 0
    assert len(run.entries("ask")) == 3
