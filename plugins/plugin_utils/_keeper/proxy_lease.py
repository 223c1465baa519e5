# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Lease the connection of a host from the keeper while one command runs through it."""

from __future__ import annotations

import contextlib
import socket
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper import protocol
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest, KeeperUnavailableError

KILLED = "the keeper of this run was killed; run the playbook remoteit.fleet.teardown to close what it had opened"


class PlayBatch(t.Protocol):
    """The hosts of a play that run the same task."""

    @property
    def id(self) -> str:
        """Return the unique ID of the play."""

    def read_batch(self) -> list[HostRequest]:
        """Return the hosts whose connections are opened ahead."""


class ProxyLease:
    """The lease of one command. It ends when it is closed, or when this process ends.

    :ivar connection: the connection, whose proxy the command goes through.
    :ivar has_responded: whether the device has responded over SSH.
    :ivar checked: digests of the argument lists with which ssh connects to the proxy.
    :ivar age: the seconds since the connection was opened.
    :raises RemoteItError: the connection cannot be opened.
    """

    def __init__(self, connected: socket.socket, host: HostRequest, play: PlayBatch | None, max_unused: int) -> None:
        self._socket = connected
        self._lines = connected.makefile("rb")
        self._play = play
        try:
            self._send(protocol.AcquireHost(host, None if play is None else play.id, max_unused))
            self._receive()
        except BaseException:
            self.close()
            raise

    def _receive(self) -> None:
        event = self._next_event()
        if isinstance(event, protocol.BatchWanted):
            self._send(protocol.Batch(tuple(self._play.read_batch() if self._play else ())))
            event = self._next_event()
        if isinstance(event, (protocol.RequestFailed, protocol.HostNotAcquired)):
            raise event.error
        self.connection = event.connection
        self.has_responded: bool = event.has_responded
        self.checked = set(event.checked)
        self.age: float = event.age

    def replace(self) -> None:
        """Take another connection, because ssh cannot connect to the proxy of this one.

        :raises RemoteItError: it cannot be opened.
        """
        self._send(protocol.ReplaceConnection())
        self._receive()

    def note_response(self, *, is_direct: bool) -> None:
        """Note that the device has responded.

        :param is_direct: whether ssh connects to the proxy from this machine.
        """
        if not self.has_responded:
            self.has_responded = True
            with contextlib.suppress(RemoteItError):  # the command was executed, even if the keeper was killed
                self._send(protocol.DeviceResponded(is_direct))

    def note_checked(self, digest: str) -> None:
        """Note that with this argument list ssh connects to the proxy."""
        self.checked.add(digest)
        with contextlib.suppress(RemoteItError):
            self._send(protocol.ArgumentsChecked(digest))

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def _send(self, message: t.Any) -> None:
        try:
            self._socket.sendall(protocol.encode(message))
        except OSError as error:
            raise KeeperUnavailableError(KILLED) from error

    def _next_event(self) -> t.Any:
        try:
            line = self._lines.readline()
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            raise KeeperUnavailableError(KILLED)
        return protocol.decode(line)
