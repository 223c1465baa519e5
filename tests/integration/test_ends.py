# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing stays open: every way in which a run can end, judged at the vendor's side.

Each row runs on each of the C(ENGINES), on some of them over GraphQL, on the others over REST.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ENGINES, Fleet, Run
from matrix import api_of, engine_of, row_of
from support import PATIENCE, SSH, Simulator, until

pytestmark = pytest.mark.every_engine

OPEN = {"include_role": {"name": "remoteit.fleet.remoteit_session", "tasks_from": "open"}}
RUN_SECONDS = 30  # after a signal everything has to be closed within so many seconds


@pytest.fixture(autouse=True, params=ENGINES, ids=engine_of)
def engine(request: pytest.FixtureRequest, fleet: Fleet, record_property: Callable[[str, str], None]) -> None:
    fleet.ansible_playbook = str(request.param)
    version, row = row_of(request.node)
    record_property("engine", version)
    record_property("row", row)


@pytest.fixture
def api(request: pytest.FixtureRequest) -> str:
    return api_of(engine_of(request.node.callspec.params["engine"]))


def task(name: str, **action: Any) -> dict[str, Any]:
    return {"name": name, **action}


def reach(name: str = "reach", **more: Any) -> dict[str, Any]:
    """A task that proves which device was reached."""
    return task(name, **{"ansible.builtin.raw": "cat device-name"}, **more)


def fail(*hosts: str) -> dict[str, Any]:
    return task("fail", **{"ansible.builtin.raw": "false"}, when=f"inventory_hostname in {list(hosts)}")


def drop(fleet: Fleet, *devices: str) -> dict[str, Any]:
    """A task on the controller that cuts the devices' lines and lets nobody in any more."""
    body = [{"name": device, "drop": True} for device in devices]
    action = {"url": f"{fleet.simulator.state['control_url']}/devices", "method": "POST", "body": body}
    return task(
        "drop", **{"ansible.builtin.uri": {**action, "body_format": "json"}}, delegate_to="localhost", run_once=True
    )


def session(**keywords: Any) -> dict[str, Any]:
    """A play that runs C(on_the_devices.yml) through the role."""
    role = {"role": "remoteit.fleet.remoteit_session", "vars": {"remoteit_session_tasks": "on_the_devices.yml"}}
    return {"hosts": "fleet", "gather_facts": False, "roles": [role], **keywords}


def later(fleet: Fleet, **keywords: Any) -> dict[str, Any]:
    """A play after the session, on hosts that can be reached without one."""
    for device, variables in fleet.inventory["fleet"]["hosts"].items():
        variables |= fleet.plain_way(device)
    return {"hosts": "fleet", "gather_facts": False, "tasks": [reach("later")], **keywords}


# -- ways that a play can end --------------------------------------------------------------------------------------

Row = Callable[[Fleet], tuple[list[dict[str, Any]], list[dict[str, Any]], set[int]]]
ROWS: dict[str, Row] = {}


def row(name: str) -> Callable[[Row], Row]:
    def add(function: Row) -> Row:
        ROWS[name] = function
        return function

    return add


def _simple(name: str, tasks: Callable[[Fleet], list[dict[str, Any]]], codes: set[int], **keywords: Any) -> None:
    ROWS[name] = lambda fleet: ([session(**keywords)], tasks(fleet), codes)


FIRST, SECOND, THIRD = "pi-0001", "pi-0002", "pi-0003"
ALL = (FIRST, SECOND, THIRD)

