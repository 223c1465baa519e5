# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices that are offline, in the recap."""

from __future__ import annotations

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.keeper import Keeper
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.recap import MAX_LISTED, Offline, Recap
from ansible_collections.remoteit.fleet.tests.unit.plugins import mock_api as mock
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.keeper.keeper_calls import (
    OFFLINE,
    WRONG_KEY,
    A,
    B,
    acquire,
    acquire_error,
    await_connects,
    connect_all,
    connect_error,
    host_request,
    prefetch,
)


def test_recap_lists_hosts_that_were_offline(keeper: Keeper, mock_api: mock.MockApi) -> None:
    mock_api.expect_connect(A, OFFLINE)
    assert acquire_error(keeper, host_request("pi-2", A)) == "offline"
    mock_api.expect_connect(A, OFFLINE)
    assert acquire_error(keeper, host_request("pi-1", A)) == "offline"
    recap = keeper.finish()
    assert recap.offline_hosts == ["pi-1", "pi-2"]
    assert recap.is_worth_printing
    assert recap.as_text().splitlines()[1:] == ["remote.it: 2 devices were offline: pi-1, pi-2"]


def test_recap_lists_hosts_of_a_batch_and_services(keeper: Keeper, mock_api: mock.MockApi) -> None:
    mock_api.unordered = True
    mock_api.expect_connect(A, OFFLINE)
    mock_api.expect_connect(B, OFFLINE)
    prefetch(keeper, A)
    await_connects(keeper)
    assert connect_error(keeper, B).code == "offline"
    recap = keeper.finish()
    assert set(recap.offline) == {Offline(A, A), Offline(B, None)}
    assert recap.offline_hosts == [A]


def test_recap_does_not_list_a_host_that_came_online(keeper: Keeper, mock_api: mock.MockApi) -> None:
    mock_api.expect_connect(A, OFFLINE)
    mock_api.expect_connect(A, mock.opened(A, "id-a"))
    mock_api.expect_disconnect(A, "id-a", mock.STOPPED)
    assert acquire_error(keeper, host_request("pi-1", A)) == "offline"
    acquire(keeper, host_request("pi-1", A))
    assert keeper.finish() == Recap(opened=1, closed=1)


def test_recap_does_not_list_other_failures(keeper: Keeper, mock_api: mock.MockApi) -> None:
    mock_api.expect_connect(A, WRONG_KEY)
    connect_all(keeper, A, host="pi-1")
    assert keeper.finish() == Recap()


@pytest.mark.parametrize(("count", "more"), [(1, None), (MAX_LISTED, None), (MAX_LISTED + 5, 5)])
def test_recap_is_bounded(count: int, more: int | None) -> None:
    recap = Recap(offline=tuple(Offline(A, f"pi-{number:03}") for number in range(count)))
    line = recap.as_text().splitlines()[1]
    assert line.startswith(f"remote.it: {count} device")
    assert line.count("pi-") == min(count, MAX_LISTED)
    assert (f"and {more} more" in line) == (more is not None)


def test_recap_without_offline_devices_is_one_line() -> None:
    assert len(Recap(opened=3, closed=3).as_text().splitlines()) == 1
