# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The REST side of the simulator behaves as the vendor's documents describe, and as the other tests need it."""

from __future__ import annotations

import contextlib
import json
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

import pytest
import requests
from support import SSH, TIMEOUT, WEB, Simulator, wait_until

FIRST, SECOND = "pi-0001", "pi-0002"
LATCHING = "255.255.255.255"
OTHER = "127.0.0.9"


class Client(Simulator):
    """Sends requests of REST with the token of the account."""

    @property
    def headers(self) -> dict[str, str]:
        return {"developerkey": self.state["developer_key"], "token": self.state["token"]}

    def call(self, path: str, body: dict[str, Any]) -> requests.Response:
        return requests.post(self.state["api_url"] + path, json=body, headers=self.headers, timeout=TIMEOUT)

    def send_connect(self, device: str, **more: Any) -> requests.Response:
        return self.call("/device/connect", {"deviceaddress": self.service(device), "wait": "true", **more})

    def opened(self, device: str, **more: Any) -> dict[str, Any]:
        """Return the connection of a response that has to be a success."""
        body = self.send_connect(device, **more).json()
        assert body["status"] == "true", body
        return body["connection"]

    def ssh_command(self, port: int | str, command: str) -> list[str]:
        options = ["LogLevel=ERROR", "BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
        login = ["-i", self.state["ssh_private_key_file"], "-p", str(port), f"{self.state['ssh_user']}@127.0.0.1"]
        return ["ssh", "-F", "/dev/null", *(word for option in options for word in ("-o", option)), *login, command]


@contextlib.contextmanager
def stream(port: int | str, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Connect to a proxy, from this address."""
    with socket.create_connection(("127.0.0.1", int(port)), timeout=TIMEOUT, source_address=(source, 0)) as tcp:
        yield tcp


def greeting(port: int | str, source: str = "127.0.0.1") -> bytes:
    """Return the first bytes of a proxy, or nothing if it closes the connection at once."""
    with stream(port, source) as tcp, contextlib.suppress(ConnectionResetError):
        return tcp.recv(4)
    return b""


def wait_for_end(tcp: socket.socket) -> None:
    with contextlib.suppress(ConnectionResetError):
        while tcp.recv(4096):
            pass


def is_refused(port: int | str) -> bool:
    try:
        greeting(port)
    except ConnectionRefusedError:
        return True
    return False


def is_running(pid: int) -> bool:
    """Return whether the process runs. A zombie does not."""
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    simulator = Client(tmp_path_factory.mktemp("sim"), "--devices", "11", "--offline", "1")
    yield simulator
    simulator.end()
    assert simulator.process.returncode == 0


@pytest.fixture
def sim(shared: Client) -> Client:
    shared.reset()
    return shared


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Start another simulator with these options."""
    started: list[Client] = []

    def start(*options: str) -> Client:
        (tmp_path / "state.json").unlink(missing_ok=True)
        started.append(Client(tmp_path, *options))
        return started[-1]

    yield start
    for simulator in started:
        simulator.end()


# -- requests ----------------------------------------------------------------------------------------------------------

#: The paths, content types and other fields of the vendor's samples, and forms that other clients send.
FORMS: list[tuple[str, str | None, dict[str, Any]]] = [
    ("/device/connect", None, {"wait": "true", "hostip": "127.0.0.1"}),
    ("/device/connect", "application/json", {"wait": "true", "hostip": "127.0.0.1"}),
    ("/device/connect", "text/plain; charset=utf-8", {"wait": "true", "hostip": "127.0.0.1"}),
    ("/device/connect", "application/x-www-form-urlencoded", {"wait": True, "hostip": "127.0.0.1"}),
    ("/device/connect/", "application/json", {}),
    ("//device/connect", "application/json", {"wait": "True "}),
    ("/device/connect", "application/json", {"wait": True, "hostip": None}),
]


def test_connect_accepts_every_form(sim: Client, subtests: Any) -> None:
    for path, content_type, more in FORMS:
        with subtests.test(f"{path} {content_type} {more}"):
            data = json.dumps({"deviceaddress": sim.service(FIRST).lower(), **more})
            headers = {**sim.headers, **({"Content-Type": content_type} if content_type else {})}
            body = requests.post(sim.state["api_url"] + path, data=data, headers=headers, timeout=TIMEOUT).json()
            assert (body["status"], body["wait"]) == ("true", True)
            assert greeting(body["connection"]["proxyport"]) == b"SSH-"
            entry = sim.connection(body["connectionid"])
            assert (entry["restriction"], entry["hostip_sent"]) == (
                ("address", "127.0.0.1") if more.get("hostip") else ("caller", None)
            )


def test_tokens_expire(start: Callable[..., Client]) -> None:
    sim = start("--devices", "1")
    credentials = {name: sim.state[name] for name in ("username", "password")}
    sim.opened(FIRST)
    sim._control("DELETE", "tokens")
    assert sim.send_connect(FIRST).json()["reason"] == "missing api token"
    sim.state["token"] = sim.call("/user/login", credentials).json()["token"]
    sim.opened(FIRST)
    sim.advance(8 * 86400)
    assert sim.send_connect(FIRST).json()["reason"] == "missing api token"


def test_request_log_contains_no_secret(sim: Client) -> None:
    sim.call("/user/login", {name: sim.state[name] for name in ("username", "password")})
    sim.opened(FIRST)
    sim.call(f"/user/token/{sim.state['token']}", {})
    log = sim.requests()
    assert [entry["call"] for entry in log] == ["login", "connect", "unknown"]
    assert [entry["status"] for entry in log] == [200, 200, 404]
    assert (log[1]["deviceaddress"], log[1]["peer"]) == (sim.service(FIRST), "127.0.0.1")
    assert [name for name, is_sent in log[1]["secrets"].items() if is_sent] == ["developerkey", "token"]
    assert log[0]["secrets"]["password"]
    shown = json.dumps([log, sim.connections(), sim._control("GET", "settings")])
    assert not [name for name in ("token", "developer_key", "password") if sim.state[name] in shown]


# -- the state ---------------------------------------------------------------------------------------------------------


def test_state_file_lists_the_services(shared: Client, tmp_path_factory: pytest.TempPathFactory) -> None:
    files = [Path(shared.state["ssh_private_key_file"]), tmp_path_factory.getbasetemp() / "sim0" / "state.json"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600] * 2
    names = ("api_url", "graphql_url", "username", "password", "developer_key", "token", "access_key_id")
    assert all(shared.state[name] and isinstance(shared.state[name], str) for name in names)
    assert len(shared.state["secret_access_key"]) == 40
    services = shared.state["services"]
    assert [service["application"] for service in services] == [SSH] * 11 + [WEB] * 11
    assert [service["device"] for service in services if not service["online"]] == ["pi-0011", "pi-0011"]
    ssh = {"deviceaddress": "80:00:00:00:01:00:00:11", "name": "pi-0001-ssh", "device": FIRST, "application": SSH}
    assert services[0] == {**ssh, "online": True}
    assert len({service["deviceaddress"] for service in services}) == 22


def test_work_directory_is_kept(start: Callable[..., Client], tmp_path: Path) -> None:
    keys = []
    for _unused in range(2):
        sim = start("--devices", "1", "--work", str(tmp_path / "work"))
        assert greeting(sim.opened(FIRST)["proxyport"]) == b"SSH-"
        keys.append((sim.device(FIRST)["host_key"], Path(sim.state["ssh_private_key_file"]).read_text()))
        sim.end()
    assert keys[0] == keys[1]
    assert (tmp_path / "work" / "devices" / FIRST / "home" / "device-name").read_text() == f"{FIRST}\n"


# -- connections -------------------------------------------------------------------------------------------------------


def test_restriction_decides_who_may_use_a_proxy(sim: Client) -> None:
    """It is the caller by default. A latching proxy serves the first address that uses it."""
    connection = sim.opened(FIRST)
    port = connection["proxyport"]
    assert (greeting(port, OTHER), greeting(port)) == (b"", b"SSH-")
    entry = sim.connection(connection["connectionid"])
    assert (entry["restriction"], entry["hostip_sent"], entry["uses"], entry["refused"]) == ("caller", None, 1, 1)
    connection = sim.opened(FIRST, hostip=OTHER)
    port = connection["proxyport"]
    assert (greeting(port), greeting(port, OTHER), connection["filteredIP"]) == (b"", b"SSH-", OTHER)
    port = sim.opened(FIRST, hostip="0.0.0.0")["proxyport"]
    assert (greeting(port, OTHER), greeting(port)) == (b"SSH-", b"SSH-")
    connection = sim.opened(FIRST, hostip=LATCHING)
    port = connection["proxyport"]
    assert [greeting(port, OTHER), greeting(port), greeting(port, OTHER)] == [b"SSH-", b"", b"SSH-"]
    assert (connection["filteredIP"], sim.connection(connection["connectionid"])["latched"]) == ("latching", OTHER)


def test_connection_ends_when_idle_or_expired(sim: Client) -> None:
    """It is idle since its last stream, and expires even in use."""
    connection = sim.opened(FIRST)
    connectionid, port = connection["connectionid"], connection["proxyport"]
    sim.advance(890)
    with stream(port) as tcp:
        assert tcp.recv(4) == b"SSH-"
        sim.advance(5000)
        assert sim.connection(connectionid)["open"]
    wait_until(lambda: sim.connection(connectionid)["streams"] == 0)
    sim.advance(890)
    assert sim.connection(connectionid)["open"]
    sim.advance(10)
    assert sim.connection(connectionid)["closed_by"] == "idle"
    assert is_refused(port)
    connection = sim.opened(FIRST)
    assert 28790 < int(connection["expirationsec"]) < 28800
    with stream(connection["proxyport"]) as tcp:
        assert tcp.recv(4) == b"SSH-"
        sim.advance(28799)
        assert sim.connection(connection["connectionid"])["open"]
        sim.advance(1)
        wait_for_end(tcp)
    assert sim.connection(connection["connectionid"])["closed_by"] == "expired"


def test_stop_closes_streams_and_only_once(sim: Client) -> None:
    address = sim.service(FIRST)
    connection = sim.opened(FIRST)
    connectionid = connection["connectionid"]

    def stop(address: str, connectionid: str | None) -> requests.Response:
        return sim.call("/device/connect/stop", {"deviceaddress": address, "connectionid": connectionid})

    with stream(connection["proxyport"]) as tcp:
        assert tcp.recv(4) == b"SSH-"
        wrong = [(sim.service(SECOND), connectionid), (address, "unknown"), (address, None), ("", connectionid)]
        for arguments in wrong:
            response = stop(*arguments)
            assert (response.status_code, response.json()["status"]) == (401, "false")
            assert response.json()["reason"]
        assert sim.connection(connectionid)["open"]
        assert stop(address.lower(), connectionid.upper()).json() == {"status": "true", "connectionid": connectionid}
        wait_for_end(tcp)
    assert sim.connection(connectionid)["closed_by"] == "stop"
    assert is_refused(connection["proxyport"])
    assert stop(address, connectionid).status_code == 401
    with socket.socket() as another:
        another.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        with pytest.raises(OSError, match="in use"):
            another.bind(("127.0.0.1", int(connection["proxyport"])))


def test_simultaneous_connects_reuse_one_connection(sim: Client) -> None:
    sim.settings(second_connect="reuse", latency=0.5)
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda _unused: sim.opened(FIRST)["connectionid"], range(8))
        wait_until(lambda: len(sim.requests()) == 8)
        # after a pause they are all due at once
        sim.process.send_signal(signal.SIGSTOP)
        time.sleep(0.6)
        sim.process.send_signal(signal.SIGCONT)
        assert len(set(found)) == 1
    assert len(sim.open_connections()) == 1


def test_response_bodies(sim: Client) -> None:
    full = sim.send_connect(FIRST)
    assert "http:\\/\\/127.0.0.1:" in full.text
    inner = full.json()["connection"]
    port = inner["proxyport"]
    assert inner["proxy"] == f"http://127.0.0.1:{port}"
    assert (inner["status"], inner["reverseProxy"], inner["proxyServerPort"]) == ("running", False, int(port))
    sim.settings(body="minimal", escaped_slashes=False)
    minimal = sim.send_connect(FIRST)
    assert "http://127.0.0.1:" in minimal.text
    assert set(minimal.json()) == {"connection", "status"}
    assert set(minimal.json()["connection"]) == {"deviceaddress", "expirationsec", "proxy", "connectionid"}
    sim.settings(body="override")
    assert sim.opened(FIRST)["url"] == [None]


# -- devices -----------------------------------------------------------------------------------------------------------


def test_command_ends_with_its_channel(sim: Client) -> None:
    command = sim.ssh_command(sim.opened(FIRST)["proxyport"], "echo $$; sleep 60; true")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        pid = int(client.stdout.readline())
        assert is_running(pid)
        client.kill()
    wait_until(lambda: not is_running(pid))


# -- control -----------------------------------------------------------------------------------------------------------


CONTROLS: list[tuple[str, Any]] = [
    ("faults", [{"fault": "magic"}]),
    ("faults", [{"fault": "drop", "tiems": 2}]),
    ("settings", {"second_connect": "sometimes"}),
    ("settings", {"latenzy": 1}),
    ("settings", {"signature_window": -1}),
    ("clock", {"advance": -1}),
    ("devices", {"name": "nobody", "online": True}),
    ("devices", {"name": FIRST, "sleepy": True}),
    ("devices", {"name": FIRST, "fields": {"nmae": "x"}}),
    ("devices", {"name": FIRST, "fields": None}),
    ("devices", {"name": FIRST, "services": {"unknown": {}}}),
    ("devices", {"name": FIRST, "services": {"80:00:00:00:01:00:00:11": {"platform": 1}}}),
    ("sessions", {"deviceaddress": "unknown"}),
]


def test_unknown_controls_are_refused(sim: Client) -> None:
    for what, body in CONTROLS:
        url = f"{sim.state['control_url']}/{what}"
        assert requests.post(url, json=body, timeout=TIMEOUT).status_code == 400, (what, body)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_simulator_ends_without_leftovers(start: Callable[..., Client], tmp_path: Path, number: int) -> None:
    sim = start("--devices", "2")
    port = sim.opened(FIRST)["proxyport"]
    # a process that has left its group, as Ansible's async tasks do, can only be found on Linux
    runaway = "setsid" if sys.platform == "linux" and shutil.which("setsid") else ""
    command = f"echo $$; {runaway} sleep 60 & echo $!; wait; true"
    with subprocess.Popen(sim.ssh_command(port, command), stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        pids = [int(client.stdout.readline()) for _unused in range(2)]
        assert all(map(is_running, pids))
        assert [path.name.startswith("remoteit-sim-") for path in tmp_path.iterdir() if path.is_dir()] == [True]
        sim.process.send_signal(number)
        assert sim.process.wait(TIMEOUT) == 0
        assert client.wait(TIMEOUT) == 255
    wait_until(lambda: not any(map(is_running, pids)))
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    assert is_refused(port)
