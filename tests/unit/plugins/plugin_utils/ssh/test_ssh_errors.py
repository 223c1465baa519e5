# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interpret messages of OpenSSH."""

from __future__ import annotations

import shlex
import socket

import pytest
from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure, AnsibleError

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.errors import (
    add_advice,
    is_before_login,
    is_logging_in,
    is_refused,
    jump_host_advice,
    jump_host_messages,
    may_be_before_login,
    may_be_logging_in,
    may_refuse_login,
    without_debug_messages,
)
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import ID, SERVICE

ALIAS = "remoteit-80-00-00-00-01-00-40-c5"
CLOSED = "Connection closed by UNKNOWN port 65535"
JUMP_HOST_CLOSED = f"kex_exchange_identification: Connection closed by remote host\n{CLOSED}"
DENIED = "pi@remoteit-x: Permission denied (publickey,password)."
OFFENDING = f"Offending ED25519 key in /home/me/.ssh/known_hosts:7\nHost key for {ALIAS} has changed"
BY_JUMP_HOST = (
    "channel 0: open failed: connect failed: Connection refused stdio forwarding failed"
    " Connection closed by UNKNOWN port 65535"
)

WRONG_ADDRESS = (
    "bind [203.0.113.9]: Cannot assign requested address ssh: connect to host p port 34168: failure",
    "getifaddrs: nope0: no suitable addresses ssh: connect to host p port 34168: failure",
    "ssh: Could not resolve hostname p: Address family for hostname not supported",
    "getaddrinfo: eth0: Name or service not known ssh: connect to host p port 34168: failure",
)
NO_PROXY_COMMAND = (
    "/bin/bash: line 1: /opt/nc: No such file or directory",
    "/bin/bash: line 1: exec: nc: not found",
    "/bin/sh: 1: exec: nc: not found",
    "sh: exec: line 0: nc: not found",
    "zsh:1: no such file or directory: /opt/nc",
    "zsh:1: command not found: nc",
    "/bin/bash: line 1: /etc/passwd: Permission denied",
    "/bin/bash: line 1: exec: /tmp: cannot execute: Is a directory",
    "zsh:1: permission denied: /etc/passwd",
)
INVALID_BANNER = "\nbanner exchange: Connection to {}: invalid format"
NOT_SSH = (
    f"kex_exchange_identification: banner line contains invalid characters{INVALID_BANNER}",
    f"kex_exchange_identification: banner line too long{INVALID_BANNER}",
    f"kex_exchange_identification: No SSH version received in first 1024 lines from server{INVALID_BANNER}",
    "Protocol major versions differ: 2 vs. 1\nbanner exchange: Connection to {}: could not read protocol version",
)
INVALID_ARGUMENTS = (
    "Can't open user config file /missing: No such file or directory",
    "Couldn't open logfile /missing/log: No such file or directory",
    "command-line line 0: Bad SSH2 cipher spec 'nosuch'.",
    "command-line: line 0: Bad configuration option: nosuch",
    "command-line line 0: invalid time value.",
    "/home/me/jump.conf: terminating, 1 bad configuration options",
    "unknown option -- Z\nusage: ssh [-46AaCfGgKkMNnqsTtVvXxYy] [-B bind_interface]",
    "Bad port 'abc'",
    "Bad stdio forwarding specification 'nosuch'",
    "Unknown mac type 'nosuch'",
    "Only a single -J option is permitted (use commas to separate multiple jump hops)",
    "Cannot fork into background without a command to execute.",
    "jumphost loop via jump",
    "vdollar_percent_expand: unknown key %q",
    "remote username contains invalid characters",
)
UNUSABLE_KEYS = (
    "Permissions 0644 for '/k/id' are too open. It is required that they are NOT accessible by others.",
    'Load key "/k/id": Is a directory',
    'Load key "/k/id": error in libcrypto',
    "no such identity: /k/id: No such file or directory",
    "Warning: Identity file /k/id not accessible: No such file or directory.",
)


