# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Ask the keeper of a run: the side of the workers, and at the end of the controller."""

from __future__ import annotations

import contextlib
import os
import socket
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
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Device, DeviceFilter, Warn
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import NotFoundError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import FoundServices, ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper import process, protocol
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import (
    HostRequest,
    KeeperError,
    KeeperUnavailableError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.proxy_lease import KILLED, PlayBatch, ProxyLease
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recap import Recap
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.files import has_ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import THIS_RUN, Run, runs_dir

#: The end of a run waits so long for the keeper, which then continues in the background.
FINISH_SECONDS = 30.0
#: The pauses, in seconds, before the attempts to reach a keeper that was just killed.
RETRY_PAUSES = (0.0, 0.1, 0.5)


class KeeperClient:
    """Open and close through the keeper of a run, which the first request that needs it starts."""

    def __init__(self, run: Run = THIS_RUN) -> None:
        self._run = run

    def connect_all(
        self, account: Account, request: ConnectRequest, hosts: t.Mapping[str, t.Sequence[str]] | None = None
    ) -> t.Iterator[ConnectResult]:
        """Open services.

        :param hosts: the inventory hosts of each service, which lease its connection until ``release_hosts``. Without
            them this task leases it until ``disconnect_all``.
        """
        of_service = None if hosts is None else {service: list(names) for service, names in hosts.items()}
        for event in self._request(protocol.ConnectServices(account, request, of_service), start=True):
            failed = isinstance(event, protocol.ServiceNotConnected)
            yield event.service, event.error if failed else event.connection

    def disconnect_all(self, account: Account, refs: t.Sequence[ConnectionRef]) -> t.Iterator[DisconnectResult]:
        """End the task's lease of each connection. The last lease closes it."""
        yield from self._disconnect(protocol.DisconnectServices(account, tuple(refs)))

    def release_hosts(self, names: t.Sequence[str], accounts: t.Iterable[Account]) -> t.Iterator[DisconnectResult]:
        """End the leases of inventory hosts. Without a keeper and a ledger there is nothing to close.

        :param accounts: those of the hosts that are known; connections that a killed keeper had opened with them are
            closed as well.
        """
        if os.path.exists(self._run.socket) or has_ledger(runs_dir(), self._run.id):
            yield from self._disconnect(protocol.ReleaseHosts(tuple(dict.fromkeys(accounts)), tuple(names)))

    def _disconnect(self, request: t.Any) -> t.Iterator[DisconnectResult]:
        for event in self._request(request, start=True):
            failed = isinstance(event, protocol.ServiceNotDisconnected)
            yield event.ref, event.error if failed else event.outcome

    def find_services(self, account: Account, names: t.Collection[ServiceName], warn: Warn) -> FoundServices:
        """Find services by name."""
        found: FoundServices = {}
        for event in self._request(protocol.FindServices(account, tuple(names)), start=True):
            if isinstance(event, protocol.Warned):
                warn(event.text)
            elif isinstance(event, protocol.ServiceFound):
                found[event.name] = event.service
            else:
                found[event.name] = t.cast(NotFoundError, event.error)
        return found

    def list_devices(self, account: Account, wanted: DeviceFilter, warn: Warn) -> list[Device]:
        """List devices through the keeper, so that the run logs in once. Without a keeper, ask the API directly."""
        with contextlib.suppress(KeeperError):
            devices = []
            for event in self._request(protocol.ListDevices(account, wanted), start=True):
                if isinstance(event, protocol.Warned):
                    warn(event.text)
                else:
                    devices.append(event.device)
            return devices
        return DirectBackend().list_devices(account, wanted, warn)

    def acquire(self, host: HostRequest, play: PlayBatch | None, max_unused: int) -> ProxyLease:
        """Lease a host's connection for one command. The keeper opens it if necessary.

        :param play: the play whose other hosts are opened ahead; ``None`` for this host alone.
        :param max_unused: the number of connections that may be open before a task has used them.
        :raises RemoteItError: it cannot be opened.
        """
        ahead = play if max_unused > 0 else None
        for pause in RETRY_PAUSES:
            with contextlib.suppress(KeeperUnavailableError):
                return ProxyLease(self._connect_or_start(), host, ahead, max_unused)
            time.sleep(pause)
        return ProxyLease(self._connect_or_start(), host, ahead, max_unused)

    def record_host_failure(self, message: str, host: str) -> str:
        """Record that a host failed with a message, and return the first host of this run that did."""
        return str(next(self._request(protocol.RecordHostFailure(message, host), start=True)).host)

    def control_path_dir_of(self, host: str) -> str | None:
        """Return the directory of the control masters that a host uses; ``None`` if it uses none."""
        with contextlib.suppress(KeeperUnavailableError):
            return next(self._request(protocol.GetControlPathDir(host))).path
        return None

    def finish(self) -> Recap | None:
        """Let the keeper close everything and exit.

        :return: ``None`` without a keeper.
        :raises TimeoutError: it takes longer than ``FINISH_SECONDS``.
        """
        if not os.path.exists(self._run.socket):
            return None
        with contextlib.suppress(KeeperUnavailableError):
            return t.cast(Recap, next(self._request(protocol.Finish(), timeout=FINISH_SECONDS)).recap)
        return None

    def _request(self, request: t.Any, *, start: bool = False, timeout: float | None = None) -> t.Iterator[t.Any]:
        """Send a request and yield its events.

        :param start: whether to start a keeper if the run has none.
        :raises KeeperUnavailableError: the run has no keeper, or it was killed.
        """
        with self._connect_or_start() if start else self._connect() as connected, connected.makefile("rb") as lines:
            connected.settimeout(timeout)
            with contextlib.suppress(ConnectionError):
                connected.sendall(protocol.encode(request))
                for line in lines:
                    if not line.endswith(b"\n"):
                        break  # the keeper was killed while it wrote the line
                    event = protocol.decode(line)
                    if isinstance(event, protocol.RequestFailed):
                        raise event.error
                    if isinstance(event, protocol.End):
                        return
                    yield event
        raise KeeperUnavailableError(KILLED)

    def _connect(self) -> socket.socket:
        connected = process.connect(self._run)
        if connected is None:
            raise KeeperUnavailableError("the keeper of this run is gone")
        return connected

    def _connect_or_start(self) -> socket.socket:
        return process.connect(self._run) or process.start(self._run)
