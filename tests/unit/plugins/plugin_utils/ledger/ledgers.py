# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write ledgers for the tests."""

from __future__ import annotations

import datetime

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection, PortProxy
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import DEFAULT_API_URL
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import ID, SERVICE

RUN = "job-0123456789"
#: The controller of a run in another container.
FOREIGN_CONTROLLER = "another-boot pid:[1] 1 1"


def begin_ledger(directory: str, run_id: str = RUN, controller: str | None = None) -> Ledger:
    ledger, _unused = Ledger.begin(directory, run_id, controller, run_id.rpartition("-")[0])
    return ledger


def record_connection(
    ledger: Ledger,
    number: int = 1,
    connectionid: str | None = ID,
    account: str = "fingerprint",
    hours: int = 8,
    host: str | None = None,
    proxy: tuple[str, int] = ("127.0.0.1", 1),
) -> None:
    """Record a connection that expires after some hours, or a connect call without a response.

    :param proxy: its address, by default one that refuses TCP connections.
    """
    ledger.intent(number, SERVICE, DEFAULT_API_URL, account, host)
    if connectionid is not None:
        end = format_utc(utc_now() + datetime.timedelta(hours=hours))
        connection = Connection.unusable(SERVICE, connectionid, end, PortProxy(*proxy, "caller"))
        ledger.opened(number, connection, detached=False)


def kill_keeper(ledger: Ledger) -> None:
    """Release the lock of a ledger, as the end of its keeper does."""
    ledger._file.close()
