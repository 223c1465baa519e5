# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Situations from public bug reports of people who reach devices with other tools."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import socketserver
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import asyncssh
import pytest
from conftest import CONNECT, DISCONNECT, ROLE, Fleet, Run, one_line, play, raw, role_play, themselves, who
from support import TIMEOUT, wait_until
from test_termination import await_nothing_open, running

FIRST, SECOND, THIRD = ALL = ("pi-0001", "pi-0002", "pi-0003")


def session(**keywords: Any) -> dict[str, Any]:
    """Return a task that runs ``tasks.yml`` by the role."""
    variables = {"remoteit_session_tasks": "tasks.yml"}
    return {"name": "session", "ansible.builtin.include_role": {"name": ROLE}, "vars": variables, **keywords}


def leave_open(fleet: Fleet) -> None:
    """Leave a connection open after its run, and in a ledger: its stop failed."""
    fleet.simulator.inject_fault(call="stop", fault="http", status=500, times="always")
    fleet.ad_hoc(FIRST, "-m", "ansible.builtin.raw", "-a", "true", leaves_open=1)
    fleet.simulator.clear_faults()


@pytest.fixture
def leftover(fleet: Fleet) -> None:
    leave_open(fleet)


def test_teardown_tests_the_proxy_of_an_unknown_connection(fleet: Fleet) -> None:
    """Only a proxy that is gone shows that the API is right."""
    fleet.simulator.inject_fault(call="stop", fault="body", status=401, json={"status": "false"}, times="always")
    fleet.ad_hoc(FIRST, "-m", "ansible.builtin.raw", "-a", "true", leaves_open=1)
    run = fleet.run("remoteit.fleet.teardown")
    assert run.rc == 2
    assert "its proxy still responds" in run.text
    fleet.simulator.clear_faults()
    assert fleet.run("remoteit.fleet.teardown").rc == 0
    assert not fleet.simulator.open_connections()


def test_each_host_has_its_own_on_failure(fleet: Fleet) -> None:
    for device in (FIRST, SECOND):
        fleet.simulator.device(device, online=False)
    choice = "{{ 'skip' if inventory_hostname == 'pi-0001' else 'fail' }}"
    run = fleet.session([who()], remoteit_session_on_failure=choice)
    assert run.rc == 4
    assert run.status("who") == {SECOND: "unreachable", THIRD: "changed"}
    assert f"{FIRST} is skipped" in run.text


#: The address that each host restricts its proxy to, by a variable that only some hosts have.
ADDRESSES = {FIRST: "127.0.0.1", SECOND: "255.255.255.255"}


@pytest.mark.every_engine
@pytest.mark.parametrize(
    ("task", "way"),
    [
        *((session(), way) for way in ("include", "condition", "rescue", "loop")),
        *((who(), way) for way in ("include", "condition", "rescue")),
    ],
    ids=lambda value: value if isinstance(value, str) else value["name"],
)
def test_include_does_not_decide_for_hosts_that_do_not_run_it(fleet: Fleet, task: dict[str, Any], way: str) -> None:
    fleet.write("tasks.yml", [who()])

    def with_address(address: str) -> dict[str, Any]:
        return {**task, "vars": {**task.get("vars", {}), "remoteit_hostip": address}}

    own = {host: with_address(address) for host, address in ADDRESSES.items()}
    for host, address in ADDRESSES.items():
        fleet.inventory["fleet"]["hosts"][host]["addresses"] = [address]
        fleet.write(f"{host}.yml", [own[host]])
    failing = {"name": "fail", "ansible.builtin.fail": {}, "when": f"inventory_hostname == '{FIRST}'"}
    tasks: dict[str, list[dict[str, Any]]] = {
        "include": [{"name": "include", "ansible.builtin.include_tasks": "{{ inventory_hostname }}.yml"}],
        "condition": [{**each, "when": f"inventory_hostname == '{host}'"} for host, each in own.items()],
        "rescue": [{"name": "try", "block": [failing, own[SECOND]], "rescue": [own[FIRST]]}],
        "loop": [{**with_address("{{ item }}"), "loop": "{{ addresses }}"}],
    }
    run = fleet.run([play(*tasks[way], hosts=",".join(ADDRESSES))])
    assert run.rc == 0, run.text
    assert sorted((each["device"], each["hostip_sent"]) for each in run.connections) == sorted(ADDRESSES.items())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("-o Ciphers=3des-cbc", "no matching cipher"),
        ("-o StrictHostKeyCheking=no", "stricthostkeycheking"),
        ("-F /nonexistent/ssh_config", "/nonexistent/ssh_config"),
        ("-o ProxyCommand='/nonexistent/nc %h %p'", "The program in ProxyCommand cannot be executed"),
        ("-o ProxyCommand='nonexistent-nc %h %p'", "The program in ProxyCommand cannot be executed"),
        ("-o ProxyCommand='/etc/passwd %h %p'", "/etc/passwd: Permission denied"),
        ("-o ProxyCommand='ssh -F /nonexistent/config -W %h:%p jump'", "Can't open user config file"),
        ("-o ProxyCommand='ssh -F /dev/null -o Ciphers=nosuch -W %h:%p jump'", "Bad SSH2 cipher spec"),
        ("-o ProxyCommand='ssh -Z -W %h:%p jump'", "option -- Z"),
        ("-o ProxyCommand='ssh -p abc -W %h:%p jump'", "Bad port 'abc'"),
        ("-J nosuch.invalid", "Could not resolve hostname nosuch.invalid"),
        ("-o BindInterface=nope0", "ssh cannot connect from the address"),
        ("-6", "ssh cannot connect from the address"),
    ],
)
def test_ssh_that_can_never_work_fails_at_once(fleet: Fleet, arguments: str, reason: str) -> None:
    fleet.inventory["fleet"]["vars"]["ansible_ssh_extra_args"] = arguments
    fleet.inventory["fleet"]["vars"]["remoteit_wait_timeout"] = 600
    run = fleet.run([play(who())], "--limit", FIRST)
    assert run.status("who") == {FIRST: "unreachable"}
    assert reason in run.text
    assert sum(connection["uses"] for connection in run.connections) <= 1


