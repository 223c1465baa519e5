# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The messages between the keeper and its clients."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import ServiceName


class HostRequest(t.NamedTuple):
    """An inventory host: its service by ID or by name, who may use its proxy, and the account that opens it."""

    host: str
    service: str | None
    target: ServiceName | None
    hostip: str | None
    account: Account

    @property
    def label(self) -> str:
        return self.service or str(self.target)