def connection(url: str) -> Connection:
    host, port = url.removeprefix("http://").split(":")
    return Connection(SERVICE, ID, url, host, int(port), "tcp", False, "caller")


def refusal(of: Connection, port: int | None = None) -> str:
    return f"Failed to connect: ssh: connect to host {of.host} port {port or of.port}: Connection refused"


def test_is_refused_if_the_proxy_refuses(dead: str) -> None:
    proxy = connection(dead)
    assert is_refused(refusal(proxy), proxy, direct=True)


def test_is_refused_ignores_the_output_of_a_command(alive: str, dead: str) -> None:
    """A command can print the message of ssh, but cannot close the proxy."""
    proxy = connection(alive)
    assert not is_refused(refusal(proxy), proxy, direct=True)
    other = connection(dead)
    assert not is_refused(refusal(other, port=22), other, direct=True)
    assert not is_refused("connection refused", other, direct=True)


def test_is_refused_connects_only_to_a_refusing_proxy(listener: socket.socket, alive: str) -> None:
    """A proxy with latching accepts only the first client, which must be ssh."""
    listener.setblocking(False)
    is_refused(DENIED, connection(alive), direct=True)
    is_refused(refusal(connection(alive)), connection(alive), direct=False)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_is_refused_by_a_jump_host(dead: str) -> None:
    proxy = connection(dead)
    assert is_refused(BY_JUMP_HOST, proxy, direct=False)
    assert not is_refused(BY_JUMP_HOST, proxy, direct=True)
    assert not is_refused(refusal(proxy), proxy, direct=False)  # the jump host itself


@pytest.mark.parametrize(
    ("reason", "before"),
    [
        ("ssh: connect to host p port 34168: Connection timed out", True),
        ("ssh: connect to host p port 34168: No route to host", True),
        ("ssh: connect to host p port 22: Connection timed out", False),
        ("kex_exchange_identification: read: Connection reset Connection reset by 203.0.113.7 port 34168", True),
        ("kex_exchange_identification: read: Connection reset Connection reset by 192.0.2.7 port 22", False),
        # without a port, a command on the device could have printed it
        ("kex_exchange_identification: Connection closed by remote host", False),
        ("ssh_exchange_identification: read: Connection reset by peer", False),
        ("Connection timed out during banner exchange", False),
        ("Connection timed out during banner exchange\nConnection to 203.0.113.7 port 34168 timed out", True),
        ("Connection to 203.0.113.7 port 34168 timed out", False),  # also after a password was sent
        ("banner exchange: Connection to 203.0.113.7 port 34168: Broken pipe", True),
        ("banner exchange: Connection to 203.0.113.7 port 34168: Connection reset by peer", True),
        ("banner exchange: Connection to 203.0.113.7 port 34168: invalid format", False),
        ("banner exchange: Connection to 192.0.2.7 port 22: Broken pipe", False),
        (DENIED, False),
        (OFFENDING, False),
        ("Host key verification failed.", False),
        ("Shared connection to 203.0.113.7 closed.", False),
        ("Timeout, server 203.0.113.7 not responding.", False),
        ("client_loop: send disconnect: Broken pipe", False),
        ("", False),
    ],
)
def test_is_before_login_means_nothing_was_executed(reason: str, before: bool) -> None:
    assert is_before_login(reason, connection("http://203.0.113.7:34168"), direct=True) is before


def test_is_before_login_by_a_jump_host() -> None:
    proxy = connection("http://203.0.113.7:34168")
    closed = "kex_exchange_identification: Connection closed by remote host"
    assert is_before_login(f"{closed} Connection closed by UNKNOWN port 65535", proxy, direct=False)
    assert is_before_login("banner exchange: Connection to UNKNOWN port 65535: Broken pipe", proxy, direct=False)
    assert not is_before_login(f"{closed} Connection closed by 192.0.2.7 port 22", proxy, direct=False)


