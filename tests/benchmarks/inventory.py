# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the inventory plugin with a minimal script that makes the same inventory with functions of ansible-core.

Each measurement is a separate process. It starts when ansible-core is imported.
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

from benchmarks.report import Cell, Report
from benchmarks.testbed import ROOT, alternate, controller_environment
from support import Simulator

DEVICES, REPEATS = 10_000, 2
#: The versions of ansible-core, with the Python that has it.
VERSIONS = {"2.21": Path(sys.executable), "2.16": ROOT / ".venv" / "engines" / "2.16" / "bin" / "python"}
#: The ratios that are goals, by the source of the devices.
LIMITS = {"from the API": 1.2, "from the cache": 1.0}
PAGE = 1000
SERVICE_KEYS = ("id", "name", "application", "title", "port", "enabled")
#: The variables of a host that the script copies, in the order of the plugin's cache.
OTHER_VARIABLES = tuple(
    f"remoteit_{name}"
    for name in (
        *("platform", "attributes", "created", "last_reported", "owner"),
        *("external_address", "external_port", "internal_address"),
    )
)

QUERY = """query ($size: Int!, $from: Int!) { login { devices(size: $size, from: $from) { items {
  id name state online platform created lastReported attributes owner { email } tags { name }
  endpoint { externalAddress internalAddress } services { id name state online enabled application title port }
} hasMore total } } }"""


def main(report: Report, hosts: int = DEVICES, repeats: int = REPEATS) -> None:
    rows: list[list[Cell]] = []
    with tempfile.TemporaryDirectory(prefix="remoteit-bench-") as directory:
        simulator = Simulator(Path(directory), "--devices", str(hosts))
        try:
            found = {version: measured(simulator, Path(directory), version, repeats) for version in VERSIONS}
        finally:
            simulator.end()
    for version, of_version in found.items():
        for name, limit in LIMITS.items():
            what = f"inventory of {hosts:,} devices {name}, ansible-core {version} ÷ bare script"
            report.goal(what, of_version[name][2], limit)
        rows += [[version, name, *columns] for name, columns in of_version.items()]
    report.table(
        "The inventory",
        f"{hosts:,} devices, {repeats} repeats. Each measurement starts when ansible-core is imported: seconds, their"
        " ratio, the ratio of processor time, and peak memory.",
        ["ansible-core", "", "bare script", "plugin", "÷ bare", "processor ÷ bare", "MB"],
        rows,
    )


def measured(simulator: Simulator, directory: Path, version: str, repeats: int) -> dict[str, list[list[float]]]:
    """Return the columns of the table, with the API and with the cache as the source, for a version of ansible-core."""
    source = directory / "fleet.remoteit.yml"
    source.write_text("plugin: remoteit.fleet.services\n")
    environment = {
        **controller_environment(directory),
        "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
        "R3_ACCESS_KEY_ID": simulator.state["access_key_id"],
        "R3_SECRET_ACCESS_KEY": simulator.state["secret_access_key"],
        "REMOTEIT_GRAPHQL_URL": simulator.state["graphql_url"],
        "ANSIBLE_INVENTORY_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(directory / f"cache-{version}"),
    }
    cached = {**environment, "ANSIBLE_INVENTORY_CACHE": "true"}

    def run(what: str, environ: dict[str, str]) -> dict[str, float]:
        command = [str(VERSIONS[version]), "-m", "benchmarks.inventory", what, str(source)]
        output = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(output.stdout)

    run("plugin", cached)  # fills the cache
    found: dict[str, list[list[float]]] = {name: [] for name in LIMITS}
    for number in range(repeats):
        for (name, rows), environ, script in zip(
            found.items(), (environment, cached), ("bare-fresh", "bare-cached"), strict=True
        ):
            of = {what: run(what, environ) for what in alternate(number, script, "plugin")}
            bare, plugin = of[script], of["plugin"]
            assert bare["values"] == plugin["values"], (name, bare, plugin)
            ratios = [plugin[what] / bare[what] for what in ("seconds", "worked")]
            rows.append([bare["seconds"], plugin["seconds"], *ratios, plugin["memory"]])
    return {name: [list(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}


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
    """Yield the variables of each host, from the pages that the plugin requests."""
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
            address, _unused, port = device["endpoint"]["externalAddress"].rpartition(":")
            services = [
                {**{key: service[key] for key in SERVICE_KEYS}, "online": service["state"] == "active"}
                for service in device["services"]
                if service["application"] != 35
            ]
            yield variables(
                device["id"],
                device["name"],
                device["state"] == "active",
                [tag["name"] for tag in device["tags"]],
                *(device[key] for key in ("platform", "attributes", "created", "lastReported")),
                device["owner"]["email"],
                address,
                int(port),
                device["endpoint"]["internalAddress"],
                services=services,
            )
        start, more = start + len(page["items"]), page["hasMore"]


def cached() -> t.Iterator[dict[str, t.Any]]:
    """Yield the variables of each host, from the cache file of the plugin."""
    from ansible.plugins.loader import cache_loader

    directory = os.environ["ANSIBLE_INVENTORY_CACHE_CONNECTION"]
    cache = cache_loader.get("ansible.builtin.jsonfile", _uri=directory, _prefix="ansible_inventory_")
    (key,) = cache.keys()
    _unused, _unused, devices = json.loads(cache.get(key))
    fields = (*SERVICE_KEYS[:5], "online", "enabled")
    for number, name, online, _unused, tags, *others, services in devices:
        yield variables(number, name, online, tags, *others, services=[dict(zip(fields, each)) for each in services])


def variables(
    number: str, name: str, online: bool, tags: list[str], *others: t.Any, services: list[dict[str, t.Any]]
) -> dict[str, t.Any]:
    (ssh,) = (service for service in services if service["application"] == 28)
    values = dict(zip(OTHER_VARIABLES, others, strict=True))
    return {
        "remoteit_device": name,
        "remoteit_device_id": number,
        "remoteit_online": online,
        "remoteit_tags": tags,
        "remoteit_services": services,
        **values,
        "remoteit_offline_since": None if online else values["remoteit_last_reported"],
        "remoteit_deviceaddress": ssh["id"],
        "remoteit_service": ssh["name"],
    }


def add(inventory: t.Any, hosts: t.Iterable[dict[str, t.Any]]) -> None:
    for host in hosts:
        name = inventory.add_host(host["remoteit_device"])
        for key, value in host.items():
            inventory.set_variable(name, key, value)
        groups = ["devices", "state_active" if host["remoteit_online"] else "state_inactive"]
        groups += [f"tag_{tag.replace('-', '_')}" for tag in host["remoteit_tags"]]
        for group in groups:
            inventory.add_child(inventory.add_group(f"remoteit_{group}"), name)


if __name__ == "__main__":
    child(*sys.argv[1:])
