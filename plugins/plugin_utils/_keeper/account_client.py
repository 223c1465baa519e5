# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""One account of a run: its API, and the bounded pools of threads that every task of the run shares."""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account, Api
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.http import HttpClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.service_lookup import ServiceLookup

#: More calls at once than that are made over new lines.
MAX_POOLED_CONNECTIONS = 256

T = t.TypeVar("T")

#: The time-out of the task for which a thread works.
call_timeout: contextvars.ContextVar[float] = contextvars.ContextVar("call_timeout", default=Account.timeout)


class _SharedHttp(HttpClient):
    """The session that all tasks of an account share, each with a time-out of its own."""

    @property
    def timeout(self) -> float:
        return call_timeout.get()


class AccountClient:
    """One account: its API and its bounded pool of threads, shared by every task of the run."""

    def __init__(self, account: Account) -> None:
        http = _SharedHttp(account.transport, timeout=account.timeout, pool_size=MAX_POOLED_CONNECTIONS)
        self.api: Api = account.api(http)
        self.pool = concurrent.futures.ThreadPoolExecutor(account.concurrency, thread_name_prefix="open")
        # what has to be quick does not queue behind openings
        self.quick = concurrent.futures.ThreadPoolExecutor(account.concurrency, thread_name_prefix="quick")
        for pool in (self.pool, self.quick):
            pool.submit(int).result()  # one thread each, whatever comes
        self.finder = ServiceLookup(self.api)
        self.timeout = account.timeout  # the longest of any task
        self.api_url = account.credentials.url
        self.fingerprint = account.credentials.fingerprint()

    def serve(self, account: Account) -> None:
        """Do what follows in this thread for a task that describes the account so."""
        self.timeout = max(self.timeout, account.timeout)
        for pool in (self.pool, self.quick):
            pool._max_workers = max(pool._max_workers, account.concurrency)  # the largest bound counts for all
        call_timeout.set(account.timeout)

    def later(
        self, pool: concurrent.futures.ThreadPoolExecutor, work: t.Callable[..., T], *arguments: t.Any
    ) -> concurrent.futures.Future[T]:
        """Let the pool do the work, for the task for which this thread works."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        context = contextvars.copy_context()

        def do() -> None:
            try:
                future.set_result(context.run(work, *arguments))
            except Exception as error:
                future.set_exception(error)

        with contextlib.suppress(RuntimeError):  # there can be no more threads; those that are there will come to it
            pool.submit(do)
        return future
