# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared parts of the end-to-end tests: a simulator, and a fleet on which real ansible-playbook processes run.

A test asserts on the simulator's state (``fleet.simulator``) and on the results of the tasks (``Run``).

Each test runs on one of the versions of ansible-core, in turn. ``TEST_ENGINES`` names the versions, and
``TEST_ANSIBLE_PLAYBOOK`` one ansible-playbook for the tests that are not marked ``every_engine``. With
``TEST_PRODUCT=1``, tests marked ``every_engine`` run on each version, and those marked ``each_api`` over both APIs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support import TIMEOUT, Simulator, wait_until
from termination_table import TerminationTable, engine_of, is_product

ANSIBLE_PLAYBOOK = os.environ.get("TEST_ANSIBLE_PLAYBOOK", str(Path(sys.executable).with_name("ansible-playbook")))
ENGINES = [
    path
    for version in os.environ.get("TEST_ENGINES", "2.16 2.19 2.21").split()
    if (path := HERE.parents[1] / ".venv" / "engines" / version / "bin" / "ansible-playbook").exists()
] or [Path(ANSIBLE_PLAYBOOK)]

#: The parts of a test's ID that name a version of ansible-core, an API, a strategy or a kind of inventory.
_VARIANT = re.compile(
    r"(?<![0-9.])2\.[0-9]{2}(?![0-9.])|\b(?:rest|graphql|linear|free|host_pinned|handwritten|source)\b"
)

DEVICES = 40  # a device costs nothing until it is reached

os.environ |= dict.fromkeys(["no_proxy", "NO_PROXY"], "127.0.0.1,localhost")  # all servers are on this machine

SSH_RECORDER = """\
#!/bin/sh
call=$(mktemp '{directory}/XXXXXXXXXX')
printf '%s\\0' "$@" >"$call"
exec ssh "$@"
"""


ROLE = "remoteit.fleet.remoteit_session"
CONNECT, DISCONNECT = "remoteit.fleet.remoteit_connect", "remoteit.fleet.remoteit_disconnect"
OPEN = {"include_role": {"name": ROLE, "tasks_from": "open"}, "tags": ["always"]}
CLOSE = {"include_role": {"name": ROLE, "tasks_from": "close"}, "tags": ["always"]}


def task(name: str, **action: Any) -> dict[str, Any]:
    return {"name": name, **action}


def raw(name: str, command: str, **more: Any) -> dict[str, Any]:
    return task(name, **{"ansible.builtin.raw": command}, **more)


def who(name: str = "who", **more: Any) -> dict[str, Any]:
    """Return a task whose output is the name of the device that it reached."""
    return raw(name, "cat device-name", **more)


def play(*tasks: dict[str, Any], **keywords: Any) -> dict[str, Any]:
    return {"hosts": "fleet", "gather_facts": False, "tasks": list(tasks), **keywords}


def role_play(**keywords: Any) -> dict[str, Any]:
    """Return a play that runs ``on_the_devices.yml`` by the role."""
    role = {"role": ROLE, "vars": {"remoteit_session_tasks": "on_the_devices.yml"}}
    return {"hosts": "fleet", "gather_facts": False, "roles": [role], **keywords}


def themselves(*hosts: str) -> dict[str, str]:
    return {host: host for host in hosts}


def one_line(text: str) -> str:
    """Return the text without the line breaks that depend on the screen's width."""
    return " ".join(text.split())