@pytest.mark.parametrize(
    ("reason", "may_be"),
    [
        ("kex_exchange_identification: Connection closed by remote host", True),  # with LogLevel ERROR
        ("kex_exchange_identification: read: Connection reset Connection closed by UNKNOWN port 65535", True),
        ("kex_exchange_identification: read: Connection reset Connection closed by 192.0.2.7 port 22", False),
        (BY_JUMP_HOST, False),
        (f"{BY_JUMP_HOST} kex_exchange_identification: Connection closed by remote host", True),
        ("pi@192.0.2.7: Permission denied (publickey). kex_exchange_identification: closed", False),
        ("zsh:1: command not found: nc kex_exchange_identification: closed", False),
        ("Failed to connect to the host via ssh:", False),
        ("", False),
    ],
)
def test_may_be_before_login(reason: str, may_be: bool) -> None:
    assert may_be_before_login(reason) is may_be


@pytest.mark.parametrize(
    "reason",
    [
        "ssh: Could not resolve hostname jump: Name or service not known",
        "pi@192.0.2.7: Permission denied (publickey).",
        "Received disconnect from 192.0.2.7 port 22:2: Too many authentication failures",
        "Host key verification failed.",
        "Unable to negotiate with 192.0.2.7 port 22: no matching host key type found. Their offer: ssh-rsa",
    ],
)
def test_is_before_login_excludes_permanent_errors_of_a_jump_host(reason: str) -> None:
    closed = "kex_exchange_identification: Connection closed by remote host Connection closed by UNKNOWN port 65535"
    assert not is_before_login(f"{reason} {closed}", connection("http://203.0.113.7:34168"), direct=False)


@pytest.mark.parametrize("reason", WRONG_ADDRESS)
def test_is_before_login_excludes_a_wrong_address_of_this_machine(reason: str) -> None:
    assert not is_before_login(reason, connection("http://203.0.113.7:34168"), direct=True)


@pytest.mark.parametrize("reason", NO_PROXY_COMMAND)
def test_is_before_login_excludes_a_missing_proxy_command(reason: str) -> None:
    closed = "kex_exchange_identification: Connection closed by remote host Connection closed by UNKNOWN port 65535"
    proxy = connection("http://203.0.113.7:34168")
    assert not is_before_login(f"{reason} {closed}", proxy, direct=False)
    missing_file = "Warning: Identity file /k not accessible: No such file or directory."
    assert is_before_login(f"{missing_file} {closed}", proxy, direct=False)


@pytest.mark.parametrize("reason", NOT_SSH)
def test_is_before_login_excludes_another_protocol(reason: str) -> None:
    proxy = connection("http://203.0.113.7:34168")
    assert not is_before_login(reason.format("203.0.113.7 port 34168"), proxy, direct=True)
    assert not is_before_login(reason.format("UNKNOWN port 65535"), proxy, direct=False)


@pytest.mark.parametrize("reason", INVALID_ARGUMENTS)
def test_is_before_login_excludes_invalid_arguments(reason: str) -> None:
    proxy = connection("http://203.0.113.7:34168")
    assert not is_before_login(f"{reason}\n{JUMP_HOST_CLOSED}", proxy, direct=False)
    harmless = 'command-line line 0: Deprecated option "useroaming"\nUsage: ask Bad Usage'
    assert is_before_login(f"{harmless}\n{JUMP_HOST_CLOSED}", proxy, direct=False)


