# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public plugins document their first version and belong to the action group."""

from __future__ import annotations

import importlib
import pathlib
import typing as t

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
PLUGINS = "ansible_collections.remoteit.fleet.plugins"
VERSION = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
RELEASES = yaml.safe_load((ROOT / "changelogs" / "changelog.yaml").read_text())["releases"]
RUNTIME = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())

#: Public names of a release that later releases do not have.
REMOVED = {"modules/remoteit_session"}

Documentation = dict[str, t.Any]


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def names(directory: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / "plugins" / directory).glob("[!_]*.py"))


def documented() -> t.Iterator[tuple[str, Documentation]]:
    """Yield each public name that ``ansible-doc`` shows, with its documentation."""
    for path in sorted(ROOT.glob("plugins/*/[!_]*.py")):
        plugin = importlib.import_module(f"{PLUGINS}.{path.parent.name}.{path.stem}")
        if path.parent.name != "action":  # the module of the same name documents it
            yield f"{path.parent.name}/{path.stem}", yaml.safe_load(plugin.DOCUMENTATION)
    for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        for entry, documentation in yaml.safe_load(path.read_text())["argument_specs"].items():
            yield f"roles/{path.parents[1].name}/{entry}", documentation


def parts(documentation: Documentation) -> t.Iterator[tuple[str, Documentation]]:
    """Yield the options, suboptions and attributes, which can be newer than the plugin."""
    for kind in ("options", "suboptions", "attributes"):
        for name, part in (documentation.get(kind) or {}).items():
            yield name, part
            yield from parts(part)


PUBLIC = dict(documented())


@pytest.mark.parametrize("name", PUBLIC)
def test_plugin_documents_its_first_version(name: str) -> None:
    assert number(PUBLIC[name]["version_added"]) <= number(VERSION)


@pytest.mark.parametrize("name", PUBLIC)
def test_part_documents_only_a_later_version(name: str) -> None:
    since = {part: body["version_added"] for part, body in parts(PUBLIC[name]) if "version_added" in body}
    first, last = number(PUBLIC[name]["version_added"]), number(VERSION)
    assert {part: version for part, version in since.items() if not first < number(version) <= last} == {}


def test_changelog_lists_the_plugins_of_each_release() -> None:
    new: list[str] = []
    for notes in RELEASES.values():
        new += [f"modules/{entry['name']}" for entry in notes.get("modules", ())]
        new += [f"{kind}/{entry['name']}" for kind, entries in notes.get("plugins", {}).items() for entry in entries]
        new += [f"roles/{entry['name']}" for entry in notes.get("objects", {}).get("role", ())]
    released = [name for name, documentation in PUBLIC.items() if documentation["version_added"] in RELEASES]
    assert sorted(new) == sorted({"/".join(name.split("/")[:2]) for name in released} | REMOVED)


def test_action_group_contains_all_modules() -> None:
    assert RUNTIME["action_groups"] == {"remoteit": names("modules")}
    assert names("action") == names("modules")


@pytest.mark.parametrize("name", names("modules"))
def test_module_documents_the_action_group(name: str) -> None:
    documentation = yaml.safe_load(importlib.import_module(f"{PLUGINS}.modules.{name}").DOCUMENTATION)
    assert "remoteit.fleet._attributes" in documentation["extends_documentation_fragment"]
