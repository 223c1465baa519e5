# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role C(remoteit_session) cannot say in YAML; the documentation is in the module of the same name."""

from __future__ import annotations

import time
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from ansible_collections.remoteit.fleet.plugins.module_utils import _argspec, _connect, _session_spec
from ansible_collections.remoteit.fleet.plugins.module_utils._errors import (
    CallTimeoutError,
    NetworkError,
    OptionsError,
    RemoteItError,
    from_failure,
)
from ansible_collections.remoteit.fleet.plugins.module_utils._fleet import Order
from ansible_collections.remoteit.fleet.plugins.plugin_utils import _session
from ansible_collections.remoteit.fleet.plugins.plugin_utils._action import Progress, RemoteItAction
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper_client import (
    KeeperClient,
    close_at_the_end_of_this_run,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._run import THIS_RUN

close_at_the_end_of_this_run()

#: A proxy that has refused everything for so many seconds is not one that is about to be ready.
REFUSED_SECONDS = 10.0

#: What ssh says when waiting longer does not help.
_FINAL = {
    "Host key verification failed": (
        "ssh does not accept the device's host key. If the key is not known yet, connect once with"
        " remoteit_session_host_key_checking: accept-new, which records it as {alias}. If it is known, the device has"
        " another key than before: find out why, and only then remove the old one (ssh-keygen -R {alias})"
    ),
    "Permission denied": "the device answers but does not let this user in; check ansible_user and the key",
}


class ActionModule(RemoteItAction):
    SPEC = _session_spec.ARGUMENT_SPEC

    def work(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        if options["phase"] == "find":
            return {"changed": False, "path": _session.find_tasks_file(options["tasks"], task_vars)}
        if options["phase"] == "ready":
            return self._ready(options, task_vars)
        hosts = _session.Hosts(self._task, task_vars, self._templar)
        return {"open": self._open, "close": self._close}[options["phase"]](options, hosts)

    # -- open ------------------------------------------------------------------------------------------------------

    def _open(self, options: dict[str, t.Any], hosts: _session.Hosts) -> dict[str, t.Any]:
        result: dict[str, t.Any] = {
            "changed": False,
            "in_step": hosts.in_step,
            "hosts": [],
            "others": [],
            "failures": {},
        }
        if not hosts.in_step and not options["alone"]:
            return result
        hosts.check_nothing_overrides(self._loader)
        if options["alone"] and KeeperClient().is_first(hosts.batch_name):
            self._open_all(options, list(_session.well_named(hosts, hosts.batch)), claim=False)
        there = _session.members(hosts, [hosts.this] if options["alone"] else hosts.batch)
        outcomes = self._open_all(options, there)
        keys = _session.HostKeys(options["host_key_checking"], options["known_hosts"])
        for member in there:
            outcome = outcomes[member.service.upper()]
            if isinstance(outcome, RemoteItError):
                failure = {**outcome.as_failure(), "deviceaddress": member.service}
                result["failures"][member.host] = failure
                result["others"].append({"host": member.host, "connection": {}, "session": {"failure": failure}})
                continue
            result["changed"] |= not outcome.reused
            if outcome.reverse_proxy:
                result["others"].append(_session.record(member, outcome))
            else:
                folder = THIS_RUN.control_path_dir(outcome.connectionid)
                result["hosts"].append(_session.directions(member, outcome, folder, keys))
        return result

    def _open_all(
        self, options: dict[str, t.Any], there: list[_session.Member], claim: bool = True
    ) -> dict[str, t.Any]:
        """The connection or the error of each service, by its id in capitals; one call for all of them.

        :param claim: whether to wait for them, or to leave that to each host's own task.
        """
        services = {member.service.upper(): member.service for member in there}
        claims: dict[str, list[str]] = {service: [] for service in services.values()}
        for member in there if claim else ():
            claims[services[member.service.upper()]].append(f"session of {member.host}")
        order = Order(tuple(services.values()), hostip=_connect.check_hostip(options["hostip"]))
        progress, outcomes, failed = Progress(), {}, 0
        account = _argspec.account_of(options, self.environment())
        for service, outcome in KeeperClient().open(account, order, claims):
            outcomes[service.upper()] = outcome
            failed += isinstance(outcome, RemoteItError)
            progress(len(outcomes) - failed, failed, len(services))
        return outcomes

    # -- ready -----------------------------------------------------------------------------------------------------

    def _ready(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        session = self._templar.template(task_vars.get(_session.RECORD)) or {}
        connection = self._templar.template(task_vars.get("remoteit_connection")) or {}
        if "failure" in session:
            failure = session["failure"]
            raise type(from_failure(failure))(
                f"could not open a connection to {failure['deviceaddress']}: {failure['message']}"
            )
        if not connection.get("reverse_proxy"):
            self._check_the_way(connection, task_vars)
            self._wait(options["wait_timeout"], session["service"])
            if options["gather_facts"]:
                return self._execute_module("ansible.legacy.setup", module_args={}, task_vars=task_vars)
        return {"changed": False}

    def _check_the_way(self, connection: dict[str, t.Any], task_vars: dict[str, t.Any]) -> None:
        """Make sure that this task, and so the tasks to come, would reach the proxy and nothing else."""
        if self._connection.transport != "ssh":
            raise OptionsError(
                f"ansible_connection is {self._connection.transport}, so the tasks would not run on the device: a"
                " session needs ssh; for anything else use remoteit.fleet.remoteit_connect"
            )
        for option, wanted, names in (
            ("host", connection["host"], ("ansible_host", "ansible_ssh_host")),
            ("port", connection["port"], ("ansible_port", "ansible_ssh_port")),
            ("ssh_common_args", task_vars["ansible_ssh_common_args"], ("ansible_ssh_common_args",)),
        ):
            if str(self._connection.get_option(option)) != str(wanted):
                others = [name for name in names if str(task_vars.get(name, wanted)) != str(wanted)]
                culprit = (others or names)[-1]
                raise OptionsError(
                    f"{culprit} is set where a role cannot override it, so the tasks would run on"
                    f" {self._connection.get_option('host')} and not on the device; remove it"
                )

    def _wait(self, seconds: int, service: str) -> None:
        """Run a command that does nothing until it succeeds.

        :raises RemoteItError: it did not in time, or cannot ever.
        """
        end = time.monotonic() + seconds
        end_if_refused = time.monotonic() + REFUSED_SECONDS
        while seconds > 0:
            try:
                self._connection.exec_command("exit 0", sudoable=False)
                return
            except AnsibleConnectionFailure as error:
                reason = " ".join(str(error).split())
            except AnsibleError as error:
                raise RemoteItError(f"ssh to the device cannot be started: {' '.join(str(error).split())}") from error
            for words, advice in _FINAL.items():
                if words in reason:
                    raise RemoteItError(f"{advice.format(alias=_session.alias(service))}. ssh says: {reason}")
            if "Connection refused" in reason and time.monotonic() >= end_if_refused:
                raise NetworkError(
                    "the proxy is gone: it was closed, or another run's connection to the same service took its place."
                    f" ssh says: {reason}"
                )
            if time.monotonic() >= end:
                raise CallTimeoutError(
                    f"the connection is open, but the device did not answer over ssh within {seconds} seconds"
                    f" (remoteit_session_wait_timeout). ssh says: {reason}"
                )
            time.sleep(1)

    # -- close -----------------------------------------------------------------------------------------------------

    def _close(self, options: dict[str, t.Any], hosts: _session.Hosts) -> dict[str, t.Any]:
        """Close what the hosts hold. What went wrong is returned: the hosts' variables have to be put back first."""
        result: dict[str, t.Any] = {
            "changed": False,
            "in_step": hosts.in_step,
            "restore": [],
            "values": [],
            "failures": {},
            "problem": None,
        }
        if not hosts.in_step and not options["alone"]:
            return result
        stops, holders = [], []
        for host in [hosts.this] if options["alone"] else hosts.all_of_the_play:
            session = hosts.variables(host).get(_session.RECORD)
            if not session:
                continue
            before = session.get("before", {})
            if before:
                result["restore"].append({"host": host, "address": before.get("ansible_host") or host})
                result["values"] += [
                    {"host": host, "name": name, "value": value}
                    for name, value in before.items()
                    if value is not None and name != "ansible_host"
                ]
                stops.append((session["service"], session["connectionid"]))
                holders.append(f"session of {host}")
        try:
            self._close_all(options, stops, holders, result)
        except RemoteItError as error:
            result["problem"] = f"the connections could not be closed and may still be open: {error.message}"
        return result

    def _close_all(
        self, options: dict[str, t.Any], stops: list[tuple[str, str]], holders: list[str], result: dict[str, t.Any]
    ) -> None:
        if not stops:
            return
        account = _argspec.account_of(options, self.environment())
        for (service, connectionid), outcome in KeeperClient().close(account, stops, holders):
            if isinstance(outcome, RemoteItError):
                result["failures"][service] = {**outcome.as_failure(), "connectionid": connectionid}
            else:
                result["changed"] = True
        if result["failures"]:
            result["problem"] = "connections could not be closed and may still be open: " + "; ".join(
                f"{service} (connection {failure['connectionid']}): {failure['message']}"
                for service, failure in list(result["failures"].items())[:10]
            )
