# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper as a process of its own, and the workers' way to it."""

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

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import DeviceFilter
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    OfflineError,
    OptionsError,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.http import Transport
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper import client as _keeper_client
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.client import KeeperClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.shutdown import add_orphans, recap_text
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run
from ansible_collections.remoteit.fleet.tests.unit.plugins.conversation import SERVICE, SERVICES

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="finds the keeper's process as Linux can")

SECRETS = {"developer_key": "s3cret-key", "username": "s3cret-user", "password": "s3cret-password"}
TOKEN = "s3cret-token"
OFFLINE = SERVICES[50]
SLOW = SERVICES[51]
KILLED = "the keeper of this run was killed; run the playbook remoteit.fleet.teardown to close what it had opened"


class Vendor(http.server.ThreadingHTTPServer):
    """An API that opens and closes, and knows what is open."""

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

    def answer(self, path: str, body: dict[str, str]) -> dict[str, t.Any]:
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
        answer = json.dumps(self.server.answer(urlsplit(self.path).path, body)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

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
    """A run with its keeper, seen from outside."""

    def __init__(self, run: Run, runs: pathlib.Path) -> None:
        self.run = run
        self.runs = runs
        self.client = KeeperClient(run)
        self.keepers: set[int] = set()  # those that are to be cleared away

    def open(self, account: Account, *services: str, host: str | None = None, **options: t.Any) -> dict[str, t.Any]:
        hosts = None if host is None else {service: [host] for service in services}
        outcomes = dict(self.client.connect_all(account, ConnectRequest(services, **options), hosts))
        self.keeper()
        return outcomes

    def keeper(self) -> int:
        """The pid of the process that listens."""
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
            assert select.select([descriptor], [], [], 30)[0], "the keeper did not leave"
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
    base = tempfile.mkdtemp(dir="/tmp", prefix="remoteit-unit-")  # a socket's path has to be short
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


def test_many_workers_at_once_share_one_keeper(controller: Controller, vendor: Vendor, account: Account) -> None:
    services = SERVICES[:5]
    together = threading.Barrier(12)

    def worker(number: int) -> dict[str, t.Any]:
        together.wait(30)
        return controller.open(account, *services, host=f"host-{number}")

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(worker, range(12)))
    ids = {service: answers[0][service].connectionid for service in services}
    assert all({service: answer[service].connectionid for service in services} == ids for answer in answers)
    assert sum(not answer[service].reused for answer in answers for service in services) == len(services)
    assert vendor.open == set(ids.values())
    assert vendor.calls.count("/apv/v27/user/login") == 1
    assert len(controller.keepers) == 1

    (keeper,) = controller.keepers
    assert controller.client.finish() == {"opened": 5, "closed": 5, "left": [], "unsure": [], "ended_early": []}
    assert vendor.open == set()
    controller.await_end(keeper)
    assert not os.path.exists(controller.run.runtime_dir)
    assert controller.ledgers() == []


def test_what_failed_arrives_as_it_was(controller: Controller, account: Account) -> None:
    outcomes = controller.open(account, OFFLINE, SERVICE)
    assert isinstance(outcomes[OFFLINE], OfflineError) and "inactive" in outcomes[OFFLINE].message
    assert isinstance(outcomes[SERVICE], Connection)


def test_closing_and_holding(controller: Controller, vendor: Vendor, account: Account) -> None:
    stop = (SERVICE, controller.open(account, SERVICE)[SERVICE].connectionid)
    assert controller.open(account, SERVICE)[SERVICE].reused
    outcomes = [dict(controller.client.disconnect_all(account, [stop]))[stop] for _unused in range(3)]
    assert outcomes == ["still_used", "closed", "already_closed"]
    assert vendor.open == set()


def test_who_looks_for_devices_uses_the_login_of_the_run(
    controller: Controller, vendor: Vendor, account: Account
) -> None:
    vendor.rows = [
        {"deviceaddress": service, "devicealias": f"kiosk-{number}", "devicestate": "active", "servicetitle": title}
        for number, (service, title) in enumerate([(SERVICE, "SSH"), (OFFLINE, "Bulk")])
    ]
    wanted, warnings = DeviceFilter(state="active", services=frozenset(["kiosk-0"])), ([], [], [])
    directly = controller.client.list_devices(account, wanted, warnings[0].append)
    assert [service.id for device in directly for service in device.services] == [SERVICE]
    controller.open(account, SERVICE)
    assert vendor.calls.count("/apv/v27/user/login") == 2
    assert controller.client.list_devices(account, wanted, warnings[1].append) == directly
    assert vendor.calls.count("/apv/v27/user/login") == 2
    with pytest.raises(OptionsError, match="cannot tell tags_any"):
        controller.client.list_devices(account, DeviceFilter(tags_any=("kiosk",)), warnings[1].append)
    controller.kill(controller.keeper())
    assert controller.client.list_devices(account, wanted, warnings[2].append) == directly
    assert warnings[0] == warnings[1] == warnings[2]


