# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host keys are recorded under the ID of a service, which outlives its ports, and checked as ssh is configured."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import Fleet, one_line, play, themselves, who
from support import TIMEOUT

FIRST, SECOND, THIRD = ALL = ("pi-0001", "pi-0002", "pi-0003")
PLAYS = [play(who())]
ALL_UNREACHABLE = dict.fromkeys(ALL, "unreachable")


def alias(service: str) -> str:
    return f"remoteit-{service.lower().replace(':', '-')}"


def check_keys(
    fleet: Fleet, how: str | None, known_hosts: Path | None = None, variables: dict[str, Any] | None = None
) -> None:
    """Set how ssh checks host keys, for all hosts or in these variables; ``None`` leaves it to ssh."""
    words = [f"-o 'UserKnownHostsFile=\"{known_hosts or fleet.known_hosts}\"'"]
    if how is not None:
        words.append(f"-o StrictHostKeyChecking={how}")
    target = fleet.inventory["fleet"]["vars"] if variables is None else variables
    target["ansible_ssh_common_args"] = " ".join(words)


@pytest.mark.every_engine
def test_unknown_key_is_refused_and_says_how_to_record_it(fleet: Fleet) -> None:
    """The arguments of the command line stand beside those of the inventory's ``ansible_ssh_args``."""
    del fleet.inventory["fleet"]["vars"]["ansible_ssh_common_args"]
    fleet.inventory["fleet"]["vars"]["ansible_ssh_args"] = f"-F /dev/null -o UserKnownHostsFile={fleet.known_hosts}"
    fleet.inventory["fleet"]["vars"]["remoteit_wait_timeout"] = 600  # waiting does not help
    run = fleet.run(PLAYS)
    assert run.rc == 4
    assert run.status("who") == ALL_UNREACHABLE
    advice = "--ssh-extra-args='-o StrictHostKeyChecking=accept-new'"
    for device, service in zip(ALL, fleet.services, strict=True):
        assert advice in run.message("who", device)
        assert alias(service) in run.message("who", device)
    assert not fleet.known_hosts.exists()
    assert [entry["uses"] for entry in run.connections] == [1, 1, 1]
    assert fleet.run(PLAYS, *shlex.split(advice)).rc == 0
    assert len(fleet.known_hosts.read_text().splitlines()) == 3


@pytest.mark.skipif(shutil.which("script") is None, reason="script is not installed")
def test_unknown_key_with_a_terminal(fleet: Fleet) -> None:
    """From ansible-core 2.19 on a worker has no terminal, so ssh cannot ask for confirmation."""
    check_keys(fleet, None)
    command = [fleet.ansible_playbook, "-i", fleet.write_inventory(), str(fleet.write("play.yml", PLAYS))]
    done = subprocess.run(
        ["script", "--quiet", "--return", "--command", shlex.join(command), "/dev/null"],
        env={**fleet.environ, "TEST_JOURNAL": str(fleet.directory / "journal"), "COLUMNS": "1000"}, cwd=fleet.project,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.returncode == 4
    assert "StrictHostKeyChecking=accept-new" in one_line(done.stdout)
    assert not fleet.known_hosts.exists()


@pytest.mark.every_engine
def test_recorded_keys_outlive_the_ports(fleet: Fleet) -> None:
    check_keys(fleet, "accept-new")
    first = fleet.run(PLAYS)
    assert first.rc == 0
    recorded = fleet.known_hosts.read_text().splitlines()
    assert sorted(line.split()[0] for line in recorded) == sorted(map(alias, fleet.services))
    check_keys(fleet, "yes")
    second = fleet.run(PLAYS)
    assert second.rc == 0
    assert second.stdout_of("who") == themselves(*ALL)
    assert fleet.known_hosts.read_text().splitlines() == recorded
    assert {entry["port"] for entry in first.connections}.isdisjoint(entry["port"] for entry in second.connections)


def test_changed_key_is_refused_and_says_how_to_remove_it(fleet: Fleet, subtests: Any) -> None:
    """Each host checks keys in another way. Each path is difficult in another way."""
    checks: dict[str, tuple[str | None, str]] = {
        FIRST: (None, "known_hosts"),
        SECOND: ("yes", "jörg/known_hosts"),
        THIRD: ("accept-new", "host:22/known_hosts"),
        "pi-0004": (None, "known  hosts: mine"),
    }
    hosts = fleet.inventory["fleet"]["hosts"]
    hosts |= {name: {"remoteit_deviceaddress": fleet.simulator.service(name)} for name in ("pi-0004", "pi-0005")}

    for host in hosts:
        path = fleet.directory / checks.get(host, (None, "known_hosts"))[1]
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as known_hosts:
            known_hosts.write(fleet.known_host(host))
        check_keys(fleet, "accept-new", path, hosts[host])
    recorded = {name: (fleet.directory / name).read_text() for _unused, name in checks.values()}
    for host, (checking, name) in checks.items():
        fleet.simulator.device(host, rekey=True)
        check_keys(fleet, checking, fleet.directory / name, hosts[host])
    run = fleet.run(PLAYS)
    assert run.rc == 4
    assert run.stdout_of("who") == {**themselves("pi-0005"), **dict.fromkeys(checks, "")}
    assert {name: (fleet.directory / name).read_text() for name in recorded} == recorded
    for host, (_unused, name) in checks.items():
        with subtests.test(host):
            assert run.status("who")[host] == "unreachable"
            address = hosts[host]["remoteit_deviceaddress"]
            remove = ["ssh-keygen", "-R", alias(address), "-f", str(fleet.directory / name)]
            assert f"{shlex.join(remove)}. " in str(run.result("who", host)["msg"])
            subprocess.run(remove, check=True, capture_output=True)
        check_keys(fleet, "accept-new", fleet.directory / name, hosts[host])
    assert fleet.run(PLAYS).stdout_of("who") == themselves(*hosts)


def test_proxy_of_another_device_is_refused(fleet: Fleet) -> None:
    check_keys(fleet, "yes")
    fleet.known_hosts.write_text("".join(map(fleet.known_host, ALL)))
    wrong = fleet.simulator.connect(THIRD)
    override = {"connection": {"proxyport": str(wrong["port"]), "proxyServerPort": wrong["port"]}}
    fleet.simulator.inject_fault(fleet.services[0], call="connect", fault="body", override=override)
    run = fleet.run(PLAYS)
    assert run.rc == 4
    assert run.stdout_of("who") == {**themselves(SECOND, THIRD), FIRST: ""}
    assert alias(fleet.services[0]) in run.message("who", FIRST)


def test_checking_follows_the_setting_of_ansible(fleet: Fleet) -> None:
    check_keys(fleet, None)
    fleet.environ["ANSIBLE_HOST_KEY_CHECKING"] = "false"
    run = fleet.run(PLAYS)
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*ALL)


@pytest.mark.parametrize("arguments", ["", "-q"])
def test_refused_login_is_reported_without_waiting(fleet: Fleet, arguments: str) -> None:
    variables = {"ansible_user": "nobody", "remoteit_wait_timeout": 600, "ansible_ssh_extra_args": arguments}
    fleet.inventory["fleet"]["vars"] |= variables
    run = fleet.run(PLAYS)
    assert run.rc == 4
    assert run.status("who") == ALL_UNREACHABLE
    assert all("ansible_user" in run.message("who", device) for device in ALL)
    assert [entry["uses"] for entry in run.connections] == [1, 1, 1]