_simple("success", lambda _: [reach()], {0})
_simple("a task fails on one device", lambda _: [reach(), fail(SECOND), reach()], {2})
_simple("a task fails on every device", lambda _: [reach(), fail(*ALL), reach()], {2})
_simple("one device becomes unreachable", lambda f: [reach(), drop(f, FIRST), reach("again")], {4})
_simple("every device becomes unreachable", lambda f: [reach(), drop(f, *ALL), reach("again")], {4})
_simple(
    "any_errors_fatal, one device becomes unreachable",
    lambda f: [reach(), drop(f, SECOND), reach("again")],
    {2, 4, 6},
    any_errors_fatal=True,
)
_simple("max_fail_percentage is exceeded", lambda _: [reach(), fail(SECOND), reach()], {2}, max_fail_percentage=10)
_simple("serial, the first batch fails", lambda _: [reach(), fail(FIRST), reach()], {2}, serial=1)
_simple("serial, the first batch becomes unreachable", lambda f: [drop(f, FIRST), reach()], {4}, serial=1)
_simple("strategy free", lambda _: [reach(), fail(SECOND), reach()], {2}, strategy="free")
_simple("strategy host_pinned", lambda _: [reach(), fail(SECOND), reach()], {2}, strategy="host_pinned")
_simple(
    "strategy free, one device becomes unreachable", lambda f: [reach(), drop(f, FIRST), reach()], {4}, strategy="free"
)
_simple("a rescue that succeeds", lambda _: [{"block": [fail(*ALL)], "rescue": [reach()]}], {0})
_simple("an error in the user's always", lambda _: [{"block": [fail(FIRST)], "always": [fail(*ALL)]}], {2})
_simple(
    "force_handlers",
    lambda _: [reach(notify="restart", changed_when=True), fail(*ALL)],
    {2},
    force_handlers=True,
    handlers=[task("restart", **{"ansible.builtin.debug": {"msg": "restarted"}})],
)
_simple("a handler that fails", lambda _: [reach(notify="restart", changed_when=True)], {2}, handlers=[
    task("restart", **{"ansible.builtin.raw": "false"})
])  # fmt: skip
_simple(
    "a task that cannot be templated", lambda _: [reach(), task("bad", **{"ansible.builtin.raw": "{{ nowhere }}"})], {2}
)
_simple("a file that is not YAML is included", lambda _: [task("bad", include_tasks="broken.yml")], {1, 2, 4, 250})


@row("meta: end_play, and a later play")
def _row(fleet: Fleet) -> Any:
    return [session(), later(fleet)], [reach(), {"meta": "end_play"}], {0}


@row("meta: end_host, and a later play")
def _row(fleet: Fleet) -> Any:
    return [session(), later(fleet)], [reach(), {"meta": "end_host", "when": f"inventory_hostname == '{FIRST}'"}], {0}


@row("meta: end_batch, and a later play")
def _row(fleet: Fleet) -> Any:
    return [session(serial=2), later(fleet)], [reach(), {"meta": "end_batch"}], {0}


@row("open without close")
def _row(fleet: Fleet) -> Any:
    return [{"hosts": "fleet", "gather_facts": False, "tasks": [OPEN, reach(), fail(SECOND)]}], [], {2}


@row("open, then every device becomes unreachable")
def _row(fleet: Fleet) -> Any:
    return [{"hosts": "fleet", "gather_facts": False, "tasks": [OPEN, drop(fleet, *ALL), reach()]}], [], {4}


@row("a template error before the first task")
def _row(fleet: Fleet) -> Any:
    return [session(), later(fleet, vars={"x": 1}, environment="{{ nowhere }}")], [reach()], {1, 2, 4, 250}


@row("no role, a play that forgets to close")
def _row(fleet: Fleet) -> Any:
    connect = {"remoteit.fleet.remoteit_connect": {"deviceaddress": fleet.services}}
    return [{"hosts": "localhost", "gather_facts": False, "tasks": [task("connect", **connect)]}], [], {0}


@row("no role, one task a host, and one fails")
def _row(fleet: Fleet) -> Any:
    connect = {"remoteit.fleet.remoteit_connect": {"deviceaddress": "{{ remoteit_deviceaddress }}"}}
    failing = task("fail", **{"ansible.builtin.fail": {}}, when=f"inventory_hostname == '{SECOND}'")
    return [{"hosts": "fleet", "gather_facts": False, "tasks": [task("connect", **connect), failing]}], [], {2}


