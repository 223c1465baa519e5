# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Ask ssh itself where an argument list leads: ``ssh -G`` prints the configuration that it would use.

ssh takes the first value of an option. The plugin's options come first on the command line, so they beat the user's
arguments and ``ssh_config``. What remains are ``-S``, other arguments that are no options of ``ssh_config``, and a
``ProxyCommand`` with a fixed target.
"""

from __future__ import annotations

import getopt
import subprocess
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError

#: The connection plugin that takes ssh to the proxy of a host.
CONNECTION = "remoteit.fleet.ssh"

CHECK_SECONDS = 30.0

#: The options of sftp and scp (OpenSSH 9.9); those with a colon have a value.
_FILE_TOOL_OPTIONS = {
    "sftp": "1246AafhNpqrvCc:D:i:l:o:s:S:b:B:F:J:P:R:X:",
    "scp": "12346ABCTdfOpqRrstvD:F:J:M:P:S:c:i:l:o:X:",
}
#: Those that sftp and scp hand to ssh as they are.
_HANDED_TO_SSH = ("-c", "-C", "-F", "-i", "-J", "-o", "-1", "-2", "-4", "-6", "-A")


class Destination(t.NamedTuple):
    """Where ssh has to go."""

    host: str
    port: int
    alias: str  # the name on the command line, and of the host key in known_hosts
    control_path: str

    @property
    def arguments(self) -> list[str]:
        """The options that come first on the command line of ssh, sftp and scp."""
        options = {
            "HostName": self.host,
            "Port": str(self.port),
            "HostKeyAlias": self.alias,
            "ControlPath": self.control_path.replace("%", "%%"),
        }
        return [f"-o{name}={value}" for name, value in options.items()]


def check_destination(executable: str, arguments: t.Sequence[str], destination: Destination) -> bool:
    """Make sure that ssh with these arguments goes to the destination.

    :param arguments: all of ssh's command line, without the destination's name and the remote command.
    :return: whether ssh connects to the proxy from this machine, and not by a jump host or a proxy command.
    :raises OptionsError: it goes elsewhere, or cannot tell.
    """
    command = [executable, "-G", *arguments, destination.alias]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=CHECK_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OptionsError(f"cannot check where the SSH arguments lead: {error}") from None
    if done.returncode:
        reason = " ".join(done.stderr.decode(errors="replace").split())
        raise OptionsError(f"ssh refuses its arguments or its configuration: {reason}")
    found: dict[str, str] = {}
    for line in done.stdout.decode(errors="surrogateescape").splitlines():
        name, _unused, value = line.partition(" ")
        found.setdefault(name, value)
    expected = {
        "hostname": destination.host,
        "port": str(destination.port),
        "hostkeyalias": destination.alias,
        "controlpath": destination.control_path,
        "host": destination.alias,
        "sessiontype": "default",
    }
    for name, value in expected.items():
        actual = found.get(name, value)  # ssh before 8.7 does not print sessiontype, before 8.9 not host
        if actual.lower() != value.lower():
            raise OptionsError(_ADVICE[name].format(actual=actual, wanted=value))
    proxy_command = found.get("proxycommand")
    if proxy_command is not None and not ("%h" in proxy_command and "%p" in proxy_command):
        raise OptionsError(
            f"the SSH configuration has ProxyCommand {proxy_command!r}, which leads to a fixed target and not to the"
            " device: use %h and %p in it, or remove it"
        )
    return proxy_command is None and found.get("proxyjump") is None


_ELSEWHERE = "; with it the tasks would not run on the device: remove it"
_ADVICE = {
    "hostname": "the SSH arguments or the SSH configuration set the host {actual!r}" + _ELSEWHERE,
    "port": "the SSH arguments or the SSH configuration set the port {actual}" + _ELSEWHERE,
    "hostkeyalias": "the SSH arguments or the SSH configuration set HostKeyAlias {actual!r}" + _ELSEWHERE,
    "controlpath": "the SSH arguments set the control socket {actual!r} (-S)" + _ELSEWHERE,
    "host": "the SSH arguments contain the word {actual!r}, which ssh takes as the host" + _ELSEWHERE,
    "sessiontype": "the SSH arguments contain -N, -s or -W (session type {actual})" + _ELSEWHERE,
}


def ssh_arguments_of(tool: str, arguments: t.Sequence[str]) -> list[str]:
    """Return what sftp or scp hands to ssh of the user's extra arguments.

    :raises OptionsError: an argument chooses the program that connects, or is no option.
    """
    if tool == "ssh":
        return list(arguments)
    try:
        options, rest = getopt.getopt(list(arguments), _FILE_TOOL_OPTIONS[tool])
    except getopt.GetoptError as error:
        raise OptionsError(f"{tool}_extra_args: {error}") from None
    forbidden = [name for name, _unused in options if name in ("-S", "-D", "-P", "-s")] + rest
    if forbidden:
        raise OptionsError(f"{tool}_extra_args contains {forbidden[0]!r}{_ELSEWHERE}")
    return [word for name, value in options if name in _HANDED_TO_SSH for word in (name, value) if word]
