# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many examples: a few thousand in all, always the same ones; with C(REMOTEIT_FUZZ=N), N new ones a test."""

from __future__ import annotations

import os
import socket
import time
import typing as t

import pytest
import urllib3.util.connection
from hypothesis import HealthCheck, Phase, settings

from ansible_collections.remoteit.fleet.tests.unit.plugins.robustness.adversary import Adversary

_NEW = os.environ.get("REMOTEIT_FUZZ")

settings.register_profile(
    "examples",
    max_examples=int(_NEW or 300),
    derandomize=not _NEW,
    print_blob=bool(_NEW),
    database=None,
    deadline=None,  # other tests run at the same time
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("examples")


@pytest.fixture
def adversary(monkeypatch: pytest.MonkeyPatch) -> Adversary:
    """Who answers whatever our client says; without pauses, and without other lines to anywhere."""
    adversary = Adversary()
    monkeypatch.setattr(urllib3.util.connection, "create_connection", adversary.connect)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(socket, "create_connection", _refuse)
    return adversary


def _refuse(*_unused: t.Any, **__: t.Any) -> t.NoReturn:
    raise ConnectionRefusedError
