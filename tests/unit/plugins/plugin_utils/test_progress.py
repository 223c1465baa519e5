# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import struct
import termios
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils import _progress
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OfflineError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._progress import (
    MIN_ITEMS,
    Progress,
    is_interactive,
    with_progress,
)


class Screen:
    """Record what is displayed, with a clock."""

    def __init__(self, *, interactive: bool) -> None:
        self.time = 0.0
        self.calls: list[dict[str, t.Any]] = []
        self.shown: list[str] = []
        self._interactive = interactive

    def _display(self, text: str, **how: t.Any) -> None:
        self.calls.append(how)
        self.shown.append(text)

    def run(self, total: int, seconds_each: float, failing: int = 0) -> list[str]:
        progress = Progress(
            "opening", total, interactive=self._interactive, display=self._display, now=lambda: self.time
        )
        for number in range(total):
            self.time += seconds_each
            progress.count(failed=number < failing)
        progress.end()
        return self.shown


def test_log_shows_each_tenth_without_control_characters() -> None:
    screen = Screen(interactive=False)
    lines = screen.run(2000, 1.0, failing=7)
    assert [line.split(": ")[2].split()[0] for line in lines] == [str(200 * tenth) for tenth in range(1, 11)]
    assert lines[0] == "remote.it: opening: 200 of 2000 done, 7 failed, 1.0/s"
    assert all(line.isprintable() for line in lines)
    assert all(how == {"stderr": True} for how in screen.calls)


def test_log_shows_a_line_every_ten_seconds_at_most() -> None:
    lines = Screen(interactive=False).run(2000, 1 / 64)
    assert [line.split(": ")[2].split()[0] for line in lines] == ["640", "1280", "1920", "2000"]


def test_log_shows_no_line_for_a_quick_call() -> None:
    assert Screen(interactive=False).run(2000, 0.001) == []


def test_terminal_shows_a_rewritten_line_and_a_last_one() -> None:
    screen = Screen(interactive=True)
    *rewritten, erased, last = screen.run(40, 0.125, failing=1)
    assert rewritten[0] == "remote.it: opening: 0 of 40 done, 0 failed, 0.0/s\r"
    assert rewritten[1].rstrip() == "remote.it: opening: 2 of 40 done, 1 failed, 8.0/s"
    assert len(rewritten) == 21
    assert all(line.endswith("\r") and line.count("\r") == 1 and "\n" not in line for line in rewritten)
    assert set(erased) == {" ", "\r"} and len(erased) == len(rewritten[-1])
    assert last == "remote.it: opening: 40 of 40 done, 1 failed, 8.0/s"
    # only the last line is for the log file of Ansible
    assert [how.get("screen_only", False) for how in screen.calls] == [True] * 22 + [False]


def test_terminal_line_fits_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    master, terminal = os.openpty()
    assert _progress.columns_of(terminal) is None  # its size is not set
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 40, 0, 0))
    monkeypatch.setattr(_progress, "COLUMNS", _progress.columns_of(terminal))
    os.close(terminal)
    os.close(master)
    *rewritten, last = Screen(interactive=True).run(2000, 0.125)
    assert max(len(line.rstrip("\r")) for line in rewritten) == 39
    assert len(last) > 40


def test_terminal_line_covers_the_previous_one() -> None:
    seen = ""
    for line in Screen(interactive=True).run(MIN_ITEMS, 9.0)[:-1]:  # the rate loses digits
        seen = line[:-1] + seen[len(line) - 1 :]
        assert seen.rstrip() == line[:-1].rstrip()
    assert seen.strip() == ""


def test_with_progress_yields_every_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    few = [(number, None) for number in range(MIN_ITEMS - 1)]
    assert list(with_progress("opening", len(few), iter(few))) == few
    many = [*few, ("last", OfflineError("gone"))]
    assert list(with_progress("opening", len(many), iter(many))) == many


def test_with_progress_raises_the_error_of_its_source() -> None:
    def outcomes() -> t.Iterator[tuple[int, None]]:
        yield 1, None
        raise OfflineError("gone")

    with pytest.raises(OfflineError):
        list(with_progress("opening", MIN_ITEMS, outcomes()))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "CI": ""}, True),
        ({"TERM": "xterm", "CI": "true"}, False),
        ({"TERM": "xterm", "AWX_ISOLATED_DATA_DIR": "/runner/artifacts/7"}, False),
        ({"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_is_interactive(environ: dict[str, str], expected: bool) -> None:
    master, terminal = os.openpty()
    assert is_interactive(environ, terminal) is expected
    os.close(terminal)
    os.close(master)
    with open(os.devnull, "w") as log:
        assert not is_interactive(environ, log.fileno())
