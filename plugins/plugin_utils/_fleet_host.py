# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Read the service, the restriction and the account of an inventory host from its options.

The connection plugin reads its current host and the batch that it opens ahead with this module. ``hosts`` of an action
uses it as well, so that all three agree. The options are those of the connection plugin. ``HOST_VARIABLES`` maps them
to the variables of the inventory.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.account import Account
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import SERVICE_ID
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    NotFoundError,
    OptionsError,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._argspec import account_of, service_id_hint
from ansible_collections.remoteit.fleet.plugins.plugin_utils._connect import check_hostip
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest

#: The account options of the connection plugin, with the module options of the same meaning. Two names differ, because
#: ``ansible.builtin.ssh`` already has the options ``password`` and ``timeout``.
ACCOUNT_OPTIONS = {
    "token": "token",
    "developer_key": "developer_key",
    "username": "username",
    "api_password": "password",
    "access_key_id": "access_key_id",
    "secret_access_key": "secret_access_key",
    "profile": "profile",
    "credentials_file": "credentials_file",
    "api_url": "api_url",
    "graphql_url": "graphql_url",
    "api_timeout": "timeout",
    "concurrency": "concurrency",
}

#: The host variables of the connection plugin's options that ``ansible.builtin.ssh`` does not have.
HOST_VARIABLES = {
    **{option: f"remoteit_{name}" for option, name in ACCOUNT_OPTIONS.items()},
    **{
        name: f"remoteit_{name}"
        for name in (
            *("deviceaddress", "device", "device_id", "service", "hostip"),
            *("wait_timeout", "wait_for_online", "prefetch"),
        )
    },
}

#: The host variable of each account option, by the name of the module option.
_VARIABLES = {name: HOST_VARIABLES[option] for option, name in ACCOUNT_OPTIONS.items()}

_DEFAULTS = {"timeout": 60, "concurrency": 16}


class HostReader:
    """A reader that loads the credentials of an account once for all hosts with the same account options."""

    def __init__(self) -> None:
        self._accounts: dict[tuple[t.Any, ...], Account | RemoteItError] = {}

    def read(self, name: str, options: t.Mapping[str, t.Any], facts: t.Iterable[t.Any]) -> HostRequest:
        """Return what the options of a host describe.

        :param options: the values by option name, in built-in types. ``None`` stands for an option that is not set.
        :param facts: the names of the host's facts, which the device chooses.
        :raises OptionsError: an option is missing or invalid, or a fact could override it.
        :raises NotFoundError: the inventory found no service on the device that Ansible may use.
        :raises AuthError: the host has no credentials.
        """
        check_facts(facts)
        service_id = _service_id(options)
        service_name = None if service_id else _service_name(name, options)
        hostip = check_hostip(_text(options, "hostip"))
        return HostRequest(name, service_id, service_name, hostip, self._account(options))

    def _account(self, options: t.Mapping[str, t.Any]) -> Account:
        values = {name: options.get(option) for option, name in ACCOUNT_OPTIONS.items()}
        key = tuple(map(repr, values.values()))
        if key not in self._accounts:
            try:
                self._accounts[key] = account_of(_convert_types(values), os.environ, _VARIABLES)
            except RemoteItError as error:
                self._accounts[key] = error
        account = self._accounts[key]
        if isinstance(account, RemoteItError):
            raise account
        return account


def check_facts(facts: t.Iterable[t.Any]) -> None:
    """Raise an error if a fact could override a variable of the inventory: a device chooses its facts.

    :raises OptionsError: the message lists the facts.
    """
    names = sorted(name for name in map(str, facts) if name.startswith("remoteit_") and name != "remoteit_connection")
    if names:
        raise OptionsError(
            f"{', '.join(names)} is set as a fact. A device chooses its facts, and they override the inventory, so no"
            " connection was opened. Clear the facts (ansible.builtin.meta: clear_facts) and set the variable in the"
            " inventory"
        )


def _service_id(options: t.Mapping[str, t.Any]) -> str | None:
    service_id = _text(options, "deviceaddress")
    if service_id and not SERVICE_ID.fullmatch(service_id):
        raise OptionsError(
            f"invalid service ID {service_id!r} in remoteit_deviceaddress: {service_id_hint([service_id])}"
        )
    return service_id


def _service_name(host: str, options: t.Mapping[str, t.Any]) -> ServiceName:
    device, service = _text(options, "device"), _text(options, "service")
    if _text(options, "device_id"):  # a lookup by name could find another device of the same name
        raise NotFoundError(
            f"the device {device or host} has no service that Ansible may use; the inventory options use_application,"
            " use_service and use_port select one. If the inventory is cached, run again with --flush-cache"
        )
    if not device:
        raise OptionsError(
            f"the host {host} has neither remoteit_deviceaddress nor remoteit_device: set one to the ID of its service,"
            " or the other to the name of its device"
        )
    return ServiceName.parse(device, service) if service else ServiceName.parse(device, application="ssh")


def _convert_types(values: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the account options in the types of the modules' argument specs."""
    converted: dict[str, t.Any] = {}
    for name, value in values.items():
        if name in _DEFAULTS:
            converted[name] = parse_int(f"remoteit_{name}", value, _DEFAULTS[name])
        elif name == "credentials_file" and value:
            converted[name] = os.path.expanduser(str(value))
        else:
            converted[name] = None if value is None else str(value)
    return converted


def parse_int(variable: str, value: t.Any, default: int, minimum: int = 1) -> int:
    """Return the value of a variable as an integer, or the default if it is not set.

    :raises OptionsError: the value is not an integer, or less than the minimum. The message contains the value.
    """
    if value in (None, ""):
        return default
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise OptionsError(f"invalid {variable}: {value!r} is not a whole number") from None
    if number < minimum:
        raise OptionsError(f"invalid {variable}: {number} is less than {minimum}")
    return number


def _text(options: t.Mapping[str, t.Any], name: str) -> str | None:
    """Return an option as a string, or ``None`` if it is not set or empty."""
    value = options.get(name)
    return None if value in (None, "") else str(value)
