# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets: nowhere but in the requests."""

from __future__ import annotations

import contextlib
import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Fleet

TASKS = [
    {"name": "who", "ansible.builtin.raw": "cat device-name"},
    {"name": "vars", "ansible.builtin.debug": {"var": "remoteit_connection"}},
    {
        "name": "elsewhere",
        "remoteit.fleet.remoteit_connect": {"deviceaddress": "{{ remoteit_deviceaddress }}", "reuse": False},
        "delegate_to": "gateway",
        "register": "opened",
    },
    {"name": "here", "remoteit.fleet.remoteit_disconnect": {"connections": "{{ opened }}"}},
    {
        "name": "refused",
        "remoteit.fleet.remoteit_connect": {"deviceaddress": "80:00:00:00:01:FF:FF:F1"},
        "ignore_errors": True,
    },
]


class Watch:
    """Looks at every process and at every file of the run, again and again."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.found: set[tuple[str, str]] = set()
        self.keepers = 0
        self.ledgers = 0

    def __call__(self) -> None:
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().decode(errors="replace")
                self._look(words.replace("\0", " "), words)
                if "_keeper_main.py" in words and str(self._fleet.home) in (environment := self._environment(folder)):
                    self.keepers += 1
                    self._look("the keeper's environment", environment)
        for folder in (self._fleet.state, self._fleet.runtime):
            with contextlib.suppress(OSError):  # they come and go
                for path in folder.rglob("*"):
                    if path.is_file():
                        self.ledgers += path.suffix == ".jsonl"
                        self._look(str(path), path.read_text(errors="replace"))
                        assert path.stat().st_mode & 0o077 == 0 or path.name == "lock", path

    @staticmethod
    def _environment(folder: Path) -> str:
        return (folder / "environ").read_bytes().decode(errors="replace")

    def _look(self, where: str, text: str) -> None:
        self.found.update((where, secret) for secret in self._fleet.secrets_in(text))


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize(
    ("api", "source"),
    [
        *itertools.product(["rest"], ["environment", "options", "login"]),
        *itertools.product(["graphql"], ["environment", "options", "file"]),
    ],
)
def test_secrets_are_nowhere(fleet: Fleet, source: str) -> None:
    """At -vvvv: neither on the screen nor in results, arguments of processes, files, or the keeper's environment."""
    state = fleet.simulator.state
    fleet.inventory["fleet"]["hosts"].pop("pi-0003")
    fleet.inventory["gateways"] = {"hosts": {"gateway": fleet.plain_way("pi-0005")}}
    play: dict[str, Any] = {"hosts": "fleet", "gather_facts": False}
    options: dict[str, str] = {}
    if source == "file":
        keys = {"R3_ACCESS_KEY_ID": "access_key_id", "R3_SECRET_ACCESS_KEY": "secret_access_key"}
        lines = [f"{name}={state[key]}\n" for name, key in keys.items()]
        options = {"credentials_file": str(fleet.write("secrets.ini", "".join(["[DEFAULT]\n", *lines])))}
    elif source != "environment":
        names = {
            "rest": ("token", "developer_key") if source == "options" else ("username", "password", "developer_key"),
            "graphql": ("access_key_id", "secret_access_key"),
        }[fleet.api]
        fleet.write("secrets.yml", {f"the_{name}": state[name] for name in names})
        play["vars_files"] = ["secrets.yml"]
        options = {name: f"{{{{ the_{name} }}}}" for name in names}
    if options:
        for name in fleet.credentials:
            if not name.endswith("_URL"):
                del fleet.environ[name]
        play["module_defaults"] = {"group/remoteit.fleet.remoteit": options}
    fleet.write("on_the_devices.yml", TASKS)
    variables = {"remoteit_session_tasks": "on_the_devices.yml", "remoteit_session_gather_facts": True}
    play["roles"] = [{"role": "remoteit.fleet.remoteit_session", "vars": variables}]
    watch = Watch(fleet)
    run = fleet.run([play], "-vvvv", while_running=watch)
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices[:2]}
    assert set(run.status("elsewhere").values()) == {"changed"}
    assert len(run.connections) == 4
    assert watch.keepers > 0
    assert watch.ledgers > 0
    assert watch.found == set()
    left = [path for path in fleet.folder.rglob("*") if path.is_file() and path.stem != "secrets"]
    assert [path for path in left if fleet.secrets_in(path.read_text(errors="replace"))] == []
    for device in (*fleet.devices, "pi-0005"):
        home = fleet.simulator.home(device)
        files = [path for path in home.rglob("*") if path.is_file()] if home.exists() else []
        assert [path for path in files if fleet.secrets_in(path.read_text(errors="replace"))] == []
