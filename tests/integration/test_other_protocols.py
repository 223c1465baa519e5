# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of the page "Anything that is not SSH" work against real servers."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Fleet
from documentation import plays
from support import TIMEOUT, wait_until

pytestmark = pytest.mark.each_api

#: The Debian package redis-tools contains the server under this name.
REDIS_SERVER = shutil.which("redis-check-rdb")

needs_rsync = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
needs_redis = pytest.mark.skipif(not (REDIS_SERVER and shutil.which("redis-cli")), reason="Redis is not installed")


@pytest.fixture(autouse=True)
def kiosks(fleet: Fleet) -> None:
    """Name the group and the devices as the examples do."""
    group = fleet.inventory["fleet"]
    for device, variables in group["hosts"].items():
        variables["remoteit_device"] = device
    fleet.inventory = {"kiosks": group}


@pytest.fixture
def directory(fleet: Fleet) -> dict[str, str]:
    """The files that are copied, by their paths."""
    files = {"site/index.html": "hello\n", "site/images/logo": "logo\n"}
    for name, content in files.items():
        fleet.write(name, content)
    return files


def copied(fleet: Fleet, device: str, files: dict[str, str]) -> dict[str, str]:
    home = fleet.simulator.home(device)
    return {name: (home / name).read_text() for name in files if (home / name).exists()}


def synchronize_play(fleet: Fleet) -> dict[str, Any]:
    """The play of the page, with the arguments by which the tests trust host keys."""
    (play,) = plays("Copy a directory to the kiosks")
    variables = play["tasks"][-1]["vars"]
    variables["ansible_ssh_common_args"] += " " + fleet.host_keys["ansible_ssh_common_args"]
    return play


@needs_rsync
def test_synchronize_copies_to_each_device(fleet: Fleet, directory: dict[str, str]) -> None:
    for variables in fleet.inventory["kiosks"]["hosts"].values():  # which have no effect
        variables |= {"ansible_host": "192.0.2.1", "ansible_port": 2}
    run = fleet.run([synchronize_play(fleet)])
    assert run.rc == 0
    assert set(run.status("Copy the directory").values()) == {"changed"}
    for device in fleet.devices:
        assert copied(fleet, device, directory) == directory
    assert {entry["deviceaddress"]: entry["uses"] for entry in run.connections} == dict.fromkeys(fleet.services, 1)
    keys = fleet.known_hosts.read_text()
    for service in fleet.services:
        assert f"remoteit-{service.replace(':', '-').lower()} " in keys


@needs_rsync
def test_synchronize_refuses_a_changed_host_key(fleet: Fleet, directory: dict[str, str]) -> None:
    first, *others = fleet.devices
    assert fleet.run([{"hosts": "kiosks", "gather_facts": False, "tasks": [{"ansible.builtin.raw": "true"}]}]).rc == 0
    fleet.simulator.device(first, rekey=True)
    run = fleet.run([synchronize_play(fleet)])
    assert run.status("Copy the directory") == {first: "failed", **dict.fromkeys(others, "changed")}
    assert copied(fleet, first, directory) == {}


def test_synchronize_refuses_the_connection_plugin(fleet: Fleet, directory: dict[str, str]) -> None:
    run = fleet.ad_hoc("kiosks", "-m", "ansible.posix.synchronize", "-a", "src=site/ dest=site/")
    assert run.rc == 2
    assert set(run.failures()) == set(fleet.devices)
    assert "accessed via remoteit.fleet.ssh instead so it cannot work" in run.text
    assert run.connections == []


def test_web_service_is_read_by_its_url(fleet: Fleet) -> None:
    fleet.simulator.settings(web_host="localhost")
    fleet.environ["SSL_CERT_FILE"] = fleet.simulator.state["ca_file"]
    run = fleet.run(plays("Read the status page of each kiosk"))
    assert run.rc == 0
    contents = {device: result["content"] for device, result in run.results("Read the status page").items()}
    assert all(f"<title>{device}</title>" in contents[device] for device in fleet.devices)
    assert {entry["restriction"] for entry in run.connections} == {"public"}


@contextlib.contextmanager
def redis(directory: Path, value: str) -> Iterator[int]:
    """Run a database that contains a value, and yield its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    words = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(directory)]
    server = subprocess.Popen(words, executable=REDIS_SERVER, stdout=subprocess.DEVNULL)
    client = ["redis-cli", "-p", str(port), "SET", "temperature", value]
    try:
        wait_until(lambda: subprocess.run(client, capture_output=True, check=False).stdout == b"OK\n")
        yield port
    finally:
        server.terminate()
        server.wait(TIMEOUT)


@needs_redis
def test_database_client_reaches_each_device(fleet: Fleet, tmp_path: Path) -> None:
    with contextlib.ExitStack() as servers:
        for number, (device, service) in enumerate(zip(fleet.devices, fleet.services, strict=True)):
            port = servers.enter_context(redis(tmp_path, f"2{number}.5"))
            fleet.simulator.device(device, services={service: {"name": f"{device}-redis"}}, ports={service: port})
        run = fleet.run(plays("Read a value from the database of each kiosk"))
    assert run.rc == 0
    assert run.stdout_of("Read the temperature") == {
        device: f"2{number}.5" for number, device in enumerate(fleet.devices)
    }
    assert {entry["deviceaddress"] for entry in run.connections} == set(fleet.services)
    assert {entry["closed_by"] for entry in run.connections} == {"stop"}
