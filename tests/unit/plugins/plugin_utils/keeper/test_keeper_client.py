# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper's process, and its client in the workers."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import http.server
import json
import os
import pathlib
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import typing as t
from urllib.parse import urlsplit

import pytest
from support import wait_until

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import DeviceFilter
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OfflineError, OptionsError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.http import Transport
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper import process, protocol
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.client import KeeperClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import (
    HostRequest,
    KeeperError,
    KeeperUnavailableError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recap import Recap
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import SERVICE, SERVICES

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux to find the keeper's process")

SECRETS = {"developer_key": "s3cret-key", "username": "s3cret-user", "password": "s3cret-password"}
TOKEN = "s3cret-token"
OFFLINE = SERVICES[50]
SLOW = SERVICES[51]


class Vendor(http.server.ThreadingHTTPServer):
    """An API that opens and closes connections, and counts them."""

    def __init__(self, proxy: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.proxy = proxy
        self.lock = threading.Lock()
        self.calls: list[str] = []
        self.open: set[str] = set()
        self.rows: list[dict[str, t.Any]] = []
        self.slow_call_arrived = threading.Event()
        self.slow_call_may_go_on = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/apv/v27"

    def respond(self, path: str, body: dict[str, str]) -> dict[str, t.Any]:
        with self.lock:
            self.calls.append(path)
        if path == "/apv/v27/user/login":
            return {"status": "true", "token": TOKEN}
        if path == "/apv/v27/device/list/all":
            return {"status": "true", "devices": self.rows}
        if path == "/apv/v27/device/connect/stop":
            self.open.discard(body["connectionid"])
            return {"status": "true"}
        service = body["deviceaddress"]
        if service == OFFLINE:
            return {"status": "false", "reason": "service is inactive"}
        if service == SLOW:
            self.slow_call_arrived.set()
            self.slow_call_may_go_on.wait(30)
        connectionid = f"id-{len(self.calls)}-{service.replace(':', '')}"
        self.open.add(connectionid)
        return {"status": "true", "connection": {"connectionid": connectionid, "proxy": self.proxy}}


class Handler(http.server.BaseHTTPRequestHandler):
    server: Vendor
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        body_sent = json.dumps(self.server.respond(urlsplit(self.path).path, body)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body_sent)))
        self.end_headers()
        self.wfile.write(body_sent)

    def log_message(self, format: str, *arguments: t.Any) -> None:
        pass


