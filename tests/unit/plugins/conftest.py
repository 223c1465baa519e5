# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import errno
import os
import resource
import time
import typing as t

import pytest
import requests

from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import MockApi


@pytest.fixture
def mock_api(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[MockApi]:
    """Return a mock API that receives all requests of ``requests``."""
    mock_api = MockApi()
    monkeypatch.setattr(requests.Session, "get_adapter", lambda session, url: mock_api)
    yield mock_api
    mock_api.verify()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the list of pauses, which take no time."""
    made: list[float] = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


@pytest.fixture
def full_disk() -> t.Callable[..., t.ContextManager[None]]:
    """Return a context in which a file cannot grow by more than ``room`` bytes."""

    @contextlib.contextmanager
    def full_disk(path: str, room: int = 0) -> t.Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path) + room, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return full_disk


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> t.Callable[[str], None]:
    """Return a function that makes a file unreadable. Its mode has no effect for root."""
    paths: list[str] = []
    original_open = os.open

    def refuse_open(path: t.Any, *arguments: t.Any, **options: t.Any) -> int:
        if path in paths:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return original_open(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse_open)
    return paths.append
