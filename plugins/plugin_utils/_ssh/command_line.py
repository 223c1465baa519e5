# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Edit the command lines of ssh, sftp and scp that ``ansible.builtin.ssh`` builds."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.destination import ssh_arguments_of

#: ssh ends a command if the device has not responded to three messages, one in 10 seconds.
KEEP_ALIVE = ("-oServerAliveInterval=10", "-oServerAliveCountMax=3")

#: The quiet log levels of ssh, from the quietest one. ``ssh -G`` prints QUIET as SILENT.
_QUIET_LEVELS = ("SILENT", "QUIET", "FATAL", "ERROR", "INFO")
#: A word of flags without values that contains ``-q``.
_QUIET_FLAG = re.compile(r"-[46AaCKkqTtvXxYy]*q[46AaCKkqTtvXxYy]*")


def quiet_flags_to_options(arguments: t.Iterable[str]) -> list[str]:
    """Return the arguments with an option in place of ``-q``, because no other option can override ``-q``."""
    return [word.replace("q", "") + "oLogLevel=QUIET" if _QUIET_FLAG.fullmatch(word) else word for word in arguments]


def required_log_level(log_level: str, *, has_responded: bool) -> list[str]:
    """Return the option for a log level with which the plugin can interpret a failure, if the user's hides messages.

    Only the level INFO shows the port of a failed connection. It proves that the message is not the output of a
    command. After the first response, the level ERROR shows whether the proxy refuses to connect.

    :param log_level: the log level of the user.
    :param has_responded: whether the device has responded over the connection.
    """
    required = "ERROR" if has_responded else "INFO"
    hides_messages = log_level.upper() in _QUIET_LEVELS[: _QUIET_LEVELS.index(required)]
    return [f"-oLogLevel={required}"] if hides_messages else []


def replace_destination(
    program: str, arguments: t.Sequence[bytes | str], host: str, destination: str
) -> tuple[bytes | str, ...]:
    """Return the arguments that follow the options, with the destination in place of the host.

    The base class adds the host, or what contains it, in a different form for each program.
    """
    if program == "ssh":
        *before, _host, command = arguments
        return (*before, destination, command)
    if program == "sftp":
        return (destination,)
    prefix = f"[{host}]:"
    return tuple(
        f"{destination}:{argument[len(prefix) :]}"
        if isinstance(argument, str) and argument.startswith(prefix)
        else argument
        for argument in arguments
    )


def effective_ssh_arguments(program: str, options: list[str], extra_arguments: t.Sequence[str]) -> list[str]:
    """Return the arguments with which ssh runs, because sftp and scp pass only some of theirs on.

    :param options: the options of the program, with the extra arguments.
    :param extra_arguments: the user's arguments for this program, for example ``scp_extra_args``.
    :raises OptionsError: an extra argument selects another program or is not an option.
    """
    if program == "ssh":
        return options
    arguments = _without_last(options, extra_arguments)
    if program == "sftp":
        arguments = _without_last(arguments, ("-b", "-"))
    return [*arguments, *ssh_arguments_of(program, extra_arguments)]


def _without_last(arguments: list[str], sequence: t.Sequence[str]) -> list[str]:
    """Return the arguments without the last occurrence of the sequence."""
    for start in range(len(arguments) - len(sequence), -1, -1) if sequence else ():
        if arguments[start : start + len(sequence)] == list(sequence):
            return arguments[:start] + arguments[start + len(sequence) :]
    return arguments
