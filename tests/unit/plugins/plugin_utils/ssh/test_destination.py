# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check with ssh itself whether its arguments change the target."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.command_line import quiet_flags_to_options
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.destination import (
    Destination,
    Route,
    check_destination,
    ssh_arguments_of,
)

DESTINATION = Destination("proxy40.rt3.io", 34168, "remoteit-80-00-00-00-01-00-40-c5", "/tmp/remoteit-x/0123/abc")

NO_CONFIG = ("-F", "none")


def check(*arguments: str, destination: Destination = DESTINATION) -> Route:
    return check_destination("ssh", [*destination.arguments, *NO_CONFIG, *arguments], destination)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("-o", "User=pi", "-i", "/dev/null", "-C", "-vvv", "-4", "-tt"),
        # ssh uses the first value, which is the one of the plugin
        ("-o", "HostName=another.example"),
        ("-oPort=22",),
        ("-p", "22"),
        ("-o", "HostKeyAlias=another"),
        ("-o", "ControlPath=/tmp/another"),
        ("-o", "ControlMaster=auto", "-o", "ControlPersist=60s"),
        ("-o", "ProxyCommand=nc %h %p"),
        ("-o", "ProxyCommand=none"),
        ("-o", "RemoteCommand=none"),
        ("-L", "8080:localhost:80"),
        ("-S", "none"),  # without a control master
        ("-i", "-G"),
    ],
)
def test_check_accepts_arguments_with_the_same_target(arguments: tuple[str, ...]) -> None:
    check(*arguments)


def test_address_of_the_proxy_is_no_name_of_a_host_key() -> None:
    """ssh checked it by default before OpenSSH 8.5."""
    command = ["ssh", *DESTINATION.arguments, *NO_CONFIG, "-o", "CheckHostIP=yes", "-G", DESTINATION.alias]
    config = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "checkhostip no" in config.splitlines()


@pytest.mark.parametrize("arguments", [
    ("-S", "/tmp/another"), ("another.example",), ("-W", "another.example:22"), ("-N",), ("-s",),
    ("-o", "SessionType=none"), ("-o", "ProxyCommand=ssh -W another.example:22 jump"),
    ("-o", "ProxyCommand=nc another.example %p"), ("-o", "ProxyCommand=nc %h 22"), ("-o", "NoSuchOption=yes"),
    ("-F", "/dev/null/nowhere"), ("-G",), ("-V",), ("-Q", "cipher"), ("-CG",), ("-i", "-V", "-4V"),
])  # fmt: skip
def test_check_refuses_arguments_with_another_target(arguments: tuple[str, ...]) -> None:
    with pytest.raises(OptionsError):
        check_destination("ssh", [*DESTINATION.arguments, *arguments], DESTINATION)


@pytest.mark.parametrize("program", ["true", "echo"])
def test_check_refuses_a_program_that_shows_no_host(program: str) -> None:
    with pytest.raises(OptionsError, match="ansible_ssh_executable"):
        check_destination(program, DESTINATION.arguments, DESTINATION)


@pytest.mark.parametrize(
    ("option", "value"),
    [("HostName", "another.example"), ("Port", "22"), ("HostKeyAlias", "another"), ("ControlPath", "/tmp/another")],
)
def test_check_compares_each_value(option: str, value: str) -> None:
    """Even if an argument precedes those of the plugin."""
    with pytest.raises(OptionsError, match=f"set .*{value!r}.* Remove it"):
        check_destination("ssh", [f"-o{option}={value}", *DESTINATION.arguments, *NO_CONFIG], DESTINATION)


@pytest.mark.parametrize(
    ("arguments", "direct"),
    [
        ((), True),
        (("-o", "ProxyCommand=nc %h %p"), False),
        (("-J", "jump.example"), False),
        (("-o", "ProxyJump=a.example,b.example"), False),
        (("-o", "ProxyJump=none"), True),
        (("-o", "ProxyCommand=none"), True),
    ],
)
def test_check_returns_whether_ssh_connects_directly(arguments: tuple[str, ...], direct: bool) -> None:
    assert check(*arguments).is_direct is direct


