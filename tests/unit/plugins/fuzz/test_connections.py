# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For any response, a connection that was opened is closed, in the ledger or in the result."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.remoteit.fleet.plugins.action.remoteit_service_info import ActionModule, result_of
from ansible_collections.remoteit.fleet.plugins.plugin_utils import _connect, _disconnect
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectRequest, DirectBackend
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import DeviceFilter
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._argspec import account_of
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.keeper import Keeper
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import list_open_connections
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.teardown import teardown
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import Run
from ansible_collections.remoteit.fleet.tests.unit.plugins.fuzz.fuzz_api import (
    GRAPHQL,
    ID,
    LOGIN,
    REST,
    A,
    B,
    FuzzedApi,
    RawResponse,
    check_connection,
    check_error,
    check_no_secret,
    raw_responses,
)

#: For tests with a few dozen calls in each example.
few = settings(max_examples=settings().max_examples // 3 + 1)

OTHER_ID = "1c8f6a52-0000-4e1c-9d5a-7b5a5cbb77f0"
Responses = dict[t.Any, list[RawResponse]]

#: The calls of each API beside connect and login.
_OTHERS = {
    "connect": ("stop", "list"),
    "mutation Connect": ("mutation Disconnect", "query Sessions", "query ServiceSessions", "query Devices"),
}


def _all_responses(call: str) -> st.SearchStrategy[Responses]:
    parts: dict[t.Any, t.Any] = {
        other: st.lists(raw_responses(other), min_size=1, max_size=2) for other in _OTHERS[call]
    }
    parts[call, A] = st.lists(raw_responses(call), min_size=1, max_size=2)
    parts[call, B] = st.lists(raw_responses(call, B, OTHER_ID), min_size=1, max_size=2)
    return st.fixed_dictionaries(parts)


rest_responses, graphql_responses = _all_responses("connect"), _all_responses("mutation Connect")
logins = st.lists(raw_responses("login"), min_size=1, max_size=2)
each = st.one_of(
    rest_responses.map(lambda responses: (REST, responses)),
    graphql_responses.map(lambda responses: (GRAPHQL, responses)),
    st.tuples(rest_responses, logins).map(lambda both: (LOGIN, {**both[0], "login": both[1]})),
)


def options_of(credentials: Credentials, spec: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
    defaults = {name: option.get("default") for name, option in spec.items()}
    return {**defaults, **credentials.as_options(), "concurrency": 2, **more}


def check_nothing_is_forgotten(fuzzed_api: FuzzedApi, shown: t.Any) -> None:
    """Check that each connection that was opened is closed or in the value."""
    text = json.dumps(shown)
    for service, connectionid in fuzzed_api.opened - fuzzed_api.stopped:
        assert connectionid in text, f"{connectionid} of {service} is neither stopped nor named"


@given(each)
def test_connect_reports_all_connections(fuzzed_api: FuzzedApi, drawn: tuple[Credentials, Responses]) -> None:
    credentials, responses = drawn
    fuzzed_api.script(credentials, responses)
    options = options_of(credentials, _connect.ARGUMENT_SPEC, deviceaddress=[A, B])
    result = _connect.connect(options, {}, DirectBackend(), check_mode=False)
    check_no_secret(result, fuzzed_api)
    check_nothing_is_forgotten(fuzzed_api, result)
    assert result["connections"].keys() | result["failures"].keys() == {A, B}
    for entry in result["connections"].values():
        check_connection(Connection.from_result(entry))
    for service in fuzzed_api.unknown_outcome & result["failures"].keys():
        assert result["failures"][service].keys() & {"may_be_open", "connectionid"}, result["failures"][service]


@given(each)
def test_disconnect_reports_all_connections(fuzzed_api: FuzzedApi, drawn: tuple[Credentials, Responses]) -> None:
    credentials, responses = drawn
    fuzzed_api.script(credentials, responses)
    stops = [{"deviceaddress": A, "connectionid": ID}, {"deviceaddress": B, "connectionid": OTHER_ID}]
    options = options_of(credentials, _disconnect.ARGUMENT_SPEC, connections=stops)
    result = _disconnect.disconnect(options, {}, DirectBackend(), check_mode=False)
    check_no_secret(result, fuzzed_api)
    reported = [*result["closed"], *result["already_closed"], *result["failures"].values()]
    assert {entry["connectionid"] for entry in reported} == {ID, OTHER_ID}


@given(each)
def test_service_info_has_no_secret(fuzzed_api: FuzzedApi, drawn: tuple[Credentials, Responses]) -> None:
    credentials, responses = drawn
    fuzzed_api.script(credentials, responses)
    options = options_of(credentials, ActionModule.ARGUMENT_SPEC, device=["kiosk-1", "kiosk-2"], service=["ssh"])
    wanted = DeviceFilter.from_options(options)
    try:
        result = result_of(DirectBackend().list_devices(account_of(options, {}), wanted, str), wanted)
    except RemoteItError as error:
        check_error(error, fuzzed_api)
    else:
        check_no_secret(result, fuzzed_api, password=False)
        json.dumps(result, allow_nan=False)


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Run:
    return Run("a-run", os.getpid(), str(tmp_path / "runtime"))


@few
@given(each, st.booleans())
def test_keeper_closes_or_records_connections(
    fuzzed_api: FuzzedApi, run: Run, drawn: tuple[Credentials, Responses], reuse: bool
) -> None:
    """The keeper closes what it has opened, or keeps it in the ledger, which contains no secret."""
    credentials, responses = drawn
    fuzzed_api.script(credentials, responses)
    runs = os.path.join(os.path.dirname(run.runtime_dir), "runs")
    shutil.rmtree(runs, ignore_errors=True)
    ledger, _unused = Ledger.begin(runs, run.id)
    keeper = Keeper(run, ledger)
    account = Account(credentials, timeout=1, concurrency=1)
    outcomes: list[tuple[str, Connection | RemoteItError]] = []
    for _unused in range(2):
        outcomes += keeper.acquire_services(account, ConnectRequest((A, B), reuse=reuse))
    keeper.send_keepalives()
    opened = [(service, outcome) for service, outcome in outcomes if isinstance(outcome, Connection)]
    for _service, connection in opened:
        check_connection(connection)
    refs = [(service, connection.connectionid) for service, connection in opened[:1]]
    closed = list(keeper.release_services(account, refs))
    recap = keeper.finish()
    check_no_secret(str([outcomes, closed, recap]), fuzzed_api)
    written = pathlib.Path(ledger.path).read_text() if os.path.exists(ledger.path) else ""
    check_no_secret(written, fuzzed_api)
    assert fuzzed_api.opened <= fuzzed_api.stopped
    if recap.left_open or recap.may_be_open:
        assert {entry["deviceaddress"] for entry in list_open_connections(runs, None)} == {
            entry.service for entry in [*recap.left_open, *recap.may_be_open]
        }
    else:
        assert not written


@few
@given(each)
def test_teardown_closes_or_keeps_connections(
    fuzzed_api: FuzzedApi, run: Run, drawn: tuple[Credentials, Responses]
) -> None:
    """The connections of an ended run are closed, or stay in the ledger and are reported."""
    credentials, responses = drawn
    fuzzed_api.script(credentials, responses)
    runs = os.path.join(os.path.dirname(run.runtime_dir), "runs")
    shutil.rmtree(runs, ignore_errors=True)
    ledger, _unused = Ledger.begin(runs, run.id)
    for number, service in enumerate((A, B)):
        ledger.intent(number, service, credentials.url, credentials.fingerprint())
    ledger.opened(0, Connection.unusable(A, ID), detached=False)
    ledger._file.close()
    outcomes = dict(
        teardown(runs, None, lambda: Account(credentials, concurrency=1), DirectBackend(), check_mode=False)
    )
    assert (A, ID) in outcomes
    for (_unused, connectionid), outcome in outcomes.items():
        if isinstance(outcome, RemoteItError):
            check_error(outcome, fuzzed_api)
            assert not connectionid or connectionid in pathlib.Path(ledger.path).read_text()