@dataclasses.dataclass
class Run:
    """The results of one ansible-playbook."""

    rc: int
    stdout: str
    stderr: str
    journal: list[dict[str, Any]]
    connections: list[dict[str, Any]]
    requests: list[dict[str, Any]]
    ssh_calls: list[list[str]]

    @property
    def text(self) -> str:
        """Return the whole output, in one line."""
        return one_line(self.stdout + " " + self.stderr)

    @property
    def recap(self) -> str | None:
        """Return the recap of the collection, without its prefix."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("remote.it: opened")]
        assert len(lines) <= 1
        return lines[0].removeprefix("remote.it: ") if lines else None

    def entries(self, task: str) -> list[dict[str, Any]]:
        return [entry for entry in self.journal if entry["task"] == task]

    def result(self, task: str, host: str | None = None) -> dict[str, Any]:
        """Return the result of a task that ran once (on this host)."""
        (entry,) = (entry for entry in self.entries(task) if host in (None, entry["host"]))
        return entry["result"]

    def results(self, task: str) -> dict[str, dict[str, Any]]:
        return {entry["host"]: entry["result"] for entry in self.entries(task)}

    def status(self, task: str) -> dict[str, str]:
        """Return the status by host: ok, changed, failed, ignored, unreachable, or skipped."""
        return {entry["host"]: entry["status"] for entry in self.entries(task)}

    def stdout_of(self, task: str) -> dict[str, str]:
        return {host: result.get("stdout", "").strip() for host, result in self.results(task).items()}

    def message(self, task: str, host: str | None = None) -> str:
        """Return the message of a failed task, in one line."""
        return one_line(str(self.result(task, host)["msg"]))

    def calls(self, kind: str) -> list[str]:
        """Return the services of the API calls of this kind, sorted."""
        return sorted(request["deviceaddress"] for request in self.requests if request["call"] == kind)

    def open_at(self, look: str = "look") -> list[str]:
        """Return the run's connections that were open when a task of ``Fleet.look`` ran."""
        ours = {entry["connectionid"] for entry in self.connections}
        seen = self.result(look)["msg"]
        return [entry["connectionid"] for entry in seen if entry["open"] and entry["connectionid"] in ours]

    def assert_all_closed(self) -> None:
        count = len(self.connections)
        assert count
        assert self.recap == f"opened {count}, closed {count}, left open 0"

    def failures(self) -> dict[str, str]:
        """Return the message of each host that failed."""
        return {e["host"]: one_line(str(e["result"].get("msg"))) for e in self.journal if e["status"] == "failed"}

    def ssh(self, marker: str) -> SshCall:
        """Return the only call of ssh whose remote command contains this word."""
        (call,) = (SshCall(argv) for argv in self.ssh_calls if marker in argv[-1])
        return call


@dataclasses.dataclass
class SshCall:
    argv: list[str]

    @property
    def arguments(self) -> list[str]:
        """Return the arguments without the remote command."""
        return self.argv[:-1]

    @property
    def destination(self) -> str:
        return self.argv[-2]

    def options(self, name: str) -> list[str]:
        """Return the values of an option in their order. ssh uses the first one."""
        words = [argument.removeprefix("-o") for argument in self.argv]
        return [word.split("=", 1)[1].strip('"') for word in words if word.startswith(f"{name}=")]