@pytest.mark.parametrize(
    ("arguments", "log_level"),
    [
        ((), "INFO"),
        (("-o", "LogLevel=error"), "ERROR"),
        (("-vvv",), "DEBUG3"),
        (tuple(quiet_flags_to_options(["-Cq"])), "SILENT"),
        (("-oLogLevel=INFO", *quiet_flags_to_options(["-Cq"])), "INFO"),
    ],
)
def test_check_returns_the_log_level(arguments: tuple[str, ...], log_level: str) -> None:
    assert check(*arguments).log_level == log_level


@pytest.mark.parametrize("route", [Route(True, "INFO"), Route(False, "SILENT")])
def test_route_can_be_recorded(route: Route) -> None:
    assert Route.from_text(route.to_text()) == route


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("User pi\nForwardAgent yes", True),
        ("HostName another.example\nPort 22\nControlPath /tmp/another", True),  # the options of the plugin come first
        ("Host remoteit-*\n  ProxyJump jump.example", True),
        ("Host remoteit-*\n  ProxyCommand nc another.example 22", False),
        ("Match host another.example\n  ProxyCommand nc another.example 22", True),
        ("SessionType none", False),
        ("NoSuchOption yes", False),
    ],
)
def test_check_reads_the_ssh_config(tmp_path: pathlib.Path, text: str, accepted: bool) -> None:
    config = tmp_path / "config"
    config.write_text(text + "\n")
    arguments = [*DESTINATION.arguments, "-F", str(config)]
    if accepted:
        check_destination("ssh", arguments, DESTINATION)
    else:
        with pytest.raises(OptionsError):
            check_destination("ssh", arguments, DESTINATION)


@pytest.mark.parametrize("name", ["100%h", "a b", "two  blanks", "it's", 'a"b', "a\\b", "#1", "ö"])
def test_check_accepts_any_control_path(name: str) -> None:
    check(destination=DESTINATION._replace(control_path=f"/tmp/{name}/abc"))


def test_check_accepts_an_ip_address() -> None:
    assert check(destination=DESTINATION._replace(host="203.0.113.7"))
    assert check(destination=DESTINATION._replace(host="2001:db8::7"))


def test_check_fails_without_ssh() -> None:
    with pytest.raises(OptionsError):
        check_destination("/dev/null/ssh", DESTINATION.arguments, DESTINATION)


# -- sftp and scp ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments", "passed_on"),
    [
        ("ssh", ["-W", "x"], ["-W", "x"]),  # ssh -G checks it
        ("sftp", [], []),
        ("sftp", ["-C", "-l", "100", "-o", "User=pi"], ["-C", "-o", "User=pi"]),
        ("sftp", ["-b", "-", "-J", "jump.example"], ["-J", "jump.example"]),
        ("scp", ["-O", "-3", "-i", "/dev/null", "-4"], ["-i", "/dev/null", "-4"]),
        ("scp", ["-F", "/dev/null", "-X", "nrequests=3"], ["-F", "/dev/null"]),
    ],
)
def test_ssh_arguments_of_passes_on_the_options_of_ssh(tool: str, arguments: list[str], passed_on: list[str]) -> None:
    assert ssh_arguments_of(tool, arguments) == passed_on


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("sftp", ["-S", "/bin/sh"]),
        ("sftp", ["-D", "/usr/lib/sftp-server"]),
        ("sftp", ["-D/usr/lib/sftp-server"]),
        ("sftp", ["-P", "22"]),
        ("sftp", ["-s", "internal"]),
        ("sftp", ["another.example"]),
        ("sftp", ["-C", "--", "another.example"]),
        ("sftp", ["-Z"]),
        ("sftp", ["-o"]),
        ("scp", ["-S", "/bin/sh"]),
        ("scp", ["-CS/bin/sh"]),
        ("scp", ["-D", "/usr/lib/sftp-server"]),
        ("scp", ["-P", "22"]),
        ("scp", ["another.example:file"]),
    ],
)
def test_ssh_arguments_of_refuses_another_target(tool: str, arguments: list[str]) -> None:
    with pytest.raises(OptionsError):
        ssh_arguments_of(tool, arguments)