def test_shell_of_a_proxy_command_does_not_translate_its_messages(fleet: Fleet) -> None:
    """Its translations do not depend on the locales of the system."""
    fleet.inventory["fleet"]["vars"] |= {
        "ansible_ssh_extra_args": "-o ProxyCommand='nonexistent-nc %h %p'",
        "remoteit_wait_timeout": 600,
    }
    environ = {"LANGUAGE": "de", "LC_ALL": "C.UTF-8", "SHELL": "/bin/bash"}
    run = fleet.run([play(who())], "--limit", FIRST, environ=environ)
    assert "The program in ProxyCommand cannot be executed" in run.message("who", FIRST)


def test_jump_host_that_can_never_work_replaces_no_connection(fleet: Fleet) -> None:
    """Other arguments have connected before."""
    wrong = {"ansible_ssh_extra_args": "-o ProxyCommand='ssh -p abc -W %h:%p jump'"}
    run = fleet.run([play(who(), raw("again", "true", vars=wrong))], "--limit", FIRST)
    assert run.stdout_of("who") == themselves(FIRST)
    assert run.status("again") == {FIRST: "unreachable"}
    assert "Bad port 'abc'" in run.message("again", FIRST)
    assert len(run.connections) == 1


@pytest.mark.parametrize("option", ["-J 127.0.0.1:9", "-o ProxyCommand='ssh -W %h:%p -p 9 127.0.0.1'"])
def test_jump_host_that_cannot_be_reached_is_named(fleet: Fleet, option: str) -> None:
    fleet.inventory["fleet"]["vars"]["ansible_ssh_extra_args"] = option
    fleet.inventory["fleet"]["vars"]["remoteit_wait_timeout"] = 1
    run = fleet.run([play(who())], "--limit", FIRST)
    assert run.status("who") == {FIRST: "unreachable"}
    assert "prints 'ssh: connect to host 127.0.0.1 port 9: Connection refused'" in run.text


def test_jump_host_that_the_proxies_refuse_is_named(fleet: Fleet) -> None:
    messages = ("channel 0: open failed: connect failed: Connection refused", "stdio forwarding failed")
    command = f"sh -c \"printf '%%s\\\\n' '{messages[0]}' '{messages[1]}' >&2\" %h %p"
    arguments = f"-o ProxyCommand={shlex.quote(command)}"
    fleet.inventory["fleet"]["vars"] |= {"ansible_ssh_extra_args": arguments, "remoteit_wait_timeout": 1}
    run = fleet.run([play(who())], "--limit", FIRST)
    assert run.status("who") == {FIRST: "unreachable"}
    assert "A jump host or a ProxyCommand failed" in run.message("who", FIRST)
    assert messages[0] in run.message("who", FIRST)


class SlowJumpHost(asyncssh.SSHServer):
    """Never answers a login."""

    def __init__(self, logins: list[str]) -> None:
        self._logins = logins

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._logins.append(username)
        await asyncio.sleep(TIMEOUT)
        return False


async def run_with_slow_jump_host(fleet: Fleet, logins: list[str]) -> Run:
    key = asyncssh.generate_private_key("ssh-ed25519")
    factory = partial(SlowJumpHost, logins)
    async with asyncssh.listen("127.0.0.1", 0, server_factory=factory, server_host_keys=[key]) as server:
        variables = fleet.inventory["fleet"]["vars"]
        config = fleet.write(
            "ssh_config",
            f"Host jump\nHostName 127.0.0.1\nPort {server.get_port()}\nUser ops\nStrictHostKeyChecking no\n"
            f"UserKnownHostsFile /dev/null\nIdentityFile {variables['ansible_ssh_private_key_file']}\n",
        )
        variables |= {"ansible_ssh_timeout": 3, "ansible_ssh_extra_args": f"-F {config} -J jump"}
        return await asyncio.to_thread(fleet.run, [play(who())], "--limit", FIRST)


