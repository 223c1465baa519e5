# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Sum up the connections of the keeper for the recap."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OfflineError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import (
    ManagedConnection,
    State,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recap import (
    EndedEarly,
    LeftOpen,
    MayBeOpen,
    Offline,
    Recap,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.registry import Registry


def recap_of(registry: Registry) -> Recap:
    """Return the recap. Call it with the lock."""
    connections = registry.all
    return Recap(
        opened=sum(managed.counts_as_opened for managed in connections),
        closed=sum(managed.state is State.CLOSED for managed in connections),
        left_open=tuple(
            LeftOpen(
                managed.service,
                managed.host,
                managed.connection.connectionid,
                managed.connection.expires_at,
                managed.close_error or "it is still being closed",
            )
            for managed in connections
            if managed.connection is not None and managed.may_be_open and not managed.detach
        ),
        may_be_open=tuple(
            MayBeOpen(managed.service, managed.host, managed.doubt.at, managed.doubt.reason)
            for managed in connections
            if managed.state is State.UNCONFIRMED and managed.doubt is not None
        ),
        ended_early=tuple(
            EndedEarly(managed.service, managed.host, managed.connection.connectionid)
            for managed in connections
            if managed.connection is not None and managed.ended_early
        ),
        offline=tuple(_offline_in(registry)),
    )


def _offline_in(registry: Registry) -> t.Iterator[Offline]:
    """Yield each inventory host, and each service without a host, whose last connect call found the device offline."""
    for host, managed in registry.of_host.items():
        if _was_offline(managed):
            yield Offline(managed.service, host)
    for managed in registry.all:
        is_last = registry.of_service(managed.service)[-1] is managed
        if managed.host is None and is_last and _was_offline(managed):
            yield Offline(managed.service, None)


def _was_offline(managed: ManagedConnection) -> bool:
    return managed.state is State.FAILED and isinstance(managed.failure, OfflineError)
