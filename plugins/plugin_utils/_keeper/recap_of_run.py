# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Sum up the connections of the keeper for the recap."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import (
    ManagedConnection,
    State,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recap import (
    EndedEarly,
    LeftOpen,
    MayBeOpen,
    Recap,
)


def recap_of(connections: t.Collection[ManagedConnection]) -> Recap:
    """Return the recap. Call it with the lock."""
    return Recap(
        opened=sum(managed.counts_as_opened for managed in connections),
        closed=sum(managed.state is State.CLOSED for managed in connections),
        left_open=tuple(
            LeftOpen(
                managed.service,
                managed.host,
                managed.connection.connectionid,
                managed.connection.expires_at,
                managed.close_error,
            )
            for managed in connections
            if managed.connection is not None and managed.close_error is not None and not managed.has_ended
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
    )
