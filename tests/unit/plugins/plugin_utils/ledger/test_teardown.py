# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A teardown closes the connections of ended runs, and no others."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import pathlib
import socket
import time
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.bulk import ConnectionRef, DirectBackend
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import IDLE_SECONDS, MAX_SECONDS
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import AuthError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import format_utc, parse_utc, utc_now
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.entries import SETTLED_SECONDS
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import (
    is_used_by_another,
    list_open_connections,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.teardown import teardown
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.processes import process_identity
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import (
    LOGGED_IN,
    SERVICE,
    SESSION,
    STOPPED,
    WITH_ACCESS_KEY,
    WITH_PASSWORD,
    WITH_TOKEN,
    MockApi,
    Reply,
    account,
    refused,
    sessions,
)
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.ledger.ledgers import (
    FOREIGN_CONTROLLER,
    RUN,
    begin_ledger,
    kill_keeper,
    record_connection,
)

FINGERPRINT = WITH_TOKEN.fingerprint()
OLD_TOKEN = dataclasses.replace(WITH_TOKEN, token="an older one").fingerprint()
REF = (SERVICE, "id-a")
UNCONFIRMED = (SERVICE, "")
WRONG_TOKEN = refused("api key failed validation")


def running_run(directory: str, run_id: str, controller: str | None = None) -> Ledger:
    """Write the ledger of a run that is still running and has the connection."""
    ledger = begin_ledger(directory, run_id, controller)
    record_connection(ledger, 1, REF[1], FINGERPRINT)
    return ledger


def ended_run(
    directory: str,
    run_id: str = RUN,
    account: str = FINGERPRINT,
    *,
    hours: int = 8,
    connectionid: str | None = REF[1],
    controller: str | None = None,
    **more: t.Any,
) -> Ledger:
    """Write the ledger of a run that opened a connection and whose keeper was killed."""
    ledger = begin_ledger(directory, run_id, controller)
    record_connection(ledger, 1, connectionid, account, hours, **more)
    kill_keeper(ledger)
    return ledger


def run_teardown(
    directory: str,
    run_id: str | None = None,
    *,
    credentials: Credentials | None = WITH_TOKEN,
    check_mode: bool = False,
) -> dict[ConnectionRef, t.Any]:
    def get_account() -> Account:
        if credentials is None:
            raise AuthError("there are no credentials")
        return account(credentials)

    return dict(teardown(directory, run_id, get_account, DirectBackend(), check_mode=check_mode))


def test_teardown_closes_and_removes_the_ledger(mock_api: MockApi, directory: str) -> None:
    ledger = ended_run(directory)
    mock_api.expect_disconnect(*REF, WRONG_TOKEN, STOPPED)
    assert isinstance(run_teardown(directory)[REF], AuthError)
    assert run_teardown(directory, check_mode=True) == {REF: "closed"}
    assert os.path.exists(ledger.path)
    assert run_teardown(directory) == {REF: "closed"}
    assert not os.path.exists(ledger.path)
    assert run_teardown(directory) == {}


def test_teardown_of_a_closed_connection(mock_api: MockApi, directory: str) -> None:
    ledger = ended_run(directory)
    mock_api.expect_unknown(*REF)
    assert run_teardown(directory) == {REF: "already_closed"}
    assert not os.path.exists(ledger.path)


def test_teardown_fails_until_a_proxy_that_responds_has_ended(
    mock_api: MockApi, directory: str, listener: socket.socket
) -> None:
    """The API does not know the connection, but it is open. Each test is a use of it, so there is only one."""
    ledger = ended_run(directory, proxy=listener.getsockname())
    for _unused in range(2):
        mock_api.expect_unknown(*REF)
        error = run_teardown(directory)[REF]
        assert isinstance(error, RemoteItError)
        assert (
            "its proxy still responds. If nothing uses it, it ends by itself. Run the teardown again" in error.message
        )
    listener.accept()[0].close()
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.accept()
    move_to_the_past(ledger, IDLE_SECONDS + 61)
    mock_api.expect_unknown(*REF)
    assert run_teardown(directory) == {REF: "already_closed"}
    assert not os.path.exists(ledger.path)


@pytest.mark.parametrize(("hours", "age"), [(-1, 0), (8, IDLE_SECONDS + 61)])
def test_teardown_does_not_test_a_proxy_that_has_ended(
    mock_api: MockApi, directory: str, listener: socket.socket, hours: int, age: int
) -> None:
    """The vendor may have given its address to another connection."""
    ledger = ended_run(directory, proxy=listener.getsockname(), hours=hours)
    move_to_the_past(ledger, age)
    mock_api.expect_unknown(*REF)
    assert run_teardown(directory) == {REF: "already_closed"}


def test_teardown_of_many_runs_logs_in_once(mock_api: MockApi, directory: str) -> None:
    """Several rejected logins could lock the account."""
    for job in ("41", "42"):
        ended_run(directory, f"{job}-0123456789", WITH_PASSWORD.fingerprint())
    mock_api.expect("POST", "/user/login", LOGGED_IN)
    mock_api.expect_disconnect(*REF, STOPPED, STOPPED)
    outcomes = list(teardown(directory, None, lambda: account(WITH_PASSWORD), DirectBackend(), check_mode=False))
    assert outcomes == [(REF, "closed"), (REF, "closed")]


# -- which runs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("controller", [None, FOREIGN_CONTROLLER, "{boot} pid:[1] 1 1"])
def test_teardown_never_touches_a_running_run(mock_api: MockApi, directory: str, controller: str | None) -> None:
    """The run may be on another machine or in another container. The API may return its connection to a second run."""
    boot = str(process_identity(os.getpid())).split()[0]
    running = running_run(directory, RUN, controller and controller.format(boot=boot))
    assert run_teardown(directory) == {}
    assert os.path.exists(running.path)
    ended = ended_run(directory, "ended-0123456789")
    assert run_teardown(directory) == {REF: "still_used"}
    assert os.path.exists(running.path)
    assert not os.path.exists(ended.path)


def test_two_runs_do_not_leave_a_connection_to_each_other(mock_api: MockApi, directory: str) -> None:
    """A running run begins to close the connection of an ended run during the teardown."""
    other = (SERVICE, "id-b")
    running, ended = (begin_ledger(directory, f"{job}-0123456789", f"another-boot pid:[1] {job} 1") for job in (41, 42))
    for ledger in (running, ended):
        for number, (_unused, connectionid) in enumerate((REF, other)):
            record_connection(ledger, number, connectionid, FINGERPRINT)
    kill_keeper(ended)
    outcomes = teardown(directory, "42", account, DirectBackend(), check_mode=False)
    assert next(outcomes) == (REF, "still_used")
    running.closing(1)
    assert not is_used_by_another(running.path, other[1])
    assert list(outcomes) == [(other, "still_used")]


def test_teardown_on_a_full_disk_leaves_nothing_to_a_running_run(
    mock_api: MockApi, directory: str, full_disk: t.Callable[..., t.ContextManager[None]]
) -> None:
    """The running run would leave the connection to the ended one."""
    running = running_run(directory, RUN)
    ended = ended_run(directory, "ended-0123456789")
    with full_disk(ended.path):
        assert isinstance(run_teardown(directory)[REF], RemoteItError)
    assert os.path.exists(ended.path)
    assert os.path.exists(running.path)


def test_teardown_closes_connections_a_running_run_released(mock_api: MockApi, directory: str) -> None:
    running = running_run(directory, "41-0123456789", FOREIGN_CONTROLLER)
    running.closing(1)
    ended_run(directory, "42-0123456789")
    mock_api.expect_disconnect(*REF, STOPPED)
    assert run_teardown(directory) == {REF: "closed"}
    assert os.path.exists(running.path)


def test_teardown_selects_the_runs_of_a_job(mock_api: MockApi, directory: str) -> None:
    ended_run(directory)
    others = [ended_run(directory, f"{job}-0123456789") for job in ("other", "job-hotfix", "my-job")]
    mock_api.expect_disconnect(*REF, STOPPED)
    assert run_teardown(directory, "job") == {REF: "closed"}
    assert all(os.path.exists(other.path) for other in others)


def test_teardown_reports_unreadable_ledgers(
    mock_api: MockApi, directory: str, unreadable: t.Callable[[str], None]
) -> None:
    """It closes the connections of all other ledgers."""
    foreign = ended_run(directory, "another-users")
    unreadable(foreign.path)
    ended_run(directory)
    mock_api.expect_disconnect(*REF, STOPPED)
    assert run_teardown(directory, "a-job") == {}
    outcomes = run_teardown(directory)
    assert outcomes.pop(REF) == "closed"
    assert list(outcomes) == [(foreign.path, "")]
    assert f"the ledger {foreign.path!r} cannot be read" in outcomes[foreign.path, ""].message


def test_teardown_waits_for_the_keeper_of_an_ended_run(mock_api: MockApi, directory: str, pauses: list[float]) -> None:
    ledger = running_run(directory, RUN, f"{process_identity(os.getpid())}0")
    with pytest.raises(RemoteItError, match=f"'{RUN}' has ended, and its keeper or another teardown is still closing"):
        raise run_teardown(directory)[REF]
    assert sum(pauses) == pytest.approx(60)
    kill_keeper(ledger)
    mock_api.expect_disconnect(*REF, STOPPED)
    assert run_teardown(directory) == {REF: "closed"}


def test_teardown_waits_for_another_teardown(mock_api: MockApi, directory: str, pauses: list[float]) -> None:
    """For the run of another container, only the lock had shown that it was ended."""
    ledger = ended_run(directory, controller=FOREIGN_CONTROLLER)
    mock_api.expect_disconnect(*REF, WRONG_TOKEN, STOPPED)
    first = teardown(directory, None, account, DirectBackend(), check_mode=False)
    assert isinstance(next(first)[1], AuthError)
    second = run_teardown(directory)[REF]
    assert second.__class__ is RemoteItError
    assert sum(pauses) == pytest.approx(60)
    assert list(first) == []
    assert run_teardown(directory) == {REF: "closed"}
    assert not os.path.exists(ledger.path)


# -- which account -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opened_by", "credentials", "message"),
    [
        ("another account", WITH_TOKEN, f"'{RUN}' opened the connection with other credentials"),
        (FINGERPRINT, None, "there are no credentials"),
    ],
)
def test_teardown_leaves_the_connections_of_other_accounts(
    mock_api: MockApi, directory: str, opened_by: str, credentials: Credentials | None, message: str
) -> None:
    ledger = ended_run(directory, account=opened_by)
    with pytest.raises(AuthError, match=message):
        raise run_teardown(directory, credentials=credentials)[REF]
    assert os.path.exists(ledger.path)


