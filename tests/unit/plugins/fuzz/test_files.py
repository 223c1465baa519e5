# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any content of a credentials file, a ledger or an inventory cache is read or refused with a clear error."""

from __future__ import annotations

import json
import os
import pathlib
import re
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import CONNECTION_ID, SERVICE_ID
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import load_credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._inventory import DeviceListing, host_variables
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.ended_runs import lock_ended_ledgers
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import (
    ids_in_use,
    known_connections,
    list_open_connections,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.teardown import teardown
from ansible_collections.remoteit.fleet.tests.unit.plugins.fuzz.fuzz_api import (
    ACCESS_KEY_ID,
    ID,
    REST,
    SECRET_ACCESS_KEY,
    VALUES,
    A,
    Choices,
    drawn,
    dump,
    places,
    replaced,
)

#: Damages to a file.
_DAMAGES: list[t.Callable[[bytes], bytes]] = [
    lambda content: content,
    lambda content: content[: len(content) // 2],
    lambda content: content[:-1],
    lambda content: content.decode("utf-8", "replace").encode("utf-16"),
    lambda content: content.decode("utf-8", "replace").encode("utf-8-sig"),
    lambda content: content.replace(b"\n", b"\r"),
    lambda content: content.replace(b"\n", b"\r\n"),
    lambda content: content.replace(b"\n", b"\0"),
    lambda content: b"\xff\xfe\x80" + content,
    lambda content: content + b"[" * 100000 + b"\n",
    lambda content: content * 5,
]

_PIECES = [
    "[DEFAULT]", "[default]", "[other]", "[\0top]", "[\0]", "[", "[]", "]", "[[a]]", "=", " = ", ":", "\n", "\n", "\n",
    "\n ", "\n\t", "#", ";", "%(a)s", "${a}", "R3_ACCESS_KEY_ID", "r3_access_key_id", "R3_SECRET_ACCESS_KEY", "\x1b[2J",
    "R3_DEVELOPER_API_KEY", ACCESS_KEY_ID, SECRET_ACCESS_KEY, "\x85", "\u2028", "\x1c", "é", "\ufeff", '"', "\\", "\0",
    "x" * 5000,
]  # fmt: skip


@given(st.binary(max_size=120), st.sampled_from(["DEFAULT", "other", ""]))
def test_credentials_file_is_read_or_refused(tmp_path: pathlib.Path, drawn: bytes, profile: str) -> None:
    choices = Choices(drawn)
    damage = choices.choose(_DAMAGES)
    text = "[DEFAULT]\nR3_ACCESS_KEY_ID=x\n" + "".join(choices.choose(_PIECES) for _unused in range(len(drawn) // 2))
    file = tmp_path / "credentials"
    file.write_bytes(damage(text.encode()) if choices.choose(range(4)) else drawn)
    try:
        credentials = load_credentials({"credentials_file": str(file), "profile": profile}, {})
    except RemoteItError as error:
        assert error.message.isprintable(), error.message
        assert len(error.message) < 3000
        assert not any(secret in error.message for secret in (ACCESS_KEY_ID, SECRET_ACCESS_KEY))
    else:
        shown = f"{credentials!r}{credentials.fingerprint()}"
        assert not any(secret in shown for secret in credentials.secrets())


@pytest.mark.parametrize("what", ["a directory", "a link to itself", "a link to a directory", "an endless device"])
def test_credentials_file_must_be_a_file(tmp_path: pathlib.Path, what: str) -> None:
    path = tmp_path / "credentials"
    if what == "a directory":
        path.mkdir()
    else:
        path.symlink_to({"a link to itself": path, "a link to a directory": tmp_path}.get(what, "/dev/zero"))
    with pytest.raises(RemoteItError, match=re.escape(str(path))):
        load_credentials({"credentials_file": str(path)}, {})


_IDENTITY = "boot pid:[1] 1 1"
_AT = {"at": "2026-01-15T23:20:00Z"}
_LINES: list[t.Any] = [
    {"event": "run", "run": "a-run", "controller": _IDENTITY, **_AT},
    {"event": "intent", "number": 1, "service": A, "api_url": REST.url, "account": REST.fingerprint(), **_AT},
    {"event": "opened", "number": 1, "connectionid": ID, "expires_at": _AT["at"], "detached": False, **_AT},
    {"event": "intent", "number": 2, "service": A, "api_url": REST.url, "account": REST.fingerprint(), **_AT},
    {"event": "detached", "number": 1, **_AT},
    {"event": "closed", "number": 2, "outcome": "closed", **_AT},
]


class _FailingBackend:
    """A backend that cannot close a connection."""

    def disconnect_all(self, account: Account, stops: t.Sequence[tuple[str, str]]) -> t.Iterator[t.Any]:
        for service, connectionid in stops:
            assert SERVICE_ID.fullmatch(service)
            assert CONNECTION_ID.fullmatch(connectionid)
            yield (service, connectionid), RemoteItError("no")


@given(drawn)
def test_ledger_is_read_or_skipped(tmp_path: pathlib.Path, drawn: bytes) -> None:
    choices = Choices(drawn)
    lines = _LINES
    for _unused in range(choices.choose(range(5))):
        lines = replaced(lines, choices.choose(list(places(lines))[1:]), choices.value())
    content = "".join(dump(line) + "\n" for line in lines[: choices.choose([6, 6, 6, 5, 4, 3])])
    directory = tmp_path / "runs"
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / "a-run.jsonl"
    path.write_bytes(choices.choose(_DAMAGES)(content.encode("utf-8", "surrogatepass")))
    for entry in list_open_connections(str(directory), None):
        assert SERVICE_ID.fullmatch(entry["deviceaddress"])
        assert entry["connectionid"] is None or CONNECTION_ID.fullmatch(entry["connectionid"])
        assert all(isinstance(text, str) and text.isprintable() for text in (entry["run_id"], entry["api_url"]))
        json.dumps(entry)
    known_connections(str(directory))
    ids_in_use(str(directory), [])
    for stop, outcome in teardown(str(directory), None, lambda: Account(REST), _FailingBackend(), check_mode=False):  # type: ignore[arg-type]
        assert stop[0] == str(path) or SERVICE_ID.fullmatch(stop[0])
        if isinstance(outcome, RemoteItError):
            assert outcome.message.isprintable()
            assert path.exists()


@pytest.mark.parametrize("when", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_ledger_ignores_extreme_times(tmp_path: pathlib.Path, when: str) -> None:
    directory = tmp_path / "runs"
    directory.mkdir(mode=0o700)
    lines = [{**line, "at": when, "expires_at": when} for line in _LINES]
    (directory / "a-run.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert list_open_connections(str(directory), None) == []


@pytest.mark.parametrize("what", ["a directory", "a link", "a link to itself", "a pipe"])
def test_ledger_must_be_a_file_of_this_user(tmp_path: pathlib.Path, what: str) -> None:
    directory = tmp_path / "runs"
    directory.mkdir(mode=0o700)
    path, elsewhere = directory / "a-run.jsonl", tmp_path / "elsewhere"
    elsewhere.write_text("".join(json.dumps(line) + "\n" for line in _LINES))
    before = elsewhere.read_text()
    if what == "a directory":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(elsewhere if what == "a link" else path)
    for read in (lambda: list_open_connections(str(directory), None), lambda: known_connections(str(directory))):
        with pytest.raises(RemoteItError, match="It is not a regular file"):
            read()
    assert ids_in_use(str(directory), []) == set()
    unreadable: list[RemoteItError] = []
    with lock_ended_ledgers(str(directory), None, unreadable) as found:
        assert found == []
    assert [error.details["path"] for error in unreadable] == [str(path)]
    assert elsewhere.read_text() == before
    assert os.path.lexists(path)


@given(drawn)
def test_inventory_cache_is_read_or_refused(drawn: bytes) -> None:
    choices = Choices(drawn)
    service = [A, "ssh", 28, "SSH", 22, True, True]
    device = [A, "kiosk", True, "active", ["a"], 1, {"b": ["c"]}, None, None, None, None, None, None, [service]]
    rows: t.Any = ["account", ["warning"], [device, device]]
    for _unused in range(choices.choose(range(4))):
        rows = replaced(rows, choices.choose(list(places(rows))), choices.value())
    text: t.Any = choices.choose([dump(rows), dump(rows), dump(rows), choices.value()])
    try:
        found = DeviceListing.load(text)
    except (LookupError, TypeError, ValueError, RecursionError):
        return
    for each in found.devices:
        assert SERVICE_ID.fullmatch(each.id)
        assert all(SERVICE_ID.fullmatch(service.id) for service in each.services)
        json.dumps(host_variables(each, each.services[0] if each.services else None))


def test_invalid_values_contain_the_dangerous_ones() -> None:
    """The fuzz tests need options, paths and control characters."""
    texts = [value for value in VALUES if isinstance(value, str)]
    assert any(text.startswith("-o") for text in texts)
    assert any("/.." in f"/{text}" for text in texts)
    assert any("\x1b" in text for text in texts)
