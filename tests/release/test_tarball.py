# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tarball of ``make build`` contains the right files, and works without the source tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

#: Everything else is needed by those only who change the collection.
TOP_LEVEL = {
    ".ansible-lint",
    "CHANGELOG.md",
    "CHANGELOG.rst",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "COPYING",
    "FILES.json",
    "LICENSES",
    "MANIFEST.json",
    "README.md",
    "REUSE.toml",
    "SECURITY.md",
    "changelogs",
    "docs",
    "meta",
    "playbooks",
    "plugins",
    "roles",
}
SUFFIXES = {"", ".cfg", ".json", ".md", ".png", ".py", ".rst", ".svg", ".toml", ".txt", ".yaml", ".yml"}


@pytest.fixture(scope="module")
def tarball() -> Path:
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    return ROOT / "build" / f"remoteit-fleet-{version}.tar.gz"


def test_tarball_contains_no_development_files(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        members = [member for member in archive if not member.isdir()]
    names = {Path(member.name) for member in members}
    assert {name.parts[0] for name in names} == TOP_LEVEL
    assert {name.suffix for name in names} <= SUFFIXES
    assert not [member.name for member in members if member.size > 200_000]


def test_tarball_contains_all_files_of_plugins_and_roles(tarball: Path) -> None:
    directories = ["plugins", "roles", "playbooks", "meta"]
    tracked = subprocess.check_output(["git", "ls-files", *directories], cwd=ROOT, text=True).splitlines()
    with tarfile.open(tarball) as archive:
        packed = [name for name in archive.getnames() if name.split("/")[0] in directories and "." in name]
    assert sorted(packed) == sorted(tracked)


def test_tarball_passes_the_demo_in_a_new_venv(tarball: Path, tmp_path: Path) -> None:
    """Use only ansible-core, ``requests`` and the tarball."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    pins = (ROOT / "tests" / "requirements.txt").read_text().splitlines()
    pins = [pin for pin in pins if pin.startswith(("ansible-core=", "requests="))]
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins], check=True)
    packages = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    ).strip()
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "ANSIBLE_COLLECTIONS_PATH": packages}
    galaxy = home / "bin" / "ansible-galaxy"
    install = [galaxy, "collection", "install", "--offline", "--collections-path", packages, tarball]
    subprocess.run(install, env=environment, cwd=tmp_path, check=True)
    listed = subprocess.check_output(
        [galaxy, "collection", "list", "remoteit.fleet", "--format", "json"], env=environment, cwd=tmp_path
    )
    assert list(json.loads(listed)) == [f"{packages}/ansible_collections"]
    demo = subprocess.run([sys.executable, ROOT / "tests" / "demo", home / "bin"], cwd=tmp_path, check=False)
    assert demo.returncode == 0