@pytest.fixture
def vendor() -> t.Iterator[Vendor]:
    with (
        socket.create_server(("127.0.0.1", 0)) as proxy,
        Vendor(f"http://127.0.0.1:{proxy.getsockname()[1]}") as vendor,
    ):
        vendor.daemon_threads = True
        thread = threading.Thread(target=vendor.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield vendor
        vendor.slow_call_may_go_on.set()
        vendor.shutdown()
        thread.join()


@pytest.fixture
def account(vendor: Vendor) -> Account:
    return Account(Credentials(vendor.url, **SECRETS), timeout=30, concurrency=8)


class Controller:
    """A run and its keeper, as other processes see them."""

    def __init__(self, run: Run, runs: pathlib.Path) -> None:
        self.run = run
        self.runs = runs
        self.client = KeeperClient(run)
        self.keepers: set[int] = set()  # that are killed after the test

    def open(self, account: Account, *services: str, host: str | None = None, **options: t.Any) -> dict[str, t.Any]:
        hosts = None if host is None else {service: [host] for service in services}
        outcomes = dict(self.client.connect_all(account, ConnectRequest(services, **options), hosts))
        self.keeper()
        return outcomes

    def keeper(self) -> int:
        """Return the PID of the keeper."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(self.run.socket)
            size = struct.calcsize("3i")
            pid = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0]
        self.keepers.add(pid)
        return pid

    def await_end(self, pid: int) -> None:
        """Wait until the keeper's process, which is a child of ours, is gone."""
        descriptor = os.pidfd_open(pid)
        try:
            assert select.select([descriptor], [], [], 30)[0], "the keeper did not exit"
        finally:
            os.close(descriptor)
        os.waitpid(pid, 0)
        self.keepers.remove(pid)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.await_end(pid)

    def ledgers(self) -> list[list[dict[str, t.Any]]]:
        return [
            [json.loads(line) for line in path.read_text().splitlines()] for path in sorted(self.runs.glob("*.jsonl"))
        ]


@pytest.fixture
def new_controller(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, vendor: Vendor
) -> t.Iterator[t.Callable[..., Controller]]:
    monkeypatch.setenv("REMOTEIT_STATE_DIR", str(tmp_path / "state"))
    base = tempfile.mkdtemp(dir="/tmp", prefix="remoteit-unit-")  # the path of a socket is limited to 107 bytes
    made: list[Controller] = []

    def new(pid: int = os.getpid()) -> Controller:
        run = Run("job-1", pid, os.path.join(base, str(len(made))))
        made.append(Controller(run, tmp_path / "state" / "runs"))
        return made[-1]

    yield new
    for controller in made:
        for pid in tuple(controller.keepers):
            controller.kill(pid)
    shutil.rmtree(base)


@pytest.fixture
def controller(new_controller: t.Callable[..., Controller]) -> Controller:
    return new_controller()


# -- work --------------------------------------------------------------------------------------------------------------


def test_client_shares_one_keeper_between_workers(controller: Controller, vendor: Vendor, account: Account) -> None:
    services = SERVICES[:5]
    together = threading.Barrier(12)

    def worker(number: int) -> dict[str, t.Any]:
        together.wait(30)
        return controller.open(account, *services, host=f"host-{number}")

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(worker, range(12)))
    ids = {service: outcomes[0][service].connectionid for service in services}
    assert all({service: each[service].connectionid for service in services} == ids for each in outcomes)
    assert sum(not each[service].reused for each in outcomes for service in services) == len(services)
    assert vendor.open == set(ids.values())
    assert vendor.calls.count("/apv/v27/user/login") == 1
    assert len(controller.keepers) == 1

    (keeper,) = controller.keepers
    assert controller.client.finish() == Recap(opened=5, closed=5)
    assert vendor.open == set()
    controller.await_end(keeper)
    assert not os.path.exists(controller.run.runtime_dir)
    assert controller.ledgers() == []


def test_connect_all_returns_each_outcome(controller: Controller, account: Account) -> None:
    outcomes = controller.open(account, OFFLINE, SERVICE)
    assert isinstance(outcomes[OFFLINE], OfflineError) and "inactive" in outcomes[OFFLINE].message
    assert isinstance(outcomes[SERVICE], Connection)


def test_disconnect_all_returns_the_outcome(controller: Controller, vendor: Vendor, account: Account) -> None:
    stop = (SERVICE, controller.open(account, SERVICE)[SERVICE].connectionid)
    assert controller.open(account, SERVICE)[SERVICE].reused
    outcomes = [dict(controller.client.disconnect_all(account, [stop]))[stop] for _unused in range(3)]
    assert outcomes == ["still_used", "closed", "already_closed"]
    assert vendor.open == set()


def test_list_devices_uses_the_login_of_the_run(controller: Controller, vendor: Vendor, account: Account) -> None:
    vendor.rows = [
        {"deviceaddress": service, "devicealias": f"kiosk-{number}", "devicestate": "active", "servicetitle": title}
        for number, (service, title) in enumerate([(SERVICE, "SSH"), (OFFLINE, "Bulk")])
    ]
    wanted, warnings = DeviceFilter(state="active", services=frozenset(["kiosk-0"])), ([], [], [])
    first = controller.client.list_devices(account, wanted, warnings[0].append)
    assert [service.id for device in first for service in device.services] == [SERVICE]
    controller.open(account, SERVICE)
    assert controller.client.list_devices(account, wanted, warnings[1].append) == first
    assert vendor.calls.count("/apv/v27/user/login") == 1
    with pytest.raises(OptionsError):
        controller.client.list_devices(account, DeviceFilter(tags_any=("kiosk",)), warnings[1].append)
    controller.kill(controller.keeper())
    assert controller.client.list_devices(account, wanted, warnings[2].append) == first
    assert warnings[0] == warnings[1] == warnings[2]


