# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Probe the proxies of connections from this machine, and keep idle ones open."""

from __future__ import annotations

import socket
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import map_concurrently
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.connection import ManagedConnection

#: A proxy that is gone takes two seconds. A few thousand are probed before the next keepalive probes are due.
MAX_KEEPALIVE_THREADS = 32


def is_port_open(connection: Connection, timeout: float = 2.0) -> bool:
    """Return whether a TCP connection to the proxy can be opened within ``timeout`` seconds."""
    try:
        socket.create_connection((connection.host, connection.port), timeout).close()
    except OSError:
        return False
    return True


def probe(managed: ManagedConnection) -> bool:
    """Connect to the proxy for a moment if that does no harm, and note if it is not there.

    :return: whether it was used, so that the vendor's idle time starts again.
    """
    if not (managed.is_open and managed.may_be_probed and managed.connection is not None):
        return False
    if is_port_open(managed.connection):
        return True
    managed.refuses = True
    return False


def send_keepalives(connections: t.Iterable[ManagedConnection]) -> None:
    """Probe every proxy, so that a slow play does not lose it to the idle time. A detached one may idle out."""
    probed = [managed for managed in connections if managed.is_open and not managed.detach]
    try:
        list(map_concurrently(_keep_alive, probed, MAX_KEEPALIVE_THREADS))
    except RuntimeError:  # the system has no more threads
        list(map(_keep_alive, probed))


def _keep_alive(managed: ManagedConnection) -> None:
    if probe(managed):
        managed.last_used = time.monotonic()
