# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator behaves as the vendor's documents say, and as the other tests need it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
from support import SIMULATOR, SSH, TIMEOUT, WEB, wait_until

LATCHING = "255.255.255.255"
OTHER = "127.0.0.9"


class Sim:
    """A running simulator, seen from outside."""

    def __init__(self, folder: Path, *options: str) -> None:
        state_file = folder / "state.json"
        state_file.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, str(SIMULATOR), "--state", str(state_file), *options],
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: state_file.exists() or self.process.poll() is not None)
        self.state_file = state_file
        self.state: dict[str, Any] = json.loads(state_file.read_text())
        self.session = requests.Session()
        self.headers = {"developerkey": self.state["developer_key"], "token": self.state["token"]}
        self._unused = {app: iter([s for s in self.services(app) if s["online"]]) for app in (SSH, WEB)}

    def services(self, application: int) -> list[dict[str, Any]]:
        return [service for service in self.state["services"] if service["application"] == application]

    def service(self, application: int = SSH) -> dict[str, Any]:
        """A service that no other test has used."""
        return next(self._unused[application])

    def url(self, path: str) -> str:
        return self.state["api_url"] + path

    def control(self, method: str, what: str, body: Any = None) -> Any:
        response = self.session.request(method, f"{self.state['control_url']}/{what}", json=body)
        assert response.status_code == 200, response.text
        return response.json()

    def settings(self, **changes: Any) -> None:
        self.control("POST", "settings", changes)

    def inject_fault(self, **fault: Any) -> None:
        self.control("POST", "faults", [fault])

    def device(self, service: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return self.control("POST", "devices", {"name": service["device"], **changes})[0]

    def advance(self, seconds: float) -> None:
        self.control("POST", "clock", {"advance": seconds})

    def call(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> requests.Response:
        return self.session.post(self.url(path), json=body, headers=headers or self.headers)

    def connect(self, address: str, **more: Any) -> requests.Response:
        return self.call("/device/connect", {"deviceaddress": address, "wait": "true", **more})

    def opened(self, address: str, **more: Any) -> dict[str, Any]:
        """The connection of an answer that must be a good one."""
        body = self.connect(address, **more).json()
        assert body["status"] == "true", body
        return body["connection"]

    def stop(self, address: str, connectionid: str | None) -> requests.Response:
        return self.call("/device/connect/stop", {"deviceaddress": address, "connectionid": connectionid})

    def entries(self, address: str) -> list[dict[str, Any]]:
        return [entry for entry in self.control("GET", "connections") if entry["deviceaddress"] == address]

    def entry(self, connectionid: str) -> dict[str, Any]:
        (entry,) = (e for e in self.control("GET", "connections") if e["connectionid"] == connectionid)
        return entry

    def ssh_options(self) -> list[str]:
        quiet = ["-F", "/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
        trust = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        return [*quiet, *trust, "-i", self.state["ssh_private_key_file"]]

    def ssh_command(self, port: int | str, command: str, *options: str) -> list[str]:
        target = f"{self.state['ssh_user']}@127.0.0.1"
        return ["ssh", *self.ssh_options(), *options, "-p", str(port), target, command]

    def ssh(
        self, port: int | str, command: str, *options: str, data: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.ssh_command(port, command, *options), input=data, capture_output=True, check=False, timeout=TIMEOUT
        )

    def end(self) -> int:
        self.session.close()
        self.process.terminate()
        try:
            return self.process.wait(TIMEOUT)
        finally:
            self.process.kill()


def stream(port: int | str, source: str = "127.0.0.1") -> socket.socket:
    try:
        return socket.create_connection(("127.0.0.1", int(port)), timeout=TIMEOUT, source_address=(source, 0))
    except ConnectionRefusedError:
        raise
    except OSError as problem:
        if source != "127.0.0.1":
            pytest.skip(f"{source} cannot be bound here: {problem}")
        raise


def greeting(port: int | str, source: str = "127.0.0.1") -> bytes:
    """What the proxy's first bytes are; nothing when it closes at once."""
    with stream(port, source) as tcp, contextlib.suppress(ConnectionResetError):
        return tcp.recv(4)
    return b""


def refused(port: int | str) -> bool:
    try:
        stream(port).close()
    except ConnectionRefusedError:
        return True
    return False


def running(pid: int) -> bool:
    """Whether the process lives; a zombie that nobody has waited for is dead."""
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


@pytest.fixture(scope="module")
def sim_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    simulator = Sim(tmp_path_factory.mktemp("sim"), "--devices", "151", "--offline", "1")
    yield simulator
    assert simulator.end() == 0


@pytest.fixture
def sim(sim_shared: Sim) -> Iterator[Sim]:
    defaults = sim_shared.control("GET", "settings")
    yield sim_shared
    sim_shared.control("DELETE", "faults")
    sim_shared.settings(**defaults)


@pytest.fixture
def sim_start(tmp_path: Path) -> Iterator[Callable[..., Sim]]:
    """Start further simulators, with options of their own."""
    started: list[Sim] = []

    def start(*options: str) -> Sim:
        started.append(Sim(tmp_path, *options))
        return started[-1]

    yield start
    for simulator in started:
        simulator.end()


# The vendor's page "Connecting to a Device": its samples, with only the host replaced.

CURL_SAMPLE = r"""
curl -X POST \
     -H "token:$TOKEN" \
     -H "developerkey:$DEV_KEY" \
     -d "{\"wait\":\"true\",\"deviceaddress\":\"$DEVICE_ADDRESS\", \
          \"hostip\":\"$HOSTIP\" }" \
     $API/device/connect
"""


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_vendor_sample_curl(sim: Sim) -> None:
    address = sim.service()["deviceaddress"]
    values = {
        "TOKEN": sim.state["token"],
        "DEV_KEY": sim.state["developer_key"],
        "DEVICE_ADDRESS": address,
        "HOSTIP": "127.0.0.1",
        "API": sim.state["api_url"],
    }
    sim.control("DELETE", "requests")
    result = subprocess.run(["sh", "-c", CURL_SAMPLE], env={**os.environ, **values}, capture_output=True, check=True)
    body = json.loads(result.stdout)
    assert body["status"] == "true"
    assert sim.entry(body["connection"]["connectionid"])["hostip"] == "127.0.0.1"
    (request,) = sim.control("GET", "requests")
    assert request["content_type"] == "application/x-www-form-urlencoded"
    assert request["wait"] == "true"


@pytest.mark.parametrize(
    ("content_type", "wait"),
    [
        pytest.param(None, "true", id="python"),
        pytest.param("application/json", "true", id="javascript"),
        pytest.param("text/plain; charset=utf-8", "true", id="csharp"),
        pytest.param("application/x-www-form-urlencoded", True, id="php"),
    ],
)
def test_vendor_samples(sim: Sim, content_type: str | None, wait: bool | str) -> None:
    address = sim.service()["deviceaddress"]
    data = json.dumps({"deviceaddress": address, "wait": wait, "hostip": "127.0.0.1"})
    headers = {**sim.headers, **({"Content-Type": content_type} if content_type else {})}
    body = requests.post(sim.url("/device/connect"), data=data, headers=headers).json()
    assert body["status"] == "true"
    assert greeting(body["connection"]["proxyport"]) == b"SSH-"


def test_connect_accepts_other_forms(sim: Sim) -> None:
    for path in ("/device/connect", "/device/connect/", "//device/connect"):
        for more in ({}, {"wait": "True"}, {"wait": "true "}, {"wait": True, "hostip": None}):
            body = sim.call(path, {"deviceaddress": sim.service()["deviceaddress"].lower(), **more}).json()
            assert (body["status"], body["wait"]) == ("true", True)
            assert sim.entry(body["connectionid"])["restriction"] == "caller"


# The state file


def test_state_file(sim: Sim) -> None:
    assert stat.S_IMODE(sim.state_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(sim.state["ssh_private_key_file"]).stat().st_mode) == 0o600
    for key in ("api_url", "graphql_url", "username", "password", "developer_key", "token", "access_key_id"):
        assert isinstance(sim.state[key], str)
        assert sim.state[key]
    assert len(sim.state["secret_access_key"]) == 40
    services = sim.state["services"]
    assert [service["application"] for service in services] == [SSH] * 151 + [WEB] * 151
    assert [service["device"] for service in services if not service["online"]] == ["pi-0151", "pi-0151"]
    assert services[0] == {
        "deviceaddress": "80:00:00:00:01:00:00:11",
        "name": "pi-0001-ssh",
        "device": "pi-0001",
        "application": SSH,
        "online": True,
    }
    assert len({service["deviceaddress"] for service in services}) == 302


def test_work_directory_is_kept(sim_start: Callable[..., Sim], tmp_path: Path) -> None:
    work = tmp_path / "work"
    keys = []
    for _unused in range(2):
        simulator = sim_start("--devices", "1", "--work", str(work))
        service = simulator.service()
        port = simulator.opened(service["deviceaddress"])["proxyport"]
        assert greeting(port) == b"SSH-"
        keys.append((simulator.device(service)["host_key"], Path(simulator.state["ssh_private_key_file"]).read_text()))
        assert simulator.end() == 0
    assert keys[0] == keys[1]
    assert (work / "devices" / "pi-0001" / "home" / "device-name").read_text() == "pi-0001\n"


# Who may call


def test_tokens_expire(sim_start: Callable[..., Sim]) -> None:
    simulator = sim_start("--devices", "1")
    address = simulator.service()["deviceaddress"]
    credentials = {"username": simulator.state["username"], "password": simulator.state["password"]}
    simulator.opened(address)
    simulator.control("DELETE", "tokens")
    assert simulator.connect(address).json()["reason"] == "missing api token"
    simulator.headers["token"] = simulator.call("/user/login", credentials).json()["token"]
    simulator.opened(address)
    simulator.advance(8 * 86400)
    assert simulator.connect(address).json()["reason"] == "missing api token"


def test_request_log_contains_no_secret(sim: Sim) -> None:
    service = sim.service()
    credentials = {"username": sim.state["username"], "password": sim.state["password"]}
    sim.control("DELETE", "requests")
    sim.call("/user/login", credentials)
    sim.connect(service["deviceaddress"])
    sim.session.get(sim.url(f"/user/token/{sim.state['token']}"))
    log = sim.control("GET", "requests")
    assert [entry["call"] for entry in log] == ["login", "connect", "unknown"]
    assert [entry["status"] for entry in log] == [200, 200, 404]
    assert log[1]["deviceaddress"] == service["deviceaddress"]
    assert log[1]["secrets"] == {
        "developerkey": True,
        "apikey": False,
        "token": True,
        "authorization": False,
        "password": False,
    }
    assert log[1]["peer"] == "127.0.0.1"
    assert log[1]["user_agent"].startswith("python-requests/")
    assert log[0]["secrets"]["password"]
    shown = json.dumps([log, sim.control("GET", "connections"), sim.control("GET", "settings")])
    for name in ("token", "developer_key", "password", "secret_access_key"):
        assert sim.state[name] not in shown


# Who may use a connection, and for how long


def test_restriction_decides_who_may_use_a_proxy(sim: Sim) -> None:
    """Left out, it is the caller. A latching proxy serves the first address that uses it."""

    def opened(**hostip: str) -> tuple[str, dict[str, Any]]:
        connection = sim.opened(sim.service()["deviceaddress"], **hostip)
        return connection["proxyport"], connection

    port, connection = opened()
    assert (greeting(port, OTHER), greeting(port)) == (b"", b"SSH-")
    entry = sim.entry(connection["connectionid"])
    assert (entry["restriction"], entry["hostip_sent"], entry["uses"], entry["refused"]) == ("caller", None, 1, 1)
    port, connection = opened(hostip=OTHER)
    assert (greeting(port), greeting(port, OTHER), connection["filteredIP"]) == (b"", b"SSH-", OTHER)
    port, _unused = opened(hostip="0.0.0.0")
    assert (greeting(port, OTHER), greeting(port)) == (b"SSH-", b"SSH-")
    port, connection = opened(hostip=LATCHING)
    assert [greeting(port, OTHER), greeting(port), greeting(port, OTHER)] == [b"SSH-", b"", b"SSH-"]
    assert (connection["filteredIP"], sim.entry(connection["connectionid"])["latched"]) == ("latching", OTHER)


def test_idle_counts_from_the_last_stream(sim: Sim) -> None:
    connection = sim.opened(sim.service()["deviceaddress"])
    connectionid, port = connection["connectionid"], connection["proxyport"]
    sim.advance(890)
    with stream(port) as tcp:
        assert tcp.recv(4) == b"SSH-"
        sim.advance(5000)
        assert sim.entry(connectionid)["open"]
    wait_until(lambda: sim.entry(connectionid)["streams"] == 0)
    sim.advance(890)
    assert sim.entry(connectionid)["open"]
    sim.advance(10)
    entry = sim.entry(connectionid)
    assert (entry["open"], entry["closed_by"]) == (False, "idle")
    assert entry["closed_at"] > entry["opened_at"]
    assert refused(port)


def test_connection_expires_even_in_use(sim: Sim) -> None:
    connection = sim.opened(sim.service()["deviceaddress"])
    assert 28790 < int(connection["expirationsec"]) < 28800
    with stream(connection["proxyport"]) as tcp:
        assert tcp.recv(4) == b"SSH-"
        sim.advance(28799)
        assert sim.entry(connection["connectionid"])["open"]
        sim.advance(1)
        with contextlib.suppress(ConnectionResetError):
            while tcp.recv(4096):
                pass
    assert sim.entry(connection["connectionid"])["closed_by"] == "expired"
    assert refused(connection["proxyport"])


def test_stop_closes_streams_and_only_once(sim: Sim) -> None:
    address, other = sim.service()["deviceaddress"], sim.service()["deviceaddress"]
    connection = sim.opened(address)
    connectionid = connection["connectionid"]
    with stream(connection["proxyport"]) as tcp:
        assert tcp.recv(4) == b"SSH-"
        for wrong_address, wrong_id in [
            (other, connectionid),
            (address, "unknown"),
            (address, None),
            ("", connectionid),
        ]:
            response = sim.stop(wrong_address, wrong_id)
            assert response.status_code == 401
            assert response.json()["status"] == "false"
            assert response.json()["reason"]
        assert sim.entry(connectionid)["open"]
        response = sim.stop(address.lower(), connectionid.upper())
        assert response.json() == {"status": "true", "connectionid": connectionid}
        with contextlib.suppress(ConnectionResetError):
            while tcp.recv(4096):
                pass
    assert sim.entry(connectionid)["closed_by"] == "stop"
    assert refused(connection["proxyport"])
    assert sim.stop(address, connectionid).status_code == 401


def test_simultaneous_connects_reuse_one_connection(sim: Sim) -> None:
    address = sim.service()["deviceaddress"]
    sim.settings(second_connect="reuse", latency=0.5)
    sim.control("DELETE", "requests")

    def connect(_unused: int) -> str:
        response = requests.post(sim.url("/device/connect"), json={"deviceaddress": address}, headers=sim.headers)
        return response.json()["connectionid"]

    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(connect, range(8))
        wait_until(lambda: len(sim.control("GET", "requests")) == 8)
        # After a pause they are all due at once.
        sim.process.send_signal(signal.SIGSTOP)
        time.sleep(0.6)
        sim.process.send_signal(signal.SIGCONT)
        assert len(set(answers)) == 1
    assert len(sim.entries(address)) == 1


def test_max_connections_counts_calls_at_the_same_time(sim: Sim) -> None:
    open_before = sum(entry["open"] for entry in sim.control("GET", "connections"))
    sim.settings(max_connections=open_before + 3, latency=0.2)
    services = [sim.service()["deviceaddress"] for _unused in range(8)]

    def connect(address: str) -> bool:
        body = {"deviceaddress": address}
        return "connection" in requests.post(sim.url("/device/connect"), json=body, headers=sim.headers).json()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(connect, services)) == 3


# What answers look like


def test_response_bodies(sim: Sim) -> None:
    address = sim.service()["deviceaddress"]
    full = sim.connect(address)
    assert "http:\\/\\/127.0.0.1:" in full.text
    inner = full.json()["connection"]
    assert inner["proxy"] == f"http://127.0.0.1:{inner['proxyport']}"
    assert (inner["status"], inner["reverseProxy"], inner["proxyServerPort"]) == (
        "running",
        False,
        int(inner["proxyport"]),
    )
    sim.settings(body="minimal", escaped_slashes=False)
    minimal = sim.connect(address)
    assert "http://127.0.0.1:" in minimal.text
    assert set(minimal.json()) == {"connection", "status"}
    assert set(minimal.json()["connection"]) == {"deviceaddress", "expirationsec", "proxy", "connectionid"}
    sim.settings(body="override")
    assert sim.opened(address)["url"] == [None]


def test_device_list_rows(sim: Sim) -> None:
    body = sim.session.get(sim.url("/device/list/all?cache=false"), headers=sim.headers).json()
    assert (body["status"], body["length"], len(body["devices"])) == ("true", 453, 453)
    bulk, ssh, web = body["devices"][:3]
    assert [row["servicetitle"] for row in (bulk, ssh, web)] == ["Bulk Service", "SSH", "HTTP"]
    assert bulk["devicealias"] == "pi-0001"
    assert (ssh["deviceaddress"], ssh["devicestate"]) == (sim.state["services"][0]["deviceaddress"], "active")
    assert (ssh["devicetype"][:5], ssh["devicetype"][30:35]) == ("00:1C", "00:16")
    assert body["devices"][-1]["devicestate"] == "inactive"


# Faults


def test_faults_apply_in_order(sim: Sim) -> None:
    one, two = sim.service()["deviceaddress"], sim.service()["deviceaddress"]
    sim.control(
        "POST",
        "faults",
        [
            {"call": "connect", "deviceaddress": one.lower(), "fault": "http", "status": 500},
            {"call": "any", "fault": "http", "status": 502, "times": "always"},
        ],
    )
    assert [sim.connect(address).status_code for address in (two, one, one)] == [502, 500, 502]
    assert [fault["status"] for fault in sim.control("GET", "faults")] == [502]
    sim.control("DELETE", "faults")
    sim.opened(one)


CONTROLS: list[tuple[str, Any]] = [
    ("faults", [{"fault": "magic"}]),
    ("faults", [{"fault": "drop", "tiems": 2}]),
    ("settings", {"second_connect": "sometimes"}),
    ("settings", {"latenzy": 1}),
    ("clock", {"advance": -1}),
    ("devices", {"name": "nobody", "online": True}),
    ("devices", {"name": "pi-0001", "sleepy": True}),
    ("devices", {"name": "pi-0001", "fields": {"nmae": "x"}}),
    ("devices", {"name": "pi-0001", "fields": None}),
    ("devices", {"name": "pi-0001", "services": {"unknown": {}}}),
    ("devices", {"name": "pi-0001", "services": {"80:00:00:00:01:00:00:11": {"platform": 1}}}),
    ("sessions", {"deviceaddress": "unknown"}),
    ("settings", {"pages": "few"}),
    ("settings", {"signature_window": -1}),
]


def test_controls_refuse_what_they_do_not_know(sim: Sim) -> None:
    for what, body in CONTROLS:
        assert sim.session.post(f"{sim.state['control_url']}/{what}", json=body).status_code == 400, (what, body)


# Devices


def test_device_runs_commands(sim: Sim) -> None:
    port = sim.opened(sim.service()["deviceaddress"])["proxyport"]
    assert sim.ssh(port, "exit 7").returncode == 7
    assert sim.ssh(port, "kill -TERM $$").returncode == 255
    both = sim.ssh(port, "echo out; echo err >&2")
    assert (both.stdout, both.stderr) == (b"out\n", b"err\n")
    home = sim.ssh(port, "pwd").stdout
    assert sim.ssh(port, "/bin/sh -c 'echo ~pi && echo ~ && echo ~root/.'").stdout == home * 2 + home.strip() + b"/.\n"
    environment = sim.ssh(port, "env").stdout.decode()
    assert "REMOTEIT" not in environment
    assert f"PATH={sim.ssh(port, 'echo ~').stdout.decode().strip()}/bin:" in environment
    assert "VIRTUAL_ENV" not in environment
    assert sim.ssh(port, "true", "-o", "User=root", "-l", "root").returncode == 255


def test_streams_lose_nothing(sim: Sim) -> None:
    ports = [sim.opened(sim.service()["deviceaddress"])["proxyport"] for _unused in range(4)]
    data = os.urandom(1_500_000)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda port: sim.ssh(port, "cat", data=data), ports * 2))
    assert {hashlib.sha256(result.stdout).digest() for result in results} == {hashlib.sha256(data).digest()}


