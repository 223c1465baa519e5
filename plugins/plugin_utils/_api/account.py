# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""An account: its credentials, and the API that they are for."""

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
    """One of the vendor's APIs, for one account."""

    def log_in(self) -> None:
        """Prepare the first call, so that a connect call is only recorded when it can be sent.

        :raises RemoteItError: with ``ConnectOutcome.NOT_SENT``.
        """

    def connect(self, service_id: str, hostip: str | None = None, wait: bool = True) -> Connection:
        """Open a connection. Only HTTP 429 lets the call be repeated: a lost response may be that of an open one.

        :raises RemoteItError: with ``outcome`` and ``connectionid`` as far as the API layer knows them.
        """

    def disconnect(self, service_id: str, connectionid: str) -> bool:
        """Close a connection. Return true if this call closed it, false if it was closed before."""

    def devices(self, wanted: DeviceFilter, warn: Warn) -> t.Iterator[Device]:
        """Yield the devices that match, fetched while they are consumed. Odd or missing data is reported to ``warn``.

        :raises OptionsError: at once, if this API does not have a property of the filter.
        """

    def sessions(self) -> list[ApiSession] | None:
        """Return open connections, or ``None`` if this API cannot list them. The list can be incomplete."""

    def sessions_of(self, service_ids: t.Collection[str]) -> dict[str, list[ApiSession] | None]:
        """Return all open connections to each service, or ``None`` for a service whose connections are not listed."""


@dataclasses.dataclass(frozen=True)
class Account:
    """The credentials and settings for the requests of one account. Printing it shows no secret."""

    credentials: Credentials
    transport: Transport = dataclasses.field(default_factory=Transport)
    timeout: float = 60.0
    concurrency: int = 16

    def api(self, http: HttpClient | None = None) -> Api:
        """Return the API that the credentials are for.

        :param http: the client for its requests; a new one by default.
        """
        # workers send no requests, and do without the import
        from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.graphql import GraphQlApi
        from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.http import HttpClient
        from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.rest import RestApi

        http = http or HttpClient(self.transport, timeout=self.timeout, pool_size=self.concurrency)
        return (GraphQlApi if self.credentials.access_key_id else RestApi)(self.credentials, http)
