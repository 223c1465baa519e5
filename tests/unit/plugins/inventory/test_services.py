# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.doc_fragments import constructed, inventory_cache

from ansible_collections.remoteit.fleet.plugins.doc_fragments._auth import ModuleDocFragment
from ansible_collections.remoteit.fleet.plugins.inventory import services
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import MockApi, Reply

PLUGIN = "remoteit.fleet.services"
ID = "80:00:00:00:01:00:{:02X}:{:02X}"

TEXTS = (
    services.DOCUMENTATION,
    ModuleDocFragment.PLUGIN,
    constructed.ModuleDocFragment.DOCUMENTATION,
    inventory_cache.ModuleDocFragment.DOCUMENTATION,
)


def loaded() -> services.InventoryModule:
    """Return the plugin as ansible-core's loader does. The loader would replace the imports of this process."""
    options = {name: option for text in TEXTS for name, option in yaml.safe_load(text)["options"].items()}
    constants.config.initialize_plugin_configuration_definitions("inventory", PLUGIN, options)
    plugin = services.InventoryModule()
    plugin._load_name = plugin.ansible_name = PLUGIN
    plugin._redirected_names = [PLUGIN]
    return plugin


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("R3_ACCESS_KEY_ID", "the-key")
    monkeypatch.setenv("R3_SECRET_ACCESS_KEY", "c2VjcmV0")


def device(number: int, **fields: t.Any) -> dict[str, t.Any]:
    ssh = {"id": ID.format(number, 1), "name": "ssh", "state": "active", "application": 28, "port": 22}
    row = {"id": ID.format(number, 0), "name": f"pi-{number}", "state": "active", "attributes": {}, "services": [ssh]}
    return {**row, "tags": [], **fields}


def two_services(number: int) -> list[dict[str, t.Any]]:
    vnc = {"id": ID.format(number, 2), "name": "vnc", "state": "active", "application": 4, "port": 5900}
    return [*device(number)["services"], vnc]


