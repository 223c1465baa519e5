# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The features of a play that a session has to live with."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Fleet

OPEN = {"include_role": {"name": "remoteit.fleet.remoteit_session", "tasks_from": "open"}, "tags": ["always"]}
CLOSE = {"include_role": {"name": "remoteit.fleet.remoteit_session", "tasks_from": "close"}, "tags": ["always"]}


def who(name: str = "who", **more: Any) -> dict[str, Any]:
    return {"name": name, "ansible.builtin.raw": "cat device-name", **more}


def everywhere(fleet: Fleet) -> dict[str, str]:
    return {device: device for device in fleet.devices}


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_check_mode_opens_and_changes_nothing_on_the_devices(fleet: Fleet, strategy: str) -> None:
    run = fleet.session(
        """\
        - {name: mode, ansible.builtin.debug: {msg: "{{ ansible_check_mode }}"}}
        - {name: copy, ansible.builtin.copy: {content: new, dest: checked.txt}, notify: restart}
        - {name: command, ansible.builtin.command: touch checked.txt}
        - {name: read, ansible.builtin.command: cat device-name, check_mode: false, changed_when: false}
        """,
        "--check",
        play={"strategy": strategy, "handlers": [{"name": "restart", "ansible.builtin.command": "touch checked.txt"}]},
        remoteit_session_gather_facts=True,
    )
    assert run.rc == 0
    assert {str(result["msg"]) for result in run.results("mode").values()} == {"True"}
    assert set(run.status("copy").values()) == {"changed"}
    assert run.stdout_of("read") == everywhere(fleet)
    assert [(fleet.simulator.home(device) / "checked.txt").exists() for device in fleet.devices] == [False] * 3
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 3


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        (("--tags", "one"), {"one", "always"}),
        (("--skip-tags", "one"), {"two", "untagged", "always"}),
        (("--tags", "nothing"), {"always"}),
        (("--tags", "all"), {"one", "two", "untagged", "always"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_tags_choose_among_the_users_tasks_only(fleet: Fleet, arguments: tuple[str, ...], ran: set[str]) -> None:
    """The session is there whatever is chosen."""
    tasks = [who("one", tags=["one"]), who("two", tags=["two"]), who("untagged"), who("always", tags=["always"])]
    fleet.write("on_the_devices.yml", tasks)
    role = {"name": "remoteit.fleet.remoteit_session"}
    variables = {"remoteit_session_tasks": "on_the_devices.yml"}
    fleet.inventory["fleet"]["hosts"].pop("pi-0003")
    fleet.inventory["fleet"]["hosts"].pop("pi-0002")
    shapes: list[dict[str, Any]] = [
        {"roles": [{**role, "vars": variables, "tags": ["always"]}]},
        {"tasks": [{"include_role": role, "vars": variables, "tags": ["always"]}]},
        {"tasks": [{"import_role": role, "vars": variables}]},
        {"roles": [{**role, "vars": variables}]},
        {"pre_tasks": [OPEN], "tasks": tasks, "post_tasks": [CLOSE]},
    ]
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, **shape} for shape in shapes], *arguments)
    assert run.rc == 0
    names = ("one", "two", "untagged", "always")
    counts = {name: len([e for e in run.entries(name) if e["status"] == "changed"]) for name in names}
    handed_down = 0 if "--skip-tags" in arguments else 1  # a role in roles: hands its tags down to every task
    assert counts == {name: len(shapes) if name in ran else handed_down for name in names}
    assert len(run.connections) == len(shapes)
    assert {c["closed_by"] for c in run.connections} == {"stop"}


def test_serial_opens_and_closes_each_batch(fleet: Fleet) -> None:
    run = fleet.session([who()], play={"serial": 2})
    assert run.rc == 0
    assert run.stdout_of("who") == everywhere(fleet)
    calls = [(request["call"], request["deviceaddress"]) for request in run.requests]
    first, second = calls[:4], calls[4:]
    assert sorted(first) == sorted((call, service) for call in ("connect", "stop") for service in fleet.services[:2])
    assert second == [("connect", fleet.services[2]), ("stop", fleet.services[2])]


@pytest.mark.each_api
@pytest.mark.parametrize("strategy", ["linear", "free", "host_pinned"])
def test_open_and_close_under_every_strategy(fleet: Fleet, strategy: str) -> None:
    """With a failed host, one that is offline, and handlers while the devices can be reached."""
    fleet.simulator.device("pi-0003", online=False)
    play = {
        "hosts": "fleet",
        "gather_facts": False,
        "strategy": strategy,
        "pre_tasks": [OPEN],
        "tasks": [
            who(changed_when=True, notify="handler"),
            {"name": "fail", "ansible.builtin.raw": "false", "when": "inventory_hostname == 'pi-0002'"},
        ],
        "post_tasks": [CLOSE],
        "handlers": [who("handler")],
    }
    run = fleet.run([play, {"hosts": "localhost", "gather_facts": False, "tasks": []}])
    assert run.rc == 2
    assert run.stdout_of("who") == {device: device for device in ("pi-0001", "pi-0002")}
    assert run.stdout_of("handler") == {"pi-0001": "pi-0001"}
    assert sorted(run.failures()) == ["pi-0002", "pi-0003"]
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 2


