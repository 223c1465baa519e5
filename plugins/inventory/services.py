# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: services
short_description: The devices of a remote.it account as hosts
version_added: 1.0.0
author:
  - remoteit.fleet contributors (@remoteit-fleet)
description:
  - Lists the devices of an account, with groups by tag and by state, and lets Ansible reach them through the connection
    plugin P(remoteit.fleet.ssh#connection).
  - The name of the source file ends with V(remoteit.yml) or V(remoteit.yaml).
  - The names of all variables start with C(remoteit_). C(remoteit_deviceaddress) is the id of the service that Ansible
    uses, and C(remoteit_service) its name; a device that has no such service is listed without the two. The others are
    C(remoteit_device), C(remoteit_device_id), C(remoteit_online), C(remoteit_tags), C(remoteit_services),
    C(remoteit_attributes), C(remoteit_platform) (a number), C(remoteit_owner), C(remoteit_created),
    C(remoteit_last_reported), C(remoteit_external_address) and C(remoteit_internal_address).
  - Names, tags and attributes are chosen by whoever owns a device. They are never templated. On ansible-core before
    2.19 an attribute is left out whose name could be a template.
  - A host's name consists of letters, digits, C(.), C(_) and C(-), with C(_) in place of anything else. Devices whose
    names are equal get their ids appended, and are warned of.
extends_documentation_fragment:
  - remoteit.fleet._auth.plugin
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [remoteit.fleet.services]
  organisation:
    description:
      - List the devices of this organisation in place of the account's own. The account is a member of it.
      - Its name, its id, or the e-mail address of its account. Needs an access key.
    type: str
    aliases: [organization]
  device:
    description: List only devices of these names.
    type: list
    elements: str
    default: []
  service:
    description: List only services of these names, and devices that have one.
    type: list
    elements: str
    default: []
  application:
    description: List only services of these applications, by name (V(ssh), V(http)) or id, and devices that have one.
    type: list
    elements: str
    default: []
  tags_any:
    description: List only devices that have any of these tags. Needs an access key.
    type: list
    elements: str
    default: []
  tags_all:
    description: List only devices that have all of these tags. Needs an access key.
    type: list
    elements: str
    default: []
  state:
    description: List only devices in this state.
    type: str
    choices: [active, inactive]
  include_offline:
    description:
      - List devices that are offline as well, so that a run tells of them.
      - V(false) is the same as O(state=active). Neither changes what a host is called.
    type: bool
    default: true
  use_application:
    description:
      - The applications that Ansible may use to reach a device, by name or id, in the order of preference.
      - A service fits if O(use_application), O(use_service) or O(use_port) has it. Of several, the one is used that
        comes first by application, among equals by name, then by port, then by id. Disabled services are never used.
    type: list
    elements: str
    default: [ssh]
  use_service:
    description: The names of services that Ansible may use, in the order of preference. See O(use_application).
    type: list
    elements: str
    default: []
  use_port:
    description: The ports on the device that Ansible may use, in the order of preference. See O(use_application).
    type: list
    elements: int
    default: []
  hostnames:
    description:
      - What a host is called, in the order of preference; the first that is not empty is taken, and at last the
        device's id.
      - V(device) is the device's name, V(service) that of the service that Ansible uses, V(id) the device's id.
        Anything else is a Jinja expression over the host's variables, without braces.
    type: list
    elements: str
    default: [device]
  group_by:
    description:
      - The groups to make without further ado. V(tag) makes a group for each tag, such as C(remoteit_tag_kiosk), and
        V(state) the groups C(remoteit_state_active) and C(remoteit_state_inactive).
    type: list
    elements: str
    choices: [tag, state]
    default: [tag, state]
  set_connection:
    description:
      - Whether the tasks of the hosts run through the connection plugin P(remoteit.fleet.ssh#connection). All devices
        are in the group C(remoteit_devices), which sets C(ansible_connection). The variables of other groups and of
        hosts take precedence.
    type: bool
    default: true
    version_added: 1.1.0
  group_prefix:
    description: What the names of the groups of O(group_by) begin with.
    type: str
    default: remoteit_
notes:
  - The credentials, O(profile) and the URLs may be templates, for instance with P(ansible.builtin.env#lookup), and the
    credentials may be vaulted. O(credentials_file) is not a template.
  - With a cache, neither the API nor credentials are needed until it expires. C(--flush-cache) and
    C(meta=refresh_inventory) ask the API again.
  - P(remoteit.fleet.ssh#connection) reaches the hosts. The C(connection) keyword of a play and C(-c) lose against the
    variable C(ansible_connection). Use C(delegate_to=localhost) to run a task on the controller.
"""

EXAMPLES = r"""# fmt: code
# fleet.remoteit.yml: every device, with groups such as remoteit_tag_kiosk and remoteit_state_active
plugin: remoteit.fleet.services
---
# kiosks.remoteit.yml: some devices, their names from an attribute, and groups by what is known of them
plugin: remoteit.fleet.services
tags_all: [kiosk]
hostnames: [remoteit_attributes.hostname, device]
compose:
  ansible_user: "'pi'"
  room: remoteit_attributes.room
groups:
  seen_from_berlin: remoteit_external_address is match('203\.0\.113\.')
keyed_groups:
  - key: remoteit_attributes.rack | string
    prefix: rack
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/remoteit
cache_timeout: 600
---
# web.remoteit.yml: an organisation's devices, reached by a service called "maintenance", or else by one called "ssh"
plugin: remoteit.fleet.services
organisation: Example Museums
use_application: []
use_service: [maintenance, ssh]
include_offline: false
"""

import contextlib
import os
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.inventory.group import Group
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.vars import combine_vars

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import load_credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import (
    INCOMPLETE,
    Device,
    DeviceFilter,
    application_id,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError, RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._inventory import (
    DeviceListing,
    ServicePreference,
    digest,
    host_names,
    host_variables,
    sanitize_hostname,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.shutdown import register_in_main_process
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.destination import CONNECTION

#: Of one kind, no more warnings are shown, and no more names in one of them.
MOST_NAMED = 10
#: The group of all devices.
DEVICES_GROUP = "remoteit_devices"


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):  # type: ignore[misc]
    NAME = "remoteit.fleet.services"

    inventory: t.Any  # not None, once it is parsed

    def verify_file(self, path: str) -> bool:
        is_file = bool(super().verify_file(path))  # type: ignore[no-untyped-call]
        return is_file and path.endswith(("remoteit.yml", "remoteit.yaml"))

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        register_in_main_process()
        config = self._read_config_data(path)  # type: ignore[no-untyped-call]
        self._warn_of_unknown(config)
        try:
            listing = self._listing(config, path, cache)
            self._populate(listing)
        except RemoteItError as error:
            raise AnsibleParserError(error.message) from None

    def _warn_of_unknown(self, config: t.Iterable[str]) -> None:
        """A filter with a slip of the pen in its name would let everything through."""
        definitions = C.config.get_configuration_definitions("inventory", self._load_name)
        known = {
            "plugin",
            *definitions,
            *(alias for each in definitions.values() for alias in each.get("aliases") or ()),
        }
        self._warn([f"{name} is not an option of this inventory plugin" for name in config if name not in known])

    def _option(self, name: str) -> t.Any:
        return self.get_option(name)  # type: ignore[no-untyped-call]

    # -- devices ---------------------------------------------------------------------------------------------------

    def _listing(self, config: t.Mapping[str, t.Any], path: str, cache: bool) -> DeviceListing:
        """The devices: from the cache, before anything else is looked at, or from the API."""
        wanted = self._wanted()
        account = self._account(config) if self._option("cache") else None  # only what is kept is somebody's
        where = [self._templated(name) for name in _WHERE]
        key = f"{self.get_cache_key(path)}_{digest(path, DeviceListing.FORMAT, where, vars(wanted))}"
        if cache and self._option("cache"):
            try:
                listing = DeviceListing.load(self._cache[key])
            except (LookupError, TypeError, ValueError, RecursionError):
                pass  # nothing, or nothing of ours
            else:
                if account in (None, listing.account):
                    return listing
        listing = DeviceListing(account, [], [])
        listing.devices.extend(self._fetch(config, wanted, listing.warnings.append))
        is_whole = not any(warning.startswith(INCOMPLETE) for warning in listing.warnings)
        if self._option("cache") and is_whole:
            self._cache[key] = listing.dump()
        return listing

    def _account(self, config: t.Mapping[str, t.Any]) -> str | None:
        """A name for the account that gives nothing of the credentials away; none if there are none."""
        with contextlib.suppress(AnsibleError, RemoteItError):  # a template that finds nothing gives nothing
            return load_credentials(self._given(config), os.environ).fingerprint()
        return None

    def _state(self) -> str | None:
        state: str | None = self._option("state")
        if self._option("include_offline"):
            return state
        if state == "inactive":
            raise OptionsError("state: inactive and include_offline: false leave nothing to list")
        return "active"

    def _wanted(self) -> DeviceFilter:
        """What to fetch: devices in whatever state, so that a host keeps its name when another one goes offline."""
        names = ("device", "service", "tags_any", "tags_all", "application", "organisation")
        return DeviceFilter.from_options({"state": None, **{name: self._option(name) for name in names}})

    def _fetch(
        self, config: t.Mapping[str, t.Any], wanted: DeviceFilter, warn: t.Callable[[str], None]
    ) -> t.Iterator[Device]:
        # C(requests) takes longer to import than a cache takes to read
        from ansible_collections.remoteit.fleet.plugins.plugin_utils._argspec import AUTH_SPEC, account_of

        options = {**dict.fromkeys(AUTH_SPEC), **self._given(config)}
        options |= {"concurrency": 1, "timeout": self._option("timeout")}
        return account_of(options, os.environ).api().devices(wanted, warn)

    def _given(self, config: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """What the source file says of the account. The environment comes after all of it, which C(resolve) sees to."""
        return {name: self._templated(name) for name in _ACCOUNT if config.get(name) is not None}

    def _templated(self, name: str) -> t.Any:
        value = self._option(name)
        if name != "credentials_file" and self.templar.is_template(value):  # of a path the engine has made another one
            self.templar.available_variables = dict(self._vars or {})
            value = self.templar.template(value)
        return value if value is None else str(value)

    # -- hosts -----------------------------------------------------------------------------------------------------

    def _populate(self, listing: DeviceListing) -> None:
        choice = ServicePreference(
            [application_id(str(each)) for each in self._option("use_application")],
            [str(name) for name in self._option("use_service")],
            [int(port) for port in self._option("use_port")],
        )
        state = self._state()
        devices_group = self._group(DEVICES_GROUP)
        if self._option("set_connection"):
            devices_group.set_variable("ansible_connection", CONNECTION)
            devices_group.set_variable("ansible_group_priority", 0)  # so that any group of the user wins
        group_by, prefix = self._option("group_by"), self._option("group_prefix")
        tags = dict.fromkeys(tag for device in listing.devices for tag in device.tags) if "tag" in group_by else ()
        of_tag = {tag: self._group(f"{prefix}tag_{tag}") for tag in tags}
        states = ((True, "active"), (False, "inactive")) if "state" in group_by else ()
        of_state = {online: self._group(f"{prefix}state_{state}") for online, state in states}

        variables = [host_variables(device, choice.select(device)) for device in listing.devices]
        wanted = [(each["remoteit_device_id"], self._host_name(each)) for each in variables]
        other_groups = map(self._sanitize_group_name, self._option("groups"))
        names, shared = host_names(wanted, {*self.inventory.groups, *other_groups, *self._foreign_hosts(wanted)})
        hosts = [
            host
            for host in zip(names, listing.devices, variables)
            if state is None or host[1].online == (state == "active")
        ]

        for name, device, its_variables in hosts:
            self.inventory.add_host(name)
            # at once: the inventory would look at each value, and note for each which file it comes from
            host = self.inventory.hosts[name]
            host.vars = combine_vars(host.vars, its_variables)
            devices_group.add_host(host)
            for tag in device.tags if of_tag else ():
                of_tag[tag].add_host(host)
            if of_state:
                of_state[device.online].add_host(host)

        self._construct([(name, its_variables) for name, _unused, its_variables in hosts])
        self._warn([f"several devices are called {name!r}: their ids are part of their names" for name in shared])
        self._warn(listing.warnings)

    def _group(self, name: str) -> Group:
        return self.inventory.groups[self.inventory.add_group(self._sanitize_group_name(name))]

    def _host_name(self, variables: dict[str, t.Any]) -> str:
        """The first name that the device has, of those that are preferred."""
        for name in self._option("hostnames"):
            if name in _NAMES:
                value = variables.get(_NAMES[name])
            else:
                try:
                    value = self._compose(name, variables)  # type: ignore[no-untyped-call]
                except Exception as error:
                    if self._option("strict"):
                        raise AnsibleParserError(f"hostnames: {name}: {error}") from error
                    continue
            harmless_name = sanitize_hostname("" if value is None else str(value))
            if harmless_name:
                return harmless_name
        return ""

    def _foreign_hosts(self, wanted: t.Iterable[tuple[str, str]]) -> list[str]:
        """Names that hosts of other sources have which are other devices: one host would hide the other."""
        ids = {name: device_id for device_id, name in wanted}
        found = []
        for name, device_id in ids.items():
            host = self.inventory.hosts.get(name)
            if host is not None and host.vars.get("remoteit_device_id", device_id) != device_id:
                found.append(name)
        self._warn(
            [f"another source has a device called {name!r} too: this one's id is part of its name" for name in found]
        )
        return found

    def _construct(self, hosts: t.Iterable[tuple[str, dict[str, t.Any]]]) -> None:
        """What the user's own expressions make of the hosts; one that is odd does not keep the others from it."""
        compose, groups, keyed, strict = (
            self._option(name) for name in ("compose", "groups", "keyed_groups", "strict")
        )
        if not (compose or groups or keyed):
            return
        odd = []
        for name, its_variables in hosts:
            if name in self.inventory.groups:  # by now; the engine would take the host for the group
                odd.append(f"host {name} is in no constructed group, because one has its name")
                continue
            try:
                self._set_composite_vars(compose, its_variables, name, strict)  # type: ignore[no-untyped-call]
                self._add_host_to_composed_groups(groups, its_variables, name, strict)  # type: ignore[no-untyped-call]
                self._add_host_to_keyed_groups(keyed, its_variables, name, strict)  # type: ignore[no-untyped-call]
            except AnsibleError as error:
                if strict:
                    raise
                odd.append(f"host {name} is not in all of its constructed groups: {error}")
        self._warn(odd)

    def _warn(self, messages: t.Sequence[str]) -> None:
        for message in messages[:MOST_NAMED]:
            self.display.warning(f"remote.it: {message}")
        if len(messages) > MOST_NAMED:
            self.display.warning(f"remote.it: and {len(messages) - MOST_NAMED} more warnings like this")


_WHERE = ("api_url", "graphql_url", "profile", "credentials_file")
_ACCOUNT = ("access_key_id", "secret_access_key", "token", "developer_key", "username", "password", *_WHERE)
_NAMES = {"device": "remoteit_device", "service": "remoteit_service", "id": "remoteit_device_id"}
