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
    use, and closed when the run ends, for whatever reason.
  - This is P(ansible.builtin.ssh#connection) with another destination. All its options apply, except those that
    select the host, the port and the control socket.
  - A connection that was closed, was idle for too long or has expired is opened again before the next command. A
    command is never run twice.
  - If a device cannot be reached, the host is unreachable, with the reason that the API or ssh returns.
  - The first task of a play also opens the connections of the other hosts, see O(prefetch).
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
      - The ID of the service to connect to. Use the ID of a service, not of a device.
      - Required unless O(device) is set.
    type: str
    vars:
      - name: remoteit_deviceaddress
  device:
    description:
      - The name of the device to connect to. Names are case-sensitive. Has no effect if O(deviceaddress) is set.
      - Only the devices of the account itself are found by name. For a device of an organization, set O(deviceaddress),
        or use the inventory plugin P(remoteit.fleet.services#inventory).
      - One request finds the services of all hosts that are opened together.
    type: str
    vars:
      - name: remoteit_device
  device_id:
    description:
      - The ID of the device. The inventory plugin P(remoteit.fleet.services#inventory) sets it. Without
        O(deviceaddress), it means that the device has no usable service.
    type: str
    vars:
      - name: remoteit_device_id
  service:
    description:
      - The name of the service of O(device). By default, the SSH service of the device is used.
    type: str
    vars:
      - name: remoteit_service
  hostip:
    description:
      - The IPv4 address that may use the proxy. V(255.255.255.255) restricts the proxy to the first client (latching).
        V(0.0.0.0) opens it to everyone and gives a warning.
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
  wait_for_online:
    description:
      - The time to wait for a device that is offline, in seconds. By default, the host is unreachable at once.
      - The API is called again every 5 seconds. Each waiting host occupies a fork.
      - The module M(remoteit.fleet.remoteit_connect) and the role P(remoteit.fleet.remoteit_session#role) do not wait.
    type: int
    default: 0
    vars:
      - name: remoteit_wait_for_online
  concurrency:
    description:
      - The maximum number of API calls at the same time, for all hosts of an account, regardless of C(forks).
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
      - If that fails, the task of the host reports the reason. After more than 10 seconds, it calls the API again.
    type: int
    default: 100
    vars:
      - name: remoteit_prefetch
  access_key_id:
    description:
      - The ID of an access key, which you create in the account settings of the remote.it portal. Requires
        O(secret_access_key). An access key uses the GraphQL API.
      - By default, E(R3_ACCESS_KEY_ID) is used, and then the key of the same name of O(profile) in
        O(credentials_file).
    type: raw
    vars:
      - name: remoteit_access_key_id
  secret_access_key:
    description:
      - The secret of O(access_key_id).
      - By default, E(R3_SECRET_ACCESS_KEY) is used, and then the key of the same name of O(profile) in
        O(credentials_file).
    type: raw
    vars:
      - name: remoteit_secret_access_key
  token:
    description:
      - The token of a login, for the REST API. Requires O(developer_key).
      - By default, E(REMOTEIT_TOKEN) is used.
    type: raw
    vars:
      - name: remoteit_token
  developer_key:
    description:
      - The developer key of the account, which the REST API requires in addition to a token or a login.
      - By default, E(REMOTEIT_DEVELOPER_KEY) is used, then E(R3_DEVELOPER_API_KEY), and then the key
        C(R3_DEVELOPER_API_KEY) of O(profile) in O(credentials_file).
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
      - The path of the vendor's INI file with credentials. By default, E(REMOTEIT_CREDENTIALS_FILE) is used, and then
        V(~/.remoteit/credentials). The latter file is optional.
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
      - The limit for an API call in seconds, from connecting to the last byte of the response. At most V(180).
    type: int
    default: 60
    vars:
      - name: remoteit_timeout
notes:
  - Credentials are read from these options, then from the environment of the controller's process, then from the
    credentials file. The first source that contains a complete set is used. If it contains two sets, the access key is
    used. Only the developer key can come from a later source. The C(environment) of a play or task is for the device
    and is not read.
  - If O(profile) or O(credentials_file) is set, the file is read before the environment, and the access key and the
    developer key of the environment are not used.
  - Use C(StrictHostKeyChecking) and the other settings of ssh as for any host. To record the host key of a new
    device, run once with C(--ssh-extra-args='-o StrictHostKeyChecking=accept-new').
  - Facts whose names start with C(remoteit_) are refused, except C(remoteit_connection), because a device chooses its
    facts.
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
# inventory.yml: devices of a static inventory
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
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    OfflineError,
    OptionsError,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._connect import WARN_PUBLIC_PROXY
from ansible_collections.remoteit.fleet.plugins.plugin_utils._fleet_host import HOST_VARIABLES, HostReader, parse_int
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.client import KeeperClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.main_process import register_shutdown_handlers
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.proxy_lease import ProxyLease
from ansible_collections.remoteit.fleet.plugins.plugin_utils._play import Play, to_plain_types
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.identity import THIS_RUN, exit_if_controller_ended
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh import errors as _ssh_errors
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.command_line import (
    KEEP_ALIVE,
    effective_ssh_arguments,
    quiet_flags_to_options,
    replace_destination,
    required_log_level,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.destination import (
    CONNECTION,
    Destination,
    Route,
    check_destination,
    control_path_option,
)

#: The age of a connection up to which its proxy may not be ready yet and refuse connections.
STARTUP_SECONDS = 10.0
RETRY_SECONDS = 1.0
#: The pause before the next connect call for a device that is offline.
OFFLINE_RETRY_SECONDS = 5.0
#: The options that determine a control socket: over an existing master, ssh checks neither the user nor the key.
_LOGIN_OPTIONS = ("remote_user", "private_key_file", "private_key", "pkcs11_provider", "ssh_args", "ssh_common_args")

display = Display()
T = t.TypeVar("T")


class RetryLimits:
    """The limits for the retries of an operation.

    :param replacements: the maximum number of replacements for a connection whose proxy refuses to connect.
    :param wait_timeout: the time to wait for the first response over a connection, in seconds.
    """

    def __init__(self, replacements: int, wait_timeout: int) -> None:
        self.replacements = replacements
        self.wait_timeout = wait_timeout
        self._deadline = time.monotonic() + wait_timeout

    @property
    def timed_out(self) -> bool:
        """Return whether the wait for the current connection is over."""
        return time.monotonic() >= self._deadline

    def count_replacement(self) -> None:
        """Count a replacement. The wait starts again."""
        self.replacements -= 1
        self._deadline = time.monotonic() + self.wait_timeout


class Connection(SshConnection):  # type: ignore[misc]
    """``ansible.builtin.ssh`` through the proxy of the host's remote.it connection."""

    transport = CONNECTION

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._lease: ProxyLease | None = None  # while a command is running
        self._route = Route(is_direct=True, log_level="INFO")
        self._ssh_messages = ""  # of the last ssh process; with no_log, the error does not contain them
        self._reader = HostReader()
        register_shutdown_handlers()  # also before the first command, because later workers inherit what it loads

    if t.TYPE_CHECKING:  # ansible-core does not annotate them
        get_option: t.Callable[..., t.Any]
        set_option: t.Callable[[str, t.Any], None]

    # -- methods that ansible-core calls -------------------------------------------------------------------------------

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command on the device."""
        run = super().exec_command
        return self._run_through_proxy(lambda: run(cmd, in_data=in_data, sudoable=sudoable))

    def put_file(self, in_path: str, out_path: str) -> t.Any:
        """Copy a file to the device."""
        put = super().put_file
        return self._run_through_proxy(lambda: put(in_path, out_path))

    def fetch_file(self, in_path: str, out_path: str) -> t.Any:
        """Copy a file from the device."""
        fetch = super().fetch_file
        return self._run_through_proxy(lambda: fetch(in_path, out_path))

    def reset(self) -> None:
        """Close the control masters of this host. This method opens no connection and never raises an error.

        ``meta: reset_connection`` runs in the main process, where an exception other than ``ConnectionError`` ends the
        whole run. On ansible-core 2.16, the variables are not templated.
        """
        with contextlib.suppress(Exception):
            directory = KeeperClient().control_path_dir_of(self._inventory_name())
            for name in os.listdir(directory) if directory else ():
                socket = control_path_option(os.path.join(t.cast(str, directory), name))
                command = [self.get_option("ssh_executable"), socket, "-O", "stop", "remoteit"]
                subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10)
        self.close()

    def _inventory_name(self) -> str:
        """Return the name of the host whose variables the options are.

        For a delegated task, ``inventory_hostname`` is the original host.
        """
        return str(getattr(self._play_context, "delegate_to", None) or self.get_option("host"))

    def _bare_run(self, *args: t.Any, **kwargs: t.Any) -> tuple[int, bytes, bytes]:
        self._ssh_messages = ""
        os.environ["LANGUAGE"] = "C"  # the shell of a ProxyCommand translates its messages otherwise
        is_checking = self.get_option("host_key_checking")
        # From ansible-core 2.19 on, the base class replaces the messages of ssh if a password is set. ansible-core 2.16
        # only reports a key that sshpass does not confirm. The command line is complete, so ssh still checks keys.
        if "password_mechanism" in self.option_definitions:
            self.set_option("host_key_checking", False)
        try:
            result = t.cast("tuple[int, bytes, bytes]", super()._bare_run(*args, **kwargs))
        except AnsibleControlPersistBrokenPipeError as error:  # the base class would run the command again
            raise AnsibleConnectionFailure(str(error)) from None
        except AnsibleConnectionFailure as error:
            self._ssh_messages = str(error)
            raise
        finally:
            self.set_option("host_key_checking", is_checking)
        self._ssh_messages = result[2].decode(errors="replace")
        return result

    # -- the connection ------------------------------------------------------------------------------------------------

    def _run_through_proxy(self, operation: t.Callable[[], T]) -> T:
        """Run the operation through the proxy of the host. The keeper opens the connection if necessary."""
        if self._lease is not None:  # a piped file transfer, which runs a command
            return operation()
        name = self._inventory_name()
        try:
            play = Play.of_this_worker()
            host = self._read_host(name, play)
            if host.hostip == PUBLIC:
                display.warning(f"remoteit_{WARN_PUBLIC_PROXY}")
            batch = play if play is not None and play.runs_on_every_host else None
            prefetch = parse_int(HOST_VARIABLES["prefetch"], self.get_option("prefetch"), 100, minimum=0)
            self._lease = self._wait_for_online(lambda: KeeperClient().acquire(host, batch, prefetch))
            try:
                return self._run_with_retries(self._lease, operation)
            finally:
                self._lease.close()
                self._lease = None
        except RemoteItError as error:
            raise AnsibleConnectionFailure(self._failure_message(error, name)) from None

    def _wait_for_online(self, acquire: t.Callable[[], T]) -> T:
        """Acquire a connection, again and again while the device is offline, up to the limit of ``wait_for_online``.

        :raises RemoteItError: the connection cannot be opened.
        """
        limit = parse_int(HOST_VARIABLES["wait_for_online"], self.get_option("wait_for_online"), 0, minimum=0)
        deadline = time.monotonic() + limit
        while True:
            exit_if_controller_ended()
            try:
                return acquire()
            except OfflineError as error:
                remaining = deadline - time.monotonic()
                if remaining <= 0 or error.may_be_open:
                    raise
            time.sleep(min(OFFLINE_RETRY_SECONDS, remaining))

    def _read_host(self, name: str, play: Play | None) -> HostRequest:
        if play is not None and play.is_delegated_to(name):
            return play.read(name)  # in the options, ``inventory_hostname`` is the host that it was delegated from
        facts = play.facts_of(name) if play is not None else ()
        options = {option: to_plain_types(self.get_option(option)) for option in HOST_VARIABLES}
        return self._reader.read(name, options, facts)

    def _run_with_retries(self, lease: ProxyLease, operation: t.Callable[[], T]) -> T:
        """Run the operation, and run it again only if ssh failed before it could execute anything."""
        _require_ssh_service(lease)
        retries = parse_int("reconnection_retries", self.get_option("reconnection_retries"), 0, minimum=0)
        wait_timeout = parse_int(HOST_VARIABLES["wait_timeout"], self.get_option("wait_timeout"), 60, minimum=0)
        limits = RetryLimits(1 + retries, wait_timeout)
        self.set_option("reconnection_retries", 0)  # the base class would retry after any failure
        try:
            while True:
                self._ssh_messages = ""
                try:
                    result = operation()
                except AnsibleError as error:
                    self._recover(error, lease, limits)
                else:
                    lease.note_response(is_direct=self._route.is_direct)
                    return result
        finally:
            self.set_option("reconnection_retries", retries)

    def _recover(self, error: AnsibleError, lease: ProxyLease, limits: RetryLimits) -> None:
        """Wait for the device or replace the connection, so that the operation can be retried.

        :raises AnsibleError: a limit is reached, waiting does not help, or something may have been executed.
        """
        exit_if_controller_ended()
        messages = _ssh_errors.without_debug_messages(self._ssh_messages or str(error))
        detailed_evidence = self._evidence(messages)
        evidence = _ssh_errors.without_debug_messages(detailed_evidence)
        alias = host_key_alias(lease.connection.deviceaddress)
        failure = _ssh_errors.add_advice(error, messages, alias, "" if self._route.is_direct else evidence)
        # Such a jump host may lock the account after several attempts.
        may_refuse_login = not self._route.is_direct and _ssh_errors.may_refuse_login(evidence)
        is_lost = may_refuse_login and lease.has_responded
        if is_lost or _ssh_errors.is_refused(evidence, lease.connection, direct=self._route.is_direct):
            is_starting = not lease.has_responded and lease.age < STARTUP_SECONDS and not limits.timed_out
            if not is_starting:
                self._replace_connection(failure, lease, limits)
                return
        elif (
            lease.has_responded
            or not _ssh_errors.is_before_login(evidence, lease.connection, direct=self._route.is_direct)
            or _ssh_errors.is_logging_in(detailed_evidence)
        ):
            raise failure from None
        elif limits.timed_out:
            reason = " ".join(str(error).split())
            raise AnsibleConnectionFailure(
                f"The connection is open, but the device did not respond over SSH within {limits.wait_timeout} seconds"
                f" (remoteit_wait_timeout). {self._address_hint(lease)}"
                f"{_ssh_errors.jump_host_advice(detailed_evidence, reason)}{reason}"
            ) from None
        may_log_in_again = may_refuse_login or _ssh_errors.may_be_logging_in(detailed_evidence)
        pause = max(RETRY_SECONDS, limits.wait_timeout / 2) if may_log_in_again else RETRY_SECONDS
        time.sleep(pause)
        lease.age += pause
        exit_if_controller_ended()

    @staticmethod
    def _address_hint(lease: ProxyLease) -> str:
        """Return the advice for a proxy that accepts one address only: a wrong address is seen as a timeout."""
        if lease.connection.restriction != "address":
            return ""
        return "The proxy accepts only the address in remoteit_hostip. Check that ssh connects from it. "

    def _replace_connection(self, failure: Exception, lease: ProxyLease, limits: RetryLimits) -> None:
        """Replace a connection whose proxy refuses to connect, or raise the failure if the limit is reached."""
        if not limits.replacements:
            raise failure from None
        self._wait_for_online(lease.replace)
        _require_ssh_service(lease)
        limits.count_replacement()

    def _evidence(self, messages: str) -> str:
        """Return the messages that show whether ssh failed before it could execute anything, or an empty string.

        A command on the device can print the same text. If ssh connects to the proxy itself, its messages contain the
        port of the proxy. Otherwise, a command without effect must fail as well. With ControlPersist, ssh hides the
        messages of a ProxyCommand, but not those of this command, which include those of ``-v``.
        """
        if self._route.is_direct:
            return messages
        if not _ssh_errors.may_be_before_login(messages):
            return ""
        executable = self.get_option("ssh_executable")
        command = self._build_command(executable, "ssh", self.host, "exit 0")
        start = command.index(os.fsencode(executable)) + 1
        # With -v, the ssh of ProxyJump shows its reasons, whatever log level its configuration has.
        command[start:start] = [b"-v", b"-oControlMaster=no", b"-oControlPath=none"]
        with contextlib.suppress(AnsibleError):
            self._bare_run(command, None, sudoable=False, checkrc=False)
        return self._ssh_messages

    def _failure_message(self, error: RemoteItError, host: str) -> str:
        """Return the full reason for the first host that shows it. For other hosts, return a reference to that host."""
        if isinstance(error, OptionsError):
            return error.message
        first = host
        if not self._play_context.no_log:  # which hides the reason of this host
            with contextlib.suppress(RemoteItError):  # without a keeper, each host gets the full reason
                first = KeeperClient().record_host_failure(error.message, host)
        if first == host:
            return f"could not open a connection: {error.message}"
        return f"could not open a connection, for the same reason as {first} ({error.code})"

    # -- the command line ----------------------------------------------------------------------------------------------

    def _build_command(self, binary: str, subsystem: str, *other_args: bytes | str) -> list[bytes]:
        """Return the command line of the base class with our options first, because ssh uses the first value."""
        if self._lease is None:
            raise AnsibleConnectionFailure(f"{CONNECTION} has no connection for this command")
        self.set_option("control_path_dir", THIS_RUN.runtime_dir)  # the base class creates it
        destination = self._destination(self._lease, subsystem)
        arguments = replace_destination(subsystem, other_args, self.host, destination.alias)
        command: list[bytes] = super()._build_command(binary, subsystem, *arguments)
        start = command.index(os.fsencode(binary)) + 1
        end = len(command) - len(arguments)
        users_options = quiet_flags_to_options(map(os.fsdecode, command[start:end]))
        options = [*destination.arguments, *users_options, *KEEP_ALIVE]
        self._route = self._verified_route(self._lease, subsystem, options, destination)
        options[:0] = required_log_level(self._route.log_level, has_responded=self._lease.has_responded)
        return [*command[:start], *map(os.fsencode, options), *command[end:]]

    def _destination(self, lease: ProxyLease, subsystem: str) -> Destination:
        connection = lease.connection
        login = [str(self.get_option(name)) for name in _LOGIN_OPTIONS if name in self.option_definitions]
        login.append(str(self.get_option(f"{subsystem}_extra_args") or ""))
        directory = THIS_RUN.control_path_dir(connection.connectionid)
        with contextlib.suppress(OSError):
            os.makedirs(directory, mode=0o700, exist_ok=True)
        return Destination(
            connection.host,
            connection.port,
            host_key_alias(connection.deviceaddress),
            os.path.join(directory, hashlib.sha256("\0".join(login).encode()).hexdigest()[:10]),
        )

    def _verified_route(self, lease: ProxyLease, subsystem: str, options: list[str], destination: Destination) -> Route:
        """Return how ssh connects to the destination with these options. The keeper remembers verified options.

        :raises OptionsError: ssh would connect elsewhere, or cannot show where.
        """
        executable = self.get_option("ssh_executable")
        digest = hashlib.sha256("\0".join([subsystem, executable, *options]).encode()).hexdigest()[:16]
        for verdict in lease.checked:
            checked, _unused, route = verdict.partition(" ")
            if checked == digest:
                return Route.from_text(route)
        extra_arguments = quiet_flags_to_options(self._split_ssh_args(self.get_option(f"{subsystem}_extra_args") or ""))
        arguments = effective_ssh_arguments(subsystem, options, extra_arguments)
        found = check_destination(executable, arguments, destination)
        lease.note_checked(f"{digest} {found.to_text()}")
        return found


def _require_ssh_service(lease: ProxyLease) -> None:
    if lease.connection.reverse_proxy:
        raise OptionsError(
            f"the service {lease.connection.deviceaddress} is a web service, which ssh cannot use; see the module"
            " remoteit.fleet.remoteit_connect"
        )