NOT_VERIFIED = "and you have requested strict checking. Host key verification failed."
FORWARDING_FAILED = "open failed stdio forwarding failed Connection closed by UNKNOWN port 65535"
CHANGED = f"REMOTE HOST IDENTIFICATION HAS CHANGED! Offending ED25519 key in /k:2\nHost key for {ALIAS} has changed"
REVOKED = "REVOKED HOST KEY DETECTED! The ED25519 host key for [192.0.2.7]:22 is marked as revoked."
UNREADABLE = "Error checking host key ED25519 SHA256:x in revoked keys file /k: nope Host key verification failed."
CERTIFICATE = "Certificate invalid: name is not a listed principal"
NO_CIPHER = "no matching cipher found. Their offer: aes128-ctr"
ADDED = f"Warning: Permanently added '{ALIAS}' (ED25519) to the list of known hosts."
TOO_MANY = "Too many authentication failures Disconnected from"
GAVE_UP = "Connection timed out during banner exchange\nConnection to UNKNOWN port 65535 timed out"
SILENT = 'Data could not be sent to remote host "pi". Make sure this host can be reached over ssh:'


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (OFFENDING, (f"ssh-keygen -R {ALIAS} -f /home/me/.ssh/known_hosts",)),
        (OFFENDING.replace("known_hosts", "known hosts"), ("-f '/home/me/.ssh/known hosts'",)),
        ("REMOTE HOST IDENTIFICATION HAS CHANGED!", (f"ssh-keygen -R {ALIAS} -f ~/.ssh/known_hosts",)),
        ("Host key verification failed.", ("StrictHostKeyChecking=accept-new", ALIAS)),
        ("@ WARNING: REVOKED HOST KEY DETECTED! @ Host key verification failed.", ("RevokedHostKeys",)),
        ("Host key ED25519 SHA256:x revoked by file /k Host key verification failed.", ("marked as revoked",)),
        (UNREADABLE, ("'/k' of RevokedHostKeys",)),
        (CHANGED.replace("/k:", "KnownHostsCommand-HOSTNAME:"), ("than the one that KnownHostsCommand returns", ALIAS)),
        (f"{CERTIFICATE} No ED25519 host key is known for {ALIAS} {NOT_VERIFIED}", (f"{CERTIFICATE!r}", ALIAS)),
        (CHANGED.replace(ALIAS, "jump"), ("'jump', which is not the device but a jump host, has changed",)),
        (f"{REVOKED} {CLOSED}", ("'[192.0.2.7]:22', which is not the device", "is marked as revoked. Find out why")),
        (f"Host key verification failed. {CLOSED}", ("a host, which is not the device but a jump host",)),
        (f"Unable to negotiate with 203.0.113.7 port 34168: {NO_CIPHER}", ("The device and ssh", "check Ciphers")),
        (f"Unable to negotiate with UNKNOWN port 65535: {NO_CIPHER}", ("The device and ssh", "check Ciphers")),
        (f"Unable to negotiate with 192.0.2.7 port 22: {NO_CIPHER} {CLOSED}", ("A jump host and ssh",)),
        ("Connection to 203.0.113.7 port 34168 timed out", ("ServerAliveInterval",)),
        ("Connection closed by 203.0.113.7 port 34168", ("The device closed the connection during the login",)),
        (GAVE_UP, ("did not connect in time", "ansible_ssh_timeout")),
        ("Bad server host key: Invalid key length", ("The host key of the device", "RequiredRSASize")),
        ("ssh_dispatch_run_fatal: Connection to 127.0.0.1 port 9: error in libcrypto", ("update-crypto-policies",)),
        (f"sign_and_send_pubkey: no mutual signature supported {DENIED}", ("PubkeyAcceptedAlgorithms",)),
        (f"Bad server host key: Invalid key length {CLOSED}", ("The host key of a jump host",)),
        (
            f"Received disconnect from 203.0.113.7 port 34168:2: {TOO_MANY}",
            ("IdentitiesOnly=yes", "PubkeyAuthentication=no"),
        ),
        (f"Received disconnect from UNKNOWN port 65535:2: {TOO_MANY}", ("IdentitiesOnly=yes",)),
        (f"Received disconnect from 192.0.2.7 port 22:2: {TOO_MANY} {CLOSED}", ("A jump host refuses the login",)),
        ("Failed to connect to the host via ssh:", ("LogLevel",)),
        ("Failed to connect to the host via ssh: <error censored due to no log>", ("LogLevel",)),
        (SILENT, ("LogLevel",)),
        (f"No ED25519 host key is known for {ALIAS} {NOT_VERIFIED}", ("accept-new", ALIAS)),
        (f"No ED25519 host key is known for jump.example {NOT_VERIFIED}", ("'jump.example', which is not the device",)),
        ("Using a SSH password instead of a key is not possible because Host Key checking is enabled", (ALIAS,)),
        ("sshpass error:", ("accept-new", ALIAS)),
        ("sshpass error: <error censored due to no log>", ("accept-new", ALIAS)),
        (DENIED, ("ansible_user", "ansible_password", "passphrase")),
        (f"channel 0: open failed: administratively prohibited: {FORWARDING_FAILED}", ("AllowTcpForwarding",)),
        ("Failed to connect to the host via ssh: Shared connection to 127.0.0.1 closed.", ("returned 255",)),
        (f"{ADDED}\nShared connection to 127.0.0.1 closed.", ("returned 255",)),
        (f"{DENIED} Connection closed by UNKNOWN port 65535", ("A jump host refuses the login",)),
        *((f"{key} {DENIED}", ("'/k/id'", "ansible_ssh_private_key_file")) for key in UNUSABLE_KEYS),
        *((reason.format("203.0.113.7 port 34168"), ("remoteit_service",)) for reason in NOT_SSH),
        *((reason.format("UNKNOWN port 65535"), ("remoteit_service",)) for reason in NOT_SSH),
        *((f"{reason.format('192.0.2.7 port 22')}\n{CLOSED}", ("A jump host responds",)) for reason in NOT_SSH),
        *((address, ("cannot connect from the address",)) for address in WRONG_ADDRESS),
        *((f"{shell} UNKNOWN port 65535", ("ProxyCommand cannot be executed",)) for shell in NO_PROXY_COMMAND),
    ],
)
def test_add_advice_keeps_the_reason(reason: str, words: tuple[str, ...]) -> None:
    message = str(add_advice(AnsibleConnectionFailure(reason), reason, ALIAS))
    assert all(word in message for word in (*words, " ".join(reason.split())))


