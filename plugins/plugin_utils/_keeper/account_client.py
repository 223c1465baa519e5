# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""One account of a run: its API, and the bounded pools of threads that all tasks share."""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import threading
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account, Api
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.http import HttpClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.service_lookup import ServiceLookup

#: More concurrent calls than this use TCP connections that are not pooled.
MAX_POOLED_CONNECTIONS = 256

T = t.TypeVar("T")

#: The timeout, in seconds, of the task for which a thread works.
call_timeout: contextvars.ContextVar[float] = contextvars.ContextVar("call_timeout", default=Account.timeout)


@contextlib.contextmanager
def use_timeout(seconds: float) -> t.Iterator[None]:
    """Use another timeout for the calls that this thread submits."""
    token = call_timeout.set(seconds)
    try:
        yield
    finally:
        call_timeout.reset(token)


class _SharedHttp(HttpClient):
    """The HTTP session that all tasks of an account share. Each has its timeout.

    :param shutting_down: the run is ending: no connect call is repeated, only what serves to close connections.
    """

    def __init__(self, account: Account, shutting_down: threading.Event) -> None:
        super().__init__(account.transport, timeout=account.timeout, pool_size=MAX_POOLED_CONNECTIONS)
        self._shutting_down = shutting_down

    @property
    def timeout(self) -> float:
        return call_timeout.get()

    def wait_for_limit(self, seconds: float, retry: bool) -> bool:
        if retry:
            return super().wait_for_limit(seconds, retry)
        return not self._shutting_down.wait(seconds)


class AccountClient:
    """An account, with one login and one session for every task of the run."""

    def __init__(self, account: Account, shutting_down: threading.Event) -> None:
        self.api: Api = account.api(_SharedHttp(account, shutting_down))
        self.connect_pool = concurrent.futures.ThreadPoolExecutor(account.concurrency, thread_name_prefix="connect")
        # stop calls and probes do not wait behind connect calls
        self.quick_pool = concurrent.futures.ThreadPoolExecutor(account.concurrency, thread_name_prefix="quick")
        for pool in (self.connect_pool, self.quick_pool):
            pool.submit(int).result()  # starts one thread, in case the system has no more later
        self.services = ServiceLookup(self.api)
        self.timeout = account.timeout  # the longest of any task
        self.api_url = account.credentials.url
        self.fingerprint = account.credentials.fingerprint()

    def use_options_of(self, account: Account) -> None:
        """Use the timeout of a task for what follows in this thread, and its concurrency if it is the largest."""
        self.timeout = max(self.timeout, account.timeout)
        for pool in (self.connect_pool, self.quick_pool):
            pool._max_workers = max(pool._max_workers, account.concurrency)
        call_timeout.set(account.timeout)

    def submit(
        self, pool: concurrent.futures.ThreadPoolExecutor, func: t.Callable[..., T], *arguments: t.Any
    ) -> concurrent.futures.Future[T]:
        """Call a function in a pool, with the timeout of this thread's task."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        context = contextvars.copy_context()

        def run() -> None:
            try:
                future.set_result(context.run(func, *arguments))
            except Exception as error:
                future.set_exception(error)

        with contextlib.suppress(RuntimeError):  # the system has no more threads; those of the pool run it later
            pool.submit(run)
        return future
