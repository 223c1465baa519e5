# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection plugin against the ``sshd`` of OpenSSH, and against ``sudo``.

Each device is one ``sshd`` on this machine, to which the proxies of its service lead. Their users are the same, so a
device proves its name by a variable that its ``sshd`` sets, and by its log.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openssh
import pytest
from conftest import ENGINES, Fleet, Run, play, raw
from openssh import Server, User
from support import Simulator

pytestmark = [
    pytest.mark.skipif(openssh.SSHD is None, reason="sshd is not installed"),
    pytest.mark.skipif(openssh.PYTHON is None, reason="the system has no Python"),
]
needs_root = pytest.mark.skipif(not openssh.IS_ROOT, reason="only root can make a user with a password")
needs_sudo = pytest.mark.skipif(openssh.SUDO is None, reason="sudo is not installed")
needs_sshpass = pytest.mark.skipif(openssh.SSHPASS is None, reason="sshpass is not installed")
every_engine = pytest.mark.every_engine

DEVICES = ("pi-0001", "pi-0002")
WHO = raw("who", "printenv DEVICE")


@dataclasses.dataclass(frozen=True)
class Site:
    """The devices as servers, and their user."""

    directory: Path
    user: User
    servers: dict[str, Server]

    @property
    def login(self) -> dict[str, Any]:
        """The variables by which Ansible logs in with the key."""
        return {
            "ansible_user": self.user.name,
            "ansible_ssh_private_key_file": str(self.directory / "client"),
            "ansible_python_interpreter": openssh.PYTHON,
            "ansible_remote_tmp": f"{self.directory}/transfers/tmp-{{{{ inventory_hostname }}}}",
        }

    def copied(self, device: str) -> Path:
        return self.directory / "transfers" / f"copied-{device}"


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    with openssh.temporary_user() as user:
        yield user


@pytest.fixture
def site(fleet: Fleet, user: User) -> Iterator[Site]:
    with openssh.public_folder() as directory:
        servers: dict[str, Server] = {}
        try:
            for device in DEVICES:
                servers[device] = Server(directory, device)
            forward_to(fleet.simulator, servers)
            site = Site(directory, user, servers)
            fleet.inventory["fleet"]["vars"] |= site.login
            fleet.inventory["fleet"]["hosts"] = {
                device: {"remoteit_deviceaddress": fleet.simulator.service(device)} for device in servers
            }
            yield site
        finally:
            for server in servers.values():
                server.end()


def forward_to(simulator: Simulator, servers: dict[str, Server]) -> None:
    """Forward the proxies of the devices to the servers."""
    for device, server in servers.items():
        simulator.device(device, ports={simulator.service(device): server.port})


def plays_of(*tasks: dict[str, Any], **keywords: Any) -> list[dict[str, Any]]:
    return [play(*tasks, **keywords)]


def assert_who(run: Run, site: Site, task: str = "who") -> None:
    """Each host ran on its own device, through one connection."""
    assert run.stdout_of(task) == {device: device for device in site.servers}
    assert sorted(entry["device"] for entry in run.connections) == sorted(site.servers)
    assert {entry["closed_by"] for entry in run.connections} == {"stop"}


# -- transfer ----------------------------------------------------------------------------------------------------------


METHODS: dict[str, tuple[dict[str, str], str]] = {
    "sftp": ({"ansible_ssh_transfer_method": "sftp"}, "subsystem 'sftp'"),
    "scp": ({"ansible_ssh_transfer_method": "scp"}, "subsystem 'sftp'"),  # scp of OpenSSH 9
    "scp -O": ({"ansible_ssh_transfer_method": "scp", "ansible_scp_extra_args": "-O"}, "command"),
    "piped": ({"ansible_ssh_transfer_method": "piped"}, "command"),
    "smart": ({"ansible_ssh_transfer_method": "smart"}, "subsystem 'sftp'"),
}