class Fleet:
    """A controller with an inventory of three devices, without the settings of this machine.

    :ivar environ: the environment of the runs to come.
    """

    def __init__(self, simulator: Simulator, directory: Path, runtime: Path, api: str) -> None:
        self.simulator = simulator
        self.api = api
        self.ansible_playbook = ANSIBLE_PLAYBOOK
        self.directory = directory
        self.project = directory / "project"
        self.home = directory / "home"
        self.state = directory / "state"
        self.known_hosts = directory / "known_hosts"
        self.runtime = runtime / "r"
        self.plain_masters = runtime / "m"
        self.tmp = runtime / "t"
        for path in (self.project, self.home, self.tmp, directory / "ssh", self.runtime, self.plain_masters):
            path.mkdir()
        self.devices = [f"pi-{number:04}" for number in (1, 2, 3)]
        self.services = [simulator.service(device) for device in self.devices]
        self.environ = {
            **self._clean_environment(),
            **self.credentials,
        }
        self.inventory: dict[str, Any] = {
            "fleet": {
                "hosts": {device: {"remoteit_deviceaddress": simulator.service(device)} for device in self.devices},
                "vars": {"ansible_connection": "remoteit.fleet.ssh", **self.login, **self.host_keys},
            }
        }

    def use_devices(self, count: int) -> None:
        """Use only the first devices. Each host costs a part of a second of a processor in each run."""
        for device in self.devices[count:]:
            del self.inventory["fleet"]["hosts"][device]
        del self.devices[count:], self.services[count:]

    @property
    def credentials(self) -> dict[str, str]:
        return self.credentials_of(self.simulator)

    def credentials_of(self, simulator: Simulator) -> dict[str, str]:
        """Return the environment variables to use it through the tested API."""
        names = {
            "rest": {
                "REMOTEIT_API_URL": "api_url",
                "REMOTEIT_TOKEN": "token",
                "REMOTEIT_DEVELOPER_KEY": "developer_key",
            },
            "graphql": {
                "REMOTEIT_GRAPHQL_URL": "graphql_url",
                "R3_ACCESS_KEY_ID": "access_key_id",
                "R3_SECRET_ACCESS_KEY": "secret_access_key",
            },
        }[self.api]
        return {name: simulator.state[key] for name, key in names.items()}

    @property
    def restriction(self) -> str:
        """Return the default restriction of a port proxy."""
        return {"rest": "caller", "graphql": "latching"}[self.api]

    @property
    def login(self) -> dict[str, Any]:
        """Return the variables to log in to a device."""
        return {
            "ansible_user": self.simulator.state["ssh_user"],
            "ansible_ssh_private_key_file": self.simulator.state["ssh_private_key_file"],
            "ansible_python_interpreter": sys.executable,
        }

    @property
    def host_keys(self) -> dict[str, Any]:
        """Record the host keys of devices at first contact, in a file of this test."""
        return {
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.known_hosts} -o StrictHostKeyChecking=accept-new"
        }

    def _clean_environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "TMPDIR": str(self.tmp),  # ansible-core 2.21 puts a socket there
            "XDG_RUNTIME_DIR": str(self.runtime),  # the path of a Unix socket has to be short
            "REMOTEIT_STATE_DIR": str(self.state),
            "ANSIBLE_CONFIG": str(self.write("ansible.cfg", "")),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            # ssh finds the user's files by the user's id and not by HOME
            "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=auto -o ControlPersist=60s -F /dev/null",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.plain_masters),
            "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "json_lines",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",  # in ad hoc commands too
        }

    def plain_way(self, device: str) -> dict[str, Any]:
        """Return host variables that reach a device by ansible.builtin.ssh, without the collection."""
        way = self.simulator.connect(device)
        trust = f"-o UserKnownHostsFile={self.directory}/plain_known_hosts -o StrictHostKeyChecking=accept-new"
        return {
            **self.login,
            "ansible_connection": "ansible.builtin.ssh",
            "ansible_host": way["host"],
            "ansible_port": way["port"],
            "ansible_ssh_common_args": trust,
        }

    def known_host(self, device: str) -> str:
        """Return the line of ``known_hosts`` that ssh records for the device."""
        way = self.simulator.connect(device)
        scan = ["ssh-keyscan", "-T", str(TIMEOUT), "-p", str(way["port"]), way["host"]]
        line = subprocess.run(scan, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
        self.simulator.stop(way)
        return f"remoteit-{way['deviceaddress'].lower().replace(':', '-')} {line.split(maxsplit=1)[1]}\n"

    def write(self, name: str, content: Any) -> Path:
        """Write a file into the project: text, or data as YAML."""
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content) if isinstance(content, str) else yaml.safe_dump(content))
        return path

    def record_ssh(self) -> None:
        """Record the arguments of each call of ssh."""
        recorder = self.write("record-ssh", SSH_RECORDER.format(directory=self.directory / "ssh"))
        recorder.chmod(0o755)
        self.environ["ANSIBLE_SSH_EXECUTABLE"] = str(recorder)

    def run(
        self,
        playbook: str | list[dict[str, Any]],
        *arguments: str,
        cwd: Path | None = None,
        environ: dict[str, str | None] | None = None,
        leaves_open: int = 0,
        while_running: Callable[[], None] | None = None,
    ) -> Run:
        """Run a playbook to its end, and make sure that nothing is left of it.

        :param playbook: its text, its plays, or its name if it is one of a collection.
        :param environ: added to the fleet's environment. ``None`` removes a variable.
        :param leaves_open: how many connections may be open afterwards.
        :param while_running: called again and again.
        """
        is_name = isinstance(playbook, str) and "\n" not in playbook
        target = playbook if isinstance(playbook, str) and is_name else str(self.write("play.yml", playbook))
        command = [self.ansible_playbook, "-i", self.write_inventory(), target, *arguments]
        return self._execute(command, cwd, self._for_inventory(arguments, environ), leaves_open, while_running)

    def ad_hoc(
        self, pattern: str, *arguments: str, environ: dict[str, str | None] | None = None, leaves_open: int = 0
    ) -> Run:
        """Run ``ansible`` to its end, and make sure that nothing is left of it."""
        ansible = str(Path(self.ansible_playbook).with_name("ansible"))
        command = [ansible, "-i", self.write_inventory(), pattern, *arguments]
        return self._execute(command, None, self._for_inventory(arguments, environ), leaves_open, None)

    def _for_inventory(
        self, arguments: tuple[str, ...], environ: dict[str, str | None] | None
    ) -> dict[str, str | None] | None:
        """Disable the inventory plugins that are not needed. They take a tenth of the start of ansible-core."""
        if isinstance(self.inventory, Path) or "-i" in arguments:
            return environ
        return {"ANSIBLE_INVENTORY_ENABLED": "yaml", **(environ or {})}

    def write_inventory(self) -> str:
        """Write the inventory unless it is a path, and return its path."""
        if isinstance(self.inventory, Path):
            return str(self.inventory)
        return str(self.write("inventory.yml", self.inventory))

    def _execute(
        self,
        command: list[str],
        cwd: Path | None,
        environ: dict[str, str | None] | None,
        leaves_open: int,
        while_running: Callable[[], None] | None,
    ) -> Run:
        journal = self.directory / "journal"
        journal.write_text("")
        for call in (self.directory / "ssh").iterdir():
            call.unlink()
        history, sent = len(self.simulator.connections()), len(self.simulator.requests())
        directory = cwd or self.project
        with (self.directory / "out").open("w+") as out, (self.directory / "err").open("w+") as err:
            environment: dict[str, str | None] = {
                **self.environ,
                "TEST_JOURNAL": str(journal),
                "PWD": str(directory),
                **(environ or {}),
            }
            environment = {name: value for name, value in environment.items() if value is not None}
            process = subprocess.Popen(
                command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )
            deadline = time.monotonic() + 5 * TIMEOUT
            while while_running and process.poll() is None and time.monotonic() < deadline:
                while_running()
                time.sleep(0.05)
            try:
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.terminate()
                process.wait(TIMEOUT)
            texts = [stream.seek(0) or stream.read() for stream in (out, err)]
        print(shlex.join(command), *texts, sep="\n")
        run = Run(
            process.returncode,
            *texts,
            [json.loads(line) for line in journal.read_text().splitlines()],
            self.simulator.connections()[history:],
            self.simulator.requests()[sent:],
            [call.read_text().split("\0")[:-1] for call in sorted((self.directory / "ssh").iterdir(), key=_age)],
        )
        self._nothing_is_left(run, leaves_open)
        return run

    def post(self, name: str, path: str, body: Any) -> dict[str, Any]:
        """Return a task on the controller that changes the simulator."""
        call = {"url": f"{self.simulator.state['control_url']}/{path}", "method": "POST", "body": body}
        uri = {"ansible.builtin.uri": {**call, "body_format": "json"}}
        return task(name, **uri, delegate_to="localhost", run_once=True)

    def look(self, name: str = "look") -> dict[str, Any]:
        """Return a task on the controller that records the connections of the simulator, for ``Run.open_at``."""
        url = f"{self.simulator.state['control_url']}/connections"
        found = f"{{{{ lookup('ansible.builtin.url', '{url}', split_lines=False) | from_json }}}}"
        return task(name, **{"ansible.builtin.debug": {"msg": found}}, delegate_to="localhost", run_once=True)

    def wait_here(self) -> dict[str, Any]:
        """Return a task on the controller that waits for ``go_on``."""
        script = f"until [ -e '{self.directory}/go on' ]; do sleep 0.1; done"
        return raw("wait", script, delegate_to="localhost", run_once=True)

    def go_on(self) -> None:
        (self.directory / "go on").touch()

    def once(self, ready: Callable[[], Any], action: Callable[[], Any]) -> Callable[[], None]:
        """Return a function that runs the action once when the condition is true, and then continues the run."""

        def step() -> None:
            if not (self.directory / "go on").exists() and ready():
                action()
                self.go_on()

        return step

    def has_ended(self, task: str, count: int = 1) -> bool:
        """Return whether the task has ended on so many hosts."""
        journal = self.directory / "journal"
        return journal.exists() and journal.read_text().count(f'"task": "{task}"') >= count

    def keepers(self) -> list[int]:
        """Return the process IDs of the run's keepers."""
        return [pid for pid, words in self.processes().items() if "_keeper/process.py" in words]

    def on_localhost(self, tasks: list[dict[str, Any]], *arguments: str, leaves_open: int = 0) -> Run:
        """Run tasks of a play that has no devices."""
        play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
        return self.run([play], *arguments, leaves_open=leaves_open)

    def session(
        self,
        tasks: str | list[dict[str, Any]],
        *arguments: str,
        play: dict[str, Any] | None = None,
        leaves_open: int = 0,
        **variables: Any,
    ) -> Run:
        """Run tasks on the fleet through the role.

        :param play: further keywords of the play.
        :param variables: the role's.
        """
        self.write("on_the_devices.yml", tasks)
        plays = [role_play(**(play or {}))]
        plays[0]["roles"][0]["vars"] |= variables
        return self.run(plays, *arguments, leaves_open=leaves_open)

    def _nothing_is_left(self, run: Run, leaves_open: int) -> None:
        ours = {entry["connectionid"] for entry in run.connections}
        still = [entry for entry in self.simulator.open_connections() if entry["connectionid"] in ours]
        assert len(still) == leaves_open, f"open after the end: {still}"
        wait_until(lambda: not self.processes())
        wait_until(lambda: not list(self.runtime.iterdir()))
        assert not (found := self.secrets_in(run.stdout, run.stderr, json.dumps(run.journal))), found
        assert "Traceback" not in run.text
        assert "remote.it: opened" not in run.stdout  # which may be for a machine to read

    def secrets_in(self, *texts: str) -> list[str]:
        """Return the names of the secrets that the texts contain."""
        return [name for name, secret in self.simulator.secrets.items() if any(secret in text for text in texts)]

    def processes(self) -> dict[int, str]:
        """Return the processes of the run, without the control masters of ansible.builtin.ssh."""
        return self.processes_of(self.home)

    def processes_of(self, home: Path) -> dict[int, str]:
        """Return the processes of a run with another home."""
        mark = f"HOME={home}".encode()
        found = {}
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                its_environment = (directory / "environ").read_bytes().split(b"\0")
                ours = mark in its_environment or f"{self.runtime}/" in words
                if ours and words and str(self.plain_masters) not in words:
                    found[int(directory.name)] = words
        return found

    def ledgers(self) -> list[Path]:
        return sorted((self.state / "runs").glob("*")) if self.state.exists() else []

    def ledgers_left_open(self) -> list[Path]:
        """Return the ledgers, except those that only ask later teardowns to search for sessions again."""
        return [path for path in self.ledgers() if '"settling"' not in path.read_text()]

    def end(self) -> None:
        for socket in self.plain_masters.iterdir():
            command = ["ssh", "-F", "/dev/null", "-o", f"ControlPath={socket}", "-O", "exit", "none"]
            subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT)
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns


