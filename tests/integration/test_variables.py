# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host variables: a session leads ssh to the proxy and back, wherever the user's own settings come from."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from conftest import Fleet, Run, SshCall

OPEN = {"include_role": {"name": "remoteit.fleet.remoteit_session", "tasks_from": "open"}}
CLOSE = {"include_role": {"name": "remoteit.fleet.remoteit_session", "tasks_from": "close"}}


def look(when: str) -> dict[str, Any]:
    """Ask the machine that is reached for its name."""
    command = f"echo {when}-{{{{ inventory_hostname }}}} >/dev/null; cat device-name"
    return {"name": when, "ansible.builtin.raw": command}


def plays(play: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Before, during and after a session, in its play and in another one."""
    common = {"hosts": "fleet", "gather_facts": False, **(play or {})}
    return [
        {**common, "tasks": [look("before"), OPEN, look("during"), CLOSE, look("after")]},
        {**common, "tasks": [look("later")]},
    ]


def calls(run: Run, host: str) -> dict[str, SshCall]:
    return {when: run.ssh(f"{when}-{host} ") for when in ("before", "during", "after", "later")}


def assert_led_there_and_back(run: Run, host: str, own: str, device: str, service: str) -> None:
    """The host was C(own) before and after, and the service's device during the session."""
    assert run.rc == 0
    reached = {when: run.result(when, host)["stdout"].strip() for when in ("before", "during", "after", "later")}
    assert reached == {"before": own, "during": device, "after": own, "later": own}
    call = calls(run, host)
    assert call["after"].arguments == call["before"].arguments
    assert call["later"].arguments == call["before"].arguments
    assert call["before"].options("HostKeyAlias") == []
    during = call["during"]
    assert during.options("HostKeyAlias") == [f"remoteit-{service.lower().replace(':', '-')}"]
    assert during.options("Port") != call["before"].options("Port")
    assert during.destination == "127.0.0.1"
    assert "no" not in during.options("StrictHostKeyChecking")
    assert during.options("ControlPath") != call["before"].options("ControlPath")


@pytest.fixture
def own(fleet: Fleet) -> dict[str, Any]:
    """Variables of a machine that is reached in the ordinary way: another one than that of the service."""
    fleet.record_ssh()
    return fleet.plain_way("pi-0005")


def test_inventory_host_vars_group_vars(fleet: Fleet, own: dict[str, Any]) -> None:
    """And extra variables that do not stand in the way."""
    address = {name: own[name] for name in ("ansible_host", "ansible_port", "ansible_ssh_common_args")}
    devices = dict(zip(("by_inventory", "by_host_vars", "by_group_vars"), fleet.devices, strict=True))
    hosts = {name: {"remoteit_deviceaddress": fleet.simulator.service(device)} for name, device in devices.items()}
    hosts["by_inventory"].update(address)
    fleet.write("host_vars/by_host_vars.yml", address)
    by_template = {"ansible_port": "{{ the_port }}", "the_port": own["ansible_port"]}
    fleet.write("group_vars/grouped/ssh.yml", {**address, **by_template})
    fleet.inventory["fleet"]["hosts"] = hosts
    fleet.inventory["grouped"] = {"hosts": {"by_group_vars": {}}}
    run = fleet.run(plays(), "-e", "ansible_ssh_extra_args=-oBatchMode=yes")
    for name, device in devices.items():
        assert_led_there_and_back(run, name, "pi-0005", device, hosts[name]["remoteit_deviceaddress"])
        call = calls(run, name)
        for when in call:
            assert call[when].options("BatchMode") == ["yes"]
            # the user's own come first, and the first one counts
            assert call[when].options("UserKnownHostsFile")[0].endswith("plain_known_hosts")


def test_variables_of_the_play_and_of_the_command_line(fleet: Fleet, own: dict[str, Any]) -> None:
    login = fleet.simulator.state["ssh_user"]
    for name in ("ansible_user", "ansible_ssh_private_key_file"):
        del fleet.inventory["fleet"]["vars"][name]
    variables = {name: own[name] for name in ("ansible_host", "ansible_port")}
    key = {"ansible_ssh_private_key_file": own["ansible_ssh_private_key_file"]}
    run = fleet.run(
        plays({"vars": {**variables, **key}}),
        f"--ssh-common-args={own['ansible_ssh_common_args']}",
        "-e", f"ansible_user={login}",
    )  # fmt: skip
    for device, service in zip(fleet.devices, fleet.services, strict=True):
        assert_led_there_and_back(run, device, "pi-0005", device, service)
        for call in calls(run, device).values():
            assert call.options("User") == [f"{login}"]
            assert call.options("UserKnownHostsFile")[0].endswith("plain_known_hosts")


def test_a_host_that_only_its_name_leads_to(fleet: Fleet, own: dict[str, Any]) -> None:
    """Without ansible_host, and with host key checking switched off by the user: the session checks all the same."""
    fleet.environ["ANSIBLE_HOST_KEY_CHECKING"] = "false"
    fleet.inventory["fleet"]["hosts"] = {"127.0.0.1": {"remoteit_deviceaddress": fleet.services[0]}}
    fleet.inventory["fleet"]["vars"]["ansible_port"] = own["ansible_port"]
    fleet.environ["ANSIBLE_SSH_COMMON_ARGS"] = own["ansible_ssh_common_args"]
    run = fleet.run(plays())
    assert_led_there_and_back(run, "127.0.0.1", "pi-0005", "pi-0001", fleet.services[0])
    assert "no" in calls(run, "127.0.0.1")["after"].options("StrictHostKeyChecking")


def test_after_main_a_later_play_finds_hosts_as_before(fleet: Fleet, own: dict[str, Any]) -> None:
    """The role as a whole, with its tasks file; with a failed host, and one that is offline."""
    fleet.inventory["fleet"]["vars"].update(own)
    fleet.simulator.device("pi-0003", online=False)
    failing = {"name": "fail", "ansible.builtin.raw": "false", "when": "inventory_hostname == 'pi-0002'"}
    fleet.write("on_the_devices.yml", [failing])
    role = {"role": "remoteit.fleet.remoteit_session", "vars": {"remoteit_session_tasks": "on_the_devices.yml"}}
    run = fleet.run(
        [
            {"hosts": "fleet", "gather_facts": False, "tasks": [look("before")]},
            {"hosts": "fleet", "gather_facts": False, "roles": [role]},
            {
                "hosts": "pi-0001",
                "gather_facts": False,
                "tasks": [{**look(f"later-{device}"), "delegate_to": device} for device in fleet.devices],
            },
        ]
    )
    assert run.rc == 2
    for device in fleet.devices:
        before, later = run.ssh(f"before-{device} "), run.ssh(f"later-{device}-")
        assert later.arguments == before.arguments
        assert run.result(f"later-{device}")["stdout"].strip() == "pi-0005"


def test_a_host_that_cannot_be_opened_again_is_led_back_all_the_same(fleet: Fleet) -> None:
    """What led to a connection that is gone may lead to anybody."""
    fleet.inventory["fleet"]["hosts"]["pi-0002"].update(ansible_host="own.example", ansible_port=2222)
    control = fleet.simulator.state["control_url"]
    changes = {"clock": {"advance": 30000}, "devices": {"name": "pi-0002", "online": False}}
    going = [
        {"ansible.builtin.uri": {"url": f"{control}/{what}", "method": "POST", "body_format": "json", "body": body}}
        for what, body in changes.items()
    ]
    address = {"name": "address", "ansible.builtin.debug": {"msg": "{{ ansible_host }} {{ ansible_port }}"}}
    args = {"name": "args", "ansible.builtin.debug": {"msg": "{{ ansible_ssh_common_args | default('none', true) }}"}}
    devices = {"hosts": "fleet", "gather_facts": False, "vars": {"remoteit_session_on_failure": "skip"}}
    run = fleet.run(
        [
            {**devices, "tasks": [OPEN]},
            {"hosts": "localhost", "gather_facts": False, "tasks": going},
            {**devices, "tasks": [OPEN, look("again"), CLOSE]},
            {**devices, "hosts": "pi-0002", "tasks": [address, args]},
        ]
    )
    assert run.rc == 0
    assert sorted(run.status("again")) == ["pi-0001", "pi-0003"]
    assert run.result("address")["msg"] == "own.example 2222"
    assert run.result("args")["msg"] == "none"


def test_jump_host_of_the_user(fleet: Fleet) -> None:
    """A user's own ProxyJump, through another device, leads to the proxy as well."""
    jump = fleet.simulator.connect("pi-0005")
    config = fleet.write("ssh_config", f"""\
        Host jump
            HostName {jump["host"]}
            Port {jump["port"]}
            User {fleet.simulator.state["ssh_user"]}
            IdentityFile {fleet.simulator.state["ssh_private_key_file"]}
            UserKnownHostsFile {fleet.folder}/plain_known_hosts
            StrictHostKeyChecking accept-new
        """)  # fmt: skip
    fleet.environ["ANSIBLE_SSH_ARGS"] = "-o ControlMaster=auto -o ControlPersist=60s"
    fleet.inventory["fleet"]["vars"]["ansible_ssh_common_args"] = f"-F {config} -o ProxyJump=jump"
    used = fleet.simulator.connections(jump["deviceaddress"])[-1]["uses"]
    run = fleet.session([{"name": "who", "ansible.builtin.raw": "cat device-name"}])
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices}
    assert fleet.simulator.connections(jump["deviceaddress"])[-1]["uses"] >= used + 3
    assert len(fleet.known_hosts.read_text().splitlines()) == 3


