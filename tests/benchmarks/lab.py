# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated account and a controller whose inventory is its devices."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from benchmarks.usage import Usage, output_of, usage_of
from support import SSH, Simulator

Tasks = list[dict[str, t.Any]]

#: How many calls are under way at once.
WIDTH = 16
#: A task that does next to nothing on the device.
RAW = {"name": "raw", "ansible.builtin.raw": "true"}
#: Those of ansible-core, without the user's configuration.
SSH_ARGS = "-C -o ControlMaster=auto -o ControlPersist=60s -F /dev/null"


class Lab:
    """Runs plays and knows what they cost.

    :ivar environment: of the controller, in which nothing is set but what the collection's users set.
    """

    def __init__(self, folder: Path, devices: int) -> None:
        self.folder = folder
        self._masters = folder / "m"
        self.simulator = Simulator(folder, "--devices", str(devices))
        self.services = {
            service["device"]: service["deviceaddress"]
            for service in self.simulator.state["services"]
            if service["application"] == SSH
        }
        self.environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "REMOTEIT_API_URL": self.simulator.state["api_url"],
            "REMOTEIT_TOKEN": self.simulator.state["token"],
            "REMOTEIT_DEVELOPER_KEY": self.simulator.state["developer_key"],
        }

    @property
    def login(self) -> dict[str, t.Any]:
        """Host variables to log in to a device; its host key is recorded at first contact."""
        trust = f"-o UserKnownHostsFile={self.folder}/known_hosts -o StrictHostKeyChecking=accept-new"
        return {
            "ansible_user": self.simulator.state["ssh_user"],
            "ansible_ssh_private_key_file": self.simulator.state["ssh_private_key_file"],
            "ansible_ssh_common_args": trust,
            "ansible_ssh_args": SSH_ARGS,
        }

    def inventory(self, name: str, hosts: dict[str, dict[str, t.Any]], **variables: t.Any) -> Path:
        """Write an inventory of these hosts, with variables for all of them."""
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps({"all": {"hosts": hosts, "vars": {**self.login, **variables}}}))
        return path

    def by_plugin(self, devices: int, **variables: t.Any) -> Path:
        """Return an inventory of the first devices, which are reached through the connection plugin."""
        hosts = {name: {"remoteit_deviceaddress": self.services[name]} for name in list(self.services)[:devices]}
        ours = {"ansible_connection": "remoteit.fleet.ssh", "remoteit_concurrency": WIDTH}
        return self.inventory("plugin", hosts, **ours, **variables)

    def by_ssh(self, devices: int, **variables: t.Any) -> Path:
        """Return an inventory of the first devices, reached by C(ansible.builtin.ssh) at their own ports.

        Devices have a port after their first use. The masters of an earlier run are ended.
        """
        self.end_masters()
        ports = {each["name"]: each["ssh_port"] for each in self.simulator.devices()}
        names = list(self.services)[:devices]
        hosts = {name: {"ansible_host": "127.0.0.1", "ansible_port": ports[name]} for name in names}
        theirs = {"ansible_connection": "ansible.builtin.ssh", "ansible_control_path_dir": str(self._masters)}
        return self.inventory("direct", hosts, **theirs, **variables)

    def end_masters(self) -> None:
        """End the masters of C(ansible.builtin.ssh)."""
        for socket in self._masters.glob("*"):
            command = ["ssh", "-F", "/dev/null", "-o", f"ControlPath={socket}", "-O", "exit", "none"]
            subprocess.run(command, capture_output=True, check=False)

    def warm_up(self, devices: int) -> None:
        """Start the SSH servers of the devices, and record their host keys."""
        output_of(self.playbook(self.by_plugin(devices), [RAW], forks=20), self.environment, self.folder)
        output_of(self.playbook(self.by_ssh(devices), [RAW], forks=20), self.environment, self.folder)
        self.end_masters()

    def playbook(self, inventory: Path, tasks: Tasks, *, forks: int = 5, **keywords: t.Any) -> list[object]:
        """Return the command that runs tasks on all hosts of an inventory."""
        playbook = self.folder / "play.json"
        playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks, **keywords}]))
        return [tool("ansible-playbook"), "-i", inventory, "-f", forks, playbook]

    def play(self, devices: int, tasks: Tasks, *, forks: int = 5, **keywords: t.Any) -> Usage:
        """Run a play on the first so many devices of the fleet, which are the inventory.

        :param forks: the default is that of ansible-core.
        :param keywords: further ones of the play.
        """
        return usage_of(self.command(devices, tasks, forks=forks, **keywords), self.environment, self.folder)

    def command(self, devices: int, tasks: Tasks, *, forks: int = 5, **keywords: t.Any) -> list[object]:
        return self.playbook(self.by_plugin(devices), tasks, forks=forks, **keywords)

    def task_times(self, command: t.Sequence[object], **environment: str) -> list[dict[str, t.Any]]:
        """Run a playbook: C({play, task, seconds, processor}) of each task, on all hosts of its play together."""
        tasks = self.folder / "tasks"
        tasks.write_text("")
        stopwatch = {
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).with_name("callback_plugins")),
            "ANSIBLE_CALLBACKS_ENABLED": "stopwatch",
            "BENCHMARK_TASKS": str(tasks),
            "BENCHMARK_HOME": str(self.folder),
        }
        output_of(command, {**self.environment, **stopwatch, **environment}, self.folder)
        return [json.loads(line) for line in tasks.read_text().splitlines()]

    def ad_hoc(self, module: str, arguments: dict[str, t.Any]) -> Usage:
        """Run one module on the controller, without a playbook."""
        command = [tool("ansible"), "localhost", "-m", module, "-a", json.dumps(arguments)]
        return usage_of(command, self.environment, self.folder)

    def simulator_seconds(self) -> float:
        """What the simulator has used of the processor."""
        fields = Path(f"/proc/{self.simulator.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close_what_is_open(self) -> None:
        """For those who do not close what they open."""
        for entry in self.simulator.open_connections():
            self.simulator.stop(entry)


@contextlib.contextmanager
def lab(devices: int) -> t.Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="remoteit-bench-") as folder:
        made = Lab(Path(folder), devices)
        try:
            yield made
        finally:
            made.end_masters()
            made.simulator.end()


def within(seconds: float, most: int = 5) -> t.Iterator[int]:
    """Repeat something as often as it fits into so many seconds, but once at least."""
    begin = time.monotonic()
    for number in range(1, most + 1):
        yield number
        if (time.monotonic() - begin) * (number + 1) / number > seconds:
            return


def tool(name: str) -> Path:
    """A command of the ansible-core that belongs to this Python."""
    return Path(sys.executable).with_name(name)
