# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: services
short_description: List the devices of a remote.it account as hosts
version_added: 1.0.0
author:
  - remoteit.fleet contributors (@remoteit-fleet)
description:
  - Lists the devices of an account, with groups by tag and by state. The connection plugin
    P(remoteit.fleet.ssh#connection) connects to them.
  - The name of the source file must end with V(remoteit.yml) or V(remoteit.yaml).
  - The names of all variables start with C(remoteit_). C(remoteit_deviceaddress) is the ID of the service that Ansible
    uses, and C(remoteit_service) is its name. Devices without a usable service do not have these two variables.
  - The other variables are C(remoteit_device), C(remoteit_device_id), C(remoteit_online), C(remoteit_tags),
    C(remoteit_services), C(remoteit_attributes), C(remoteit_platform) (a number), C(remoteit_owner),
    C(remoteit_created), C(remoteit_last_reported), C(remoteit_external_address), C(remoteit_external_port) and
    C(remoteit_internal_address).
  - C(remoteit_offline_since) is the time at which a device that is offline reported for the last time. It is V(null) if
    the device is online, or if the API does not return the time. Times are in ISO 8601, UTC.
  - The owner of a device chooses its names, tags and attributes. They are never evaluated as templates. On ansible-core
    before 2.19, attributes whose name could be a template are omitted.
  - The name of a host consists of letters, digits, C(.), C(_) and C(-). C(_) replaces all other characters. If several
    devices have the same name, their IDs are appended, with a warning.
  - The ID is also appended if a source that ansible-core reads before has a host of that name that is not the device.
    Such a host has another C(remoteit_deviceaddress) or, without it, another C(remoteit_device_id). Without these two,
    it has C(remoteit_device) or C(remoteit_service), or its C(ansible_host) or C(ansible_connection) selects another
    target. All other hosts are merged with the device. Templates are not evaluated.
  - If a source that ansible-core reads before has another host of the name with the ID of the device, the ID of the
    service is appended instead.
  - Credentials in the source list the devices, and do not connect to them. P(remoteit.fleet.ssh#connection) uses the
    environment, a credentials file, or the variables of the hosts, for example C(remoteit_access_key_id).
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
      - The organization whose devices to list, instead of those of the account. The account must be a member of it.
      - The name, the ID or the email address of the organization. Requires an access key.
    type: str
    aliases: [organization]
  device:
    description: The names of the devices to list. By default, all devices are listed.
    type: list
    elements: str
    default: []
  service:
    description: The names of the services to list, and only devices that have one of them.
    type: list
    elements: str
    default: []
  application:
    description:
      - The application types of the services to list, and only devices that have one of them. Each is a name (for
        example V(ssh) or V(http)) or a remote.it application ID.
    type: list
    elements: str
    default: []
  tags_any:
    description: The tags of which a device must have at least one. Requires an access key.
    type: list
    elements: str
    default: []
  tags_all:
    description: The tags of which a device must have all. Requires an access key.
    type: list
    elements: str
    default: []
  state:
    description: The state of the devices to list. By default, devices in both states are listed.
    type: str
    choices: [active, inactive]
  include_offline:
    description:
      - Whether to list devices that are offline, so that a run reports them as unreachable.
      - V(false) has the same effect as O(state=active). Neither option changes the name of a host.
    type: bool
    default: true
  use_application:
    description:
      - The application types that Ansible can use to connect to a device, as names or IDs, in the order of preference.
      - A service matches if its application type is in O(use_application), its name in O(use_service), or its port in
        O(use_port). Disabled services are never used.
      - If several services match, the order is by application type, then by name, then by port, then by ID. The first
        service is used.
    type: list
    elements: str
    default: [ssh]
  use_service:
    description: The names of the services that Ansible can use, in the order of preference. See O(use_application).
    type: list
    elements: str
    default: []
  use_port:
    description: The ports on the device that Ansible can use, in the order of preference. See O(use_application).
    type: list
    elements: int
    default: []
  hostnames:
    description:
      - The sources of the host name, in the order of preference. The first that is not empty is used. If all are empty,
        the device ID is used.
      - V(device) is the name of the device, V(service) is the name of the service that Ansible uses, and V(id) is the
        device ID. Other values are Jinja expressions over the variables of the host, without braces.
    type: list
    elements: str
    default: [device]
  group_by:
    description:
      - The groups to create automatically. V(tag) creates one group for each tag, such as C(remoteit_tag_kiosk).
        V(state) creates the groups C(remoteit_state_active) and C(remoteit_state_inactive).
      - C(_) replaces all characters that are not allowed in the name of a group. If several tags have the same group,
        the plugin warns, but the group contains the devices of all of them. The same applies to O(keyed_groups)
        of one source.
      - If another source has a group of that name, the two groups are one group. The plugin warns only if
        ansible-core reads that source first. Set O(group_prefix) to separate them. For O(keyed_groups), it does not
        warn, because a user may want to extend a group.
    type: list
    elements: str
    choices: [tag, state]
    default: [tag, state]
  set_connection:
    description:
      - Whether to connect to the hosts through the connection plugin P(remoteit.fleet.ssh#connection).
      - All devices are in the group C(remoteit_devices), which then sets C(ansible_connection). The variables of hosts
        and of other groups take precedence.
    type: bool
    default: true
    version_added: 1.1.0
  group_prefix:
    description: The prefix of the group names that O(group_by) creates.
    type: str
    default: remoteit_
notes:
  - The credentials, O(profile) and the URLs can be templates, for example with P(ansible.builtin.env#lookup). The
    credentials can be encrypted with Ansible Vault. Templates in other options are refused, also in
    O(credentials_file), whose path ansible-core resolves first.
  - With a cache, neither the API nor the credentials are used until it expires. C(--flush-cache) and
    C(meta=refresh_inventory) request the devices again.
  - The variable C(ansible_connection) takes precedence over the C(connection) keyword of a play and over C(-c). Use
    C(delegate_to=localhost) to run a task on the controller.
"""

EXAMPLES = r"""# fmt: code
# fleet.remoteit.yml: all devices, with groups such as remoteit_tag_kiosk and remoteit_state_active
plugin: remoteit.fleet.services
---
# kiosks.remoteit.yml: devices with a tag, names from an attribute, and additional variables and groups
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
# web.remoteit.yml: devices of an organization, through a service named "maintenance", otherwise one named "ssh"
plugin: remoteit.fleet.services
organisation: Example Museums
use_application: []
use_service: [maintenance, ssh]
include_offline: false
"""

import contextlib
import os
import re
import typing as t
import weakref

from ansible import constants as C
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.inventory.group import Group
from ansible.inventory.helpers import get_group_vars
from ansible.inventory.host import Host
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
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    AuthError,
    ConnectOutcome,
    OptionsError,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import list_first
from ansible_collections.remoteit.fleet.plugins.plugin_utils._inventory import (
    DeviceListing,
    ServicePreference,
    difference,
    digest,
    host_names,
    host_variables,
    name_with_id,
    sanitize_hostname,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.shutdown import register_in_main_process
from ansible_collections.remoteit.fleet.plugins.plugin_utils._ssh.destination import CONNECTION

#: The maximum number of warnings of one kind.
MAX_WARNINGS = 10
#: The group of all devices.
DEVICES_GROUP = "remoteit_devices"
#: An empty group that shows that a source of the inventory could not be read.
UNREAD_GROUP = "remoteit_unread_sources"

#: Where the API and the credentials are.
_LOCATION_OPTIONS = ("api_url", "graphql_url", "profile", "credentials_file")
_ACCOUNT_OPTIONS = (
    "access_key_id",
    "secret_access_key",
    "token",
    "developer_key",
    "username",
    "password",
    *_LOCATION_OPTIONS,
)
#: The options that can be templates. ansible-core resolves a path before it could be templated.
_TEMPLATE_OPTIONS = tuple(name for name in _ACCOUNT_OPTIONS if name != "credentials_file")
#: The options with expressions that ansible-core evaluates.
_EXPRESSION_OPTIONS = ("compose", "groups", "keyed_groups")
#: The variables for the names of the option ``hostnames`` that are not expressions.
_NAME_VARIABLES = {"device": "remoteit_device", "service": "remoteit_service", "id": "remoteit_device_id"}
#: The tag or the state from which each group was created, for all sources of an inventory.
_VALUES_OF_GROUPS: weakref.WeakKeyDictionary[t.Any, dict[str, str]] = weakref.WeakKeyDictionary()
#: The names from which each constructed group was created, for all sources of an inventory.
_NAMES_OF_GROUPS: weakref.WeakKeyDictionary[t.Any, dict[str, dict[str, None]]] = weakref.WeakKeyDictionary()
#: The refusal of each login, by a digest of its credentials. Several sources, or ``auto`` for the same source, would
#: repeat the login, and the vendor may lock the account after several wrong passwords.
_REFUSED_LOGINS: dict[str, AuthError] = {}


def _names_the_plugin(path: str) -> bool:
    """Return whether a file selects this plugin. ansible-core offers the plugin all sources, also pipes."""
    if not os.path.isfile(path):
        return False
    with contextlib.suppress(OSError, UnicodeDecodeError), open(path, encoding="utf-8-sig") as file:
        selection = rf"^[{{ ]*['\"]?plugin['\"]? *:\s*['\"]?{re.escape(InventoryModule.NAME)}\b"
        return re.search(selection, file.read(65536), re.MULTILINE) is not None
    return False


def _parse_port(value: t.Any) -> int:
    """Return an element of the option ``use_port``. ansible-core does not check the elements of an inventory option.

    :raises OptionsError: it is not a number.
    """
    try:
        return int(value)
    except (TypeError, ValueError):
        raise OptionsError(f"invalid use_port: {value!r} is not a whole number") from None


class DeviceGroups(t.NamedTuple):
    """The groups that the plugin creates automatically."""

    devices: Group
    by_tag: dict[str, Group]
    by_state: dict[bool, Group]

    def add(self, host: Host, device: Device) -> None:
        """Add the host of a device to its groups."""
        self.devices.add_host(host)
        for tag in device.tags if self.by_tag else ():
            self.by_tag[tag].add_host(host)
        if self.by_state:
            self.by_state[device.online].add_host(host)


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):  # type: ignore[misc]
    """List the devices of an account as hosts."""

    NAME = "remoteit.fleet.services"

    inventory: t.Any  # ``None`` until ``parse`` is called

    _names_of_groups: dict[str, dict[str, None]]  # the names from which each group was created
    _foreign_groups: set[str]  # the groups of other plugins

    if t.TYPE_CHECKING:  # ansible-core does not annotate it
        get_option: t.Callable[..., t.Any]

    def verify_file(self, path: str) -> bool:
        """Return whether the path is an existing file whose name ends as the documentation requires."""
        if not super().verify_file(path):  # type: ignore[no-untyped-call]
            return False
        if path.endswith(("remoteit.yml", "remoteit.yaml")):
            return True
        if _names_the_plugin(path):
            self._warn([f"{path} is not read, because its name does not end in remoteit.yml or remoteit.yaml"])
        return False

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Add the devices that the source file selects to the inventory."""
        super().parse(inventory, loader, path, cache)
        register_in_main_process()
        self._names_of_groups = {}
        own = (_VALUES_OF_GROUPS.get(inventory, ()), _NAMES_OF_GROUPS.get(inventory, ()), [DEVICES_GROUP])
        self._foreign_groups = set(inventory.groups).difference(*own)
        try:
            config = self._read_config_data(path)  # type: ignore[no-untyped-call]
            self._check_options(config)
            listing = self._load_listing(config, path, cache)
            self._populate(listing)
        except Exception as error:
            # by default, ansible-core ignores a source that cannot be read if there is another one
            inventory.add_group(UNREAD_GROUP)
            if isinstance(error, RemoteItError):
                raise AnsibleParserError(error.message) from None
            raise

    def _check_options(self, config: t.Mapping[str, t.Any]) -> None:
        """Warn about unknown options, and refuse templates that would be taken literally.

        A misspelled filter would match every device, and a literal template none.

        :raises OptionsError: the message names the option.
        """
        definitions = C.config.get_configuration_definitions("inventory", self._load_name)
        aliases = (alias for definition in definitions.values() for alias in definition.get("aliases") or ())
        known = {"plugin", *definitions, *aliases}
        self._warn([f"{name} is not an option of this inventory plugin" for name in config if name not in known])
        for name in known.intersection(config).difference(_TEMPLATE_OPTIONS, _EXPRESSION_OPTIONS):
            if self.templar.is_template(config[name]):
                raise OptionsError(
                    f"the option {name} contains a template, which is not evaluated: {config[name]!r}. Write the value"
                    f" itself. Only {', '.join(_TEMPLATE_OPTIONS)} can be templates, and hostnames are expressions"
                    " without braces"
                )

    # -- devices ---------------------------------------------------------------------------------------------------

    def _load_listing(self, config: t.Mapping[str, t.Any], path: str, cache: bool) -> DeviceListing:
        """Return the devices from the cache, or else from the API."""
        device_filter = self._device_filter()
        uses_cache = self.get_option("cache")
        fingerprint = self._account_fingerprint(config) if uses_cache else None
        locations = [self._templated_option(name) for name in _LOCATION_OPTIONS]
        key = f"{self.get_cache_key(path)}_{digest(path, DeviceListing.FORMAT, locations, vars(device_filter))}"
        if cache and uses_cache:
            # The cache can lack the key, or contain something else. Its plugin raises AnsibleError for a damaged file.
            with contextlib.suppress(AnsibleError, LookupError, TypeError, ValueError, RecursionError):
                cached = DeviceListing.load(self._cache[key])
                if fingerprint in (None, cached.account):
                    return cached
        listing = DeviceListing(fingerprint, [], [])
        listing.devices.extend(self._fetch_devices(config, device_filter, listing.warnings.append))
        is_complete = not any(warning.startswith(INCOMPLETE) for warning in listing.warnings)
        if uses_cache and is_complete:
            self._cache[key] = listing.dump()
        return listing

    def _account_fingerprint(self, config: t.Mapping[str, t.Any]) -> str | None:
        """Return a name for the account that does not reveal its credentials, or ``None`` if it has none."""
        with contextlib.suppress(AnsibleError, RemoteItError):  # for example, a template of an undefined variable
            return load_credentials(self._credential_options(config), os.environ).fingerprint()
        return None

    def _device_filter(self) -> DeviceFilter:
        """Return the filter for the API. It includes all states, so that host names do not depend on them."""
        names = ("device", "service", "tags_any", "tags_all", "application", "organisation")
        return DeviceFilter.from_options({"state": None, **{name: self.get_option(name) for name in names}})

    def _fetch_devices(
        self, config: t.Mapping[str, t.Any], device_filter: DeviceFilter, warn: t.Callable[[str], None]
    ) -> t.Iterator[Device]:
        # ``requests`` takes longer to import than a cache takes to read.
        from ansible_collections.remoteit.fleet.plugins.plugin_utils._argspec import AUTH_SPEC, account_of

        options = {**dict.fromkeys(AUTH_SPEC), **self._credential_options(config)}
        options |= {"concurrency": 1, "timeout": self.get_option("timeout")}
        account = account_of(options, os.environ)
        login = digest(account.credentials.as_options())
        if login in _REFUSED_LOGINS:
            raise _REFUSED_LOGINS[login]
        try:
            yield from account.api().devices(device_filter, warn)
        except AuthError as error:
            if error.outcome is ConnectOutcome.NOT_SENT:  # because of its login
                _REFUSED_LOGINS[login] = error
            raise

    def _credential_options(self, config: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Return the account options of the source file. ``load_credentials`` reads the environment after them."""
        return {name: self._templated_option(name) for name in _ACCOUNT_OPTIONS if config.get(name) is not None}

    def _templated_option(self, name: str) -> str | None:
        value = self.get_option(name)
        if name in _TEMPLATE_OPTIONS and self.templar.is_template(value):
            self.templar.available_variables = dict(self._vars or {})
            value = self.templar.template(value)
        return value if value is None else str(value)

    # -- hosts -----------------------------------------------------------------------------------------------------

    def _populate(self, listing: DeviceListing) -> None:
        """Add the devices to the inventory. Groups come first, because no host may have the name of a group."""
        preference = self._service_preference()
        state = self._state_filter()
        groups = self._create_groups(listing.devices)
        variables = [host_variables(device, preference.select(device)) for device in listing.devices]
        names = self._choose_names(variables)
        hosts: list[tuple[str, dict[str, t.Any]]] = []
        for name, device, values in zip(names, listing.devices, variables):
            if state is None or device.online == (state == "active"):
                groups.add(self._add_host(name, values), device)
                hosts.append((name, values))
        self._warn_about_option_groups(groups)
        self._construct(hosts)
        self._warn(listing.warnings)

    def _service_preference(self) -> ServicePreference:
        return ServicePreference(
            [application_id(str(application)) for application in self.get_option("use_application")],
            [str(name) for name in self.get_option("use_service")],
            [_parse_port(port) for port in self.get_option("use_port")],
        )

    def _state_filter(self) -> str | None:
        """Return the state of the hosts to add, or ``None`` for both states.

        :raises OptionsError: the options contradict each other.
        """
        state: str | None = self.get_option("state")
        if self.get_option("include_offline"):
            return state
        if state == "inactive":
            raise OptionsError("state 'inactive' and include_offline 'false' leave nothing to list; change one of them")
        return "active"

    def _create_groups(self, devices: t.Iterable[Device]) -> DeviceGroups:
        """Create the groups of the devices, including those of states and tags that only skipped devices have."""
        devices_group = self._create_group(DEVICES_GROUP)
        if self.get_option("set_connection"):
            self._warn_about_hosts_of_other_sources(devices_group)
            devices_group.set_variable("ansible_connection", CONNECTION)
            devices_group.set_variable("ansible_group_priority", 0)  # the variables of other groups take precedence
        group_by, prefix = self.get_option("group_by"), self.get_option("group_prefix")
        tags = dict.fromkeys(tag for device in devices for tag in device.tags) if "tag" in group_by else {}
        states = {True: "active", False: "inactive"} if "state" in group_by else {}
        by_tag = self._create_groups_of("tag", tags, prefix)
        by_state = self._create_groups_of("state", states.values(), prefix)
        return DeviceGroups(devices_group, by_tag, {online: by_state[state] for online, state in states.items()})

    def _sanitize_group_name(self, name: str) -> str:
        """Return a valid name for a group. The methods of ansible-core that construct groups call it too."""
        group = str(super()._sanitize_group_name(name))
        self._names_of_groups.setdefault(group, {})[name] = None
        return group

    def _create_group(self, name: str) -> Group:
        return self.inventory.groups[self.inventory.add_group(self._sanitize_group_name(name))]

    def _warn_about_hosts_of_other_sources(self, devices_group: Group) -> None:
        """Warn if the group gives this plugin's connection to hosts that are not devices."""
        names = [
            host.name
            for host in devices_group.get_hosts()
            if "ansible_connection" not in host.vars and not any(name.startswith("remoteit_") for name in host.vars)
        ]
        if names:
            shown = list_first(names, 5)
            self._warn([f"the group {DEVICES_GROUP!r} sets ansible_connection for hosts of another source: {shown}"])

    def _create_groups_of(self, kind: str, values: t.Iterable[str], prefix: str) -> dict[str, Group]:
        """Create the groups of the tags or of the states, and warn if something else has the same group."""
        known = _VALUES_OF_GROUPS.setdefault(self.inventory, {})
        groups, warnings = {}, []
        for value in values:
            name = self._sanitize_group_name(f"{prefix}{kind}_{value}")
            if name in known:
                if known[name] != value:
                    warnings.append(f"the {kind}s {known[name]!r} and {value!r} share the group {name!r}")
            elif name in self.inventory.groups:
                warnings.append(f"the devices with the {kind} {value!r} join the group {name!r} of another source")
            known.setdefault(name, value)
            groups[value] = self._create_group(name)
        self._warn(warnings)
        return groups

    def _add_host(self, name: str, variables: dict[str, t.Any]) -> Host:
        self.inventory.add_host(name)
        host: Host = self.inventory.hosts[name]
        # ``set_variable`` would inspect each value and record its source file, which is slow.
        host.vars = combine_vars(host.vars, variables)
        return host

    def _choose_names(self, variables: t.Iterable[dict[str, t.Any]]) -> list[str]:
        """Return a unique name for each host, and warn about names that several devices have."""
        hosts, wanted, reasons = self.inventory.hosts, [], {}
        for values in variables:
            device_id, name = values["remoteit_device_id"], self._preferred_name(values)
            service_id = values.get("remoteit_deviceaddress", device_id)
            candidates = [name, name_with_id(name, device_id), name_with_id(name, service_id)]
            if name not in hosts and candidates[1] in hosts:  # another source has several devices of this name
                del candidates[0]
            for name in candidates:
                reason = self._difference(name, values)
                if not reason:
                    break
                reasons[name] = reason  # one host would hide the other
            wanted.append((device_id, name))
        constructed_groups = map(self._sanitize_group_name, self.get_option("groups"))
        names, shared = host_names(wanted, {*self.inventory.groups, *constructed_groups})
        self._warn(
            [
                f"another source has a host called {name!r}, {reason}; an ID is appended to the host name of the device"
                for name, reason in reasons.items()
            ]
        )
        self._warn(
            [f"several devices are called {name!r}; their IDs are appended to their host names" for name in shared]
        )
        return names

    def _preferred_name(self, variables: dict[str, t.Any]) -> str:
        """Return the first name of ``hostnames`` that is not empty, sanitized, or an empty string."""
        for name in self.get_option("hostnames"):
            if name in _NAME_VARIABLES:
                value = variables.get(_NAME_VARIABLES[name])
            else:
                try:
                    value = self._compose(name, variables)  # type: ignore[no-untyped-call]
                except Exception as error:
                    if self.get_option("strict"):
                        raise AnsibleParserError(f"hostnames: {name}: {error}") from error
                    continue
            hostname = sanitize_hostname("" if value is None else str(value))
            if hostname:
                return hostname
        return ""

    def _difference(self, name: str, device: dict[str, t.Any]) -> str | None:
        """Return why the host of another source is not the device, or ``None`` if the two can be merged."""
        host: Host | None = self.inventory.hosts.get(name)
        if host is None:
            return None
        groups = [group for group in host.get_groups() if group.name != "all"]  # its variables apply to devices too
        return difference(combine_vars(get_group_vars(groups), host.vars), device)

    def _warn_about_option_groups(self, created: DeviceGroups) -> None:
        """Warn about groups of the option ``groups`` that the plugin has created for devices, tags or states."""
        groups = (created.devices, *created.by_tag.values(), *created.by_state.values())
        automatic = {group.name for group in groups}
        names = [name for name in map(self._sanitize_group_name, self.get_option("groups")) if name in automatic]
        self._warn(
            [
                f"the option groups adds hosts to the group {name!r}, which the plugin creates; use another name, or"
                " change group_prefix"
                for name in names
            ]
        )

    def _construct(self, hosts: t.Iterable[tuple[str, dict[str, t.Any]]]) -> None:
        """Evaluate the user's expressions for each host. A host for which one fails does not affect the others."""
        compose, groups, keyed, strict = (
            self.get_option(name) for name in ("compose", "groups", "keyed_groups", "strict")
        )
        if not (compose or groups or keyed):
            return
        self._names_of_groups = _NAMES_OF_GROUPS.setdefault(self.inventory, {})
        known = {group: len(names) for group, names in self._names_of_groups.items()}
        warnings = []
        for name, variables in hosts:
            if name in self.inventory.groups:  # created by now; ansible-core would use the group instead of the host
                warnings.append(f"host {name} is in no constructed group, because a group has the same name")
                continue
            try:
                self._set_composite_vars(compose, variables, name, strict)  # type: ignore[no-untyped-call]
                self._add_host_to_composed_groups(groups, variables, name, strict)  # type: ignore[no-untyped-call]
                self._add_host_to_keyed_groups(keyed, variables, name, strict)  # type: ignore[no-untyped-call]
            except AnsibleError as error:
                if strict:
                    raise
                warnings.append(f"host {name} is not in all of its constructed groups: {error}")
        self._warn(warnings)
        self._warn_about_constructed_groups(known, groups, keyed)

    def _warn_about_constructed_groups(
        self, known: t.Mapping[str, int], groups: t.Iterable[str], keyed: t.Iterable[t.Any]
    ) -> None:
        """Warn about groups that have several names, or that are also those of another source.

        :param known: the number of names that each group had before this source.
        :param groups: the option, whose names the user has chosen.
        """
        self._warn(
            [
                f"the constructed groups {', '.join(map(repr, names))} share the group {group!r}"
                for group, names in self._names_of_groups.items()
                if len(names) > max(1, known.get(group, 0))
            ]
        )
        parents = (each.get("parent_group") for each in keyed if isinstance(each, dict))
        chosen = map(super()._sanitize_group_name, (*groups, *filter(None, parents)))
        foreign = self._foreign_groups.difference(chosen)
        self._warn(
            [
                f"keyed_groups adds devices to the group {group!r} of another source"
                for group in self._names_of_groups
                if group in foreign
            ]
        )

    def _warn(self, messages: t.Sequence[str]) -> None:
        for message in messages[:MAX_WARNINGS]:
            self.display.warning(f"remote.it: {message}")
        if len(messages) > MAX_WARNINGS:
            self.display.warning(f"remote.it: {len(messages) - MAX_WARNINGS} more warnings of this kind are not shown")
