# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a connection: the table of transitions, its picture in the documentation, and what a state allows."""

from __future__ import annotations

import math
import pathlib
import time
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import IDLE_SECONDS, Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.managed_connection import (
    TRANSITIONS,
    CommandLease,
    Event,
    ForbiddenTransitionError,
    HostLease,
    ManagedConnection,
    State,
    TaskLease,
)
from ansible_collections.remoteit.fleet.tests.unit.plugins.plugin_utils.keeper.keeper_calls import A

PAGE = pathlib.Path(__file__).resolve().parents[5] / "docs/docsite/rst/how_it_works.rst"
ENDED = {State.CLOSED, State.LEFT, State.MERGED, State.FAILED}


def in_state(state: State, **fields: t.Any) -> ManagedConnection:
    connection = Connection(A, "id-1", "http://p:1", "p", 1, "tcp", False, "caller")
    now = time.monotonic()
    return ManagedConnection(1, A, t.cast(t.Any, None), connection=connection, last_used=now, _state=state, **fields)


def as_list() -> str:
    """Return the table of transitions as "How it works" shows it."""
    entries = []
    for state in State:
        following = [
            f"   - to ``{each.target.name}``: {each.event.value} ({', '.join(actor.value for actor in each.actors)})\n"
            for each in TRANSITIONS
            if each.source is state
        ]
        entries.append(f"``{state.name}``\n   {state.value}\n" + ("\n" + "".join(following) if following else ""))
    return "\n".join(entries)


def test_documentation_shows_the_table_of_transitions() -> None:
    assert as_list() in PAGE.read_text(encoding="utf-8")


def test_transitions_are_unambiguous() -> None:
    assert len({(each.source, each.event) for each in TRANSITIONS}) == len(TRANSITIONS)
    assert {each.event for each in TRANSITIONS} == set(Event)


def test_states_are_reached_and_only_the_last_ones_are_final() -> None:
    assert {each.target for each in TRANSITIONS} == set(State) - {State.REQUESTED}
    assert set(State) - {each.source for each in TRANSITIONS} == ENDED


def test_opened_connection_can_always_be_closed() -> None:
    """Whatever happens to it, a path to an end without something open is left."""
    open_states = {state for state in State if in_state(state).may_be_open}
    safe = set(ENDED)
    for _unused in State:
        safe |= {each.source for each in TRANSITIONS if each.target in safe}
    assert open_states <= safe
    assert open_states.isdisjoint(ENDED)


@pytest.mark.parametrize("transition", TRANSITIONS, ids=lambda each: f"{each.source.name}-{each.event.name}")
def test_apply_changes_the_state(transition: t.Any) -> None:
    managed = in_state(transition.source)
    managed.apply(transition.event)
    assert managed.state is transition.target


@pytest.mark.parametrize("state", State)
def test_apply_refuses_every_other_event(state: State) -> None:
    allowed = {each.event for each in TRANSITIONS if each.source is state}
    for event in set(Event) - allowed:
        managed = in_state(state)
        with pytest.raises(ForbiddenTransitionError):
            managed.apply(event)
        assert managed.state is state


@pytest.mark.parametrize(
    ("state", "facts", "expected"),
    [
        (State.REQUESTED, {}, True),
        (State.CONNECTING, {}, True),
        (State.OPEN, {}, True),
        (State.OPEN, {"refuses": True}, False),
        (State.REPLACED, {}, False),
        (State.DRAINING, {}, False),
        (State.CLOSING, {}, False),
        (State.CLOSE_FAILED, {}, False),
        (State.CLOSED, {}, False),
        (State.FAILED, {"failed_at": math.inf}, True),
        (State.FAILED, {"failed_at": math.inf, "failure_reported_to_plugin": True}, False),
        (State.FAILED, {}, False),  # an old failure
        (State.UNUSABLE, {}, True),
        (State.UNCONFIRMED, {"outcome_reported": True}, True),
        (State.UNUSABLE, {"failure_reported_to_plugin": True}, False),
    ],
)
def test_connection_can_be_handed_out(state: State, facts: dict[str, t.Any], expected: bool) -> None:
    managed = in_state(state, **facts)
    assert managed.can_be_handed_out(managed.client, to_plugin=True) is expected


def test_idle_connection_is_handed_out_only_while_a_command_runs() -> None:
    managed = in_state(State.OPEN)
    managed.last_used -= IDLE_SECONDS
    assert not managed.can_be_handed_out(managed.client, to_plugin=False)
    managed.leases.add(CommandLease(managed))
    assert managed.can_be_handed_out(managed.client, to_plugin=False)


def test_end_lease_ends_one_lease() -> None:
    managed = in_state(State.OPEN)
    command = CommandLease(managed)
    managed.leases |= {TaskLease(), TaskLease(), HostLease("a"), command}
    managed.end_lease(None)
    managed.end_lease(HostLease("b"))
    assert len(managed.leases) == 3
    managed.end_lease(None)
    managed.end_lease(HostLease("a"))
    assert managed.leases == {command}
    assert not managed.is_leased_to_a_task
    managed.end_lease(None)
    assert managed.commands == 1
