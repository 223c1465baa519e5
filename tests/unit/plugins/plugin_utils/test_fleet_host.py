# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a host, and the service, the restriction and the account that they describe."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    AuthError,
    NotFoundError,
    OptionsError,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.service_names import ServiceName
from ansible_collections.remoteit.fleet.plugins.plugin_utils._fleet_host import (
    HOST_VARIABLES,
    HostReader,
    parse_int,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._keeper.protocol import HostRequest
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import KEY, SERVICE, TOKEN

LOGIN = {"token": TOKEN, "developer_key": KEY}


@pytest.fixture(autouse=True)
def empty_environment(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the environment and the home directory by ones without credentials."""
    monkeypatch.setattr(os, "environ", {"HOME": str(tmp_path)})


def read(reader: HostReader | None = None, facts: t.Iterable[str] = (), **options: t.Any) -> HostRequest:
    return (reader or HostReader()).read("kiosk-1", {**LOGIN, **options}, facts)


@pytest.mark.parametrize(
    ("options", "service", "target", "label"),
    [
        ({"deviceaddress": SERVICE}, SERVICE, None, SERVICE),
        ({"deviceaddress": SERVICE.lower()}, SERVICE.lower(), None, SERVICE.lower()),
        ({"deviceaddress": SERVICE, "device": "kiosk", "service": "x"}, SERVICE, None, SERVICE),
        ({"deviceaddress": SERVICE, "device_id": "80:00:00:00:01:00:00:00"}, SERVICE, None, SERVICE),
        ({"device": "kiosk"}, None, ServiceName("kiosk", None, 28), "kiosk/ssh"),
        ({"device": "kiosk", "service": "my-ssh"}, None, ServiceName("kiosk", "my-ssh"), "kiosk/my-ssh"),
        ({"device": "kiosk", "service": ""}, None, ServiceName("kiosk", None, 28), "kiosk/ssh"),
        ({"device": 7}, None, ServiceName("7", None, 28), "7/ssh"),
    ],
)
def test_reader_finds_the_service(
    options: dict[str, t.Any], service: str | None, target: ServiceName | None, label: str
) -> None:
    host = read(**options)
    assert (host.host, host.service, host.target, host.label) == ("kiosk-1", service, target, label)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, OptionsError),
        ({"service": "ssh"}, OptionsError),
        ({"deviceaddress": ""}, OptionsError),
        ({"deviceaddress": "kiosk"}, OptionsError),
        ({"deviceaddress": "{{ id }}"}, OptionsError),  # the reader does not evaluate templates
        ({"deviceaddress": f"{SERVICE}:00"}, OptionsError),
        ({"device_id": SERVICE}, NotFoundError),
        ({"device_id": SERVICE, "device": "kiosk"}, NotFoundError),  # another device can have this name
        ({"deviceaddress": SERVICE, "hostip": "nowhere"}, OptionsError),
        ({"deviceaddress": SERVICE, "hostip": "255.255.255.25"}, OptionsError),
        ({"deviceaddress": SERVICE, "concurrency": "many"}, OptionsError),
        ({"deviceaddress": SERVICE, "concurrency": 0}, OptionsError),
        ({"deviceaddress": SERVICE, "api_timeout": -1}, OptionsError),
        ({"deviceaddress": SERVICE, "profile": "nowhere"}, OptionsError),
        ({"deviceaddress": SERVICE, "token": None, "developer_key": ""}, AuthError),
    ],
)
def test_reader_refuses_invalid_options(options: dict[str, t.Any], error: type[RemoteItError]) -> None:
    with pytest.raises(error) as raised:
        read(**options)
    assert TOKEN not in raised.value.message


@pytest.mark.parametrize(("hostip", "expected"), [(None, None), ("", None), ("203.0.113.7", "203.0.113.7")])
def test_reader_reads_the_hostip(hostip: str | None, expected: str | None) -> None:
    assert read(deviceaddress=SERVICE, hostip=hostip).hostip == expected


# -- the account -------------------------------------------------------------------------------------------------------


def test_reader_reads_the_account_options() -> None:
    account = read(deviceaddress=SERVICE).account
    assert (account.timeout, account.concurrency) == (60, 16)
    account = read(deviceaddress=SERVICE, api_timeout="7", concurrency="3", api_url="https://api.example").account
    assert (account.timeout, account.concurrency) == (7, 3)
    assert account.credentials == Credentials("https://api.example", KEY, token=TOKEN)


def test_reader_ignores_the_password_of_ssh() -> None:
    options = {"deviceaddress": SERVICE, "developer_key": KEY, "username": "someone", "api_password": "secret"}
    account = HostReader().read("kiosk-1", {**options, "password": "of ssh"}, ()).account
    assert (account.credentials.username, account.credentials.password) == ("someone", "secret")


def test_reader_reads_credentials_from_the_environment() -> None:
    os.environ.update({"REMOTEIT_TOKEN": "of-the-environment", "REMOTEIT_DEVELOPER_KEY": KEY})
    account = HostReader().read("kiosk-1", {"deviceaddress": SERVICE}, ()).account
    assert account.credentials.token == "of-the-environment"
    assert read(deviceaddress=SERVICE).account.credentials.token == TOKEN  # the option comes first


def test_reader_names_the_variables_of_the_credentials() -> None:
    """They are not options in the inventory of the user. ``password`` is an option of ssh."""
    login = {"token": None, "username": "me", "api_password": "secret"}
    sources = "username from the variable remoteit_username, password from the variable remoteit_password"
    developer_key = "developer_key from the variable remoteit_developer_key"
    assert read(deviceaddress=SERVICE, **login).account.credentials.sources == f"{sources}, {developer_key}"
    with pytest.raises(OptionsError, match="the variable remoteit_password is missing"):
        read(deviceaddress=SERVICE, **{**login, "api_password": None})


@pytest.mark.parametrize(
    ("option", "variable"),
    [
        ("profile", "remoteit_profile"),
        ("credentials_file", "remoteit_credentials_file"),
        ("api_password", "remoteit_password"),
        ("token", "remoteit_token"),
    ],
)
def test_reader_refuses_an_empty_variable(option: str, variable: str) -> None:
    os.environ.update({"REMOTEIT_TOKEN": TOKEN, "REMOTEIT_DEVELOPER_KEY": KEY})
    with pytest.raises(OptionsError, match=f"^the variable {variable} is empty"):
        HostReader().read("kiosk-1", {"deviceaddress": SERVICE, option: ""}, ())


def test_reader_loads_an_account_once(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "mine"
    file.write_text("[DEFAULT]\nR3_ACCESS_KEY_ID = id\nR3_SECRET_ACCESS_KEY = c2VjcmV0\n")
    options = {"deviceaddress": SERVICE, "credentials_file": "~/mine"}
    reader = HostReader()
    first = reader.read("a", options, ()).account
    assert first.credentials.access_key_id == "id"
    file.unlink()
    assert reader.read("b", options, ()).account is first
    assert read(reader, deviceaddress=SERVICE).account != first


def test_reader_remembers_missing_credentials() -> None:
    reader = HostReader()
    for _unused in range(2):
        with pytest.raises(AuthError):
            reader.read("a", {"deviceaddress": SERVICE}, ())
        os.environ.update({"REMOTEIT_TOKEN": TOKEN, "REMOTEIT_DEVELOPER_KEY": KEY})
    assert read(reader, deviceaddress=SERVICE).account.credentials.token == TOKEN


# -- facts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*HOST_VARIABLES.values(), "remoteit_anything"])
def test_reader_refuses_facts_of_the_device(name: str) -> None:
    accepted = ["distribution", "remoteit_connection", "my_remoteit_device"]
    assert read(deviceaddress=SERVICE, facts=accepted).service == SERVICE
    with pytest.raises(OptionsError, match=name):
        read(deviceaddress=SERVICE, facts=[*accepted, name])


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "minimum", "number"), [(None, 1, 5), ("", 1, 5), (7, 1, 7), ("7", 1, 7), (1, 1, 1), (0, 0, 0)]
)
def test_parse_int_returns_a_number(value: t.Any, minimum: int, number: int) -> None:
    assert parse_int("remoteit_prefetch", value, 5, minimum) == number


@pytest.mark.parametrize("value", ["many", "1.5", [], {}, -1, 0])
def test_parse_int_refuses_other_values(value: t.Any) -> None:
    with pytest.raises(OptionsError, match="remoteit_prefetch"):
        parse_int("remoteit_prefetch", value, 5)
