# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of the account options agrees between modules and plugins, and with the code."""

from __future__ import annotations

import re
import typing as t

import yaml

from ansible_collections.remoteit.fleet.plugins.doc_fragments._auth import ModuleDocFragment
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import load_credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._argspec import AUTH_SPEC

MODULE = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
CREDENTIALS = {"access_key_id", "secret_access_key", "token", "developer_key", "username", "password"}
PLUGIN = yaml.safe_load(ModuleDocFragment.PLUGIN)["options"]


def test_options_match_the_argument_spec() -> None:
    assert {name: (option["type"], option.get("default")) for name, option in MODULE.items()} == {
        name: (option["type"], option.get("default")) for name, option in AUTH_SPEC.items()
    }
    assert [name for name in MODULE if name != "concurrency"] == list(PLUGIN)
    assert all(PLUGIN[name]["type"] == MODULE[name]["type"] for name in PLUGIN.keys() - CREDENTIALS)


def test_credentials_cannot_be_dumped() -> None:
    """``ansible-config dump`` shows the value of an ``env`` entry, and an error about the type shows the value."""
    assert {name for name, option in PLUGIN.items() if option["type"] == "raw"} == CREDENTIALS
    assert {name for name, option in PLUGIN.items() if "env" not in option} == {"timeout", *CREDENTIALS}
    assert not [name for name in CREDENTIALS if "ini" in PLUGIN[name]]


def test_defaults_do_not_hide_the_environment() -> None:
    assert not [name for name, option in PLUGIN.items() if "env" in option and "default" in option]


def test_modules_document_the_variables_of_plugins() -> None:
    for name, option in PLUGIN.items():
        assert variables_of(option) <= variables_of(MODULE[name])


def variables_of(option: dict[str, t.Any]) -> set[str]:
    """Return the environment variables that the documentation of an option names."""
    named = re.findall(r"E\((\w+)\)", " ".join(option["description"]))
    return {*named, *(variable["name"] for variable in option.get("env", ()))}


def test_documented_variables_are_those_that_are_read() -> None:
    class RecordingEnvironment(dict[str, t.Any]):
        def get(self, key: str, default: t.Any = None) -> t.Any:
            names.add(key)
            return super().get(key, default)

    names: set[str] = set()
    load_credentials({}, RecordingEnvironment(REMOTEIT_TOKEN="t", R3_DEVELOPER_API_KEY="k"))
    assert names == {name for option in PLUGIN.values() for name in variables_of(option)}


def test_secrets_are_not_logged() -> None:
    hidden = {name for name, option in AUTH_SPEC.items() if option.get("no_log")}
    assert hidden == {"token", "developer_key", "password", "access_key_id", "secret_access_key"}
