# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Probe the proxies of connections from this machine, and keep idle ones open."""

from __future__ import annotations

import threading
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import map_concurrently
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import MAX_PROXY_TESTS
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import ManagedConnection


def probe(managed: ManagedConnection, lock: threading.Lock) -> None:
    """Connect to the proxy for a moment if that does no harm, and note the result.

    :param lock: that of the ``Registry``. It is not held during the call.
    """
    with lock:
        connection = managed.connection if managed.is_open and managed.may_be_probed else None
    proxy = connection.port_proxy if connection is not None else None
    if proxy is None:
        return
    is_there = proxy.is_open()
    with lock:
        if managed.connection is not connection:
            return  # it has another address now
        if is_there:
            managed.last_used = time.monotonic()  # the vendor's idle time starts again
        else:
            managed.refuses = True


def send_keepalives(connections: t.Iterable[ManagedConnection], lock: threading.Lock) -> None:
    """Probe every proxy, so that a slow play does not lose it to the idle time. A detached one may idle out."""
    probed = [managed for managed in connections if not managed.detach]
    try:
        list(map_concurrently(lambda managed: probe(managed, lock), probed, MAX_PROXY_TESTS))
    except RuntimeError:  # the system has no more threads
        for managed in probed:
            probe(managed, lock)
