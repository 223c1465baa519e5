# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The keeper's process: it serves the run's workers, and waits for the controller to be gone."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import socketserver
import threading
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import DeviceFilter
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.transport import Transport
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.keeper import (
    Event,
    Keeper,
    ManagedConnection,
    Outcome,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import is_alive
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.control_masters import (
    lock_runtime_dir,
    remove_runtime_dir,
    remove_stale_runtime_dirs,
)

#: The vendor ends a connection 900 seconds after its last use; a touch is a use.
TOUCH_SECONDS = 600.0
POLL_SECONDS = 0.5


class _Handler(socketserver.StreamRequestHandler):
    """One request of a client: a line of JSON, answered by lines of JSON, the last of them C(end)."""

    server: _Server

    def handle(self) -> None:
        try:
            request = json.loads(self.rfile.readline())
        except (OSError, ValueError, RecursionError):
            return
        try:
            for event in self._events(request):
                self._send(event)
        except RemoteItError as error:
            self._send({"error": error.as_failure()})
        except Exception as error:
            self._send({"error": {"code": "api", "message": f"the keeper failed: {type(error).__name__}: {error}"}})
        self._send({"end": True})

    def _events(self, request: Event) -> t.Iterator[Event]:
        keeper = self.server.keeper
        warnings: list[str] = []
        if request["do"] == "open":
            account, order = _account(request["account"]), _order(request["order"])
            yield from keeper.open(account, order, request["hosts"])
        elif request["do"] == "use":
            yield from self._use(request)
        elif request["do"] == "resolve":
            targets = [ServiceName(*fields) for fields in request["targets"]]
            found = keeper.resolve(_account(request["account"]), targets, warnings.append)
            for target, service in found.items():
                if isinstance(service, RemoteItError):
                    yield {"target": target, "failure": service.as_failure()}
                else:
                    yield {"target": target, "service": service}
        elif request["do"] == "devices":
            wanted = DeviceFilter(**request["wanted"])
            for device in keeper.devices(_account(request["account"]), wanted, warnings.append):
                yield {"device": device}
        elif request["do"] == "close":
            yield from keeper.close(_account(request["account"]), request["stops"])
        elif request["do"] == "close_hosts":
            yield from keeper.release_hosts(map(_account, request["accounts"]), request["hosts"])
        elif request["do"] == "control_paths":
            yield {"directory": keeper.control_paths_of(request["host"])}
        elif request["do"] == "explain":
            yield {"host": keeper.first_told(request["message"], request["host"])}
        elif request["do"] == "finish":
            try:
                yield keeper.finish()
            finally:
                self.server.finished.set()
        yield from ({"warning": warning} for warning in warnings)

    def _use(self, request: Event) -> t.Iterator[Event]:
        """Hold a connection for one command: until the client says that it has ended, or is gone."""
        keeper = self.server.keeper
        play = request["play"]
        if play is not None and keeper.wants_batch(play, request["host"]["host"]):
            yield {"batch": True}
            batch = (self._read() or {}).get("hosts", [])
            keeper.open_ahead(play, request["most_ahead"], [_host(fields) for fields in batch])
        host = _host(request["host"])
        held, outcome = keeper.use(host)
        try:
            while True:
                yield from _used(keeper, host, held, outcome)
                while (message := self._read()) is not None and "refused" not in message:
                    _note(held, message)
                if message is None:
                    return
                before = held
                held, outcome = keeper.use(host, instead_of=before)
                keeper.end_use(before)
        finally:
            keeper.end_use(held)

    def _read(self) -> Event | None:
        """Return the client's next line; ``None`` if it is gone."""
        try:
            return json.loads(self.rfile.readline())
        except (OSError, ValueError, RecursionError):
            return None

    def _send(self, event: Event) -> None:
        with contextlib.suppress(OSError):  # the worker is gone; what it asked for is held all the same
            self.wfile.write(json.dumps(event).encode() + b"\n")


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, keeper: Keeper, path: str) -> None:
        super().__init__(path, _Handler)
        self.keeper = keeper
        self.finished = threading.Event()


def _account(fields: Event) -> Account:
    return Account(
        **{
            **fields,
            "credentials": Credentials(**fields["credentials"]),
            "transport": Transport(**fields["transport"]),
        }
    )


def _order(fields: Event) -> ConnectRequest:
    return ConnectRequest(**{**fields, "services": tuple(fields["services"])})


def _host(fields: Event) -> HostRequest:
    target = fields["target"]
    return HostRequest(
        fields["host"],
        fields["service"],
        None if target is None else ServiceName(*target),
        fields["hostip"],
        _account(fields["account"]),
    )


def _used(keeper: Keeper, host: HostRequest, held: ManagedConnection, outcome: Outcome) -> t.Iterator[Event]:
    if isinstance(outcome, RemoteItError):
        failure = outcome.as_failure()
        yield {"failure": failure, "first": keeper.first_told(failure["message"], host.host)}
    else:
        yield {
            "connection": dataclasses.asdict(outcome),
            "answered": held.answered,
            "checked": sorted(held.checked),
            "age": held.age,
        }


def _note(held: ManagedConnection, message: Event) -> None:
    """Note what ssh has found out about the connection."""
    if "answered" in message:
        held.answered = True
        held.direct = bool(message["direct"])
    if "checked" in message:
        held.checked.add(str(message["checked"]))


def serve(run: Run, runs_folder: str, ready: t.Callable[[], None]) -> None:
    """Serve the run until its controller is gone or asks for the end; then close what is left and leave."""
    alive = lock_runtime_dir(run.runtime_dir, run.controller)
    ledger, predecessors = Ledger.begin(runs_folder, run.id, run.controller)
    keeper = Keeper(run, ledger)
    keeper.take_over(predecessors)
    server = _Server(keeper, run.socket)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_unused: server.finished.set())
    ready()  # fails if whoever started it has given it up; until here nobody was served
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 60}, daemon=True).start()
    try:
        remove_stale_runtime_dirs(run.runtime_dir)
        _wait_for_controller(run, server.finished, keeper)
    finally:  # whatever happened, nothing stays open
        try:
            keeper.finish()
            remove_runtime_dir(run.runtime_dir)
        finally:
            alive.close()
            os._exit(0)  # nobody waits for threads whose line is dead


def _wait_for_controller(run: Run, finished: threading.Event, keeper: Keeper) -> None:
    """Wait until the controller is gone or somebody asks for the end; touch what is idle meanwhile."""
    next_touch = time.monotonic() + TOUCH_SECONDS
    try:
        alive: t.Callable[[], bool] = _controller_watcher(run)
    except ProcessLookupError:
        return
    while not finished.is_set() and alive():
        if time.monotonic() >= next_touch:
            with contextlib.suppress(RuntimeError):  # there can be no more threads
                threading.Thread(target=keeper.touch, daemon=True).start()  # one that does not answer takes its time
            next_touch = time.monotonic() + TOUCH_SECONDS


def _controller_watcher(run: Run) -> t.Callable[[], bool]:
    """A function that waits for a moment and tells whether the controller is still there.

    :raises ProcessLookupError: it is gone already.
    """
    try:
        descriptor = os.pidfd_open(run.controller_pid)
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):  # not Linux, or one that does not have it
        return lambda: _poll(run)
    if run.controller is not None and not is_alive(run.controller):
        raise ProcessLookupError  # and another process has got its number
    return lambda: not select.select([descriptor], [], [], POLL_SECONDS)[0]


def _poll(run: Run) -> bool:
    time.sleep(POLL_SECONDS)
    if run.controller is not None:
        return is_alive(run.controller)
    try:
        os.kill(run.controller_pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