def test_new_token_leaves_connections_that_it_cannot_see(mock_api: MockApi, directory: str) -> None:
    """Another user with the same developer key gets the response that a closed connection gets."""
    ledger = ended_run(directory, account=OLD_TOKEN)
    mock_api.expect_unknown(*REF)
    with pytest.raises(AuthError, match=f"'{RUN}' opened the connection with another login"):
        raise run_teardown(directory)[REF]
    assert os.path.exists(ledger.path)
    mock_api.expect_disconnect(*REF, STOPPED)
    assert run_teardown(directory) == {REF: "closed"}
    assert not os.path.exists(ledger.path)


def test_expired_connection_needs_no_credentials(directory: str) -> None:
    ledger = ended_run(directory, hours=-1)
    assert run_teardown(directory, credentials=None) == {REF: "already_closed"}
    assert not os.path.exists(ledger.path)


def test_expired_connection_of_a_lost_service_is_closed(mock_api: MockApi, directory: str) -> None:
    ledger = ended_run(directory, account=WITH_ACCESS_KEY.fingerprint(), hours=-1)
    mock_api.expect_query({"connectionId": REF[1], "serviceId": SERVICE}, Reply({"data": {"disconnect": False}}))
    mock_api.expect_query({"id": [SERVICE]}, Reply({"data": {"login": {"id": "me", "service": []}}}))
    assert run_teardown(directory, credentials=WITH_ACCESS_KEY) == {REF: "already_closed"}
    assert not os.path.exists(ledger.path)