def page(*devices: t.Any, more: bool = False, total: int = 9) -> Reply:
    return Reply({"data": {"login": {"devices": {"items": devices, "hasMore": more, "total": total}}}})


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the warnings without the line breaks of the display."""
    return " ".join(capsys.readouterr().err.split())


def parse(directory: Path, inventory: InventoryData | None = None, **options: t.Any) -> InventoryData:
    source = directory / "fleet.remoteit.yml"
    source.write_text(yaml.safe_dump({"plugin": PLUGIN, **options}))
    inventory = inventory or InventoryData()
    loaded().parse(inventory, DataLoader(), str(source))
    return inventory


def test_verify_file_checks_the_name(tmp_path: Path) -> None:
    names = ["fleet.remoteit.yml", "remoteit.yaml", "remoteit.yml", "fleet.yml", "remoteit.json", "remoteit.yml.bak"]
    for name in names:
        (tmp_path / name).touch()
    names.append("absent.remoteit.yml")
    assert [name for name in names if loaded().verify_file(str(tmp_path / name))] == names[:3]


def test_pages_start_after_the_received_devices(tmp_path: Path, mock_api: MockApi) -> None:
    mock_api.expect_query({"size": 1000, "from": 0}, page(device(1), device(2), more=True))
    mock_api.expect_query({"size": 1000, "from": 2}, page(device(3)))
    assert list(parse(tmp_path).hosts) == ["pi-1", "pi-2", "pi-3"]


def test_filters_are_sent_to_the_api(tmp_path: Path, mock_api: MockApi) -> None:
    sent = {"size": 1000, "from": 0, "name": "pi-2", "application": [7, 28]}
    sent["tag"] = {"operator": "ALL", "values": ["a"]}
    tags = [{"name": "a"}]
    mock_api.expect_query(sent, page(device(2, tags=tags), device(20, tags=tags)))
    options = {"device": ["pi-2"], "include_offline": False, "application": ["ssh", 7], "tags_all": ["a"]}
    inventory = parse(tmp_path, **options)
    assert list(inventory.hosts) == ["pi-2"]
    assert [host.name for host in inventory.groups["remoteit_tag_a"].get_hosts()] == ["pi-2"]


def test_similar_tags_share_a_group_with_a_warning(
    tmp_path: Path, mock_api: MockApi, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = [{"name": "site-a"}, {"name": "site.a"}, {"name": "site_a"}]
    mock_api.expect_query(None, page(device(1, tags=tags), device(2, tags=tags[1:2])))
    inventory = parse(tmp_path)
    assert [host.name for host in inventory.groups["remoteit_tag_site_a"].get_hosts()] == ["pi-1", "pi-2"]
    assert inventory.hosts["pi-1"].vars["remoteit_tags"] == ["site-a", "site.a", "site_a"]
    assert "the tags 'site-a' and 'site.a' share the group 'remoteit_tag_site_a'" in shown(capsys)


def parse_two_sources(
    directory: Path, mock_api: MockApi, tags: tuple[str, str], inventory: InventoryData, *options: dict[str, t.Any]
) -> InventoryData:
    """Parse two sources, each with one device that has a tag."""
    for number, (tag, each) in enumerate(zip(tags, options), 1):
        mock_api.expect_query(None, page(device(number, tags=[{"name": tag}])))
        parse(directory, inventory, group_by=[], **each)
    return inventory


KEYED = {"keyed_groups": [{"key": "remoteit_tags", "prefix": "tag"}]}


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [("lab", KEYED, KEYED), ("shop", {"groups": {"tag_shop-a": "true"}}, {"groups": {"tag_shop.a": "true"}})],
)
def test_constructed_groups_of_two_sources_share_a_group_with_a_warning(
    tmp_path: Path,
    mock_api: MockApi,
    capsys: pytest.CaptureFixture[str],
    name: str,
    first: dict[str, t.Any],
    second: dict[str, t.Any],
) -> None:
    tags = (f"{name}-a", f"{name}.a")
    inventory = parse_two_sources(tmp_path, mock_api, tags, InventoryData(), first, second)
    assert [host.name for host in inventory.groups[f"tag_{name}_a"].get_hosts()] == ["pi-1", "pi-2"]
    text = shown(capsys)
    assert f"the constructed groups 'tag_{name}-a', 'tag_{name}.a' share the group 'tag_{name}_a'" in text
    assert "of another source" not in text


@pytest.mark.parametrize(("name", "warnings"), [("tag_db", 1), ("web", 0), ("above", 0)])
def test_keyed_group_of_another_source_gives_a_warning(
    tmp_path: Path, mock_api: MockApi, capsys: pytest.CaptureFixture[str], name: str, warnings: int
) -> None:
    """The user has chosen the names in ``groups`` and ``parent_group``, but not those of the tags."""
    inventory = InventoryData()
    inventory.add_group(name)
    options = {"keyed_groups": [{**KEYED["keyed_groups"][0], "parent_group": "above"}], "groups": {"web": "true"}}
    parse_two_sources(tmp_path, mock_api, ("db", "db"), inventory, options, options)
    text = shown(capsys)
    assert text.count(f"keyed_groups adds devices to the group '{name}' of another source") == warnings
    assert text.count("of another source") == warnings


@pytest.mark.parametrize("variable", ["", "ansible_connection", "remoteit_deviceaddress"])
def test_group_of_devices_with_a_host_of_another_source_gives_a_warning(
    tmp_path: Path, mock_api: MockApi, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    inventory = InventoryData()
    inventory.add_group("remoteit_devices")
    inventory.add_host("relay", "remoteit_devices")
    if variable:
        inventory.set_variable("relay", variable, "x")
    mock_api.expect_query(None, page(device(1)))
    parse(tmp_path, inventory)
    assert ("sets ansible_connection for hosts of another source: relay" in shown(capsys)) is (not variable)


def test_similar_keyed_groups_share_a_group_with_a_warning(
    tmp_path: Path, mock_api: MockApi, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = [{"name": "site-a"}], [{"name": "site.a"}, {"name": "b"}]
    mock_api.expect_query(None, page(device(1, tags=first), device(2, tags=second), device(3, tags=second[1:])))
    keyed = [{"key": "remoteit_tags", "prefix": "tag"}]
    inventory = parse(tmp_path, keyed_groups=keyed, group_by=["state"], groups={"remoteit_tag_b": "true"})
    assert [host.name for host in inventory.groups["tag_site_a"].get_hosts()] == ["pi-1", "pi-2"]
    text = shown(capsys)
    assert "the constructed groups 'tag_site-a', 'tag_site.a' share the group 'tag_site_a'" in text
    assert text.count("WARNING") == 1


@pytest.mark.parametrize(
    "name", ["remoteit_tag_a", "remoteit_state_active", "remoteit_devices", "remoteit-state.inactive"]
)
def test_option_groups_with_a_group_of_the_plugin_gives_a_warning(
    tmp_path: Path, mock_api: MockApi, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    mock_api.expect_query(None, page(device(1, tags=[{"name": "a"}]), device(2)))
    parse(tmp_path, groups={name: "true", "kiosks": "true"})
    text = shown(capsys)
    assert f"adds hosts to the group {name.replace('-', '_').replace('.', '_')!r}, which the plugin creates" in text
    assert "kiosks" not in text


def test_tag_with_the_group_of_another_source_gives_a_warning(
    tmp_path: Path, mock_api: MockApi, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory = InventoryData()
    inventory.add_group("remoteit_tag_a")
    mock_api.expect_query(None, page(device(1, tags=[{"name": "a"}, {"name": "b"}])))
    parse(tmp_path, inventory)
    assert "the tag 'a' join the group 'remoteit_tag_a' of another source" in shown(capsys)
    mock_api.expect_query(None, page(device(2, tags=[{"name": "b"}])))
    parse(tmp_path, inventory)  # two accounts may use the same tag
    assert "remoteit_tag_b" not in shown(capsys)


def test_state_with_the_group_of_another_source_gives_a_warning(
    tmp_path: Path, mock_api: MockApi, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory = InventoryData()
    inventory.add_group("remoteit_state_active")
    for _unused in range(2):
        mock_api.expect_query(None, page(device(1)))
        parse(tmp_path, inventory)
    text = shown(capsys)
    assert text.count("the state 'active' join the group 'remoteit_state_active' of another source") == 1
    assert "inactive" not in text


def earlier_source(directory: Path, variables: dict[str, t.Any], group_vars: dict[str, t.Any]) -> InventoryData:
    """Return an inventory from a YAML file, with the host "pi-1" in a group."""
    source = directory / "10-static.yml"
    source.write_text(yaml.safe_dump({"site": {"hosts": {"pi-1": variables}, "vars": group_vars}}))
    return InventoryManager(loader=DataLoader(), sources=[str(source)])._inventory


SSH = {"ansible_connection": "ssh"}
REMOTEIT = {"ansible_connection": "remoteit.fleet.ssh"}


@pytest.mark.parametrize(
    ("variables", "group_vars"),
    [
        ({"remoteit_deviceaddress": ID.format(2, 1)}, REMOTEIT),
        ({"remoteit_deviceaddress": ID.format(1, 2), "remoteit_device_id": ID.format(1, 0)}, REMOTEIT),
        ({"remoteit_deviceaddress": "{{ addresses[inventory_hostname] }}"}, REMOTEIT),
        ({"remoteit_device_id": ID.format(2, 0)}, {}),
        ({"remoteit_device": "pi-1"}, REMOTEIT),
        ({}, {"remoteit_device": "{{ inventory_hostname }}", **REMOTEIT}),
        ({"remoteit_service": "ssh"}, REMOTEIT),
        ({"ansible_host": "192.0.2.1"}, {}),
        ({}, {"ansible_host": "{{ inventory_hostname }}.example.com"}),
        ({"ansible_ssh_host": "192.0.2.1"}, {}),
        (SSH, {}),
        ({}, SSH),
    ],
)
def test_source_does_not_capture_another_host(
    tmp_path: Path, mock_api: MockApi, variables: dict[str, t.Any], group_vars: dict[str, t.Any]
) -> None:
    inventory = earlier_source(tmp_path, variables, group_vars)
    mock_api.expect_query(None, page(device(1), device(3)))
    parse(tmp_path, inventory)
    assert list(inventory.hosts) == ["pi-1", "pi-1-8000000001000100", "pi-3"]
    assert not inventory.hosts["pi-1"].vars.keys() & {"remoteit_services", "remoteit_online"}
    assert inventory.hosts["pi-1"] not in inventory.groups["remoteit_devices"].hosts


@pytest.mark.parametrize(
    ("variables", "group_vars"),
    [
        ({"room": "lobby", "ansible_user": "pi", "ansible_port": 22}, {}),
        (REMOTEIT, {}),
        ({"ansible_host": "pi-1"}, REMOTEIT),
        ({"remoteit_deviceaddress": ID.format(1, 1).lower(), "ansible_host": "192.0.2.1"}, {}),
        ({"remoteit_device_id": ID.format(1, 0)}, SSH),
        ({"remoteit_device_id": ID.format(1, 0), "remoteit_device": "pi-1"}, {}),
        ({"remoteit_device": None, "remoteit_deviceaddress": ""}, {}),
    ],
)
def test_source_adds_to_the_host_of_its_device(
    tmp_path: Path,
    mock_api: MockApi,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, t.Any],
    group_vars: dict[str, t.Any],
) -> None:
    inventory = earlier_source(tmp_path, variables, group_vars)
    mock_api.expect_query(None, page(device(1)))
    parse(tmp_path, inventory)
    assert list(inventory.hosts) == ["pi-1"]
    assert inventory.hosts["pi-1"].vars["remoteit_deviceaddress"] == ID.format(1, 1)
    assert "WARNING" not in shown(capsys)


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [({}, {}, 1), ({}, {"use_application": ["vnc"]}, 2), ({"use_application": []}, {"use_application": []}, 1)],
)
def test_sources_share_a_host_with_the_same_service(
    tmp_path: Path, mock_api: MockApi, first: dict[str, t.Any], second: dict[str, t.Any], count: int
) -> None:
    one = device(1, services=two_services(1))
    mock_api.expect_query(None, page(one), page(one))
    inventory = parse(tmp_path, **first)
    service = inventory.hosts["pi-1"].vars.get("remoteit_deviceaddress")
    parse(tmp_path, inventory, **second)
    assert len(inventory.hosts) == count
    assert inventory.hosts["pi-1"].vars.get("remoteit_deviceaddress") == service


def test_device_of_another_source_keeps_a_shared_name(
    tmp_path: Path, mock_api: MockApi, capsys: pytest.CaptureFixture[str]
) -> None:
    twins = (device(1), device(2, name="pi-1"), device(3, name="pi-1"))
    mock_api.expect_query(None, page(twins[0]), page(*twins))
    inventory = parse(tmp_path, parse(tmp_path))
    assert list(inventory.hosts) == ["pi-1", "pi-1-8000000001000200", "pi-1-8000000001000300"]
    assert inventory.hosts["pi-1"].vars["remoteit_device_id"] == ID.format(1, 0)
    assert "several devices are called" not in shown(capsys)


def test_device_keeps_the_id_in_its_name_in_each_source(tmp_path: Path, mock_api: MockApi) -> None:
    twins = (device(1), device(2, name="pi-1"))
    mock_api.expect_query(None, page(*twins), page(twins[0]))
    inventory = parse(tmp_path, parse(tmp_path))
    assert list(inventory.hosts) == ["pi-1-8000000001000100", "pi-1-8000000001000200"]


def test_devices_of_one_name_keep_their_service(tmp_path: Path, mock_api: MockApi) -> None:
    """The name with the ID of the device is that of a host with another service."""
    twins = [device(number, name="pi-1", services=two_services(number)) for number in (1, 2)]
    mock_api.expect_query(None, page(*twins), page(*twins))
    inventory = parse(tmp_path, parse(tmp_path), use_application=["vnc"])
    addresses = [ID.format(number, service) for service in (1, 2) for number in (1, 2)]
    assert [host.vars["remoteit_deviceaddress"] for host in inventory.hosts.values()] == addresses


def test_variables_of_all_hosts_are_not_those_of_one(tmp_path: Path, mock_api: MockApi) -> None:
    inventory = earlier_source(tmp_path, {}, {})
    inventory.groups["all"].set_variable("ansible_connection", "ssh")
    mock_api.expect_query(None, page(device(1)))
    parse(tmp_path, inventory)
    assert list(inventory.hosts) == ["pi-1"]


@pytest.mark.parametrize(
    "text", ["plugin: {}\n", "plugin:\n  {}\n", "\ufeffplugin : '{}'\r\n", '---\n"plugin": {}\n', '{{"plugin": "{}"}}']
)
@pytest.mark.parametrize("source", ["remote.it.yml", "fleet.remoteit.YML", "remoteit.json", "remoteit"])
def test_source_with_another_name_gives_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, source: str
) -> None:
    for name, content in ((source, text.format(PLUGIN)), ("hosts.yml", "all:\n")):
        path = tmp_path / name
        path.write_text(content)
        assert not loaded().verify_file(str(path))
    text = shown(capsys)
    assert "does not end in remoteit.yml" in text
    assert "hosts.yml" not in text


def test_verify_file_does_not_read_a_pipe(tmp_path: Path) -> None:
    """Its content is for the plugin that reads it: ``ansible -i <(make-inventory)``."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert not loaded().verify_file(str(path))


