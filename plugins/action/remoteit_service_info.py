# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ``remoteit_service_info`` on the controller. The module of the same name has the documentation."""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._action import RemoteItAction
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import (
    Device,
    DeviceFilter,
    application_name,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import NotFoundError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._argspec import AUTH_SPEC, account_of
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.client import KeeperClient
from ansible_collections.remoteit.fleet.plugins.plugin_utils._results import with_warnings


class ActionModule(RemoteItAction):
    ARGUMENT_SPEC: t.ClassVar[dict[str, t.Any]] = {
        **AUTH_SPEC,
        "device": {"type": "list", "elements": "str"},
        "service": {"type": "list", "elements": "str"},
        "tags_any": {"type": "list", "elements": "str"},
        "tags_all": {"type": "list", "elements": "str"},
        "state": {"type": "str", "choices": ["active", "inactive"]},
        "application": {"type": "list", "elements": "str"},
        "organisation": {"type": "str", "aliases": ["organization"]},
    }

    def execute(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        wanted = DeviceFilter.from_options(options)
        warnings: list[str] = []
        devices = KeeperClient().list_devices(account_of(options, self.environment()), wanted, warnings.append)
        result = result_of(devices, wanted)
        return with_warnings(result, warnings)


def result_of(devices: list[Device], wanted: DeviceFilter) -> dict[str, t.Any]:
    """Return the task's result.

    :raises NotFoundError: a name of ``device`` or ``service`` is ambiguous.
    """
    _check_names(devices, wanted)
    return {
        "changed": False,
        "devices": [_as_result(device) for device in devices],
        "deviceaddresses": [service.id for device in devices for service in device.services],
    }


def _check_names(devices: list[Device], wanted: DeviceFilter) -> None:
    """Fail if a name of the options is ambiguous.

    :raises NotFoundError: several devices, or several services of a device, have it.
    """
    named = collections.defaultdict(list)
    for device in devices:
        named[device.name].append(device)
    several = [
        f"{name!r}: {', '.join(f'{device.id} ({device.state})' for device in named[name])}"
        for name in sorted(wanted.devices)
        if len(named[name]) > 1
    ]
    for device in devices if wanted.devices else ():
        of_name = collections.defaultdict(list)
        for service in device.services:
            of_name[service.name].append(service.id)
        several += [
            f"{device.name!r} {name!r}: {', '.join(of_name[name])}"
            for name in sorted(wanted.services)
            if len(of_name[name]) > 1
        ]
    if several:
        raise NotFoundError(
            f"several devices, or services of a device, have the same name: {'; '.join(several)}; select them by tags,"
            " state or organisation, or use an ID that remoteit_service_info lists without the option device"
        )


def _as_result(device: Device) -> dict[str, t.Any]:
    services = [
        {**service._asdict(), "application_name": application_name(service.application)} for service in device.services
    ]
    return {**device.as_result(), "services": services}
