# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Show the progress of bulk calls on standard error: one line that is rewritten on a terminal, a few lines in a log.

A worker's standard error may not be connected, so the lines go through ``Display`` to the controller's main process.
"""

from __future__ import annotations

import os
import time
import typing as t

from ansible.utils.display import Display

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import (
    ConnectionBackend,
    ConnectionRef,
    ConnectRequest,
    ConnectResult,
    DisconnectResult,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Device, DeviceFilter, Warn
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import FoundServices, ServiceName

#: Do not show progress for fewer services.
MIN_ITEMS = 20
#: The interval at which a terminal's line is rewritten.
REFRESH_SECONDS = 0.2
#: The minimum interval of lines in a log. Each shows at least another tenth as done.
LOG_INTERVAL_SECONDS = 10.0

#: Variables that CI systems and ansible-runner (AWX) set. Their standard error looks like a terminal.
_NON_INTERACTIVE_VARIABLES = ("CI", "AWX_ISOLATED_DATA_DIR")

Key = t.TypeVar("Key")
Outcome = t.TypeVar("Outcome")


def is_interactive(environ: t.Mapping[str, str], stderr: int = 2) -> bool:
    """Return whether standard error is a terminal that shows a line that is rewritten."""
    return (
        os.isatty(stderr)
        and environ.get("TERM", "dumb") != "dumb"
        and not any(map(environ.get, _NON_INTERACTIVE_VARIABLES))
    )


def columns_of(terminal: int = 2) -> int | None:
    """Return the length of the longest line that can be rewritten, or ``None`` if the terminal's size is not known."""
    try:
        columns = os.get_terminal_size(terminal).columns
    except OSError:
        return None
    return columns - 1 if columns > 1 else None


#: Determined at import, which happens in the main process.
IS_INTERACTIVE, COLUMNS = is_interactive(os.environ), columns_of()


class ProgressBackend:
    """A backend that shows the progress of its bulk calls."""

    def __init__(self, backend: ConnectionBackend) -> None:
        self._backend = backend

    def connect_all(self, account: Account, request: ConnectRequest) -> t.Iterator[ConnectResult]:
        return with_progress("opening", len(request.services), self._backend.connect_all(account, request))

    def disconnect_all(self, account: Account, refs: t.Sequence[ConnectionRef]) -> t.Iterator[DisconnectResult]:
        return with_progress("closing", len(refs), self._backend.disconnect_all(account, refs))

    def find_services(self, account: Account, names: t.Collection[ServiceName], warn: Warn) -> FoundServices:
        return self._backend.find_services(account, names, warn)

    def list_devices(self, account: Account, wanted: DeviceFilter, warn: Warn) -> list[Device]:
        return self._backend.list_devices(account, wanted, warn)


def with_progress(doing: str, total: int, outcomes: t.Iterator[tuple[Key, Outcome]]) -> t.Iterator[tuple[Key, Outcome]]:
    """Yield each outcome, and show how many have completed."""
    if total < MIN_ITEMS:
        yield from outcomes
        return
    progress = Progress(doing, total)
    try:
        for key, outcome in outcomes:
            progress.count(failed=isinstance(outcome, RemoteItError))
            yield key, outcome
    finally:
        progress.end()


class Progress:
    """The line that shows progress, and the times at which it is shown."""

    def __init__(
        self,
        doing: str,
        total: int,
        *,
        interactive: bool = IS_INTERACTIVE,
        display: t.Callable[..., None] | None = None,
        now: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self._doing, self._total = doing, total
        self._interactive = interactive
        self._display = display or Display().display
        self._now = now
        self._pause, self._step = (REFRESH_SECONDS, 0.0) if interactive else (LOG_INTERVAL_SECONDS, total / 10)
        self._done = self._failed = self._width = 0
        self._start = now()
        self._next = self._start + self._pause, self._step
        if interactive:
            self._rewrite(self._line)

    def count(self, *, failed: bool) -> None:
        """Count one more outcome."""
        self._done += 1
        self._failed += failed
        now = self._now()
        if now >= self._next[0] and self._done >= self._next[1]:
            self._next = now + self._pause, self._done + self._step
            if self._interactive:
                self._rewrite(self._line)
            elif self._done < self._total:  # ``end`` shows the last line
                self._display(self._line, stderr=True)

    def end(self) -> None:
        """Show the last line. In a log, only if the call took longer than ``LOG_INTERVAL_SECONDS``."""
        if self._interactive:
            self._rewrite("")
        if self._interactive or self._now() >= self._start + LOG_INTERVAL_SECONDS:
            self._display(self._line, stderr=True)

    @property
    def _line(self) -> str:
        rate = self._done / max(self._now() - self._start, 0.001)
        return f"remote.it: {self._doing}: {self._done} of {self._total} done, {self._failed} failed, {rate:.1f}/s"

    def _rewrite(self, line: str) -> None:
        """Show a line in the place of the previous one. The next output begins in the first column.

        A line that does not fit is cut, because a terminal would wrap it and show each as a new line.
        """
        line = line[:COLUMNS]
        self._display(line.ljust(self._width) + "\r", stderr=True, screen_only=True, newline=False)
        self._width = len(line)
