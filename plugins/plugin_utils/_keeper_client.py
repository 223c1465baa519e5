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
import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils._connection import Connection, is_connection_id
from ansible_collections.remoteit.fleet.plugins.module_utils._devices import Device, Service, Wanted, Warn
from ansible_collections.remoteit.fleet.plugins.module_utils._errors import (
    NotFoundError,
    RemoteItError,
    from_failure,
)
from ansible_collections.remoteit.fleet.plugins.module_utils._fleet import Account, Direct, Opened, Order, Stop, Stopped
from ansible_collections.remoteit.fleet.plugins.module_utils._targets import Resolved, Target
from ansible_collections.remoteit.fleet.plugins.plugin_utils import _keeper_main
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger import note_closed
from ansible_collections.remoteit.fleet.plugins.plugin_utils._masters import end_masters
from ansible_collections.remoteit.fleet.plugins.plugin_utils._private import is_ours, private_folder
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run import (
    THIS_RUN,
    Run,
    runs_folder,
)

#: The end of a run is not held up for longer than this; the keeper goes on without it.
FINISH_SECONDS = 30.0
START_SECONDS = 30.0

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


#: The connection or the failure of each service, as a module on another host returns them: they may be anything.
Outcomes = dict[str, t.Any]


class KeeperClient:
    """Opens and closes through the keeper of this run, which the first opening starts."""

    def __init__(self, run: Run = THIS_RUN) -> None:
        self._run = run

    def open(
        self, account: Account, order: Order, claims: t.Mapping[str, t.Sequence[str]] | None = None
    ) -> t.Iterator[Opened]:
        """Open the services; without C(claims) each gets one holder, which a later C(close) takes away again."""
        if claims is None:
            claims = {service: [""] for service in order.services}
        request = {"do": "open", "account": _plain(account), "order": _plain(order), "claims": claims}
        for event in self._ask(request, start=True):
            yield _opened(event)

    def resolve(self, account: Account, targets: t.Collection[Target], warn: Warn) -> Resolved:
        """Find the services by name."""
        found: Resolved = {}
        request = {"do": "resolve", "account": _plain(account), "targets": list(targets)}
        for event in self._ask(request, start=True):
            if "warning" in event:
                warn(event["warning"])
            elif "service" in event:
                found[Target(*event["target"])] = Service(*event["service"])
            else:
                found[Target(*event["target"])] = t.cast(NotFoundError, from_failure(event["failure"]))
        return found

    def devices(self, account: Account, wanted: Wanted, warn: Warn) -> list[Device]:
        """List devices. Without a keeper the API is asked directly: who only looks needs none."""
        fields = {name: list(value) if isinstance(value, frozenset) else value for name, value in vars(wanted).items()}
        found = []
        try:
            for event in self._ask({"do": "devices", "account": _plain(account), "wanted": fields}):
                if "warning" in event:
                    warn(event["warning"])
                else:
                    device = Device(*event["device"])
                    services = tuple(Service(*service) for service in device.services)
                    found.append(device._replace(tags=tuple(device.tags), services=services))
        except _KeeperGone:
            return Direct().devices(account, wanted, warn)
        return found

    def close(self, account: Account, stops: t.Sequence[Stop], holders: t.Sequence[str] = ()) -> t.Iterator[Stopped]:
        """Close the connections, or give up holding them. Without a keeper the API is asked directly."""
        if not os.path.exists(self._run.socket):
            yield from self._close_without_keeper(account, stops)
            return
        named = holders or [""] * len(stops)
        request = {
            "do": "close",
            "account": _plain(account),
            "stops": [[*stop, holder] for stop, holder in zip(stops, named)],
        }
        missing = set(stops)
        try:
            for event in self._ask(request):
                stop = (event["service"], event["connectionid"])
                missing.discard(stop)
                yield stop, event["outcome"] if "outcome" in event else from_failure(event["failure"])
        except _KeeperGone:
            yield from self._close_without_keeper(account, [stop for stop in stops if stop in missing])

    def _close_without_keeper(self, account: Account, stops: t.Sequence[Stop]) -> t.Iterator[Stopped]:
        for _unused, connectionid in stops:
            end_masters(self._run.control_path_dir(connectionid))
        closed: set[str] = set()
        try:
            for stop, outcome in Direct().close(account, stops):
                if not isinstance(outcome, RemoteItError):
                    closed.add(stop[1])
                yield stop, outcome
        finally:
            with contextlib.suppress(OSError, RemoteItError):  # they are closed, whether or not a ledger says so
                note_closed(runs_folder(), self._run.id, closed)

    def closed_elsewhere(self, lists: t.Iterable[t.Any]) -> None:
        """Tell the keeper, if there is one, what a module on another host says that it has closed."""
        entries = (entry for entries in lists if isinstance(entries, list) for entry in entries)
        connectionids = [entry["connectionid"] for entry in entries if _names_one(entry)]
        if os.path.exists(self._run.socket):
            with contextlib.suppress(_KeeperGone):
                for _unused in self._ask({"do": "closed_elsewhere", "connectionids": connectionids}):
                    pass

    def is_first(self, batch: str) -> bool:
        """Whether no other worker has asked this about the batch."""
        return next(self._ask({"do": "is_first", "batch": batch}, start=True))["first"]

    def adopt(self, account: Account, order: Order, work: t.Callable[[], Outcomes]) -> list[Opened]:
        """Let a module on another host do the opening.

        :param work: runs the module when the intents are written, and tells what it returned of each service.
        """
        request = {"do": "adopt", "account": _plain(account), "order": _plain(order)}
        with contextlib.closing(self._ask(request, start=True)) as conversation:
            next(conversation)
            outcomes = work()
            try:
                return list(map(_opened, [conversation.send(outcomes), *conversation]))
            except (_KeeperGone, OSError) as gone:
                raise self._without_a_keeper(gone, account, outcomes) from gone

    def _without_a_keeper(self, gone: Exception, account: Account, outcomes: Outcomes) -> _KeeperGone:
        """Close what a module has opened, of which nobody else knows, and say what became of that."""
        entries = [(service, entry["connectionid"]) for service, entry in outcomes.items() if _names_one(entry)]
        stopped, left = [], []
        for (service, connectionid), outcome in self._close_without_keeper(account, entries):
            if isinstance(outcome, RemoteItError):
                left.append(f"{connectionid} to {service} ({outcome.message})")
            else:
                stopped.append(f"{connectionid} to {service}")
        message = f"{gone}; what a module on another host had opened meanwhile was stopped: {_listed(stopped)}"
        if left:
            message += (
                f"; could not be stopped and may still be open: {_listed(left)}; close these with remoteit_disconnect,"
                " or they end by themselves 15 minutes after their last use"
            )
        return _KeeperGone(message)

    def finish(self) -> dict[str, t.Any] | None:
        """Ask the keeper to close everything and leave.

        :return: what it says it did; none if there is no keeper.
        :raises TimeoutError: it takes longer than we wait.
        """
        if not os.path.exists(self._run.socket):
            return None
        with contextlib.suppress(_KeeperGone):
            return next(self._ask({"do": "finish"}, timeout=FINISH_SECONDS))
        return None

    # -- the line --------------------------------------------------------------------------------------------------

    def _ask(
        self, request: dict[str, t.Any], *, start: bool = False, timeout: float | None = None
    ) -> t.Generator[dict[str, t.Any], Outcomes | None, None]:
        """Send the request and hand out the events of the answer; what is sent in return for one goes to the keeper."""
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
                    reply = yield event
                    if reply is not None:
                        line.sendall(json.dumps(reply).encode() + b"\n")
            except ConnectionError:
                pass
        raise _KeeperGone(
            f"the keeper of this run died; what it had opened is in the ledger of the run {self._run.id}: run the"
            " playbook remoteit.fleet.teardown"
        )

    def _line(self, start: bool) -> socket.socket:
        line = self._connect()
        if line is None and start:
            line = self._start()
        if line is None:
            raise _KeeperGone("the keeper of this run is gone")
        return line

    def _connect(self) -> socket.socket | None:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            line.connect(self._run.socket)
        except (FileNotFoundError, ConnectionRefusedError):
            line.close()
            return None
        if not (is_ours(self._run.folder) and _is_of_this_user(line)):
            line.close()
            raise _KeeperGone(
                f"somebody else listens in {self._run.folder}, where the keeper of this run did, and nothing was sent"
                f" there; what this run had opened is in the ledger of the run {self._run.id}: run the playbook"
                " remoteit.fleet.teardown"
            )
        return line

    def _start(self) -> socket.socket | None:
        """Start the keeper, unless another worker is doing so."""
        try:
            private_folder(self._run.folder)
            with open(os.path.join(self._run.folder, "lock"), "w", encoding="utf-8") as lock:
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


class KeeperError(RemoteItError):
    """The keeper cannot be asked, which is not the API's trouble."""


class _KeeperGone(KeeperError):
    """The keeper died, or never was."""


def _is_of_this_user(line: socket.socket) -> bool:
    """Whether a process of this user is at the other end, as far as this system tells."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _unused, uid, _unused = struct.unpack(
        "3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return bool(uid == os.getuid())


def _opened(event: dict[str, t.Any]) -> Opened:
    if "connection" in event:
        return event["service"], Connection.from_result(event["connection"])
    return event["service"], from_failure(event["failure"])


def _names_one(entry: t.Any) -> bool:
    """Whether what another host returned names a connection, usable or not."""
    return isinstance(entry, dict) and is_connection_id(entry.get("connectionid"))


def _listed(connections: list[str]) -> str:
    return ", ".join(connections) or "none"


def _plain(value: t.Any) -> dict[str, t.Any]:
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
    start = {"run": _plain(run), "runs_folder": runs_folder(), "sys_path": [os.path.abspath(path) for path in sys.path]}
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