def test_release_hosts_closes_their_connections(controller: Controller, vendor: Vendor, account: Account) -> None:
    hosts = [HostRequest(name, service, None, None, account) for name, service in zip("ab", SERVICES)]
    assert (
        list(controller.client.release_hosts(["a", "b"], [account])) == []
    )  # nothing was opened: no keeper is started
    assert not os.path.exists(controller.run.runtime_dir)
    ids = [controller.open(account, host.service, host=host.host)[host.service].connectionid for host in hosts]
    stops = list(zip(SERVICES, ids))
    assert dict(controller.client.release_hosts(["a", "b"], [])) == dict.fromkeys(stops, "closed")
    assert vendor.open == set()


def test_disconnect_all_starts_a_keeper(controller: Controller, vendor: Vendor, account: Account) -> None:
    vendor.open.add("id-x")
    assert controller.client.finish() is None
    assert not os.path.exists(controller.run.runtime_dir)
    assert dict(controller.client.disconnect_all(account, [(SERVICE, "id-x")])) == {(SERVICE, "id-x"): "closed"}
    controller.keeper()
    assert vendor.open == set()


# -- commands ----------------------------------------------------------------------------------------------------------


class Play:
    """A play, as far as opening ahead reads it."""

    id = "a-play"

    def __init__(self, *hosts: HostRequest) -> None:
        self.hosts = hosts
        self.reads = 0

    def read_batch(self) -> list[HostRequest]:
        self.reads += 1
        return list(self.hosts)


@pytest.fixture
def hosts(account: Account) -> list[HostRequest]:
    return [HostRequest(name, service, None, None, account) for name, service in zip("abc", SERVICES)]


def test_acquire_leases_until_it_is_closed(
    controller: Controller, vendor: Vendor, account: Account, hosts: list[HostRequest]
) -> None:
    with contextlib.closing(controller.client.acquire(hosts[0], None, 100)) as lease:
        controller.keeper()
        stop = (lease.connection.deviceaddress, lease.connection.connectionid)
        assert vendor.open == {lease.connection.connectionid}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            closing = pool.submit(lambda: dict(controller.client.disconnect_all(account, [stop])))
            concurrent.futures.wait([closing], 0.2)  # it has to wait for the command
            assert len(vendor.open) == 1
            lease.close()
            assert closing.result(30) == {stop: "closed"}


def test_acquire_opens_the_batch_of_a_play_once(
    controller: Controller, vendor: Vendor, hosts: list[HostRequest]
) -> None:
    play = Play(*hosts)
    for host in hosts:
        with contextlib.closing(controller.client.acquire(host, t.cast(t.Any, play), 100)):
            controller.keeper()
    assert (play.reads, len(vendor.open)) == (1, 3)
    assert vendor.calls.count("/apv/v27/device/connect") == 3


def test_acquire_opens_one_host_without_prefetch(
    controller: Controller, vendor: Vendor, hosts: list[HostRequest]
) -> None:
    play = Play(*hosts)
    with contextlib.closing(controller.client.acquire(hosts[0], t.cast(t.Any, play), 0)):
        controller.keeper()
    assert (play.reads, len(vendor.open)) == (0, 1)


def test_lease_replaces_a_refused_connection(controller: Controller, vendor: Vendor, hosts: list[HostRequest]) -> None:
    with contextlib.closing(controller.client.acquire(hosts[0], None, 100)) as lease:
        controller.keeper()
        first = lease.connection.connectionid
        lease.replace()
        assert vendor.open == {lease.connection.connectionid} != {first}


def test_lease_notes_what_ssh_has_found_out(controller: Controller, hosts: list[HostRequest]) -> None:
    with contextlib.closing(controller.client.acquire(hosts[0], None, 100)) as lease:
        controller.keeper()
        assert (lease.has_responded, lease.checked) == (False, set())
        lease.note_checked("a digest")
        lease.note_response(is_direct=True)
    connectionid = lease.connection.connectionid

    def noted() -> tuple[bool, set[str]]:
        with contextlib.closing(controller.client.acquire(hosts[0], None, 100)) as again:
            return again.has_responded, again.checked

    wait_until(lambda: noted() == (True, {"a digest"}))  # the keeper does not confirm a note
    assert controller.client.control_path_dir_of("a") == controller.run.control_path_dir(connectionid)
    assert controller.client.control_path_dir_of("b") is None