@every_engine
def test_files_are_transferred_by_every_method(fleet: Fleet, site: Site, subtests: Any) -> None:
    """By another one for each device. Modules as well, because there is no pipelining."""
    fleet.environ["ANSIBLE_PIPELINING"] = "0"
    devices = dict(zip(METHODS, (f"pi-{number:04}" for number in range(1, 1 + len(METHODS))), strict=True))
    for device in devices.values():
        if device not in site.servers:
            site.servers[device] = Server(site.directory, device)
    forward_to(fleet.simulator, site.servers)
    fleet.inventory["fleet"]["hosts"] = {
        device: {"remoteit_deviceaddress": fleet.simulator.service(device), **METHODS[method][0]}
        for method, device in devices.items()
    }
    content = "words with spaces, %h and 'quotes'\n" * 3000
    fleet.write("a file", content)
    copied = str(site.copied("{{ inventory_hostname }}"))
    copy = {"src": "a file", "dest": copied}
    fetch = {"src": copied, "dest": "fetched/{{ inventory_hostname }}", "flat": True}
    run = fleet.run(plays_of(WHO, {"name": "copy", "copy": copy}, {"name": "fetch", "fetch": fetch}))
    assert run.rc == 0
    assert_who(run, site)
    for method, device in devices.items():
        with subtests.test(method):
            server = site.servers[device]
            assert site.copied(device).read_text() == content
            assert (fleet.project / "fetched" / device).read_text() == content
            assert server.sessions(METHODS[method][1]) >= 2
            masters = 2 if method == "scp -O" else 1  # arguments of scp can choose another user
            assert server.logins() == [("publickey", site.user.name)] * masters


@every_engine
def test_terminal_is_allocated(fleet: Fleet, site: Site) -> None:
    """Without pipelining ansible-core asks for a terminal; ``-tt`` in the arguments always asks for one."""
    first, second = fleet.inventory["fleet"]["hosts"].values()
    first["ansible_pipelining"] = False
    second |= {"ansible_ssh_use_tty": False, "ansible_ssh_extra_args": "-tt"}
    fleet.record_ssh()
    run = fleet.run(plays_of({"name": "tty", "ansible.builtin.raw": "tty; printenv DEVICE"}))
    assert run.rc == 0
    for device in site.servers:
        terminal, name = run.stdout_of("tty")[device].split()
        assert terminal.startswith("/dev/")
        assert name == device
    calls = [argv for argv in run.ssh_calls if "printenv DEVICE" in argv[-1]]
    assert [argv.count("-tt") for argv in calls] == [1] * len(site.servers)


# -- login and become --------------------------------------------------------------------------------------------------


@needs_root
@needs_sudo
@every_engine
def test_become_with_a_password(fleet: Fleet, site: Site) -> None:
    """One host uses a terminal, the other one pipelining."""
    for variables, pipelining in zip(fleet.inventory["fleet"]["hosts"].values(), (False, True), strict=True):
        variables["ansible_pipelining"] = pipelining
    fleet.inventory["fleet"]["vars"]["ansible_become_password"] = site.user.password
    command = {"name": "command", "ansible.builtin.command": "printenv USER SUDO_USER"}
    copy = {"content": "root's\n", "dest": str(site.copied("{{ inventory_hostname }}")), "mode": "0600"}
    run = fleet.run(
        plays_of(
            {**WHO, "become": False},
            command,
            {"name": "raw", "ansible.builtin.raw": "id -u"},
            {"name": "copy", "ansible.builtin.copy": copy},
            become=True,
        )
    )
    assert run.rc == 0
    assert_who(run, site)
    for device in site.servers:
        assert run.result("command", device)["stdout_lines"] == ["root", site.user.name]
        assert run.stdout_of("raw")[device].split()[-1] == "0"
        assert site.copied(device).stat().st_uid == 0
        assert site.copied(device).read_text() == "root's\n"
    assert site.user.password
    assert site.user.password not in run.text


