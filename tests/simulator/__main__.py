# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the simulator of remote.it: ``python tests/simulator``. ``README.md`` in this directory describes it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import asyncssh
from aiohttp import web

from accounts import Account, User
from certificate import Certificate
from clock import Clock
from connections import Connections
from control_api import ControlApi
from devices import ORGANIZATION_PREFIX, Fleet
from graphql_api import PATH, GraphQLApi
from rest_api import BASE, RestApi
from settings import CHOICES, Settings
from ssh_server import SSH_USER, kill_leftover_processes
from state import Organization, SimulatorState


def main() -> int:
    options = parse_options()
    raise_file_limit()
    if options.state is not None:
        # A client waits for this file, and must not read that of an earlier simulator.
        options.state.unlink(missing_ok=True)
    is_temporary = options.work is None
    directory = Path(tempfile.mkdtemp(prefix="remoteit-sim-")) if is_temporary else options.work
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The shell shows resolved paths, so SFTP must as well.
        asyncio.run(serve(options, directory.resolve()))
    except OSError as problem:
        print(f"simulator: {problem}", file=sys.stderr)
        return 1
    finally:
        kill_leftover_processes(directory.resolve())
        if is_temporary:
            shutil.rmtree(directory, ignore_errors=True)
    return 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulator", description=__doc__)
    parser.add_argument("--listen", type=_address, default=("127.0.0.1", 0), metavar="HOST:PORT")
    parser.add_argument("--devices", type=_count, default=3, metavar="N")
    parser.add_argument("--offline", type=_count, default=0, metavar="K", help="the last K devices are offline")
    parser.add_argument("--organisation-devices", type=_count, default=3, metavar="N", help="what its account owns")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="what a connect takes")
    parser.add_argument("--state", type=Path, metavar="FILE", help="write it when ready")
    parser.add_argument("--second-connect", choices=CHOICES["second_connect"], default="add")
    parser.add_argument("--proxy-host", default="127.0.0.1", metavar="HOST", help="where proxies listen")
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="keep homes and keys here, not in a temporary directory"
    )
    return parser.parse_args()


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) > 999999:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of devices")
    return int(text)


def raise_file_limit() -> None:
    """Raise the limit of open files. A connection in use needs about six descriptors."""
    _unused, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS reports no limit, and then refuses more than OPEN_MAX.
    for wanted in (hard, 10240):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return


async def serve(options: argparse.Namespace, directory: Path) -> None:
    """Serve all APIs until a signal arrives. The state file is written when they are ready."""
    ended = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, ended.set)
    key_file = directory / "id_ed25519"
    # A large fleet is a million permanent objects, which the garbage collector need not visit.
    gc.disable()
    state, certificate = make_state(options, directory, client_key(key_file))
    app = make_app(state)
    gc.freeze()
    gc.enable()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, *options.listen, backlog=2048)
    sweeper = asyncio.create_task(state.connections.sweep_forever())
    try:
        await site.start()
        client_state = describe(state, runner.addresses[0], key_file, certificate)
        if options.state is not None:
            write_private(options.state, json.dumps(client_state, indent=1))
        print(f"simulator: {len(state.fleet.devices)} devices behind {client_state['api_url']}", flush=True)
        await ended.wait()
    finally:
        sweeper.cancel()
        await runner.cleanup()
        state.connections.end()
        state.fleet.close()
        state.organization.fleet.close()
        # Aborted commands and streams need some time to clean up.
        await asyncio.sleep(0.05)


def make_app(state: SimulatorState) -> web.Application:
    app = web.Application(client_max_size=2**20)
    for part in (ControlApi(state), RestApi(state), GraphQLApi(state)):
        part.add_routes(app)

    async def set_date(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = state.account.access_key.date()

    app.on_response_prepare.append(set_date)
    return app


def make_state(options: argparse.Namespace, directory: Path, public_key: str) -> tuple[SimulatorState, Certificate]:
    clock = Clock()
    settings = Settings(latency=options.latency, second_connect=options.second_connect)
    certificate = Certificate(directory)
    fleet = Fleet(options.devices, options.offline, directory / "devices", public_key)
    organization = Organization(
        id="8c1f7a52-3d0e-4f6b-9a57-2f3c1e0d4b68",
        name="Headquarters",
        user=User.from_email("headquarters@example.com"),
        fleet=Fleet(options.organisation_devices, 0, directory / "devices", public_key, "hq", ORGANIZATION_PREFIX),
    )
    connections = Connections(clock, settings, options.proxy_host, certificate.context)
    return SimulatorState(clock, settings, Account(clock, settings), fleet, organization, connections), certificate


def client_key(path: Path) -> str:
    """Return the public key that all devices accept. Create the key pair unless it exists."""
    if path.exists():
        return asyncssh.read_private_key(path).export_public_key().decode()
    key = asyncssh.generate_private_key("ssh-ed25519", comment="remoteit.fleet simulator")
    write_private(path, key.export_private_key().decode())
    return key.export_public_key().decode()


def describe(
    state: SimulatorState, address: tuple[Any, ...], key_file: Path, certificate: Certificate
) -> dict[str, Any]:
    """Return the content of the state file: URLs, secrets and services."""
    host, port = address[:2]
    root = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    account = state.account
    return {
        "api_url": root + BASE,
        "graphql_url": root + PATH,
        "control_url": root + "/_sim",
        "account_id": account.user.id,
        "username": account.username,
        "password": account.password,
        "developer_key": account.developer_key,
        "token": account.issue_token()[0],
        "access_key_id": account.access_key_id,
        "secret_access_key": account.secret_access_key,
        "ssh_user": SSH_USER,
        "ssh_private_key_file": str(key_file),
        "ca_file": str(certificate.ca_file),
        "pid": os.getpid(),
        "services": state.fleet.summary(),
        "organisation": {
            "id": state.organization.id,
            "name": state.organization.name,
            "account_id": state.organization.user.id,
            "email": state.organization.user.email,
            "services": state.organization.fleet.summary(),
        },
    }


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, with access for its owner only."""
    descriptor, draft = tempfile.mkstemp(dir=path.resolve().parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    os.replace(draft, path)


if __name__ == "__main__":
    sys.exit(main())