def test_acquire_records_no_failure(controller: Controller, account: Account) -> None:
    """The reason of a task with ``no_log`` is hidden."""
    with pytest.raises(OfflineError) as failure:
        controller.client.acquire(HostRequest("a", OFFLINE, None, None, account), None, 100)
    controller.keeper()
    assert [controller.client.record_host_failure(failure.value.message, host) for host in ("b", "c")] == ["b", "b"]


def test_acquire_asks_the_next_keeper(controller: Controller, vendor: Vendor, account: Account) -> None:
    """The first is killed while it opens the connection."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(controller.client.acquire, HostRequest("a", SLOW, None, None, account), None, 100)
        assert vendor.slow_call_arrived.wait(30)
        controller.kill(controller.keeper())
        vendor.slow_call_may_go_on.set()
        with contextlib.closing(asked.result(30)) as lease:
            controller.keeper()
            assert lease.connection.connectionid in vendor.open


def test_lease_fails_after_its_keeper_was_killed(controller: Controller, hosts: list[HostRequest]) -> None:
    with contextlib.closing(controller.client.acquire(hosts[0], None, 100)) as lease:
        controller.kill(controller.keeper())
        lease.note_response(is_direct=True)  # the command was executed
        with pytest.raises(KeeperUnavailableError):
            lease.replace()


def test_keeper_uses_the_http_proxy_of_the_account(controller: Controller, vendor: Vendor, account: Account) -> None:
    credentials = dataclasses.replace(account.credentials, api_url="http://vendor.invalid/apv/v27")
    behind_a_proxy = Account(credentials, Transport({"http": vendor.url}), timeout=30, concurrency=2)
    controller.open(behind_a_proxy, SERVICE)
    assert len(vendor.open) == 1


# -- messages that the keeper refuses ----------------------------------------------------------------------------------


def talk(controller: Controller, *lines: bytes) -> list[t.Any]:
    """Send lines to the keeper, and return its messages."""
    with socket.socket(socket.AF_UNIX) as connected, connected.makefile("rb") as messages:
        connected.settimeout(30)
        connected.connect(controller.run.socket)
        for line in lines:
            connected.sendall(line)
        return [protocol.decode(message) for message in messages]


def line_of(message: str, *fields: t.Any, version: int = protocol.PROTOCOL_VERSION) -> bytes:
    return json.dumps({"version": version, "message": message, "fields": fields}).encode() + b"\n"


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b'{"version": 1, "mess\n',
        b"\xff\n",
        b"[" * 100000 + b"\n",
        line_of("Nothing"),
        line_of("End"),
        line_of("GetControlPathDir"),
        line_of("GetControlPathDir", 7),
        line_of("Finish", version=2),
        b'"' + b"a" * protocol.MAX_LINE_BYTES + b'"\n',
    ],
    ids=["empty", "cut", "no text", "deep", "unknown", "no request", "no field", "wrong type", "too new", "too long"],
)
def test_keeper_refuses_a_message(controller: Controller, account: Account, line: bytes) -> None:
    controller.open(account, SERVICE)
    (refusal,) = talk(controller, line)
    assert isinstance(refusal, protocol.RequestFailed)
    assert controller.open(account, SERVICE)[SERVICE].reused


@pytest.mark.parametrize("line", [b"{\n", line_of("End"), line_of("DeviceResponded", "yes"), line_of("Finish")])
def test_keeper_refuses_a_message_of_a_lease(
    controller: Controller, vendor: Vendor, account: Account, hosts: list[HostRequest], line: bytes
) -> None:
    """The lease ends."""
    stop = (SERVICES[0], controller.open(account, SERVICES[0])[SERVICES[0]].connectionid)
    acquired, refusal = talk(controller, protocol.encode(protocol.AcquireHost(hosts[0], None, 100)), line)
    assert isinstance(acquired, protocol.HostAcquired)
    assert isinstance(refusal, protocol.RequestFailed)
    assert dict(controller.client.disconnect_all(account, [stop])) == {stop: "closed"}


@pytest.mark.parametrize("line", [b"{\n", line_of("End"), line_of("Batch", "a")])
def test_keeper_refuses_a_batch(
    controller: Controller, vendor: Vendor, account: Account, hosts: list[HostRequest], line: bytes
) -> None:
    """Another worker sends the batch."""
    controller.open(account)
    wanted, refusal = talk(controller, protocol.encode(protocol.AcquireHost(hosts[0], "a-play", 100)), line)
    assert isinstance(wanted, protocol.BatchWanted)
    assert isinstance(refusal, protocol.RequestFailed)
    play = Play(*hosts)
    with contextlib.closing(controller.client.acquire(hosts[1], t.cast(t.Any, play), 100)):
        assert play.reads == 1


# -- what others can see -----------------------------------------------------------------------------------------------


def test_process_calls_the_api_as_the_other_processes_do(
    controller: Controller, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrapper such as torsocks applies to all processes of the run."""
    monkeypatch.setenv("TORSOCKS_CONF_FILE", "/t.conf")
    controller.open(account, SERVICE)
    assert b"TORSOCKS_CONF_FILE=/t.conf" in pathlib.Path("/proc", str(controller.keeper()), "environ").read_bytes()


