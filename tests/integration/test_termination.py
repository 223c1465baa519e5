# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing stays open: every way to end a run, judged by the vendor's connections.

``termination_table.py`` spreads the endings over ad hoc commands, plays and the role, and over the versions of
ansible-core. On some of them the API is GraphQL, on the others REST. The inventory is handwritten, so nothing of the
collection is imported in the controller's main process before the first task.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import CONNECT, ENGINES, OPEN, Fleet, Run, play, raw, role_play, task, who
from support import SSH, TIMEOUT, Simulator, wait_until
from termination_table import AD_HOC, PLAY, ROLE, WAYS, Case, Ending, api_of, cases_of, ends

pytestmark = pytest.mark.every_engine

END_SECONDS = 30  # after a signal everything has to be closed within so many seconds
FIRST, SECOND = ALL = ("pi-0001", "pi-0002")
PLAYBOOKS = (PLAY, ROLE)
Tasks = list[dict[str, Any]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases_of(metafunc.function.endings, ENGINES), ids=str)


@pytest.fixture
def api(case: Case) -> str:
    return api_of(case.version)


@pytest.fixture
def engine(case: Case) -> Path:
    return case.ansible_playbook


@pytest.fixture(autouse=True)
def set_up_case(case: Case, fleet: Fleet, record_property: Callable[[str, str], None]) -> None:
    fleet.use_devices(len(ALL))
    fleet.inventory["fleet"]["vars"]["remoteit_wait_timeout"] = 3
    record_property("kind", case.ending.kind)
    record_property("version", case.version)


def fail(*hosts: str) -> dict[str, Any]:
    return raw("fail", "false", when=f"inventory_hostname in {list(hosts)}")


def drop(fleet: Fleet, *devices: str) -> dict[str, Any]:
    """Return a task that cuts the links to the devices, which accept no new ones."""
    return fleet.post("drop", "devices", [{"name": device, "drop": True} for device in devices])


def connect(fleet: Fleet, **more: Any) -> dict[str, Any]:
    return task("connect", **{CONNECT: {"deviceaddress": fleet.services}}, **more)


def plays_of(fleet: Fleet, way: str, tasks: Tasks, **keywords: Any) -> list[dict[str, Any]]:
    """Return a play on the fleet, by the role or without it."""
    if way == PLAY:
        return [play(*tasks, **keywords)]
    fleet.write("on_the_devices.yml", tasks)
    return [role_play(**keywords)]


def on_localhost(*tasks: dict[str, Any]) -> dict[str, Any]:
    return play(*tasks, hosts="localhost")


def run_it(fleet: Fleet, way: str, tasks: Tasks, command: str, **options: Any) -> Run:
    """Run the command on the fleet by an ad hoc command, or the tasks by a playbook."""
    if way == AD_HOC:
        return fleet.ad_hoc("fleet", "-m", "raw", "-a", command, **options)
    return fleet.run(plays_of(fleet, way, tasks), **options)


def reach_it(fleet: Fleet, way: str, **options: Any) -> Run:
    return run_it(fleet, way, [who()], "cat device-name", **options)


def command_of(fleet: Fleet, way: str, tasks: Tasks, command: str) -> list[str]:
    """Return the command line of the same."""
    inventory = fleet.write_inventory()
    if way == AD_HOC:
        ansible = str(Path(fleet.ansible_playbook).with_name("ansible"))
        return [ansible, "-i", inventory, "fleet", "-m", "raw", "-a", command]
    playbook = fleet.write("play.yml", plays_of(fleet, way, tasks))
    return [fleet.ansible_playbook, "-i", inventory, str(playbook)]


# -- the run ends by itself ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Row(Ending):
    """An ending that is described by what it runs.

    :ivar codes: the exit codes that it may have.
    :ivar tasks: of a play.
    :ivar command: of an ad hoc command.
    :ivar play: further keywords of the play.
    :ivar then: whether a play on the same hosts follows.
    :ivar before: devices that drop every link from the start.
    """

    codes: Sequence[int] = (0,)
    tasks: Callable[[Fleet], Tasks] = lambda _fleet: [who()]
    command: str = "cat device-name"
    play: dict[str, Any] = dataclasses.field(default_factory=dict, compare=False, hash=False)
    then: dict[str, Any] | None = dataclasses.field(default=None, compare=False, hash=False)
    before: Sequence[str] = ()


_TASKS, _PLAYS, _STRATEGIES = "tasks end", "a play ends", "a strategy"
RESTART = "restart"

