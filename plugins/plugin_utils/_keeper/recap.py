# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Sum up what a run opened and closed, and print it when the run ends."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import sanitize

#: The recap shows at most so many devices that were offline.
MAX_LISTED = 10


class LeftOpen(t.NamedTuple):
    """A connection that could not be closed."""

    service: str
    host: str | None  # the first inventory host that used it
    connectionid: str
    expires_at: str | None
    reason: str


class MayBeOpen(t.NamedTuple):
    """A connect call whose outcome is not known."""

    service: str
    host: str | None
    at: str  # when this became known, or when the call was sent by a keeper that was killed
    reason: str


class EndedEarly(t.NamedTuple):
    """A connection that the API did not know any more before it was closed."""

    service: str
    host: str | None
    connectionid: str


class Offline(t.NamedTuple):
    """A service whose device was offline when it was requested for the last time."""

    service: str
    host: str | None


@dataclasses.dataclass(frozen=True)
class Recap:
    """The connections of a run, counted, and those that need attention."""

    opened: int = 0
    closed: int = 0
    left_open: tuple[LeftOpen, ...] = ()
    may_be_open: tuple[MayBeOpen, ...] = ()
    ended_early: tuple[EndedEarly, ...] = ()
    offline: tuple[Offline, ...] = ()  # one for each inventory host
    audit_error: str | None = None

    @property
    def is_worth_printing(self) -> bool:
        return bool(self.opened or self.may_be_open or self.offline or self.audit_error)

    def with_orphans(self, left_open: t.Iterable[LeftOpen], may_be_open: t.Iterable[MayBeOpen]) -> Recap:
        """Return the recap with the connections and calls of killed keepers, except those that it lists already."""
        ids = {left.connectionid for left in self.left_open}
        services = {call.service for call in self.may_be_open}
        added = tuple(left for left in left_open if left.connectionid not in ids)
        return dataclasses.replace(
            self,
            opened=self.opened + len(added),
            left_open=(*self.left_open, *added),
            may_be_open=(*self.may_be_open, *(call for call in may_be_open if call.service not in services)),
        )

    @property
    def offline_hosts(self) -> list[str]:
        """Return the inventory hosts whose devices were offline."""
        return sorted(entry.host for entry in self.offline if entry.host is not None)

    def as_text(self) -> str:
        lines = [
            f"remote.it: opened {self.opened}, closed {self.closed}, left open {self.opened - self.closed}",
            *([_offline_text(self.offline)] if self.offline else []),
            *lines_of_open(self.left_open, self.may_be_open),
            *map(_ended_early_text, self.ended_early),
            *([f"[WARNING]: remote.it: {self.audit_error}"] if self.audit_error else []),
        ]
        return "\n".join(lines)


def lines_of_open(left_open: t.Iterable[LeftOpen], may_be_open: t.Iterable[MayBeOpen]) -> list[str]:
    """Return a warning for each connection that is open, and for each that may be."""
    return [*map(_left_open_text, left_open), *map(_may_be_open_text, may_be_open)]


def _offline_text(offline: t.Sequence[Offline]) -> str:
    names = sorted(sanitize(entry.host or entry.service) for entry in offline)
    listed = ", ".join(names[:MAX_LISTED])
    more = len(names) - MAX_LISTED
    if more > 0:
        listed = f"{listed} and {more} more; set REMOTEIT_OFFLINE_FILE to write all hosts to a file"
    return f"remote.it: {len(names)} {'device was' if len(names) == 1 else 'devices were'} offline: {listed}"


def _left_open_text(left: LeftOpen) -> str:
    return (
        f"[WARNING]: remote.it: the connection {left.connectionid} to {_label(left)} could not be closed:"
        f" {left.reason}; it ends by itself at {left.expires_at or 'a time that is not known'}"
    )


def _may_be_open_text(call: MayBeOpen) -> str:
    return (
        f"[WARNING]: remote.it: the call that was to open {_label(call)} at {call.at} had no clear response and may"
        f" have opened a connection; it ends by itself 15 minutes after its last use: {call.reason}"
    )


def _ended_early_text(ended: EndedEarly) -> str:
    return (
        f"[WARNING]: remote.it: the connection {ended.connectionid} to {_label(ended)} was ended before its time,"
        " perhaps by another run's connection to the same service; or the response to its stop was lost"
    )


def _label(entry: LeftOpen | MayBeOpen | EndedEarly) -> str:
    """Return the service, and the inventory host that used it first."""
    return f"{entry.service} ({entry.host})" if entry.host else entry.service