def test_slow_login_to_a_jump_host_is_not_repeated(fleet: Fleet) -> None:
    """It could be a request on a phone, or lock the account. The second one shows what ssh was waiting for."""
    logins: list[str] = []
    run = asyncio.run(run_with_slow_jump_host(fleet, logins))
    assert run.status("who") == {FIRST: "unreachable"}
    assert logins == ["ops", "ops"]
    assert "ansible_ssh_timeout" in run.message("who", FIRST)


def terminate(fleet: Fleet, task: dict[str, Any], ready: Callable[[], Any], **variables: Any) -> None:
    """End a run by SIGTERM while a task waits for its devices. ansible-core 2.16 leaves its workers behind."""
    fleet.inventory["fleet"]["vars"] |= {"remoteit_wait_timeout": 600, **variables}
    fleet.write("play.yml", [play(task)])
    with running(fleet, [fleet.ansible_playbook, "-i", fleet.write_inventory(), "play.yml"]) as process:
        wait_until(ready)
        process.terminate()
        process.wait(TIMEOUT)
        await_nothing_open(fleet)


@pytest.mark.every_engine
def test_wait_for_a_device_ends_with_the_run(fleet: Fleet) -> None:
    terminate(
        fleet,
        who(),
        lambda: len(fleet.simulator.open_connections()) == len(ALL),
        ansible_ssh_extra_args="-J 127.0.0.1:9",
    )


@pytest.mark.every_engine
def test_module_that_waits_ends_with_the_run(fleet: Fleet) -> None:
    """It makes attempts until its own limit, each of which would start a keeper."""
    for device in fleet.devices:
        fleet.simulator.device(device, online=False)
    wait = {"name": "wait", "ansible.builtin.wait_for_connection": {"timeout": 600, "sleep": 1}}
    terminate(fleet, wait, lambda: len(fleet.simulator.requests("connect")) >= len(ALL))


@pytest.mark.every_engine
def test_jump_host_is_not_used_after_the_run(fleet: Fleet) -> None:
    fleet.use_devices(1)
    used = fleet.directory / "used"
    command = f'sh -c "echo again >>{used}; sleep 3" %h %p'
    terminate(fleet, who(), used.exists, ansible_ssh_extra_args=f"-o ProxyCommand='{command}'")
    assert used.read_text() == "again\n"


@pytest.mark.parametrize("response", [b"\x15\x03\x01\x00\x02\x02\x46", b"SSH-1.5-OpenSSH_1.2\r\n"])
def test_service_of_another_protocol_fails_at_once(fleet: Fleet, response: bytes) -> None:
    class Respond(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(response)

    fleet.inventory["fleet"]["vars"]["remoteit_wait_timeout"] = 600
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Respond) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        fleet.simulator.device(FIRST, ports={fleet.services[0]: server.server_address[1]})
        try:
            run = fleet.run([play(who())], "--limit", FIRST)
        finally:
            server.shutdown()
    assert run.status("who") == {FIRST: "unreachable"}
    assert "remoteit_service" in run.message("who", FIRST)
    assert [connection["uses"] for connection in run.connections] == [1]


def test_proxy_command_of_another_program_shows_its_reason(fleet: Fleet) -> None:
    """An unknown program may be right later, so the connection waits for it."""
    command = 'sh -c "echo no license is left >&2" %h %p'
    fleet.inventory["fleet"]["vars"]["ansible_ssh_extra_args"] = f"-o ProxyCommand='{command}'"
    fleet.inventory["fleet"]["vars"]["remoteit_wait_timeout"] = 1
    run = fleet.run([play(who())], "--limit", FIRST)
    assert run.status("who") == {FIRST: "unreachable"}
    assert "no license is left" in run.message("who", FIRST)
    assert "no message" not in run.message("who", FIRST)


def test_session_changes_no_variable(fleet: Fleet) -> None:
    shown = {
        "name": "shown",
        "ansible.builtin.debug": {"msg": "{{ ansible_port is defined }} {{ '-v' in ansible_ssh_common_args }}"},
    }
    fleet.write("tasks.yml", [who()])
    run = fleet.run([play(session(), shown)])
    assert {result["msg"] for result in run.results("shown").values()} == {"False False"}


def test_session_in_a_loop_is_quiet(fleet: Fleet) -> None:
    fleet.write("tasks.yml", [who()])
    run = fleet.run([play(session(loop=[1, 2]))])
    assert run.rc == 0
    assert "WARNING" not in run.text
    assert len(run.connections) == 6


def test_session_that_a_task_ends_is_closed_with_the_run(fleet: Fleet) -> None:
    fleet.write("tasks.yml", [who(), {"ansible.builtin.meta": "end_host"}])
    run = fleet.run([play(session(), who("later"))])
    assert run.rc == 0
    assert run.status("later") == {}
    assert [connection["closed_by"] for connection in run.connections] == ["stop"] * 3


