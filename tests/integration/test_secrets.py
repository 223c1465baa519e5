# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets are nowhere but in the requests."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import CONNECT, Fleet, play, role_play, themselves, who
from termination_table import is_product

TASKS: list[dict[str, Any]] = [
    who(),
    {"name": "facts", "ansible.builtin.setup": {"gather_subset": ["!all", "env"]}},
    {"name": "refused", CONNECT: {"deviceaddress": "80:00:00:00:01:FF:FF:F1"}, "ignore_errors": True},
    {
        "name": "open",
        CONNECT: {"deviceaddress": "{{ remoteit_deviceaddress }}", "reuse": False},
        "register": "opened",
    },
    {"name": "close", "remoteit.fleet.remoteit_disconnect": {"connections": "{{ opened }}"}},
    {"name": "hosts", CONNECT: {"hosts": ["{{ inventory_hostname }}"]}},
]


class Watch:
    """Searches every process and every file of the run, again and again."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.found: set[tuple[str, str]] = set()
        self.keepers = 0
        self.ledgers = 0

    def __call__(self) -> None:
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (directory / "cmdline").read_bytes().decode(errors="replace")
                self._look(words.replace("\0", " "), words)
                if "_keeper/process.py" in words and str(self._fleet.home) in (
                    environment := self._environment(directory)
                ):
                    self.keepers += 1
                    self._look("the keeper's environment", environment)
        for directory in (self._fleet.state, self._fleet.runtime):
            with contextlib.suppress(OSError):  # they come and go
                for path in directory.rglob("*"):
                    if path.is_file():
                        self.ledgers += path.suffix == ".jsonl"
                        self._look(str(path), path.read_text(errors="replace"))
                        assert path.stat().st_mode & 0o077 == 0 or path.name == "lock", path

    @staticmethod
    def _environment(directory: Path) -> str:
        return (directory / "environ").read_bytes().decode(errors="replace")

    def _look(self, where: str, text: str) -> None:
        self.found.update((where, secret) for secret in self._fleet.secrets_in(text))


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize(
    ("api", "source"),
    [
        ("rest", "environment"),
        ("rest", "login"),
        ("graphql", "file"),
        *([("rest", "variables"), ("graphql", "environment"), ("graphql", "variables")] if is_product() else []),
    ],
)
def test_secrets_are_nowhere(fleet: Fleet, source: str) -> None:
    """At ``-vvvv``: not on the screen, in results, arguments of processes, files, or the keeper's environment."""
    state = fleet.simulator.state
    fleet.use_devices(2)
    variables: dict[str, Any] = {}
    options: dict[str, str] = {}
    if source == "file":
        keys = {"R3_ACCESS_KEY_ID": "access_key_id", "R3_SECRET_ACCESS_KEY": "secret_access_key"}
        lines = [f"{name}={state[key]}\n" for name, key in keys.items()]
        options["credentials_file"] = str(fleet.write("secrets.ini", "".join(["[DEFAULT]\n", *lines])))
    elif source != "environment":
        names = {
            "rest": ("token", "developer_key") if source == "variables" else ("username", "password", "developer_key"),
            "graphql": ("access_key_id", "secret_access_key"),
        }[fleet.api]
        variables = {f"the_{name}": state[name] for name in names}
        options = {name: f"{{{{ the_{name} }}}}" for name in names}
    if options:
        for name in fleet.credentials:
            if not name.endswith("_URL"):
                del fleet.environ[name]
    fleet.write("secrets.yml", variables)
    fleet.inventory["fleet"]["vars"] |= {f"remoteit_{name}": value for name, value in options.items()}
    fleet.write("on_the_devices.yml", TASKS[:2])
    role = {"role": "remoteit.fleet.remoteit_session", "vars": {"remoteit_session_tasks": "on_the_devices.yml"}}
    common = {"hosts": "fleet", "gather_facts": False, "vars_files": ["secrets.yml"]}
    modules = [
        {**task, CONNECT: {**task[CONNECT], **options}} if task["name"] in ("refused", "open") else task
        for task in TASKS[2:]
    ]
    modules[2] = {**modules[2], "remoteit.fleet.remoteit_disconnect": {"connections": "{{ opened }}", **options}}
    watch = Watch(fleet)
    run = fleet.run([{**common, "roles": [role]}, {**common, "tasks": modules}], "-vvvv", while_running=watch)
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*fleet.devices)
    assert set(run.status("close").values()) == {"changed"}
    assert len(run.connections) == 6
    assert watch.keepers > 0
    assert watch.ledgers > 0
    assert watch.found == set()
    left = [path for path in fleet.directory.rglob("*") if path.is_file() and path.stem != "secrets"]
    assert [path for path in left if fleet.secrets_in(path.read_text(errors="replace"))] == []
    for device in fleet.devices:
        home = fleet.simulator.home(device)
        files = [path for path in home.rglob("*") if path.is_file()] if home.exists() else []
        assert [path for path in files if fleet.secrets_in(path.read_text(errors="replace"))] == []