ROWS = [
    Row(_TASKS, "every task succeeds", WAYS),
    Row(
        _TASKS, "a task fails on one device", WAYS, codes=[2],
        tasks=lambda _: [who(), fail(SECOND), who()], command=f'test "$(cat device-name)" != {SECOND}',
    ),
    Row(
        _TASKS, "a task fails on every device", WAYS, codes=[2],
        tasks=lambda _: [who(), fail(*ALL), who()], command="false",
    ),
    Row(_TASKS, "one device does not respond", WAYS, codes=[4], before=[FIRST]),
    Row(_TASKS, "every device does not respond", WAYS, codes=[4], before=ALL),
    Row(
        _TASKS, "one device becomes unreachable", PLAYBOOKS, codes=[4],
        tasks=lambda fleet: [who(), drop(fleet, FIRST), who("again")],
    ),
    Row(
        _TASKS, "every device becomes unreachable", PLAYBOOKS, codes=[4],
        tasks=lambda fleet: [who(), drop(fleet, *ALL), who("again")],
    ),
    Row(
        _TASKS, "a task cannot be templated", PLAYBOOKS, codes=[2],
        tasks=lambda _: [who(), raw("bad", "{{ nowhere }}")],
    ),
    Row(
        _TASKS, "an included file is not YAML", PLAYBOOKS, codes=[1, 2, 4, 250],
        tasks=lambda _: [who(), task("bad", include_tasks="broken.yml")],
    ),
    Row(_TASKS, "a rescue succeeds", PLAYBOOKS, tasks=lambda _: [{"block": [fail(*ALL)], "rescue": [who()]}]),
    Row(
        _TASKS, "an always fails", PLAYBOOKS, codes=[2],
        tasks=lambda _: [{"block": [fail(FIRST)], "always": [who(), fail(*ALL)]}],
    ),
    Row(
        _TASKS, "a handler fails", PLAYBOOKS, codes=[2], tasks=lambda _: [who(notify=RESTART, changed_when=True)],
        play={"handlers": [task(RESTART, **{"ansible.builtin.raw": "false"})]},
    ),
    Row(
        _TASKS, "a handler is forced", PLAYBOOKS, codes=[2],
        tasks=lambda _: [who(notify=RESTART, changed_when=True), fail(*ALL)],
        play={"force_handlers": True, "handlers": [task(RESTART, **{"ansible.builtin.raw": "true"})]},
    ),
    Row(
        _PLAYS, "any_errors_fatal, and a device becomes unreachable", PLAYBOOKS, codes=[2, 4, 6],
        tasks=lambda fleet: [who(), drop(fleet, SECOND), who("again")], play={"any_errors_fatal": True},
    ),
    Row(
        _PLAYS, "max_fail_percentage is exceeded", PLAYBOOKS, codes=[2],
        tasks=lambda _: [who(), fail(SECOND), who()], play={"max_fail_percentage": 10},
    ),
    Row(
        _PLAYS, "serial, and the first batch fails", PLAYBOOKS, codes=[2],
        tasks=lambda _: [who(), fail(FIRST), who()], play={"serial": 1},
    ),
    Row(
        _PLAYS, "serial, and the first batch does not respond", PLAYBOOKS, codes=[4], before=[FIRST],
        play={"serial": 1},
    ),
    Row(
        _PLAYS, "meta end_play, and a later play", PLAYBOOKS,
        tasks=lambda _: [who(), {"meta": "end_play"}], then={},
    ),
    Row(
        _PLAYS, "meta end_host, and a later play", PLAYBOOKS,
        tasks=lambda _: [who(), {"meta": "end_host", "when": f"inventory_hostname == '{FIRST}'"}], then={},
    ),
    Row(
        _PLAYS, "meta end_batch, and a later play", PLAYBOOKS,
        tasks=lambda _: [who(), {"meta": "end_batch"}], play={"serial": 1}, then={},
    ),
    Row(
        _PLAYS, "a later play cannot be templated", PLAYBOOKS, codes=[1, 2, 4, 250],
        then={"vars": {"x": 1}, "environment": "{{ nowhere }}"},
    ),
    *[
        Row(
            _STRATEGIES, f"{strategy}, and a task fails", PLAYBOOKS, codes=[2],
            tasks=lambda _: [who(), fail(SECOND), who()], play={"strategy": strategy},
        )
        for strategy in ("free", "host_pinned")
    ],
    Row(
        _STRATEGIES, "free, and a device does not respond", PLAYBOOKS, codes=[4], before=[FIRST],
        play={"strategy": "free"},
    ),
]  # fmt: skip