def test_run_finds_files_beside_the_tasks_file(fleet: Fleet) -> None:
    """Roles and filters need a path, as the documentation shows."""
    fleet.write("templates/greeting.j2", "hello {{ 'x' | shout }}")
    fleet.write("files/name.txt", "world")
    fleet.write("roles/mine/tasks/main.yml", [who()])
    fleet.write(
        "filter_plugins/shout.py",
        "class FilterModule:\n    def filters(self):\n        return {'shout': str.upper}\n",
    )
    shown = "{{ lookup('ansible.builtin.template', 'greeting.j2') }} {{ lookup('ansible.builtin.file', 'name.txt') }}"
    fleet.write(
        "tasks.yml",
        [
            {"name": "shown", "ansible.builtin.debug": {"msg": shown}},
            {"name": "role", "ansible.builtin.include_role": {"name": "mine"}},
        ],
    )
    paths: dict[str, str | None] = {"ANSIBLE_ROLES_PATH": "roles", "ANSIBLE_FILTER_PLUGINS": "filter_plugins"}
    run = fleet.run("remoteit.fleet.run", "-e", "remoteit_session_tasks=tasks.yml", "--limit", FIRST, environ=paths)
    assert run.result("shown")["msg"] == "hello X world"
    assert run.stdout_of("who") == themselves(FIRST)


def test_environment_of_a_play_is_for_the_devices(fleet: Fleet) -> None:
    """The API is reached as from the controller, though the devices have another proxy and other certificates."""
    site = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment = {
        **site,
        "NO_PROXY": "",
        "no_proxy": "",
        "REQUESTS_CA_BUNDLE": "/nonexistent",
        "R3_ACCESS_KEY_ID": "x",
    }
    fleet.write("on_the_devices.yml", [who()])
    run = fleet.run([role_play(environment=environment)])
    assert run.stdout_of("who") == themselves(*ALL)


@pytest.mark.parametrize("name", ["REMOTEIT_STATE_DIR", "REMOTEIT_RUN_ID"])
@pytest.mark.usefixtures("leftover")
def test_environment_of_a_task_selects_no_ledgers(fleet: Fleet, name: str) -> None:
    """The state directory and the run are those of ansible-playbook."""
    fleet.environ["REMOTEIT_RUN_ID"] = "4711"
    close = {"name": "close", DISCONNECT: {"all": True}, "environment": {name: "other"}, "ignore_errors": True}
    info = {"name": "list", "remoteit.fleet.remoteit_connection_info": {}, "environment": {name: "other"}}
    same = {"name": "same", DISCONNECT: {"all": True}, "environment": {name: fleet.environ[name]}}
    run = fleet.on_localhost([close, {**info, "ignore_errors": True}, same])
    for task in ("close", "list"):
        assert run.result(task)["failure"]["code"] == "options"
        assert f"sets {name} to 'other'" in run.message(task)
    assert run.status("same") == {"localhost": "changed"}
    assert not fleet.simulator.open_connections()


@pytest.mark.every_engine
@pytest.mark.parametrize("value", [["on_the_devices.yml"], {"a": "b"}, 5])
def test_tasks_file_must_be_a_path(fleet: Fleet, value: Any) -> None:
    run = fleet.session([who()], remoteit_session_tasks=value)
    assert run.rc == 2
    assert "Set remoteit_session_tasks to the path of a tasks file" in run.text
    assert run.connections == []


def test_playbook_is_no_tasks_file(fleet: Fleet) -> None:
    fleet.write("on_the_devices.yml", [])
    run = fleet.session([{"name": "a play", "hosts": "fleet", "tasks": [who()]}])
    assert run.rc == 2
    assert "is a playbook" in run.text
    assert run.connections == []


@pytest.mark.every_engine
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("- ansible.builtin.import_playbook: site.yml\n", "is a playbook"),
        ("---\n-   hosts: fleet\n    tasks: []\n", "is a playbook"),
        ('[{"hosts": "fleet"}]', "is a playbook"),
        ('[\n  {\n    "hosts": "fleet"\n  }\n]', "is a playbook"),
        ('[\n    {\n        "name": "a play",\n        "hosts": "fleet"\n    }\n]', "is a playbook"),
        ("\ufeff%YAML 1.1\n---\n- hosts: fleet\n", "is a playbook"),
        ("---\r\n\r\n- hosts: fleet\r\n", "is a playbook"),
        ("- {hosts: fleet, tasks: []}\n", "is a playbook"),
        ("# night\n- {\n  name: a play,\n  hosts: fleet,\n}\n", "is a playbook"),
        ('[{"name": "a play", "hosts": "fleet", "become": true}]', "is a playbook"),
        ("# night\n-   name: a play\n\n    # all\n    hosts: fleet\n", "is a playbook"),
        ("---\n  - name: a play\n    become: true\n    hosts: fleet\n", "is a playbook"),
        ("- name: a play\n" + "  # a comment\n" * 40 + "  hosts: fleet\n", "is a playbook"),
        ("---\n# soon\n", "contains no tasks"),
        ("", "contains no tasks"),
        ("--- # tonight\n[]  # nothing yet\n...\n", "contains no tasks"),
        ("~", "contains no tasks"),
    ],
)
def test_tasks_file_without_tasks_fails_before_a_connection(fleet: Fleet, content: str, problem: str) -> None:
    fleet.write("on_the_devices.yml", content)
    run = fleet.run([role_play()])
    assert run.rc == 2
    assert f"on_the_devices.yml (remoteit_session_tasks) {problem}" in run.text
    assert "Warning: " not in run.text  # of Python, about the regular expressions
    assert run.connections == []