@pytest.mark.parametrize("name", ROWS)
def test_a_play_ends(fleet: Fleet, name: str) -> None:
    plays, tasks, codes = ROWS[name](fleet)
    fleet.write("broken.yml", "- {name: broken")
    fleet.write("on_the_devices.yml", tasks)
    run = fleet.run(plays)
    assert run.rc in codes
    assert run.connections
    count = len(run.connections)
    assert run.recap == f"opened {count}, closed {count}, left open 0"
    for device, seen in {**run.stdout_of("reach"), **run.stdout_of("later")}.items():
        assert seen in (device, "")
    if any(play.get("tasks") == [reach("later")] for play in plays) and run.rc == 0:
        assert run.status("later") == dict.fromkeys(ALL, "changed")


# -- signals -------------------------------------------------------------------------------------------------------

WAIT = [task("wait", **{"ansible.builtin.raw": "touch reached; sleep 30"})]


def call_under_way(fleet: Fleet, call: str) -> Callable[[], bool]:
    return lambda: any(entry["call"] == call for entry in fleet.simulator.requests())


MOMENTS: dict[str, Callable[[Fleet], Callable[[], bool]]] = {
    "while opening": lambda fleet: call_under_way(fleet, "connect"),
    "while the tasks run": lambda fleet: lambda: all((fleet.simulator.home(d) / "reached").exists() for d in ALL),
    "while closing": lambda fleet: call_under_way(fleet, "stop"),
}
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]


