# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports between the packages of the collection go in one direction."""

from __future__ import annotations

import ast
import graphlib
import pathlib
import typing as t

import pytest

PLUGINS = pathlib.Path(__file__).resolve().parents[3] / "plugins"
PREFIX = "ansible_collections.remoteit.fleet.plugins."
SHARED = "plugin_utils"  # the files beside the packages

#: The packages of the collection that each package can import besides itself.
ALLOWED = {
    "_run": set(),
    "_api": set(),
    "_ssh": {"_api", "_run"},
    "_ledger": {"_api", "_run"},
    "_keeper": {"_api", "_ledger", "_run", "_ssh"},
    SHARED: {"_api", "_keeper", "_ledger", "_run", "_ssh"},
}
ALLOWED["plugins"] = {*ALLOWED, "plugins"}

#: Files of ``plugin_utils`` by their module names.
FILES = {
    ".".join(path.relative_to(PLUGINS).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PLUGINS.rglob("*.py"))
}


def package_of(module: str) -> str:
    """Return the package that a module below ``plugins`` belongs to."""
    place, *rest = module.split(".")
    if place != "plugin_utils":
        return "plugins"
    return rest[0] if len(rest) > 1 or (PLUGINS / place / rest[0]).is_dir() else SHARED


def imported_by(path: pathlib.Path) -> t.Iterator[str]:
    """Yield the modules of the collection that a file imports, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PREFIX):
            base = str(node.module).removeprefix(PREFIX)
            for name in node.names:
                yield f"{base}.{name.name}" if f"{base}.{name.name}" in FILES else base


@pytest.mark.parametrize("module", FILES)
def test_imports_point_in_one_direction(module: str) -> None:
    package = package_of(module)
    found = {name for name in imported_by(FILES[module]) if package_of(name) not in ALLOWED[package] | {package}}
    assert not found


def test_imports_have_no_circle() -> None:
    graph = {module: set(imported_by(path)) - {module} for module, path in FILES.items()}
    assert list(graphlib.TopologicalSorter(graph).static_order())