def test_client_closes_what_hosts_hold(controller: Controller, vendor: Vendor, account: Account) -> None:
    hosts = [HostRequest(name, service, None, None, account) for name, service in zip("ab", SERVICES)]
    assert (
        list(controller.client.release_hosts(["a", "b"], [account])) == []
    )  # nothing was opened: no keeper is started
    assert not os.path.exists(controller.run.runtime_dir)
    ids = [controller.open(account, host.service, host=host.host)[host.service].connectionid for host in hosts]
    stops = list(zip(SERVICES, ids))
    assert dict(controller.client.release_hosts(["a", "b"], [])) == dict.fromkeys(stops, "closed")
    assert vendor.open == set()


def test_client_close_starts_a_keeper(controller: Controller, vendor: Vendor, account: Account) -> None:
    vendor.open.add("id-x")
    assert controller.client.finish() is None
    assert not os.path.exists(controller.run.runtime_dir)
    assert dict(controller.client.disconnect_all(account, [(SERVICE, "id-x")])) == {(SERVICE, "id-x"): "closed"}
    controller.keeper()
    assert vendor.open == set()


# -- commands ----------------------------------------------------------------------------------------------------------


class Play:
    """The part of a play that opening ahead asks for."""

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


def test_use_holds_a_connection_until_it_is_closed(
    controller: Controller, vendor: Vendor, account: Account, hosts: list[HostRequest]
) -> None:
    with contextlib.closing(controller.client.use(hosts[0], None, 100)) as used:
        controller.keeper()
        stop = (used.connection.deviceaddress, used.connection.connectionid)
        assert vendor.open == {used.connection.connectionid}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            closing = pool.submit(lambda: dict(controller.client.disconnect_all(account, [stop])))
            concurrent.futures.wait([closing], 0.2)  # it has to wait for the command
            assert len(vendor.open) == 1
            used.close()
            assert closing.result(30) == {stop: "closed"}


def test_use_opens_the_batch_of_a_play_once(controller: Controller, vendor: Vendor, hosts: list[HostRequest]) -> None:
    play = Play(*hosts)
    for host in hosts:
        with contextlib.closing(controller.client.use(host, t.cast(t.Any, play), 100)):
            controller.keeper()
    assert (play.reads, len(vendor.open)) == (1, 3)
    assert vendor.calls.count("/apv/v27/device/connect") == 3


def test_use_opens_one_host_without_prefetch(controller: Controller, vendor: Vendor, hosts: list[HostRequest]) -> None:
    play = Play(*hosts)
    with contextlib.closing(controller.client.use(hosts[0], t.cast(t.Any, play), 0)):
        controller.keeper()
    assert (play.reads, len(vendor.open)) == (0, 1)


def test_use_replaces_a_refused_connection_on_request(
    controller: Controller, vendor: Vendor, hosts: list[HostRequest]
) -> None:
    with contextlib.closing(controller.client.use(hosts[0], None, 100)) as used:
        controller.keeper()
        first = used.connection.connectionid
        used.replace()
        assert vendor.open == {used.connection.connectionid} != {first}


def test_use_remembers_what_ssh_has_found_out(controller: Controller, hosts: list[HostRequest]) -> None:
    with contextlib.closing(controller.client.use(hosts[0], None, 100)) as used:
        controller.keeper()
        assert (used.answered, used.checked) == (False, set())
        used.note_checked("a digest")
        used.note_answer(direct=True)
    with contextlib.closing(controller.client.use(hosts[0], None, 100)) as again:
        assert (again.answered, again.checked) == (True, {"a digest"})
    assert controller.client.control_paths_of("a") == controller.run.control_path_dir(again.connection.connectionid)
    assert controller.client.control_paths_of("b") is None


def test_use_names_the_first_host_of_a_shared_failure(controller: Controller, account: Account) -> None:
    for name, first in (("a", "a"), ("b", "a")):
        with pytest.raises(OfflineError) as failure:
            controller.client.use(HostRequest(name, OFFLINE, None, None, account), None, 100)
        controller.keeper()
        assert failure.value.first == first
    assert controller.client.first_failed_host(failure.value.message, "c") == "a"