def test_host_with_the_name_of_a_group_keeps_its_variables(
    tmp_path: Path, mock_api: MockApi, capsys: pytest.CaptureFixture[str]
) -> None:
    """ansible-core's own methods would set the variables of the device "room_1" on the group of the same name."""
    rooms = [device(1, attributes={"room": "1"}), device(2, name="room_1", attributes={"room": "2"})]
    mock_api.expect_query(None, page(*rooms))
    keyed = [{"key": "remoteit_attributes.room", "prefix": "room"}]
    inventory = parse(tmp_path, keyed_groups=keyed, compose={"ansible_user": "remoteit_device"})
    assert inventory.hosts["room_1"].vars["remoteit_device"] == "room_1"
    assert not inventory.groups["room_1"].vars
    assert [host.name for host in inventory.groups["room_1"].get_hosts()] == ["pi-1"]
    assert "host room_1 is in no constructed group" in shown(capsys)


def test_refusal_of_the_api_is_a_parser_error(tmp_path: Path, mock_api: MockApi) -> None:
    mock_api.expect_query(None, Reply("Forbidden", status=403))
    with pytest.raises(AnsibleParserError, match="403"):
        parse(tmp_path)


def test_incomplete_response_gives_a_warning(
    tmp_path: Path, mock_api: MockApi, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = page(device(1))
    reply.body["errors"] = [{"message": "some of it is lost", "path": ["login", "devices", "items", 0, "tags"]}]
    mock_api.expect_query(None, reply)
    assert list(parse(tmp_path).hosts) == ["pi-1"]
    assert "some of it is lost" in shown(capsys)


def test_list_that_may_lack_devices_is_an_error(tmp_path: Path, mock_api: MockApi) -> None:
    """Otherwise a playbook would run for a part of the fleet, and succeed."""
    reply = page(device(1))
    reply.body["errors"] = [{"message": "too slow", "path": ["login", "devices", "items", 1]}]
    mock_api.expect_query(None, reply)
    with pytest.raises(AnsibleParserError, match="too slow"):
        parse(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("profile", ""), ("access_key_id", ""), ("profile", "{{ '' }}"), ("token", "{{ missing | default('') }}")],
)
def test_empty_credential_sends_no_request(tmp_path: Path, mock_api: MockApi, name: str, value: str) -> None:
    with pytest.raises(AnsibleParserError, match=f"^the option {name} is empty"):
        parse(tmp_path, **{name: value})
    assert not mock_api.sent


def test_unknown_option_gives_a_warning(tmp_path: Path, mock_api: MockApi, capsys: pytest.CaptureFixture[str]) -> None:
    """The modules have the option ``concurrency``, the inventory plugin does not."""
    mock_api.expect_query(None, page(device(1)))
    assert list(parse(tmp_path, concurrency=4).hosts) == ["pi-1"]
    assert "concurrency is not an option" in shown(capsys)


def test_invalid_port_names_its_option(tmp_path: Path, mock_api: MockApi) -> None:
    mock_api.expect_query(None, page(device(1)))
    with pytest.raises(AnsibleParserError, match="invalid use_port: 'a' is not a whole number"):
        parse(tmp_path, use_port=[22, "a"])


def test_plugin_is_imported_without_requests() -> None:
    code = f"import sys, {services.__name__}; sys.exit('requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
