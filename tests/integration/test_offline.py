# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices that are offline: the recap, the run that catches up later, and waiting for a device."""

from __future__ import annotations

import datetime
import os
import shlex

import pytest
from conftest import Fleet, Run, play, raw, who
from documentation import BLOCKS, named


def lines_of(name: str) -> list[str]:
    """Return the lines of a code block of the documentation."""
    return named(name).code.splitlines()


def run_documented(fleet: Fleet, line: str) -> Run:
    """Run a line ``ansible-playbook -i inventory.yml PLAYBOOK ARGUMENTS``, with the inventory of the fleet."""
    program, option, inventory, playbook, *arguments = shlex.split(line)
    assert (program, option, inventory) == ("ansible-playbook", "-i", "inventory.yml")
    return fleet.run(playbook, *arguments)


def setting(line: str) -> dict[str, str]:
    name, value = line.removeprefix("export ").split("=")
    return {name: value}


def use_inventory_plugin(fleet: Fleet) -> None:
    """Replace the handwritten inventory by the devices of the account."""
    fleet.inventory = fleet.write("fleet.remoteit.yml", {"plugin": "remoteit.fleet.services", "device": fleet.devices})
    fleet.environ |= {
        "ANSIBLE_REMOTE_USER": fleet.simulator.state["ssh_user"],
        "ANSIBLE_PRIVATE_KEY_FILE": fleet.simulator.state["ssh_private_key_file"],
        "ANSIBLE_SSH_COMMON_ARGS": fleet.host_keys["ansible_ssh_common_args"],
    }


@pytest.mark.each_api
@pytest.mark.parametrize("inventory", ["handwritten", "source"])
def test_catch_up_run_reaches_the_devices_that_were_offline(fleet: Fleet, inventory: str) -> None:
    if inventory == "source":
        use_inventory_plugin(fleet)
    fleet.write("site.yml", [play(who(), hosts="all")])
    export, night, catch_up = lines_of("offline-catch-up")
    fleet.environ |= setting(export)
    path = fleet.project / fleet.environ["REMOTEIT_OFFLINE_FILE"]
    *online, offline = fleet.devices
    fleet.simulator.device(offline, online=False)

    run = run_documented(fleet, night)
    assert run.rc != 0
    assert run.stderr.splitlines()[-2:] == lines_of("offline-recap")
    assert path.read_text() == f"{offline}\n"
    assert run.stdout_of("who") == {**dict(zip(online, online, strict=True)), offline: ""}

    run = run_documented(fleet, catch_up)
    assert path.read_text() == f"{offline}\n"
    assert set(run.status("who")) == {offline}

    fleet.simulator.device(offline, online=True)
    run = run_documented(fleet, catch_up)
    assert run.rc == 0
    run.assert_all_closed()
    assert run.stdout_of("who") == {offline: offline}
    assert "offline" not in run.stderr
    assert not path.exists()
    assert run_documented(fleet, catch_up).rc != 0


def test_retry_file_contains_failed_hosts_too(fleet: Fleet) -> None:
    export, night, catch_up = lines_of("offline-retry-file")
    fleet.environ |= setting(export)
    fleet.write("site.yml", [play(raw("fail", "[ $(cat device-name) != pi-0001 ]"))])
    fleet.simulator.device("pi-0003", online=False)
    assert run_documented(fleet, night).rc != 0
    assert (fleet.project / "site.retry").read_text().split() == ["pi-0001", "pi-0003"]
    fleet.simulator.device("pi-0003", online=True)
    assert run_documented(fleet, catch_up).status("fail") == {"pi-0001": "failed", "pi-0003": "changed"}


def test_role_that_skips_offline_devices_lists_them(fleet: Fleet) -> None:
    fleet.simulator.device("pi-0002", online=False)
    run = fleet.session([who()], remoteit_session_on_failure="skip")
    assert run.rc == 0
    assert run.stderr.splitlines()[-1] == "remote.it: 1 device was offline: pi-0002"


def test_offline_file_that_cannot_be_written_is_a_warning(fleet: Fleet) -> None:
    fleet.simulator.device("pi-0002", online=False)
    run = fleet.run([play(who())], environ={"REMOTEIT_OFFLINE_FILE": "missing/offline.txt"})
    assert "could not be written to 'missing/offline.txt': No such file or directory" in run.stderr
    assert run.recap == "opened 2, closed 2, left open 0"