def test_process_shows_no_secret_and_keeps_others_out(
    controller: Controller, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REMOTEIT_TOKEN", "REMOTEIT_PASSWORD", "R3_SECRET_ACCESS_KEY", "JENKINS_NODE_COOKIE", "SOME_SECRET"):
        monkeypatch.setenv(name, "s3cret")
    controller.open(account, SERVICE)
    process = pathlib.Path("/proc", str(controller.keeper()))
    assert b"s3cret" not in (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
    assert "s3cret" not in json.dumps(controller.ledgers())
    assert os.stat(controller.run.runtime_dir).st_mode & 0o777 == 0o700
    assert os.stat(controller.run.socket).st_mode & 0o077 == 0


def test_process_keeps_no_file_or_session_of_the_run(controller: Controller, account: Account) -> None:
    reading, writing = os.pipe()  # a CI job waits until its pipe is closed
    os.set_inheritable(writing, True)
    controller.open(account, SERVICE)
    os.close(writing)
    os.set_blocking(reading, False)
    assert os.read(reading, 1) == b""  # end of file and not BlockingIOError: no process has it open
    os.close(reading)
    pid = controller.keeper()
    assert [os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)] == ["/dev/null"] * 3
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.getsid(pid) == pid


# -- ends --------------------------------------------------------------------------------------------------------------


def test_process_closes_when_its_controller_has_ended(
    new_controller: t.Callable[..., Controller], vendor: Vendor, account: Account
) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    controller = new_controller(process.pid)
    controller.open(account, SERVICE)
    assert len(vendor.open) == 1
    keeper = controller.keeper()
    process.kill()
    process.communicate()
    controller.await_end(keeper)
    assert vendor.open == set()
    assert controller.ledgers() == []


def test_process_closes_and_exits_on_sigterm_only(controller: Controller, vendor: Vendor, account: Account) -> None:
    controller.open(account, SERVICE)
    keeper = controller.keeper()
    os.kill(keeper, signal.SIGHUP)
    os.kill(keeper, signal.SIGINT)
    assert controller.open(account, SERVICE)[SERVICE].reused
    os.kill(keeper, signal.SIGTERM)
    controller.await_end(keeper)
    assert vendor.open == set()


def test_process_is_killed_during_a_call(controller: Controller, vendor: Vendor, account: Account) -> None:
    controller.open(account, SERVICE)
    (connectionid,) = vendor.open
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(controller.open, account, SLOW)
        assert vendor.slow_call_arrived.wait(30)
        controller.kill(controller.keeper())
        with pytest.raises(KeeperUnavailableError):
            asked.result(30)
    vendor.slow_call_may_go_on.set()

    # the ledger has the connection and the call
    (ledger,) = controller.ledgers()
    assert [(line["event"], line.get("service"), line.get("connectionid")) for line in ledger] == [
        ("run", None, None),
        ("intent", SERVICE, None),
        ("opened", None, connectionid),
        ("intent", SLOW, None),
    ]
    # the next keeper takes the ledger over, and closes the connection
    outcomes = controller.open(account, SERVICE)
    assert connectionid not in vendor.open
    assert outcomes[SERVICE].connectionid in vendor.open
    keeper = controller.keeper()
    recap = controller.client.finish()
    assert recap is not None
    assert (recap.opened, recap.closed, recap.left_open) == (2, 2, ())
    assert [call.service for call in recap.may_be_open] == [SLOW]
    controller.await_end(keeper)
    assert len(controller.ledgers()) == 1


# -- the keeper cannot be started --------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["a shared runtime directory", "a file as state directory"])
def test_start_fails_without_private_directories(
    controller: Controller, vendor: Vendor, account: Account, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    if trouble == "a shared runtime directory":
        os.mkdir(controller.run.runtime_dir)
        os.chmod(controller.run.runtime_dir, 0o777)
    else:
        monkeypatch.setenv("REMOTEIT_STATE_DIR", os.path.join(__file__, "state"))
    with pytest.raises(KeeperError, match="cannot be started"):
        controller.open(account, SERVICE)
    assert vendor.calls == []


def test_client_sends_nothing_to_a_socket_of_others(controller: Controller, account: Account) -> None:
    """The keeper was killed, and another user listens in its place."""
    os.mkdir(controller.run.runtime_dir, 0o777)
    os.chmod(controller.run.runtime_dir, 0o777)
    with socket.socket(socket.AF_UNIX) as planted:
        planted.bind(controller.run.socket)
        planted.listen()
        with pytest.raises(KeeperUnavailableError):
            dict(controller.client.connect_all(account, ConnectRequest((SERVICE,))))
        line, _unused = planted.accept()
        with line:
            assert line.recv(1) == b""


@pytest.fixture
def slow_python(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Use a Python whose first process waits. Return the file with its PID."""
    gate, pid, python = tmp_path / "gate", tmp_path / "pid", tmp_path / "python"
    os.mkfifo(gate)
    python.write_text(
        f'#!/bin/sh\n[ -e {pid} ] || {{ echo $$ >{pid}; read line <{gate}; }}\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return pid


def test_start_fails_in_time_and_leaves_no_process(
    controller: Controller, vendor: Vendor, account: Account, slow_python: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = controller.client.connect_all(account, ConnectRequest((SERVICE,)))
    with monkeypatch.context() as hurry:
        hurry.setattr(process, "START_SECONDS", 2.0)
        with pytest.raises(KeeperError, match="did not start within 2 seconds"):
            next(outcomes)
    late = int(slow_python.read_text())
    controller.keepers.add(late)
    controller.await_end(late)
    assert vendor.calls == []
    assert isinstance(controller.open(account, SERVICE)[SERVICE], Connection)


def test_start_with_many_open_files(controller: Controller, account: Account) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 2048), before[1]))
    with contextlib.ExitStack() as many:
        many.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        for _unused in range(1100):
            many.enter_context(open(os.devnull, "rb"))
        assert isinstance(controller.open(account, SERVICE)[SERVICE], Connection)


@pytest.mark.parametrize("words", [b"", b'{"connec'])
def test_client_fails_if_the_keeper_ends_in_a_line(controller: Controller, account: Account, words: bytes) -> None:
    os.mkdir(controller.run.runtime_dir, 0o700)
    with socket.socket(socket.AF_UNIX) as keeper, concurrent.futures.ThreadPoolExecutor(1) as pool:
        keeper.bind(controller.run.socket)
        keeper.listen()
        asked = pool.submit(dict, controller.client.connect_all(account, ConnectRequest((SERVICE,))))
        line, _unused = keeper.accept()
        with line, line.makefile("rb") as request:
            request.readline()
            line.sendall(words)
        with pytest.raises(KeeperUnavailableError):
            asked.result(30)


def test_client_fails_if_the_keeper_has_another_version(
    controller: Controller, vendor: Vendor, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller.open(account, SERVICE)
    monkeypatch.setattr(protocol, "PROTOCOL_VERSION", 99)
    with pytest.raises(protocol.ProtocolVersionError):
        controller.open(account, OFFLINE)
    assert len(vendor.open) == 1