@ends(*ROWS)
def test_run_ends(fleet: Fleet, case: Case) -> None:
    row = case.ending
    assert isinstance(row, Row)
    fleet.write("broken.yml", "- {name: broken")
    for device in row.before:
        fleet.simulator.device(device, drop=True)
    if case.way == AD_HOC:
        run = fleet.ad_hoc("fleet", "-m", "raw", "-a", row.command)
    else:
        plays = plays_of(fleet, case.way, row.tasks(fleet), **row.play)
        if row.then is not None:
            plays.append({"hosts": "fleet", "gather_facts": False, "tasks": [who("later")], **row.then})
        run = fleet.run(plays)
    assert run.rc in row.codes
    run.assert_all_closed()
    for device, seen in {**run.stdout_of("who"), **run.stdout_of("later")}.items():
        assert seen in (device, "")
    if row.then == {}:
        assert run.status("later") == dict.fromkeys(ALL, "changed")


@ends(
    Ending("an opening fails", "a device is offline", WAYS, "offline"),
    Ending("an opening fails", "the API refuses the credentials", WAYS, "credentials"),
)
def test_opening_fails(fleet: Fleet, case: Case) -> None:
    if case.ending.variant == "offline":
        fleet.simulator.device(FIRST, online=False)
    else:
        fleet.environ |= dict.fromkeys(["REMOTEIT_TOKEN", "R3_SECRET_ACCESS_KEY"], "d3Jvbmc=")
    run = reach_it(fleet, case.way)
    assert run.rc == (2 if case.way == ROLE and case.ending.variant == "credentials" else 4)
    if case.ending.variant == "offline":
        assert len(run.connections) == 1
        run.assert_all_closed()
    else:
        assert run.connections == []


@ends(Ending("the modules are used", "remoteit_connect without remoteit_disconnect", (AD_HOC, PLAY)))
def test_connect_without_disconnect(fleet: Fleet, case: Case) -> None:
    if case.way == AD_HOC:
        options = json.dumps({"deviceaddress": fleet.services})
        run = fleet.ad_hoc("localhost", "-m", CONNECT, "-a", options)
    else:
        run = fleet.run([on_localhost(connect(fleet))])
    assert run.rc == 0
    run.assert_all_closed()


@ends(Ending("the modules are used", "one remoteit_connect for each host, and a task fails", (PLAY,)))
def test_connect_for_each_host(fleet: Fleet, case: Case) -> None:
    options = {CONNECT: {"deviceaddress": "{{ remoteit_deviceaddress }}"}}
    run = fleet.run(plays_of(fleet, case.way, [task("connect", **options), fail(SECOND)]))
    assert run.rc == 2
    assert len(run.connections) == len(ALL)
    run.assert_all_closed()


@ends(
    Ending("the modules are used", "the role opens, and nothing closes", (ROLE,), "fails"),
    Ending("the modules are used", "the role opens, and nothing closes", (ROLE,), "unreachable"),
)
def test_open_without_close(fleet: Fleet, case: Case) -> None:
    fails = case.ending.variant == "fails"
    tasks = [OPEN, fail(SECOND) if fails else drop(fleet, *ALL), who()]
    run = fleet.run(plays_of(fleet, PLAY, tasks))
    assert run.rc == (2 if fails else 4)
    assert len(run.connections) == len(ALL)
    run.assert_all_closed()


@ends(Ending("another way to start", "two playbooks in one call, and the second fails", PLAYBOOKS))
def test_two_playbooks_in_one_call(fleet: Fleet, case: Case) -> None:
    plays = plays_of(fleet, case.way, [who()])
    second = fleet.write("second.yml", [*plays, on_localhost(task("fail here", **{"ansible.builtin.fail": {}}))])
    opening = [OPEN] if case.way == ROLE else []
    run = fleet.run(plays_of(fleet, PLAY, [*opening, who()]), str(second))
    assert run.rc == 2
    assert len(run.connections) == len(ALL)  # the second playbook uses what the first has left open
    run.assert_all_closed()