@pytest.mark.parametrize("what", ["pipe", "link"])
def test_offline_file_must_be_a_regular_file(fleet: Fleet, what: str) -> None:
    """Nothing else is written or removed. A pipe would block the end of the run."""
    path, log = fleet.project / what, fleet.write("log", "content")
    if what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(log)
    for online in (True, False):
        fleet.simulator.device("pi-0002", online=online)
        run = fleet.run([play(who())], environ={"REMOTEIT_OFFLINE_FILE": what})
        assert f"could not be written to '{what}': It is not a regular file" in run.stderr
        assert path.is_fifo() or path.is_symlink()
    assert log.read_text() == "content"


@pytest.mark.each_api
def test_wait_for_online_waits_for_a_device(fleet: Fleet) -> None:
    """A device comes online while its first task waits, and leaves the others alone."""
    offline = fleet.devices[1]
    fleet.inventory["fleet"]["vars"]["remoteit_wait_for_online"] = 60
    fleet.simulator.device(offline, online=False)

    def was_refused() -> bool:
        calls = fleet.simulator.requests("connect")
        return any(call["deviceaddress"] == fleet.services[1] and call["answered"] for call in calls)

    run = fleet.run(
        [play(who())], while_running=fleet.once(was_refused, lambda: fleet.simulator.device(offline, online=True))
    )
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices}
    run.assert_all_closed()
    assert len(run.stderr.splitlines()) == 1


def test_wait_for_online_ends(fleet: Fleet) -> None:
    """A device that stays offline is unreachable, with the reason, after at least one more call."""
    offline = fleet.devices[1]
    fleet.inventory["fleet"]["vars"] |= {"remoteit_wait_for_online": 5, "remoteit_prefetch": 0}
    fleet.simulator.device(offline, online=False)
    run = fleet.run([play(who())])
    assert run.status("who") == {device: "unreachable" if device == offline else "changed" for device in fleet.devices}
    assert run.calls("connect").count(fleet.services[1]) >= 2
    assert f"1 device was offline: {offline}" in run.stderr


@pytest.mark.each_api
def test_wait_for_online_repeats_no_unclear_call(fleet: Fleet) -> None:
    """A conflict proves nothing, whatever its reason. A repeated call would open another connection."""
    fleet.inventory["fleet"]["vars"] |= {"remoteit_wait_for_online": 60, "remoteit_prefetch": 0}
    fleet.simulator.inject_fault(fleet.services[0], call="connect", fault="http", status=409, reason="inactive")
    run = fleet.run([play(who(), hosts=fleet.devices[0])])
    assert run.status("who") == {fleet.devices[0]: "unreachable"}
    assert run.calls("connect") == [fleet.services[0]]


@pytest.mark.parametrize("value", ["soon", -1])
def test_wait_for_online_must_be_a_number(fleet: Fleet, value: str | int) -> None:
    fleet.inventory["fleet"]["vars"]["remoteit_wait_for_online"] = value
    run = fleet.run([play(who(), hosts="pi-0001")])
    assert run.rc != 0
    assert run.connections == []


@pytest.mark.parametrize("api", ["graphql"])  # the REST API of the simulator does not return the time
def test_inventory_groups_by_the_time_offline(fleet: Fleet) -> None:
    use_inventory_plugin(fleet)
    online, recent, long_offline = fleet.devices
    now = datetime.datetime.now(datetime.timezone.utc)
    for device, days in ((recent, 1), (long_offline, 8)):
        reported = (now - datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        fleet.simulator.device(device, online=False, fields={"lastReported": reported})
    (source,) = (each.data for each in BLOCKS if each.title == "sorted.remoteit.yml")
    fleet.inventory = fleet.write("sorted.remoteit.yml", {**source, "device": fleet.devices})
    message = "{{ remoteit_offline_since is none }} {{ 'offline_for_a_week' in group_names }}"
    run = fleet.run(
        [play({"name": "see", "ansible.builtin.debug": {"msg": message}, "delegate_to": "localhost"}, hosts="all")]
    )
    assert {host: result["msg"] for host, result in run.results("see").items()} == {
        online: "True False",
        recent: "False False",
        long_offline: "False True",
    }