@needs_root
@needs_sudo
def test_wrong_become_password_is_no_lost_connection(fleet: Fleet, site: Site) -> None:
    """The task fails on its host, and the host stays reachable."""
    first, *others = site.servers
    fleet.inventory["fleet"]["vars"]["ansible_become_password"] = site.user.password
    fleet.inventory["fleet"]["hosts"][first]["ansible_become_password"] = "wrong"
    become = {"name": "become", "ansible.builtin.raw": "id -un", "become": True, "ignore_errors": True}
    run = fleet.run(plays_of(become, WHO))
    assert run.rc == 0
    assert run.status("become") == {first: "ignored", **dict.fromkeys(others, "changed")}
    assert_who(run, site)


password_mechanisms = pytest.mark.parametrize(
    ("engine", "mechanism"),
    [
        pytest.param(ENGINES[0], "sshpass", marks=needs_sshpass, id="sshpass"),
        pytest.param(ENGINES[-1], "ssh_askpass", id="askpass"),
    ],
)


@needs_root
@password_mechanisms
def test_login_with_a_password(fleet: Fleet, site: Site, engine: Path, mechanism: str) -> None:
    fleet.environ["ANSIBLE_PIPELINING"] = "0"
    variables = fleet.inventory["fleet"]["vars"]
    del variables["ansible_ssh_private_key_file"]
    variables |= {"ansible_password": site.user.password}
    variables["ansible_ssh_password_mechanism"] = mechanism
    fleet.write("script.sh", "#!/bin/sh\nprintenv DEVICE\n")
    run = fleet.run(plays_of(WHO, {"name": "script", "ansible.builtin.script": "script.sh"}))
    assert run.rc == 0
    assert_who(run, site)
    assert_who(run, site, "script")
    for server in site.servers.values():
        assert set(server.logins()) == {("password", site.user.name)}
    assert site.user.password
    assert site.user.password not in run.text


@pytest.mark.parametrize("mechanism", [pytest.param("sshpass", marks=needs_sshpass), "ssh_askpass"])
def test_refused_host_key_with_a_password_is_explained(fleet: Fleet, site: Site, mechanism: str, subtests: Any) -> None:
    """ansible-core replaces the messages of ssh with its own error, the same for each of them."""
    service = fleet.simulator.service("pi-0001")
    alias = f"remoteit-{service.lower().replace(':', '-')}"
    other_key = (site.directory / "client.pub").read_text()
    known = {"unknown": "", "changed": f"{alias} {other_key}"}
    known["revoked"] = f"@revoked * {(site.directory / 'pi-0001.key.pub').read_text()}"
    advice = {"unknown": "accept-new", "changed": f"ssh-keygen -R {alias}", "revoked": "marked as revoked"}
    variables = fleet.inventory["fleet"]["vars"]
    del variables["ansible_ssh_private_key_file"]
    variables |= {"ansible_password": "secret", "ansible_ssh_password_mechanism": mechanism}
    fleet.inventory["fleet"]["hosts"] = {
        case: {
            "remoteit_deviceaddress": service,
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={fleet.write(case, recorded)}",
        }
        for case, recorded in known.items()
    }
    run = fleet.run(plays_of(WHO))
    for case, words in advice.items():
        with subtests.test(case):
            assert run.status("who")[case] == "unreachable"
            assert words in run.message("who", case)
            assert ("accept-new" in run.message("who", case)) is (case == "unknown")
    assert "Failed password" not in site.servers["pi-0001"].log


@every_engine
def test_login_with_an_agent(fleet: Fleet, site: Site) -> None:
    """With pipelining, no module is transferred."""
    del fleet.inventory["fleet"]["vars"]["ansible_ssh_private_key_file"]
    with openssh.agent(site.directory / "client") as socket:
        (site.directory / "client").unlink()
        fleet.environ["SSH_AUTH_SOCK"] = str(socket)
        run = fleet.run(plays_of(WHO, {"name": "module", "ansible.builtin.command": "printenv DEVICE"}))
    assert run.rc == 0
    assert_who(run, site)
    assert_who(run, site, "module")
    for server in site.servers.values():
        assert server.logins() == [("publickey", site.user.name)]
        assert server.sessions("subsystem 'sftp'") == 0


