# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Interpret the messages of the OpenSSH client: whether a command may have been executed, and how to fix the error."""

from __future__ import annotations

import re
import shlex
import socket

from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection

#: Messages of ssh before it logs in. No command was executed. "Connection to … timed out" alone can be later, too.
_BEFORE_LOGIN = re.compile(
    r"ssh: connect to host \S+ port \d+: |kex_exchange_identification: |ssh_exchange_identification: "
    r"|Connection timed out during banner exchange"
    r"|banner exchange: Connection to \S+ port \d+: (?:Broken pipe|Connection reset by peer)"
)
#: Messages about errors that another attempt does not cure, also in the login to a jump host.
_PERMANENT = re.compile(
    r"Could not resolve hostname|Permission denied|Too many authentication failures|Host key verification failed"
    r"|Unable to negotiate|Bad configuration option|Bad owner or permissions|administratively prohibited"
)
#: Messages of ssh about its arguments and its configuration. Those of the device are checked before it connects.
_INVALID_ARGUMENTS = re.compile(
    r"^(?:usage: \S+ \[|Bad (?!packet)|Unknown (?:cipher|mac) type|Can't open user config file|Couldn't open logfile"
    r"|Cannot (?:fork|execute|specify)|Only a single -J option|Invalid multiplex command|jumphost loop|\S+_expand: )"
    r"|command-line:? line \d+: (?!Deprecated|Unsupported)|terminating, \d+ bad configuration options"
    r"|name contains invalid characters",
    re.MULTILINE,
)
#: Messages about an address of this machine, from ``BindAddress``, ``BindInterface`` and ``AddressFamily``.
_WRONG_ADDRESS = re.compile(
    r"Cannot assign requested address|no suitable addresses|Address family for hostname not supported|getaddrinfo: "
)
#: Messages about a response that is not SSH, or only SSH 1.
_NOT_SSH = re.compile(
    r"banner line (?:contains invalid characters|too long)|No SSH version received|Bad remote protocol version"
    r"|Protocol major versions differ"
)
#: Messages of bash, dash and zsh, which ssh uses to start a ``ProxyCommand``. A file of ssh can be missing as well.
_NO_PROXY_COMMAND = re.compile(
    r"(?:exec|\d): \S+: (?:(?:command )?not found|No such file or directory|cannot execute|Permission denied)"
    r"|(?:command not found|no such file or directory|permission denied): "
)
#: Messages about a key file that ssh ignores.
_UNUSABLE_KEY = re.compile(
    r"Load key \"(.+?)\"|Permissions \S+ for '(.+?)' are too open|no such identity: (.+?): No such file"
    r"|Identity file (.+?) not accessible"
)
#: The port of a peer in a message.
_PEER_PORT = re.compile(r"(?:connect to host|by|Connection to) \S+ port (\d+)")
#: The name that ssh gives to a peer behind a jump host or a ``ProxyCommand``.
_UNKNOWN_PEER = "UNKNOWN port 65535"
#: Messages about a peer that ssh has reached, so it is the device.
_RESPONSE_OF_UNKNOWN_PEER = re.compile(
    rf"(?:negotiate with|disconnect from) {_UNKNOWN_PEER}"
    rf"|banner exchange: Connection to {_UNKNOWN_PEER}: (?:invalid format|could not read protocol version)"
)
#: The lines of ssh about a peer behind a jump host or a ``ProxyCommand``, whatever the reason is.
_ABOUT_UNKNOWN_PEER = re.compile(rf"^(?:(?:kex|ssh)_exchange_identification: .*|.*{_UNKNOWN_PEER}.*)$", re.MULTILINE)
#: The message of -v about a login that succeeded.
_LOGGED_IN = "Authenticated to "
#: The messages of -v, also the first one in an error of ansible-core, and the version.
_DEBUG = re.compile(
    r"(?:Failed to connect to the host via ssh: )?(?:debug\d: |OpenSSH_[^,\n]+, )[^\n]*\n?"
    r"|^(?:Authenticated to \S+ \(|Transferred: sent \d|Bytes per second: sent \d|Killed by signal \d)[^\n]*\n?",
    re.MULTILINE,
)
#: Messages about a connection of or through a jump host.
_JUMP_HOST_REASON = re.compile(r"ssh: (?:connect|Could)|open failed|forwarding failed|timed out")
_REFUSED = re.compile(r"ssh: connect to host (\S+) port (\d+): Connection refused")
_REFUSED_BY_JUMP_HOST = re.compile(
    r"open failed: connect failed: Connection refused\s.*stdio forwarding failed", re.DOTALL
)

