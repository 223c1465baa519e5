# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Close the connections of ended runs, as their ledgers list them."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import (
    ALREADY_CLOSED,
    CLOSED,
    STILL_USED,
    ConnectionBackend,
    ConnectionRef,
    DisconnectResult,
    map_concurrently,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import MAX_PROXY_TESTS, PortProxy
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import is_same_account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    NotFoundError,
    NotSharedError,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, sanitize, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.ended_runs import lock_ended_ledgers
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import Entry, LedgerSnapshot
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.files import SUFFIX
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.other_runs import (
    error_other_account,
    error_responded,
    error_unknown_to_login,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import ids_in_use, known_connections
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reconcile import (
    PendingConnect,
    SessionList,
    match_sessions,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger, not_announced_error
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import sanitize_job_id

if t.TYPE_CHECKING:
    from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.audit import AuditLog

#: A connection of a ledger, its connection ID or an empty text, and its outcome. The outcome is ``None`` for a connect
#: call that was unconfirmed and is not any more.
_Outcome = tuple[Entry, str, str | RemoteItError | None]


def teardown(
    directory: str,
    run_id: str | None,
    get_account: t.Callable[[], Account],
    backend: ConnectionBackend,
    *,
    check_mode: bool,
    audit_log: AuditLog | None = None,
) -> t.Iterator[DisconnectResult]:
    """Close the connections that ended runs left open, and yield each with its outcome.

    Never touch the connections of a run that is still running.

    :param run_id: the ID of a run or of a CI job; ``None`` for all runs.
    :param get_account: returns the account to close with. It is called only if there is a connection to close.
    :param audit_log: records each outcome.
    """
    unreadable: list[RemoteItError] = []
    with lock_ended_ledgers(directory, run_id, unreadable) as ledgers:
        for snapshot, ledger in ledgers:
            if ledger is not None and not check_mode:
                for entry in snapshot.unfinished:
                    # A running run that closes the same connection at this time would leave it to the ended run.
                    entry.closing = ledger.closing(entry.number)
        ids_elsewhere = ids_in_use(directory, [snapshot.path for snapshot, _unused in ledgers])
        search = _search(directory, [snapshot for snapshot, ledger in ledgers if ledger is not None], get_account)
        for snapshot, ledger in ledgers:
            if ledger is None:
                for entry in snapshot.open:
                    yield (entry.service, entry.connectionid or ""), _error_still_closing(snapshot)
            else:
                ended_run = _EndedRun(snapshot, ledger, get_account, backend, search)
                for entry, connectionid, outcome in ended_run.finish(ids_elsewhere, check_mode):
                    if audit_log is not None and not check_mode:
                        audit_log.append_teardown(snapshot, entry, connectionid, outcome)
                    if outcome is not None:
                        yield (entry.service, connectionid), outcome
            if ledger is not None and snapshot.may_hide_connections:
                ledger.set_changed_at(snapshot.changed_at)
                yield (snapshot.path, ""), _error_damaged(snapshot)
    for error in unreadable:
        path = error.details["path"]
        if run_id is None or sanitize_job_id(run_id) in os.path.basename(path):
            yield (path, ""), error


class _Search(t.NamedTuple):
    """The sessions of the unconfirmed calls in all ledgers that this process has locked."""

    found: t.Mapping[PendingConnect, str | None] = {}  # see ``match_sessions``
    absent: t.Collection[PendingConnect] = ()  # calls without a session up to now
    unclear: t.Mapping[PendingConnect, str] = {}  # the reason why a session that is listed matches no call
    error: str = ""  # the reason why the sessions could not be searched
    failed: t.Collection[PendingConnect] = ()  # calls of this account whose sessions could not be searched

    def reason_of(self, call: PendingConnect) -> str:
        """Return the sentences that explain why a call is still unconfirmed, or an empty text."""
        return f"The sessions could not be searched: {self.error}" if self.error else self.unclear.get(call, "")


def _search(directory: str, snapshots: t.Iterable[LedgerSnapshot], get_account: t.Callable[[], Account]) -> _Search:
    """Search the sessions of connect calls without a response, for all runs together.

    Two runs may have called the same service. Ask for the sessions of expired calls as well: the clock of this machine
    may be wrong.
    """
    unconfirmed = [
        (PendingConnect.of(snapshot.path, entry), entry.account)
        for snapshot in snapshots
        for entry in snapshot.unfinished
        if entry.connectionid is None
    ]
    if not unconfirmed:
        return _Search()
    try:
        account = get_account()
    except RemoteItError as error:
        return _Search(error=error.message)
    fingerprint = account.credentials.fingerprint()
    own = [call for call, opened_by in unconfirmed if opened_by == fingerprint]
    if not own:
        return _Search()
    try:
        sessions = account.api().sessions_of({call.service for call in own})
        known_ids, pending = known_connections(directory)
    except RemoteItError as error:
        return _Search(error=error.message, failed=own)
    listed = SessionList(sessions, known_ids, pending.difference(own))
    return _Search(
        match_sessions(own, listed),
        [call for call in own if listed.candidates(call) == []],
        {call: _why_unclear(call, listed) for call in own if listed.candidates(call)},
    )


def _why_unclear(call: PendingConnect, listed: SessionList) -> str:
    """Return why the sessions that a call may have started are not closed."""
    candidates = listed.candidates(call) or ()
    rivals = {rival.ledger for session in candidates for rival in listed.rivals_for(session, call.service)}
    if rivals:
        runs = ", ".join(repr(sanitize(os.path.basename(path).removesuffix(SUFFIX))) for path in sorted(rivals))
        return (
            f"An open session may belong to this call, or to a call of the run {runs}. When that run has ended, tear"
            " down both runs together, with the same login"
        )
    return (
        "The open sessions of the service cannot be matched with the calls: another client may have started them. Close"
        " them in the remote.it app if you do not need them"
    )


class _EndedRun:
    """The teardown of one ended run, whose ledger this process has locked."""

    def __init__(
        self,
        snapshot: LedgerSnapshot,
        ledger: Ledger,
        get_account: t.Callable[[], Account],
        backend: ConnectionBackend,
        search: _Search,
    ) -> None:
        self._snapshot = snapshot
        self._ledger = ledger
        self._get_account = get_account
        self._backend = backend
        self._search = search
        self._to_close: dict[ConnectionRef, Entry] = {}
        self._left_open = 0  # entries that the ledger must keep

    def finish(self, ids_elsewhere: t.Container[str], check_mode: bool) -> t.Iterator[_Outcome]:
        """Close the connections of the run, and remove its ledger if none is left. Yield each with its outcome.

        :param ids_elsewhere: the IDs of connections that running runs use.
        """
        entries = self._snapshot.unfinished
        for entry in entries:
            if entry.connectionid is not None:
                ref = (entry.service, entry.connectionid)
                outcome = self._outcome_without_call(entry, ids_elsewhere, check_mode)
                if outcome is None:
                    self._to_close[ref] = entry
                else:
                    yield entry, entry.connectionid, outcome
        yield from self._resolve_unconfirmed([entry for entry in entries if entry.connectionid is None], check_mode)
        if check_mode:
            yield from ((entry, ref[1], CLOSED) for ref, entry in self._to_close.items())
            return
        if self._to_close:
            for ref, result in self._disconnect_all():
                yield self._to_close[ref], ref[1], self._record(self._to_close[ref], result)
        if not self._left_open and not self._snapshot.may_hide_connections:
            self._ledger.remove()

    def _outcome_without_call(
        self, entry: Entry, ids_elsewhere: t.Container[str], check_mode: bool
    ) -> str | RemoteItError | None:
        """Return the outcome of a connection that this teardown does not close, or ``None`` if it closes it.

        A connection that has expired is closed as well: the clock of this machine may be wrong.
        """
        if entry.connectionid in ids_elsewhere:  # the API returned it to another run too, which closes it
            if not check_mode and not entry.closing:
                self._left_open += 1
                return not_announced_error(self._snapshot.path)
            if not check_mode:
                self._ledger.closed(entry.number, STILL_USED)
            return STILL_USED
        try:
            if is_same_account(entry.account, self._fingerprint()):
                return None
            error: RemoteItError = error_other_account(self._snapshot, entry, self._get_account().credentials.sources)
        except RemoteItError as no_account:
            error = no_account
        if entry.has_expired:
            return ALREADY_CLOSED
        self._left_open += 1
        return error

    def _resolve_unconfirmed(self, entries: list[Entry], check_mode: bool) -> t.Iterator[_Outcome]:
        """Yield each connect call without a response, unless nothing is known to be open."""
        for entry in entries:
            call = PendingConnect.of(self._snapshot.path, entry)
            connectionid = self._search.found.get(call)
            is_over = entry.has_expired and call not in self._search.failed
            if not is_over and call not in self._search.found:
                self._left_open += 1
                if not entry.settling or call not in self._search.absent:
                    yield entry, "", _error_unconfirmed(self._snapshot, entry, call, self._search)
                continue
            if connectionid is not None:
                self._to_close[entry.service, connectionid] = entry
            elif not check_mode:
                self._ledger.closed(entry.number, "expired" if entry.has_expired else "never opened")
            yield entry, "", None

    def _disconnect_all(self) -> t.Iterator[DisconnectResult]:
        """Send the disconnect calls, and test the proxies of the connections that the API does not know.

        Test each once: a test is a use of the proxy, which lets it end 15 minutes later.
        """
        proxies: dict[ConnectionRef, PortProxy] = {}
        for ref, outcome in self._backend.disconnect_all(self._get_account(), list(self._to_close)):
            entry = self._to_close[ref]
            if outcome != ALREADY_CLOSED or entry.proxy is None or not self._snapshot.may_respond(entry):
                yield ref, outcome
            elif entry.responded_at is not None:
                yield ref, error_responded(self._snapshot, entry)
            else:
                proxies[ref] = entry.proxy
        for ref, is_open in map_concurrently(lambda ref: proxies[ref].is_open(), proxies, MAX_PROXY_TESTS):
            if is_open is False:
                yield ref, ALREADY_CLOSED
            else:
                entry = self._to_close[ref]
                self._ledger.responded(entry.number)
                entry.responded_at = format_utc(utc_now())
                yield ref, error_responded(self._snapshot, entry)

    def _record(self, entry: Entry, outcome: str | RemoteItError) -> str | RemoteItError:
        """Record the outcome of a disconnect call in the ledger, and return the outcome to report."""
        if outcome == ALREADY_CLOSED and entry.account != self._fingerprint() and not entry.has_expired:
            outcome = error_unknown_to_login(self._snapshot, entry)
        if isinstance(outcome, (NotFoundError, NotSharedError)) and entry.has_expired:
            outcome = ALREADY_CLOSED  # the account has lost the service, so that no later teardown can close it
        if isinstance(outcome, RemoteItError):
            self._left_open += 1
        elif entry.connectionid is None and not PendingConnect.of(self._snapshot.path, entry).is_settled:
            self._left_open += 1
            self._ledger.settling(entry.number)
        else:
            self._ledger.closed(entry.number, outcome)
        return outcome

    def _fingerprint(self) -> str:
        """Return the fingerprint of the credentials.

        :raises RemoteItError: there are no credentials.
        """
        return self._get_account().credentials.fingerprint()


def _error_still_closing(snapshot: LedgerSnapshot) -> RemoteItError:
    return RemoteItError(
        f"the run {snapshot.run_id!r} has ended, and its keeper or another teardown is still closing this connection."
        " Run the teardown again to see the result"
    )


def _error_damaged(snapshot: LedgerSnapshot) -> RemoteItError:
    return RemoteItError(
        f"the ledger of the run {snapshot.run_id!r} is damaged, so it may lack a connection that is open. If so, it"
        f" ends by itself at {snapshot.hides_until} at the latest. Run the teardown again after that time. With an"
        " access key, the playbook remoteit.fleet.status lists the open sessions"
    )


def _error_unconfirmed(
    snapshot: LedgerSnapshot, entry: Entry, pending: PendingConnect, search: _Search
) -> RemoteItError:
    reason = search.reason_of(pending)
    resolved_at = format_utc(pending.settles_at) if pending in search.absent else entry.gone_at
    if snapshot.was_killed:
        call = f"the run {snapshot.run_id!r} was killed during its connect call of {entry.intended_at}, which"
    else:
        call = f"the connect call of the run {snapshot.run_id!r} at {entry.intended_at} got no clear response, and"
    return RemoteItError(
        f"{call} may have opened a connection. If so, it ends by itself at {entry.expires_by}. Run the teardown again"
        f"{'' if entry.has_expired else f' after {resolved_at}'}{f'. {reason}' if reason else ''}"
    )