def test_command_dies_with_its_channel(sim: Sim) -> None:
    port = sim.opened(sim.service()["deviceaddress"])["proxyport"]
    with subprocess.Popen(sim.ssh_command(port, "echo $$; sleep 60; true"), stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        pid = int(client.stdout.readline())
        assert running(pid)
        client.kill()
    wait_until(lambda: not running(pid))


# Many at once, and the end


def test_many_connects_take_no_longer_than_one(sim_start: Callable[..., Sim]) -> None:
    simulator = sim_start("--devices", "200", "--latency", "1")
    addresses = [service["deviceaddress"] for service in simulator.services(SSH)]

    async def connect(session: aiohttp.ClientSession, address: str) -> dict[str, Any]:
        async with session.post(simulator.url("/device/connect"), json={"deviceaddress": address}) as response:
            return await response.json()

    async def connect_all() -> list[dict[str, Any]]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=simulator.headers) as session:
            return await asyncio.gather(*(connect(session, address) for address in addresses))

    began = time.monotonic()
    answers = asyncio.run(connect_all())
    seconds = time.monotonic() - began
    assert [answer["connection"]["deviceaddress"] for answer in answers] == addresses
    assert len({answer["connection"]["proxyport"] for answer in answers}) == 200
    # One after the other they would take 200 seconds, and 16 at a time 13.
    assert 1 <= seconds < 13
    assert sum(entry["open"] for entry in simulator.control("GET", "connections")) == 200
    assert greeting(answers[-1]["connection"]["proxyport"]) == b"SSH-"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_simulator_ends_without_leftovers(sim_start: Callable[..., Sim], tmp_path: Path, signum: int) -> None:
    simulator = sim_start("--devices", "2")
    port = simulator.opened(simulator.service()["deviceaddress"])["proxyport"]
    # One that has left its process group, as Ansible's async tasks do, can only be found on Linux.
    runaway = "setsid" if sys.platform == "linux" and shutil.which("setsid") else ""
    command = f"echo $$; {runaway} sleep 60 & echo $!; wait; true"
    with subprocess.Popen(simulator.ssh_command(port, command), stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        pids = [int(client.stdout.readline()) for _unused in range(2)]
        assert all(running(pid) for pid in pids)
        assert [path.name.startswith("remoteit-sim-") for path in tmp_path.iterdir() if path.is_dir()] == [True]
        simulator.process.send_signal(signum)
        assert simulator.process.wait(TIMEOUT) == 0
        assert client.wait(TIMEOUT) == 255
    wait_until(lambda: not any(running(pid) for pid in pids))
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    assert refused(port)


def test_port_in_use_is_reported(sim: Sim) -> None:
    port = sim.state["api_url"].split(":")[2].split("/")[0]
    command = [sys.executable, str(SIMULATOR), "--listen", f"127.0.0.1:{port}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert result.returncode == 1
    assert "in use" in result.stderr
    assert "Traceback" not in result.stderr
