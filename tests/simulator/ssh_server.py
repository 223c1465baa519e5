# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SSH server of a device, with its own host key and home directory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from functools import partial
from pathlib import Path

import asyncssh

SSH_USER = "pi"
CHUNK = 65536
OTHER_HOME = re.compile(rf"(?<![\w/~])~(?:{SSH_USER}|root)(?=[/\s'\";&|)]|$)")
"""Ansible runs ``echo ~pi``, or ``~root`` with become. These users need not exist here, or have another home."""

SUDO = """\
#!/bin/sh
# Replaces sudo: runs the command as the same user, logs it in ~/sudo.log and sets the variables of sudo.
user=root
while [ $# -gt 0 ]; do
    case "$1" in
        --) shift; break ;;
        -u|-p|-g|-C|-D|-R|-T|-U|-h|-r|-t) [ "$1" = -u ] && user=$2; shift 2 ;;
        -*) shift ;;
        *=*) export "$1"; shift ;;
        *) break ;;
    esac
done
[ $# -gt 0 ] || exit 1
printf '%s\\n' "$user: $(printf '%s' "$*" | tr '\\n' ' ')" >>"$HOME/sudo.log"
SUDO_USER=$LOGNAME SUDO_COMMAND=$* USER=$user LOGNAME=$user
export SUDO_USER SUDO_COMMAND USER LOGNAME
exec "$@"
"""