def test_expired_connection_is_closed(mock_api: MockApi, directory: str) -> None:
    """The clock of this machine may be wrong."""
    ledger = ended_run(directory, hours=-1)
    failures = (Reply("", 400), refused("internal error", 200), refused("Service Unavailable", 400))
    mock_api.expect_disconnect(*REF, *failures, STOPPED)
    for _unused in failures:
        assert isinstance(run_teardown(directory)[REF], RemoteItError)
    assert run_teardown(directory) == {REF: "closed"}
    assert not os.path.exists(ledger.path)


DAMAGES: dict[str, t.Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)) + b"\n",
    "zeros at the end": lambda content: content.split(b"\n", 1)[0] + b"\n" + bytes(100),
    "a byte of the intent": lambda content: content.replace(b'"intent"', b'"int\xffent"'),
    "UTF-16": lambda content: content.decode().encode("utf-16"),
    "no first line": lambda content: content.split(b"\n", 1)[1],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_ledger_fails_until_its_connections_have_ended(mock_api: MockApi, directory: str, damage: str) -> None:
    ledger = pathlib.Path(ended_run(directory).path)
    ledger.write_bytes(DAMAGES[damage](ledger.read_bytes()))
    if damage == "no first line":  # the connection is still there
        mock_api.expect_disconnect(*REF, STOPPED)
    for _unused in range(2):
        error = run_teardown(directory)[str(ledger), ""]
        assert f"the ledger of the run '{RUN}' is damaged" in error.message
        os.utime(ledger, (0, ledger.stat().st_mtime - 3600))
        before = ledger.stat().st_mtime
        assert list(run_teardown(directory)) == [(str(ledger), "")]
        assert ledger.stat().st_mtime == before
    os.utime(ledger, (0, time.time() - MAX_SECONDS - 100))
    assert run_teardown(directory) == {}
    assert not ledger.exists()