def test_refused_login_is_explained(fleet: Fleet, site: Site, subtests: Any) -> None:
    """ssh tries each login once, even if it is quiet."""
    server = site.servers["pi-0001"]
    service = fleet.simulator.service("pi-0001")
    alias = f"remoteit-{service.lower().replace(':', '-')}"
    openssh.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", site.directory / "encrypted")
    for number in range(8):
        openssh.make_key(site.directory / f"other{number}")
    other_key = (site.directory / "other0.pub").read_text()
    command = fleet.write("known_hosts.sh", f"#!/bin/sh\necho {alias} {other_key}")
    command.chmod(0o755)
    other_keys = " ".join(f"-o IdentityFile={site.directory}/other{number}" for number in range(8))
    cases = {
        "command": (f"-o KnownHostsCommand={command}", ("KnownHostsCommand returns for", alias)),
        "unreadable": ("-o RevokedHostKeys=/nonexistent", ("ssh cannot read the file '/nonexistent' of Revoked",)),
        "revoked": (f"-o RevokedHostKeys={site.directory}/pi-0001.key.pub", ("is marked as revoked",)),
        "cipher": ("-q -o Ciphers=3des-cbc", ("have no cipher in common", "check Ciphers in")),
        "keys": (other_keys, ("before ssh has tried all keys", "IdentitiesOnly=yes")),
        "quiet": (f"-q -o IdentityFile={site.directory}/other0", ("Check ansible_user", "Permission denied")),
        "verbose": (f"-vvv -o IdentityFile={site.directory}/other0", ("Check ansible_user", "Permission denied")),
        "passphrase": (f"-o IdentityFile={site.directory}/encrypted", ("add the key to ssh-agent",)),
    }  # fmt: skip
    variables = fleet.inventory["fleet"]["vars"]
    del variables["ansible_ssh_private_key_file"]
    trusted = fleet.write("recorded", f"{alias} {(site.directory / 'pi-0001.key.pub').read_text()}")
    hosts: dict[str, dict[str, Any]] = {}
    for case, (arguments, _unused) in cases.items():
        recorded = "/dev/null" if case == "command" else trusted
        trust = f"-o StrictHostKeyChecking=yes -o UserKnownHostsFile={recorded}"
        hosts[case] = {"remoteit_deviceaddress": service, "ansible_ssh_common_args": f"{trust} {arguments}"}
    fleet.inventory["fleet"]["hosts"] = hosts
    run = fleet.run(plays_of(WHO))
    for case, (_unused, words) in cases.items():
        with subtests.test(case):
            assert run.status("who")[case] == "unreachable"
            assert not [word for word in words if word not in run.message("who", case)]
            assert ("accept-new" in run.message("who", case)) is False
    assert server.log.count("Connection from ") == len(cases)


@every_engine
def test_reset_connection_ends_the_login(fleet: Fleet, site: Site) -> None:
    """A new login is needed afterwards, through the same proxy connection. The path of the sockets has blanks."""
    fleet.runtime /= "100% of  it"
    fleet.runtime.mkdir()
    fleet.environ["XDG_RUNTIME_DIR"] = str(fleet.runtime)
    run = fleet.run(plays_of(WHO, {"meta": "reset_connection"}, {**WHO, "name": "again"}))
    assert run.rc == 0
    assert_who(run, site)
    assert_who(run, site, "again")
    for server in site.servers.values():
        assert server.logins() == [("publickey", site.user.name)] * 2