#: The name for which ssh checks a host key. That of the device is its alias.
_NAME_OF_KEY = re.compile(r"[Hh]ost key (?:is known )?for '?([^\s']+)")
#: Messages about the recorded key that differs. ssh writes a name instead of a path for KnownHostsCommand.
_OFFENDING = re.compile(r"Offending (?:\S+ )?key (?:for IP )?in (.+):\d+$", re.MULTILINE)
#: How ssh prints a backslash, and the bytes of a character that is not ASCII.
_ESCAPED = re.compile(rb"\\(\\|[0-7]{3})")
_REVOKED = re.compile(r"REVOKED HOST KEY DETECTED|revoked by file")
#: A message about a file of ``RevokedHostKeys`` that ssh cannot read. It then accepts no key.
_UNREADABLE_REVOCATIONS = re.compile(r"Error checking host key \S+ \S+ in revoked keys file (.+?): ")
_INVALID_CERTIFICATE = re.compile(r"Certificate (?:invalid|lacks|contains|signed with)[a-z: ]*")
#: Messages about a key that is not recorded. If ssh cannot ask, it prints only this one, and sshpass prints nothing.
_UNVERIFIED = re.compile(
    r"Host key verification failed|Host Key checking is enabled|sshpass error:(?: <error censored due to no log>)?$"
)
_NO_COMMON_ALGORITHM = re.compile(r"Unable to negotiate with .*no matching ([a-zA-Z ]+) found")
#: The message of ServerAliveInterval, and the second line about a device that never responded.
_TIMED_OUT = re.compile(r"^Connection to \S+ port \d+ timed out", re.MULTILINE)
#: The message about a peer that has closed the connection during the login, and the second line about one before it.
_CLOSED = re.compile(r"^Connection (?:closed|reset) by \S+ port \d+", re.MULTILINE)
_TOO_MANY_FAILURES = "Too many authentication failures"
#: An algorithm that OpenSSL does not execute. A damaged key file has the same reason, but other words before it.
_FORBIDDEN_ALGORITHM = re.compile(r"ssh_dispatch_run_fatal: .*error in libcrypto")
#: The options of ssh by the names of algorithms in its messages.
_ALGORITHM_OPTIONS = {
    "cipher": "Ciphers",
    "compression method": "Compression",
    "host key type": "HostKeyAlgorithms",
    "key exchange method": "KexAlgorithms",
    "MAC": "MACs",
}
#: The messages, or the error of ansible-core, if ssh printed at most that it recorded a key and ended the connection.
_SILENT = re.compile(
    r"(?:\A|(?:via|over) ssh:(?: <error censored due to no log>)?)"
    r"(?:\s*Warning: Permanently added .+? to the list of known hosts\.)?"
    r"(?:\s*(?:Shared )?[Cc]onnection to \S+ closed\.)?\s*$"
)

_CHANGED_KEY = (
    "The device has another host key than the one recorded as {alias!r} in {path!r}. Find out why. Only if the change"
    " is legitimate, remove the recorded key: ssh-keygen -R {alias} -f {quoted_path}"
)
_CHANGED_KEY_OF_COMMAND = (
    "The device has another host key than the one that KnownHostsCommand returns for {alias!r}. Find out why. Only if"
    " the change is legitimate, correct what the command returns"
)
_UNKNOWN_KEY = (
    "The host key of the device is not recorded yet. From a network that you trust, run once with"
    " --ssh-extra-args='-o StrictHostKeyChecking=accept-new', which records it as {alias!r}. UserKnownHostsFile must be"
    " a file that ssh can write"
)
_REVOKED_KEY = (
    "The host key of the device is marked as revoked. Find out why. ssh -v shows the file: UserKnownHostsFile,"
    " GlobalKnownHostsFile or RevokedHostKeys"
)
_UNCHECKED_KEY = (
    "ssh cannot read the file {path!r} of RevokedHostKeys, so it refuses every host key. Correct the file, or remove"
    " RevokedHostKeys from {arguments}"
)
_REFUSED_CERTIFICATE = (
    "ssh refuses the host certificate of the device: {reason!r}. Issue a new certificate, with {alias!r} as a principal"
)
_UNKNOWN_KEY_OF_JUMP_HOST = (
    "The host key of {name}, which is not the device but a jump host, is not recorded. From a network that you trust,"
    " connect to it once with ssh to record it"
)
_REFUSED_KEY_OF_JUMP_HOST = (
    "The host key of {name}, which is not the device but a jump host, has changed or is marked as revoked. Find out why"
)
_SLOW_LOGIN = "If its login is slow, increase ansible_ssh_timeout"
_THROUGH_JUMP_HOST = (
    "The jump host accepts the login, but the device does not respond through it. Check the SSH server of the device,"
    " and that the jump host may connect to the proxies"
)
_ARGUMENTS = "ansible_ssh_args, ansible_ssh_common_args, ansible_ssh_extra_args and the SSH configuration"