@contextlib.contextmanager
def running(fleet: Fleet, plays: list[dict[str, Any]], *before: str) -> Iterator[subprocess.Popen[bytes]]:
    """A playbook under way, in a process group of its own."""
    inventory, playbook = fleet.write("inventory.yml", fleet.inventory), fleet.write("play.yml", plays)
    with (fleet.folder / "out").open("w") as out:
        process = subprocess.Popen(
            [*before, fleet.ansible_playbook, "-i", inventory, playbook],
            cwd=fleet.project,
            env={**fleet.environ, "TEST_JOURNAL": str(fleet.folder / "journal")},
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
            print((fleet.folder / "out").read_text())


def await_nothing_open(fleet: Fleet, seconds: float = RUN_SECONDS) -> None:
    until(lambda: not fleet.simulator.open_connections(), seconds)
    until(lambda: not fleet.processes(), seconds)


@pytest.mark.parametrize("to_group", [False, True], ids=["controller", "group"])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal(fleet: Fleet, number: signal.Signals, moment: str, to_group: bool) -> None:
    # what is to be hit has to last
    fleet.simulator.settings(latency=1.0, stop_latency=2.0 if moment == "while closing" else 0.5)
    fleet.write("on_the_devices.yml", [reach()] if moment == "while closing" else WAIT)
    with running(fleet, [session()]) as process:
        until(MOMENTS[moment](fleet))
        (os.killpg if to_group else os.kill)(process.pid, number)
        code = process.wait(PATIENCE)
        await_nothing_open(fleet)
    assert code == 99 if number == signal.SIGINT else code == -number
    assert fleet.simulator.connections()
    assert fleet.ledgers() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_in_a_container_that_ends_with_its_first_process(fleet: Fleet, number: signal.Signals) -> None:
    """The keeper dies with it; after SIGTERM the controller waits for it, after SIGKILL the ledger is left."""
    fleet.simulator.settings(stop_latency=1.0)
    fleet.write("on_the_devices.yml", WAIT)
    init = fleet.write("init", "#!/bin/sh\ntrap 'kill -TERM $!; wait $!; exit' TERM\n\"$@\" &\necho $! >pid\nwait $!\n")
    init.chmod(0o755)
    inside = ("unshare", "--pid", "--fork", "--kill-child=TERM", "--mount-proc")
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip("cannot make a pid namespace")
    with running(fleet, [session()], *inside, str(init)):
        until(MOMENTS["while the tasks run"](fleet))
        controller = next(
            pid for pid, words in fleet.processes().items() if words.split()[1:2] == [fleet.ansible_playbook]
        )
        os.kill(controller, number)
        until(lambda: not fleet.processes())
    if number == signal.SIGTERM:
        assert not fleet.simulator.open_connections()
        assert fleet.ledgers() == []
    else:
        teardown(fleet)


def teardown(fleet: Fleet, code: int = 0) -> Run:
    """What a CI pipeline does last."""
    run = fleet.run("remoteit.fleet.teardown")
    assert run.rc == code
    if code == 0:
        assert not fleet.simulator.open_connections()
        assert fleet.ledgers() == []
    return run


# -- something dies ------------------------------------------------------------------------------------------------


def the_keeper(fleet: Fleet) -> int:
    return next(pid for pid, words in fleet.processes().items() if "_keeper_main.py" in words)


@pytest.mark.parametrize("with_role", [True, False], ids=["role", "no role"])
def test_the_keeper_is_killed(fleet: Fleet, with_role: bool) -> None:
    """The role's own close carries it; without the role the next teardown does."""
    wait = task("wait", **{"ansible.builtin.wait_for": {"path": str(fleet.folder / "go on")}}, delegate_to="localhost")
    fleet.write("on_the_devices.yml", [reach(), {**wait, "run_once": True}, reach("again")])
    connect = task("connect", **{"remoteit.fleet.remoteit_connect": {"deviceaddress": fleet.services}}, run_once=True)
    plays = [
        session()
        if with_role
        else {"hosts": "fleet", "gather_facts": False, "tasks": [connect, {**wait, "run_once": True}]}
    ]
    with running(fleet, plays) as process:
        until(
            lambda: (
                len(fleet.simulator.open_connections()) == 3 and _journal(fleet, "reach" if with_role else "connect")
            )
        )
        os.kill(the_keeper(fleet), signal.SIGKILL)
        (fleet.folder / "go on").touch()
        assert process.wait(PATIENCE) == 0
        until(lambda: not fleet.processes())
    assert len(fleet.simulator.open_connections()) == (0 if with_role else 3)
    assert ("opened 3, closed 0, left open 3" in (fleet.folder / "out").read_text()) != with_role
    teardown(fleet)


def _journal(fleet: Fleet, name: str) -> bool:
    journal = fleet.folder / "journal"
    return journal.exists() and f'"task": "{name}"' in journal.read_text()


def test_a_worker_is_killed_in_mid_call(fleet: Fleet) -> None:
    fleet.simulator.settings(latency=3.0)
    connect = task("connect", **{"remoteit.fleet.remoteit_connect": {"deviceaddress": fleet.services}})
    with running(fleet, [{"hosts": "localhost", "gather_facts": False, "tasks": [connect]}]) as process:
        until(call_under_way(fleet, "connect"))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        assert process.wait(PATIENCE) != 0
        await_nothing_open(fleet)
    assert len(fleet.simulator.connections()) >= 3
    assert fleet.ledgers() == []


# -- trouble with the API ------------------------------------------------------------------------------------------


def test_the_stop_fails_three_times(fleet: Fleet) -> None:
    for service in fleet.services:
        fleet.simulator.fault(service, call="stop", fault="http", status=500, times=3)
    run = fleet.session([reach()])
    assert run.rc == 0
    assert run.recap == "opened 3, closed 3, left open 0"


@pytest.mark.parametrize("with_role", [True, False], ids=["role", "no role"])
def test_the_stop_fails_always(fleet: Fleet, with_role: bool) -> None:
    """The role is red and says what is open; without the role it is a warning, and the next teardown is red."""
    service = fleet.services[1]
    fleet.simulator.fault(service, call="stop", fault="http", status=500, times="always")
    if with_role:
        run = fleet.session([reach()], leaves_open=1)
        assert run.rc == 2
    else:
        connect = task("connect", **{"remoteit.fleet.remoteit_connect": {"deviceaddress": fleet.services}})
        run = fleet.run([{"hosts": "localhost", "gather_facts": False, "tasks": [connect]}], leaves_open=1)
        assert run.rc == 0
    (left,) = (entry["connectionid"] for entry in run.connections if entry["open"])
    assert run.recap == "opened 3, closed 2, left open 1"
    assert f"the connection {left} to {service} could not be closed" in run.text
    assert "it ends by itself at 20" in run.text
    red = fleet.run("remoteit.fleet.teardown")
    assert red.rc == 2
    assert left in red.text
    fleet.simulator.forget_faults()
    teardown(fleet)


def test_the_answer_to_open_is_lost(fleet: Fleet) -> None:
    """Nobody can stop what nobody knows: it is said at once and by every teardown, until the vendor has ended it.

    Over GraphQL the account's sessions tell which connection it is.
    """
    fleet.simulator.fault(fleet.services[1], call="connect", fault="lost")
    run = fleet.session([reach()], leaves_open=1 if fleet.api == "rest" else 0)
    assert run.rc == 2
    if fleet.api == "graphql":
        assert run.recap == "opened 3, closed 3, left open 0"
        assert fleet.ledgers() == []
        return
    assert "may have opened a connection" in run.text
    red = fleet.run("remoteit.fleet.teardown")
    assert red.rc == 2
    assert fleet.services[1] in red.text
    assert "ends by itself at" in red.text
    fleet.simulator.advance(16 * 60)
    assert not fleet.simulator.open_connections()


def test_a_connection_expires_while_in_use(fleet: Fleet) -> None:
    advance = {
        "url": f"{fleet.simulator.state['control_url']}/clock",
        "method": "POST",
        "body": {"advance": 8 * 3600 + 1},
    }
    expire = task(
        "expire", **{"ansible.builtin.uri": {**advance, "body_format": "json"}}, delegate_to="localhost", run_once=True
    )
    run = fleet.session([reach(), expire, reach("again")])
    assert run.rc == 4
    assert {entry["closed_by"] for entry in run.connections} == {"expired"}
    assert run.recap == "opened 3, closed 3, left open 0"


@pytest.mark.parametrize("way", ["reuse", "override", "add"])
def test_two_runs_at_once_on_the_same_devices(fleet: Fleet, way: str) -> None:
    """Whatever the vendor does with a second connection, nothing stays open, and no run closes the other's."""
    fleet.simulator.settings(second_connect=way)
    fleet.write(
        "on_the_devices.yml", [reach(), task("wait", **{"ansible.builtin.pause": {"seconds": 2}}), reach("again")]
    )
    with running(fleet, [session()]) as one, running(fleet, [session()]) as two:
        codes = {one.wait(PATIENCE), two.wait(PATIENCE)}
        await_nothing_open(fleet)
    if way == "add":
        assert codes == {0}
    assert fleet.ledgers() == []


# -- surroundings --------------------------------------------------------------------------------------------------


def test_the_disk_of_the_ledger_is_full(fleet: Fleet) -> None:
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
        run = fleet.session([reach()])
        assert run.rc == 2
        assert not run.connections
        assert "nothing was opened" in run.text
    finally:
        subprocess.run(["umount", str(fleet.state)], check=True)


@pytest.mark.parametrize("home", ["/proc", "/dev/null/nowhere", None], ids=["read-only", "missing", "none"])
def test_a_home_that_cannot_be_used(fleet: Fleet, home: str | None) -> None:
    """As in an execution environment with a random user id."""
    fleet.environ.pop("REMOTEIT_STATE_DIR")
    fleet.environ.pop("HOME")
    fleet.environ["ANSIBLE_LOCAL_TEMP"] = str(fleet.tmp)
    fleet.environ["ANSIBLE_HOME"] = str(fleet.folder / "ansible")
    fleet.environ["XDG_STATE_HOME"] = ""
    if home:
        fleet.environ["HOME"] = home
    run = fleet.session([reach()])
    assert run.rc == 0
    assert run.recap == "opened 3, closed 3, left open 0"


def test_a_random_user_id(fleet: Fleet) -> None:
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-U", "--map-user=54321", "true"], check=False).returncode
    ):
        pytest.skip("cannot make a user namespace")
    # ssh wants to know the user's name, so there is no role here
    fleet.environ["USER"] = "somebody"
    connect = task("connect", **{"remoteit.fleet.remoteit_connect": {"deviceaddress": fleet.services}})
    plays = [{"hosts": "localhost", "gather_facts": False, "tasks": [connect]}]
    with running(fleet, plays, "unshare", "-U", "--map-user=54321") as process:
        assert process.wait(PATIENCE) == 0
        await_nothing_open(fleet)
    assert len(fleet.simulator.requests("connect")) == 3


