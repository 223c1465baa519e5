# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Check that ssh connects to the proxy of a host: ``ssh -G`` prints the configuration that it would use.

ssh uses the first value of an option. The plugin's options come first on the command line, so they override the user's
arguments and ``ssh_config``. The check is for everything else that can change the target: ``-S`` and other arguments
that are not options of ``ssh_config``, and a ``ProxyCommand`` with a fixed target.
"""

from __future__ import annotations

import getopt
import re
import subprocess
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError

#: The connection plugin that connects to the proxy of a host.
CONNECTION = "remoteit.fleet.ssh"

CHECK_SECONDS = 30.0

#: The options of each tool (OpenSSH 9.9) as a getopt string: a colon follows each option with a value.
_OPTIONS = {
    "ssh": "1246AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:P:p:Q:R:S:W:w:",
    "sftp": "1246AafhNpqrvCc:D:i:l:o:s:S:b:B:F:J:P:R:X:",
    "scp": "12346ABCTdfOpqRrstvD:F:J:M:P:S:c:i:l:o:X:",
}
#: The options with which ssh only prints something. It exits with 0, like a command that succeeds.
_PRINTING_OPTIONS = ("-G", "-Q", "-V")
#: The options that sftp and scp pass on to ssh.
_PASSED_TO_SSH = ("-c", "-C", "-F", "-i", "-J", "-o", "-1", "-2", "-4", "-6", "-A")


class Destination(t.NamedTuple):
    """The target that ssh must connect to."""

    host: str
    port: int
    alias: str  # the name on the command line, and of the host key in known_hosts
    control_path: str

    @property
    def arguments(self) -> list[str]:
        """Return the options that come first on the command line of ssh, sftp and scp."""
        options = {
            "HostName": self.host,
            "Port": str(self.port),
            "HostKeyAlias": self.alias,
            # ssh checked it by default before OpenSSH 8.5. The address of a proxy can have been that of another device.
            "CheckHostIP": "no",
        }
        return [*(f"-o{name}={value}" for name, value in options.items()), control_path_option(self.control_path)]


def control_path_option(path: str) -> str:
    """Return the option for a control socket. ssh splits a value at blanks, and expands ``%`` in it."""
    value = re.sub(r'(["\\])', r"\\\1", path).replace("%", "%%")
    return f'-oControlPath="{value}"'


class Route(t.NamedTuple):
    """How ssh connects to a destination with certain arguments."""

    is_direct: bool  # from this machine, and not through a jump host or a ``ProxyCommand``
    log_level: str

    def to_text(self) -> str:
        return f"{'direct' if self.is_direct else 'indirect'} {self.log_level}"

    @classmethod
    def from_text(cls, text: str) -> Route:
        path, log_level = text.split()
        return cls(path == "direct", log_level)


def check_destination(executable: str, arguments: t.Sequence[str], destination: Destination) -> Route:
    """Check that ssh connects to the destination with these arguments.

    :param arguments: the command line of ssh without the destination's name and the remote command.
    :raises OptionsError: ssh would connect to another target, or the check failed.
    """
    printing = _printing_option(arguments)
    if printing:
        raise OptionsError(f"the SSH arguments contain {printing}, with which ssh does not connect. Remove it")
    found = _effective_options([executable, "-G", *arguments, destination.alias])
    if not found.keys() >= {"hostname", "port"}:
        raise OptionsError(
            f"the program {executable!r} does not show to which host it connects. Set ansible_ssh_executable to the"
            " OpenSSH client"
        )
    expected = {
        "hostname": destination.host,
        "port": str(destination.port),
        "hostkeyalias": destination.alias,
        "controlpath": destination.control_path,
        "host": destination.alias,
        "sessiontype": "default",
    }
    for name, value in expected.items():
        # ssh prints no controlpath for "-S none", before 8.7 no sessiontype, and before 8.9 no host
        actual = found.get(name, value)
        if actual.lower() != value.lower():
            raise OptionsError(_ERRORS[name].format(actual=actual))
    proxy_command = found.get("proxycommand")
    if proxy_command is not None and not ("%h" in proxy_command and "%p" in proxy_command):
        raise OptionsError(
            f"the SSH configuration has ProxyCommand {proxy_command!r}, which connects to a fixed target instead of the"
            " device. Use %h and %p in it, or remove it"
        )
    return Route(proxy_command is None and found.get("proxyjump") is None, found.get("loglevel", "INFO"))


def _printing_option(arguments: t.Sequence[str]) -> str | None:
    """Return the first argument with which ssh prints something instead of connecting."""
    try:
        options, _rest = getopt.getopt(list(arguments), _OPTIONS["ssh"])
    except getopt.GetoptError:
        return None  # ssh knows its options better
    return next((name for name, _unused in options if name in _PRINTING_OPTIONS), None)


def _effective_options(command: list[str]) -> dict[str, str]:
    """Return the options that ``ssh -G`` prints, by their names in lower case.

    :raises OptionsError: ssh cannot be executed, or rejects its arguments or configuration.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=CHECK_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OptionsError(
            f"cannot check the SSH arguments with {command[0]!r}: {error}. Install the OpenSSH client, or set"
            " ansible_ssh_executable to it"
        ) from None
    if done.returncode:
        reason = " ".join(done.stderr.decode(errors="replace").split())
        raise OptionsError(
            f"ssh rejects its arguments or its configuration: {reason!r}. Correct"
            " ansible_ssh_args, ansible_ssh_common_args or ansible_ssh_extra_args, or check the configuration with: ssh"
            " -G remoteit-test"
        )
    options: dict[str, str] = {}
    for line in done.stdout.decode(errors="surrogateescape").splitlines():
        name, _unused, value = line.partition(" ")
        options.setdefault(name, value)
    return options


_CONSEQUENCE = ", so tasks would not run on the device. Remove it"
_ERRORS = {
    "hostname": "the SSH arguments or the SSH configuration set the host {actual!r}" + _CONSEQUENCE,
    "port": "the SSH arguments or the SSH configuration set the port {actual!r}" + _CONSEQUENCE,
    "hostkeyalias": "the SSH arguments or the SSH configuration set HostKeyAlias {actual!r}" + _CONSEQUENCE,
    "controlpath": "the SSH arguments set the control socket {actual!r} (-S)" + _CONSEQUENCE,
    "host": "the SSH arguments contain {actual!r}, which ssh uses as the host" + _CONSEQUENCE,
    "sessiontype": "the SSH arguments contain -N, -s or -W (session type {actual!r})" + _CONSEQUENCE,
}


def ssh_arguments_of(tool: str, arguments: t.Sequence[str]) -> list[str]:
    """Return the arguments that a tool passes on to ssh.

    :param tool: ``ssh``, ``sftp`` or ``scp``.
    :param arguments: the user's extra arguments for the tool.
    :raises OptionsError: an argument selects another program or target, or is not an option.
    """
    if tool == "ssh":
        return list(arguments)
    try:
        options, rest = getopt.getopt(list(arguments), _OPTIONS[tool])
    except getopt.GetoptError as error:
        raise OptionsError(
            f"invalid {tool}_extra_args {' '.join(arguments)!r}: {error}. Correct or remove it"
        ) from None
    forbidden = [name for name, _unused in options if name in ("-S", "-D", "-P", "-s")] + rest
    if forbidden:
        raise OptionsError(f"{tool}_extra_args contains {forbidden[0]!r}{_CONSEQUENCE}")
    return [word for name, value in options if name in _PASSED_TO_SSH for word in (name, value) if word]