@pytest.mark.every_engine
def test_config_dump_shows_no_secret(fleet: Fleet) -> None:
    """Every credential is in the environment of the command."""
    state = fleet.simulator.state
    names = ("username", "password", "token", "developer_key")
    fleet.environ |= {f"REMOTEIT_{name.upper()}": state[name] for name in names}
    fleet.environ |= {
        "R3_DEVELOPER_API_KEY": state["developer_key"],
        "R3_ACCESS_KEY_ID": state["access_key_id"],
        "R3_SECRET_ACCESS_KEY": state["secret_access_key"],
    }
    config = fleet.ansible_playbook.replace("ansible-playbook", "ansible-config")
    plugins = {"connection": ("remoteit.fleet.ssh", "api_timeout")}
    plugins["inventory"] = ("remoteit.fleet.services", "use_application")
    for kind, (plugin, option) in plugins.items():
        command = [config, "dump", "-t", kind, plugin]
        done = subprocess.run(
            command, cwd=fleet.project, env=fleet.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0
        assert option in done.stdout
        assert fleet.secrets_in(done.stdout, done.stderr) == []


@pytest.mark.every_engine
def test_secret_of_the_wrong_type_is_not_shown(fleet: Fleet) -> None:
    """A variable of each host is a list or a mapping, by mistake. The role gets one of each."""
    for name in fleet.credentials:
        del fleet.environ[name]
    state = fleet.simulator.state
    names = ("token", "developer_key", "access_key_id", "secret_access_key", "password")
    shapes: dict[str, Callable[[str], Any]] = {"list": lambda secret: [secret], "map": lambda secret: {"key": secret}}
    hosts: dict[str, Any] = {}
    for shape, mistake in shapes.items():
        for name in names:
            credentials = {f"remoteit_{other}": state[other] for other in ("token", "developer_key") if other != name}
            hosts[f"{shape}_{name}"] = {**credentials, f"remoteit_{name}": mistake(state[name])}
    hosts |= {"role_list": hosts["list_token"], "role_map": hosts["map_secret_access_key"]}
    for host, variables in hosts.items():
        fleet.write(f"host_vars/{host}.yml", {**variables, "remoteit_deviceaddress": fleet.services[0]})
    fleet.inventory["fleet"]["hosts"] = dict.fromkeys(hosts)
    fleet.write("on_the_devices.yml", [who("role")])
    plays = [play(who(ignore_unreachable=True), hosts="fleet:!role_*"), {**role_play(), "hosts": "role_*"}]
    run = fleet.run(plays, "-vvvv")  # its output is searched for secrets
    assert run.rc in (2, 4)
    assert {entry["status"] for entry in run.entries("who")} <= {"unreachable", "changed"}
    assert len(run.entries("who")) == 10
    assert run.failures() or run.entries("role")
