# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: ssh
short_description: Connect to devices behind NAT through remote.it
version_added: 1.1.0
author:
  - remoteit.fleet contributors (@remoteit-fleet)
description:
  - Runs tasks on a device through a remote.it proxy connection to its SSH service. The connection is opened on first
    use, and closed when the run ends, whatever happened.
  - This is P(ansible.builtin.ssh#connection) with another destination. All its options apply, except those that
    choose the host, the port and the control socket.
  - A connection that was closed, was idle for too long or has expired is opened again before the next command. A
    command is never run twice.
  - A device that cannot be reached is unreachable, with the reason that the API or ssh gives.
  - The first task of a play opens the connections of its other hosts as well, see O(prefetch).
  - The role P(remoteit.fleet.remoteit_session#role) opens all connections before the first task, and closes them before
    the run ends.
  - Host keys are recorded under the name C(remoteit-) and the service ID with dashes, for example
    C(remoteit-80-00-00-00-01-00-40-c5). The destination on the command line of ssh has the same name, so C(Host
    remoteit-*) in C(ssh_config) applies to all devices.
extends_documentation_fragment:
  - remoteit.fleet._ssh
  - ansible.builtin.connection_pipelining
options:
  deviceaddress:
    description:
      - The ID of the service to connect to. It is the ID of a service, not of its device.
      - Required unless O(device) is set.
    type: str
    vars:
      - name: remoteit_deviceaddress
  device:
    description:
      - The name of the device to connect to, if O(deviceaddress) is not set. Names are case-sensitive.
      - One request finds the services of all hosts that are opened together.
    type: str
    vars:
      - name: remoteit_device
  device_id:
    description:
      - The ID of the device. The inventory plugin P(remoteit.fleet.services#inventory) sets it. It marks a device
        that has no usable service if O(deviceaddress) is not set.
    type: str
    vars:
      - name: remoteit_device_id
  service:
    description:
      - The name of the service of O(device). By default, the one SSH service of the device is used.
    type: str
    vars:
      - name: remoteit_service
  hostip:
    description:
      - The IPv4 address that may use the proxy. V(255.255.255.255) restricts it to the first client (latching), and
        V(0.0.0.0) opens it to everyone, which gives a warning.
      - By default, the API restricts the proxy to the address from which it is called (with a token), or to the first
        client (with an access key). With a jump host, set the address of the jump host, or V(255.255.255.255).
    type: str
    vars:
      - name: remoteit_hostip
  wait_timeout:
    description:
      - The time to wait until a device responds for the first time over a new connection, in seconds. V(0) does not
        wait.
    type: int
    default: 60
    vars:
      - name: remoteit_wait_timeout
  concurrency:
    description:
      - The maximum number of API calls at the same time, for all hosts of an account, whatever C(forks) is.
    type: int
    default: 16
    vars:
      - name: remoteit_concurrency
  prefetch:
    description:
      - The maximum number of connections that are open before a task has used them. V(0) opens a connection only when
        a task needs it.
      - The first task of a play opens the connections of the play's hosts ahead of their tasks. A task with
        C(run_once) or C(delegate_to) opens only its own.
    type: int
    default: 100
    vars:
      - name: remoteit_prefetch
  access_key_id:
    description:
      - The ID of an access key, which the vendor's portal creates. It uses the GraphQL API, together with
        O(secret_access_key).
      - By default, E(R3_ACCESS_KEY_ID) and then the key of this name of O(profile) in O(credentials_file) are used.
    type: raw
    vars:
      - name: remoteit_access_key_id
  secret_access_key:
    description:
      - The secret of O(access_key_id).
      - By default, E(R3_SECRET_ACCESS_KEY) and then the key of this name of O(profile) in O(credentials_file) are used.
    type: raw
    vars:
      - name: remoteit_secret_access_key
  token:
    description:
      - The token of a login, for the REST API, together with O(developer_key). By default, E(REMOTEIT_TOKEN) is used.
    type: raw
    vars:
      - name: remoteit_token
  developer_key:
    description:
      - The developer key of the account, which the REST API requires in addition to a token or a login.
      - By default, E(REMOTEIT_DEVELOPER_KEY), then E(R3_DEVELOPER_API_KEY) and then the key of that name of
        O(profile) in O(credentials_file) are used.
    type: raw
    vars:
      - name: remoteit_developer_key
  username:
    description:
      - The user name (an email address) to log in with, once per run. By default, E(REMOTEIT_USERNAME) is used.
    type: raw
    vars:
      - name: remoteit_username
  api_password:
    description:
      - The password of O(username). By default, E(REMOTEIT_PASSWORD) is used.
    type: raw
    vars:
      - name: remoteit_password
  profile:
    description:
      - The section of O(credentials_file) to read. By default, E(REMOTEIT_PROFILE) is used, and then V(DEFAULT).
    type: str
    vars:
      - name: remoteit_profile
  credentials_file:
    description:
      - The vendor's INI file with credentials. By default, E(REMOTEIT_CREDENTIALS_FILE) is used, and then
        V(~/.remoteit/credentials), which is optional.
    type: str
    vars:
      - name: remoteit_credentials_file
  api_url:
    description:
      - The base URL of the REST API. By default, E(REMOTEIT_API_URL) is used, and then
        V(https://api.remot3.it/apv/v27).
    type: str
    vars:
      - name: remoteit_api_url
  graphql_url:
    description:
      - The URL of the GraphQL API. By default, E(REMOTEIT_GRAPHQL_URL) is used, and then
        V(https://api.remote.it/graphql/v1).
    type: str
    vars:
      - name: remoteit_graphql_url
  api_timeout:
    description:
      - The time to wait for the response to an API call, in seconds.
    type: int
    default: 60
    vars:
      - name: remoteit_timeout
notes:
  - Credentials are looked for in these options, then in the environment of the controller's process, then in the
    credentials file. The first of these that contains a complete set is used, and if it contains two, the access key.
    The developer key alone may come from a later one. The C(environment) of a play or task is for the device and is
    not read.
  - Use C(StrictHostKeyChecking) and the other settings of ssh as for any host. To record the host key of a new
    device, run once with C(--ssh-common-args='-o StrictHostKeyChecking=accept-new').
  - Any variable that starts with C(remoteit_) and comes from the facts of a device is refused, except
    C(remoteit_connection).
  - The variable C(ansible_connection) takes precedence over the C(connection) keyword of a play and over C(-c). Use
    C(delegate_to=localhost) to run a task on the controller.
requirements:
  - requests (Python library, on the controller)
  - OpenSSH client
seealso:
  - plugin: remoteit.fleet.services
    plugin_type: inventory
  - module: remoteit.fleet.remoteit_connect
"""

EXAMPLES = r"""
# inventory.yml: devices of a handwritten inventory
fleet:
  vars:
    ansible_connection: remoteit.fleet.ssh
    ansible_user: pi
  hosts:
    kiosk-1:
      remoteit_deviceaddress: "80:00:00:00:01:00:40:C5"
    kiosk-2:
      remoteit_device: kiosk-2 # looked up by name
"""

import contextlib
import hashlib
import os
import subprocess
import time
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection.ssh import AnsibleControlPersistBrokenPipeError
from ansible.plugins.connection.ssh import Connection as SshConnection
from ansible.utils.display import Display

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import PUBLIC, host_key_alias
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._connect import WARN_PUBLIC_PROXY
from ansible_collections.remoteit.fleet.plugins.plugin_utils._fleet_host import HOST_VARIABLES, HostReader, parse_int
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.client import KeeperClient, ProxyUse
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.main_process import register_end_of_run
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._play import Play, to_plain_types
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import THIS_RUN
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh import errors as _ssh_errors
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.destination import (
    CONNECTION,
    Destination,
    check_destination,
    ssh_arguments_of,
)

#: A dead link ends a command after this many seconds times three.
KEEP_ALIVE = ("-oServerAliveInterval=10", "-oServerAliveCountMax=3")
#: A proxy that refuses connections so soon after its connection was opened may not be ready yet.
NEW_SECONDS = 10.0
PAUSE_SECONDS = 1.0
#: What a master uses to log in; over a master, ssh checks neither key nor user.
_LOGIN_OPTIONS = ("remote_user", "private_key_file", "private_key", "pkcs11_provider", "ssh_args", "ssh_common_args")

display = Display()
T = t.TypeVar("T")


class Connection(SshConnection):  # type: ignore[misc]
    """ssh to the proxy of this host's remote.it connection."""

    transport = CONNECTION

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._use: ProxyUse | None = None  # while a command is running
        self._is_direct = True
        self._messages = ""  # of the last ssh, which an error of a task with no_log lacks
        self._reader = HostReader()

    # -- what ansible-core calls ---------------------------------------------------------------------------------------

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        run = super().exec_command
        return self._through_proxy(lambda: run(cmd, in_data=in_data, sudoable=sudoable))

    def put_file(self, in_path: str, out_path: str) -> t.Any:
        put = super().put_file
        return self._through_proxy(lambda: put(in_path, out_path))

    def fetch_file(self, in_path: str, out_path: str) -> t.Any:
        fetch = super().fetch_file
        return self._through_proxy(lambda: fetch(in_path, out_path))

    def reset(self) -> None:
        """Close the control masters of this host. It opens nothing, and never raises.

        ``meta: reset_connection`` runs in the main process, where an exception other than ``ConnectionError`` ends the
        whole run, and on ansible-core 2.16 variables are not templated.
        """
        with contextlib.suppress(Exception):
            directory = KeeperClient().control_paths_of(self._inventory_name())
            for name in os.listdir(directory) if directory else ():
                socket = os.path.join(t.cast(str, directory), name)
                command = [self._option("ssh_executable"), "-o", f"ControlPath={socket}", "-O", "stop", "remoteit"]
                subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10)
        self.close()

    def _inventory_name(self) -> str:
        """Return the name of the host whose variables the options are.

        Of a delegated task, ``inventory_hostname`` is the original host.
        """
        return str(getattr(self._play_context, "delegate_to", None) or self._option("host"))

    def _option(self, name: str) -> t.Any:
        return self.get_option(name)  # type: ignore[no-untyped-call]

    def _set_option(self, name: str, value: t.Any) -> None:
        self.set_option(name, value)  # type: ignore[no-untyped-call]

    def _bare_run(self, *args: t.Any, **kwargs: t.Any) -> tuple[int, bytes, bytes]:
        self._messages = ""
        try:
            result = t.cast("tuple[int, bytes, bytes]", super()._bare_run(*args, **kwargs))
        except AnsibleControlPersistBrokenPipeError as error:  # the base class would run the command again
            raise AnsibleConnectionFailure(str(error)) from None
        except AnsibleConnectionFailure as error:
            self._messages = str(error)
            raise
        self._messages = result[2].decode(errors="replace")
        return result

    # -- the proxy -----------------------------------------------------------------------------------------------------

    def _through_proxy(self, operation: t.Callable[[], T]) -> T:
        """Run the operation through the host's proxy, which the keeper opens if need be."""
        if self._use is not None:  # a piped file transfer runs a command
            return operation()
        name = self._inventory_name()
        try:
            play = Play.of_this_worker()
            host = self._read_host(name, play)
            if host.hostip == PUBLIC:
                display.warning(f"remoteit_{WARN_PUBLIC_PROXY}")
            ahead = play if play is not None and play.runs_on_every_host else None
            register_end_of_run()
            most_ahead = parse_int(HOST_VARIABLES["prefetch"], self._option("prefetch"), 100, minimum=0)
            self._use = KeeperClient().use(host, ahead, most_ahead)
            try:
                return self._attempt(operation)
            finally:
                self._use.close()
                self._use = None
        except RemoteItError as error:
            raise AnsibleConnectionFailure(self._explain(error, name)) from None

    def _read_host(self, name: str, play: Play | None) -> HostRequest:
        facts = play.facts_of(name) if play is not None else ()
        options = {option: to_plain_types(self._option(option)) for option in HOST_VARIABLES}
        return self._reader.read(name, options, facts)

    def _attempt(self, operation: t.Callable[[], T]) -> T:
        """Run the operation, again only if ssh says that nothing was executed."""
        use = t.cast(ProxyUse, self._use)
        self._check_is_ssh(use)
        retries = parse_int("reconnection_retries", self._option("reconnection_retries"), 0, minimum=0)
        wait_timeout = parse_int(HOST_VARIABLES["wait_timeout"], self._option("wait_timeout"), 60, minimum=0)
        self._set_option("reconnection_retries", 0)  # the base class repeats whatever fails
        replacements, deadline = 1 + retries, time.monotonic() + wait_timeout
        try:
            while True:
                self._messages = ""
                try:
                    result = operation()
                except AnsibleError as error:
                    if self._recover(error, wait_timeout, deadline, replacements):
                        replacements, deadline = replacements - 1, time.monotonic() + wait_timeout
                else:
                    use.note_answer(direct=self._is_direct)
                    return result
        finally:
            self._set_option("reconnection_retries", retries)

    def _recover(self, error: AnsibleError, wait_timeout: int, deadline: float, replacements: int) -> bool:
        """Make another attempt possible: wait a moment, or take another connection.

        :return: whether it is another connection.
        :raises AnsibleError: waiting does not help, or something may have been executed.
        """
        use = t.cast(ProxyUse, self._use)
        messages = " ".join((self._messages or str(error)).split())
        if self._says(_ssh_errors.is_refused, messages):
            is_new = not use.answered and use.age < NEW_SECONDS and time.monotonic() < deadline
            if not is_new and not replacements:
                raise error
            if not is_new:
                use.replace()
                self._check_is_ssh(use)
                return True
        elif use.answered or not self._says(_ssh_errors.is_before_login, messages):
            raise _ssh_errors.add_advice(error, messages, host_key_alias(use.connection.deviceaddress)) from None
        elif time.monotonic() >= deadline:
            raise AnsibleConnectionFailure(
                f"The connection is open, but the device did not respond over SSH within {wait_timeout} seconds"
                f" (remoteit_wait_timeout). {' '.join(str(error).split())}"
            ) from None
        time.sleep(PAUSE_SECONDS)
        use.age += PAUSE_SECONDS
        return False

    def _says(self, judge: t.Callable[..., bool], messages: str) -> bool:
        """Whether ssh says so, and not a command on the device that prints the same words.

        Where ssh does not connect to the proxy itself, a command that does nothing has to fail in the same way.
        """
        connection = t.cast(ProxyUse, self._use).connection
        if not judge(messages, connection, direct=self._is_direct):
            return False
        if self._is_direct:
            return True
        executable = self._option("ssh_executable")
        command = self._build_command(executable, "ssh", self.host, "exit 0")
        start = command.index(os.fsencode(executable)) + 1
        command[start:start] = [b"-oControlMaster=no", b"-oControlPath=none"]
        with contextlib.suppress(AnsibleError):
            self._bare_run(command, None, sudoable=False, checkrc=False)
        return judge(" ".join(self._messages.split()), connection, direct=False)

    @staticmethod
    def _check_is_ssh(use: ProxyUse) -> None:
        if use.connection.reverse_proxy:
            raise OptionsError(
                f"the service {use.connection.deviceaddress} is a web service, which ssh cannot use; see the module"
                " remoteit.fleet.remoteit_connect"
            )

    def _explain(self, error: RemoteItError, name: str) -> str:
        """Return the whole reason to the first host that has it, and a reference to that host to the others."""
        first = error.first
        if first is None and isinstance(error, OptionsError):
            return error.message
        if first is None:
            with contextlib.suppress(RemoteItError):  # without a keeper each host gets the whole reason
                first = KeeperClient().explain(error.message, name)
        if first in (None, name):
            return f"could not open a connection: {error.message}"
        return f"could not open a connection, for the same reason as {first} ({error.code})"

    # -- the command line ----------------------------------------------------------------------------------------------

    def _build_command(self, binary: str, subsystem: str, *other_args: bytes | str) -> list[bytes]:
        """Return the command line of the base class with our destination before its options: ssh takes the first."""
        if self._use is None:
            raise AnsibleConnectionFailure(f"{CONNECTION} has no connection for this command")
        self._set_option("control_path_dir", THIS_RUN.runtime_dir)  # the base class creates it
        destination = self._destination(subsystem)
        words = _with_destination(subsystem, other_args, self.host, destination.alias)
        command: list[bytes] = super()._build_command(binary, subsystem, *words)
        start = command.index(os.fsencode(binary)) + 1
        end = len(command) - len(words)
        options = [*map(os.fsencode, destination.arguments), *command[start:end], *map(os.fsencode, KEEP_ALIVE)]
        self._check(subsystem, list(map(os.fsdecode, options)), destination)
        return [*command[:start], *options, *command[end:]]

    def _destination(self, subsystem: str) -> Destination:
        connection = t.cast(ProxyUse, self._use).connection
        login = [str(self._option(name)) for name in _LOGIN_OPTIONS if name in self.option_definitions]
        login.append(str(self._option(f"{subsystem}_extra_args") or ""))
        directory = THIS_RUN.control_path_dir(connection.connectionid)
        with contextlib.suppress(OSError):
            os.makedirs(directory, mode=0o700, exist_ok=True)
        return Destination(
            connection.host,
            connection.port,
            host_key_alias(connection.deviceaddress),
            os.path.join(directory, hashlib.sha256("\0".join(login).encode()).hexdigest()[:10]),
        )

    def _check(self, subsystem: str, options: list[str], destination: Destination) -> None:
        """Refuse arguments with which ssh would go elsewhere. The keeper remembers those that were checked."""
        use = t.cast(ProxyUse, self._use)
        executable = self._option("ssh_executable")
        digest = hashlib.sha256("\0".join([subsystem, executable, *options]).encode()).hexdigest()[:16]
        direct = {f"{digest} direct": True, f"{digest} indirect": False}
        for verdict in direct.keys() & use.checked:
            self._is_direct = direct[verdict]
            return
        extra = self._split_ssh_args(self._option(f"{subsystem}_extra_args") or "")
        arguments = _without(options, extra) if subsystem != "ssh" else options
        if subsystem == "sftp":
            arguments = _without(arguments, ["-b", "-"])
        if subsystem != "ssh":
            arguments = [*arguments, *ssh_arguments_of(subsystem, extra)]
        self._is_direct = check_destination(executable, arguments, destination)
        use.note_checked(f"{digest} {'direct' if self._is_direct else 'indirect'}")


def _with_destination(
    subsystem: str, words: t.Sequence[bytes | str], host: str, destination: str
) -> tuple[bytes | str, ...]:
    """Return what follows the options with our destination in place of the host: it differs by program."""
    if subsystem == "ssh":
        *before, _unused, command = words
        return (*before, destination, command)
    if subsystem == "sftp":
        return (destination,)
    prefix = f"[{host}]:"
    return tuple(
        f"{destination}:{word[len(prefix) :]}" if isinstance(word, str) and word.startswith(prefix) else word
        for word in words
    )


def _without(words: list[str], part: t.Sequence[str]) -> list[str]:
    """Return the words without the last occurrence of a part."""
    for start in range(len(words) - len(part), -1, -1) if part else ():
        if words[start : start + len(part)] == list(part):
            return words[:start] + words[start + len(part) :]
    return words