# -- a jump host -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ["", "-q"])
def test_lost_connection_behind_a_jump_host_is_opened_again(fleet: Fleet, site: Site, arguments: str) -> None:
    """With ControlPersist, ssh hides that the jump host cannot connect to the proxy."""
    jump_host = Server(site.directory, "jump")
    config = fleet.write("ssh_config", jump_config(site, jump_host, fleet.known_hosts))
    fleet.environ["ANSIBLE_SSH_ARGS"] = f"-o ControlMaster=auto -o ControlPersist=60s -F {config} -J jump {arguments}"

    def stop() -> None:
        for entry in fleet.simulator.open_connections():
            fleet.simulator.stop(entry)

    try:
        run = fleet.run(
            plays_of(WHO, fleet.wait_here(), {**WHO, "name": "again"}),
            while_running=fleet.once(lambda: fleet.has_ended("who", len(DEVICES)), stop),
        )
    finally:
        jump_host.end()
    assert run.rc == 0
    assert run.stdout_of("again") == {device: device for device in site.servers}
    assert len(run.connections) == 2 * len(DEVICES)
    for server in site.servers.values():
        assert server.sessions("command") == 2


@pytest.fixture(scope="module")
def network() -> Iterator[openssh.Network]:
    with openssh.network() as network:
        if network is None:
            pytest.skip("this user may not make a network namespace")
        yield network


@pytest.fixture
def far_simulator(tmp_path: Path, network: openssh.Network) -> Iterator[Simulator]:
    """A simulator whose proxies can be reached from the network namespace."""
    directory = tmp_path / "far"
    directory.mkdir()
    simulator = Simulator(directory, "--devices", "3", "--proxy-host", network.here)
    yield simulator
    simulator.end()


@pytest.mark.each_api
@pytest.mark.parametrize("restriction", ["latching", "address"])
def test_jump_host_is_the_only_client_of_the_proxies(
    far_simulator: Simulator, network: openssh.Network, user: User, tmp_path: Path,
    api: str, restriction: str, engine: Path,
) -> None:  # fmt: skip
    """The batch is opened ahead, one task at a time: nothing but the jump host connects to a proxy meanwhile."""
    (tmp_path / "fleet").mkdir()
    with tempfile.TemporaryDirectory(prefix="rf-", dir="/tmp") as runtime, openssh.public_folder() as directory:
        fleet = Fleet(far_simulator, tmp_path / "fleet", Path(runtime), api)
        fleet.ansible_playbook = str(engine)
        for device in fleet.devices:
            if device not in DEVICES:
                del fleet.inventory["fleet"]["hosts"][device]
        servers = {device: Server(directory, device) for device in DEVICES}
        jump_host = Server(directory, "jump", network.there, network.prefix)
        forward_to(far_simulator, servers)
        site = Site(directory, user, servers)
        fleet.inventory["fleet"]["vars"] |= site.login
        if restriction == "address":
            fleet.inventory["fleet"]["vars"]["remoteit_hostip"] = network.there
        elif api == "rest":  # GraphQL latches by default
            fleet.inventory["fleet"]["vars"]["remoteit_hostip"] = "255.255.255.255"
        config = fleet.write("ssh_config", jump_config(site, jump_host, fleet.known_hosts))
        fleet.environ["ANSIBLE_SSH_ARGS"] = f"-o ControlMaster=auto -o ControlPersist=60s -F {config} -J jump"
        fleet.environ["ANSIBLE_PIPELINING"] = "0"
        try:
            module = {"name": "module", "ansible.builtin.command": "printenv DEVICE"}
            run = fleet.run(
                plays_of(WHO, module, {"meta": "reset_connection"}, {**WHO, "name": "again"}), "--forks", "1"
            )
        finally:
            fleet.end()
            for server in (*servers.values(), jump_host):
                server.end()
    assert run.rc == 0
    for name in ("who", "module", "again"):
        assert_who(run, site, name)
    assert {entry["restriction"] for entry in run.connections} == {restriction}
    assert [(entry["uses"], entry["refused"]) for entry in run.connections] == [(2, 0)] * len(DEVICES)
    if restriction == "latching":
        assert {entry["latched"] for entry in run.connections} == {network.there}


def jump_config(site: Site, server: Server, known_hosts: Path) -> str:
    return f"""\
        Host jump
            HostName {server.address}
            Port {server.port}
            User {site.user.name}
            IdentityFile {site.directory}/client
            UserKnownHostsFile {known_hosts}
            StrictHostKeyChecking accept-new
        """
