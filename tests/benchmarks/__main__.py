# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures, side by side in one run, what the collection costs over the bare minimum: C(make bench).

C(python -m benchmarks inventory) measures one of them alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from benchmarks import inventory
from benchmarks.report import show
from support import SSH, Simulator

SERVICES, LATENCY, WIDTH, REPEATS = 500, 0.3, 16, 3

ONE_CALL = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [
            {
                "remoteit.fleet.remoteit_connect": {"deviceaddress": "{{ services }}", "concurrency": WIDTH},
                "when": "services | length > 0",
            }
        ],
    }
]


def main() -> None:
    """Measure what the command line names, or everything."""
    benchmarks = {"connections": connections, "inventory": inventory.main}
    for name in sys.argv[1:] or benchmarks:
        benchmarks[name]()


def connections() -> None:
    with tempfile.TemporaryDirectory(prefix="remoteit-bench-") as folder:
        simulator = Simulator(Path(folder), "--devices", str(SERVICES), "--latency", str(LATENCY))
        try:
            bulk(simulator, Path(folder))
        finally:
            simulator.end()


def bulk(simulator: Simulator, folder: Path) -> None:
    """One task that opens hundreds of connections, against a thread pool that sends the same calls and nothing else."""
    services = [s["deviceaddress"] for s in simulator.state["services"] if s["application"] == SSH]
    rows: dict[str, list[float]] = {"pool": [], "task": [], "ratio": [], "memory": []}
    for _unused in range(REPEATS):
        pool = bare_pool(simulator, services)
        empty, _unused = play(simulator, folder, [])
        whole, memory = play(simulator, folder, services)
        rows["pool"].append(pool)
        rows["task"].append(whole - empty)
        rows["ratio"].append((whole - empty) / pool)
        rows["memory"].append(memory)
        assert not simulator.open_connections()
    print(f"{SERVICES} connections, {LATENCY} s of latency, {WIDTH} at a time, opened and closed; {REPEATS} repeats")
    show("bare thread pool", rows["pool"], "s")
    show("one remoteit_connect task, the empty play subtracted", rows["task"], "s")
    show("ratio (goal: 1.25)", rows["ratio"], "")
    show("peak memory of controller, worker and keeper (goal: 150)", rows["memory"], "MB")


def bare_pool(simulator: Simulator, services: list[str]) -> float:
    """Open and close with C(requests) and threads alone."""
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=WIDTH))
    session.headers.update(developerkey=simulator.state["developer_key"], token=simulator.state["token"])
    base = simulator.state["api_url"]

    def connect(service: str) -> tuple[str, str]:
        answer = session.post(f"{base}/device/connect", json={"deviceaddress": service, "wait": "true"}).json()
        return service, answer["connection"]["connectionid"]

    def stop(opened: tuple[str, str]) -> None:
        body = dict(zip(("deviceaddress", "connectionid"), opened, strict=True))
        assert session.post(f"{base}/device/connect/stop", json=body).json()["status"] == "true"

    begin = time.monotonic()
    with ThreadPoolExecutor(WIDTH) as pool:
        opened = list(pool.map(connect, services))
        list(pool.map(stop, opened))
    return time.monotonic() - begin


def play(simulator: Simulator, folder: Path, services: list[str]) -> tuple[float, float]:
    """Run the task; its time in seconds, and the peak memory of all its processes in megabytes."""
    playbook = folder / "play.json"
    playbook.write_text(json.dumps(ONE_CALL))
    variables = folder / "variables.json"
    variables.write_text(json.dumps({"services": services}))
    environment = {
        **os.environ,
        "HOME": str(folder),
        "REMOTEIT_API_URL": simulator.state["api_url"],
        "REMOTEIT_TOKEN": simulator.state["token"],
        "REMOTEIT_DEVELOPER_KEY": simulator.state["developer_key"],
    }
    command = [Path(sys.executable).with_name("ansible-playbook"), playbook, "-e", f"@{variables}"]
    begin = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    memory = Memory(f"HOME={folder}")
    _unused, complaints = process.communicate()
    seconds = time.monotonic() - begin
    assert process.returncode == 0, complaints.decode()
    return seconds, memory.peak()


class Memory(threading.Thread):
    """Watches the processes that have a word in their environment, and notes the peak of what they use together.

    A page that a worker shares with its controller counts once (the kernel's proportional set size).
    """

    def __init__(self, mark: str) -> None:
        super().__init__(daemon=True)
        self._mark = mark.encode()
        self._peak = 0
        self._done = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._done.wait(0.1):
            self._peak = max(self._peak, sum(map(self._kilobytes, Path("/proc").glob("[0-9]*"))))

    def _kilobytes(self, folder: Path) -> int:
        try:
            if self._mark not in (folder / "environ").read_bytes().split(b"\0"):
                return 0
            lines = (folder / "smaps_rollup").read_text().splitlines()
        except OSError:
            return 0  # it has just ended
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))

    def peak(self) -> float:
        self._done.set()
        self.join()
        return self._peak / 1024


if __name__ == "__main__":
    main()