def test_settling_call_fails_unless_its_session_is_absent(
    mock_api: MockApi, directory: str, unconfirmed: Ledger
) -> None:
    mock_api.expect_query({"id": [SERVICE]}, started_now())
    mock_api.expect_query({"connectionId": REF[1], "serviceId": SERVICE}, Reply({"data": {"disconnect": True}}))
    assert run_teardown(directory, credentials=WITH_ACCESS_KEY) == {REF: "closed"}
    mock_api.expect_query({"id": [SERVICE]}, refused("no", 403))
    error = run_teardown(directory, credentials=WITH_ACCESS_KEY)[UNCONFIRMED]
    assert "The sessions could not be searched: the API" in error.message
    mock_api.expect_query({"id": [SERVICE]}, listed_session(user=None))
    assert list(run_teardown(directory, credentials=WITH_ACCESS_KEY)) == [UNCONFIRMED]
    assert list(run_teardown(directory, credentials=None)) == [UNCONFIRMED]
    mock_api.expect_query({"id": [SERVICE]}, listed_session(user={"id": "a colleague"}))
    assert run_teardown(directory, credentials=WITH_ACCESS_KEY) == {}


def test_damaged_ledger_of_a_second_keeper_belongs_to_its_run(directory: str) -> None:
    ledger = pathlib.Path(ended_run(directory).path)
    ledger = ledger.rename(ledger.with_name(f"{RUN}-4711.jsonl"))
    ledger.write_bytes(b"\0" * 100)
    assert list(run_teardown(directory, RUN)) == [(str(ledger), "")]


@pytest.mark.parametrize("line", [b'{"event": "clo', b"[" * 100_000], ids=["cut", "nested too deeply"])
def test_last_line_of_a_ledger_may_be_incomplete(mock_api: MockApi, directory: str, line: bytes) -> None:
    ledger = pathlib.Path(ended_run(directory).path)
    with ledger.open("ab") as file:
        file.write(line)
    mock_api.expect_disconnect(*REF, refused("api key failed validation"))
    assert list(run_teardown(directory)) == [REF]
    mock_api.expect_disconnect(*REF, STOPPED)
    assert run_teardown(directory) == {REF: "closed"}


def test_last_line_of_a_ledger_may_lack_its_end(mock_api: MockApi, directory: str) -> None:
    ledger = pathlib.Path(ended_run(directory).path)
    ledger.write_bytes(ledger.read_bytes().rstrip(b"\n"))
    mock_api.expect_disconnect(*REF, refused("api key failed validation"))
    assert list(run_teardown(directory)) == [REF]
    mock_api.expect_disconnect(*REF, STOPPED)
    assert run_teardown(directory) == {REF: "closed"}


# -- connect calls without a response ----------------------------------------------------------------------------------


@pytest.fixture
def unconfirmed(directory: str) -> Ledger:
    """Return the ledger of a run that was killed during a connect call with an access key."""
    return ended_run(directory, account=WITH_ACCESS_KEY.fingerprint(), connectionid=None)


