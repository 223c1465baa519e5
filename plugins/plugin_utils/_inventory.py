# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""What becomes of an account's devices in an inventory: their names, their variables, and how they are cached."""

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

#: Before 2.19 the engine takes any string for a template that is not marked as unsafe; since then, none but those of
#: the user's own files.
_NEEDS_UNSAFE_TAGS = tuple(map(int, ansible_version.split(".")[:2])) < (2, 19)

#: What cannot be part of a template, nor of an expression that calls anything. It is not marked: C(ansible-inventory
#: --list) shows a marked string as C({"__ansible_unsafe": ...}).
_TEMPLATE_FREE = re.compile(r"[\w .:@+$-]*")

#: Names that mean something else to the engine.
_RESERVED_NAMES = frozenset({"all", "ungrouped", "localhost", "127.0.0.1"})


@dataclasses.dataclass
class DeviceListing:
    """The devices of an account, and what was odd about them.

    :param account: whose they are, as far as the options tell.
    """

    account: str | None
    warnings: list[str]
    devices: list[Device]

    #: What was written by a release that knew other fields is not read.
    FORMAT: t.ClassVar[str] = ",".join(Device._fields + Service._fields)

    def dump(self) -> str:
        """As JSON text: of anything else a cache would copy, indent and tag each part."""
        return json.dumps([self.account, self.warnings, self.devices], separators=(",", ":"))

    @classmethod
    def load(cls, text: str) -> DeviceListing:
        """Read what C(dump) wrote.

        :raises LookupError, TypeError, ValueError, RecursionError: it is something else.
        """
        account, warnings, rows = parsed = json.loads(text)
        if not all(isinstance(words, (str, type(None))) for words in (account, "".join(warnings))):
            raise TypeError("these are not the words of a listing")
        if re.search(r"\\u[dD]", text):  # perhaps half of a pair, which nothing can write
            json.dumps(parsed, ensure_ascii=False).encode()
        return cls(account, warnings, [_device(row) for row in rows])


def digest(*parts: t.Any) -> str:
    """A name for all this together, which gives nothing of it away."""
    return hashlib.sha256(json.dumps(parts, default=sorted).encode()).hexdigest()[:16]


_TEXT, _NUMBER = (str, type(None)), (int, type(None))
_SERVICE = ((str,), _TEXT, _NUMBER, _TEXT, _NUMBER, (bool,), (bool,))
_DEVICE = ((str,), _TEXT, (bool,), _TEXT, (list,), _NUMBER, (dict,), *[_TEXT] * 5, (list,))


def _device(row: t.Any) -> Device:
    *fields, services = _checked(row, _DEVICE)
    device = Device._make([*fields, tuple(Service._make(_checked(service, _SERVICE)) for service in services)])
    if exceeds_max_depth(device.attributes) or not all(isinstance(tag, str) for tag in device.tags):
        raise ValueError("this is no device")
    return device


def _checked(row: t.Any, types: tuple[tuple[type, ...], ...]) -> list[t.Any]:
    """The row, whose values have to be of these types, and the first of them an id."""
    well = isinstance(row, list) and len(row) == len(types) and all(type(v) in each for v, each in zip(row, types))
    if not well or not SERVICE_ID.fullmatch(row[0]):
        raise ValueError("this is no device")
    return list(row)


@dataclasses.dataclass(frozen=True)
class ServicePreference:
    """Which service Ansible uses: the first that fits by application, among equals by name, then by port.

    Each list is in the order of preference. What fits none of them is not used, nor what is disabled.
    """

    applications: t.Sequence[int]
    names: t.Sequence[str] = ()
    ports: t.Sequence[int] = ()

    def of(self, device: Device) -> Service | None:
        best = None
        worst = (len(self.applications), len(self.names), len(self.ports))
        for service in device.services:
            if not service.enabled:
                continue
            rank = (
                _index(self.applications, service.application),
                _index(self.names, service.name),
                _index(self.ports, service.port),
            )
            if rank != worst and (best is None or (rank, service.id) < best[:2]):
                best = rank, service.id, service
        return best[2] if best else None


def _index(preferences: t.Sequence[t.Any], value: t.Any) -> int:
    return preferences.index(value) if value in preferences else len(preferences)


def host_variables(device: Device, service: Service | None) -> dict[str, t.Any]:
    """The variables of a host: nothing but what JSON knows, and nothing that the engine takes for a template.

    :param service: what Ansible uses; without one, nothing says how to reach the device.
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
        "remoteit_external_address": device.external_address,
        "remoteit_internal_address": device.internal_address,
    }
    if service is not None:
        variables["remoteit_deviceaddress"] = service.id
        variables["remoteit_service"] = service.name
    if _NEEDS_UNSAFE_TAGS and not _is_harmless(device):
        variables = {key: _never_a_template(value) for key, value in variables.items()}
    return variables


def _is_harmless(device: Device) -> bool:
    """Whether no string needs a mark, looked at all together: what is not a string from elsewhere, we have made."""
    texts: list[str | None] = [*_texts(device.attributes), *device.tags]
    texts += (device.name, device.owner, device.external_address, device.internal_address)
    for service in device.services:
        texts += (service.name, service.title)
    return _TEMPLATE_FREE.fullmatch(" ".join(filter(None, texts))) is not None


def _texts(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _never_a_template(value: t.Any) -> t.Any:
    """The value with its strings marked as unsafe, for an engine that needs it.

    Such an engine forgets the marks of keys when a dictionary becomes a string, so a key that needs one is left out.
    """
    if isinstance(value, str):
        return value if _TEMPLATE_FREE.fullmatch(value) else wrap_var(value)
    if isinstance(value, dict):
        return {key: _never_a_template(item) for key, item in value.items() if _TEMPLATE_FREE.fullmatch(key)}
    if isinstance(value, list):
        return [_never_a_template(item) for item in value]
    return value


def sanitize_hostname(name: str) -> str:
    """The name in letters, digits, C(.), C(_) and C(-) alone; nothing of it means anything to ssh, a path or a pattern.

    It may be empty.
    """
    return re.sub(r"[^\w.-]+", "_", "".join(name)).rstrip("_").lstrip("_.-")[:200]


def host_names(wanted: t.Sequence[tuple[str, str]], taken: t.Container[str]) -> tuple[list[str], list[str]]:
    """A name for each host, which no other has; and the names that several wanted.

    Each of several gets its id appended, whatever order they come in; so does a name that is another's with its id.

    :param wanted: id and harmless name of each; without a name it is called by its id.
    :param taken: names that mean something else.
    """
    uses = collections.Counter(name for _unused, name in wanted)
    with_ids = [_with_id(name, device_id.upper()) for device_id, name in wanted]
    others = {*with_ids, *_RESERVED_NAMES}
    names = [
        name if name and uses[name] == 1 and name not in others and name not in taken else with_id
        for (_unused, name), with_id in zip(wanted, with_ids)
    ]
    return names, sorted(name for name, count in uses.items() if name and count > 1)


def _with_id(name: str, device_id: str) -> str:
    return f"{name}-{device_id.replace(':', '')}" if name else device_id.replace(":", "-")
