# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ordinary tasks through a session, against the same tasks by direct SSH to the same devices."""

from __future__ import annotations

import json
import os
import statistics
import sys
import typing as t

from benchmarks.lab import Lab, Tasks, lab, tool
from benchmarks.report import Report

HOSTS, FORKS, ROUNDS, REPEATS, SIZE = 5, 5, 4, 2, 1_000_000
SSH_ARGS = "-C -o ControlMaster=auto -o ControlPersist=60s -F /dev/null"

TASKS: Tasks = [
    {"name": "ping", "ansible.builtin.ping": None},
    {"name": "command", "ansible.builtin.command": "uname -a"},
    {"name": "copy of 1 MB", "ansible.builtin.copy": {"src": "blob", "dest": "{{ ansible_play_name }}"}},
]

#: The seconds of each task in one run, by the way in which it went.
Times = dict[str, dict[str, float]]


def main(report: Report) -> None:
    with lab(HOSTS) as laboratory:
        run(laboratory, [*session("open"), *plays("session", 0), *session("close")])  # the devices start, and are known
        repeats = [run(laboratory, rounds()) for _unused in range(REPEATS)]
    show(report, repeats)


def rounds() -> list[dict[str, t.Any]]:
    """Plays by turns on the one and on the other way; the first of each finds no SSH master, and does not count."""
    found = [*session("open"), *plays("session", 0), *plays("direct", 0)]
    for number in range(1, ROUNDS + 1):
        ways = ("session", "direct") if number % 2 else ("direct", "session")
        found += [play for way in ways for play in plays(way, number)]
    return [*found, *session("close")]


def plays(way: str, number: int) -> list[dict[str, t.Any]]:
    return [{"name": f"{way}-{number}", "hosts": way, "gather_facts": False, "tasks": TASKS}]


def session(half: str) -> list[dict[str, t.Any]]:
    opening = {"import_role": {"name": "remoteit.fleet.remoteit_session", "tasks_from": half}}
    return [{"hosts": "session", "gather_facts": False, "tasks": [opening]}]


def run(laboratory: Lab, playbook: list[dict[str, t.Any]]) -> Times:
    """Run the plays; the median of each task's times, of the plays that count."""
    folder = laboratory.folder
    (folder / "blob").write_bytes(os.urandom(SIZE))  # another one than the devices have
    for name, content in (("inventory.json", inventory(laboratory)), ("play.json", playbook)):
        (folder / name).write_text(json.dumps(content))
    command = [tool("ansible-playbook"), "-i", "inventory.json", "-f", FORKS, "play.json"]
    times: dict[str, dict[str, list[float]]] = {}
    for entry in laboratory.task_times(command, ANSIBLE_SSH_ARGS=SSH_ARGS):
        way, _unused, number = entry["play"].partition("-")
        if number not in ("", "0"):
            times.setdefault(way, {}).setdefault(entry["task"], []).append(entry["seconds"])
    return {way: {name: statistics.median(each) for name, each in named.items()} for way, named in times.items()}


def inventory(laboratory: Lab) -> dict[str, t.Any]:
    """Each device twice: as a host of a session, and as one that is reached at its own port, once that is known."""
    services = laboratory.services
    ports = {name: laboratory.simulator.device(name)["ssh_port"] for name in services}
    known_hosts = laboratory.folder / "known_hosts"
    direct = {f"direct-{name}": {"ansible_host": "127.0.0.1", "ansible_port": port} for name, port in ports.items()}
    trust = f"-o UserKnownHostsFile={known_hosts}.direct -o StrictHostKeyChecking=accept-new"
    login = {
        "ansible_user": laboratory.simulator.state["ssh_user"],
        "ansible_ssh_private_key_file": laboratory.simulator.state["ssh_private_key_file"],
        "ansible_python_interpreter": sys.executable,
        "remoteit_session_known_hosts": str(known_hosts),
        "remoteit_session_host_key_checking": "accept-new",
    }
    return {
        "all": {"vars": login},
        "session": {"hosts": {name: {"remoteit_deviceaddress": service} for name, service in services.items()}},
        "direct": {"hosts": direct, "vars": {"ansible_ssh_common_args": trust}},
    }


def show(report: Report, repeats: list[Times]) -> None:
    def each(way: str, name: str) -> list[float]:
        return [1000 * times[way][name] for times in repeats]

    def whole(way: str) -> list[float]:
        return [1000 * sum(times[way].values()) for times in repeats]

    ratios = [ours / theirs for ours, theirs in zip(whole("session"), whole("direct"), strict=True)]
    report.goal("task through a session ÷ direct ssh", ratios, 1.05)
    rows = []
    for name in (task["name"] for task in TASKS):
        ours, theirs = each("session", name), each("direct", name)
        rows.append([name, ours, theirs, [a / b for a, b in zip(ours, theirs, strict=True)]])
    report.table(
        "Ordinary tasks",
        f"Milliseconds of a task on {HOSTS} devices at {FORKS} forks, by turns in one run; the medians of {ROUNDS}"
        f" rounds, {REPEATS} repeats.",
        ["", "through a session", "direct ssh", "ratio"],
        [*rows, ["together", whole("session"), whole("direct"), ratios]],
    )
