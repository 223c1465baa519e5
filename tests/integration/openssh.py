# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers of OpenSSH on this machine, the user that logs in to them, and a network namespace for a jump host."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support import TIMEOUT, wait_until

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
SUDO = shutil.which("sudo")
SSHPASS = shutil.which("sshpass")
#: The Python of a device. That of the tests may be in a directory that only its owner may enter.
PYTHON = shutil.which("python3", path="/usr/bin:/bin:/usr/local/bin")
IS_ROOT = os.getuid() == 0

CONFIG = """\
ListenAddress {address}:{port}
HostKey {directory}/{name}.key
PidFile none
AuthorizedKeysFile {directory}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication yes
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
SetEnv DEVICE={name}
LogLevel VERBOSE
"""


def run(*command: str | Path, given: str | None = None) -> str:
    """Run a command that has to succeed, and return its output."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def make_key(path: Path) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)


@dataclasses.dataclass(frozen=True)
class User:
    """A user of this machine.

    :ivar password: ``None`` if it is not known.
    """

    name: str
    password: str | None


@contextlib.contextmanager
def temporary_user() -> Iterator[User]:
    """Yield a user with a password who may use sudo with it; without root, the user that runs the tests."""
    if not IS_ROOT:
        yield User(getpass.getuser(), None)
        return
    user = User(f"rf-{os.getpid()}", secrets.token_hex(8))
    rules = Path("/etc/sudoers.d") / user.name
    run("useradd", "--create-home", "--shell", "/bin/sh", user.name)
    try:
        run("chpasswd", given=f"{user.name}:{user.password}\n")
        if SUDO:
            rules.write_text(f"Defaults:{user.name} timestamp_timeout=0, !lecture\n{user.name} ALL=(ALL) ALL\n")
            rules.chmod(0o440)
        yield user
    finally:
        rules.unlink(missing_ok=True)
        run("userdel", "--force", "--remove", user.name)


class Server:
    """One ``sshd``. Its sessions have the variable ``DEVICE`` with its name.

    :param prefix: the command that runs it, for instance in a network namespace.
    """

    def __init__(self, directory: Path, name: str, address: str = "127.0.0.1", prefix: tuple[str, ...] = ()) -> None:
        assert SSHD
        self.name, self.address = name, address
        self.log_file = directory / f"{name}.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        make_key(directory / f"{name}.key")
        config = directory / f"{name}.conf"
        config.write_text(CONFIG.format(address=address, port=self.port, directory=directory, name=name))
        self._process = subprocess.Popen(
            [*prefix, SSHD, "-D", "-f", config, "-E", self.log_file], stdin=subprocess.DEVNULL
        )
        wait_until(lambda: self._process.poll() is not None or "Server listening" in self.log)
        assert self._process.poll() is None, self.log

    @property
    def log(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    def logins(self) -> list[tuple[str, str]]:
        """Return the method and the user of each login."""
        return re.findall(r"^Accepted (\S+) for (\S+) from ", self.log, re.MULTILINE)

    def sessions(self, kind: str) -> int:
        """Return the number of sessions of this kind that were started: ``command``, ``subsystem 'sftp'``."""
        return sum(line.startswith(f"Starting session: {kind} ") for line in self.log.splitlines())

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(TIMEOUT)


@contextlib.contextmanager
def public_folder() -> Iterator[Path]:
    """Yield a directory into which every user may write, with a client's key that its servers accept."""
    if IS_ROOT:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd drops its privileges there
    with tempfile.TemporaryDirectory(prefix="rf-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "transfers").mkdir()
        (directory / "transfers").chmod(0o777)
        make_key(directory / "client")
        shutil.copy(directory / "client.pub", directory / "authorized_keys")
        yield directory


@contextlib.contextmanager
def agent(key: Path) -> Iterator[Path]:
    """Run an agent that holds the key, and yield its socket."""
    path = key.with_name("agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        wait_until(path.exists)
        command = ["ssh-add", "-q", str(key)]
        subprocess.run(command, env={**os.environ, "SSH_AUTH_SOCK": str(path)}, check=True, timeout=TIMEOUT)
        yield path
    finally:
        process.terminate()
        process.wait(TIMEOUT)


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of two addresses: this machine's, and that of a network namespace."""

    namespace: str
    here: str
    there: str

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.namespace)


@contextlib.contextmanager
def network() -> Iterator[Network | None]:
    """Yield a network, or ``None`` where this user may not make one."""
    number = os.getpid() % 16384  # of the range for benchmarks of network devices, RFC 2544
    base = f"198.{18 + number // 8192}.{number // 64 % 128}"
    found = Network(f"rf-{os.getpid()}", f"{base}.{number % 64 * 4 + 1}", f"{base}.{number % 64 * 4 + 2}")
    inside, outside = f"rfi{os.getpid()}", f"rfo{os.getpid()}"
    steps = [
        ("netns", "add", found.namespace),
        ("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", found.namespace),
        ("addr", "add", f"{found.here}/30", "dev", outside),
        ("link", "set", outside, "up"),
        ("-n", found.namespace, "addr", "add", f"{found.there}/30", "dev", inside),
        ("-n", found.namespace, "link", "set", inside, "up"),
    ]
    try:
        made = IS_ROOT and shutil.which("ip") and all(_ip(*step) for step in steps)
        yield found if made else None
    finally:
        if IS_ROOT and shutil.which("ip"):
            _ip("link", "del", outside)
            _ip("netns", "del", found.namespace)


def _ip(*words: str) -> bool:
    return subprocess.run(["ip", *words], capture_output=True, check=False, timeout=TIMEOUT).returncode == 0