def test_become(fleet: Fleet) -> None:
    """Of the play, and of a task; it reaches the device's sudo and not the controller's."""
    run = fleet.session(
        [who(), {"name": "command", "ansible.builtin.command": "printenv SUDO_USER USER"}],
        play={"become": True},
        remoteit_session_gather_facts=True,
    )
    assert run.rc == 0
    assert run.stdout_of("who") == everywhere(fleet)
    for device in fleet.devices:
        assert run.result("command", device)["stdout_lines"] == [fleet.simulator.state["ssh_user"], "root"]
        assert "root:" in (fleet.simulator.home(device) / "sudo.log").read_text()


def test_handlers_run_once_and_while_the_devices_can_be_reached(fleet: Fleet) -> None:
    """One of them fails on a device, whose further handlers do not run."""
    handlers = [
        who("notified"),
        {"name": "fails", "ansible.builtin.raw": "false"},
        who("listening", listen="topic"),
    ]
    run = fleet.session(
        [
            who(changed_when=True, notify=["notified", "topic"]),
            who("again", changed_when=True, notify=["notified"]),
            who("bad", changed_when="inventory_hostname == 'pi-0002'", notify="fails"),
        ],
        play={"handlers": handlers},
    )
    assert run.rc == 2
    assert list(run.failures()) == ["pi-0002"]
    assert run.stdout_of("notified") == everywhere(fleet)
    assert len(run.entries("notified")) == 3
    assert run.stdout_of("listening") == {device: device for device in ("pi-0001", "pi-0003")}
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 3


def test_limit_and_many_plays(fleet: Fleet) -> None:
    """The hosts that --limit leaves; and a second session of the same run."""
    fleet.write("on_the_devices.yml", [who()])
    role = {"role": "remoteit.fleet.remoteit_session", "vars": {"remoteit_session_tasks": "on_the_devices.yml"}}
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, "roles": [role]}] * 2, "--limit", "pi-0002")
    assert run.rc == 0
    assert [entry["result"]["stdout"].strip() for entry in run.entries("who")] == ["pi-0002"] * 2
    assert [c["deviceaddress"] for c in run.connections] == [fleet.services[1]] * 2
    assert run.recap == "opened 2, closed 2, left open 0"


def test_files_go_both_ways_without_pipelining(fleet: Fleet) -> None:
    fleet.environ["ANSIBLE_PIPELINING"] = "0"
    fleet.write("big.bin", "x" * 200_000)
    run = fleet.session(
        """\
        - ansible.builtin.copy: {src: "{{ playbook_dir }}/big.bin", dest: big.bin, mode: "0600"}
        - ansible.builtin.fetch: {src: device-name, dest: fetched/}
        - ansible.builtin.template: {src: "{{ playbook_dir }}/name.j2", dest: name.txt}
        """
        if fleet.write("name.j2", "{{ inventory_hostname }} {{ remoteit_deviceaddress }}")
        else ""
    )
    assert run.rc == 0
    for device, service in zip(fleet.devices, fleet.services, strict=True):
        home = fleet.simulator.home(device)
        assert (home / "big.bin").stat().st_size == 200_000
        assert (home / "name.txt").read_text() == f"{device} {service}"
        assert [path.read_text() for path in fleet.project.glob(f"fetched/{device}/**/device-name")] == [f"{device}\n"]


def taken_from_the_environment(fleet: Fleet) -> dict[str, str]:
    """The credentials, which the run's environment does not have any more."""
    return {name: fleet.environ.pop(name) for name in fleet.credentials if not name.endswith("_URL")}


@pytest.mark.each_api
def test_play_environment_holds_the_credentials(fleet: Fleet) -> None:
    """Task-level environment reaches the role's own calls."""
    secrets = taken_from_the_environment(fleet)
    fleet.write("secrets.yml", {"secrets": secrets})
    environment = {name: f"{{{{ secrets.{name} }}}}" for name in secrets}
    run = fleet.session(
        [who(environment=dict.fromkeys(secrets, "hidden"))],
        play={"vars_files": ["secrets.yml"], "environment": environment},
    )
    assert run.rc == 0
    assert run.stdout_of("who") == everywhere(fleet)
    assert len(run.connections) == 3


@pytest.mark.each_api
def test_module_defaults_of_the_group_reach_the_role(fleet: Fleet) -> None:
    secrets = {name.split("_", 1)[1].lower(): value for name, value in taken_from_the_environment(fleet).items()}
    fleet.write("secrets.yml", {"secrets": secrets})
    defaults = {"group/remoteit.fleet.remoteit": {name: f"{{{{ secrets.{name} }}}}" for name in secrets}}
    run = fleet.session([who()], play={"vars_files": ["secrets.yml"], "module_defaults": defaults})
    assert run.rc == 0
    assert run.stdout_of("who") == everywhere(fleet)
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 3
