# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The work of C(remoteit_service_info), the same for its module and its action plugin."""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils._argspec import AUTH_SPEC, account_of
from ansible_collections.remoteit.fleet.plugins.module_utils._devices import (
    Device,
    Wanted,
    application_name,
)
from ansible_collections.remoteit.fleet.plugins.module_utils._errors import NotFoundError
from ansible_collections.remoteit.fleet.plugins.module_utils._fleet import Fleet

ARGUMENT_SPEC: dict[str, t.Any] = {
    **AUTH_SPEC,
    "device": {"type": "list", "elements": "str"},
    "service": {"type": "list", "elements": "str"},
    "tags_any": {"type": "list", "elements": "str"},
    "tags_all": {"type": "list", "elements": "str"},
    "state": {"type": "str", "choices": ["active", "inactive"]},
    "application": {"type": "list", "elements": "str"},
    "organisation": {"type": "str", "aliases": ["organization"]},
}


def service_info(
    options: t.Mapping[str, t.Any],
    environ: t.Mapping[str, str],
    fleet: Fleet,
    *,
    check_mode: bool,
) -> dict[str, t.Any]:
    """List what the options ask for and return the task's result. It changes nothing, so nothing is to be foreseen.

    :raises OptionsError: an application is not known.
    :raises NotFoundError: a name of O(device) is the name of several devices.
    """
    wanted = Wanted.of(options)
    warnings: list[str] = []
    devices = fleet.devices(account_of(options, environ), wanted, warnings.append)
    _check_names(devices, wanted)
    result: dict[str, t.Any] = {
        "changed": False,
        "devices": [_as_result(device) for device in devices],
        "deviceaddresses": [service.id for device in devices for service in device.services],
    }
    if warnings:
        result["warnings"] = warnings
    return result


def _check_names(devices: list[Device], wanted: Wanted) -> None:
    """A name that was asked for is one device's, or one service's of it: nobody wants to guess which of two he gets."""
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
            "several devices, or services of a device, have one name; choose by tags, state or organisation, or by what"
            f" remoteit_service_info lists without the option device: {'; '.join(several)}"
        )


def _as_result(device: Device) -> dict[str, t.Any]:
    services = [
        {**service._asdict(), "application_name": application_name(service.application)} for service in device.services
    ]
    return {**device.as_result(), "services": services}
