# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin against a bare script that makes the same inventory with the engine's own calls.

Each measurement is a process of its own, which begins to count when ansible-core is imported.
"""

from __future__ import annotations

import base64
import email.utils
import hmac
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.report import show
from support import Simulator

DEVICES, PAGE, REPEATS = 10_000, 1000, 5

QUERY = """query ($size: Int!, $from: Int!) { login { devices(size: $size, from: $from) { items {
  id name state online platform created lastReported attributes owner { email } tags { name }
  endpoint { externalAddress internalAddress } services { id name state online enabled application title port }
} hasMore total } } }"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="remoteit-bench-") as name:
        folder = Path(name)
        simulator = Simulator(folder, "--devices", str(DEVICES))
        try:
            measure(simulator, folder)
        finally:
            simulator.end()


def measure(simulator: Simulator, folder: Path) -> None:
    source = folder / "fleet.remoteit.yml"
    source.write_text("plugin: remoteit.fleet.services\n")
    environment = {
        "HOME": str(folder),
        "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
        "R3_ACCESS_KEY_ID": simulator.state["access_key_id"],
        "R3_SECRET_ACCESS_KEY": simulator.state["secret_access_key"],
        "REMOTEIT_GRAPHQL_URL": simulator.state["graphql_url"],
        "ANSIBLE_INVENTORY_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(folder / "cache"),
    }
    cached = {**environment, "ANSIBLE_INVENTORY_CACHE": "true"}

    def run(what: str, environ: dict[str, str]) -> dict[str, float]:
        command = [sys.executable, "-m", "benchmarks.inventory", what, str(source)]
        output = subprocess.run(command, env={**os.environ, **environ}, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(output.stdout)

    run("plugin", cached)  # fills the cache
    rows: dict[str, list[float]] = {}
    for _unused in range(REPEATS):
        for kind, environ in (("fresh", environment), ("cached", cached)):
            bare, plugin = run(f"bare-{kind}", environ), run("plugin", environ)
            assert bare["values"] == plugin["values"], (bare, plugin)
            for name, value in (
                ("bare", bare["seconds"]),
                ("plugin", plugin["seconds"]),
                ("ratio", plugin["seconds"] / bare["seconds"]),
                ("work", plugin["worked"] / bare["worked"]),
                ("memory", plugin["memory"]),
            ):
                rows.setdefault(f"{kind} {name}", []).append(value)
    print(f"an inventory of {DEVICES} devices, {PAGE} a page; {REPEATS} repeats")
    for kind, text in (("fresh", "from the API"), ("cached", "from the cache")):
        show(f"bare script, {text}", rows[f"{kind} bare"], "s")
        show(f"inventory plugin, {text}", rows[f"{kind} plugin"], "s")
        show("ratio (goal: 1.3)", rows[f"{kind} ratio"], "")
        show("ratio of processor time alone", rows[f"{kind} work"], "")
        show("peak memory of the plugin's process (goal: 400)", rows[f"{kind} memory"], "MB")
    show("peak memory of ansible-inventory --list", [listing(source, environment)], "MB")


def listing(source: Path, environment: dict[str, str]) -> float:
    """The peak memory of a whole C(ansible-inventory), in megabytes."""
    command = [str(Path(sys.executable).with_name("ansible-inventory")), "-i", str(source), "--list"]
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    _unused, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return usage.ru_maxrss / 1024


# -- one measurement ---------------------------------------------------------------------------------------------------


def child(what: str, source: str) -> None:
    from ansible.inventory.data import InventoryData
    from ansible.parsing.dataloader import DataLoader
    from ansible.plugins.loader import init_plugin_loader, inventory_loader

    init_plugin_loader()
    inventory, loader = InventoryData(), DataLoader()
    begin, worked = time.monotonic(), time.process_time()
    if what == "plugin":
        plugin = inventory_loader.get("remoteit.fleet.services")
        plugin.parse(inventory, loader, source)
        if plugin.get_option("cache"):
            plugin.update_cache_if_changed()
    elif what == "bare-fresh":
        add(inventory, fetch())
    else:
        add(inventory, cached())
    seconds, worked = time.monotonic() - begin, time.process_time() - worked
    values = sum(len(host.vars) + len(host.groups) for host in inventory.hosts.values())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "worked": worked, "memory": memory, "values": values}))