@pytest.mark.every_engine
@pytest.mark.parametrize(
    "content",
    [
        '[{"name": "who", "ansible.builtin.command": "cat device-name", "vars": {"hosts": true}}]',
        "- {name: who, ansible.builtin.command: cat device-name, vars: {hosts: !unsafe '{{ x }}'}}\n",
    ],
)
def test_tasks_file_in_flow_style(fleet: Fleet, content: str) -> None:
    fleet.write("on_the_devices.yml", content)
    run = fleet.run([role_play()])
    assert run.rc == 0, run.text
    assert len(run.connections) == len(ALL)


@pytest.mark.every_engine
def test_each_host_has_its_own_tasks_file(fleet: Fleet) -> None:
    """The file of the second host is missing, and the third one has none. They fail alone."""
    for device, name in zip(fleet.devices, ("on_the_devices.yml", "missing.yml", "")):
        fleet.inventory["fleet"]["hosts"][device]["remoteit_session_tasks"] = name
    fleet.write("on_the_devices.yml", [who()])
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, "roles": [ROLE]}])
    assert run.rc == 2
    assert run.stdout_of("who") == themselves(FIRST)
    assert "The tasks file missing.yml" in run.text
    assert "Set remoteit_session_tasks to the path of a tasks file" in run.text


@pytest.mark.every_engine
def test_unusable_tasks_file_of_a_later_host_fails_alone(fleet: Fleet) -> None:
    """The file of the second host contains no tasks, and that of the third one is a playbook."""
    for device, name in zip(fleet.devices, ("on_the_devices.yml", "empty.yml", "playbook.yml")):
        fleet.inventory["fleet"]["hosts"][device]["remoteit_session_tasks"] = name
    fleet.write("on_the_devices.yml", [who()])
    fleet.write("empty.yml", "--- # soon\n")
    fleet.write("playbook.yml", [play(who())])
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, "roles": [ROLE]}])
    assert run.rc == 2
    assert run.stdout_of("who") == themselves(FIRST)
    assert "empty.yml (remoteit_session_tasks) contains no tasks" in run.text
    assert "playbook.yml (remoteit_session_tasks) is a playbook" in run.text


@pytest.mark.parametrize("on_failure", ["fail", "skip"])
@pytest.mark.parametrize("missing", [ALL, ALL[1:]], ids=["all", "some"])
def test_missing_tasks_file_is_no_ignored_error(fleet: Fleet, missing: tuple[str, ...], on_failure: str) -> None:
    """The keyword of the play is for the tasks in the file."""
    for device in fleet.devices:
        name = "missing.yml" if device in missing else "on_the_devices.yml"
        variables = {"remoteit_session_tasks": name, "remoteit_session_on_failure": on_failure}
        fleet.inventory["fleet"]["hosts"][device] |= variables
    fleet.write("on_the_devices.yml", [raw("false", "false"), who()])
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, "ignore_errors": True, "roles": [ROLE]}])
    assert run.rc == 2
    assert "The tasks file missing.yml" in run.text
    reached = sorted({*ALL} - {*missing})
    assert run.status("false") == dict.fromkeys(reached, "ignored")
    assert run.stdout_of("who") == themselves(*reached)


#: As Jenkins sets it.
JOB_WITH_SPACES = ("-e", "remoteit_teardown_run_id=jenkins-Update kiosks-7")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--limit", "fleet"),
        ("--tags", "deploy"),
        ("--skip-tags", "always"),
        ("--skip-tags", "tagged,x"),
        JOB_WITH_SPACES,
    ],
)
@pytest.mark.usefixtures("leftover")
def test_teardown_closes_or_fails(fleet: Fleet, arguments: tuple[str, ...]) -> None:
    run = fleet.run("remoteit.fleet.teardown", *arguments, leaves_open=0)
    still_open = fleet.simulator.open_connections()
    assert run.rc != 0 or not still_open
    assert fleet.run("remoteit.fleet.teardown").rc == 0
    assert not fleet.simulator.open_connections()


