# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host keys: an identity for each service that outlives the port, and checking that cannot be forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Fleet

WHO: list[dict[str, Any]] = [{"name": "who", "ansible.builtin.raw": "cat device-name"}]


def alias(service: str) -> str:
    return f"remoteit-{service.lower().replace(':', '-')}"


def test_strict_refuses_unknown_keys_and_says_how_to_record_them(fleet: Fleet) -> None:
    run = fleet.session(WHO, remoteit_session_host_key_checking="strict")
    assert run.rc == 2
    assert run.status("who") == {}
    assert "unreachable" not in {entry["status"] for entry in run.journal}
    assert sorted(run.failures()) == fleet.devices
    for device, service in zip(fleet.devices, fleet.services, strict=True):
        assert "accept-new" in run.failures()[device]
        assert alias(service) in run.failures()[device]
    assert not fleet.known_hosts.exists()
    assert len(run.connections) == 3


def test_strict_is_the_default(fleet: Fleet) -> None:
    del fleet.inventory["fleet"]["vars"]["remoteit_session_host_key_checking"]
    fleet.environ["ANSIBLE_HOST_KEY_CHECKING"] = "false"
    run = fleet.session(WHO)
    assert run.status("who") == {}
    assert sorted(run.failures()) == fleet.devices


def test_keys_stay_valid_although_every_port_changes(fleet: Fleet) -> None:
    """Recorded once, then strict; the ports of both runs are the vendor's."""
    first = fleet.session(WHO)
    assert first.rc == 0
    recorded = fleet.known_hosts.read_text().splitlines()
    assert sorted(line.split()[0] for line in recorded) == [alias(service) for service in fleet.services]
    second = fleet.session(WHO, remoteit_session_host_key_checking="strict")
    assert second.rc == 0
    assert second.stdout_of("who") == {device: device for device in fleet.devices}
    assert "WARNING" not in second.text
    assert fleet.known_hosts.read_text().splitlines() == recorded
    assert {c["port"] for c in first.connections}.isdisjoint({c["port"] for c in second.connections})


@pytest.mark.parametrize("checking", ["strict", "accept-new"])
def test_a_changed_key_is_refused(fleet: Fleet, checking: str) -> None:
    assert fleet.session(WHO).rc == 0
    recorded = fleet.known_hosts.read_text()
    fleet.simulator.device("pi-0002", rekey=True)
    run = fleet.session(WHO, remoteit_session_host_key_checking=checking)
    assert run.rc == 2
    assert list(run.failures()) == ["pi-0002"]
    assert alias(fleet.services[1]) in run.failures()["pi-0002"]
    assert run.stdout_of("who") == {device: device for device in ("pi-0001", "pi-0003")}
    assert fleet.known_hosts.read_text() == recorded


def test_a_known_hosts_path_with_blanks_and_what_ssh_takes_for_a_token(fleet: Fleet) -> None:
    path = fleet.folder / "known hosts%2Fof mine"
    fleet.inventory["fleet"]["vars"]["remoteit_session_known_hosts"] = str(path)
    run = fleet.session(WHO)
    assert run.rc == 0
    assert len(path.read_text().splitlines()) == 3


def test_one_device_that_is_another_is_refused(fleet: Fleet) -> None:
    """A proxy that leads to another device than the one whose key is known."""
    assert fleet.session(WHO).rc == 0
    wrong = fleet.simulator.connect("pi-0003")
    override = {"connection": {"proxyport": str(wrong["port"]), "proxyServerPort": wrong["port"]}}
    fleet.simulator.fault(fleet.services[0], call="connect", fault="body", override=override)
    run = fleet.session(WHO)
    assert run.rc == 2
    assert list(run.failures()) == ["pi-0001"]
    assert run.stdout_of("who") == {device: device for device in ("pi-0002", "pi-0003")}


def test_wrong_key_of_the_user(fleet: Fleet) -> None:
    """Waiting longer does not help, so nobody waits."""
    fleet.inventory["fleet"]["vars"]["ansible_user"] = "nobody"
    run = fleet.session(WHO, remoteit_session_wait_timeout=600)
    assert run.rc == 2
    assert sorted(run.failures()) == fleet.devices
    assert all("ansible_user" in reason for reason in run.failures().values())