ROLE = {"name": "remoteit.fleet.remoteit_session", "tasks_from": "open"}
ELSEWHERE = {"ansible_host": "127.0.0.9", "ansible_port": 9}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        *itertools.product(["extra", "role"], ["ansible_host", "ansible_port", "ansible_ssh_common_args"]),
        *itertools.product(["include_role", "include_tasks"], ["ansible_host"]),
    ],
)
def test_what_would_override_the_session_is_named_before_any_request(fleet: Fleet, source: str, name: str) -> None:
    """Never the wrong machine."""
    fleet.write("on_the_devices.yml", [{"name": "never", "ansible.builtin.raw": "true"}])
    fleet.write("with_open.yml", [{"include_role": ROLE}, {"name": "never", "ansible.builtin.raw": "true"}])
    value = {**ELSEWHERE, "ansible_ssh_common_args": "-v"}[name]
    main = {"role": "remoteit.fleet.remoteit_session", "remoteit_session_tasks": "on_the_devices.yml"}
    play: dict[str, Any] = {"hosts": "fleet", "gather_facts": False}
    arguments = []
    if source == "extra":
        play["roles"], arguments = [main], ["-e", f"{name}={value}"]
    elif source == "role":
        play["roles"] = [{**main, name: value}]
    elif source == "include_role":
        play["tasks"] = [{"include_role": ROLE, "vars": {name: value}}]
    else:
        play["tasks"] = [{"include_tasks": "with_open.yml", "vars": {name: value}}]
    run = fleet.run([play], *arguments)
    assert run.rc == 2
    assert run.requests == []
    assert run.status("never") == {}
    assert run.failures()
    assert all(name in reason for reason in run.failures().values())


