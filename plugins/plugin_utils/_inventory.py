# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Turn the devices of an account into hosts of an inventory: cached listings, host names and host variables."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import re
import typing as t

from ansible.release import __version__ as ansible_version
from ansible.utils.unsafe_proxy import wrap_var

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import SERVICE_ID
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.device_lists import exceeds_max_depth
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import Device, Service
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.destination import CONNECTION

#: Whether strings must be marked as unsafe. Before 2.19, ansible-core templates every string that is not. Since 2.19,
#: it templates only strings from the user's files.
_NEEDS_UNSAFE_TAGS = tuple(map(int, ansible_version.split(".")[:2])) < (2, 19)

#: Characters of strings that need no mark, because no template or call consists of them. A mark has a cost:
#: ``ansible-inventory --list`` shows a marked string as ``{"__ansible_unsafe": ...}``.
_TEMPLATE_FREE = re.compile(r"[\w .:@+$-]*")

#: Host names that have a meaning for ansible-core.
_RESERVED_NAMES = frozenset({"all", "ungrouped", "localhost", "127.0.0.1"})


@dataclasses.dataclass
class DeviceListing:
    """The devices of an account, and the warnings about them.

    :param account: the fingerprint of the account, or ``None`` if it is not known.
    """

    account: str | None
    warnings: list[str]
    devices: list[Device]

    #: Part of the cache key: a listing of a release with other fields is not read.
    FORMAT: t.ClassVar[str] = ",".join(Device._fields + Service._fields)

    def dump(self) -> str:
        """Return the listing as JSON text. A cache would copy, indent and tag each part of a data structure."""
        return json.dumps([self.account, self.warnings, self.devices], separators=(",", ":"))

    @classmethod
    def load(cls, text: str) -> DeviceListing:
        """Return the listing that ``dump`` wrote.

        :raises LookupError, TypeError, ValueError, RecursionError: the text is something else.
        """
        account, warnings, rows = parsed = json.loads(text)
        if not all(isinstance(value, (str, type(None))) for value in (account, "".join(warnings))):
            raise TypeError("the account or a warning is not a string")
        if re.search(r"\\u[dD]", text):  # a lone surrogate cannot be encoded
            json.dumps(parsed, ensure_ascii=False).encode()
        return cls(account, warnings, [_parse_device(row) for row in rows])


def digest(*parts: t.Any) -> str:
    """Return a short hash of the values, which does not reveal them."""
    return hashlib.sha256(json.dumps(parts, default=sorted).encode()).hexdigest()[:16]


_TEXT, _NUMBER = (str, type(None)), (int, type(None))
_SERVICE = ((str,), _TEXT, _NUMBER, _TEXT, _NUMBER, (bool,), (bool,))
_DEVICE = ((str,), _TEXT, (bool,), _TEXT, (list,), _NUMBER, (dict,), *[_TEXT] * 4, _NUMBER, _TEXT, (list,))


def _parse_device(row: t.Any) -> Device:
    *fields, services = _validate_row(row, _DEVICE)
    device = Device._make([*fields, tuple(Service._make(_validate_row(service, _SERVICE)) for service in services)])
    if exceeds_max_depth(device.attributes) or not all(isinstance(tag, str) for tag in device.tags):
        raise ValueError("not a device")
    return device


def _validate_row(row: t.Any, types: tuple[tuple[type, ...], ...]) -> list[t.Any]:
    """Return the row.

    :raises ValueError: the values do not have these types, or the first is not an ID.
    """
    valid = isinstance(row, list) and len(row) == len(types) and all(type(v) in each for v, each in zip(row, types))
    if not valid or not SERVICE_ID.fullmatch(row[0]):
        raise ValueError("not a device")
    return list(row)


@dataclasses.dataclass(frozen=True)
class ServicePreference:
    """The services that Ansible may use, each list in the order of preference.

    The first match by application wins, then by name, then by port, then by ID.
    """

    applications: t.Sequence[int]
    names: t.Sequence[str] = ()
    ports: t.Sequence[int] = ()

    def select(self, device: Device) -> Service | None:
        """Return the service to use, or ``None`` if no enabled service matches."""
        best = None
        no_match = (len(self.applications), len(self.names), len(self.ports))
        for service in device.services:
            if not service.enabled:
                continue
            rank = (
                _rank(self.applications, service.application),
                _rank(self.names, service.name),
                _rank(self.ports, service.port),
            )
            if rank != no_match and (best is None or (rank, service.id) < best[:2]):
                best = rank, service.id, service
        return best[2] if best else None


def _rank(preferences: t.Sequence[t.Any], value: t.Any) -> int:
    return preferences.index(value) if value in preferences else len(preferences)


