# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Serve the requests of a run's workers, and wait until the controller has ended."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import socketserver
import threading
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import DisconnectResult
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper import protocol
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.keeper import Keeper
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import is_alive
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.control_masters import (
    lock_runtime_dir,
    remove_runtime_dir,
    remove_stale_runtime_dirs,
)

#: The vendor ends a connection 900 seconds after its last use; a keep-alive is a use.
KEEPALIVE_SECONDS = 600.0
POLL_SECONDS = 0.5


class _Handler(socketserver.StreamRequestHandler):
    """Handle one request: decode it, and send the events that ``_events`` yields."""

    server: _Server

    def handle(self) -> None:
        try:
            request = self.read()
            if request is not None:
                for event in _events(request, self):
                    self._send(event)
        except RemoteItError as error:
            self._send(protocol.RequestFailed(error))
        except Exception as error:
            failure = RemoteItError(f"the keeper failed: {type(error).__name__}: {error}")
            self._send(protocol.RequestFailed(failure))
        else:
            self._send(protocol.End())

    def read(self) -> t.Any:
        """Return the client's next message; ``None`` if it has closed the socket.

        :raises MalformedMessageError: it has sent something else.
        :raises ProtocolVersionError: it speaks another version of the protocol.
        """
        try:
            line = rest = self.rfile.readline(protocol.MAX_LINE_BYTES + 1)
            while len(rest) > protocol.MAX_LINE_BYTES:  # read the rest, or the client could not read the refusal
                rest = self.rfile.readline(protocol.MAX_LINE_BYTES + 1)
        except OSError:
            return None
        return protocol.decode(line) if line else None

    def _send(self, event: t.Any) -> None:
        with contextlib.suppress(OSError):  # the worker has ended; its connections are closed with the run
            self.wfile.write(protocol.encode(event))


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, keeper: Keeper, path: str) -> None:
        super().__init__(path, _Handler)
        self.keeper = keeper
        self.finished = threading.Event()


# -- requests ----------------------------------------------------------------------------------------------------------


@functools.singledispatch
def _events(request: t.Any, handler: _Handler) -> t.Iterator[t.Any]:
    """Yield the events of a request. There is one function for each type."""
    raise protocol.MalformedMessageError(TypeError(f"{type(request).__name__} is not a request"))


def _expect(message: t.Any, *kinds: type[t.Any]) -> t.Any:
    """Return the message.

    :raises MalformedMessageError: it has another type.
    """
    if not isinstance(message, kinds):
        raise protocol.MalformedMessageError(TypeError(f"{type(message).__name__} is not expected here"))
    return message


@_events.register
def _connect_services(request: protocol.ConnectServices, handler: _Handler) -> t.Iterator[t.Any]:
    for service, outcome in handler.server.keeper.acquire_services(request.account, request.request, request.hosts):
        if isinstance(outcome, RemoteItError):
            yield protocol.ServiceNotConnected(service, outcome)
        else:
            yield protocol.ServiceConnected(service, outcome)


@_events.register
def _disconnect_services(request: protocol.DisconnectServices, handler: _Handler) -> t.Iterator[t.Any]:
    yield from _disconnected(handler.server.keeper.release_services(request.account, request.refs))


@_events.register
def _release_hosts(request: protocol.ReleaseHosts, handler: _Handler) -> t.Iterator[t.Any]:
    yield from _disconnected(handler.server.keeper.release_hosts(request.accounts, request.hosts))


def _disconnected(results: t.Iterable[DisconnectResult]) -> t.Iterator[t.Any]:
    for ref, outcome in results:
        if isinstance(outcome, RemoteItError):
            yield protocol.ServiceNotDisconnected(ref, outcome)
        else:
            yield protocol.ServiceDisconnected(ref, outcome)


@_events.register
def _find_services(request: protocol.FindServices, handler: _Handler) -> t.Iterator[t.Any]:
    warnings: list[str] = []
    found = handler.server.keeper.find_services(request.account, request.names, warnings.append)
    for name, service in found.items():
        if isinstance(service, RemoteItError):
            yield protocol.ServiceNotFound(name, service)
        else:
            yield protocol.ServiceFound(name, service)
    yield from map(protocol.Warned, warnings)


@_events.register
def _list_devices(request: protocol.ListDevices, handler: _Handler) -> t.Iterator[t.Any]:
    warnings: list[str] = []
    devices = handler.server.keeper.list_devices(request.account, request.filter, warnings.append)
    yield from map(protocol.DeviceListed, devices)
    yield from map(protocol.Warned, warnings)