@pytest.mark.parametrize("playbook", ["teardown", "status"])
@pytest.mark.usefixtures("leftover")
def test_wrong_state_directory_is_reported(fleet: Fleet, playbook: str) -> None:
    wrong = {"REMOTEIT_STATE_DIR": str(fleet.project / "ansible.cfg")}
    run = fleet.run(f"remoteit.fleet.{playbook}", environ=wrong)
    assert run.rc == 2
    assert "/ansible.cfg/runs' cannot be read: Not a directory. Check REMOTEIT_STATE_DIR" in run.text
    below = {"REMOTEIT_STATE_DIR": str(fleet.state / "runs")}
    run = fleet.run(f"remoteit.fleet.{playbook}", environ=below)
    assert run.rc == 0
    assert "/runs/runs' does not exist. Check REMOTEIT_STATE_DIR" in run.text
    assert "does not exist" not in fleet.run(f"remoteit.fleet.{playbook}").text


@pytest.mark.parametrize("playbook", ["teardown", "status"])
def test_ledgers_in_two_directories_are_reported(fleet: Fleet, playbook: str) -> None:
    """A run could not use the home of its user, and a teardown can."""
    fleet.environ.pop("REMOTEIT_STATE_DIR")
    fleet.environ["XDG_STATE_HOME"] = ""
    state = fleet.home / ".local" / "state"
    state.parent.mkdir(parents=True, exist_ok=True)
    state.touch()
    leave_open(fleet)
    run = fleet.run(f"remoteit.fleet.{playbook}")
    assert run.rc == 2
    assert f"the home '{fleet.home}' cannot be used" in run.text
    state.unlink()
    run = fleet.run(f"remoteit.fleet.{playbook}")
    fallback = str(fleet.tmp / f"remoteit-fleet-{os.getuid()}")
    assert run.rc == 2
    assert f"there are ledgers in '{fallback}' too" in run.text
    assert fleet.run("remoteit.fleet.teardown", environ={"REMOTEIT_STATE_DIR": fallback}).rc == 0
    assert not fleet.simulator.open_connections()


def test_state_directory_that_cannot_be_used_fails(fleet: Fleet) -> None:
    """Neither a run nor a teardown uses another directory."""
    fleet.environ.pop("REMOTEIT_STATE_DIR")
    fleet.environ["XDG_STATE_HOME"] = str(fleet.project / "ansible.cfg")
    run = fleet.run([play(who())])
    assert set(run.status("who").values()) == {"unreachable"}
    assert "Set REMOTEIT_STATE_DIR to a writable directory" in run.text
    assert not run.connections
    run = fleet.run("remoteit.fleet.teardown")
    assert run.rc == 2
    assert "cannot be read: Not a directory" in run.text


@pytest.mark.usefixtures("leftover")
def test_blank_run_id_is_refused(fleet: Fleet) -> None:
    tasks = [
        {"name": "close", DISCONNECT: {"run_id": " "}, "ignore_errors": True},
        {"name": "list", "remoteit.fleet.remoteit_connection_info": {"run_id": ""}, "ignore_errors": True},
    ]
    run = fleet.on_localhost(tasks)
    assert run.status("close") == run.status("list") == {"localhost": "ignored"}
    assert len(fleet.simulator.open_connections()) == 1


@pytest.mark.every_engine
@pytest.mark.usefixtures("leftover")
def test_teardown_ignores_an_empty_limit(fleet: Fleet) -> None:
    """A CI job passes a variable that is not set."""
    assert fleet.run("remoteit.fleet.teardown", "--limit", "").rc == 0
    assert not fleet.simulator.open_connections()


@pytest.mark.every_engine
@pytest.mark.usefixtures("leftover")
def test_teardown_ignores_the_timeout_of_tasks(fleet: Fleet) -> None:
    fleet.simulator.settings(stop_latency=2)
    assert fleet.run("remoteit.fleet.teardown", environ={"ANSIBLE_TASK_TIMEOUT": "1"}).rc == 0
    assert not fleet.simulator.open_connections()


@pytest.mark.every_engine
@pytest.mark.parametrize("native", ["0", "1"])
def test_teardown_of_a_job_with_an_underscore(fleet: Fleet, native: str) -> None:
    """Jinja2 evaluates its ID as an integer, if it may."""
    fleet.environ |= {"REMOTEIT_RUN_ID": "4711_1", "ANSIBLE_JINJA2_NATIVE": native}
    leave_open(fleet)
    assert fleet.run("remoteit.fleet.teardown", "-e", "remoteit_teardown_run_id=4711_1").rc == 0
    assert not fleet.simulator.open_connections()


@pytest.mark.every_engine
@pytest.mark.usefixtures("leftover")
def test_teardown_names_the_variable_of_an_empty_run_id(fleet: Fleet) -> None:
    run = fleet.run("remoteit.fleet.teardown", "-e", json.dumps({"remoteit_teardown_run_id": None}))
    assert run.rc == 2
    assert "remoteit_teardown_run_id" in run.text
    assert len(fleet.simulator.open_connections()) == 1


