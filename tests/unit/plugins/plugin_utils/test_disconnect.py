# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options and the results of ``remoteit_disconnect``."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import NOT_KNOWN, DirectBackend
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import AuthError, OptionsError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._argspec import parse_run_id
from ansible_collections.remoteit.fleet.plugins.plugin_utils._disconnect import (
    ARGUMENT_RULES,
    ARGUMENT_SPEC,
    disconnect,
    result_of,
    with_facts,
)
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import (
    ID,
    KEY,
    SERVICE,
    SERVICES,
    STOPPED,
    TOKEN,
    MockApi,
    refused,
)

pytestmark = pytest.mark.usefixtures("home")

ENVIRON = types.MappingProxyType({"REMOTEIT_TOKEN": TOKEN, "REMOTEIT_DEVELOPER_KEY": KEY})
WRONG_KEY = refused("api key failed validation")

A = {"deviceaddress": SERVICES[0], "connectionid": "id-a"}
B = {"deviceaddress": SERVICES[1], "connectionid": "id-b"}
NOTHING: dict[str, t.Any] = {"already_closed": [], "still_used": [], "failures": {}}
UNOPENED = {"deviceaddress": SERVICES[2], "connectionid": None, "proxy": None}


def run(environ: t.Mapping[str, str] = ENVIRON, check_mode: bool = False, **given: t.Any) -> dict[str, t.Any]:
    options = {**{name: spec.get("default") for name, spec in ARGUMENT_SPEC.items()}, **given}
    return disconnect(options, environ, DirectBackend(), check_mode=check_mode)


@pytest.mark.parametrize(
    ("outcome", "is_reset"),
    [("closed", True), ("already_closed", True), ("still_used", False), (AuthError("no"), False)],
)
def test_fact_is_reset_when_its_connection_is_closed(outcome: str | AuthError, is_reset: bool) -> None:
    task_vars = {"ansible_facts": {"remoteit_connection": A}}
    result = with_facts(result_of([((SERVICES[0], "id-a"), outcome), ((SERVICES[1], "id-b"), "closed")]), task_vars)
    assert ("ansible_facts" in result) is is_reset


@pytest.mark.parametrize("facts", [None, {}, {"remoteit_connection": "id-a"}, {"remoteit_connection": B}])
def test_fact_of_another_connection_is_kept(facts: dict[str, t.Any] | None) -> None:
    result = result_of([((SERVICES[0], "id-a"), "closed")])
    assert with_facts(result, {"ansible_facts": facts}) == result


@pytest.mark.parametrize("count", [1, 50])
def test_result_warns_once_about_unknown_connections(count: int) -> None:
    result = result_of(((SERVICES[0], f"id-{number}"), NOT_KNOWN) for number in range(count))
    assert (result["changed"], len(result["already_closed"])) == (False, count)
    (warning,) = result["warnings"]
    assert warning.count("id-") == min(count, 10)


