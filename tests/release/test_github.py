# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflows and issue forms of the project are valid, and the release workflow works."""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import threading
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(GITHUB.glob("workflows/*.yml"))}
FORMS = sorted(path.name for path in GITHUB.glob("ISSUE_TEMPLATE/*_*.yml"))
VERSION = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]

Workflow = dict[str, t.Any]


def steps(workflow: Workflow) -> t.Iterator[tuple[dict[str, t.Any], dict[str, t.Any]]]:
    """Yield each step with its job."""
    for job in workflow["jobs"].values():
        for step in job.get("steps", []):
            yield job, step


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_uses_existing_make_targets(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for job, step in steps(WORKFLOWS[name]):
        for target in re.findall(r"^make (.+)$", step.get("run", ""), re.MULTILINE):
            asked = job["strategy"]["matrix"]["target"] if target == "${{ matrix.target }}" else [target]
            assert [target for target in asked if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_pins_actions_and_permissions(name: str) -> None:
    text = (GITHUB / "workflows" / f"{name}.yml").read_text()
    used = re.findall(r"uses: ([^.].+)", text)  # actions of the project begin with a dot
    assert used
    assert [line for line in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    assert all(
        step["with"]["persist-credentials"] is False
        for _unused, step in steps(WORKFLOWS[name])
        if "checkout" in str(step)
    )


def test_dependabot_updates_every_pin() -> None:
    """The page on contributing lists the pins that Dependabot does not update."""
    actions, packages = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]
    assert (actions["package-ecosystem"], packages["package-ecosystem"]) == ("github-actions", "pip")
    tracked = subprocess.check_output(["git", "ls-files", "*.txt"], cwd=ROOT, text=True).splitlines()
    pinned = {path for path in tracked if "==" in (ROOT / path).read_text()}
    assert {f"/{Path(path).parent}" for path in pinned} == set(packages["directories"])
    by_hand = [*(path.removeprefix("**/") for path in packages.get("exclude-paths", []))]
    by_hand += [ignored["dependency-name"] for ignored in packages["ignore"]]
    page = (ROOT / "docs/docsite/rst/contributing.rst").read_text()
    assert [name for name in by_hand if f"{name}``" not in page] == []


def test_recipe_uses_the_actions_of_the_project() -> None:
    """Dependabot does not update the recipe."""
    ours = dict(re.findall(r"uses: (\S+)@\S+ # (v\d+)", "".join(map(Path.read_text, GITHUB.glob("workflows/*.yml")))))
    recipe = dict(re.findall(r"uses: (\S+)@(v\d+)", (ROOT / "docs/ci/github-actions.yml").read_text()))
    ours = {name: version for name, version in ours.items() if "pages" not in name}  # the recipe publishes no site
    assert {name: recipe[name] for name in ours} == ours


def test_release_publishes_the_documentation_of_galaxy_yml() -> None:
    (upload,) = (
        step for _unused, step in steps(WORKFLOWS["release"]) if "upload-pages-artifact" in step.get("uses", "")
    )
    assert f"into {upload['with']['path']}," in (ROOT / "Makefile").read_text()
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    owner, name = galaxy["repository"].split("/")[-2:]
    assert galaxy["documentation"] == f"https://{owner}.github.io/{name}/"
    assert galaxy["documentation"] in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", FORMS)
def test_issue_form_is_valid(name: str) -> None:
    form = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / name).read_text())
    assert {"name", "description", "body"} <= set(form)
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) > 0
    assert all(field["attributes"]["label"] for field in fields)


def run(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a step of the release as GitHub does."""
    (step,) = (step for _unused, step in steps(WORKFLOWS["release"]) if step.get("name") == name)
    variables = {key: value for key, value in step.get("env", {}).items() if not value.startswith("${{")}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env={**os.environ, **variables, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("tag", "code"), [(VERSION, 0), ("9.9.9", 1), (VERSION.replace(".", "x"), 1)])
def test_release_needs_the_tag_of_its_version(tag: str, code: int) -> None:
    assert run("Check that tag, collection and changelog have the same version", GITHUB_REF_NAME=tag).returncode == code


def test_release_publishes_without_printing_the_token(tmp_path: Path) -> None:
    seen: list[tuple[str, str | None, int]] = []

    class Galaxy(http.server.BaseHTTPRequestHandler):
        def send_json(self, body: dict[str, t.Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            if "imports" in self.path:
                self.send_json(
                    {"state": "completed", "finished_at": "2026-11-23T00:00:00Z", "messages": [], "error": {}}
                )
            else:
                self.send_json({"available_versions": {"v3": "v3/"}})

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self.rfile.read(length)
            seen.append((self.path, self.headers["Authorization"], length))
            self.send_json({"task": "/api/v3/imports/collections/1/"})

        def log_message(self, *arguments: t.Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Galaxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = run(
            "Publish on Galaxy",
            HOME=str(tmp_path),
            ANSIBLE_GALAXY_SERVER_GALAXY_URL=f"http://127.0.0.1:{server.server_port}/",
            ANSIBLE_GALAXY_SERVER_GALAXY_TOKEN="token-of-galaxy",
        )
        server.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
    ((path, authorization, length),) = seen
    assert path.endswith("/v3/artifacts/collections/")
    assert authorization == "Token token-of-galaxy"
    assert length > (ROOT / "build" / f"remoteit-fleet-{VERSION}.tar.gz").stat().st_size
    assert "token-of-galaxy" not in done.stdout + done.stderr


def test_github_release_has_the_notes_of_its_version(tmp_path: Path) -> None:
    gh = tmp_path / "gh"
    gh.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    gh.chmod(0o755)
    done = run("Publish on GitHub", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}", GITHUB_REF_NAME=VERSION)
    assert done.returncode == 0, done.stderr
    assert f"build/remoteit-fleet-{VERSION}.tar.gz" in done.stdout.splitlines()
    assert "Release Summary" in (ROOT / "build" / "notes.md").read_text()