def to_lines(messages: str) -> str:
    """Return the messages of ssh, without the blanks around each line."""
    return "\n".join(line.strip() for line in messages.splitlines())


def is_refused(reason: str, connection: Connection, *, direct: bool) -> bool:
    """Return whether ssh could not connect to the proxy because it is not listening any more.

    A command on the device can print the same message. So if ssh connects directly, confirm it with a TCP connection.

    :param direct: whether ssh connects from this machine, and not through a jump host or a ``ProxyCommand``.
    """
    if not direct:
        return _REFUSED_BY_JUMP_HOST.search(reason) is not None
    found = _REFUSED.search(reason)
    if found is None or found[2] != str(connection.port):
        return False
    try:
        socket.create_connection((connection.host, connection.port), 5.0).close()
    except OSError:
        return True
    return False


def is_before_login(reason: str, connection: Connection, *, direct: bool) -> bool:
    """Return whether ssh failed before the login to the device, so that no command was executed, and a retry may help.

    A command that runs ssh on the device can print the same message, but with another port.
    """
    if not direct:
        return _UNKNOWN_PEER in reason and may_be_before_login(reason)
    ports = _PEER_PORT.findall(reason)
    return bool(ports) and all(port == str(connection.port) for port in ports) and _is_curable(reason)


def may_be_before_login(reason: str) -> bool:
    """Return whether ssh may have failed before the login to a device behind a jump host or a ``ProxyCommand``.

    ssh only prints the name of an unknown peer, or nothing about it with a quiet log level.
    """
    has_no_port = _UNKNOWN_PEER in reason or _PEER_PORT.search(reason) is None
    return has_no_port and _is_curable(reason) and _NO_PROXY_COMMAND.search(reason) is None


def _is_curable(reason: str) -> bool:
    """Return whether ssh failed before a login, and another attempt may succeed."""
    return (
        _BEFORE_LOGIN.search(reason) is not None
        and _PERMANENT.search(reason) is None
        and _INVALID_ARGUMENTS.search(reason) is None
        and _WRONG_ADDRESS.search(reason) is None
        and _NOT_SSH.search(reason) is None
    )


def add_advice(error: Exception, messages: str, alias: str, evidence: str = "") -> Exception:
    """Return the error with advice how to fix it, or the unchanged error if there is no advice.

    :param messages: the messages of ssh. With ``no_log``, they are not in the error, and they are never shown.
    :param evidence: the messages of a command without effect that failed behind a jump host or a ``ProxyCommand``. No
        task can hide them.
    """
    reason = " ".join(str(error).split())
    found = jump_host_messages(evidence)
    if found not in reason:
        reason = f"{reason} {found}"
    messages = f"{messages}\n{evidence}"
    advice = _host_key_advice(messages, alias)
    if advice:
        return AnsibleConnectionFailure(f"{advice}. {reason}")
    if isinstance(error, AnsibleAuthenticationFailure) and "Permission denied (" not in messages:
        # sshpass ends ssh before it prints a reason
        return type(error)(f"The login is refused. Check ansible_user, and ansible_password. {reason}")
    if isinstance(error, AnsibleConnectionFailure):  # not an error about a remote file
        advice = _connection_advice(messages)
        return type(error)(f"{advice}. {reason}") if advice else error
    return error


def _host_key_advice(messages: str, alias: str) -> str:
    """Return how to fix the check of a host key, or an empty string if ssh did not refuse a key."""
    offending = _OFFENDING.search(messages)
    is_changed = offending or "IDENTIFICATION HAS CHANGED" in messages
    is_revoked = _REVOKED.search(messages)
    if not (is_changed or is_revoked or _UNVERIFIED.search(messages)):
        return ""
    unreadable = _UNREADABLE_REVOCATIONS.search(messages)
    if unreadable:
        return _UNCHECKED_KEY.format(path=_path(unreadable[1]), arguments=_ARGUMENTS)
    name = _NAME_OF_KEY.search(messages)
    if _UNKNOWN_PEER in messages or (name and name[1] != alias):
        text = _REFUSED_KEY_OF_JUMP_HOST if is_changed or is_revoked else _UNKNOWN_KEY_OF_JUMP_HOST
        return text.format(name=repr(name[1]) if name else "a host")
    if is_revoked:
        return _REVOKED_KEY
    if is_changed:
        return _changed_key_advice(_path(offending[1]) if offending else "", alias)
    certificate = _INVALID_CERTIFICATE.search(messages)
    if certificate:
        return _REFUSED_CERTIFICATE.format(reason=certificate[0].strip(), alias=alias)
    return _UNKNOWN_KEY.format(alias=alias)