# -- input -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (A, [A]),
        ({"connections": {SERVICES[0]: A, SERVICES[1]: B}}, [A, B]),
        ({"connections": [A, B]}, [A, B]),
        ({"connections": {"changed": True, "connections": {SERVICES[0]: A}, "failures": {}}}, [A]),  # a whole result
        ({"connections": {"results": [{"connections": {SERVICES[0]: A}}, {"connections": {SERVICES[1]: B}}]}}, [A, B]),
        ({"connections": {"skipped": True, "skip_reason": "Conditional result was False", "changed": False}}, []),
        ({"connections": [A, A, {**A, "proxy": "http://p:1"}]}, [A]),
        ({"connections": {SERVICES[0]: A, SERVICES[2]: UNOPENED}}, [A]),
        ({"connections": [A, {}]}, [A]),  # the fact that remoteit_disconnect sets
        ({"connections": {SERVICES[2]: UNOPENED}}, []),
        ({"connections": {}}, []),
        ({"connections": []}, []),
    ],
)
@pytest.mark.parametrize("check_mode", [False, True])
def test_disconnect_closes_the_named_connections(
    mock_api: MockApi, given: dict[str, t.Any], expected: list[dict[str, str]], check_mode: bool
) -> None:
    mock_api.unordered = True
    if not check_mode:
        for entry in expected:
            mock_api.expect_disconnect(entry["deviceaddress"], entry["connectionid"], STOPPED)
    result = run(check_mode=check_mode, **given)
    assert sorted(result.pop("closed"), key=str) == expected
    assert result == {**NOTHING, "changed": bool(expected)}


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        {"deviceaddress": "nonsense", "connectionid": ID},
        {"deviceaddress": SERVICE, "connectionid": "-rf"},
        {"deviceaddress": SERVICE, "connectionid": ""},
        {"deviceaddress": SERVICE, "connectionid": "a b"},
        {"connections": "nonsense"},
        {"connections": ["nonsense"]},
        {"connections": {"a": 1}},
        {"connections": 7},
        {"connections": [{"connectionid": ID}]},
        {"connections": [A, {**B, "connectionid": 7}]},
    ],
)
def test_disconnect_refuses_options(mock_api: MockApi, given: dict[str, t.Any], check_mode: bool) -> None:
    with pytest.raises(OptionsError):
        run(check_mode=check_mode, **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "one of the following is required"),
        ({"deviceaddress": SERVICE}, "required together"),
        ({"connectionid": ID, "deviceaddress": SERVICE, "connections": {}}, "mutually exclusive"),
    ],
)
def test_argument_rules_refuse_incomplete_options(given: dict[str, t.Any], message: str) -> None:
    errors = ArgumentSpecValidator(ARGUMENT_SPEC, **ARGUMENT_RULES).validate(given).error_messages
    assert message in " ".join(errors)


@pytest.mark.parametrize("run_id", ["", " ", "\n"])
def test_parse_run_id_names_the_variable_of_a_blank_id(run_id: str) -> None:
    with pytest.raises(OptionsError, match="remoteit_teardown_run_id"):
        parse_run_id(run_id)


def test_disconnect_needs_credentials(mock_api: MockApi) -> None:
    with pytest.raises(AuthError):
        run({}, **A)


# -- results -----------------------------------------------------------------------------------------------------------


def test_result_lists_each_failure() -> None:
    """A connect call without a response has no connection ID."""
    error = OptionsError("no")
    result = result_of([((SERVICES[0], ""), error)])
    assert result["msg"] == (
        f"1 connection could not be closed and may still be open: {SERVICES[0]} (connection unknown): no"
    )
    result = result_of([((SERVICES[0], ""), error)] * 3)
    assert len(result["failures"]) == 3
    assert result["msg"].startswith("3 connections could not be closed")
    assert result["msg"].count(f"{SERVICES[0]} (connection unknown)") == 3
    assert result["msg"].count(": no") == 1


def test_disconnect_returns_already_closed_connections(mock_api: MockApi) -> None:
    mock_api.expect_unknown(SERVICES[0], "id-a")
    assert run(**A) == {**NOTHING, "changed": False, "closed": [], "already_closed": [A]}


def test_disconnect_fails_with_wrong_credentials(mock_api: MockApi) -> None:
    mock_api.expect_disconnect(SERVICES[0], "id-a", WRONG_KEY)
    result = run(**A)
    failures = result["failures"]
    assert failures == {
        SERVICES[0]: {"code": "auth", "connectionid": "id-a", "message": failures[SERVICES[0]]["message"]}
    }
    assert result == {
        **NOTHING,
        "closed": [],
        "failed": True,
        "changed": False,
        "failures": failures,
        "msg": result["msg"],
        "failure": {"code": "auth", "message": result["msg"], "details": failures},
    }
    assert SERVICES[0] in result["msg"] and "id-a" in result["msg"]


def test_disconnect_returns_each_outcome(mock_api: MockApi) -> None:
    mock_api.unordered = True
    mock_api.expect_disconnect(SERVICES[0], "id-a", WRONG_KEY)
    mock_api.expect_disconnect(SERVICES[0], "id-c", WRONG_KEY)
    mock_api.expect_disconnect(SERVICES[1], "id-b", STOPPED)
    result = run(connections=[A, {**A, "connectionid": "id-c"}, B])
    assert result["failed"] and result["changed"]
    assert result["closed"] == [B]
    assert sorted(failure["connectionid"] for failure in result["failures"].values()) == ["id-a", "id-c"]