@pytest.mark.parametrize(
    ("own", "gather_facts"),
    [
        ("StrictHostKeyChecking=no", False),
        ("StrictHostKeyChecking=no", True),
        ("StrictHostKeyChecking=No", False),
        ("UserKnownHostsFile=/dev/null", False),
    ],
)
def test_a_host_key_checking_of_the_users_own_is_warned_of(fleet: Fleet, own: str, gather_facts: bool) -> None:
    fleet.inventory["fleet"]["vars"]["ansible_ssh_common_args"] = f"-o {own}"
    run = fleet.session([look("during")], remoteit_session_gather_facts=gather_facts)
    assert run.rc == 0
    assert "ssh takes the first" in " ".join(run.text.split())


def test_a_host_key_checking_of_the_users_own_that_is_the_same_is_none(fleet: Fleet) -> None:
    fleet.inventory["fleet"]["vars"]["ansible_ssh_common_args"] = "-o StrictHostKeyChecking=accept-new"
    run = fleet.session([look("during")])
    assert run.rc == 0
    assert "ssh takes the first" not in " ".join(run.text.split())


def test_another_connection_plugin_is_refused(fleet: Fleet) -> None:
    fleet.inventory["fleet"]["vars"]["ansible_connection"] = "local"
    run = fleet.session([{"name": "never", "ansible.builtin.raw": "true"}])
    assert run.rc == 2
    assert run.status("never") == {}
    assert all("ansible_connection" in reason for reason in run.failures().values())


def test_include_vars_do_not_override_the_session(fleet: Fleet) -> None:
    fleet.write("elsewhere.yml", {"ansible_port": 9})
    run = fleet.run(
        [{"hosts": "fleet", "gather_facts": False, "tasks": [{"include_vars": "elsewhere.yml"}, OPEN, look("during")]}]
    )
    assert run.rc == 0
    assert run.stdout_of("during") == {device: device for device in fleet.devices}


def test_delegate_to_another_host_of_the_fleet_reaches_that_one(fleet: Fleet) -> None:
    fleet.inventory["fleet"]["vars"]["other"] = "{{ others[inventory_hostname] }}"
    run = fleet.session(
        [
            {"name": "other", "ansible.builtin.raw": "cat device-name", "delegate_to": "{{ other }}"},
            {"name": "here", "ansible.builtin.raw": "echo controller", "delegate_to": "localhost"},
        ],
        "-e", str({"others": dict(zip(fleet.devices, fleet.devices[1:] + fleet.devices[:1], strict=True))}),
    )  # fmt: skip
    assert run.rc == 0
    assert run.stdout_of("other") == {"pi-0001": "pi-0002", "pi-0002": "pi-0003", "pi-0003": "pi-0001"}
    assert set(run.stdout_of("here").values()) == {"controller"}
