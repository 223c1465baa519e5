# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hundred workers of one run that ask its keeper at once, and are killed at random: see test_ledger.py."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.client import KeeperClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest

WORKERS = 200


def worker(account: Account, service: str) -> None:
    """Open and close as a module does, or use a connection for a moment as the connection plugin does."""
    client = KeeperClient()
    if random.random() < 0.5:
        lease = client.acquire(HostRequest(service, service, None, None, account), None, 0)
        time.sleep(random.uniform(0.0, 0.3))
        lease.close()
        os._exit(0)
    for _unused, connection in client.connect_all(account, ConnectRequest((service,), reuse=random.random() < 0.5)):
        list(client.disconnect_all(account, [(service, connection.connectionid)]))
    os._exit(0)


def main() -> None:
    state = json.loads(Path(sys.argv[1]).read_text())
    account = Account(Credentials(state["api_url"], state["developer_key"], token=state["token"]))
    services = [service["deviceaddress"] for service in state["services"]]
    workers = []
    for number in range(WORKERS):
        pid = os.fork()
        if pid == 0:
            worker(account, services[number % len(services)])
        workers.append(pid)
    sys.stdin.readline()
    time.sleep(random.uniform(0.0, 0.6))  # whatever they are doing then
    for pid in random.sample(workers, WORKERS // 2):
        os.kill(pid, signal.SIGKILL)
    print("killed", flush=True)
    for pid in workers:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