@_events.register
def _acquire_host(request: protocol.AcquireHost, handler: _Handler) -> t.Iterator[t.Any]:
    """Lease a connection until the client closes the socket."""
    keeper = handler.server.keeper
    if request.play is not None and keeper.claim_batch(request.play, request.host.host):
        yield protocol.BatchWanted()
        hosts: tuple[protocol.HostRequest, ...] = ()
        try:
            batch = handler.read()
            if batch is not None:
                hosts = _expect(batch, protocol.Batch).hosts
        finally:
            keeper.prefetch(request.play, request.max_unused, hosts)
    lease, outcome = keeper.acquire_host(request.host)
    try:
        while True:
            if isinstance(outcome, RemoteItError):
                yield protocol.HostNotAcquired(outcome)
            else:
                yield protocol.HostAcquired(outcome, *keeper.facts_of(lease))
            while not isinstance(message := handler.read(), protocol.ReplaceConnection):
                if message is None:
                    return
                keeper.note(lease, _expect(message, protocol.DeviceResponded, protocol.ArgumentsChecked))
            lease, outcome = keeper.acquire_host(request.host, replaces=lease)
    finally:
        keeper.release_lease(lease)


@_events.register
def _get_control_path_dir(request: protocol.GetControlPathDir, handler: _Handler) -> t.Iterator[t.Any]:
    yield protocol.ControlPathDir(handler.server.keeper.control_path_dir_of(request.host))


@_events.register
def _record_host_failure(request: protocol.RecordHostFailure, handler: _Handler) -> t.Iterator[t.Any]:
    yield protocol.FirstFailedHost(handler.server.keeper.record_host_failure(request.message, request.host))


@_events.register
def _finish(request: protocol.Finish, handler: _Handler) -> t.Iterator[t.Any]:
    try:
        yield protocol.Finished(handler.server.keeper.finish())
    finally:
        handler.server.finished.set()


# -- the life of the process -------------------------------------------------------------------------------------------


def serve(run: Run, runs_dir: str, audit_path: str | None, ready: t.Callable[[], None]) -> None:
    """Serve a run until its controller has ended or asks for the end. Then close what is left, and exit.

    :param audit_path: the file of the audit trail; ``None`` without one.
    :param ready: reports that requests are served; raises ``OSError`` if the worker that started this has ended.
    :raises OSError: the ledger or the socket cannot be created.
    """
    alive = lock_runtime_dir(run.runtime_dir, run.controller)
    try:
        ledger, predecessors = Ledger.begin(runs_dir, run.id, run.controller, run.job)
    except OSError as error:
        if error.filename is None:
            raise
        hint = "Set REMOTEIT_STATE_DIR to a writable directory"
        raise OSError(error.errno, f"{error.strerror}: {error.filename}. {hint}") from error
    keeper = Keeper(run, ledger, predecessors, audit_path)
    server = _Server(keeper, run.socket)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_unused: server.finished.set())
    ready()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 60}, daemon=True).start()
    try:
        remove_stale_runtime_dirs(run.runtime_dir)
        _wait_for_controller(run, server.finished, keeper)
    finally:  # after any error, too, everything is closed
        try:
            keeper.finish()
            remove_runtime_dir(run.runtime_dir)
        finally:
            alive.close()
            os._exit(0)  # does not wait for threads whose calls do not return


def _wait_for_controller(run: Run, finished: threading.Event, keeper: Keeper) -> None:
    """Wait until the controller has ended or ``finished`` is set. Send keepalive probes meanwhile."""
    next_keepalive = time.monotonic() + KEEPALIVE_SECONDS
    try:
        is_running = _controller_watcher(run)
    except ProcessLookupError:
        return
    while not finished.is_set() and is_running():
        if time.monotonic() >= next_keepalive:
            with contextlib.suppress(RuntimeError):  # the system has no more threads
                # in a thread, because a proxy that does not respond takes its time
                threading.Thread(target=keeper.send_keepalives, daemon=True).start()
            next_keepalive = time.monotonic() + KEEPALIVE_SECONDS


def _controller_watcher(run: Run) -> t.Callable[[], bool]:
    """Return a function that waits ``POLL_SECONDS`` at most and returns whether the controller is running.

    :raises ProcessLookupError: it has ended already.
    """
    try:
        descriptor = os.pidfd_open(run.controller_pid)
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):  # not Linux, or one without pidfd_open
        return lambda: _poll(run)
    if run.controller is not None and not is_alive(run.controller):
        raise ProcessLookupError  # another process has its number now
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