class SshServer:
    """The SSH server of a device. It starts to listen on a loopback port when it is first used."""

    def __init__(self, name: str, directory: Path, client_key: str) -> None:
        self.name = name
        self.dropped = False
        self.live: set[asyncssh.SSHServerConnection] = set()
        self.groups: set[int] = set()
        self.public_host_key: str | None = None
        self._directory = directory / name
        self._client_key = client_key
        self._listener: asyncssh.SSHAcceptor | None = None
        self._starting = asyncio.Lock()

    @property
    def home(self) -> Path:
        return self._directory / "home"

    @property
    def known_port(self) -> int | None:
        """Return the port, or None before the first use."""
        return self._listener.get_port() if self._listener else None

    async def port(self) -> int:
        """Return the port. Raise ``ConnectionRefusedError`` if a test has dropped the device."""
        if self.dropped:
            raise ConnectionRefusedError(f"{self.name} refuses connections")
        async with self._starting:
            if self._listener is None:
                self._listener = await self._listen()
        return self._listener.get_port()

    def rekey(self) -> None:
        """Use another host key for the next connection, as after a reinstallation."""
        (self._directory / "host_key").unlink(missing_ok=True)
        self._stop_listening()

    def drop(self, dropped: bool) -> None:
        """Close all streams and refuse new ones, or accept them again."""
        self.dropped = dropped
        if dropped:
            self.close()

    def close(self) -> None:
        """Close the server and its connections, and kill their commands."""
        self._stop_listening()
        for connection in list(self.live):
            connection.abort()
        for group in list(self.groups):
            kill_group(group, signal.SIGKILL)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _listen(self) -> asyncssh.SSHAcceptor:
        key = self._prepare()
        self.public_host_key = key.export_public_key().decode().strip()
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=partial(_ServerConnection, self, self._client_key),
            server_host_keys=[key],
            process_factory=partial(_serve_command, self),
            sftp_factory=partial(_SftpServer, str(self.home)),
            encoding=None,
            line_editor=False,
            agent_forwarding=False,
            gss_host=None,
            backlog=256,
        )

    def _prepare(self) -> asyncssh.SSHKey:
        """Create the home directory and the host key, unless they exist."""
        tools = self.home / "bin"
        tools.mkdir(parents=True, exist_ok=True)
        (self.home / "device-name").write_text(f"{self.name}\n")
        sudo = tools / "sudo"
        sudo.write_text(SUDO)
        sudo.chmod(0o755)
        host_key = self._directory / "host_key"
        if host_key.exists():
            return asyncssh.read_private_key(host_key)
        key = asyncssh.generate_private_key("ssh-ed25519")
        host_key.touch(mode=0o600)
        key.write_private_key(host_key)
        return key

    def environment(self) -> dict[str, str]:
        """Return the environment of commands, which contains nothing of the simulator's environment."""
        return {
            "HOME": str(self.home),
            "USER": SSH_USER,
            "LOGNAME": SSH_USER,
            "SHELL": "/bin/sh",
            "LANG": "C.UTF-8",
            "PATH": f"{self.home}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        }


class _ServerConnection(asyncssh.SSHServer):
    """Accepts one user with its keys, and forwards ports, so that a device can be a jump host."""

    def __init__(self, ssh_server: SshServer, client_key: str) -> None:
        self._ssh_server = ssh_server
        self._client_key = asyncssh.import_public_key(client_key)
        self._connection: asyncssh.SSHServerConnection

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._ssh_server.live.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ssh_server.live.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == SSH_USER and key in self._accepted_keys()

    def _accepted_keys(self) -> list[asyncssh.SSHKey]:
        """Return the keys of ``~/.ssh/authorized_keys`` if a test has created it, otherwise the client's key."""
        path = self._ssh_server.home / ".ssh" / "authorized_keys"
        return asyncssh.read_public_key_list(path) if path.exists() else [self._client_key]

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True


class _SftpServer(asyncssh.SFTPServer):
    """Start relative paths at the home directory, and keep absolute ones, as the shell does."""

    def __init__(self, home: str, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        super().__init__(chan)
        self._home = home.encode()

    def map_path(self, path: bytes) -> bytes:
        return os.path.join(self._home, path)


async def _serve_command(ssh_server: SshServer, process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run a command or a shell in a separate process group, which is killed when the channel closes.

    The three streams are copied here, because the redirection of asyncssh lost data under load.
    There are no terminals. If one is requested, standard error is only merged into standard output.
    """
    child = await asyncio.create_subprocess_exec(
        "/bin/sh",
        *([] if process.command is None else ["-c", OTHER_HOME.sub("$HOME", process.command)]),
        cwd=ssh_server.home,
        env=ssh_server.environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT if process.term_type else asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    ssh_server.groups.add(child.pid)
    feeding = asyncio.create_task(_pump_in(process.stdin, child))
    running = asyncio.create_task(_run_to_end(child, process))
    closed = asyncio.create_task(process.wait_closed())
    tasks = (feeding, running, closed)
    try:
        await asyncio.wait((running, closed), return_when=asyncio.FIRST_COMPLETED)
        if running.done() and not process.is_closing():
            _report_exit(process, await running)
    except (OSError, asyncssh.Error):
        pass
    finally:
        for task in tasks:
            task.cancel()
        kill_group(child.pid, signal.SIGKILL)
        ssh_server.groups.discard(child.pid)
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run_to_end(child: asyncio.subprocess.Process, process: asyncssh.SSHServerProcess[bytes]) -> int:
    """Return the exit status when the command has ended and all its output is sent."""
    await asyncio.gather(_pump_out(child.stdout, process.stdout), _pump_out(child.stderr, process.stderr))
    return await child.wait()


def _report_exit(process: asyncssh.SSHServerProcess[bytes], code: int) -> None:
    if code < 0:
        process.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
    else:
        process.exit(code)


async def _pump_out(source: asyncio.StreamReader | None, sink: asyncssh.SSHWriter[bytes]) -> None:
    while source is not None and (data := await source.read(CHUNK)):
        sink.write(data)
        await sink.drain()


async def _pump_in(source: asyncssh.SSHReader[bytes], child: asyncio.subprocess.Process) -> None:
    """Copy input to the command until the client closes its side, and forward the client's signals."""
    sink = child.stdin
    assert sink is not None
    with contextlib.suppress(OSError, asyncssh.Error):
        while True:
            try:
                data = await source.read(CHUNK)
            except asyncssh.SignalReceived as received:
                kill_group(child.pid, getattr(signal, f"SIG{received.signal}", signal.SIGTERM))
                continue
            except (asyncssh.BreakReceived, asyncssh.TerminalSizeChanged):
                continue
            if not data:
                break
            sink.write(data)
            await sink.drain()
    sink.close()


def kill_group(group: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signum)


def kill_leftover_processes(directory: Path) -> None:
    """Kill processes that left their process group, as the async tasks of Ansible do (only on Linux)."""
    marker = f"HOME={directory}/".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if any(entry.startswith(marker) for entry in environ.read_bytes().split(b"\0")):
                os.kill(int(environ.parent.name), signal.SIGKILL)
