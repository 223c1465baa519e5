# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each recipe of the page runs as far as the simulator allows. ``Fleet`` asserts that no connection stays open."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

import openssh
import pytest
from conftest import Fleet, play, raw, task, themselves, who
from documentation import named


@pytest.fixture(autouse=True)
def kiosks(fleet: Fleet) -> None:
    fleet.inventory["kiosks"] = {"children": {"fleet": {}}}


def test_waves_stop_when_a_wave_fails(fleet: Fleet) -> None:
    """A wave in which all devices fail would stop the run without ``max_fail_percentage``."""
    fleet.write("roles/kiosk/tasks/main.yml", [raw("update", "cat device-name; [ $(cat device-name) != pi-0002 ]")])
    (waves,) = named("recipe-waves").data
    run = fleet.run([{**waves, "serial": [2, 1]}])
    assert run.rc != 0
    assert run.status("update") == {"pi-0001": "changed", "pi-0002": "failed"}
    assert {entry["device"] for entry in run.connections} == {"pi-0001", "pi-0002"}
    run.assert_all_closed()


def prepare_keys(fleet: Fleet) -> list[str]:
    """Write the old and the new key of the controller, authorize the old one, and return both public keys."""
    keys = fleet.home / ".ssh"
    keys.mkdir()
    old = openssh.run("ssh-keygen", "-y", "-f", fleet.simulator.state["ssh_private_key_file"])
    (keys / "fleet.pub").write_text(old)
    openssh.make_key(keys / "fleet_new")
    for device in fleet.devices:
        authorized_keys(fleet, device).parent.mkdir(parents=True)
        authorized_keys(fleet, device).write_text(old)
    return [old.strip(), (keys / "fleet_new.pub").read_text().strip()]


def authorized_keys(fleet: Fleet, device: str) -> Path:
    return fleet.simulator.home(device) / ".ssh" / "authorized_keys"


def test_key_rotation_replaces_the_key(fleet: Fleet) -> None:
    fleet.use_devices(2)
    _old, new = prepare_keys(fleet)
    run = fleet.run(named("recipe-rotate-keys").data)
    assert run.rc == 0
    run.assert_all_closed()
    assert {entry["device"] for entry in run.connections} == set(fleet.devices)
    for device in fleet.devices:
        assert authorized_keys(fleet, device).read_text().splitlines() == [new]


def test_key_rotation_keeps_the_old_key_if_login_fails(fleet: Fleet) -> None:
    """The new public key is not that of the new private key."""
    fleet.use_devices(1)
    old, new = prepare_keys(fleet)
    (fleet.home / ".ssh/fleet_new").unlink()
    openssh.make_key(fleet.home / ".ssh/fleet_new")
    (fleet.home / ".ssh/fleet_new.pub").write_text(f"{new}\n")
    run = fleet.run(named("recipe-rotate-keys").data)
    assert run.rc != 0
    assert authorized_keys(fleet, "pi-0001").read_text().splitlines() == [old, new]
    run.assert_all_closed()


def test_host_keys_are_recorded_once(fleet: Fleet) -> None:
    program, option, inventory, pattern, *arguments = shlex.split(named("recipe-host-keys").code)
    assert (program, option, inventory) == ("ansible", "-i", "inventory.yml")
    variables = fleet.inventory["fleet"]["vars"]
    del variables["ansible_ssh_common_args"]
    variables["ansible_ssh_args"] = f"-F /dev/null -o UserKnownHostsFile={fleet.known_hosts}"
    assert fleet.ad_hoc(pattern, *arguments).rc == 0
    assert len(fleet.known_hosts.read_text().splitlines()) == len(fleet.devices)
    fleet.simulator.device("pi-0002", rekey=True)
    run = fleet.run([play(who(), hosts="kiosks")])
    assert run.stdout_of("who") == {**themselves("pi-0001", "pi-0003"), "pi-0002": ""}
    run.assert_all_closed()


def test_customer_uses_its_account(fleet: Fleet) -> None:
    """The hosts of the other customer use the environment, which has the token of the other API."""
    state = fleet.simulator.state
    fleet.environ["REMOTEIT_GRAPHQL_URL"] = state["graphql_url"]
    fleet.inventory["museum"] = {"hosts": {"pi-0001": {}}}
    variables = named("recipe-customer")
    fleet.write(str(variables.title), variables.code)
    names = ("access_key_id", "secret_access_key")
    vault = fleet.write("group_vars/museum/vault.yml", {f"vault_museum_{name}": state[name] for name in names})
    password = ("--vault-password-file", str(fleet.write("password", "a password")))
    openssh.run(Path(fleet.ansible_playbook).with_name("ansible-vault"), "encrypt", *password, vault)
    run = fleet.run([play(who(), hosts="kiosks")], *password)
    assert run.stdout_of("who") == themselves(*fleet.devices)
    apis = {call["deviceaddress"]: call["api"] for call in run.requests if call["call"] == "connect"}
    assert apis == dict(zip(fleet.services, ["graphql", "rest", "rest"], strict=True))
    run.assert_all_closed()


