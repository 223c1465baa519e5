# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet is reached and closed again, against the simulator: C(make demo).

Ansible's commands are those beside the Python that runs this, or those of the folder that is given.

Everything happens in a temporary folder, which is also the home of whatever is started.
"""

from __future__ import annotations

import contextlib
import json
import os
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


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_unused: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="remoteit-demo-") as folder:
        home = Path(folder)
        say(f"A simulated remote.it account with {DEVICES} devices, {OFFLINE} of them offline")
        with simulator(home) as account:
            ansible(home, account, "ansible-inventory", "--graph").wait()
            say("ansible-playbook opens a connection to each, works over SSH, and closes them all")
            code = play(home, account)
            seen = vendor(account, "connections")
            well = summary(seen, code) and code == 0
            say("The same once more, with Ctrl-C in the middle: the keeper closes what the playbook cannot")
            play(home, account, interrupt=True)
            well &= summary(vendor(account, "connections")[len(seen) :], 0)
        return 0 if well else 1


def play(home: Path, account: dict[str, t.Any], interrupt: bool = False) -> int:
    """Run the playbook as a user would, with an access key in the environment.

    :param interrupt: press Ctrl-C as soon as every device has been reached.
    """
    login = {
        "ansible_user": account["ssh_user"],
        "ansible_ssh_private_key_file": account["ssh_private_key_file"],
        "ansible_python_interpreter": sys.executable,
        "remoteit_session_known_hosts": str(home / "known_hosts"),
    }
    before = len(vendor(account, "connections"))
    run = ansible(home, account, "ansible-playbook", "--extra-vars", json.dumps(login), HERE / "playbook.yml")
    try:
        if interrupt:
            await_true(lambda: run.poll() is not None or all_in_use(vendor(account, "connections")[before:]), 60)
            run.send_signal(signal.SIGINT)
        return run.wait()
    except BaseException:
        run.terminate()  # Ctrl-C has reached it already
        run.wait()
        # the keeper goes on after the run; the vendor's side tells when it is done
        await_true(lambda: not any(connection["open"] for connection in vendor(account, "connections")))
        summary(vendor(account, "connections"), 1)
        raise


def ansible(home: Path, account: dict[str, t.Any], command: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """Start one of Ansible's commands; the inventory plugin finds the devices."""
    keys = {"REMOTEIT_GRAPHQL_URL": "graphql_url"}
    keys |= {"R3_ACCESS_KEY_ID": "access_key_id", "R3_SECRET_ACCESS_KEY": "secret_access_key"}
    credentials = {name: account[key] for name, key in keys.items()}
    return subprocess.Popen(
        [BIN / command, "--inventory", HERE / "fleet.remoteit.yml", *arguments], env=environment(home) | credentials
    )


def all_in_use(connections: list[dict[str, t.Any]]) -> bool:
    return len(connections) == DEVICES - OFFLINE and all(connection["uses"] for connection in connections)


def summary(connections: list[dict[str, t.Any]], code: int) -> bool:
    """Say what the vendor's side has seen; true if everything is well."""
    opened, left = len(connections), sum(connection["open"] for connection in connections)
    say("What the vendor's side has seen" + ("" if code == 0 else f" (ansible-playbook ended with {code})"))
    for connection in connections:
        state = "open" if connection["open"] else f"closed by {connection['closed_by']}"
        print(f"  {connection['device']}  {connection['connectionid']}  {state}")
    print(f"opened {opened}, closed {opened - left}, left open {left}", flush=True)
    return left == 0 and opened == DEVICES - OFFLINE


@contextlib.contextmanager
def simulator(home: Path) -> t.Iterator[dict[str, t.Any]]:
    state = home / "simulator.json"
    command = [sys.executable, HERE.parent / "simulator", "--devices", DEVICES, "--offline", OFFLINE, "--state", state]
    # in a session of its own: Ctrl-C must not end the vendor before the connections are closed
    process = subprocess.Popen([str(word) for word in command], env=environment(home), start_new_session=True)
    try:
        await_true(lambda: state.exists() or process.poll() is not None)
        yield json.loads(state.read_text())
    finally:
        process.terminate()
        process.wait()


def environment(home: Path) -> dict[str, str]:
    """An environment that leads nowhere but to the folder of the demo."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TERM", "NO_COLOR") if name in os.environ}
    kept["PATH"] = f"{BIN}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return kept | {
        "HOME": str(home),
        "TMPDIR": str(home),
        "ANSIBLE_CONFIG": str(HERE / "ansible.cfg"),
        "ANSIBLE_FORCE_COLOR": str(sys.stdout.isatty()),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def vendor(account: dict[str, t.Any], what: str) -> t.Any:
    base = account["api_url"].split("/apv/")[0]
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with without_proxy.open(f"{base}/_sim/{what}", timeout=10) as answer:
        return json.load(answer)


def await_true(condition: t.Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


def say(text: str) -> None:
    width = shutil.get_terminal_size((80, 24)).columns
    print(f"\n=== {text} {'=' * max(0, width - len(text) - 5)}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