def test_add_advice_explains_the_error_of_sshpass() -> None:
    """It ends ssh after the second request for the password, before ssh prints a reason."""
    advised = add_advice(AnsibleAuthenticationFailure("Invalid/incorrect password:"), ADDED, ALIAS)
    assert isinstance(advised, AnsibleAuthenticationFailure)
    assert "The login is refused. Check ansible_user, and ansible_password. " in str(advised)


@pytest.mark.parametrize(
    ("printed", "path"),
    [
        (r"/home/j\303\266rg/kh", "/home/jörg/kh"),
        ("/a:22/kh", "/a:22/kh"),
        ("/two  blanks", "/two  blanks"),
        (r"/a\\303", r"/a\303"),
    ],
)
def test_add_advice_shows_the_path_that_ssh_prints(printed: str, path: str) -> None:
    changed = f"Offending ED25519 key in {printed}:7\n  remove with:\nHost key for {ALIAS} has changed"
    refused = f'Load key "{printed}": nope\n{DENIED}'
    command = shlex.join(["ssh-keygen", "-R", ALIAS, "-f", path])
    assert f"{command}. " in str(add_advice(AnsibleConnectionFailure(changed), changed, ALIAS))
    assert repr(path) in str(add_advice(AnsibleConnectionFailure(refused), refused, ALIAS))


def test_debug_messages_are_removed() -> None:
    messages = (
        "OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.19\r\n"
        "Failed to connect to the host via ssh: debug1: Connecting\r\n/bin/sh: 1: exec: debug1: Local version 7\r\n"
        "/nonexistent/nc: not found\ndebug1: x\nConnection closed by UNKNOWN port 65535\r\ndebug1: end"
    )
    found = without_debug_messages(messages)
    assert found == "/bin/sh: 1: exec: /nonexistent/nc: not found\nConnection closed by UNKNOWN port 65535"
    assert not may_be_before_login(found)


