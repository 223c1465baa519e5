# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The HTTP adapter: it records whether a request was sent.

A connect call whose request was not sent has opened nothing. The exceptions of ``requests`` and urllib3 do not show
that, so the connections record it.
"""

from __future__ import annotations

import contextvars
import functools
import sys
import typing as t

try:
    from requests.adapters import HTTPAdapter
except ImportError:
    HTTPAdapter = object  # type: ignore[misc,assignment]  # without requests, HttpClient raises an error


class Call:
    """One HTTP call.

    :ivar is_sent: whether the request was sent, at least in part.
    :ivar handled: the exception that the thread was handling when the call began, the context of the call's errors.
    """

    def __init__(self) -> None:
        self.handled = sys.exc_info()[1]
        self.is_sent: bool | None = None  # ``None`` if another adapter is in use, which does not set it


#: The call for which the current thread works.
current_call: contextvars.ContextVar[Call] = contextvars.ContextVar("current_call")


class CallAdapter(HTTPAdapter):
    """An adapter whose connections, also those to proxies, update the current call."""

    def send(self, *arguments: t.Any, **options: t.Any) -> t.Any:
        current_call.get().is_sent = False
        return super().send(*arguments, **options)

    def init_poolmanager(self, *arguments: t.Any, **options: t.Any) -> None:
        super().init_poolmanager(*arguments, **options)
        _use_own_connections(self.poolmanager)

    def proxy_manager_for(self, *arguments: t.Any, **options: t.Any) -> t.Any:
        manager = super().proxy_manager_for(*arguments, **options)
        _use_own_connections(manager)
        return manager


class _Connection:
    """The methods to override in the connection classes of urllib3."""

    sock: t.Any
    _is_connecting = False

    def connect(self) -> None:
        self._is_connecting = True
        try:
            super().connect()  # type: ignore[misc]
        finally:
            self._is_connecting = False

    def send(self, data: t.Any) -> None:
        if self.sock is None:
            self.connect()
        if not self._is_connecting:  # while connecting, the CONNECT request for a proxy is sent
            current_call.get().is_sent = True
        super().send(data)  # type: ignore[misc]


def _use_own_connections(manager: t.Any) -> None:
    manager.pool_classes_by_scheme = {
        scheme: _with_own_connections(pool) for scheme, pool in manager.pool_classes_by_scheme.items()
    }


@functools.cache
def _with_own_connections(pool: t.Any) -> t.Any:
    """Return a subclass of a pool class of urllib3, for direct connections or for those through a SOCKS proxy."""
    if issubclass(pool.ConnectionCls, _Connection):
        return pool
    connection = type(pool.ConnectionCls.__name__, (_Connection, pool.ConnectionCls), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})
