# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slices of one job: several runs of the same playbook by ansible-runner, at once, as AWX starts them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Fleet, raw, role_play, themselves, who
from support import TIMEOUT, wait_until


class Slice:
    """A slice: a job with a private data directory, a home, and a part of the inventory.

    :param state: the directory of its ledgers; by default its own home.
    """

    def __init__(self, fleet: Fleet, job: int, devices: list[str], state: Path | None) -> None:
        self.fleet, self.devices = fleet, devices
        self.services = [fleet.simulator.service(device) for device in devices]
        self.data = fleet.directory / f"awx_{job}"
        self.home = self.data / "home"
        self.may_go_on = self.data / "go on"
        for name in ("project", "inventory", "home"):
            (self.data / name).mkdir(parents=True)
        hosts = {device: {"remoteit_deviceaddress": service} for device, service in zip(devices, self.services)}
        inventory = {"fleet": {"hosts": hosts, "vars": fleet.inventory["fleet"]["vars"]}}
        (self.data / "inventory" / "hosts.json").write_text(json.dumps(inventory))
        script = f"until [ -e '{self.may_go_on}' ]; do sleep 0.1; done"
        tasks = [who(), raw("wait", script, delegate_to="localhost", run_once=True), who("again")]
        (self.data / "project" / "site.yml").write_text(json.dumps([role_play()]))
        (self.data / "project" / "on_the_devices.yml").write_text(json.dumps(tasks))
        bin_folder = Path(fleet.ansible_playbook).parent
        self.environ = {
            **fleet.environ,
            "PATH": f"{bin_folder}:{fleet.environ['PATH']}",
            "HOME": str(self.home),
            "JOB_ID": str(job),
            "TEST_JOURNAL": str(self.data / "journal"),
            "REMOTEIT_STATE_DIR": str(state or self.home / "state"),
        }
        with (self.data / "out").open("w") as out:
            command = [bin_folder / "ansible-runner", "run", self.data, "-p", "site.yml", "--ident", str(job)]
            self.process = subprocess.Popen(command, env=self.environ, stdout=out, stderr=subprocess.STDOUT)

    def results(self, task: str) -> dict[str, str]:
        """Return the output of the task on each device, or its status."""
        journal = self.data / "journal"
        lines = journal.read_text().splitlines(keepends=True) if journal.exists() else []
        entries: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("\n")]
        return {
            entry["host"]: entry["result"].get("stdout", "").strip() or entry["status"]
            for entry in entries
            if entry["task"] == task
        }

    def await_devices(self) -> None:
        wait_until(lambda: len(self.results("who")) == len(self.devices) or self.process.poll() is not None)
        assert self.results("who") == themselves(*self.devices)

    def goes_on(self) -> int:
        """Let it work on to its end."""
        self.may_go_on.touch()
        return self.process.wait(TIMEOUT)

    def open(self) -> set[str]:
        """The connections to its devices that are open."""
        return {
            entry["connectionid"]
            for entry in self.fleet.simulator.open_connections()
            if entry["deviceaddress"] in self.services
        }

    def processes(self) -> dict[int, str]:
        mark = f"HOME={self.home}".encode()
        found = {}
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (directory / "environ").read_bytes().split(b"\0"):
                    words = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found[int(directory.name)] = words
        return found

    def is_killed(self, *, whole: bool) -> None:
        """SIGKILL: of everything that it is, as when its container is gone, or of the controller alone."""
        processes = self.processes()
        controller = min(pid for pid, words in processes.items() if self.fleet.ansible_playbook in words)
        # all at once, or the keeper would see the controller die and begin to close
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in processes if whole else [controller]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        self.process.wait(TIMEOUT)
        self.may_go_on.touch()  # for a module that outlives its worker

    def teardown(self) -> None:
        """The step that comes last, where this slice's ledgers are."""
        command = [self.fleet.ansible_playbook, "remoteit.fleet.teardown"]
        done = subprocess.run(
            [*command, "-e", f"remoteit_teardown_run_id={self.environ['JOB_ID']}"],
            env=self.environ, cwd=self.fleet.project, capture_output=True, text=True, check=False, timeout=TIMEOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def ledgers(self) -> list[Path]:
        return list(Path(self.environ["REMOTEIT_STATE_DIR"]).glob("runs/*"))


@contextlib.contextmanager
def slices(fleet: Fleet, *parts: list[str], shared: bool, at_once: bool = False) -> Iterator[list[Slice]]:
    """Slices that have reached their devices, and are at work at once.

    :param at_once: they open at the same time, and not one after the other.
    """
    made: list[Slice] = []
    try:
        for number, part in enumerate(parts):
            made.append(Slice(fleet, 41 + number, part, fleet.state if shared else None))
            if not at_once:
                made[-1].await_devices()
        for each in made:
            each.await_devices()
        yield made
        wait_until(lambda: not any(each.processes() for each in made))
        assert [ledger for each in made for ledger in each.ledgers()] == []
        assert fleet.simulator.open_connections() == []
    finally:
        for each in made:
            for pid in each.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            each.process.wait()
            text = (each.data / "out").read_text()
            print(text)
            assert not fleet.secrets_in(text)


@pytest.mark.every_engine
@pytest.mark.parametrize("killed", ["whole", "controller"])
def test_killed_slice_leaves_the_other_one_alone(fleet: Fleet, killed: str) -> None:
    """Both keep their ledgers in one directory."""
    whole = killed == "whole"
    devices = [f"pi-{number:04}" for number in range(1, 5)]
    with slices(fleet, devices[:2], devices[2:], shared=True) as (dead, alive):
        before = alive.open()
        assert (len(dead.open()), len(before)) == (2, 2)
        dead.is_killed(whole=whole)
        if whole:
            assert len(dead.open()) == 2  # no process is left that could close them
        else:
            wait_until(lambda: not dead.open())
        alive.teardown()  # it is running, so nothing is closed
        dead.teardown()
        assert dead.open() == set()
        assert alive.open() == before
        assert alive.goes_on() == 0
        assert alive.results("again") == themselves(*alive.devices)


@pytest.mark.each_api
@pytest.mark.parametrize(("way", "shared"), [("reuse", False), ("override", True)])
def test_slices_of_the_same_devices(fleet: Fleet, way: str, shared: bool) -> None:
    """Whatever the vendor does with a second connection to a service, a slice reaches its devices again."""
    fleet.simulator.settings(second_connect=way)
    devices = ["pi-0001", "pi-0002"]
    with slices(fleet, devices, devices, shared=shared) as both:
        for each in both:
            assert each.goes_on() == 0
            assert each.results("again") == themselves(*devices)


def test_slices_share_a_rate_limit(fleet: Fleet) -> None:
    """The slices start at the same time. Every device is reached, although the API refuses most calls at first."""
    fleet.simulator.settings(rate_limit=1)
    devices = [f"pi-{number:04}" for number in range(1, 5)]
    with slices(fleet, devices[:2], devices[2:], shared=True, at_once=True) as both:
        for each in both:
            assert each.goes_on() == 0
            assert each.results("again") == themselves(*each.devices)
        refused = [entry for entry in fleet.simulator.requests("connect") if entry["status"] == 429]
        assert refused
        assert len(fleet.simulator.requests("connect")) == len(refused) + len(devices)
