# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Start the keeper's process, and connect to it. As a script, run by its path, this file is that process.

The process can rely neither on Ansible's loader nor on the environment or the working directory. It receives
everything in a line on standard input.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import sys
import types
import typing as t

if __name__ != "__main__":  # the script makes the collection importable first
    from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import (
        KeeperError,
        KeeperUnavailableError,
    )
    from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import (
        Run,
        audit_log_path,
        runs_dir,
    )
    from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.private_files import (
        is_private_dir,
        make_private_dir,
    )

START_SECONDS = 30.0

#: The environment of the keeper's process. It contains no secret, and no variable by which CI agents find the processes
#: that a job has left.
_ENVIRONMENT = (
    "PATH",
    "LD_LIBRARY_PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "OPENSSL_CONF",
    # proxychains and torsocks, through which the other processes of the run call the API
    "LD_PRELOAD",
    "PROXYCHAINS_CONF_FILE",
    "TORSOCKS_CONF_FILE",
)


# -- the side of the workers -------------------------------------------------------------------------------------------


def connect(run: Run) -> socket.socket | None:
    """Connect to the keeper of a run; return ``None`` if the run has none.

    :raises KeeperUnavailableError: another user could listen there.
    """
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.connect(run.socket)
    except (FileNotFoundError, ConnectionRefusedError):
        connected.close()
        return None
    if not (is_private_dir(run.runtime_dir) and _is_of_this_user(connected)):
        connected.close()
        raise KeeperUnavailableError(
            f"another user's process may listen in {run.runtime_dir} in place of the keeper, so nothing was sent to it."
            f" The connections of this run are in the ledger of the run {run.id}: run the playbook"
            " remoteit.fleet.teardown"
        )
    return connected


def start(run: Run) -> socket.socket:
    """Start the keeper of a run, unless another worker is doing so, and connect to it.

    :raises KeeperError: it cannot be started, or cannot be reached.
    """
    try:
        make_private_dir(run.runtime_dir)
        with open(os.path.join(run.runtime_dir, "lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            connected = connect(run)
            if connected is None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(run.socket)
                _spawn(run)
                connected = connect(run)
    except OSError as error:
        raise KeeperError(f"nothing was opened: the keeper of this run cannot be started: {error}") from error
    if connected is None:
        raise KeeperUnavailableError("the keeper of this run is gone")
    return connected


def _is_of_this_user(connected: socket.socket) -> bool:
    """Return whether a process of this user is at the other end. Without ``SO_PEERCRED`` it is assumed."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _unused, uid, _unused = struct.unpack(
        "3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return bool(uid == os.getuid())


def _spawn(run: Run) -> None:
    """Start the process and wait until it serves.

    :raises OSError: it cannot be started.
    """
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        start_new_session=True,
        umask=0o077,
    )
    stdin, stdout, stderr = (t.cast(t.IO[bytes], stream) for stream in (process.stdin, process.stdout, process.stderr))
    parameters = {
        "run": dataclasses.asdict(run),
        "runs_dir": runs_dir(),
        "audit_path": audit_log_path(),
        "sys_path": [os.path.abspath(path) for path in sys.path],
    }
    try:
        with contextlib.suppress(BrokenPipeError), stdin:  # a process that ended at once reports why
            stdin.write(json.dumps(parameters).encode() + b"\n")
        if not _is_readable(stdout, START_SECONDS):
            process.terminate()  # it has opened nothing yet
            process.returncode = -signal.SIGTERM
            raise TimeoutError(f"it did not start within {START_SECONDS:g} seconds; is this machine overloaded?")
        line = stdout.readline()
        errors = b"" if line else stderr.read()
    finally:
        stdout.close()
        stderr.close()
    last_lines = errors.decode(errors="replace").strip().splitlines() or ["it ended without a message"]
    response = json.loads(line) if line else {"error": last_lines[-1]}
    if "error" in response:
        raise OSError(response["error"])
    process.returncode = 0  # it outlives this worker, which does not wait for it


def _is_readable(stream: t.IO[bytes], seconds: float) -> bool:
    """Return whether the stream becomes readable in time. ``select`` fails with more than 1024 open files."""
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


# -- the script --------------------------------------------------------------------------------------------------------


def _make_importable(plugins: str) -> None:
    """Let ``ansible_collections.remoteit.fleet.plugins`` be this directory and no other."""
    name = ""
    for part, path in (("ansible_collections", []), ("remoteit", []), ("fleet", []), ("plugins", [plugins])):
        name = f"{name}.{part}" if name else part
        module = types.ModuleType(name)
        module.__path__ = path
        sys.modules[name] = module


def _main() -> None:
    parameters = json.loads(sys.stdin.readline())
    sys.path[:] = parameters["sys_path"]
    _make_importable(str(pathlib.Path(__file__).resolve().parents[2]))

    from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.server import serve
    from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run

    def ready() -> None:
        print(json.dumps({"ready": True}), flush=True)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)

    try:
        serve(Run(**parameters["run"]), parameters["runs_dir"], parameters["audit_path"], ready)
    except OSError as error:
        path = f": {error.filename}" if error.filename else ""
        print(json.dumps({"error": f"{error.strerror or error}{path}"}), flush=True)
        sys.exit(1)


if __name__ == "__main__":
    _main()
