# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever the API answers: what was opened is stopped, in the ledger, or in the result."""

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
from ansible_collections.remoteit.fleet.tests.unit.plugins.robustness.adversary import (
    GRAPHQL,
    ID,
    LOGIN,
    REST,
    A,
    Adversary,
    B,
    Wire,
    check_connection,
    check_error,
    check_no_secret,
    wires,
)

#: For what takes a few dozen calls each time.
few = settings(max_examples=settings().max_examples // 3 + 1)

OTHER_ID = "1c8f6a52-0000-4e1c-9d5a-7b5a5cbb77f0"
Answers = dict[t.Any, list[Wire]]

#: The whole API, but for the login, as each of the two forms answers.
_OTHERS = {
    "connect": ("stop", "list"),
    "mutation Connect": ("mutation Disconnect", "query Sessions", "query ServiceSessions", "query Devices"),
}


def _whole(call: str) -> st.SearchStrategy[Answers]:
    parts: dict[t.Any, t.Any] = {other: st.lists(wires(other), min_size=1, max_size=2) for other in _OTHERS[call]}
    parts[call, A] = st.lists(wires(call), min_size=1, max_size=2)
    parts[call, B] = st.lists(wires(call, B, OTHER_ID), min_size=1, max_size=2)
    return st.fixed_dictionaries(parts)


rest_answers, graphql_answers = _whole("connect"), _whole("mutation Connect")
logins = st.lists(wires("login"), min_size=1, max_size=2)
each = st.one_of(
    rest_answers.map(lambda answers: (REST, answers)),
    graphql_answers.map(lambda answers: (GRAPHQL, answers)),
    st.tuples(rest_answers, logins).map(lambda both: (LOGIN, {**both[0], "login": both[1]})),
)


def options_of(credentials: Credentials, spec: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
    defaults = {name: option.get("default") for name, option in spec.items()}
    return {**defaults, **credentials.as_options(), "concurrency": 2, **more}


def check_what_is_open(adversary: Adversary, shown: t.Any) -> None:
    """Nothing that was opened is forgotten."""
    text = json.dumps(shown)
    for service, connectionid in adversary.opened - adversary.stopped:
        assert connectionid in text, f"{connectionid} of {service} is neither stopped nor named"


@given(each)
def test_the_result_of_a_connect(adversary: Adversary, said: tuple[Credentials, Answers]) -> None:
    credentials, answers = said
    adversary.script(credentials, answers)
    options = options_of(credentials, _connect.ARGUMENT_SPEC, deviceaddress=[A, B])
    result = _connect.connect(options, {}, DirectBackend(), check_mode=False)
    check_no_secret(result, adversary)
    check_what_is_open(adversary, result)
    assert result["connections"].keys() | result["failures"].keys() == {A, B}
    for entry in result["connections"].values():
        check_connection(Connection.from_result(entry))
    for service in adversary.doubtful & result["failures"].keys():
        assert result["failures"][service].keys() & {"may_be_open", "connectionid"}, result["failures"][service]


@given(each)
def test_the_result_of_a_disconnect(adversary: Adversary, said: tuple[Credentials, Answers]) -> None:
    credentials, answers = said
    adversary.script(credentials, answers)
    stops = [{"deviceaddress": A, "connectionid": ID}, {"deviceaddress": B, "connectionid": OTHER_ID}]
    options = options_of(credentials, _disconnect.ARGUMENT_SPEC, connections=stops)
    result = _disconnect.disconnect(options, {}, DirectBackend(), check_mode=False)
    check_no_secret(result, adversary)
    told = [*result["closed"], *result["already_closed"], *result["failures"].values()]
    assert {entry["connectionid"] for entry in told} == {ID, OTHER_ID}


@given(each)
def test_the_result_of_a_service_info(adversary: Adversary, said: tuple[Credentials, Answers]) -> None:
    credentials, answers = said
    adversary.script(credentials, answers)
    options = options_of(credentials, ActionModule.ARGUMENT_SPEC, device=["kiosk-1", "kiosk-2"], service=["ssh"])
    wanted = DeviceFilter.from_options(options)
    try:
        result = result_of(DirectBackend().list_devices(account_of(options, {}), wanted, str), wanted)
    except RemoteItError as error:
        check_error(error, adversary)
    else:
        check_no_secret(result, adversary, password=False)
        json.dumps(result, allow_nan=False)


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Run:
    return Run("a-run", os.getpid(), str(tmp_path / "runtime"))


@few
@given(each, st.booleans())
def test_a_run(adversary: Adversary, run: Run, said: tuple[Credentials, Answers], reuse: bool) -> None:
    """What the keeper has opened is stopped at its end, or its ledger says so, and gives nothing away."""
    credentials, answers = said
    adversary.script(credentials, answers)
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
    check_no_secret(str([outcomes, closed, recap]), adversary)
    written = pathlib.Path(ledger.path).read_text() if os.path.exists(ledger.path) else ""
    check_no_secret(written, adversary)
    assert adversary.opened <= adversary.stopped
    if recap.left_open or recap.may_be_open:
        assert {entry["deviceaddress"] for entry in list_open_connections(runs, None)} == {
            entry.service for entry in [*recap.left_open, *recap.may_be_open]
        }
    else:
        assert not written


@few
@given(each)
def test_a_teardown(adversary: Adversary, run: Run, said: tuple[Credentials, Answers]) -> None:
    """What a dead run has left is closed, or stays in the ledger and is told of."""
    credentials, answers = said
    adversary.script(credentials, answers)
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
            check_error(outcome, adversary)
            assert not connectionid or connectionid in pathlib.Path(ledger.path).read_text()