def test_jump_host_and_its_address_are_used(fleet: Fleet) -> None:
    """A device of the simulator is the jump host. ``test_openssh.py`` uses one with another address."""
    fleet.use_devices(2)
    jump = fleet.simulator.connect("pi-0003")
    variables = named("recipe-jump-host").data
    trust = f"UserKnownHostsFile {fleet.known_hosts}\nStrictHostKeyChecking accept-new\n"
    user, key = (fleet.simulator.state[name] for name in ("ssh_user", "ssh_private_key_file"))
    login = f"HostName {jump['host']}\nPort {jump['port']}\nUser {user}\nIdentityFile {key}\n"
    config = fleet.write("ssh_config", f"{trust}Host bastion.example.com\n{login}")
    fleet.environ["ANSIBLE_SSH_ARGS"] = f"-F {config}"
    fleet.inventory["fleet"]["vars"] |= {**variables, "remoteit_hostip": "127.0.0.1"}
    run = fleet.run([play(who(), hosts="kiosks")])
    assert run.stdout_of("who") == themselves(*fleet.devices)
    assert {entry["hostip"] for entry in run.connections} == {"127.0.0.1"}
    assert fleet.simulator.connection(jump["connectionid"])["uses"] > 0
    run.assert_all_closed()


def test_company_proxy_is_for_the_api_only(fleet: Fleet) -> None:
    """Nothing listens at the address of the HTTPS proxy, so no API request arrives."""
    export, command = named("recipe-company-proxy").code.splitlines()
    (variable, _proxy) = export.removeprefix("export ").split("=")
    assert command == "ansible-playbook -i inventory.yml update.yml"
    fleet.use_devices(1)
    environ: dict[str, str | None] = {variable: "http://127.0.0.1:1", "NO_PROXY": None, "no_proxy": None}
    environ["REMOTEIT_API_URL"] = "https://api.example.com/apv/v27"
    run = fleet.run([play(who(), hosts="kiosks")], environ=environ)
    assert run.status("who") == {"pi-0001": "unreachable"}
    assert "proxy" in run.message("who").lower()
    assert run.requests == []


def test_timer_of_ansible_pull_is_installed(fleet: Fleet) -> None:
    """``crontab`` of the device is replaced by a script that writes a file."""
    fleet.use_devices(1)
    (pull,) = named("recipe-pull").data
    script = '[ "$1" = -l ] && exit 1\nfor file; do :; done\ncat "$file" >"$HOME/crontab"\n'
    with program(fleet, "pi-0001", "crontab", script):
        run = fleet.run([pull])
    assert run.rc == 0
    (job,) = (each["ansible.builtin.cron"]["job"] for each in pull["tasks"])
    assert f"@hourly {job}" in (fleet.simulator.home("pi-0001") / "crontab").read_text()
    run.assert_all_closed()


@contextlib.contextmanager
def program(fleet: Fleet, device: str, name: str, script: str) -> Iterator[None]:
    """Install a shell script on the device. Other tests use the same devices."""
    path = fleet.simulator.home(device) / "bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)
    try:
        yield
    finally:
        path.unlink()


@pytest.mark.every_engine
def test_powershell_command_reaches_windows(fleet: Fleet) -> None:
    """A script instead of PowerShell gets the same arguments as by ansible.builtin.ssh. No Windows is involved."""
    fleet.use_devices(2)
    ours, plain = fleet.devices
    fleet.inventory["fleet"]["vars"] |= named("recipe-windows").data
    fleet.inventory["fleet"]["hosts"][plain] |= fleet.plain_way(plain)
    fleet.write("library/probe.ps1", "#!powershell\n#Requires -Module Ansible.ModuleUtils.Legacy\n")
    script = """printf '%s\\n' "$@" >"$HOME/arguments"; wc -c >"$HOME/input"; echo '{"changed": false}'\n"""
    with contextlib.ExitStack() as stack:
        for device in fleet.devices:
            for name in ("PowerShell", "powershell"):
                stack.enter_context(program(fleet, device, name, script))
        run = fleet.run([play(task("module", probe={}), hosts="kiosks")])
    homes = {device: fleet.simulator.home(device) for device in fleet.devices}
    arguments = {device: (home / "arguments").read_text().splitlines() for device, home in homes.items()}
    assert "-EncodedCommand" in arguments[ours]
    assert arguments[ours] == arguments[plain]
    assert int((homes[ours] / "input").read_text()) > 0
    assert run.status("module") == {ours: "ok", plain: "ok"}
    assert [entry["device"] for entry in run.connections] == [ours]
    run.assert_all_closed()
