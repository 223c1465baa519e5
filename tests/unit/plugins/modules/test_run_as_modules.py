# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as they run on another host than the controller: what goes in, what they print, and how they leave."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import typing as t

import pytest
from ansible.module_utils import basic

from ansible_collections.remoteit.fleet.plugins.module_utils import _http
from ansible_collections.remoteit.fleet.plugins.modules import remoteit_connect, remoteit_disconnect
from ansible_collections.remoteit.fleet.tests.unit.plugins.conversation import (
    ID,
    KEY,
    SERVICE,
    SERVICES,
    STOPPED,
    TOKEN,
    Conversation,
    opened,
    refused,
)

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:  # ansible-core 2.18 and older

    @contextlib.contextmanager
    def patch_module_args(args: dict[str, t.Any] | None = None) -> t.Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": args}).encode())
            yield


Run = t.Callable[..., t.Tuple[int, t.Dict[str, t.Any]]]

CREDENTIALS = {"token": TOKEN, "developer_key": KEY}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a module: its exit code, and its result, which never holds a secret."""
    monkeypatch.setattr(os, "environ", {"HOME": str(tmp_path)})  # somebody's own credentials are no part of a test

    def run(main: t.Callable[[], None], **arguments: t.Any) -> tuple[int, dict[str, t.Any]]:
        with patch_module_args(arguments), pytest.raises(SystemExit) as left:
            main()
        output, errors = capsys.readouterr()
        assert not any(secret in output + errors for secret in (TOKEN, KEY))
        return t.cast(int, left.value.code), json.loads(output)

    return run


@pytest.mark.parametrize("name", ["deviceaddress", "service_id", "service_ids"])
def test_connect(conversation: Conversation, run: Run, name: str) -> None:
    conversation.expect_open(SERVICE, opened())
    code, result = run(remoteit_connect.main, **{name: SERVICE}, **CREDENTIALS)
    assert (code, result["changed"], result["connectionid"]) == (0, True, ID)
    assert list(result["connections"]) == [SERVICE]


def test_connect_returns_what_it_opened_even_when_it_fails(conversation: Conversation, run: Run) -> None:
    conversation.in_any_order = True
    conversation.expect_open(SERVICES[0], opened(SERVICES[0]))
    conversation.expect_open(SERVICES[1], refused(f"[0861] {TOKEN}", 200))
    code, result = run(remoteit_connect.main, deviceaddress=SERVICES[:2], **CREDENTIALS)
    assert (code, result["failed"], result["failure"]["code"]) == (1, True, "not_found")
    assert (list(result["connections"]), list(result["failures"])) == ([SERVICES[0]], [SERVICES[1]])


@pytest.mark.parametrize("main", [remoteit_connect.main, remoteit_disconnect.main])
def test_check_mode_sends_nothing(conversation: Conversation, run: Run, main: t.Callable[[], None]) -> None:
    given = {"connectionid": ID} if main is remoteit_disconnect.main else {}
    code, result = run(main, deviceaddress=SERVICE, _ansible_check_mode=True, **given, **CREDENTIALS)
    assert (code, result["changed"]) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"deviceaddress": []}, "options", "empty list"),
        ({"deviceaddress": SERVICE, "hostip": "255.255.255.25"}, "options", "misprint"),
        ({"deviceaddress": SERVICE, "token": ""}, "auth", "there are no credentials"),
    ],
)
def test_bad_input_is_a_result(
    conversation: Conversation, run: Run, arguments: dict[str, t.Any], code: str, message: str
) -> None:
    left, result = run(remoteit_connect.main, **{**CREDENTIALS, **arguments})
    assert (left, result["failed"], result["changed"]) == (1, True, False)
    assert (result["failure"]["code"], result["failure"]["message"]) == (code, result["msg"])
    assert message in result["msg"]


def test_without_the_library_requests(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "HAS_REQUESTS", False)
    left, result = run(remoteit_connect.main, deviceaddress=SERVICE, **CREDENTIALS)
    assert (left, result["failure"]["code"]) == (1, "options")
    assert "pip install requests" in result["msg"]


def test_disconnect(conversation: Conversation, run: Run) -> None:
    conversation.expect_stop(SERVICE, ID, STOPPED)
    code, result = run(
        remoteit_disconnect.main, connections=[{"deviceaddress": SERVICE, "connectionid": ID}], **CREDENTIALS
    )
    assert (code, result["changed"]) == (0, True)
    assert result["closed"] == [{"deviceaddress": SERVICE, "connectionid": ID}]


def test_disconnect_that_fails(conversation: Conversation, run: Run) -> None:
    conversation.expect_stop(SERVICE, ID, refused("api key failed validation"))
    code, result = run(remoteit_disconnect.main, deviceaddress=SERVICE, connectionid=ID, **CREDENTIALS)
    assert (code, result["failed"], result["failure"]["code"]) == (1, True, "auth")


@pytest.mark.parametrize("given", [{"run_id": "4711"}, {"all": True}])
def test_ledgers_are_not_on_another_host(conversation: Conversation, run: Run, given: dict[str, t.Any]) -> None:
    code, result = run(remoteit_disconnect.main, **given, **CREDENTIALS)
    assert (code, result["failure"]["code"]) == (1, "options")
    assert "do not delegate" in result["msg"]
