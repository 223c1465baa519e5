# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""An account: its credentials, and which of the vendor's APIs they speak."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import ApiSession, Device, DeviceFilter, Warn
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.transport import Transport

if t.TYPE_CHECKING:
    from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.http import HttpClient


class Api(t.Protocol):
    """One account, whichever of the vendor's APIs it speaks."""

    def connect(self, service_id: str, hostip: str | None = None, wait: bool = True) -> Connection:
        """Open a connection. Never sent twice: a lost answer may be the answer of an open connection.

        :raises BadAnswerError: with C(connectionid) in its details when there is something to stop.
        """

    def disconnect(self, service_id: str, connectionid: str) -> bool:
        """Stop a connection; true when this call ended it, false when it was gone already."""

    def devices(self, wanted: DeviceFilter, warn: Warn) -> t.Iterator[Device]:
        """The devices that are wanted, fetched while they are consumed. What is odd or missing is told.

        :raises OptionsError: at once, if this API cannot tell what is asked for.
        """

    def sessions(self) -> list[ApiSession] | None:
        """The connections that are open on everything the account sees; none if this API cannot tell."""


@dataclasses.dataclass(frozen=True)
class Account:
    """Everything that is needed to speak for one account; safe to print."""

    credentials: Credentials
    transport: Transport = dataclasses.field(default_factory=Transport)
    timeout: float = 60.0
    concurrency: int = 16

    def api(self, http: HttpClient | None = None) -> Api:
        """The API that the credentials speak.

        :param http: the way to it; none for one of its own.
        """
        # workers send no requests: they do without the import
        from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.graphql import GraphQlApi
        from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.http import HttpClient
        from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.rest import RestApi

        http = http or HttpClient(self.transport, timeout=self.timeout, pool_size=self.concurrency)
        return (GraphQlApi if self.credentials.access_key_id else RestApi)(self.credentials, http)
