# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that others wrote for the vendor's API work with the simulator."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from support import Simulator

CLIENT = Path(__file__).resolve().parents[2] / ".venv" / "clients" / "remoteit_ssh.py"
QUERY = {"query": "query { login { id email } }"}


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    simulator = Simulator(tmp_path_factory.mktemp("simulator"), "--devices", "2")
    yield simulator
    simulator.end()


def test_remoteit_ssh_reaches_a_device(simulator: Simulator, tmp_path: Path) -> None:
    """The package remoteit-ssh logs in, lists and connects. Only the host of the API is another one."""
    url = urlsplit(simulator.state["graphql_url"])
    client = tmp_path / "client.py"
    source = CLIENT.read_text()
    assert source.count('"api.remote.it"') == source.count('"https://"') == 1
    client.write_text(source.replace('"api.remote.it"', f'"{url.netloc}"').replace('"https://"', '"http://"'))
    config = tmp_path / "config.ini"
    config.write_text(
        f"[default]\nR3_ACCESS_KEY_ID = {simulator.state['access_key_id']}\n"
        f"R3_SECRET_ACCESS_KEY = {simulator.state['secret_access_key']}\n"
    )
    done = subprocess.run(
        [sys.executable, client, "--file", config, "pi-0001"], capture_output=True, text=True, check=True
    )
    found = re.fullmatch(r"ssh -oStrictHostKeyChecking=no -p([0-9]+) pi@(\S+)\n", done.stdout)
    assert found, done.stdout
    command = [
        *("ssh", "-F", "none", "-i", simulator.state["ssh_private_key_file"], "-p", found[1]),
        *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
        *(f"{simulator.state['ssh_user']}@{found[2]}", "cat", "device-name"),
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "pi-0001"
    (connection,) = simulator.connections(simulator.service("pi-0001"))
    assert connection["hostip"] == "0.0.0.0"


def sign(simulator: Simulator, method: str, url: str, *components: str, **changes: str) -> dict[str, str]:
    """Return the headers of a request that is signed as RFC 9421 describes."""
    parts = urlsplit(url)
    created = changes.get("created", str(int(time.time())))
    expires = f";expires={changes['expires']}" if "expires" in changes else ""
    inputs = (
        f"({' '.join(json.dumps(name) for name in components)});created={created}{expires}"
        f';keyid="{simulator.state["access_key_id"]}";alg="hmac-sha256"'
    )
    headers = {"Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())}
    values = {"@method": method, "@authority": parts.netloc, "@target-uri": url, "date": headers["Date"]}
    lines = [f'"{name}": {values[name]}' for name in components] + [f'"@signature-params": {inputs}']
    key = base64.b64decode(simulator.state["secret_access_key"])
    signature = base64.b64encode(hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).digest()).decode()
    signature = changes.get("signature", signature)
    return {**headers, "Signature-Input": f"remoteit={inputs}", "Signature": f"remoteit=:{signature}:"}


def test_signature_of_rfc_9421_is_accepted(simulator: Simulator) -> None:
    url = simulator.state["graphql_url"]
    headers = sign(simulator, "POST", url, "@method", "@authority", "@target-uri", "date")
    response = requests.post(url, json=QUERY, headers={**headers, "Authorization": ""}, timeout=30)
    assert response.json()["data"]["login"]["email"] == simulator.state["username"]


@pytest.mark.parametrize("changes", [{"signature": "AAAA"}, {"created": "1000000000"}, {"expires": "1000000000"}])
def test_signature_of_rfc_9421_is_verified(simulator: Simulator, changes: dict[str, str]) -> None:
    url = simulator.state["graphql_url"]
    headers = sign(simulator, "POST", url, "@method", "@target-uri", "date", **changes)
    assert requests.post(url, json=QUERY, headers=headers, timeout=30).status_code == 403


def rest(simulator: Simulator, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
    given = {"developerkey": simulator.state["developer_key"], **headers}
    return requests.request(method, simulator.state["api_url"] + path, json=body, headers=given, timeout=30)


def test_access_key_is_exchanged_for_a_token(simulator: Simulator) -> None:
    """The vendor's installer signs ``user/info`` and goes on with the token."""
    url = f"{simulator.state['api_url']}/user/info"
    given = sign(simulator, "GET", url, "@method", "@target-uri", "date")
    info = requests.get(url, headers={**given, "apikey": simulator.state["developer_key"]}, timeout=30).json()
    assert rest(simulator, "GET", "/device/list/all", token=info["token"]).json()["length"] == 6
    hashed = {"username": simulator.state["username"], "authhash": info["service_authhash"]}
    again = rest(simulator, "POST", "/user/login/authhash", hashed).json()
    assert again["service_authhash"] == info["service_authhash"]
    assert rest(simulator, "POST", "/user/logout", {"tok": info["token"]}).json() == {"status": "true"}
    assert rest(simulator, "GET", "/device/list/all", token=info["token"]).status_code == 401


def test_rows_of_a_device_share_its_hardware(simulator: Simulator) -> None:
    token = simulator.state["token"]
    wanted = {"devicename": "pi-0001", "devicestate": "all"}
    found = rest(simulator, "POST", "/device/find/by/name/", wanted, token=token)
    assert b'":"' in found.content  # as PHP writes JSON
    assert len({row["hardwareid"] for row in found.json()["devices"]}) == 1
    listed = rest(simulator, "GET", "/device/metadata/list/me", token=token).json()["metadata"]
    assert {row["hardwareid"] for row in found.json()["devices"]} < {row["hardwareid"] for row in listed}