@pytest.mark.parametrize("run_id", [[], {}, ["a", "b"], True, 1e3])
@pytest.mark.usefixtures("leftover")
def test_run_id_of_a_wrong_type_is_refused(fleet: Fleet, run_id: Any) -> None:
    run = fleet.run("remoteit.fleet.teardown", "-e", json.dumps({"remoteit_teardown_run_id": run_id}))
    assert run.rc == 2
    assert len(fleet.simulator.open_connections()) == 1


@pytest.mark.usefixtures("leftover")
def test_teardown_with_a_wrong_id_names_the_runs_that_left_connections(fleet: Fleet) -> None:
    wrong_id = ("-e", "remoteit_teardown_run_id=4711")
    teardown = fleet.run("remoteit.fleet.teardown", *wrong_id, leaves_open=0)
    assert teardown.rc == 0
    [ledger] = fleet.ledgers()
    assert f"the run '4711' has left nothing open, but other ended runs have: {ledger.stem}." in teardown.text
    assert fleet.run("remoteit.fleet.teardown").rc == 0
    assert "other ended runs" not in fleet.run("remoteit.fleet.teardown", *wrong_id).text


NO_KEY = {"REMOTEIT_TOKEN": "0" * 32}
NO_API = {"REMOTEIT_API_URL": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("environ", "arguments"),
    [
        (NO_KEY, ()),
        (NO_API, ()),
        (NO_API, ("--limit", "kiosks")),
        ({}, ("-e", "remoteit_run_hosts=typo", "--limit", "fleet")),
        ({}, ("-e", f"remoteit_run_hosts={FIRST} {SECOND}")),
        ({}, ("-e", f"remoteit_run_hosts={FIRST}", "--limit", f"fleet:!{FIRST}")),
        ({}, ("-e", f"remoteit_run_hosts={FIRST}", "--limit", "@hosts.txt")),
        (NO_KEY, ("-e", "found=true", "-e", "remoteit_run_hosts=typo")),
        ({}, ("--skip-tags", "always")),
    ],
)
def test_run_is_red_without_hosts(fleet: Fleet, environ: dict[str, str | None], arguments: tuple[str, ...]) -> None:
    if environ:
        fleet.inventory = fleet.write("fleet.remoteit.yml", "plugin: remoteit.fleet.services\n")
    fleet.write("tasks.yml", [who()])
    fleet.write("hosts.txt", f"{SECOND}\n")
    run = fleet.run("remoteit.fleet.run", "-e", "remoteit_session_tasks=tasks.yml", *arguments, environ=environ)
    assert run.rc != 0
    assert ("A source of the inventory cannot be read" if environ else "No host of the inventory matches") in run.text
    assert not run.connections


UNREAD_SOURCES = {
    "dead API": "plugin: remoteit.fleet.services\napi_url: http://127.0.0.1:9\ngraphql_url: http://127.0.0.1:9\n",
    "typo": "plugin: remoteit.fleet.service\n",
    "encrypted": "$ANSIBLE_VAULT;1.1;AES256\n6162\n",
    "no YAML": "plugin: remoteit.fleet.services\n  tags_any: [a\n",
    "missing": "",
}


@pytest.mark.every_engine
@pytest.mark.parametrize("name", ["remote.it.yml", "inventory/fleet.yaml"])
def test_run_is_red_with_a_source_of_another_name(fleet: Fleet, name: str) -> None:
    (fleet.directory / "inventory").mkdir()
    fleet.write(name, "plugin: remoteit.fleet.services\n")
    fleet.write("tasks.yml", [who()])
    path = name if name == "remote.it.yml" else "inventory"
    run = fleet.run("remoteit.fleet.run", "-i", path, "-e", "remoteit_session_tasks=tasks.yml", "--limit", FIRST)
    assert run.rc != 0
    assert "A source of the inventory cannot be read, so that devices are missing." in run.text
    assert not run.connections


@pytest.mark.every_engine
@pytest.mark.parametrize("arguments", [(), ("--limit", FIRST)], ids=["all", "limit"])
@pytest.mark.parametrize("text", UNREAD_SOURCES.values(), ids=UNREAD_SOURCES)
def test_run_is_red_without_one_of_its_sources(fleet: Fleet, text: str, arguments: tuple[str, ...]) -> None:
    unread = fleet.directory / "another.remoteit.yml"
    if text:
        fleet.write(unread.name, text)
    fleet.write("tasks.yml", [who()])
    run = fleet.run("remoteit.fleet.run", "-i", str(unread), "-e", "remoteit_session_tasks=tasks.yml", *arguments)
    assert run.rc != 0
    if text in (UNREAD_SOURCES["dead API"], UNREAD_SOURCES["typo"], ""):
        assert "A source of the inventory cannot be read, so that devices are missing." in run.text
    assert not run.connections


