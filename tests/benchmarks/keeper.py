# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare API calls through the keeper with the same calls without a keeper, in a process without Ansible."""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path

from benchmarks.report import Report
from benchmarks.testbed import Testbed, alternate, start_testbed
from benchmarks.usage import output_of

HOSTS, LATENCY, REPEATS = 200, 0.3, 4


def main(report: Report, hosts: int = HOSTS, repeats: int = REPEATS) -> None:
    found: dict[str, list[dict[str, float]]] = {"keeper": [], "direct": []}
    with start_testbed(hosts) as testbed:
        testbed.simulator.settings(latency=LATENCY)
        for number in range(repeats):
            for name in alternate(number, *found):
                found[name].append(child(testbed, name))
    through, direct = ([sum(times.values()) for times in found[name]] for name in ("keeper", "direct"))
    shares = [100 * (with_it - without) / with_it for with_it, without in zip(through, direct, strict=True)]
    report.goal("keeper's share of open and close", shares, 3, unit="%")
    rows = [
        [
            step,
            *([times[step] for times in found[name]] for name in ("keeper", "direct")),
        ]
        for step in ("start", "open", "close", "end")
    ]
    report.table(
        "The keeper",
        f"Seconds to open and close {hosts} connections at {LATENCY} s a connect, through the keeper and without it;"
        f" {repeats} repeats. The share is of all four steps.",
        ["", "through the keeper", "without a keeper"],
        [*rows, ["all", through, direct]],
    )


def child(testbed: Testbed, backend_name: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.keeper", backend_name, ",".join(testbed.services.values())]
    environment = {**testbed.environment, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    return json.loads(output_of(command, environment, testbed.directory))


# -- one measurement ---------------------------------------------------------------------------------------------------


def measure(backend_name: str, services: list[str]) -> dict[str, float]:
    """Return the seconds of each step."""
    import os

    from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
    from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectRequest, DirectBackend
    from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
    from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.client import KeeperClient

    environ = os.environ
    url, key, token = (environ[f"REMOTEIT_{name}"] for name in ("API_URL", "DEVELOPER_KEY", "TOKEN"))
    account = Account(Credentials(url, key, token=token))
    backend = KeeperClient() if backend_name == "keeper" else DirectBackend()
    times = [time.monotonic()]
    if isinstance(backend, KeeperClient):
        backend.record_host_failure("", "")
    times.append(time.monotonic())
    opened = [
        (service, connection.connectionid)
        for service, connection in backend.connect_all(account, ConnectRequest(tuple(services)))
    ]
    times.append(time.monotonic())
    assert {outcome for _unused, outcome in backend.disconnect_all(account, opened)} == {"closed"}
    times.append(time.monotonic())
    if isinstance(backend, KeeperClient):
        backend.finish()
    times.append(time.monotonic())
    return dict(zip(("start", "open", "close", "end"), (b - a for a, b in itertools.pairwise(times)), strict=True))


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2].split(","))))