def test_use_asks_the_next_keeper(controller: Controller, vendor: Vendor, account: Account) -> None:
    """The first is killed while it opens the connection."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(controller.client.use, HostRequest("a", SLOW, None, None, account), None, 100)
        assert vendor.slow_call_arrived.wait(30)
        controller.kill(controller.keeper())
        vendor.slow_call_may_go_on.set()
        with contextlib.closing(asked.result(30)) as used:
            controller.keeper()
            assert used.connection.connectionid in vendor.open


def test_use_fails_when_its_keeper_is_killed(controller: Controller, hosts: list[HostRequest]) -> None:
    with contextlib.closing(controller.client.use(hosts[0], None, 100)) as used:
        controller.kill(controller.keeper())
        used.note_answer(direct=True)  # the command was executed all the same
        with pytest.raises(RemoteItError) as failure:
            used.replace()
    assert failure.value.message == KILLED


def test_the_way_to_the_api_is_the_accounts(controller: Controller, vendor: Vendor, account: Account) -> None:
    credentials = dataclasses.replace(account.credentials, api_url="http://vendor.invalid/apv/v27")
    behind_a_proxy = Account(credentials, Transport({"http": vendor.url}), timeout=30, concurrency=2)
    controller.open(behind_a_proxy, SERVICE)
    assert len(vendor.open) == 1


# -- what others can see -----------------------------------------------------------------------------------------------


def test_no_secret_can_be_seen_and_nobody_else_gets_in(
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


def test_it_keeps_nothing_of_the_run(controller: Controller, account: Account) -> None:
    reading, writing = os.pipe()  # as a CI job has one, for which it waits
    os.set_inheritable(writing, True)
    controller.open(account, SERVICE)
    os.close(writing)
    os.set_blocking(reading, False)
    assert os.read(reading, 1) == b""  # nobody else has it open: end of file, not BlockingIOError
    os.close(reading)
    pid = controller.keeper()
    assert [os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)] == ["/dev/null"] * 3
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.getsid(pid) == pid


# -- ends --------------------------------------------------------------------------------------------------------------


def test_it_closes_when_its_controller_is_gone(
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


def test_it_closes_and_leaves_on_sigterm_alone(controller: Controller, vendor: Vendor, account: Account) -> None:
    controller.open(account, SERVICE)
    keeper = controller.keeper()
    os.kill(keeper, signal.SIGHUP)
    os.kill(keeper, signal.SIGINT)
    assert controller.open(account, SERVICE)[SERVICE].reused
    os.kill(keeper, signal.SIGTERM)
    controller.await_end(keeper)
    assert vendor.open == set()


def test_a_keeper_killed_in_mid_call(controller: Controller, vendor: Vendor, account: Account) -> None:
    controller.open(account, SERVICE)
    (connectionid,) = vendor.open
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(controller.open, account, SLOW)
        assert vendor.slow_call_arrived.wait(30)
        controller.kill(controller.keeper())
        with pytest.raises(RemoteItError) as failure:
            asked.result(30)
    assert failure.value.message == KILLED
    vendor.slow_call_may_go_on.set()

    # what it knew and what it had begun is on disk
    (ledger,) = controller.ledgers()
    assert [(line["event"], line.get("service"), line.get("connectionid")) for line in ledger] == [
        ("run", None, None),
        ("intent", SERVICE, None),
        ("opened", None, connectionid),
        ("intent", SLOW, None),
    ]
    # the next keeper closes it, and takes its ledger over
    outcomes = controller.open(account, SERVICE)
    assert connectionid not in vendor.open
    assert outcomes[SERVICE].connectionid in vendor.open
    keeper = controller.keeper()
    recap = controller.client.finish()
    assert recap is not None
    assert (recap["opened"], recap["closed"], recap["left"]) == (2, 2, [])
    assert [unsure["service"] for unsure in recap["unsure"]] == [SLOW]
    controller.await_end(keeper)
    assert len(controller.ledgers()) == 1


# -- it cannot be started ----------------------------------------------------------------------------------------------


def test_a_folder_of_somebody_else(controller: Controller, vendor: Vendor, account: Account) -> None:
    os.mkdir(controller.run.runtime_dir)
    os.chmod(controller.run.runtime_dir, 0o777)
    with pytest.raises(RemoteItError, match=r"nothing was opened: the keeper of this run cannot be started: .*private"):
        controller.open(account, SERVICE)
    assert vendor.calls == []


def test_who_listens_in_a_folder_that_is_not_ours_alone_is_told_nothing(
    controller: Controller, account: Account
) -> None:
    """The keeper is dead, and another user has put something in its place."""
    os.mkdir(controller.run.runtime_dir, 0o777)
    os.chmod(controller.run.runtime_dir, 0o777)
    with socket.socket(socket.AF_UNIX) as planted:
        planted.bind(controller.run.socket)
        planted.listen()
        with pytest.raises(RemoteItError, match="somebody else listens in"):
            dict(controller.client.connect_all(account, ConnectRequest((SERVICE,))))
        line, _unused = planted.accept()
        with line:
            assert line.recv(1) == b""


def test_no_place_for_the_ledger(
    controller: Controller, vendor: Vendor, account: Account, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("REMOTEIT_STATE_DIR", str(tmp_path / "file" / "state"))
    with pytest.raises(RemoteItError, match=r"nothing was opened: the keeper of this run cannot be started: .*file"):
        controller.open(account, SERVICE)
    assert vendor.calls == []


@pytest.fixture
def slow_python(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A Python that does not begin, the first time; the file tells its pid."""
    gate, pid, python = tmp_path / "gate", tmp_path / "pid", tmp_path / "python"
    os.mkfifo(gate)
    python.write_text(
        f'#!/bin/sh\n[ -e {pid} ] || {{ echo $$ >{pid}; read line <{gate}; }}\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return pid


def test_a_keeper_that_does_not_start_in_time_is_not_left_behind(
    controller: Controller,
    vendor: Vendor,
    account: Account,
    slow_python: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_vain = controller.client.connect_all(account, ConnectRequest((SERVICE,)))
    with monkeypatch.context() as hurry:
        hurry.setattr(_keeper_client, "START_SECONDS", 2.0)
        with pytest.raises(RemoteItError, match=r"nothing was opened: .* it did not start within 2 seconds"):
            next(in_vain)
    late = int(slow_python.read_text())
    controller.keepers.add(late)
    controller.await_end(late)
    assert vendor.calls == []
    assert isinstance(controller.open(account, SERVICE)[SERVICE], Connection)


def test_a_worker_that_has_many_files_open(controller: Controller, account: Account) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 2048), before[1]))
    with contextlib.ExitStack() as many:
        many.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        for _unused in range(1100):
            many.enter_context(open(os.devnull, "rb"))
        assert isinstance(controller.open(account, SERVICE)[SERVICE], Connection)