def started_now(user: str = "me") -> Reply:
    return sessions(REF[1], user=user, started=format_utc(utc_now()))


@pytest.mark.parametrize("was_killed", [True, False])
def test_unconfirmed_call_fails_without_sessions(mock_api: MockApi, directory: str, was_killed: bool) -> None:
    """REST lists no sessions. A second teardown reports the same as the first one."""
    ledger = begin_ledger(directory, RUN)
    record_connection(ledger, 1, None, FINGERPRINT, 8)
    if not was_killed:
        ledger.run_ended(by="keeper")
    kill_keeper(ledger)
    for _unused in range(2):
        error = run_teardown(directory)[UNCONFIRMED]
        assert RUN in error.message
        assert "ends by itself at" in error.message
        assert ("was killed" in error.message) is was_killed
    assert os.path.exists(ledger.path)


def test_unconfirmed_call_is_found_among_the_sessions(mock_api: MockApi, directory: str, unconfirmed: Ledger) -> None:
    mock_api.expect_query({"id": [SERVICE]}, started_now())
    assert run_teardown(directory, credentials=WITH_ACCESS_KEY, check_mode=True) == {REF: "closed"}
    mock_api.expect_query({"id": [SERVICE]}, started_now())
    mock_api.expect_query({"connectionId": REF[1], "serviceId": SERVICE}, Reply({"data": {"disconnect": True}}))
    assert run_teardown(directory, credentials=WITH_ACCESS_KEY) == {REF: "closed"}


def test_unconfirmed_call_is_searched_until_it_is_settled(
    mock_api: MockApi, directory: str, unconfirmed: Ledger
) -> None:
    """The first session that is found is another one, and the API executes the call late."""
    for reply in (started_now(), sessions(), started_now()):
        mock_api.expect_query({"id": [SERVICE]}, reply)
        if reply != sessions():
            mock_api.expect_query({"connectionId": REF[1], "serviceId": SERVICE}, Reply({"data": {"disconnect": True}}))
        expected = {} if reply == sessions() else {REF: "closed"}
        assert run_teardown(directory, credentials=WITH_ACCESS_KEY) == expected
        assert list_open_connections(directory, None) == []
    move_to_the_past(unconfirmed, SETTLED_SECONDS + 20)
    mock_api.expect_query({"id": [SERVICE]}, sessions())
    assert run_teardown(directory, credentials=WITH_ACCESS_KEY) == {}
    assert not os.path.exists(unconfirmed.path)


@pytest.mark.parametrize("reply", [sessions(), started_now(user="another user"), refused("no", 403)])
def test_unconfirmed_call_fails_without_its_session(
    mock_api: MockApi, directory: str, unconfirmed: Ledger, reply: Reply
) -> None:
    mock_api.expect_query({"id": [SERVICE]}, reply)
    assert list(run_teardown(directory, credentials=WITH_ACCESS_KEY)) == [UNCONFIRMED]
    assert os.path.exists(unconfirmed.path)


@pytest.mark.parametrize(
    ("reply", "seconds"), [(sessions(), SETTLED_SECONDS), (refused("no", 403), SETTLED_SECONDS + IDLE_SECONDS + 60)]
)
def test_unconfirmed_call_names_the_time_of_the_next_teardown(
    mock_api: MockApi, directory: str, unconfirmed: Ledger, reply: Reply, seconds: int
) -> None:
    with open(unconfirmed.path, encoding="utf-8") as file:
        sent_at = parse_utc([json.loads(line) for line in file][1]["at"])
    mock_api.expect_query({"id": [SERVICE]}, reply)
    error = run_teardown(directory, credentials=WITH_ACCESS_KEY)[UNCONFIRMED]
    assert f"after {format_utc(sent_at + datetime.timedelta(seconds=seconds))}" in error.message


def ago(seconds: int) -> str:
    return format_utc(utc_now() - datetime.timedelta(seconds=seconds))


def listed_session(errors: t.Sequence[t.Any] = (), **changes: t.Any) -> Reply:
    """Return a session that started during the call, with changed fields, of a service of an organization."""
    session = {**SESSION, "id": REF[1], "timestamp": ago(SETTLED_SECONDS + 15), **changes}
    service = {"id": SERVICE, "owner": {"id": "org"}, "sessions": [] if errors else [session]}
    return Reply({"data": {"login": {"id": "me", "service": [service]}}, "errors": [*errors]})