def fetch() -> t.Iterator[dict[str, t.Any]]:
    """The variables of each host, from the pages that the plugin asks for."""
    import requests

    session = requests.Session()
    url = urlsplit(os.environ["REMOTEIT_GRAPHQL_URL"])
    key = base64.b64decode(os.environ["R3_SECRET_ACCESS_KEY"])
    start, more = 0, True
    while more:
        date = email.utils.formatdate(usegmt=True)
        lines = f"(request-target): post {url.path}\nhost: {url.netloc}\ndate: {date}\ncontent-type: application/json"
        signature = base64.b64encode(hmac.digest(key, lines.encode(), "sha256")).decode()
        authorization = (
            f'Signature keyId="{os.environ["R3_ACCESS_KEY_ID"]}",algorithm="hmac-sha256",'
            f'headers="(request-target) host date content-type",signature="{signature}"'
        )
        headers = {"Date": date, "Content-Type": "application/json", "Authorization": authorization}
        body = json.dumps({"query": QUERY, "variables": {"size": PAGE, "from": start}})
        page = session.post(url.geturl(), data=body, headers=headers).json()["data"]["login"]["devices"]
        for device in page["items"]:
            services = [
                {
                    "id": service["id"],
                    "name": service["name"],
                    "application": service["application"],
                    "title": service["title"],
                    "port": service["port"],
                    "online": service["state"] == "active",
                    "enabled": service["enabled"],
                }
                for service in device["services"]
                if service["application"] != 35
            ]
            yield variables(
                device["id"],
                device["name"],
                device["state"] == "active",
                [tag["name"] for tag in device["tags"]],
                device["platform"],
                device["attributes"],
                device["created"],
                device["lastReported"],
                device["owner"]["email"],
                device["endpoint"]["externalAddress"],
                device["endpoint"]["internalAddress"],
                services,
            )
        start, more = start + len(page["items"]), page["hasMore"]


def cached() -> t.Iterator[dict[str, t.Any]]:
    """The variables of each host, from the file that the plugin has cached."""
    from ansible.plugins.loader import cache_loader

    folder = os.environ["ANSIBLE_INVENTORY_CACHE_CONNECTION"]
    cache = cache_loader.get("ansible.builtin.jsonfile", _uri=folder, _prefix="ansible_inventory_")
    (key,) = cache.keys()
    fields = ("id", "name", "application", "title", "port", "online", "enabled")
    _unused, _unused, devices = json.loads(cache.get(key))
    for number, name, online, _unused, tags, *others, services in devices:
        yield variables(number, name, online, tags, *others, [dict(zip(fields, each)) for each in services])


def variables(
    number: str,
    name: str,
    online: bool,
    tags: list[str],
    platform: int,
    attributes: dict[str, t.Any],
    created: str,
    last_reported: str,
    owner: str,
    external_address: str,
    internal_address: str,
    services: list[dict[str, t.Any]],
) -> dict[str, t.Any]:
    (ssh,) = (service for service in services if service["application"] == 28)
    return {
        "remoteit_device": name,
        "remoteit_device_id": number,
        "remoteit_online": online,
        "remoteit_tags": tags,
        "remoteit_services": services,
        "remoteit_platform": platform,
        "remoteit_attributes": attributes,
        "remoteit_owner": owner,
        "remoteit_created": created,
        "remoteit_last_reported": last_reported,
        "remoteit_external_address": external_address,
        "remoteit_internal_address": internal_address,
        "remoteit_deviceaddress": ssh["id"],
        "remoteit_service": ssh["name"],
    }


def add(inventory: t.Any, hosts: t.Iterable[dict[str, t.Any]]) -> None:
    for host in hosts:
        name = inventory.add_host(host["remoteit_device"])
        for key, value in host.items():
            inventory.set_variable(name, key, value)
        groups = ["state_active" if host["remoteit_online"] else "state_inactive"]
        groups += [f"tag_{tag.replace('-', '_')}" for tag in host["remoteit_tags"]]
        for group in groups:
            inventory.add_child(inventory.add_group(f"remoteit_{group}"), name)


if __name__ == "__main__":
    child(*sys.argv[1:])