@functools.lru_cache
def _known_hosts_of_the_user() -> Path:
    return Path("~/.ssh/known_hosts").expanduser()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--matrix", action="store_true", help="write the table of tested ends into the documentation")


def pytest_configure(config: pytest.Config) -> None:
    # under nohup or in the background all that is started would ignore them
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--matrix") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(TerminationTable())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run a test of several variants (``_VARIANT``) on one of them, on each in turn; on all with TEST_PRODUCT=1."""
    if is_product():
        return
    variants: dict[str, list[pytest.Item]] = {}
    for item in items:
        spread = item.path.name != "test_termination.py"  # which spreads its endings
        variants.setdefault(_VARIANT.sub("*", item.nodeid) if spread else item.nodeid, []).append(item)
    chosen = {id(group[number % len(group)]) for number, group in enumerate(variants.values())}
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in chosen])
    items[:] = [item for item in items if id(item) in chosen]


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """Yield the simulator of all tests of this worker."""
    simulator = Simulator(tmp_path_factory.mktemp("simulator"), "--devices", str(DEVICES))
    yield simulator
    simulator.end()


@pytest.fixture
def api() -> str:
    """Return the API to use. Tests that are marked ``each_api`` use both with ``TEST_PRODUCT=1``."""
    return "rest"


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Path:
    """Return the ansible-playbook that runs the test."""
    if "TEST_ANSIBLE_PLAYBOOK" in os.environ:
        return Path(ANSIBLE_PLAYBOOK)
    return ENGINES[zlib.crc32(request.node.nodeid.encode()) % len(ENGINES)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "api" in metafunc.fixturenames and metafunc.definition.get_closest_marker("each_api"):
        metafunc.parametrize("api", ["rest", "graphql"])
    is_marked = metafunc.definition.get_closest_marker("every_engine") and "case" not in metafunc.fixturenames
    if "engine" in metafunc.fixturenames and is_marked:
        metafunc.parametrize("engine", ENGINES, ids=engine_of)


@pytest.fixture
def fleet(simulator: Simulator, tmp_path: Path, api: str, engine: Path) -> Iterator[Fleet]:
    known = _known_hosts_of_the_user()
    before = known.read_bytes() if known.exists() else None
    simulator.reset()
    with tempfile.TemporaryDirectory(prefix="rf-", dir="/tmp") as runtime:
        fleet = Fleet(simulator, tmp_path, Path(runtime), api)
        fleet.ansible_playbook = str(engine)
        yield fleet
        fleet.end()
    assert (known.read_bytes() if known.exists() else None) == before