def _path(text: str) -> str:
    """Return the path that ssh prints as this text."""
    path = _ESCAPED.sub(lambda found: b"\\" if found[1] == b"\\" else bytes([int(found[1], 8) & 255]), text.encode())
    return path.decode(errors="replace")


def _changed_key_advice(path: str, alias: str) -> str:
    """Return how to remove the recorded key of the device.

    :param path: the file in which ssh found it, or an empty string.
    """
    if path.startswith("KnownHostsCommand-"):
        return _CHANGED_KEY_OF_COMMAND.format(alias=alias)
    if not path:
        path = quoted_path = "~/.ssh/known_hosts"
    else:
        quoted_path = shlex.quote(path)
    return _CHANGED_KEY.format(alias=alias, path=path, quoted_path=quoted_path)


def without_debug_messages(messages: str) -> str:
    """Return the messages of ssh without those of ``-v``.

    A message of ``-v`` can be in the middle of a line that a shell writes in parts.
    """
    return to_lines(_DEBUG.sub("", messages))


def may_refuse_login(messages: str) -> bool:
    """Return whether a jump host or a ``ProxyCommand`` has failed for an unknown reason. It may refuse the login."""
    has_known_reason = _JUMP_HOST_REASON.search(messages) or not may_be_before_login(messages)
    return _UNKNOWN_PEER in messages and not has_known_reason


def _gave_up_on_route(messages: str) -> bool:
    """Return whether a jump host or a ``ProxyCommand`` had not connected in time, when ssh gave up."""
    return "during banner exchange" in messages and f"Connection to {_UNKNOWN_PEER} timed out" in messages


def is_logging_in(messages: str) -> bool:
    """Return whether a jump host had not yet answered a login when ssh gave up. A retry would log in to it again.

    :param messages: the messages of ssh with those of ``-v``.
    """
    logins = messages.count("SSH2_MSG_SERVICE_ACCEPT received") - messages.count(_LOGGED_IN)
    return _gave_up_on_route(messages) and logins > 0


def may_be_logging_in(messages: str) -> bool:
    """Return whether a ``ProxyCommand`` may not yet have logged in when ssh gave up.

    :param messages: the messages of ssh with those of ``-v``. They show what a jump host does, but not a program.
    """
    return _gave_up_on_route(messages) and "Setting implicit ProxyCommand from ProxyJump" not in messages


def jump_host_messages(messages: str) -> str:
    """Return what a jump host or a ``ProxyCommand`` that failed has printed, as one line."""
    return " ".join(_ABOUT_UNKNOWN_PEER.sub("", messages).split()) if _UNKNOWN_PEER in messages else ""


def jump_host_advice(messages: str, reason: str) -> str:
    """Return how to fix a jump host or a ``ProxyCommand`` that failed, or an empty string.

    :param messages: the messages of ssh with those of ``-v``, also of an ssh that a ``ProxyCommand`` starts.
    :param reason: the error of ansible-core, which can contain the messages.
    """
    if _UNKNOWN_PEER not in messages:
        return ""
    if _gave_up_on_route(messages) and _LOGGED_IN in messages:
        return f"{_THROUGH_JUMP_HOST}. "
    hint = f"{_SLOW_LOGIN}. " if may_be_logging_in(messages) else ""
    found = jump_host_messages(without_debug_messages(messages))
    if not found:
        shown = "It prints no message. Remove -q and a quiet LogLevel from it. "
    else:
        shown = "" if found in reason else f"It prints {found!r}. "
    return f"ssh uses a jump host or a ProxyCommand, which may be the cause. {shown}{hint}Check {_ARGUMENTS}. "


def _algorithm_advice(messages: str, peer: str) -> str:
    """Return how to fix algorithms and host keys that ssh does not accept, or an empty string."""
    algorithm = _NO_COMMON_ALGORITHM.search(messages)
    if algorithm:
        option = _ALGORITHM_OPTIONS.get(algorithm[1], "the algorithms")
        return (
            f"{peer.capitalize()} and ssh have no {algorithm[1]} in common. Update its SSH server, or check"
            f" {option} in {_ARGUMENTS}"
        )
    if _FORBIDDEN_ALGORITHM.search(messages):
        return (
            f"The crypto policy of this machine forbids an algorithm of {peer}, often SHA-1. Update its SSH server, or"
            " change the policy with update-crypto-policies"
        )
    if "Bad server host key: Invalid key length" in messages:
        return (
            f"The host key of {peer} is too short for ssh. Create a longer one, or set RequiredRSASize in {_ARGUMENTS}"
        )
    return ""


