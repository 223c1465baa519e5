# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines of ssh, sftp and scp."""

from __future__ import annotations

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.command_line import (
    effective_ssh_arguments,
    quiet_flags_to_options,
    replace_destination,
    required_log_level,
)


@pytest.mark.parametrize(
    ("program", "arguments", "expected"),
    [
        ("ssh", ["-tt", "kiosk", "echo kiosk"], ("-tt", "remoteit-1", "echo kiosk")),
        ("ssh", ["kiosk", "kiosk"], ("remoteit-1", "kiosk")),
        ("sftp", ["[kiosk]"], ("remoteit-1",)),
        ("scp", ["file", "[kiosk]:/tmp/file"], ("file", "remoteit-1:/tmp/file")),
        ("scp", ["[kiosk]:/tmp/[kiosk]:", "[other]:file"], ("remoteit-1:/tmp/[kiosk]:", "[other]:file")),
    ],
)
def test_replace_destination(program: str, arguments: list[str], expected: tuple[str, ...]) -> None:
    assert replace_destination(program, arguments, "kiosk", "remoteit-1") == expected


@pytest.mark.parametrize(
    ("program", "options", "extra", "expected"),
    [
        ("ssh", ["-C", "-v"], ["-v"], ["-C", "-v"]),
        ("scp", ["-C", "-l", "9", "-C", "-l", "9"], ["-l", "9"], ["-C", "-l", "9", "-C"]),
        ("scp", ["-C", "-r", "-C"], ["-r", "-C"], ["-C", "-C"]),
        ("sftp", ["-b", "-", "-C", "-oUser=pi"], ["-oUser=pi"], ["-C", "-o", "User=pi"]),
        ("sftp", ["-C"], [], ["-C"]),
    ],
)
def test_effective_ssh_arguments(program: str, options: list[str], extra: list[str], expected: list[str]) -> None:
    assert effective_ssh_arguments(program, options, extra) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-q"], ["-oLogLevel=QUIET"]),
        (["-C", "-qqC", "-4q"], ["-C", "-CoLogLevel=QUIET", "-4oLogLevel=QUIET"]),
        (["-o", "User=q", "-lq", "-C", "q"], ["-o", "User=q", "-lq", "-C", "q"]),
    ],
)
def test_quiet_flags_to_options(arguments: list[str], expected: list[str]) -> None:
    assert quiet_flags_to_options(arguments) == expected


@pytest.mark.parametrize(
    ("log_level", "first", "later"),
    [
        ("SILENT", ["-oLogLevel=INFO"], ["-oLogLevel=ERROR"]),
        ("QUIET", ["-oLogLevel=INFO"], ["-oLogLevel=ERROR"]),
        ("FATAL", ["-oLogLevel=INFO"], ["-oLogLevel=ERROR"]),
        ("ERROR", ["-oLogLevel=INFO"], []),
        ("INFO", [], []),
        ("VERBOSE", [], []),
        ("DEBUG3", [], []),
    ],
)
def test_required_log_level_shows_messages(log_level: str, first: list[str], later: list[str]) -> None:
    assert required_log_level(log_level, has_responded=False) == first
    assert required_log_level(log_level, has_responded=True) == later