def test_a_long_temporary_path(fleet: Fleet) -> None:
    folder = fleet.tmp / "a-name-that-is-long-enough-for-no-socket"  # of ours; ansible-core's own just fits
    folder.mkdir()
    fleet.environ["TMPDIR"] = str(folder)
    fleet.environ.pop("XDG_RUNTIME_DIR")
    run = fleet.session([reach()])
    assert run.rc == 0
    assert run.recap == "opened 3, closed 3, left open 0"


# -- other ways to start -------------------------------------------------------------------------------------------


def test_two_playbooks_in_one_call(fleet: Fleet) -> None:
    fleet.write("on_the_devices.yml", [reach()])
    second = fleet.write(
        "second.yml", [session(), {"hosts": "localhost", "gather_facts": False, "tasks": [fail_here()]}]
    )
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, "tasks": [OPEN, reach()]}], str(second))
    assert run.rc == 2
    assert len(run.connections) == 3  # the second playbook reuses what the first has left open
    assert run.recap == "opened 3, closed 3, left open 0"


def fail_here() -> dict[str, Any]:
    return task("fail here", **{"ansible.builtin.fail": {}})


def test_an_ad_hoc_call(fleet: Fleet) -> None:
    inventory = fleet.write("inventory.yml", fleet.inventory)
    command = [str(Path(fleet.ansible_playbook).with_name("ansible")), "-i", str(inventory), "localhost", "-m"]
    options = json.dumps({"deviceaddress": fleet.services})
    done = subprocess.run(
        [*command, "remoteit.fleet.remoteit_connect", "-a", options],
        env=fleet.environ, cwd=fleet.project, capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "remote.it: opened 3, closed 3, left open 0" in done.stderr
    await_nothing_open(fleet)


def test_run_by_ansible_runner(fleet: Fleet) -> None:
    runner = Path(fleet.ansible_playbook).with_name("ansible-runner")
    if not runner.exists():
        pytest.skip("ansible-runner is not there")
    data = fleet.folder / "runner"
    (data / "project").mkdir(parents=True)
    (data / "inventory").mkdir()
    (data / "inventory" / "hosts.json").write_text(json.dumps(fleet.inventory))
    (data / "project" / "play.yml").write_text(json.dumps([session()]))
    (data / "project" / "on_the_devices.yml").write_text(json.dumps([reach(), fail(SECOND)]))
    done = subprocess.run(
        [runner, "run", data, "-p", "play.yml"],
        env={**fleet.environ, "PATH": f"{runner.parent}:{fleet.environ['PATH']}"},
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(fleet.simulator.requests("connect")) == 3
    await_nothing_open(fleet)


# -- a large fleet -------------------------------------------------------------------------------------------------


def test_a_bulk_call_is_killed_half_way(fleet: Fleet, request: pytest.FixtureRequest) -> None:
    """A thousand openings, SIGKILL half way."""
    folder = fleet.folder / "large"
    folder.mkdir()
    large = Simulator(folder, "--devices", "1000", "--latency", "0.5")
    request.addfinalizer(large.end)
    state = large.state
    fleet.environ |= fleet.credentials_of(large)
    services = [service["deviceaddress"] for service in state["services"] if service["application"] == SSH]
    connect = {"remoteit.fleet.remoteit_connect": {"deviceaddress": services, "concurrency": 64}}
    with running(
        fleet, [{"hosts": "localhost", "gather_facts": False, "tasks": [task("connect", **connect)]}]
    ) as process:
        until(lambda: len(large.connections()) > 500)
        process.kill()
        process.wait()
        until(lambda: not large.open_connections())
        until(lambda: not fleet.processes())
    assert fleet.ledgers() == []
