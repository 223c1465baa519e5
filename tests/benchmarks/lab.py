# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated account and a controller whose inventory is its devices."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from benchmarks.usage import Usage, output_of, usage_of
from support import SSH, Simulator

Tasks = list[dict[str, t.Any]]


class Lab:
    """Runs plays and knows what they cost.

    :ivar environment: of the controller, in which nothing is set but what the collection's users set.
    """

    def __init__(self, folder: Path, devices: int) -> None:
        self.folder = folder
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

    def play(self, devices: int, tasks: Tasks, *, forks: int = 5, **keywords: t.Any) -> Usage:
        """Run a play on the first so many devices of the fleet, which are the inventory.

        :param forks: the default is that of ansible-core.
        :param keywords: further ones of the play.
        """
        return usage_of(self.command(devices, tasks, forks=forks, **keywords), self.environment, self.folder)

    def command(self, devices: int, tasks: Tasks, *, forks: int = 5, **keywords: t.Any) -> list[object]:
        inventory, playbook = self.folder / "fleet.ini", self.folder / "play.json"
        lines = [f"{device} remoteit_deviceaddress={self.services[device]}" for device in list(self.services)[:devices]]
        inventory.write_text("\n".join(lines) + "\n")
        playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks, **keywords}]))
        return [tool("ansible-playbook"), "-i", inventory, "-f", forks, playbook]

    def task_times(self, command: t.Sequence[object], **environment: str) -> list[dict[str, t.Any]]:
        """Run a playbook: C({play, task, seconds}) of each task, on all hosts of its play together."""
        tasks = self.folder / "tasks"
        tasks.write_text("")
        stopwatch = {
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).with_name("callback_plugins")),
            "ANSIBLE_CALLBACKS_ENABLED": "stopwatch",
            "BENCHMARK_TASKS": str(tasks),
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
