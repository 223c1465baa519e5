# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated account, and a controller whose inventory contains its devices."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

from benchmarks.usage import Usage, output_of, usage_of
from support import SSH, Simulator

Tasks = list[dict[str, t.Any]]

ROOT = Path(__file__).resolve().parents[2]
#: The number of parallel API calls.
WIDTH = 16
#: A task with minimal work on the device.
RAW = {"name": "raw", "ansible.builtin.raw": "true"}
#: A replacement for ssh that only succeeds. It shows the options, and whether it can share connections, as ssh does.
STUB = """\
#!/bin/sh
case " $* " in *" -G "* | *" -V "*) exec ssh "$@" ;; *" -o ControlPersist ") exit ;; esac
"""
#: The arguments of ansible-core, without the user's configuration.
SSH_ARGS = "-C -o ControlMaster=auto -o ControlPersist=60s -F /dev/null"


class Setup(t.NamedTuple):
    """The number of hosts and forks, and the seconds that a connect call takes."""

    hosts: int
    forks: int
    latency: float


class Testbed:
    """Runs plays, and measures their cost.

    :ivar environment: the environment of the controller, with the variables that users set.
    """

    def __init__(self, directory: Path, devices: int) -> None:
        self.directory = directory
        self._masters = directory / "m"
        self.simulator = Simulator(directory, "--devices", str(devices))
        self.services = {
            service["device"]: service["deviceaddress"]
            for service in self.simulator.state["services"]
            if service["application"] == SSH
        }
        self.environment = {
            **controller_environment(directory),
            "REMOTEIT_API_URL": self.simulator.state["api_url"],
            "REMOTEIT_TOKEN": self.simulator.state["token"],
            "REMOTEIT_DEVELOPER_KEY": self.simulator.state["developer_key"],
        }

    @property
    def login(self) -> dict[str, t.Any]:
        """Return the host variables to log in to a device, with ``StrictHostKeyChecking=accept-new``."""
        trust = f"-o UserKnownHostsFile={self.directory}/known_hosts -o StrictHostKeyChecking=accept-new"
        return {
            "ansible_user": self.simulator.state["ssh_user"],
            "ansible_ssh_private_key_file": self.simulator.state["ssh_private_key_file"],
            "ansible_ssh_common_args": trust,
            "ansible_ssh_args": SSH_ARGS,
        }

    def inventory(self, name: str, hosts: dict[str, dict[str, t.Any]], **variables: t.Any) -> Path:
        """Write an inventory of these hosts, with variables for all of them."""
        path = self.directory / f"{name}.json"
        path.write_text(json.dumps({"all": {"hosts": hosts, "vars": {**self.login, **variables}}}))
        return path

    def stub(self, seconds: float = 0.0) -> dict[str, t.Any]:
        """Return the variable that replaces ssh, so that no device is reached.

        :param seconds: the time that a command takes.
        """
        path = self.directory / f"stub-ssh-{seconds:g}"
        path.write_text(STUB + (f"exec sleep {seconds:g}\n" if seconds else ""))
        path.chmod(0o700)
        return {"ansible_ssh_executable": str(path)}

    def plugin_inventory(self, devices: int, **variables: t.Any) -> Path:
        """Return an inventory of the first devices, which are reached through the connection plugin."""
        hosts = {name: {"remoteit_deviceaddress": self.services[name]} for name in list(self.services)[:devices]}
        ours = {"ansible_connection": "remoteit.fleet.ssh", "remoteit_concurrency": WIDTH}
        return self.inventory("plugin", hosts, **{**ours, **variables})

    def ssh_inventory(self, devices: int, **variables: t.Any) -> Path:
        """Return an inventory of the first devices, which ``ansible.builtin.ssh`` reaches at their ports.

        Devices have a port after their first use: without one, the replacement of ssh is needed. The control masters of
        an earlier run are ended.
        """
        self.end_masters()
        ports = {each["name"]: each["ssh_port"] or 22 for each in self.simulator.devices()}
        names = list(self.services)[:devices]
        hosts = {name: {"ansible_host": "127.0.0.1", "ansible_port": ports[name]} for name in names}
        theirs = {"ansible_connection": "ansible.builtin.ssh", "ansible_control_path_dir": str(self._masters)}
        return self.inventory("direct", hosts, **theirs, **variables)

    def end_masters(self) -> None:
        """End the control masters of ``ansible.builtin.ssh``."""
        for socket in self._masters.glob("*"):
            command = ["ssh", "-F", "/dev/null", "-o", f"ControlPath={socket}", "-O", "exit", "none"]
            subprocess.run(command, capture_output=True, check=False)

    def warm_up(self, devices: int) -> None:
        """Start the SSH servers of the devices, and record their host keys."""
        output_of(self.playbook(self.plugin_inventory(devices), [RAW], forks=20), self.environment, self.directory)
        output_of(self.playbook(self.ssh_inventory(devices), [RAW], forks=20), self.environment, self.directory)
        self.end_masters()

    def playbook(self, inventory: Path, tasks: Tasks, *, forks: int = 5, **keywords: t.Any) -> list[object]:
        """Return the command that runs tasks on all hosts of an inventory."""
        playbook = self.directory / "play.json"
        playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks, **keywords}]))
        return [command_path("ansible-playbook"), "-i", inventory, "-f", forks, playbook]

    def usage(self, command: t.Sequence[object]) -> Usage:
        """Run a command, and return its cost."""
        return usage_of(command, self.environment, self.directory)

    def play(self, devices: int, tasks: Tasks, *, forks: int = 5, **keywords: t.Any) -> Usage:
        """Run a play on the first devices, and return its cost. ``keywords`` are added to the play."""
        return self.usage(self.command(devices, tasks, forks=forks, **keywords))

    def command(self, devices: int, tasks: Tasks, *, forks: int = 5, **keywords: t.Any) -> list[object]:
        return self.playbook(self.plugin_inventory(devices), tasks, forks=forks, **keywords)

    def task_times(self, command: t.Sequence[object], **environment: str) -> list[dict[str, t.Any]]:
        """Run a playbook, and return the entries of the callback ``stopwatch``, one for each task."""
        tasks = self.directory / "tasks"
        tasks.write_text("")
        stopwatch = {
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).with_name("callback_plugins")),
            "ANSIBLE_CALLBACKS_ENABLED": "stopwatch",
            "BENCHMARK_TASKS": str(tasks),
            "BENCHMARK_HOME": str(self.directory),
        }
        output_of(command, {**self.environment, **stopwatch, **environment}, self.directory)
        return [json.loads(line) for line in tasks.read_text().splitlines()]

    def ad_hoc(self, inventory: Path, *, forks: int) -> list[object]:
        """Return the command that runs one task on all hosts of an inventory, without a playbook."""
        return [command_path("ansible"), "all", "-i", inventory, "-f", forks, "-m", "raw", "-a", "true"]

    def simulator_processor_seconds(self) -> float:
        """Return the processor time of the simulator."""
        fields = Path(f"/proc/{self.simulator.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close_all(self) -> None:
        """Close all connections that a benchmark has left open."""
        for entry in self.simulator.open_connections():
            self.simulator.stop(entry)


def controller_environment(home: Path) -> dict[str, str]:
    """Return the environment of a controller, without the settings of the user that runs the benchmarks."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(home)}


def alternate(number: int, first: str, second: str) -> tuple[str, str]:
    """Return the order of two measurements, which is another one in each repeat, as the first one can be slower."""
    return (second, first) if number % 2 else (first, second)


@contextlib.contextmanager
def start_testbed(devices: int) -> t.Iterator[Testbed]:
    with tempfile.TemporaryDirectory(prefix="remoteit-bench-") as directory:
        made = Testbed(Path(directory), devices)
        try:
            yield made
        finally:
            made.end_masters()
            made.simulator.end()


def command_path(name: str) -> Path:
    """Return the path of a command of this Python's ansible-core."""
    return Path(sys.executable).with_name(name)
