# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Read from a host's options which service it has, who may use its proxy, and which account opens it.

The connection plugin reads its own host, the batch that it opens ahead, and an action's ``hosts`` here, so all three
agree. A host option is the plugin option of the same name; in the inventory it is a variable (``HOST_VARIABLES``).
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

#: The connection plugin's account options, with the options of the modules that have the same meaning. The plugin
#: ``ansible.builtin.ssh`` has a ``password`` and a ``timeout`` of its own.
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

#: The host variable of each option of the connection plugin that is not an option of ``ansible.builtin.ssh``.
HOST_VARIABLES = {
    **{option: f"remoteit_{name}" for option, name in ACCOUNT_OPTIONS.items()},
    **{
        name: f"remoteit_{name}"
        for name in ("deviceaddress", "device", "device_id", "service", "hostip", "wait_timeout", "prefetch")
    },
}

_DEFAULTS = {"timeout": 60, "concurrency": 16}


class HostReader:
    """Reads hosts. Hosts with the same account options share one account, so its credentials are loaded once."""

    def __init__(self) -> None:
        self._accounts: dict[tuple[t.Any, ...], Account | RemoteItError] = {}

    def read(self, name: str, options: t.Mapping[str, t.Any], facts: t.Iterable[t.Any]) -> HostRequest:
        """Return what the options of a host describe.

        :param options: by name, in plain types; ``None`` if not set.
        :param facts: the names of the host's facts, which its device chooses.
        :raises OptionsError: an option is missing or invalid, or the device may have chosen it.
        :raises NotFoundError: the inventory found no service on the device that Ansible may use.
        :raises AuthError: the host has no credentials.
        """
        check_facts(facts)
        service, device = _text(options, "deviceaddress"), _text(options, "device")
        target = None
        if service:
            if not SERVICE_ID.fullmatch(service):
                raise OptionsError(
                    f"invalid service ID {service!r} in remoteit_deviceaddress: {service_id_hint([service])}"
                )
        elif _text(options, "device_id"):  # to look up its name might find another device
            raise NotFoundError(
                f"the device {device or name} has no service that Ansible may use; the inventory options"
                " use_application, use_service and use_port select one"
            )
        elif device:
            wanted = _text(options, "service")
            target = ServiceName.parse(device, wanted) if wanted else ServiceName.parse(device, application="ssh")
        else:
            raise OptionsError(
                f"the host {name} has neither remoteit_deviceaddress nor remoteit_device: set one to the ID of its"
                " service, or the other to the name of its device"
            )
        hostip = check_hostip(_text(options, "hostip"))
        return HostRequest(name, service, target, hostip, self._account(options))

    def _account(self, options: t.Mapping[str, t.Any]) -> Account:
        given = {name: options.get(option) for option, name in ACCOUNT_OPTIONS.items()}
        key = tuple(map(repr, given.values()))
        if key not in self._accounts:
            try:
                self._accounts[key] = account_of(_typed(given), os.environ)
            except RemoteItError as error:
                self._accounts[key] = error
        account = self._accounts[key]
        if isinstance(account, RemoteItError):
            raise account
        return account


def check_facts(facts: t.Iterable[t.Any]) -> None:
    """Refuse a host for which a fact could change what is opened: a device chooses its facts.

    :raises OptionsError: naming the facts.
    """
    names = sorted(name for name in map(str, facts) if name.startswith("remoteit_") and name != "remoteit_connection")
    if names:
        raise OptionsError(
            f"{', '.join(names)} is set as a fact. A device chooses its facts, and they override the inventory, so no"
            " connection was opened. Clear the facts (ansible.builtin.meta: clear_facts) and set the variable in the"
            " inventory"
        )


def _typed(given: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the account options in the types that the modules' argument specs give them."""
    typed: dict[str, t.Any] = {}
    for name, value in given.items():
        if name in _DEFAULTS:
            typed[name] = positive_int(f"remoteit_{name}", value, _DEFAULTS[name])
        elif name == "credentials_file" and value:
            typed[name] = os.path.expanduser(str(value))
        else:
            typed[name] = None if value in (None, "") else str(value)
    return typed


def positive_int(variable: str, value: t.Any, default: int, least: int = 1) -> int:
    """Return a whole number.

    :raises OptionsError: it is not one, or too small. The value is not a secret.
    """
    if value in (None, ""):
        return default
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise OptionsError(f"invalid {variable}: {value!r} is not a whole number") from None
    if number < least:
        raise OptionsError(f"invalid {variable}: {number} is less than {least}")
    return number


def _text(options: t.Mapping[str, t.Any], name: str) -> str | None:
    value = options.get(name)
    return None if value in (None, "") else str(value)