def test_run_reads_all_kinds_of_sources(fleet: Fleet) -> None:
    fleet.inventory["fleet"]["hosts"] = {name: fleet.inventory["fleet"]["hosts"][name] for name in (FIRST, SECOND)}
    (fleet.directory / "sources").mkdir()
    source = "plugin: remoteit.fleet.services\ndevice: [pi-0003]\ngroup_prefix: !unsafe x\n"
    fleet.write("sources/live.remoteit.yml", source)
    fleet.write("sources/static.remoteit.yml", {"fleet": {"hosts": {THIRD: {"note": "x"}}}})
    arguments = ("-i", "sources", "-i", "pi-0003,", "-e", "remoteit_session_tasks=tasks.yml")
    fleet.write("tasks.yml", [who()])
    run = fleet.run("remoteit.fleet.run", *arguments)
    assert run.rc == 0, run.text
    assert run.stdout_of("who") == themselves(*ALL)


@pytest.mark.parametrize("limit", [f"@hosts.txt:!{FIRST}", f"{SECOND}, @empty.txt"])
def test_run_accepts_lists_and_files_of_hosts(fleet: Fleet, limit: str) -> None:
    """Extra variables of the user have no effect on the playbook."""
    fleet.write("tasks.yml", [who()])
    fleet.write("hosts.txt", f"  {SECOND}  \n\n")
    fleet.write("empty.txt", "")
    everyday = {
        "pattern": "x",
        "is_complete": False,
        "limit": 50,
        "found": [],
        "skipped": True,
        "usage": "x",
        "no_handlers": True,
    }
    extra = {**everyday, "remoteit_session_tasks": "tasks.yml", "remoteit_run_hosts": [FIRST, SECOND]}
    run = fleet.run("remoteit.fleet.run", "-e", json.dumps(extra), "--limit", limit)
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(SECOND)


# -- services of an organization, whose connections the list of the account's sessions lacks ---------------------------

organization = pytest.mark.parametrize("api", ["graphql"], ids=["GraphQL"])


@pytest.fixture
def service(fleet: Fleet) -> str:
    """Return the ID of a service that belongs to an organization."""
    return str(fleet.simulator.state["organisation"]["services"][0]["deviceaddress"])


@organization
def test_teardown_closes_an_unrecorded_connection_of_an_organization(fleet: Fleet, service: str) -> None:
    """The run and its keeper are killed while the connect call is on its way."""
    fleet.simulator.settings(latency=3)
    task = {CONNECT: {"deviceaddress": service}}
    playbook = fleet.write("play.yml", [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}])
    with running(fleet, [fleet.ansible_playbook, str(playbook)]) as process:
        wait_until(lambda: any(request["call"] == "connect" for request in fleet.simulator.requests()))
        os.kill(fleet.keepers()[0], signal.SIGKILL)
        assert process.wait(TIMEOUT) != 0
    wait_until(fleet.simulator.open_connections)
    assert fleet.run("remoteit.fleet.teardown").rc == 0
    assert fleet.simulator.open_connections() == []
    assert fleet.ledgers_left_open() == []


@organization
@pytest.mark.parametrize(
    ("message", "status"),
    [("internal server error", 200), ("Too many requests", 200), ("Permission denied", 200), ("Request Timeout", 408)],
)
def test_connection_of_an_organization_behind_an_error_is_closed(
    fleet: Fleet, service: str, message: str, status: int
) -> None:
    """The API opens the connection and responds with an error."""
    response = {"data": None, "errors": [{"message": message}]}
    fleet.simulator.inject_fault(service, call="connect", fault="body", json=response, status=status, create=True)
    run = fleet.on_localhost([{"name": "connect", CONNECT: {"deviceaddress": service}}])
    assert run.rc == 2
    assert run.result("connect")["failures"][service]["may_be_open"]
    assert "opened 1, closed 1" in run.text
    assert [connection["closed_by"] for connection in run.connections] == ["stop"]
    assert fleet.ledgers_left_open() == []


@organization
@pytest.mark.parametrize(("message", "status"), [("socket hang up", 200), ("Bad gateway", 502)])
def test_connection_that_opens_after_the_error_of_a_gateway_is_closed(
    fleet: Fleet, service: str, message: str, status: int
) -> None:
    """The run finds no session yet, and leaves the call to the teardown."""
    fleet.simulator.inject_fault(service, call="connect", fault="http", status=status, reason=message)
    run = fleet.on_localhost([{"name": "connect", CONNECT: {"deviceaddress": service}}])
    assert run.result("connect")["failures"][service]["may_be_open"]
    assert one_line(run.stderr).count("may have opened a connection") == 1
    assert "a connection may be open" not in one_line(run.stderr)
    assert len(fleet.ledgers()) == 1
    fleet.simulator.session_of("fleet@example.com", service)
    assert fleet.run("remoteit.fleet.teardown").rc == 0
    assert fleet.simulator.open_connections() == []
    assert fleet.ledgers_left_open() == []
