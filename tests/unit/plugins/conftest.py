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
import requests.adapters

from ansible_collections.remoteit.fleet.tests.unit.plugins.conversation import Conversation


@pytest.fixture
def conversation(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Conversation]:
    """What our client says goes here, and nowhere else."""
    conversation = Conversation()
    monkeypatch.setattr(requests.adapters, "HTTPAdapter", lambda **options: conversation)
    yield conversation
    conversation.verify()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that our client makes, which take no time."""
    made: list[float] = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


@pytest.fixture
def full_disk() -> t.Callable[..., t.ContextManager[None]]:
    """A disk on which the file grows by C(room) bytes and no more."""

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
    """Makes files ones that this user may not open, as mode and owner cannot if the user is root."""
    paths: list[str] = []
    really_open = os.open

    def open_others(path: t.Any, *arguments: t.Any, **options: t.Any) -> int:
        if path in paths:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return really_open(path, *arguments, **options)

    monkeypatch.setattr(os, "open", open_others)
    return paths.append
