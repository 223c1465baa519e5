# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connections that ledgers list, even if a keeper was killed or a line is damaged."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import DEFAULT_API_URL
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.files import try_lock
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.reader import (
    is_used_by_another,
    list_open_connections,
    list_orphans,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ledger.writer import Ledger
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import sanitize_job_id
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import ID, SERVICE
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.ledger.ledgers import (
    RUN,
    begin_ledger,
    kill_keeper,
    record_connection,
)


def test_list_contains_open_connections(ledger: Ledger, directory: str) -> None:
    record_connection(ledger, host="pi-0001")
    (listed,) = list_open_connections(directory, None)
    assert 8 * 3600 - 60 < listed.pop("time_left") <= 8 * 3600
    assert 0 <= listed.pop("age") < 60
    assert listed.pop("opened_at") < listed.pop("ends_by_itself_at")
    assert listed == {
        "run_id": RUN,
        "alive": True,
        "inventory_host": "pi-0001",
        "deviceaddress": SERVICE,
        "connectionid": ID,
        "detached": False,
        "account": "fingerprint",
        "api_url": DEFAULT_API_URL,
    }


def test_orphans_are_those_of_killed_keepers(ledger: Ledger, directory: str) -> None:
    """A keeper that has ended the run reports what it left open itself."""
    record_connection(ledger, 1, "id-1")
    record_connection(ledger, 2, None)
    record_connection(ledger, 3, "id-3")
    ledger.detached(3)
    ledger.closed(4, "closed")
    kill_keeper(ledger)
    in_order, another = begin_ledger(directory), begin_ledger(directory, "another-run")
    record_connection(in_order, 1, "id-4")
    record_connection(in_order, 2, None)
    in_order.run_ended(by="keeper")
    record_connection(another, 1, "id-5")
    for only_killed, found in ((True, ["id-1", None]), (False, ["id-1", None, "id-4", None])):
        orphans = list_orphans(directory, RUN, only_killed=only_killed)
        assert sorted((entry.connectionid for entry in orphans), key=str) == sorted(found, key=str)
    assert list_orphans(directory, "no-run", only_killed=False) == []


def test_orphans_are_listed_beside_unreadable_ledgers(ledger: Ledger, directory: str) -> None:
    record_connection(ledger)
    os.mkdir(os.path.join(directory, "another-run.jsonl"))
    assert [entry.connectionid for entry in list_orphans(directory, RUN, only_killed=True)] == [ID]
    os.mkdir(os.path.join(directory, f"{RUN}-2.jsonl"))
    with pytest.raises(RemoteItError):
        list_orphans(directory, RUN, only_killed=True)


def test_own_ledger_does_not_count_as_another_run(ledger: Ledger, directory: str) -> None:
    record_connection(ledger)
    assert not is_used_by_another(ledger.path, ID)
    another = begin_ledger(directory, "another-run")
    record_connection(another)
    assert is_used_by_another(ledger.path, ID)


def test_list_shows_whether_the_run_is_running(ledger: Ledger, directory: str) -> None:
    record_connection(ledger)
    kill_keeper(ledger)
    assert [listed["alive"] for listed in list_open_connections(directory, None)] == [False]
    with open(ledger.path, "rb") as another_reader:
        assert try_lock(another_reader)
        assert [listed["alive"] for listed in list_open_connections(directory, None)] == [False]


def test_list_contains_all_keepers_of_a_run(ledger: Ledger, directory: str) -> None:
    """A connection that cannot be used ends after 15 minutes. The call may take 3 minutes."""
    record_connection(ledger)
    record_connection(begin_ledger(directory), connectionid=None)
    unconfirmed, opened = sorted(list_open_connections(directory, RUN), key=lambda listed: listed["time_left"])
    assert (opened["connectionid"], unconfirmed["connectionid"]) == (ID, None)
    assert 900 < unconfirmed["time_left"] <= 1140


def test_list_is_empty_without_open_connections(ledger: Ledger, directory: str) -> None:
    record_connection(ledger)
    ledger.closed(1, "closed")
    assert list_open_connections(directory, None) == []
    assert list_open_connections(directory + "/missing", None) == []


@pytest.mark.parametrize(
    ("run_id", "matches"),
    [(None, True), (RUN, True), ("job", True), ("job-", False), ("jo", False), (f"{RUN}a", False)],
)
def test_list_selects_a_run_or_a_job(ledger: Ledger, directory: str, run_id: str | None, matches: bool) -> None:
    record_connection(ledger)
    assert bool(list_open_connections(directory, run_id)) is matches


@pytest.mark.parametrize(("job", "other"), [("job/1", "job:1"), ("Обновление", "Развёртывание"), (None, "run")])
def test_list_compares_the_whole_id_of_a_job(directory: str, job: str | None, other: str) -> None:
    """The ID of the run contains only a part of it."""
    ledger, _unused = Ledger.begin(directory, f"{sanitize_job_id(job or '')}-0123456789", job=job)
    record_connection(ledger)
    assert list_open_connections(directory, other) == []
    assert job is None or list_open_connections(directory, job)


@pytest.mark.parametrize(
    "line", [b'{"event": "opened", "num', b"\xff\xfe\x00", b"[]", b'"x"', b'{"event": "opened", "number": 7}', b"{}\n{"]
)
def test_list_skips_an_invalid_last_line(ledger: Ledger, directory: str, line: bytes) -> None:
    record_connection(ledger)
    kill_keeper(ledger)
    with open(ledger.path, "ab") as file:
        file.write(line)
    assert [listed["connectionid"] for listed in list_open_connections(directory, None)] == [ID]


def test_list_skips_invalid_values(ledger: Ledger, directory: str) -> None:
    record_connection(ledger, 1, "id-1", hours=1)
    record_connection(ledger, 2, "id-2", hours=2)
    first, second = list_open_connections(directory, None)
    path = pathlib.Path(ledger.path)
    path.write_text(path.read_text().replace(first["ends_by_itself_at"], "later", 1))
    damaged = list_open_connections(directory, None)
    assert [listed["connectionid"] for listed in damaged] == ["id-1", "id-2"]
    assert damaged[1]["ends_by_itself_at"] == second["ends_by_itself_at"]
    path.write_text(path.read_text().replace("id-1", "../id", 1))
    assert [listed["connectionid"] for listed in list_open_connections(directory, None)] == [None, "id-2"]


def test_list_refuses_a_shared_directory(ledger: Ledger, directory: str) -> None:
    os.chmod(directory, 0o777)
    with pytest.raises(RemoteItError, match="of this user, because other users can write to it"):
        list_open_connections(directory, None)


def test_list_refuses_a_symbolic_link(ledger: Ledger, directory: str) -> None:
    os.rename(directory, f"{directory}.moved")
    os.symlink(f"{directory}.moved", directory)
    with pytest.raises(RemoteItError, match="it is a symbolic link"):
        list_open_connections(directory, None)


@pytest.mark.parametrize("name", [".", ".."], ids=["of the ledgers", "of the state"])
def test_list_refuses_a_file_instead_of_a_directory(tmp_path: pathlib.Path, directory: str, name: str) -> None:
    path = pathlib.Path(os.path.normpath(os.path.join(directory, name)))
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with pytest.raises(RemoteItError, match=r"it is a file|Not a directory. Check REMOTEIT_STATE_DIR"):
        list_open_connections(directory, None)


def test_list_is_empty_without_a_directory(directory: str) -> None:
    assert list_open_connections(directory, None) == []