def _connection_advice(messages: str) -> str:
    """Return how to fix the SSH arguments or the login, or an empty string."""
    if _SILENT.search(messages):
        return (
            "ssh returned 255 without a message. Either the command itself returned 255, or the connection was lost and"
            f" ssh hides the reason. Check LogLevel, -E and -y in {_ARGUMENTS}"
        )
    if _WRONG_ADDRESS.search(messages):
        return f"ssh cannot connect from the address that its arguments set. Check -4, -6, -b and -B in {_ARGUMENTS}"
    if _UNKNOWN_PEER in messages and _NO_PROXY_COMMAND.search(messages):
        return f"The program in ProxyCommand cannot be executed on this machine. Check ProxyCommand in {_ARGUMENTS}"
    if "administratively prohibited" in messages:
        return "A jump host forbids the connection to the proxy. Check AllowTcpForwarding and PermitOpen on it"
    by_jump_host = _UNKNOWN_PEER in messages and _RESPONSE_OF_UNKNOWN_PEER.search(messages) is None
    if _NOT_SSH.search(messages):
        if by_jump_host:
            return f"A jump host responds, but not with SSH 2. Check its address and port in {_ARGUMENTS}"
        return (
            "The service responds, but not with SSH 2. Set remoteit_service or remoteit_deviceaddress to an SSH"
            " service, or check the port of the service"
        )
    algorithm_advice = _algorithm_advice(messages, "a jump host" if by_jump_host else "the device")
    if algorithm_advice:
        return algorithm_advice
    if "during banner exchange" not in messages and _TIMED_OUT.search(messages):
        return (
            "The device stopped responding after it had responded with SSH. It may be overloaded, the network may drop"
            " large packets (MTU), or it delays the refusal of a login. Check ansible_user and its password or key, and"
            f" ServerAliveInterval in {_ARGUMENTS}"
        )
    return _route_advice(messages) if by_jump_host else _login_advice(messages)


def _route_advice(messages: str) -> str:
    """Return how to fix a jump host or a ``ProxyCommand`` that failed, or an empty string."""
    if _is_denied(messages):
        return f"A jump host refuses the login. Check ProxyJump and ProxyCommand in {_ARGUMENTS}"
    if _gave_up_on_route(messages):
        return f"A jump host or a ProxyCommand did not connect in time. {_SLOW_LOGIN}. Check it in {_ARGUMENTS}"
    is_failure = _BEFORE_LOGIN.search(messages)
    return f"A jump host or a ProxyCommand failed. Check it in {_ARGUMENTS}" if is_failure else ""


def _is_denied(messages: str) -> bool:
    """Return whether an SSH server refuses the login."""
    return _TOO_MANY_FAILURES in messages or "Permission denied (" in messages


def _login_advice(messages: str) -> str:
    """Return how to fix the login to the device, or an empty string."""
    if not _is_denied(messages):
        if _BEFORE_LOGIN.search(messages) or not _CLOSED.search(messages):
            return ""
        return (
            "The device closed the connection during the login. Its log shows why. For example, the account is expired"
            " or locked, or the login took too long"
        )
    if "no mutual signature supported" in messages:
        return (
            "The device refuses the login: it does not accept the signature algorithms of ssh for the key. Use a key of"
            f" the type ED25519, or check PubkeyAcceptedAlgorithms in {_ARGUMENTS}"
        )
    key = _UNUSABLE_KEY.search(messages)
    if key:
        path = _path(next(filter(None, key.groups())))
        return (
            f"The device refuses the login, and ssh cannot use the key file {path!r}. Check that it is a private key"
            " that only its owner can read, or set ansible_ssh_private_key_file"
        )
    if _TOO_MANY_FAILURES in messages:
        return (
            "The device refuses the login before ssh has tried all keys. Set ansible_ssh_private_key_file, and add -o"
            " IdentitiesOnly=yes to ansible_ssh_common_args. For a password, add -o PubkeyAuthentication=no"
        )
    return (
        "The device responds, but refuses the login. Check ansible_user, and its key or ansible_password. If the key"
        " has a passphrase, add the key to ssh-agent"
    )