def host_variables(device: Device, service: Service | None) -> dict[str, t.Any]:
    """Return the variables of a host, in types that JSON has. ansible-core never evaluates them as templates.

    :param service: the service that Ansible uses, or ``None`` if the device has no usable service.
    """
    variables: dict[str, t.Any] = {
        "remoteit_device": device.name,
        "remoteit_device_id": device.id,
        "remoteit_online": device.online,
        "remoteit_tags": list(device.tags),
        "remoteit_services": [entry._asdict() for entry in device.services],
        "remoteit_platform": device.platform,
        "remoteit_attributes": device.attributes,
        "remoteit_owner": device.owner,
        "remoteit_created": device.created,
        "remoteit_last_reported": device.last_reported,
        "remoteit_offline_since": None if device.online else device.last_reported,
        "remoteit_external_address": device.external_address,
        "remoteit_external_port": device.external_port,
        "remoteit_internal_address": device.internal_address,
    }
    if service is not None:
        variables["remoteit_deviceaddress"] = service.id
        variables["remoteit_service"] = service.name
    if _NEEDS_UNSAFE_TAGS and not _is_template_free(device):
        variables = {key: _mark_unsafe(value) for key, value in variables.items()}
    return variables


def _is_template_free(device: Device) -> bool:
    """Return whether no string of the device needs to be marked unsafe.

    One match of all strings is faster than one match each. The other fields are validated when they are parsed.
    """
    texts: list[str | None] = [*_strings(device.attributes), *device.tags]
    texts += (device.name, device.owner, device.external_address, device.internal_address)
    for service in device.services:
        texts += (service.name, service.title)
    return _TEMPLATE_FREE.fullmatch(" ".join(filter(None, texts))) is not None


def _strings(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _mark_unsafe(value: t.Any) -> t.Any:
    """Return the value with its strings marked as unsafe, for ansible-core before 2.19.

    These versions lose the marks of keys when they convert a dictionary to a string. Keys that need a mark are dropped.
    """
    if isinstance(value, str):
        return value if _TEMPLATE_FREE.fullmatch(value) else wrap_var(value)
    if isinstance(value, dict):
        return {key: _mark_unsafe(item) for key, item in value.items() if _TEMPLATE_FREE.fullmatch(key)}
    if isinstance(value, list):
        return [_mark_unsafe(item) for item in value]
    return value


def sanitize_hostname(name: str) -> str:
    """Return the name in letters, digits, ``.``, ``_`` and ``-``, without a meaning for ssh, paths or host patterns.

    The result can be empty.
    """
    return re.sub(r"[^\w.-]+", "_", "".join(name)).rstrip("_").lstrip("_.-")[:200]


def difference(other: t.Mapping[str, t.Any], device: t.Mapping[str, t.Any]) -> str | None:
    """Return why a host of another source is not the device, or ``None`` if the two can be merged.

    Other variables and groups do not matter, because a user may want to add them to a device. Only an ID proves that
    both are the same device. A name is unique within an account at most.

    :param other: the variables of that host. A template is not evaluated, so it is no ID.
    :param device: the variables of the device.
    """
    for name in ("remoteit_deviceaddress", "remoteit_device_id"):
        if other.get(name):
            is_same = str(other[name]).upper() == str(device.get(name, "")).upper()
            return None if is_same else f"whose {name} is not that of the device"
    for name in ("remoteit_device", "remoteit_service"):
        if other.get(name):
            return f"whose {name} may be that of another account (to merge them, remove it there)"
    targets = [name for name in ("ansible_connection", "ansible_host", "ansible_ssh_host") if name in other]
    if not targets or other.get("ansible_connection") == CONNECTION:
        return None
    return f"whose {targets[0]} selects another target (to merge them, remove {' and '.join(targets)} there)"


def host_names(wanted: t.Sequence[tuple[str, str]], taken: t.Container[str]) -> tuple[list[str], list[str]]:
    """Return a unique name for each host, and the names that several hosts have in common.

    All hosts with a common name get their IDs appended, so the result does not depend on their order. The same applies
    to a name that equals another name with its ID.

    :param wanted: the ID and the sanitized name of each host. A host without a name is named after its ID.
    :param taken: names that no host may have.
    """
    uses = collections.Counter(name for _unused, name in wanted)
    with_ids = [name_with_id(name, device_id) for device_id, name in wanted]
    reserved = {*with_ids, *_RESERVED_NAMES}
    names = [
        name if name and uses[name] == 1 and name not in reserved and name not in taken else with_id
        for (_unused, name), with_id in zip(wanted, with_ids)
    ]
    return names, sorted(name for name, count in uses.items() if name and count > 1)


def name_with_id(name: str, device_id: str) -> str:
    """Return the name with the ID appended, or only the ID if the name is empty."""
    device_id = device_id.upper()
    return f"{name}-{device_id.replace(':', '')}" if name else device_id.replace(":", "-")