@pytest.mark.parametrize("words", [b"", b'{"connec'])
def test_a_keeper_that_dies_in_the_middle_of_a_line(controller: Controller, account: Account, words: bytes) -> None:
    os.mkdir(controller.run.runtime_dir, 0o700)
    with socket.socket(socket.AF_UNIX) as keeper, concurrent.futures.ThreadPoolExecutor(1) as pool:
        keeper.bind(controller.run.socket)
        keeper.listen()
        asked = pool.submit(dict, controller.client.connect_all(account, ConnectRequest((SERVICE,))))
        line, _unused = keeper.accept()
        with line, line.makefile("rb") as request:
            request.readline()
            line.sendall(words)
        with pytest.raises(RemoteItError) as failure:
            asked.result(30)
    assert failure.value.message == KILLED


# -- the recap ---------------------------------------------------------------------------------------------------------

LEFT = {"service": SERVICE, "connectionid": "id-a", "expires_at": "2026-01-16T07:20:00Z", "why": "HTTP 500"}
UNSURE = {"service": SERVICE, "at": "2026-01-15T23:20:00Z", "why": "no answer"}
NOT_CLOSED = f"[WARNING]: remote.it: the connection id-a to {SERVICE} could not be closed: HTTP 500; it ends"
NOT_ANSWERED = (
    f"[WARNING]: remote.it: the call that was to open {SERVICE} at 2026-01-15T23:20:00Z had no clear answer and may"
    " have opened a connection; it ends by itself 15 minutes after its last use: no answer"
)


@pytest.mark.parametrize(
    ("recap", "numbers", "warnings"),
    [
        ({"opened": 3, "closed": 3}, "opened 3, closed 3, left open 0", []),
        (
            {"opened": 3, "closed": 2, "left": [LEFT]},
            "opened 3, closed 2, left open 1",
            [f"{NOT_CLOSED} by itself at 2026-01-16T07:20:00Z"],
        ),
        (
            {"opened": 1, "closed": 0, "left": [{**LEFT, "expires_at": None}]},
            "opened 1, closed 0, left open 1",
            [f"{NOT_CLOSED} by itself at a time that the API did not tell"],
        ),
        ({"opened": 0, "closed": 0, "unsure": [UNSURE]}, "opened 0, closed 0, left open 0", [NOT_ANSWERED]),
    ],
)
def test_the_recap(recap: dict[str, t.Any], numbers: str, warnings: list[str]) -> None:
    assert recap_text({"left": [], "unsure": [], "ended_early": [], **recap}).splitlines() == [
        f"remote.it: {numbers}",
        *warnings,
    ]


def test_the_recap_names_what_a_killed_keeper_has_left() -> None:
    entry = {"deviceaddress": SERVICE, "connectionid": "id-a", "ends_by_itself_at": "2026-01-16T07:20:00Z"}
    first, second = recap_text(add_orphans(None, [entry]) or {}).splitlines()
    assert first == "remote.it: opened 1, closed 0, left open 1"
    assert "id-a" in second
    assert "remoteit.fleet.teardown" in second
    told = {"opened": 2, "closed": 1, "left": [LEFT], "unsure": [], "ended_early": []}
    assert add_orphans(told, [entry]) == told
    assert add_orphans(told, []) == told
    assert add_orphans(None, []) is None
