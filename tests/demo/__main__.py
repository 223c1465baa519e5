# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reach a simulated fleet, and show that every connection is closed: ``make demo``.

The commands of Ansible are those of this Python, or of the directory in the argument. A temporary directory is the home
of all processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = Path(sys.argv[1]).absolute() if sys.argv[1:] else Path(sys.executable).parent
DEVICES, OFFLINE = 5, 1
#: The exit code of Ansible if hosts are unreachable: those that are offline.
UNREACHABLE = 4


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_unused: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="remoteit-demo-") as directory:
        home = Path(directory)
        print_heading(f"A simulated remote.it account with {DEVICES} devices, {OFFLINE} of them offline")
        with simulator(home) as account:
            passed = run(home, account, "ansible", "all", "-m", "ping")
            print_heading("An ordinary playbook: facts, a role, a handler")
            passed &= run(home, account, "ansible-playbook", "playbook.yml")
            print_heading("The same, with Ctrl-C as soon as each device is in use")
            passed &= run(home, account, "ansible-playbook", "playbook.yml", interrupt=True)
        return 0 if passed else 1


def run(home: Path, account: dict[str, t.Any], *command: str, interrupt: bool = False) -> bool:
    """Run a command on the fleet, and show the connections that the simulator has seen.

    :param interrupt: press Ctrl-C as soon as every device has been reached.
    :return: whether every device that is online was reached, and nothing is open.
    """
    before = len(controls(account, "connections"))
    process = ansible(home, account, *command)
    try:
        if interrupt:
            await_true(lambda: process.poll() is not None or all_in_use(controls(account, "connections")[before:]), 60)
            process.send_signal(signal.SIGINT)
        code = process.wait()
    except BaseException:
        process.terminate()  # Ctrl-C has reached it already
        process.wait()
        # the keeper closes the connections after the end of the run
        await_true(lambda: not any(connection["open"] for connection in controls(account, "connections")))
        summary(controls(account, "connections")[before:])
        raise
    return summary(controls(account, "connections")[before:]) and (interrupt or code == UNREACHABLE)


def ansible(home: Path, account: dict[str, t.Any], *command: str) -> subprocess.Popen[bytes]:
    """Start a command of Ansible as a user would, with an access key in the environment."""
    shown = [*command, "-i", "fleet.remoteit.yml", "-u", account["ssh_user"]]
    print_heading(shlex.join(shown))
    arguments = [
        *("--private-key", account["ssh_private_key_file"]),
        f"--ssh-common-args=-o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={home / 'known_hosts'}",
        *("-e", json.dumps({"ansible_python_interpreter": sys.executable})),
    ]
    keys = {"REMOTEIT_GRAPHQL_URL": "graphql_url"}
    keys |= {"R3_ACCESS_KEY_ID": "access_key_id", "R3_SECRET_ACCESS_KEY": "secret_access_key"}
    credentials = {name: account[key] for name, key in keys.items()}
    return subprocess.Popen([BIN / shown[0], *shown[1:], *arguments], cwd=HERE, env=environment(home) | credentials)


def all_in_use(connections: list[dict[str, t.Any]]) -> bool:
    return len(connections) == DEVICES - OFFLINE and all(connection["uses"] for connection in connections)


def summary(connections: list[dict[str, t.Any]]) -> bool:
    """Show the connections that the simulator has seen, and return whether they are as expected."""
    opened, left = len(connections), sum(connection["open"] for connection in connections)
    print("\nConnections in the simulator:")
    for connection in connections:
        state = "open" if connection["open"] else f"closed by {connection['closed_by']}"
        print(f"  {connection['device']}  {connection['connectionid']}  {state}")
    print(f"opened {opened}, closed {opened - left}, left open {left}", flush=True)
    return left == 0 and opened == DEVICES - OFFLINE


@contextlib.contextmanager
def simulator(home: Path) -> t.Iterator[dict[str, t.Any]]:
    state = home / "simulator.json"
    command = [sys.executable, HERE.parent / "simulator", "--devices", DEVICES, "--offline", OFFLINE, "--state", state]
    # in its own session: Ctrl-C must not end the simulator before the connections are closed
    process = subprocess.Popen([str(word) for word in command], env=environment(home), start_new_session=True)
    try:
        await_true(lambda: state.exists() or process.poll() is not None)
        yield json.loads(state.read_text())
    finally:
        process.terminate()
        process.wait()


def environment(home: Path) -> dict[str, str]:
    """Return an environment without the settings of this machine."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TERM", "NO_COLOR") if name in os.environ}
    kept["PATH"] = f"{BIN}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return kept | {
        "HOME": str(home),
        "TMPDIR": str(home),
        "ANSIBLE_CONFIG": str(HERE / "ansible.cfg"),
        "ANSIBLE_FORCE_COLOR": str(sys.stdout.isatty()),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def controls(account: dict[str, t.Any], what: str) -> t.Any:
    base = account["api_url"].split("/apv/")[0]
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with without_proxy.open(f"{base}/_sim/{what}", timeout=10) as response:
        return json.load(response)


def await_true(condition: t.Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


def print_heading(text: str) -> None:
    width = shutil.get_terminal_size((80, 24)).columns
    print(f"\n=== {text} {'=' * max(0, width - len(text) - 5)}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
