# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every code block of the README and the pages runs or is checked, and every quoted message is in the code.

Other tests run plays and blocks with a ``:name:``. They contain the name as a string. ``test_inventory.py`` runs
inventory sources. The tests of this file check the other blocks by their language. An unknown language fails.
"""

from __future__ import annotations

import ast
import configparser
import functools
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import constants
from ansible.cli.adhoc import AdHocCLI
from ansible.cli.doc import DocCLI
from ansible.cli.galaxy import GalaxyCLI
from ansible.cli.inventory import InventoryCLI
from ansible.cli.playbook import PlaybookCLI
from documentation import BLOCKS, PAGES, ROOT, Block, titled

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api import credentials as _credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._fleet_host import HOST_VARIABLES

BIN = Path(sys.executable).parent
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path.name != Path(__file__).name)
PLACEHOLDER = "…"
HERE = yaml.safe_load((ROOT / "galaxy.yml").read_text())["repository"]


@functools.cache
def strings_of_code() -> str:
    """Return all strings in the code of the collection, with a placeholder for each inserted value."""
    role = [path.read_text() for path in (ROOT / "roles").rglob("*.y*ml")]
    found = [re.sub(r"\{\{.*?\}\}", PLACEHOLDER, text) for text in role] + role
    for path in (ROOT / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values)
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def is_in_code(message: str) -> bool:
    """Return whether each part between placeholders is part of a string in the code."""
    pieces = [piece.strip() for piece in re.split(rf"{PLACEHOLDER}|\d+", message)]
    return all(piece in strings_of_code() for piece in pieces)


@functools.cache
def role_variables() -> set[str]:
    specs = yaml.safe_load((ROOT / "roles/remoteit_session/meta/argument_specs.yml").read_text())["argument_specs"]
    playbooks = " ".join(path.read_text() for path in (ROOT / "playbooks").glob("*.yml"))
    return {option for spec in specs.values() for option in spec["options"]} | {
        *HOST_VARIABLES.values(),
        *re.findall(r"\bremoteit_(?:run|session|status|teardown)_\w+", playbooks),
    }


# -- shell commands ---------------------------------------------------------------------------------------------------


def commands(code: str) -> list[list[str]]:
    """Return the words of each command of a script."""
    lexer = shlex.shlex(code.replace("\\\n", " ").replace("\n", " ;\n"), posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        found[-1:] = [found[-1], []] if set(word) <= set(";&|") else [[*found[-1], word]]
    return list(filter(None, found))


def check_options(command: list[str], *help_options: str) -> None:
    """Check that the help of the program lists its options."""
    program = BIN / command[0] if (BIN / command[0]).exists() else shutil.which(command[0])
    assert program, command
    text = subprocess.run([program, *help_options], capture_output=True, text=True, check=False).stdout
    for option in (word for word in command[1:] if word.startswith("-")):
        assert re.search(rf"(^|[\s,]){re.escape(option)}\b", text), option


def check_ansible(cli: Any, command: list[str]) -> dict[str, Any]:
    program = cli(command)
    program.init_parser()
    return vars(program.parser.parse_args(command[1:]))


def check_playbook(command: list[str]) -> None:
    given = check_ansible(PlaybookCLI, command)
    for name in given["args"]:
        ours = name.startswith("remoteit.fleet.") and (ROOT / "playbooks" / f"{name.split('.')[2]}.yml").exists()
        assert ours or titled(name), name
    for word in given["extra_vars"]:
        assert word.split("=")[0] in role_variables(), word


def check_doc(command: list[str]) -> None:
    check_ansible(DocCLI, command)
    subprocess.run([BIN / command[0], *command[1:]], check=True, capture_output=True)


def check_export(command: list[str]) -> None:
    definitions = constants.config.get_configuration_definitions().values()
    settings = {variable["name"] for definition in definitions for variable in definition.get("env", ())}
    for word in command[1:]:
        name = word.split("=")[0]
        assert name in settings or re.search(rf"\b{name}\b", strings_of_code()), word


def check_make(command: list[str]) -> None:
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(command[1:]) <= set(targets)


def check_pytest(command: list[str]) -> None:
    assert command[:3] == [".venv/bin/python", "-m", "pytest"]
    assert (ROOT / command[3]).is_file()
    assert " ".join(command[4:]) in (ROOT / "Makefile").read_text()


def check_script(command: list[str]) -> None:
    """Check that each argument is in the script, or is a version of ansible-core."""
    script = (ROOT / command[0]).read_text()
    for word in command[1:]:
        assert word in script or (ROOT / f"tests/engines/{word}.txt").exists(), word


PROGRAMS = {
    ".venv/bin/python": check_pytest,
    "ansible": functools.partial(check_ansible, AdHocCLI),
    "ansible-doc": check_doc,
    "ansible-galaxy": functools.partial(check_ansible, GalaxyCLI),
    "ansible-inventory": functools.partial(check_ansible, InventoryCLI),
    "ansible-playbook": check_playbook,
    "cd": lambda command: None,
    "curl": lambda command: check_options(command, "--help", "all"),
    "echo": lambda command: None,
    "export": check_export,
    "git": lambda command: check_options(command, "clone", "-h"),
    "make": check_make,
    "pip": lambda command: check_options(command, "install", "--help"),
    "tests/sanity.sh": check_script,
    "tests/setup.sh": check_script,
}


def check_shell(block: Block, directory: Path) -> None:
    for line in commands(block.code):
        command = list(itertools.dropwhile(lambda word: re.match(r"\w+=", word), line))
        assert command[0] in PROGRAMS, f"no check for the command {command[0]}"
        PROGRAMS[command[0]](command)


# -- files -------------------------------------------------------------------------------------------------------------


def check_yaml(block: Block, directory: Path) -> None:
    if isinstance(block.data, dict):
        if "plugin" in block.data:
            assert block.title and block.title.endswith("remoteit.yml"), "test_inventory.py needs a title"
        else:
            check_inventory(block, directory)
        return
    if "hosts" in block.data[0]:
        (name,) = (play["name"] for play in block.data)
        assert f'"{block.title or name}"' in TESTS, "no test runs this play"
    else:
        assert block.title and f'"{block.title}"' in TESTS, "no test runs these tasks"


def check_ini(block: Block, directory: Path) -> None:
    if block.title != "~/.remoteit/credentials":
        check_inventory(block, directory)
        return
    sections = configparser.RawConfigParser(default_section="")
    sections.read_string(block.code)
    for profile in sections.sections():
        path = directory / "credentials"
        path.write_text(block.code)
        assert _credentials.load_credentials({"credentials_file": str(path), "profile": profile}, {}).access_key_id


def check_inventory(block: Block, directory: Path) -> None:
    assert block.title and block.title.startswith("inventory."), "the block has no title such as inventory.yml"
    path = directory / block.title
    path.write_text(block.code)
    listing = subprocess.run(
        [BIN / "ansible-inventory", "-i", path, "--list"],
        env={**os.environ, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for variables in json.loads(listing)["_meta"]["hostvars"].values():
        ours = {name for name in variables if name.startswith("remoteit_")}
        assert ours and ours <= role_variables()


def check_text(block: Block, directory: Path) -> None:
    for line in block.code.splitlines():
        assert is_in_code(line), line


def check_json(block: Block, directory: Path) -> None:
    json.loads(block.code)


LANGUAGES = {
    "ini": check_ini,
    "json": check_json,
    "sh": check_shell,
    "text": check_text,
    "yaml": check_yaml,
}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_is_run_or_checked(block: Block, tmp_path: Path) -> None:
    if block.name:
        assert f'"{block.name}"' in TESTS, "no test uses the name of this block"
        return
    assert block.language in LANGUAGES, "no check for this language"
    LANGUAGES[block.language](block, tmp_path)


def test_block_has_language() -> None:
    for page in PAGES:
        text = page.read_text()
        if page.suffix == ".md":
            assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len([b for b in BLOCKS if b.page == page.name])
        else:
            assert not re.findall(r"^(?! *\.\. ).*::$", text, re.MULTILINE), page
            assert not re.findall(r"^ *\.\. literalinclude::", text, re.MULTILINE), page


def test_playbooks_pass_ansible_lint(tmp_path: Path) -> None:
    """One file has all plays, since ansible-lint starts ansible-playbook once for each file."""
    texts: dict[str, str] = {}
    for block in BLOCKS:
        if block.language == "yaml" and isinstance(block.data, list):
            file = "playbooks/pages.yml" if "hosts" in block.data[0] else f"tasks/{block.line}.yml"
            texts[file] = f"{texts.get(file, '---')}\n# {block}\n{block.code}".replace("---\n\n", "---\n")
    for file, text in texts.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    for role in ("gateway", "kiosk"):
        (tmp_path / f"playbooks/roles/{role}/tasks").mkdir(parents=True)
        (tmp_path / f"playbooks/roles/{role}/tasks/main.yml").write_text("---\n")
    environ = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".venv" / "collections"),
    }
    command = [BIN / "ansible-lint", "--offline", "--profile", "production", "--project-dir", ".", *texts]
    lint = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert lint.returncode == 0, lint.stdout + lint.stderr


# -- texts -------------------------------------------------------------------------------------------------------------


def test_troubleshooting_quotes_messages_of_code() -> None:
    text = (ROOT / "docs/docsite/rst/troubleshooting.rst").read_text()
    messages = re.findall(r"^``(.+)``\n +\S", text, re.MULTILINE)
    assert len(messages) > 50
    assert [message for message in messages if not is_in_code(message)] == []


def test_troubleshooting_explains_every_code() -> None:
    from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import BY_CODE

    text = (ROOT / "docs/docsite/rst/troubleshooting.rst").read_text()
    assert set(re.findall(r"^   \* - ``(\w+)``$", text, re.MULTILINE)) == set(BY_CODE)


def test_readme_links_to_existing_files() -> None:
    """Each reference is defined once, each definition is used, and its target exists."""
    text = (ROOT / "README.md").read_text()
    defined = re.findall(r"^\[([^]]+)\]: *(.*)$", text, re.MULTILINE)
    assert sorted({*re.findall(r"\]\[([^]]+)\]", text)}) == sorted(name for name, _unused in defined)
    links = [re.fullmatch(rf"{HERE}/blob/main/([^\s#]+)(?:#(\S+))?", url) for _unused, url in defined]
    assert all(links), defined
    for path, heading in (link.groups() for link in links if link):
        page = (ROOT / path).read_text().lower()
        assert not heading or f"\n{heading.replace('-', ' ')}\n---" in page, heading


def test_readme_lists_versions_of_ansible_core() -> None:
    (tested,) = re.findall(r"tested with ansible-core ([^\n]+)\.\n", (ROOT / "README.md").read_text())
    engines = (path.stem for path in (ROOT / "tests" / "engines").glob("2.*.txt"))
    assert re.findall(r"\d\.\d+", tested) == sorted(engines)
