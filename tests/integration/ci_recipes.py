# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CI systems of the recipes: who runs which script, in which shell and directory, with which variables.

They also model the files that pass from one script to the next, and the status of the build.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from conftest import Fleet
from support import TIMEOUT, wait_until

RECIPES = Path(__file__).resolve().parents[2] / "docs" / "ci"

#: What prepares a machine and needs the internet. The machine of the tests is prepared; nothing else is left out.
SETUP = re.compile(
    r"pip install ansible-core requests|ansible-galaxy collection install remoteit\.fleet|python3 -m venv \.venv"
)
SETUP_ACTIONS = ("actions/checkout", "actions/setup-python", "actions/upload-artifact")

#: Replaces the service that returns the public address of a machine.
CURL = """\
#!/bin/sh
[ "$*" = "--fail --silent --show-error --max-time 60 --ipv4 https://checkip.amazonaws.com" ] && echo 127.0.0.1
"""


class Loader(yaml.SafeLoader):
    """Reads GitLab's and Ansible's own tags as what they hold."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def recipe(name: str) -> Any:
    return yaml.load((RECIPES / name).read_text(), Loader)


@dataclasses.dataclass
class Step:
    """The result of a script."""

    name: str
    code: int
    output: str
    left_open: int
    ledgers: list[str]  # the ids of the runs that left them


class Machine:
    """A fresh machine or container of a CI system, with the user's repository checked out.

    :ivar end: a signal that the step's process gets as soon as the devices are being worked on; SIGKILL ends all that
        runs on the machine.
    """

    def __init__(self, fleet: Fleet, bin_folder: Path, name: str) -> None:
        self.fleet = fleet
        self.end: signal.Signals | None = None
        self.steps: list[Step] = []
        self.workspace = fleet.directory / name / "Update kiosks"  # Jenkins takes the name of the job
        self.home = fleet.directory / name / "home"
        self.temp = fleet.directory / name / "temp"
        for path in (self.home, self.temp):
            path.mkdir(parents=True)
        shutil.copytree(fleet.project, self.workspace)
        stand_ins = self.temp / "bin"
        stand_ins.mkdir()
        (stand_ins / "curl").write_text(CURL)
        (stand_ins / "curl").chmod(0o755)
        kept = ("LANG", "TMPDIR", "XDG_RUNTIME_DIR", "ANSIBLE_NOCOLOR", "ANSIBLE_SSH_ARGS", "REMOTEIT_GRAPHQL_URL")
        self.environ = {
            **{variable: fleet.environ[variable] for variable in kept},
            "HOME": str(self.home),
            "PATH": f"{stand_ins}:{bin_folder}:{os.environ['PATH']}",
            "CI": "true",
        }

    @property
    def secrets(self) -> dict[str, str]:
        state = self.fleet.simulator.state
        return {
            "R3_ACCESS_KEY_ID": state["access_key_id"],
            "R3_SECRET_ACCESS_KEY": state["secret_access_key"],
            "DEVICE_KEY": Path(state["ssh_private_key_file"]).read_text(),
        }

    def execute(self, name: str, argv: list[str | Path], environ: dict[str, str], state: Path | None = None) -> Step:
        """Run a command in the workspace, and note what there is to see when it is over."""
        environ = {**self.environ, **environ}
        state = state or Path(environ.get("REMOTEIT_STATE_DIR") or self.home / ".local/state/remoteit-fleet")
        out = self.temp / "output"
        with out.open("w") as stream:
            process = subprocess.Popen(
                argv, cwd=self.workspace, env=environ, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
            )
            if self.end:
                self._end(process, self.end)
            process.wait(5 * TIMEOUT)
        print(f"== {name}: {process.returncode}", out.read_text(), sep="\n")
        ledgers = [json.loads(path.open().readline())["run"] for path in sorted((state / "runs").glob("*.*"))]
        step = Step(name, process.returncode, out.read_text(), len(self.fleet.simulator.open_connections()), ledgers)
        self.steps.append(step)
        return step

    def _end(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        self.end = None
        reached = [self.fleet.simulator.home(device) / "reached" for device in self.fleet.devices]
        wait_until(lambda: process.poll() is not None or all(path.exists() for path in reached))
        if number != signal.SIGKILL:
            process.send_signal(number)
            return
        running = self.fleet.processes_of(self.home)
        for stop in (signal.SIGSTOP, signal.SIGKILL):  # no process sees another one end
            for pid in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, stop)

    def shell(self, name: str, script: str, shell: list[str], environ: dict[str, str]) -> Step | None:
        """Run a script without the commands that prepare the machine. Run nothing if there are no others."""
        lines = [line for line in textwrap.dedent(script).splitlines() if not SETUP.fullmatch(line.strip())]
        if not any(line.strip() for line in lines):
            return None
        file = self.temp / "script.sh"
        file.write_text("\n".join(lines) + "\n")
        return self.execute(name, [*shell, file], environ)


Prepare = Callable[[str], Machine]


def github_actions(
    machine: Prepare, *, end: signal.Signals | None, leg: int = 0, lost: bool = False, **environ: str
) -> tuple[bool, Machine]:
    """Whether the job succeeds. All steps share a machine; one without a condition needs those before to succeed.

    :param leg: the job's place in a matrix. All legs have the same ``GITHUB_RUN_ID``.
    :param lost: the runner is lost with the update; no other step can be run.
    """
    here = machine(f"runner-{leg}")
    (job,) = recipe("github-actions.yml")["jobs"].values()
    values = {f"secrets.{name}": value for name, value in here.secrets.items()}
    values |= {"github.run_id": "4711", "github.run_attempt": "1", "strategy.job-index": str(leg)}

    def filled(environ: dict[str, str]) -> dict[str, str]:
        return {
            name: re.sub(r"\$\{\{ (\S+) \}\}", lambda found: values.get(found[1], ""), value)
            for name, value in environ.items()
        }

    environ = {"GITHUB_RUN_ID": "4711", "RUNNER_TEMP": str(here.temp), **filled(job["env"]), **environ}
    succeeds = True
    for step in job["steps"]:
        assert step.get("if") in (None, "always()")
        if not succeeds and (lost or "if" not in step):
            continue
        if "uses" in step:
            assert step["uses"].split("@")[0] in SETUP_ACTIONS
            continue
        here.end = end if "update.yml" in step["run"] else None
        done = here.shell(step["name"], step["run"], ["bash", "-e"], environ | filled(step.get("env", {})))
        succeeds &= done is None or done.code == 0
    return succeeds, here


def gitlab(machine: Prepare, *, end: signal.Signals | None, and_container: bool = False) -> tuple[bool, Machine]:
    """Whether the pipeline succeeds. Each job has a machine; the last one's gets the artifacts of the one before.

    :param and_container: nothing more can be run in the container of what was killed.
    """
    whole = recipe("gitlab-ci.yml")
    assert whole["teardown"]["stage"] == ".post"
    before, succeeds = None, True
    for job_id, name in (("4711", "update"), ("4712", "teardown")):
        assert name == "update" or whole[name]["when"] == "always"
        here = machine(name)
        if before is not None:
            for path in whole["update"]["artifacts"]["paths"]:
                if (before.workspace / path).exists():
                    shutil.copytree(before.workspace / path, here.workspace / path)
        key = here.temp / "device.key"  # a variable of the type "file" is readable for everybody
        key.write_text(here.secrets["DEVICE_KEY"])
        key.chmod(0o666)
        given = {
            **here.secrets,
            "DEVICE_KEY": str(key),
            "CI_JOB_ID": job_id,
            "CI_PROJECT_DIR": str(here.workspace),
        }
        own = {k: v.replace("$CI_PROJECT_DIR", str(here.workspace)) for k, v in whole["variables"].items()}
        job, shell = whole[name], ["bash", "-eo", "pipefail"]
        here.end = end if name == "update" else None
        script = [*whole["default"]["before_script"], *job["script"]]
        done = here.shell(name, "\n".join(script), shell, given | own)
        succeeds &= done is not None and done.code == 0
        if "after_script" in job and not and_container:
            here.shell("after_script", "\n".join(job["after_script"]), shell, given | own)  # its code does not count
        if before is not None:
            here.steps = before.steps + here.steps
            shutil.copytree(before.workspace / "junit", here.workspace / "junit", dirs_exist_ok=True)
        before = here
    return succeeds, here


def jenkins(machine: Prepare, *, end: signal.Signals | None) -> tuple[bool, Machine]:
    """Return whether the build succeeds. The steps under ``post`` always run, with the same variables."""
    here = machine("agent")
    text = (RECIPES / "Jenkinsfile").read_text()
    stages, post = (_block(text, name) for name in ("stages", "post"))
    key = here.temp / "device.key"
    key.write_text(here.secrets["DEVICE_KEY"])
    key.chmod(0o600)
    ids = {"r3-access-key-id": "R3_ACCESS_KEY_ID", "r3-secret-access-key": "R3_SECRET_ACCESS_KEY"}
    environ = {"BUILD_TAG": "jenkins-fleet-4711", "WORKSPACE": str(here.workspace)}
    for name, value in re.findall(r"^ *(\w+) = (.+)$", _block(text, "environment"), re.MULTILINE):
        if found := re.fullmatch(r"credentials\('(.+)'\)", value):
            environ[name] = str(key) if found[1] == "device-key" else here.secrets[ids[found[1]]]
        elif value.startswith("'"):
            environ[name] = value.strip("'")
        else:
            known = {**here.environ, **environ}
            environ[name] = re.sub(r"\$\{(\w+)\}", lambda word: known[word[1]], value.strip('"'))  # noqa: B023
    succeeds = True
    for script in _scripts(stages):
        if succeeds:
            here.end = end if "update.yml" in script else None
            done = here.shell("stage", script, ["sh", "-xe"], environ)
            succeeds &= done is None or done.code == 0
    for script in [*_scripts(_block(post, "always")), *_scripts(_block(post, "cleanup"))]:
        done = here.shell("post", script, ["sh", "-xe"], environ)
        succeeds &= done is None or done.code == 0
    return succeeds, here


def _block(text: str, name: str) -> str:
    """What stands between the braces after a word of a Jenkinsfile."""
    start = re.search(rf"^ *{name} \{{$", text, re.MULTILINE)
    assert start, name
    indent = " " * (len(start[0]) - len(start[0].lstrip()))
    return text[start.end() : text.index(f"\n{indent}}}\n", start.end())] + "\n"


def _scripts(text: str) -> list[str]:
    return [
        long or short for long, short in re.findall(r"^ *sh (?:'''(.*?)'''|'(.*?)')$", text, re.DOTALL | re.MULTILINE)
    ]


def awx(machine: Prepare, *, end: signal.Signals | None) -> tuple[bool, Machine]:
    """Whether the workflow succeeds. Each job has a container; a path that the credential names is shared.

    AWX counts a node that fails as handled if anything is to be run after its failure.
    """
    (play,) = recipe("awx/setup.yml")
    tasks: dict[str, list[dict[str, Any]]] = {}
    for task in play["tasks"]:
        (module,) = (name for name in task if name.startswith("awx.awx."))
        tasks.setdefault(module.removeprefix("awx.awx."), []).append(task[module])
    (kind,), (workflow,) = tasks["credential_type"], tasks["workflow_job_template"]
    templates = {template["name"]: template for template in tasks["job_template"]}
    nodes = {node["identifier"]: node for node in workflow["workflow_nodes"]}
    assert all(field["secret"] for field in kind["inputs"]["fields"])
    steps: list[Step] = []
    succeeds, identifier, job_id = True, "update", 4711
    while identifier:
        node, here = nodes[identifier], machine(identifier)
        template = templates[node["unified_job_template"]["name"]]
        shared = here.fleet.directory / "var-lib-remoteit-fleet"
        inputs = {name.removeprefix("R3_").lower(): value for name, value in here.secrets.items()}
        environ = {
            name: re.sub(r"\{\{ (\w+) \}\}", lambda found: inputs[found[1]], value).replace(  # noqa: B023
                "/var/lib/remoteit-fleet", str(shared)
            )
            for name, value in kind["injectors"]["env"].items()
        }
        extra = {**template.get("extra_vars", {}), **(node.get("extra_data", {}) if _asks(template) else {})}
        if "remoteit_hostip" in extra:
            assert extra["remoteit_hostip"] == "{{ hostip }}"
            extra["remoteit_hostip"] = play["vars"]["hostip"].replace("203.0.113.7", "127.0.0.1")
        data = here.temp / "runner"
        (data / "env").mkdir(parents=True)
        (data / "project").symlink_to(here.workspace)
        (data / "env" / "extravars").write_text(json.dumps(extra))
        if "{{ machine_credential }}" in template["credentials"]:
            (data / "env" / "ssh_key").write_text(here.secrets["DEVICE_KEY"])
        source = str(here.workspace / "fleet.remoteit.yml")
        argv = ["ansible-runner", "run", str(data), "-p", template["playbook"], "--inventory", source]
        job = {**environ, "JOB_ID": str(job_id)}
        step = _update_inventory(here, source, job) if identifier == "update" else None
        here.end = end if identifier == "update" else None
        if step is None or step.code == 0:
            step = here.execute(identifier, argv, job)
        steps.append(step)
        following = node["related"]["failure_nodes" if step.code else "success_nodes"] + node["related"]["always_nodes"]
        handled = node["related"]["failure_nodes"] + node["related"]["always_nodes"]
        succeeds &= step.code == 0 or bool(handled)
        identifier = following[0]["identifier"] if following else ""
        job_id += 1
    here.steps = steps
    shutil.copytree(shared / "junit", here.workspace / "junit")
    return succeeds, here


def _update_inventory(here: Machine, source: str, environ: dict[str, str]) -> Step:
    """Read the inventory as AWX does before a job with ``update_on_launch``. The job fails if this fails."""
    strict = {"ANSIBLE_INVENTORY_UNPARSED_FAILED": "True", "ANSIBLE_INVENTORY_EXPORT": "True"}
    return here.execute("inventory", ["ansible-inventory", "-i", source, "--list"], {**environ, **strict})


def _asks(template: dict[str, Any]) -> bool:
    return template.get("ask_variables_on_launch", False)
