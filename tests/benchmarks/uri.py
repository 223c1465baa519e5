# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the role with tasks of ``ansible.builtin.uri`` for each host, which is what people write without it."""

from __future__ import annotations

import typing as t

from benchmarks.fleet import UNCHECKED
from benchmarks.report import UNCHECKED_ROLE, Report
from benchmarks.testbed import Setup, Testbed, start_testbed
from support import Simulator

#: The setups that find the best number of forks.
CHOICE = (Setup(50, 5, 1.0), Setup(50, 20, 1.0), Setup(50, 50, 1.0))
#: The setups that are measured with it.
MAIN, FAST = Setup(200, 0, 1.0), Setup(50, 0, 0.3)
#: The parallel calls of the role.
WIDTH = 64


class Seconds(t.NamedTuple):
    """The seconds of the tasks that open and close."""

    uri: float
    role: float


def main(report: Report, choice: t.Sequence[Setup] = CHOICE, others: t.Sequence[Setup] = (MAIN, FAST)) -> None:
    found: dict[Setup, Seconds] = {}
    with start_testbed(max(setup.hosts for setup in (*choice, *others))) as testbed:
        for setup in choice:
            found[setup] = compare(testbed, setup)
        best = min(choice, key=lambda setup: found[setup].uri).forks
        for setup in (each._replace(forks=best) for each in others):
            found[setup] = compare(testbed, setup)
    setup, seconds = max(found.items(), key=lambda item: item[0].hosts)
    what = f"{setup.hosts} hosts, {setup.latency:g} s, open and close: the best uri for each host ÷ {UNCHECKED_ROLE}"
    report.goal(what, [seconds.uri / seconds.role], 8, at_least=True)
    report.table(
        "Calls by uri",
        f"Seconds to open and close connections. The role makes {WIDTH} calls at once. The best number of forks is that"
        f" of the fastest of the first {len(choice)} rows.",
        ["hosts", "forks", "latency", "uri for each host", UNCHECKED_ROLE, "÷ role"],
        [
            [*(f"{number:g}" for number in setup), [seconds.uri], [seconds.role], [seconds.uri / seconds.role]]
            for setup, seconds in found.items()
        ],
    )


def compare(testbed: Testbed, setup: Setup) -> Seconds:
    testbed.simulator.settings(latency=setup.latency)
    inventory = testbed.plugin_inventory(setup.hosts, remoteit_concurrency=WIDTH)
    seconds = [
        sum(entry["seconds"] for entry in testbed.task_times(testbed.playbook(inventory, tasks, forks=setup.forks)))
        for tasks in (uri_tasks(testbed.simulator), UNCHECKED)
    ]
    assert not testbed.simulator.open_connections()
    return Seconds(*seconds)


def uri_tasks(simulator: Simulator) -> list[dict[str, t.Any]]:
    """Return the tasks that open and close the connection of a host."""
    connectionid = {"connectionid": "{{ opened.json.connection.connectionid }}"}
    return [
        call(simulator, "/device/connect", {"wait": "true"}, register="opened"),
        call(simulator, "/device/connect/stop", connectionid),
    ]


def call(simulator: Simulator, path: str, body: dict[str, str], **more: t.Any) -> dict[str, t.Any]:
    """Return a task that calls the API."""
    state = simulator.state
    return {
        "ansible.builtin.uri": {
            "url": state["api_url"] + path,
            "method": "POST",
            "headers": {"developerkey": state["developer_key"], "token": state["token"]},
            "body_format": "json",
            "body": {"deviceaddress": "{{ remoteit_deviceaddress }}", **body},
        },
        "delegate_to": "localhost",
        **more,
    }
