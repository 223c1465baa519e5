# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The other side of the keeper: how the workers of a run, and in the end its controller, ask it."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import (
    ConnectionRef,
    ConnectRequest,
    ConnectResult,
    DirectBackend,
    DisconnectResult,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Device, DeviceFilter, Service, Warn
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    NotFoundError,
    RemoteItError,
    from_failure,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import FoundServices, ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper import process as _keeper_main
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.files import has_ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import (
    THIS_RUN,
    Run,
    runs_dir,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.private_files import is_private_dir, make_private_dir

#: The end of a run is not held up for longer than this; the keeper goes on without it.
FINISH_SECONDS = 30.0
START_SECONDS = 30.0
#: How long to wait before the next attempt to reach a keeper that is gone, in seconds.
RETRY_PAUSES = (0.0, 0.1, 0.5)

#: What the keeper's process needs of the environment. No secret, and no cookie by which CI agents hunt leftovers.
_ENVIRONMENT = (
    "PATH",
    "LD_LIBRARY_PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)


class Batch(t.Protocol):
    """The hosts of a play that run the same task."""

    @property
    def id(self) -> str: ...

    def read_batch(self) -> list[HostRequest]:
        """Return the hosts whose connections are opened ahead."""


class KeeperClient:
    """Opens and closes through the keeper of this run, which the first opening starts."""

    def __init__(self, run: Run = THIS_RUN) -> None:
        self._run = run

    def connect_all(
        self, account: Account, order: ConnectRequest, hosts: t.Mapping[str, t.Sequence[str]] | None = None
    ) -> t.Iterator[ConnectResult]:
        """Open the services.

        :param hosts: the inventory hosts of each service, which hold its connection until ``release_hosts``. Without them
            this task holds it, until a ``disconnect_all`` of its ID.
        """
        request = {"do": "open", "account": _to_json(account), "order": _to_json(order), "hosts": hosts}
        for event in self._ask(request, start=True):
            yield _opened(event)

    def find_services(self, account: Account, targets: t.Collection[ServiceName], warn: Warn) -> FoundServices:
        """Find the services by name."""
        found: FoundServices = {}
        request = {"do": "resolve", "account": _to_json(account), "targets": list(targets)}
        for event in self._ask(request, start=True):
            if "warning" in event:
                warn(event["warning"])
            elif "service" in event:
                found[ServiceName(*event["target"])] = Service(*event["service"])
            else:
                found[ServiceName(*event["target"])] = t.cast(NotFoundError, from_failure(event["failure"]))
        return found

    def list_devices(self, account: Account, wanted: DeviceFilter, warn: Warn) -> list[Device]:
        """List devices. Without a keeper the API is asked directly: who only looks needs none."""
        fields = {name: list(value) if isinstance(value, frozenset) else value for name, value in vars(wanted).items()}
        found = []
        try:
            for event in self._ask({"do": "devices", "account": _to_json(account), "wanted": fields}):
                if "warning" in event:
                    warn(event["warning"])
                else:
                    device = Device(*event["device"])
                    services = tuple(Service(*service) for service in device.services)
                    found.append(device._replace(tags=tuple(device.tags), services=services))
        except KeeperUnavailableError:
            return DirectBackend().list_devices(account, wanted, warn)
        return found

    def use(self, host: HostRequest, play: Batch | None, most_ahead: int) -> ProxyUse:
        """Take a host's connection for one command; the keeper opens it if need be.

        :param play: the play whose other hosts are to be opened ahead; ``None`` for this host alone.
        :param most_ahead: how many connections may be open that no task has used yet.
        :raises RemoteItError: it cannot be opened.
        """
        ahead = play if most_ahead > 0 else None
        for pause in RETRY_PAUSES:  # a keeper that was just killed may seem to listen for a moment
            with contextlib.suppress(KeeperUnavailableError):
                return ProxyUse(self._line(start=True), host, ahead, most_ahead)
            time.sleep(pause)
        return ProxyUse(self._line(start=True), host, ahead, most_ahead)

    def first_failed_host(self, message: str, host: str) -> str:
        """Return the host that was the first of this run to fail with this message."""
        return str(next(self._ask({"do": "explain", "message": message, "host": host}, start=True))["host"])

    def control_paths_of(self, host: str) -> str | None:
        """Return the directory of the control masters that a host uses; ``None`` if it uses none."""
        with contextlib.suppress(KeeperUnavailableError):
            return next(self._ask({"do": "control_paths", "host": host}))["directory"]
        return None

    def disconnect_all(self, account: Account, stops: t.Sequence[ConnectionRef]) -> t.Iterator[DisconnectResult]:
        """Close the connections, or give up holding them."""
        request = {"do": "close", "account": _to_json(account), "stops": [[*stop, ""] for stop in stops]}
        for event in self._ask(request, start=True):
            yield (event["service"], event["connectionid"]), _closed(event)

    def release_hosts(self, names: t.Sequence[str], accounts: t.Iterable[Account]) -> t.Iterator[DisconnectResult]:
        """Close what was opened for these hosts. If this run has opened nothing, there is nothing to close.

        :param accounts: theirs, as far as they are known; with them, what a killed keeper had opened is closed as well.
        """
        if not os.path.exists(self._run.socket) and not has_ledger(runs_dir(), self._run.id):
            return
        request = {
            "do": "close_hosts",
            "accounts": [_to_json(account) for account in dict.fromkeys(accounts)],
            "hosts": list(names),
        }
        for event in self._ask(request, start=True):
            yield (event["service"], event["connectionid"]), _closed(event)

    def finish(self) -> dict[str, t.Any] | None:
        """Ask the keeper to close everything and leave.

        :return: what it says it did; none if there is no keeper.
        :raises TimeoutError: it takes longer than we wait.
        """
        if not os.path.exists(self._run.socket):
            return None
        with contextlib.suppress(KeeperUnavailableError):
            return next(self._ask({"do": "finish"}, timeout=FINISH_SECONDS))
        return None

    # -- the line --------------------------------------------------------------------------------------------------

    def _ask(
        self, request: dict[str, t.Any], *, start: bool = False, timeout: float | None = None
    ) -> t.Iterator[dict[str, t.Any]]:
        """Send the request and return the events of the response."""
        with self._line(start) as line, line.makefile("rb") as answers:
            line.settimeout(timeout)
            try:
                line.sendall(json.dumps(request).encode() + b"\n")
                for answer in answers:
                    if not answer.endswith(b"\n"):
                        break  # it died before it had said it all
                    event = json.loads(answer)
                    if "error" in event:
                        raise from_failure(event["error"])
                    if "end" in event:
                        return
                    yield event
            except ConnectionError:
                pass
        raise KeeperUnavailableError(_KILLED)

    def _line(self, start: bool) -> socket.socket:
        line = self._connect()
        if line is None and start:
            line = self._start()
        if line is None:
            raise KeeperUnavailableError("the keeper of this run is gone")
        return line

    def _connect(self) -> socket.socket | None:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            line.connect(self._run.socket)
        except (FileNotFoundError, ConnectionRefusedError):
            line.close()
            return None
        if not (is_private_dir(self._run.runtime_dir) and _is_of_this_user(line)):
            line.close()
            raise KeeperUnavailableError(
                f"somebody else listens in {self._run.runtime_dir}, where the keeper of this run did, and nothing was"
                f" sent there; what this run had opened is in the ledger of the run {self._run.id}: run the playbook"
                " remoteit.fleet.teardown"
            )
        return line

    def _start(self) -> socket.socket | None:
        """Start the keeper, unless another worker is doing so."""
        try:
            make_private_dir(self._run.runtime_dir)
            with open(os.path.join(self._run.runtime_dir, "lock"), "w", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                line = self._connect()
                if line is None:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self._run.socket)
                    _spawn(self._run)
                    line = self._connect()
        except OSError as error:
            raise KeeperError(f"nothing was opened: the keeper of this run cannot be started: {error}") from error
        return line


_KILLED = "the keeper of this run was killed; run the playbook remoteit.fleet.teardown to close what it had opened"


class ProxyUse:
    """A host's connection while one command runs through it. The keeper counts it as used until it is closed."""

    def __init__(self, line: socket.socket, host: HostRequest, play: Batch | None, most_ahead: int) -> None:
        self._line = line
        self._events = line.makefile("rb")
        self._play = play
        request = {
            "do": "use",
            "host": _host_request(host),
            "play": None if play is None else play.id,
            "most_ahead": most_ahead,
        }
        try:
            self._send(request)
            self._receive()
        except BaseException:
            self.close()
            raise

    def _receive(self) -> None:
        event = self._next()
        if "batch" in event:
            hosts = self._play.read_batch() if self._play else []
            self._send({"hosts": [_host_request(host) for host in hosts]})
            event = self._next()
        if "error" in event:
            raise from_failure(event["error"])
        if "failure" in event:
            error = from_failure(event["failure"])
            error.first = event["first"]
            raise error
        self.connection = Connection.from_result(event["connection"])
        self.answered: bool = event["answered"]
        self.checked: set[str] = set(event["checked"])
        self.age: float = event["age"]

    def replace(self) -> None:
        """Take another connection, because ssh cannot connect to the proxy of this one.

        :raises RemoteItError: it cannot be opened.
        """
        self._send({"refused": True})
        self._receive()

    def note_answer(self, *, direct: bool) -> None:
        """Note that the device has responded.

        :param direct: whether ssh connects to the proxy from this machine.
        """
        if not self.answered:
            self.answered = True
            with contextlib.suppress(RemoteItError):  # the command was executed, whatever happened to the keeper
                self._send({"answered": True, "direct": direct})

    def note_checked(self, digest: str) -> None:
        """Note that with this argument list ssh goes to the proxy."""
        self.checked.add(digest)
        with contextlib.suppress(RemoteItError):
            self._send({"checked": digest})

    def close(self) -> None:
        self._events.close()
        self._line.close()

    def _send(self, message: dict[str, t.Any]) -> None:
        try:
            self._line.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise KeeperUnavailableError(_KILLED) from error

    def _next(self) -> dict[str, t.Any]:
        try:
            line = self._events.readline()
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            raise KeeperUnavailableError(_KILLED)
        return json.loads(line)


def _host_request(host: HostRequest) -> dict[str, t.Any]:
    return {
        "host": host.host,
        "account": _to_json(host.account),
        "service": host.service,
        "target": host.target,
        "hostip": host.hostip,
    }


def _closed(event: dict[str, t.Any]) -> str | RemoteItError:
    return event["outcome"] if "outcome" in event else from_failure(event["failure"])


class KeeperError(RemoteItError):
    """The keeper cannot be asked, which is not the API's trouble."""


class KeeperUnavailableError(KeeperError):
    """The keeper died, or never was."""


def _is_of_this_user(line: socket.socket) -> bool:
    """Whether a process of this user is at the other end, as far as this system tells."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _unused, uid, _unused = struct.unpack(
        "3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return bool(uid == os.getuid())


def _opened(event: dict[str, t.Any]) -> ConnectResult:
    if "connection" in event:
        return event["service"], Connection.from_result(event["connection"])
    return event["service"], from_failure(event["failure"])


def _to_json(value: t.Any) -> dict[str, t.Any]:
    return dataclasses.asdict(value)


def _is_readable(stream: t.IO[bytes], seconds: float) -> bool:
    """Whether there is something to read, or the end, within that time; unlike C(select), however many are open."""
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _spawn(run: Run) -> None:
    """Start the keeper's process and wait until it serves.

    :raises OSError: it cannot, and says why.
    """
    process = subprocess.Popen(
        [sys.executable, _keeper_main.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        start_new_session=True,
        umask=0o077,
    )
    stdin, stdout, stderr = (t.cast(t.IO[bytes], stream) for stream in (process.stdin, process.stdout, process.stderr))
    start = {"run": _to_json(run), "runs_folder": runs_dir(), "sys_path": [os.path.abspath(path) for path in sys.path]}
    try:
        with contextlib.suppress(BrokenPipeError), stdin:  # it ends without reading, and will say why
            stdin.write(json.dumps(start).encode() + b"\n")
        if not _is_readable(stdout, START_SECONDS):
            process.terminate()  # however far it has got, it holds nothing yet
            process.returncode = -signal.SIGTERM
            raise TimeoutError(f"it did not start within {START_SECONDS:g} seconds; is this machine overloaded?")
        line = stdout.readline()
        last_words = b"" if line else stderr.read()
    finally:
        stdout.close()
        stderr.close()
    words = last_words.decode(errors="replace").strip().splitlines() or ["it ended without a word"]
    answer = json.loads(line) if line else {"error": words[-1]}
    if "error" in answer:
        raise OSError(answer["error"])
    process.returncode = 0  # it outlives this worker: not ours to wait for