def move_to_the_past(ledger: Ledger, seconds: int) -> None:
    with open(ledger.path, encoding="utf-8") as file:
        events = [{**json.loads(line), "at": ago(seconds)} for line in file]
    with open(ledger.path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
    os.utime(ledger.path, (time.time() - seconds,) * 2)


def test_expired_call_is_found_among_the_sessions(mock_api: MockApi, directory: str, unconfirmed: Ledger) -> None:
    """The clock of this machine may be wrong."""
    seconds = SETTLED_SECONDS + IDLE_SECONDS + 100
    move_to_the_past(unconfirmed, seconds)
    mock_api.expect_query({"id": [SERVICE]}, sessions(REF[1], user="me", started=ago(seconds - 1)))
    mock_api.expect_query({"connectionId": REF[1], "serviceId": SERVICE}, Reply({"data": {"disconnect": True}}))
    assert run_teardown(directory, credentials=WITH_ACCESS_KEY) == {REF: "closed"}
    assert not os.path.exists(unconfirmed.path)


def test_expired_call_needs_no_credentials(directory: str, unconfirmed: Ledger) -> None:
    move_to_the_past(unconfirmed, SETTLED_SECONDS + IDLE_SECONDS + 100)
    assert run_teardown(directory, credentials=None) == {}
    assert not os.path.exists(unconfirmed.path)


def test_expired_call_fails_if_its_sessions_cannot_be_listed(
    mock_api: MockApi, directory: str, unconfirmed: Ledger
) -> None:
    """The API refuses requests if the clock of this machine is wrong."""
    move_to_the_past(unconfirmed, SETTLED_SECONDS + IDLE_SECONDS + 100)
    mock_api.expect_query({"id": [SERVICE]}, refused("no", 403))
    assert list(run_teardown(directory, credentials=WITH_ACCESS_KEY)) == [UNCONFIRMED]
    assert os.path.exists(unconfirmed.path)


@pytest.mark.parametrize(
    ("reply", "is_absent"),
    [
        (sessions(), True),
        (listed_session(user={"id": "a colleague"}), True),
        (listed_session(user={"id": "org"}), False),
        (listed_session(user=None), False),
        (listed_session(target={"id": "80:00:00:00:01:FF:FF:F0"}), False),
        (listed_session(endpoint={"proxy": False}), False),
        (listed_session([{"message": "forbidden", "path": ["login", "service", 0, "sessions"]}]), False),
        (listed_session([{"message": "forbidden"}]), False),
    ],
)
def test_settled_call_fails_unless_its_session_is_certainly_absent(
    mock_api: MockApi, directory: str, unconfirmed: Ledger, reply: Reply, is_absent: bool
) -> None:
    """No stop call is sent for a session that is not certainly the one of the call."""
    move_to_the_past(unconfirmed, SETTLED_SECONDS + 20)
    mock_api.expect_query({"id": [SERVICE]}, reply)
    assert list(run_teardown(directory, credentials=WITH_ACCESS_KEY)) == ([] if is_absent else [UNCONFIRMED])
    assert os.path.exists(unconfirmed.path) is not is_absent


def test_unconfirmed_call_fails_if_a_ledger_is_unreadable(
    mock_api: MockApi, directory: str, unconfirmed: Ledger, unreadable: t.Callable[[str], None]
) -> None:
    """The session may be in that ledger."""
    foreign = ended_run(directory, "another-users")
    unreadable(foreign.path)
    mock_api.expect_query({"id": [SERVICE]}, started_now())
    assert list(run_teardown(directory, credentials=WITH_ACCESS_KEY)) == [UNCONFIRMED, (foreign.path, "")]


def test_unconfirmed_call_is_not_the_session_of_another_run(
    mock_api: MockApi, directory: str, unconfirmed: Ledger
) -> None:
    running = running_run(directory, "another")
    mock_api.expect_query({"id": [SERVICE]}, started_now())
    assert list(run_teardown(directory, credentials=WITH_ACCESS_KEY)) == [UNCONFIRMED]
    assert os.path.exists(running.path)


# -- unconfirmed calls of several runs to one service ------------------------------------------------------------------


@pytest.fixture
def rival(directory: str, unconfirmed: Ledger) -> Ledger:
    """Return the ledger of a second run that was killed during a connect call to the same service."""
    return ended_run(directory, "rival-0123456789", WITH_ACCESS_KEY.fingerprint(), connectionid=None)


@pytest.mark.parametrize("run_id", [None, RUN])
def test_empty_list_settles_the_calls_of_all_runs(
    mock_api: MockApi, directory: str, unconfirmed: Ledger, rival: Ledger, run_id: str | None
) -> None:
    for ledger in (unconfirmed, rival):
        move_to_the_past(ledger, SETTLED_SECONDS + 20)
    mock_api.expect_query({"id": [SERVICE]}, sessions())
    assert run_teardown(directory, run_id, credentials=WITH_ACCESS_KEY) == {}
    assert not os.path.exists(unconfirmed.path)
    assert os.path.exists(rival.path) is (run_id is not None)


def test_empty_list_settles_a_call_despite_a_running_run(
    mock_api: MockApi, directory: str, unconfirmed: Ledger
) -> None:
    running = begin_ledger(directory, "running-0123456789")
    record_connection(running, 1, None, WITH_ACCESS_KEY.fingerprint())
    move_to_the_past(unconfirmed, SETTLED_SECONDS + 20)
    mock_api.expect_query({"id": [SERVICE]}, sessions())
    assert run_teardown(directory, credentials=WITH_ACCESS_KEY) == {}
    assert not os.path.exists(unconfirmed.path)
    assert os.path.exists(running.path)


@pytest.mark.parametrize("check_mode", [True, False])
def test_teardown_closes_the_sessions_of_several_runs(
    mock_api: MockApi, directory: str, unconfirmed: Ledger, rival: Ledger, check_mode: bool
) -> None:
    ids = [REF[1], "id-b"]
    for ledger in (unconfirmed, rival):
        move_to_the_past(ledger, SETTLED_SECONDS + 20)
    mock_api.expect_query({"id": [SERVICE]}, sessions(*ids, started=ago(SETTLED_SECONDS + 15)))
    if not check_mode:
        for connectionid in ids:
            stopped = Reply({"data": {"disconnect": True}})
            mock_api.expect_query({"connectionId": connectionid, "serviceId": SERVICE}, stopped)
    outcomes = run_teardown(directory, credentials=WITH_ACCESS_KEY, check_mode=check_mode)
    assert outcomes == {(SERVICE, connectionid): "closed" for connectionid in ids}
    assert os.path.exists(unconfirmed.path) is os.path.exists(rival.path) is check_mode


def test_teardown_closes_no_session_that_another_run_may_have(
    mock_api: MockApi, directory: str, unconfirmed: Ledger, rival: Ledger
) -> None:
    """The teardown of one run does not lock the ledger of the other."""
    mock_api.expect_query({"id": [SERVICE]}, started_now())
    outcomes = run_teardown(directory, RUN, credentials=WITH_ACCESS_KEY)
    assert list(outcomes) == [UNCONFIRMED]
    assert "'rival-0123456789'" in outcomes[UNCONFIRMED].message


def test_teardown_explains_more_sessions_than_calls(mock_api: MockApi, directory: str, unconfirmed: Ledger) -> None:
    mock_api.expect_query({"id": [SERVICE]}, sessions(REF[1], "id-b", started=format_utc(utc_now())))
    outcomes = run_teardown(directory, credentials=WITH_ACCESS_KEY)
    assert list(outcomes) == [UNCONFIRMED]
    assert "cannot be matched" in outcomes[UNCONFIRMED].message


@pytest.mark.parametrize("is_running", [True, False])
def test_teardown_closes_no_session_of_another_login(
    mock_api: MockApi, directory: str, unconfirmed: Ledger, is_running: bool
) -> None:
    """Another login can be the same user."""
    other = begin_ledger(directory, "another-0123456789")
    record_connection(other, 1, None, OLD_TOKEN)
    if not is_running:
        kill_keeper(other)
    mock_api.expect_query({"id": [SERVICE]}, started_now())
    assert list(run_teardown(directory, credentials=WITH_ACCESS_KEY)) == [UNCONFIRMED]
    assert os.path.exists(unconfirmed.path)