@ends(Ending("another way to start", "ansible-runner, and a task fails", PLAYBOOKS))
def test_run_by_ansible_runner(fleet: Fleet, case: Case) -> None:
    runner = Path(fleet.ansible_playbook).with_name("ansible-runner")
    if not runner.exists():
        pytest.skip("ansible-runner is not there")
    data = fleet.directory / "runner"
    (data / "project").mkdir(parents=True)
    (data / "inventory").mkdir()
    (data / "inventory" / "hosts.json").write_text(json.dumps(fleet.inventory))
    tasks = [who(), fail(SECOND)]
    (data / "project" / "play.yml").write_text(json.dumps(plays_of(fleet, case.way, tasks)))
    (data / "project" / "on_the_devices.yml").write_text(json.dumps(tasks))
    done = subprocess.run(
        [runner, "run", data, "-p", "play.yml"],
        env={**fleet.environ, "PATH": f"{runner.parent}:{fleet.environ['PATH']}"},
        capture_output=True, text=True, check=False, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(fleet.simulator.requests("connect")) == len(ALL)
    await_nothing_open(fleet)


@ends(Ending("another way to start", "ansible-console", (AD_HOC,)))
def test_run_by_ansible_console(fleet: Fleet, case: Case) -> None:
    console = Path(fleet.ansible_playbook).with_name("ansible-console")
    if case.version == "2.16" and "ansible_collections" in console.parts:
        pytest.skip("ansible-console 2.16 fails if one ansible_collections lies in another")
    done = subprocess.run(
        [console, "-i", fleet.write_inventory(), "fleet"],
        input="raw cat device-name\nraw cat device-name\nexit\n",
        env=fleet.environ, cwd=fleet.project, capture_output=True, text=True, check=False, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(done.stdout.count(f"\n{device}\n") == 2 for device in ALL)
    assert "remote.it: opened 2, closed 2, left open 0" in done.stderr
    await_nothing_open(fleet)


# -- signals -------------------------------------------------------------------------------------------------------

LONG_COMMAND = "touch reached; sleep 30"
WAIT = [raw("wait", LONG_COMMAND)]


def call_under_way(fleet: Fleet, call: str) -> Callable[[], bool]:
    return lambda: any(entry["call"] == call for entry in fleet.simulator.requests())


def tasks_run(fleet: Fleet) -> Callable[[], bool]:
    return lambda: all((fleet.simulator.home(device) / "reached").exists() for device in ALL)


OPENING, RUNNING, CLOSING = "while connections are opened", "while the tasks run", "while connections are closed"
MOMENTS: dict[str, Callable[[Fleet], Callable[[], bool]]] = {
    OPENING: lambda fleet: call_under_way(fleet, "connect"),
    RUNNING: tasks_run,
    CLOSING: lambda fleet: call_under_way(fleet, "stop"),
}
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]


@dataclasses.dataclass(frozen=True)
class Signal(Ending):
    number: signal.Signals = signal.SIGTERM
    to_group: bool = False


@contextlib.contextmanager
def running(fleet: Fleet, command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a run in a separate process group."""
    with (fleet.directory / "out").open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=fleet.project,
            env={**fleet.environ, "TEST_JOURNAL": str(fleet.directory / "journal")},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            print((fleet.directory / "out").read_text())


def output(fleet: Fleet) -> str:
    return (fleet.directory / "out").read_text()


def await_nothing_open(fleet: Fleet, seconds: float = END_SECONDS) -> None:
    wait_until(lambda: not fleet.simulator.open_connections(), seconds)
    wait_until(lambda: not fleet.processes(), seconds)


@ends(
    *[
        Signal(
            "SIGINT, SIGTERM, SIGHUP or SIGKILL", moment, WAYS, f"{number.name} to the {target}",
            number=number, to_group=target == "group", group=f"{number.name} {moment}",
        )
        for moment in MOMENTS
        for number in SIGNALS
        for target in ("controller", "group")
    ]
)  # fmt: skip
def test_signal(fleet: Fleet, case: Case) -> None:
    ending = case.ending
    assert isinstance(ending, Signal)
    moment, number = ending.name, ending.number
    # what is to be hit has to last
    fleet.simulator.settings(latency=1.0, stop_latency=2.0 if moment == CLOSING else 0.5)
    short = moment == CLOSING
    command = command_of(fleet, case.way, [who()] if short else WAIT, "cat device-name" if short else LONG_COMMAND)
    with running(fleet, command) as process:
        wait_until(MOMENTS[moment](fleet))
        (os.killpg if ending.to_group else os.kill)(process.pid, number)
        code = process.wait(TIMEOUT)
        await_nothing_open(fleet)
    if number != signal.SIGINT:
        assert code == -number
    elif moment == CLOSING and case.way != ROLE:
        assert code == 0  # the run was over
    else:
        assert code == 99
    assert "Traceback" not in output(fleet)
    assert fleet.simulator.connections()
    assert fleet.ledgers_left_open() == []


# -- containers ----------------------------------------------------------------------------------------------------

IN_CONTAINER = ("unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
#: Passes SIGTERM on, and ends with its only child, as the init of a container does.
INIT = "#!/bin/sh\ntrap 'kill -TERM $!; wait $!; exit' TERM\n\"$@\" &\nwait $!\n"
PID_1, LAST = "ansible-playbook is PID 1", "ansible-playbook is the last process"
HANDWRITTEN, EXPORTED_JSON, EXPORTED_YAML, SERVICES = (
    "handwritten",
    "exported as JSON",
    "exported as YAML",
    "of the plugin",
)
SUCCESS, FAILURE = "success", "failure"


@dataclasses.dataclass(frozen=True)
class Container(Ending):
    source: str = HANDWRITTEN
    how: str = SUCCESS
    first: str = PID_1


def use_inventory(fleet: Fleet, source: str) -> None:
    """Replace the inventory: by the inventory plugin, or by its export, as AWX stores it."""
    if source == HANDWRITTEN:
        return
    variables = {
        name: value for name, value in fleet.inventory["fleet"]["vars"].items() if name != "ansible_connection"
    }
    fleet.write("source/fleet.remoteit.yml", {"plugin": "remoteit.fleet.services"})
    fleet.write("source/groups.yml", {"fleet": {"hosts": dict.fromkeys(ALL), "vars": variables}})
    fleet.inventory = fleet.project / "source"
    if source == SERVICES:
        return
    command = [str(Path(fleet.ansible_playbook).with_name("ansible-inventory")), "-i", str(fleet.inventory)]
    command += ["--export", "--list", *(["--yaml"] if source == EXPORTED_YAML else [])]
    done = subprocess.run(
        command, env=fleet.environ, cwd=fleet.project, capture_output=True, text=True, check=True, timeout=TIMEOUT
    )
    if source == EXPORTED_YAML:
        fleet.inventory = fleet.write("exported.yml", done.stdout)
    else:  # AWX stores the data in a script
        fleet.inventory = fleet.write("exported", f"#!/bin/sh\ncat <<'END'\n{done.stdout}\nEND\n")
        fleet.inventory.chmod(0o755)


@ends(
    *[
        Container(
            "a container ends", f"{first}, {how}", (AD_HOC, PLAY), f"inventory {source}",
            source=source, how=how, first=first, group=f"{first}, {how}",
        )
        for first in (PID_1, LAST)
        for how in (SUCCESS, FAILURE, signal.SIGTERM.name, signal.SIGKILL.name)
        for source in (HANDWRITTEN, EXPORTED_JSON, EXPORTED_YAML, SERVICES)
    ]
)  # fmt: skip
def test_container_ends(fleet: Fleet, case: Case) -> None:
    """The keeper dies with it, so the controller waits for it; after SIGKILL the ledger is left."""
    ending = case.ending
    assert isinstance(ending, Container)
    if shutil.which("unshare") is None or subprocess.run([*IN_CONTAINER, "true"], check=False).returncode:
        pytest.skip("cannot make a PID namespace")
    use_inventory(fleet, ending.source)
    fleet.simulator.settings(stop_latency=1.0)
    before = [*IN_CONTAINER]
    if ending.first == LAST:
        init = fleet.write("init", INIT)
        init.chmod(0o755)
        before.append(str(init))
    by_itself = {SUCCESS: ([who()], "cat device-name", 0), FAILURE: ([who(), fail(*ALL)], "false", 2)}
    tasks, command, expected = by_itself.get(ending.how, (WAIT, LONG_COMMAND, None))
    with running(fleet, [*before, *command_of(fleet, case.way, tasks, command)]) as process:
        if expected is None:
            wait_until(lambda: tasks_run(fleet)() or process.poll() is not None)
            os.kill(controller_in(fleet, process), signal.Signals[ending.how])
        code = process.wait(TIMEOUT)
        wait_until(lambda: not fleet.processes())
    if expected is not None:
        assert code == expected
    elif ending.how == signal.SIGTERM.name and ending.first == PID_1:
        # 1: ansible-core has found that its workers are gone before the controller has left
        assert code in (128 + signal.SIGTERM, 1)
    else:
        assert code != 0
    if ending.how == signal.SIGKILL.name:
        assert len(fleet.simulator.open_connections()) == len(ALL)
        teardown(fleet)
        return
    assert not fleet.simulator.open_connections()
    assert fleet.ledgers_left_open() == []
    assert "remote.it: opened 2, closed 2, left open 0" in output(fleet)


def controller_in(fleet: Fleet, container: subprocess.Popen[bytes]) -> int:
    """Return the PID of ansible-playbook, or ansible, in a container; it is the oldest of those that look like it."""
    bin_folder = f"{Path(fleet.ansible_playbook).parent}/ansible"
    found = (
        pid
        for pid, words in fleet.processes().items()
        if pid != container.pid and any(word.startswith(bin_folder) for word in words.split()[:2])
    )
    return min(found, key=start_of)


def start_of(pid: int) -> int:
    """Return when a process has started, in ticks after the start of the system."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def teardown(fleet: Fleet, code: int = 0) -> Run:
    """Run the last step of a CI pipeline."""
    run = fleet.run("remoteit.fleet.teardown")
    assert run.rc == code
    if code == 0:
        assert not fleet.simulator.open_connections()
        assert fleet.ledgers_left_open() == []
    return run


# -- a process is killed -------------------------------------------------------------------------------------------

_KILLED = "a process is killed"


@ends(Ending(_KILLED, "the keeper, between two tasks", PLAYBOOKS))
def test_keeper_is_killed_between_two_tasks(fleet: Fleet, case: Case) -> None:
    """The keeper of the next task takes its ledger over."""
    command = command_of(fleet, case.way, [who(), fleet.wait_here(), who("again")], "")
    with running(fleet, command) as process:
        wait_until(lambda: fleet.has_ended("who", len(ALL)))
        os.kill(fleet.keepers()[0], signal.SIGKILL)
        fleet.go_on()
        assert process.wait(TIMEOUT) == 0
        wait_until(lambda: not fleet.processes())
    assert fleet.has_ended("again", len(ALL))
    assert ", left open 0" in output(fleet)
    assert not fleet.simulator.open_connections()
    assert fleet.ledgers_left_open() == []


@ends(Ending(_KILLED, "the keeper, while a command runs", PLAYBOOKS))
def test_keeper_is_killed_while_a_command_runs(fleet: Fleet, case: Case) -> None:
    """The command goes on: only ssh carries it."""
    long = raw("long", "touch reached; until [ -e 'go on' ]; do sleep 0.2; done")
    command = command_of(fleet, case.way, [long, who("again")], "")
    with running(fleet, command) as process:
        wait_until(tasks_run(fleet))
        os.kill(fleet.keepers()[0], signal.SIGKILL)
        for device in ALL:
            (fleet.simulator.home(device) / "go on").touch()
        assert process.wait(TIMEOUT) == 0
        wait_until(lambda: not fleet.processes())
    assert fleet.has_ended("again", len(ALL))
    assert not fleet.simulator.open_connections()
    assert fleet.ledgers_left_open() == []


@ends(
    Ending(_KILLED, "the keeper, after the last task that needs it", WAYS),
    Ending(_KILLED, "the keeper, after remoteit_connect", (PLAY,), "module"),
)
def test_keeper_is_killed_after_the_last_task(fleet: Fleet, case: Case) -> None:
    """The role closes by another keeper; without the role the run reports what is left, and a teardown closes it."""
    fleet.simulator.settings(stop_latency=0.5)
    tasks = [connect(fleet, run_once=True) if case.ending.variant == "module" else who(), fleet.wait_here()]
    # the only place where an ad hoc command can wait on the controller is a callback or the device
    long = "touch reached; until [ -e 'go on' ]; do sleep 0.2; done"
    with running(fleet, command_of(fleet, case.way, tasks, long)) as process:
        if case.way == AD_HOC:
            wait_until(tasks_run(fleet))
        else:
            wait_until(lambda: len(fleet.simulator.open_connections()) == len(ALL))
            wait_until(lambda: fleet.has_ended("connect" if case.ending.variant == "module" else "who"))
        os.kill(fleet.keepers()[0], signal.SIGKILL)
        fleet.go_on()
        for device in ALL:
            (fleet.simulator.home(device) / "go on").touch()
        assert process.wait(TIMEOUT) == 0
        wait_until(lambda: not fleet.processes())
    left = 0 if case.way == ROLE else len(ALL)
    assert len(fleet.simulator.open_connections()) == left
    assert f", left open {left}" in output(fleet)
    teardown(fleet)


@ends(Ending(_KILLED, "the workers, while they open", WAYS))
def test_workers_are_killed(fleet: Fleet, case: Case) -> None:
    fleet.simulator.settings(latency=3.0)
    with running(fleet, command_of(fleet, case.way, [who()], "cat device-name")) as process:
        wait_until(call_under_way(fleet, "connect"))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        assert process.wait(TIMEOUT) != 0
        await_nothing_open(fleet)
    assert fleet.simulator.connections()
    assert fleet.ledgers_left_open() == []


@ends(Ending(_KILLED, "the controller, half way through a thousand openings", (PLAY,)))
def test_bulk_call_is_killed_half_way(fleet: Fleet, case: Case, request: pytest.FixtureRequest) -> None:
    directory = fleet.directory / "large"
    directory.mkdir()
    large = Simulator(directory, "--devices", "1000", "--latency", "0.5")
    request.addfinalizer(large.end)
    fleet.environ |= fleet.credentials_of(large)
    services = [service["deviceaddress"] for service in large.state["services"] if service["application"] == SSH]
    options = {CONNECT: {"deviceaddress": services, "concurrency": 64}}
    playbook = fleet.write("play.yml", [on_localhost(task("connect", **options))])
    with running(fleet, [fleet.ansible_playbook, str(playbook)]) as process:
        wait_until(lambda: len(large.connections()) > 500)
        process.kill()
        process.wait()
        wait_until(lambda: not large.open_connections())
        wait_until(lambda: not fleet.processes())
    assert fleet.ledgers_left_open() == []


# -- trouble with the API ------------------------------------------------------------------------------------------

_API = "the API fails, or ends a connection"


@ends(Ending(_API, "the stop fails three times", WAYS))
def test_stop_fails_three_times(fleet: Fleet, case: Case) -> None:
    for service in fleet.services:
        fleet.simulator.inject_fault(service, call="stop", fault="http", status=500, times=3)
    run = reach_it(fleet, case.way)
    assert run.rc == 0
    run.assert_all_closed()


@ends(Ending(_API, "the stop always fails", WAYS))
def test_stop_always_fails(fleet: Fleet, case: Case) -> None:
    """The role fails and names what is open; without the role it is a warning, and the next teardown fails."""
    service = fleet.services[1]
    fleet.simulator.inject_fault(service, call="stop", fault="http", status=500, times="always")
    run = reach_it(fleet, case.way, leaves_open=1)
    assert run.rc == (2 if case.way == ROLE else 0)
    (left,) = (entry["connectionid"] for entry in run.connections if entry["open"])
    assert run.recap == "opened 2, closed 1, left open 1"
    assert f"the connection {left} to {service}" in run.text
    assert "it ends by itself at 20" in run.text
    red = teardown(fleet, 2)
    assert left in red.text
    fleet.simulator.clear_faults()
    teardown(fleet)


@ends(Ending(_API, "the answer to an opening call is lost", WAYS))
def test_answer_to_open_is_lost(fleet: Fleet, case: Case) -> None:
    """Every teardown fails until the vendor has ended it. Over GraphQL the account's sessions show which one it is."""
    fleet.simulator.inject_fault(fleet.services[1], call="connect", fault="lost")
    run = reach_it(fleet, case.way, leaves_open=1 if fleet.api == "rest" else 0)
    assert run.rc == 4
    if fleet.api == "graphql":
        assert run.recap == "opened 2, closed 2, left open 0"
        teardown(fleet)
        return
    assert "may have opened a connection" in run.text
    red = teardown(fleet, 2)
    assert fleet.services[1] in red.text
    assert "ends by itself at" in red.text
    fleet.simulator.advance(16 * 60)
    assert not fleet.simulator.open_connections()


@ends(
    Ending(_API, "a connection expires between two tasks", PLAYBOOKS, "8 hours"),
    Ending(_API, "a connection expires between two tasks", PLAYBOOKS, "15 minutes"),
)
def test_connection_expires_between_two_tasks(fleet: Fleet, case: Case) -> None:
    """It is opened again for the next task."""
    seconds = 8 * 3600 + 1 if case.ending.variant == "8 hours" else 15 * 60 + 1
    fleet.environ["ANSIBLE_SSH_ARGS"] = "-F /dev/null"  # a control master would keep it in use
    expire = fleet.post("expire", "clock", {"advance": seconds})
    run = run_it(fleet, case.way, [who(), expire, who("again")], "")
    assert run.rc == 0
    assert run.stdout_of("again") == {device: device for device in ALL}
    assert len(run.connections) == 2 * len(ALL)
    run.assert_all_closed()


@ends(*[Ending(_API, f"two runs on the same devices, and the API {way}", PLAYBOOKS, variant) for variant, way in [
    ("reuse", "reuses the connection"), ("override", "ends the first connection"), ("add", "adds a connection"),
]])  # fmt: skip
def test_two_runs_on_the_same_devices(fleet: Fleet, case: Case) -> None:
    """Neither run closes the other's connections, and one that was ended is opened again for the next command."""
    fleet.simulator.settings(second_connect=case.ending.variant)
    command = command_of(fleet, case.way, [who(), fleet.wait_here(), who("again")], "")
    with running(fleet, command) as one, running(fleet, command) as two:
        wait_until(lambda: fleet.has_ended("who", 2 * len(ALL)))
        fleet.go_on()
        codes = {one.wait(TIMEOUT), two.wait(TIMEOUT)}
        # two runs that end each other's connections may do so while a command runs, which is not repeated
        assert codes <= ({0, 4} if case.ending.variant == "override" else {0})
        await_nothing_open(fleet)
    assert 4 in codes or fleet.has_ended("again", 2 * len(ALL))
    assert fleet.ledgers_left_open() == []


# -- surroundings --------------------------------------------------------------------------------------------------

_SYSTEM = "the controller's system"


@ends(Ending(_SYSTEM, "the disk of the ledger is full", WAYS))
def test_disk_of_the_ledger_is_full(fleet: Fleet, case: Case) -> None:
    """Nothing is opened that cannot be recorded."""
    if os.geteuid() != 0:
        pytest.skip("needs the right to mount")
    fleet.state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(fleet.state)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("cannot mount")
    try:
        (fleet.state / "runs").mkdir(mode=0o700)
        with contextlib.suppress(OSError), (fleet.state / "filler").open("wb") as filler:
            filler.write(b"0" * 16384)
        run = reach_it(fleet, case.way)
        assert run.rc in (2, 4)
        assert not run.connections
        assert "nothing was opened" in run.text
    finally:
        subprocess.run(["umount", str(fleet.state)], check=True)


@ends(*[Ending(_SYSTEM, "a home that cannot be used", WAYS, home) for home in ("/proc", "/dev/null/nowhere", "none")])
def test_home_cannot_be_used(fleet: Fleet, case: Case) -> None:
    """As in an execution environment with a random user ID."""
    fleet.environ.pop("REMOTEIT_STATE_DIR")
    fleet.environ.pop("HOME")
    fleet.environ["ANSIBLE_LOCAL_TEMP"] = str(fleet.tmp)
    fleet.environ["ANSIBLE_HOME"] = str(fleet.directory / "ansible")
    fleet.environ["XDG_STATE_HOME"] = ""
    if case.ending.variant != "none":
        fleet.environ["HOME"] = case.ending.variant
    run = reach_it(fleet, case.way)
    assert run.rc == 0
    run.assert_all_closed()


@ends(Ending(_SYSTEM, "a random user ID", (PLAY,)))
def test_random_user_id(fleet: Fleet, case: Case) -> None:
    """ssh needs a user's name, so the modules are used."""
    namespace = ["unshare", "-U", "--map-user=54321"]
    if shutil.which("unshare") is None or subprocess.run([*namespace, "true"], check=False).returncode:
        pytest.skip("cannot make a user namespace")
    fleet.environ["USER"] = "somebody"
    playbook = fleet.write("play.yml", [on_localhost(connect(fleet))])
    with running(fleet, [*namespace, fleet.ansible_playbook, str(playbook)]) as process:
        assert process.wait(TIMEOUT) == 0
        await_nothing_open(fleet)
    assert len(fleet.simulator.requests("connect")) == len(ALL)


@ends(Ending(_SYSTEM, "a long temporary path", WAYS))
def test_long_temporary_path(fleet: Fleet, case: Case) -> None:
    directory = fleet.tmp / "a-name-that-is-long-enough-for-no-socket"  # of ours; ansible-core's own just fits
    directory.mkdir()
    fleet.environ["TMPDIR"] = str(directory)
    fleet.environ.pop("XDG_RUNTIME_DIR")
    run = reach_it(fleet, case.way)
    assert run.rc == 0
    run.assert_all_closed()
