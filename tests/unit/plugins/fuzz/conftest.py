# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings: the same few thousand examples in each run, or with ``REMOTEIT_FUZZ=N`` N random ones a test."""

from __future__ import annotations

import gc
import os
import socket
import time
import typing as t

import pytest
import urllib3.util.connection
from hypothesis import HealthCheck, Phase, settings

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api import http as _http
from ansible_collections.remoteit.fleet.tests.unit.plugins.fuzz.fuzz_api import FuzzedApi

_NEW = os.environ.get("REMOTEIT_FUZZ")

settings.register_profile(
    "examples",
    max_examples=int(_NEW or 300),
    derandomize=not _NEW,
    print_blob=bool(_NEW),
    database=None,
    deadline=None,  # tests run in parallel
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("examples")


@pytest.fixture
def fuzzed_api(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[FuzzedApi]:
    """Return an API with random responses. Pauses are very short, and there are no connections to other hosts.

    A response that is nested deeply exhausts the recursion limit. A finalizer that the garbage collector calls at that
    moment fails, and pytest would fail the test. So the API collects the garbage itself.
    """
    fuzzed_api = FuzzedApi()
    monkeypatch.setattr(urllib3.util.connection, "create_connection", fuzzed_api.connect)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(_http, "MAX_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(_http, "MAX_REPEAT_SECONDS", 0.0)
    monkeypatch.setattr(socket, "create_connection", _refuse)
    gc.disable()
    yield fuzzed_api
    gc.enable()


def _refuse(*_unused: t.Any, **__: t.Any) -> t.NoReturn:
    raise ConnectionRefusedError