def test_jump_host_may_refuse_the_login() -> None:
    assert may_refuse_login(JUMP_HOST_CLOSED)
    assert not may_refuse_login(f"Bad port 'abc'\n{JUMP_HOST_CLOSED}")
    assert may_refuse_login(f"Login incorrect\n{JUMP_HOST_CLOSED}")
    assert not may_refuse_login(f"ssh: connect to host jump port 22: Connection refused\n{JUMP_HOST_CLOSED}")
    assert not may_refuse_login(f"channel 0: open failed: connect failed: Connection refused\n{JUMP_HOST_CLOSED}")


def test_slow_login_to_a_jump_host_is_recognized() -> None:
    """ssh starts another one for ``ProxyJump``, with ``-v`` as well."""
    started = "debug1: Setting implicit ProxyCommand from ProxyJump: ssh -v -W '[%h]:%p' jump"
    begun = f"{started}\r\ndebug1: SSH2_MSG_SERVICE_ACCEPT received"
    through = f'{begun}\r\nAuthenticated to 192.0.2.7 ([192.0.2.7]:22) using "publickey".'
    assert is_logging_in(f"{begun}\r\n{GAVE_UP}")
    assert is_logging_in(f"{through}\r\ndebug1: SSH2_MSG_SERVICE_ACCEPT received\r\n{GAVE_UP}")
    assert not any(is_logging_in(f"{before}\r\n{GAVE_UP}") for before in (started, through))
    assert not is_logging_in(f"{begun}\r\n{CLOSED}")
    assert may_be_logging_in(GAVE_UP)
    assert not any(may_be_logging_in(text) for text in (CLOSED, f"{through}\r\n{GAVE_UP}"))
    assert "ansible_ssh_timeout" in jump_host_advice(GAVE_UP, "")
    assert "ansible_ssh_timeout" not in jump_host_advice(f"{started}\r\n{GAVE_UP}", "")
    assert "The jump host accepts the login" in jump_host_advice(f"{through}\r\n{GAVE_UP}", "")
    assert without_debug_messages(f"{through}\r\nBytes per second: sent 5, received 6\r\n") == ""


def test_jump_host_messages_are_shown() -> None:
    assert jump_host_messages(JUMP_HOST_CLOSED) == ""
    assert "Remove -q" in jump_host_advice(JUMP_HOST_CLOSED, "")
    evidence = f"Login incorrect\n{JUMP_HOST_CLOSED}"
    assert jump_host_messages(evidence) == "Login incorrect"
    assert "It prints 'Login incorrect'" in jump_host_advice(evidence, "ssh failed")
    assert "It prints" not in jump_host_advice(evidence, evidence)


@pytest.mark.parametrize(
    "reason", ["ssh: Could not resolve hostname jump: Name or service not known", *NO_PROXY_COMMAND, *INVALID_ARGUMENTS]
)
def test_add_advice_shows_hidden_evidence_once(reason: str) -> None:
    """With ControlPersist, ssh hides the messages of a ``ProxyCommand``."""
    evidence = f"{reason}\n{JUMP_HOST_CLOSED}"
    shown = " ".join(reason.split())
    for message in (JUMP_HOST_CLOSED, evidence):
        found = str(add_advice(AnsibleConnectionFailure(message), message, ALIAS, evidence))
        assert found.count(shown) == 1
        assert "ProxyCommand" in found


@pytest.mark.parametrize("error", [AnsibleConnectionFailure(DENIED), AnsibleAuthenticationFailure(DENIED)])
def test_add_advice_keeps_the_type_of_a_denial(error: AnsibleError) -> None:
    assert type(add_advice(error, DENIED, ALIAS)) is type(error)


@pytest.mark.parametrize(
    "error", [AnsibleError("scp: /etc/shadow: Permission denied"), AnsibleConnectionFailure("Broken pipe")]
)
def test_add_advice_returns_other_errors_unchanged(error: AnsibleError) -> None:
    assert add_advice(error, str(error), ALIAS) is error
