# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Whether a host is reached through its proxy, and answers."""

from __future__ import annotations

import getopt
import re
import shlex
import time
import typing as t

from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure, AnsibleError

from ansible_collections.remoteit.fleet.plugins.module_utils._errors import (
    CallTimeoutError,
    NetworkError,
    OptionsError,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._host_keys import alias

USERS_OWN_CHECKING = (
    "the ssh arguments of the user hold StrictHostKeyChecking, HostKeyAlias or UserKnownHostsFile, and ssh takes the"
    " first: the host key of the device is not checked as remoteit_session_host_key_checking and"
    " remoteit_session_known_hosts say"
)

#: A proxy that has refused everything for so many seconds is not one that is about to be ready.
REFUSED_SECONDS = 10.0

#: The letters of ssh's command line, and the options that some of them are another name of.
_SSH = "1246AB:CD:E:F:GI:J:KL:MNO:P:Q:R:S:TVW:XYab:c:e:fgi:kl:m:no:p:qstvw:xy"
_NAMES = {"-S": "controlpath", "-p": "port"}

#: What ssh says when waiting longer does not help.
_FINAL = {
    "Host key verification failed": (
        "ssh does not accept the device's host key. If the key is not known yet, connect once with"
        " remoteit_session_host_key_checking: accept-new, which records it as {alias}. If it is known, the device has"
        " another key than before: find out why, and only then remove the old one (ssh-keygen -R {alias})"
    ),
    "Permission denied": "the device answers but does not let this user in; check ansible_user and the key",
}


def check_the_way(
    ssh: t.Any, connection: t.Mapping[str, t.Any], arguments: list[str], task_vars: t.Mapping[str, t.Any]
) -> list[str]:
    """Make sure that this task, and so the tasks to come, would reach the proxy and nothing else.

    :param ssh: the connection plugin of the task.
    :param arguments: those of the session, which come after all others.
    :return: warnings about arguments of the user that come before the session's.
    """
    if ssh.transport != "ssh":
        raise OptionsError(
            f"ansible_connection is {ssh.transport}, so the tasks would not run on the device: a session needs ssh; for"
            " anything else use remoteit.fleet.remoteit_connect"
        )
    for option, wanted, names in (
        ("host", connection["host"], ("ansible_host", "ansible_ssh_host")),
        ("port", connection["port"], ("ansible_port", "ansible_ssh_port")),
        ("ssh_common_args", task_vars["ansible_ssh_common_args"], ("ansible_ssh_common_args",)),
    ):
        if str(ssh.get_option(option)) != str(wanted):
            others = [name for name in names if str(task_vars.get(name, wanted)) != str(wanted)]
            raise OptionsError(
                f"{(others or names)[-1]} is set where a role cannot override it, so the tasks would run on"
                f" {ssh.get_option('host')} and not on the device; remove it"
            )

    before, common, extra = (
        shlex.split(ssh.get_option(name) or "") for name in ("ssh_args", "ssh_common_args", "ssh_extra_args")
    )
    options = _first_options([*before, f"-oPort={ssh.get_option('port')}", *common, *extra])
    for option, wanted in (("HostName", None), ("Port", str(connection["port"]))):
        value = options.get(option.lower())
        if value != wanted:
            raise OptionsError(
                f"the ssh arguments hold {option}={value}, which comes before what the session sets: the tasks would"
                " not run on the device; remove it"
            )
    control_path = options.get("controlpath")
    if control_path not in (None, "none") and not _tells_devices_apart(control_path):
        raise OptionsError(
            f"the ssh arguments hold ControlPath={control_path}, under which several devices would share one"
            " connection: remove it, or put %C into it"
        )
    for name in ("sftp_extra_args", "scp_extra_args"):
        for option in ("HostName", "ControlPath"):
            if option.lower() in (ssh.get_option(name) or "").lower():
                raise OptionsError(f"{name} holds {option}: files would not go to the device; remove it")
    ours = _first_options(arguments)
    checking = ours.keys() & {"stricthostkeychecking", "hostkeyalias", "userknownhostsfile"}
    same = all(options[name].strip('"') == ours[name].strip('"') for name in checking)
    return [] if same else [USERS_OWN_CHECKING]


def _tells_devices_apart(control_path: str) -> bool:
    """Whether it holds both the host and the port of the proxy. Over a connection that is there ssh checks no key."""
    tokens = set(re.findall("%(.)", control_path))
    return "C" in tokens or ("p" in tokens and bool(tokens & {"h", "n"}))


def _first_options(arguments: list[str]) -> dict[str, str]:
    """The options that ssh will take from these arguments, by name in small letters; of several the first counts."""
    try:
        found, others = getopt.gnu_getopt(arguments, _SSH)
    except getopt.GetoptError as error:
        raise OptionsError(f"the ssh arguments of the user hold one that ssh does not know: {error}") from error
    if others:  # ssh would take it for the host
        raise OptionsError(f"the ssh arguments of the user hold what is no option: {others[0]}; remove it")
    options: dict[str, str] = {}
    for letter, argument in found:
        if letter == "-o":
            name, _unused, value = argument.strip().replace("=", " ", 1).partition(" ")
            options.setdefault(name.lower(), value.strip())
        elif letter in _NAMES:
            options.setdefault(_NAMES[letter], argument)
    return options


def wait_until_it_answers(ssh: t.Any, seconds: int, service: str) -> None:
    """Run a command that does nothing until it succeeds.

    :param seconds: for how long to try; 0 does not.
    :raises RemoteItError: it did not succeed in time, or cannot ever.
    """
    end = time.monotonic() + seconds
    end_if_refused = time.monotonic() + REFUSED_SECONDS
    while seconds > 0:
        try:
            ssh.exec_command("exit 0", sudoable=False)
            return
        except AnsibleAuthenticationFailure as error:  # tried again, the account could be locked
            reason = f"Permission denied: {' '.join(str(error).split())}"
        except AnsibleConnectionFailure as error:
            reason = " ".join(str(error).split())
        except AnsibleError as error:
            raise RemoteItError(f"ssh to the device cannot be started: {' '.join(str(error).split())}") from error
        for words, advice in _FINAL.items():
            if words in reason:
                raise RemoteItError(f"{advice.format(alias=alias(service))}. ssh says: {reason}")
        if "Connection refused" in reason and time.monotonic() >= end_if_refused:
            raise NetworkError(
                "the proxy is gone: it was closed, or another run's connection to the same service took its place."
                f" ssh says: {reason}"
            )
        if time.monotonic() >= end:
            raise CallTimeoutError(
                f"the connection is open, but the device did not answer over ssh within {seconds} seconds"
                f" (remoteit_session_wait_timeout). ssh says: {reason}"
            )
        time.sleep(1)
