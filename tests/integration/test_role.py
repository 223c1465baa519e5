# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role ``remoteit_session``: which hosts run their tasks, and which connections are open when."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Fleet, Run

ROLE = "remoteit.fleet.remoteit_session"
WHO: dict[str, Any] = {"name": "who", "ansible.builtin.raw": "cat device-name"}
NOTIFY = {"name": "notify", "ansible.builtin.raw": "true", "changed_when": True, "notify": "handler"}
HANDLER = {"name": "handler", "ansible.builtin.raw": "cat device-name"}
FAIL = {"name": "fail", "ansible.builtin.raw": "false", "when": "inventory_hostname == 'pi-0002'"}
TASKS_FILE = {"remoteit_session_tasks": "on_the_devices.yml"}
OPEN = {"include_role": {"name": ROLE, "tasks_from": "open"}, "tags": ["always"]}
CLOSE = {"include_role": {"name": ROLE, "tasks_from": "close"}, "tags": ["always"]}


def shapes(tasks: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return a play's keywords for each way to use the role around these tasks, which are in the tasks file too."""
    return {
        "roles": {"roles": [{"role": ROLE, "vars": TASKS_FILE}]},
        "import_role": {"tasks": [{"import_role": {"name": ROLE}, "vars": TASKS_FILE}]},
        "include_role": {"tasks": [{"include_role": {"name": ROLE}, "vars": TASKS_FILE, "tags": ["always"]}]},
        "open and close": {"pre_tasks": [OPEN], "tasks": tasks, "post_tasks": [CLOSE]},
    }


def play_of(keywords: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"hosts": "fleet", "gather_facts": False, **keywords, **more}


def look(fleet: Fleet, name: str = "look") -> dict[str, Any]:
    """Return a play that records the vendor's connections."""
    url = f"{fleet.simulator.state['control_url']}/connections"
    tasks = [{"name": name, "ansible.builtin.uri": {"url": url}}]
    return {"hosts": "localhost", "gather_facts": False, "tasks": tasks}


def is_closed_by_the_play(run: Run, name: str = "look") -> bool:
    """Whether the play before the look left no connection open."""
    ours = {entry["connectionid"] for entry in run.connections}
    return not any(entry["open"] for entry in run.result(name)["json"] if entry["connectionid"] in ours)


def themselves(*devices: str) -> dict[str, str]:
    return {device: device for device in devices}


def calls(run: Run, kind: str) -> list[str]:
    """Return the services of the calls of this kind, sorted."""
    return sorted(request["deviceaddress"] for request in run.requests if request["call"] == kind)


# -- the whole ---------------------------------------------------------------------------------------------------------


@pytest.mark.each_api
@pytest.mark.every_engine
def test_role_runs_ordinary_tasks_and_closes(fleet: Fleet) -> None:
    fleet.environ["ANSIBLE_PIPELINING"] = "0"
    fleet.write("on_the_devices.yml", """\
        - {name: who, ansible.builtin.command: cat device-name, changed_when: false}
        - name: copy
          ansible.builtin.copy: {content: "of {{ inventory_hostname }} in {{ ansible_facts.env.HOME }}", dest: own.conf}
          notify: restart
        """)  # fmt: skip
    handlers = [{"name": "restart", "ansible.builtin.command": "touch restarted"}]
    keywords = {**shapes([])["roles"], "gather_facts": True, "handlers": handlers}
    run = fleet.run([play_of(keywords), look(fleet)])
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*fleet.devices)
    for device in fleet.devices:
        home = fleet.simulator.home(device)
        assert (home / "own.conf").read_text() == f"of {device} in {home}"
        assert (home / "restarted").exists()
    assert is_closed_by_the_play(run)
    assert calls(run, "connect") == calls(run, "stop") == fleet.services
    assert run.recap == "opened 3, closed 3, left open 0"
    assert fleet.ledgers() == []


@pytest.mark.parametrize(("strategy", "serial"), [("linear", None), ("free", None), ("host_pinned", 2)])
def test_role_calls_each_service_once(fleet: Fleet, strategy: str, serial: int | None) -> None:
    """In every shape, one play each."""
    fleet.write("on_the_devices.yml", [WHO])
    keywords: dict[str, Any] = {"strategy": strategy, **({"serial": serial} if serial else {})}
    plays = [play_of(shape, **keywords) for shape in shapes([WHO]).values()]
    looks = [look(fleet, f"look {number}") for number in range(len(plays))]
    run = fleet.run([play for pair in zip(plays, looks, strict=True) for play in pair])
    assert run.rc == 0
    said = [(entry["host"], entry["result"]["stdout"].strip()) for entry in run.entries("who")]
    assert sorted(said) == sorted([(device, device) for device in fleet.devices] * len(plays))
    assert all(is_closed_by_the_play(run, f"look {number}") for number in range(len(plays)))
    assert calls(run, "connect") == calls(run, "stop") == sorted(fleet.services * len(plays))


def test_serial_opens_and_closes_each_batch(fleet: Fleet) -> None:
    run = fleet.session([WHO], play={"serial": 2})
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*fleet.devices)
    sent = [(request["call"], request["deviceaddress"]) for request in run.requests]
    first, second = sent[:4], sent[4:]
    assert sorted(first) == sorted((call, service) for call in ("connect", "stop") for service in fleet.services[:2])
    assert second == [("connect", fleet.services[2]), ("stop", fleet.services[2])]


def test_role_opens_the_hosts_of_limit(fleet: Fleet) -> None:
    fleet.write("on_the_devices.yml", [WHO])
    run = fleet.run([play_of(shapes([])["roles"])] * 2, "--limit", "pi-0002")
    assert run.rc == 0
    assert [entry["result"]["stdout"].strip() for entry in run.entries("who")] == ["pi-0002"] * 2
    assert calls(run, "connect") == [fleet.services[1]] * 2
    assert run.recap == "opened 2, closed 2, left open 0"


def test_hosts_of_one_service_share_its_connection(fleet: Fleet) -> None:
    service = fleet.services[0]
    hosts = {"upper": {"remoteit_deviceaddress": service}, "lower": {"remoteit_deviceaddress": service.lower()}}
    fleet.inventory["fleet"]["hosts"] = hosts
    run = fleet.session([WHO])
    assert run.rc == 0
    assert run.stdout_of("who") == {"upper": "pi-0001", "lower": "pi-0001"}
    assert [c["closed_by"] for c in run.connections] == ["stop"]


def test_open_twice_opens_once(fleet: Fleet) -> None:
    """Without ``close``, the connections last for the plays that follow."""
    fleet.write("roles/own/tasks/main.yml", [{"name": "role", "ansible.builtin.command": "cat device-name"}])
    first = play_of({"pre_tasks": [OPEN, OPEN], "roles": ["own"], "post_tasks": [OPEN]})
    run = fleet.run([first, look(fleet), play_of({"tasks": [WHO]})])
    assert run.rc == 0
    assert run.stdout_of("role") == run.stdout_of("who") == themselves(*fleet.devices)
    assert not is_closed_by_the_play(run)
    assert calls(run, "connect") == calls(run, "stop") == fleet.services
    assert run.recap == "opened 3, closed 3, left open 0"


def test_open_replaces_expired_connections(fleet: Fleet) -> None:
    clock = {"url": f"{fleet.simulator.state['control_url']}/clock", "method": "POST"}
    pause = {"name": "pause", "ansible.builtin.uri": {**clock, "body_format": "json", "body": {"advance": 30000}}}
    tasks = [OPEN, {**pause, "delegate_to": "localhost", "run_once": True}, OPEN, WHO, CLOSE]
    run = fleet.run([play_of({"tasks": tasks}), look(fleet)])
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*fleet.devices)
    assert is_closed_by_the_play(run)
    assert {c["closed_by"] for c in run.connections[:3]} <= {"idle", "expired"}
    assert [c["closed_by"] for c in run.connections[3:]] == ["stop"] * 3


def test_role_opens_hosts_with_their_own_variables(fleet: Fleet) -> None:
    """Their ``hostip`` is sent, and a public proxy is warned of once."""
    hostips = ["0.0.0.0", "255.255.255.255", "127.0.0.1"]
    for host, hostip in zip(fleet.inventory["fleet"]["hosts"].values(), hostips, strict=True):
        host["remoteit_hostip"] = hostip
    run = fleet.session([WHO])
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*fleet.devices)
    assert {c["deviceaddress"]: c["hostip"] for c in run.connections} == dict(zip(fleet.services, hostips, strict=True))
    assert run.text.count("opens the proxy to everyone") == 1


# -- hosts without a connection ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "strategy", "serial"),
    [
        ("roles", "linear", None),
        ("import_role", "free", None),
        ("include_role", "host_pinned", None),
        ("open and close", "linear", 2),
    ],
)
def test_fail_makes_an_offline_host_unreachable(fleet: Fleet, shape: str, strategy: str, serial: int | None) -> None:
    fleet.simulator.device("pi-0002", online=False)
    fleet.write("on_the_devices.yml", [WHO])
    keywords: dict[str, Any] = {"strategy": strategy, **({"serial": serial} if serial else {})}
    run = fleet.run([play_of(shapes([WHO])[shape], **keywords)])
    assert run.rc == 4
    assert run.status("who") == {"pi-0001": "changed", "pi-0002": "unreachable", "pi-0003": "changed"}
    assert "inactive" in run.result("who", "pi-0002")["msg"]
    assert calls(run, "connect") == fleet.services
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 2


@pytest.mark.parametrize(("strategy", "serial"), [("linear", None), ("free", None), ("host_pinned", 1)])
def test_skip_leaves_an_offline_host_out(fleet: Fleet, strategy: str, serial: int | None) -> None:
    """In every shape, one play each; the host is named, and the run is green."""
    fleet.simulator.device("pi-0002", online=False)
    fleet.inventory["fleet"]["vars"]["remoteit_session_on_failure"] = "skip"
    fleet.write("on_the_devices.yml", [WHO, NOTIFY])
    keywords: dict[str, Any] = {"strategy": strategy, **({"serial": serial} if serial else {})}
    plays = [play_of(shape, handlers=[HANDLER], **keywords) for shape in shapes([WHO, NOTIFY]).values()]
    run = fleet.run(plays)
    assert run.rc == 0
    for task in ("who", "handler"):
        said = [(entry["host"], entry["result"]["stdout"].strip()) for entry in run.entries(task)]
        assert sorted(said) == sorted([(device, device) for device in ("pi-0001", "pi-0003")] * len(plays))
    reports = [entry for entry in run.entries("Report a skipped host") if entry["status"] == "ok"]
    assert [entry["host"] for entry in reports] == ["pi-0002"] * len(plays)
    assert all("inactive" in entry["result"]["msg"] for entry in reports)
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 2 * len(plays)


@pytest.mark.parametrize("on_failure", ["fail", "skip"])
def test_role_when_all_devices_are_offline(fleet: Fleet, on_failure: str) -> None:
    for device in fleet.devices:
        fleet.simulator.device(device, online=False)
    run = fleet.session([WHO], remoteit_session_on_failure=on_failure)
    assert run.rc == {"fail": 4, "skip": 0}[on_failure]
    assert set(run.status("who").values()) == {"fail": {"unreachable"}, "skip": set()}[on_failure]
    assert run.connections == []


@pytest.mark.parametrize(
    ("address", "strategy", "on_failure"), [(None, "linear", "fail"), ("80:00", "linear", "skip"), ("", "free", "skip")]
)
def test_host_with_a_wrong_variable_is_unreachable(
    fleet: Fleet, address: str | None, strategy: str, on_failure: str
) -> None:
    """Not skipped, because the API refuses nothing; the other hosts go on."""
    fleet.inventory["fleet"]["hosts"]["pi-0002"] = {"remoteit_deviceaddress": address}
    run = fleet.session([WHO], play={"strategy": strategy}, remoteit_session_on_failure=on_failure)
    assert run.rc == 4
    assert run.status("who") == {"pi-0001": "changed", "pi-0002": "unreachable", "pi-0003": "changed"}
    assert "remoteit_deviceaddress" in run.result("who", "pi-0002")["msg"]
    assert calls(run, "connect") == fleet.services[::2]


@pytest.mark.parametrize("on_failure", ["fail", "skip"])
def test_device_that_does_not_respond_is_unreachable(fleet: Fleet, on_failure: str) -> None:
    fleet.simulator.device("pi-0002", hang=True)
    fleet.environ["ANSIBLE_TIMEOUT"] = "2"
    fleet.inventory["fleet"]["vars"]["remoteit_wait_timeout"] = 1
    run = fleet.session([WHO], remoteit_session_on_failure=on_failure)
    assert run.rc == 4
    assert run.status("who") == {"pi-0001": "changed", "pi-0002": "unreachable", "pi-0003": "changed"}
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 3


def test_role_without_credentials_is_red(fleet: Fleet) -> None:
    for name in fleet.credentials:
        del fleet.environ[name]
    run = fleet.session([WHO], remoteit_session_on_failure="skip")
    assert run.rc == 2
    assert all("REMOTEIT_TOKEN" in reason for reason in run.failures().values())
    assert run.failures()
    assert run.status("who") == {}


def test_role_without_a_keeper_is_red(fleet: Fleet) -> None:
    fleet.environ["REMOTEIT_STATE_DIR"] = f"{fleet.write('file', '')}/state"
    run = fleet.session([WHO], remoteit_session_on_failure="skip")
    assert run.rc == 2
    assert any("keeper of this run cannot be started" in reason for reason in run.failures().values())
    assert run.status("who") == {}
    assert run.requests == []


@pytest.mark.parametrize(("entry_point", "strategy"), [("main", "linear"), ("open", "free")])
def test_role_needs_the_connection_plugin(fleet: Fleet, strategy: str, entry_point: str) -> None:
    if strategy == "linear":  # the default
        hosts, variables = fleet.inventory["fleet"]["hosts"], fleet.inventory["fleet"]["vars"]
        for device in ("pi-0001", "pi-0003"):
            hosts[device]["ansible_connection"] = variables["ansible_connection"]
        del variables["ansible_connection"]
    else:
        fleet.inventory["fleet"]["hosts"]["pi-0002"]["ansible_connection"] = "ansible.builtin.ssh"
    fleet.write("on_the_devices.yml", [WHO])
    shape = {"main": "roles", "open": "open and close"}[entry_point]
    run = fleet.run([play_of(shapes([WHO])[shape], strategy=strategy)])
    assert run.rc == 2
    (reason,) = run.failures().values()
    assert "remoteit.fleet.ssh" in reason
    assert "pi-0002" in reason
    if strategy == "linear":  # the others run the task themselves otherwise, each for itself
        assert run.requests == []
        assert run.status("who") == {}
    assert fleet.services[1] not in calls(run, "connect")


def test_role_with_the_connection_keyword(fleet: Fleet) -> None:
    """An inventory that sets no connection is enough, if the play does."""
    del fleet.inventory["fleet"]["vars"]["ansible_connection"]
    run = fleet.session([WHO], play={"connection": "remoteit.fleet.ssh"})
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*fleet.devices)
    assert fleet.session([WHO]).rc == 2


def test_role_refuses_credentials_of_module_defaults(fleet: Fleet) -> None:
    """Each host has its own account, in its variables."""
    defaults = {"group/remoteit.fleet.remoteit": {"token": "of-somebody"}}
    run = fleet.session([WHO], play={"module_defaults": defaults})
    assert run.rc == 2
    assert any("remoteit_token" in reason for reason in run.failures().values())
    assert run.requests == []


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", [["pi-0002"], ["pi-0001", "pi-0002", "pi-0003"]], ids=["one", "all"])
@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_failed_task_leaves_nothing_open(fleet: Fleet, failing: list[str], strategy: str) -> None:
    fail = {"name": "fail", "ansible.builtin.raw": "false", "when": f"inventory_hostname in {failing}"}
    fleet.write("on_the_devices.yml", [fail, WHO])
    run = fleet.run([play_of(shapes([])["roles"], strategy=strategy), look(fleet)])
    assert run.rc == 2
    assert sorted(run.failures()) == failing
    assert run.stdout_of("who") == themselves(*[device for device in fleet.devices if device not in failing])
    if run.status("look"):
        assert is_closed_by_the_play(run)
    assert run.recap == "opened 3, closed 3, left open 0"


@pytest.mark.parametrize(
    ("shape", "strategy", "keywords"),
    [
        ("roles", "linear", {}),
        ("roles", "free", {"ignore_errors": True}),
        ("open and close", "linear", {"ignore_errors": True}),
    ],
)
def test_failed_stop_makes_the_role_red(fleet: Fleet, shape: str, strategy: str, keywords: dict[str, Any]) -> None:
    fleet.simulator.inject_fault(fleet.services[1], call="stop", fault="http", status=500, times="always")
    fleet.write("on_the_devices.yml", [WHO])
    run = fleet.run([play_of(shapes([WHO])[shape], strategy=strategy, **keywords)], leaves_open=1)
    assert run.rc == 2
    assert run.stdout_of("who") == themselves(*fleet.devices)
    (still,) = (c for c in run.connections if c["open"])
    assert any(still["connectionid"] in reason for reason in run.failures().values())
    assert still["connectionid"] in run.stderr
    assert run.recap == "opened 3, closed 2, left open 1"
    assert len(fleet.ledgers()) == 1


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_timeout_of_the_play_spares_the_role(fleet: Fleet, strategy: str) -> None:
    fleet.simulator.settings(latency=2.5, stop_latency=2.5)
    slow = {"name": "slow", "ansible.builtin.raw": "sleep 30"}
    run = fleet.session([WHO, slow], play={"timeout": 2, "strategy": strategy})
    assert run.rc == 2
    assert run.stdout_of("who") == themselves(*fleet.devices)
    assert set(run.status("slow").values()) == {"failed"}
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 3


# -- keywords and arguments --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("strategy", "on_failure"), [("linear", "fail"), ("free", "skip"), ("host_pinned", "fail")])
def test_check_mode_opens_and_changes_nothing(fleet: Fleet, strategy: str, on_failure: str) -> None:
    changed = {"name": "restart", "ansible.builtin.command": "touch checked.txt"}
    run = fleet.session(
        """\
        - {name: mode, ansible.builtin.debug: {msg: "{{ ansible_check_mode }}"}}
        - {name: copy, ansible.builtin.copy: {content: new, dest: checked.txt}, notify: restart}
        - {name: command, ansible.builtin.command: touch checked.txt}
        - {name: read, ansible.builtin.command: cat device-name, check_mode: false, changed_when: false}
        """,
        "--check",
        play={"strategy": strategy, "gather_facts": True, "handlers": [changed]},
        remoteit_session_on_failure=on_failure,
    )
    assert run.rc == 0
    assert {str(result["msg"]) for result in run.results("mode").values()} == {"True"}
    assert set(run.status("copy").values()) == {"changed"}
    assert run.stdout_of("read") == themselves(*fleet.devices)
    assert [(fleet.simulator.home(device) / "checked.txt").exists() for device in fleet.devices] == [False] * 3
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 3


@pytest.mark.parametrize(
    ("arguments", "chosen", "on_failure"),
    [
        (("--tags", "one"), {"one", "always"}, "fail"),
        (("--skip-tags", "one"), {"two", "untagged", "always"}, "skip"),
        (("--tags", "nothing"), {"always"}, "skip"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_tags_choose_among_the_tasks_of_the_user(
    fleet: Fleet, arguments: tuple[str, ...], chosen: set[str], on_failure: str
) -> None:
    """The connections are open whatever is chosen."""
    names = ("one", "two", "untagged", "always")
    tasks = [{**WHO, "name": name, "tags": [] if name == "untagged" else [name]} for name in names]
    fleet.write("on_the_devices.yml", tasks)
    fleet.inventory["fleet"]["hosts"] = {"pi-0001": fleet.inventory["fleet"]["hosts"]["pi-0001"]}
    fleet.inventory["fleet"]["vars"]["remoteit_session_on_failure"] = on_failure
    run = fleet.run([play_of(shape) for shape in shapes(tasks).values()], *arguments)
    assert run.rc == 0
    counts = {name: len([e for e in run.entries(name) if e["status"] == "changed"]) for name in names}
    assert counts == {name: 4 if name in chosen else 0 for name in names}
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 4


def test_become_reaches_the_device(fleet: Fleet) -> None:
    environment = {"name": "command", "ansible.builtin.command": "printenv SUDO_USER USER"}
    run = fleet.session([WHO, environment], play={"become": True, "gather_facts": True})
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*fleet.devices)
    for device in fleet.devices:
        assert run.result("command", device)["stdout_lines"] == [fleet.simulator.state["ssh_user"], "root"]
        assert "root:" in (fleet.simulator.home(device) / "sudo.log").read_text()


# -- handlers ----------------------------------------------------------------------------------------------------------


def run_handlers(fleet: Fleet, tasks: list[dict[str, Any]], *arguments: str, **keywords: Any) -> Run:
    """Run a play whose tasks notify a handler, and look at the vendor's connections afterward."""
    fleet.write("on_the_devices.yml", [NOTIFY, FAIL])
    return fleet.run([play_of({"tasks": tasks, "handlers": [HANDLER], **keywords}), look(fleet)], *arguments)


MAIN = shapes([])["include_role"]["tasks"][0]
WELL = themselves("pi-0001", "pi-0003")


@pytest.mark.parametrize(
    ("forced", "strategy"), [("play", "linear"), ("command line", "free"), ("no", "linear"), ("no", "free")]
)
def test_handlers_run_before_the_role_closes(fleet: Fleet, forced: str, strategy: str) -> None:
    """Those of the failed host run only where ``force_handlers`` says so, once each."""
    arguments = ["--force-handlers"] if forced == "command line" else []
    keywords = {"force_handlers": True} if forced == "play" else {}
    run = run_handlers(fleet, [MAIN], *arguments, strategy=strategy, **keywords)
    assert run.rc == 2
    assert run.stdout_of("handler") == (WELL if forced == "no" else themselves(*fleet.devices))
    assert len(run.entries("handler")) == (2 if forced == "no" else 3)
    assert list(run.failures()) == ["pi-0002"]
    assert run.recap is not None
    assert run.recap.endswith("left open 0")
    if forced == "no":
        assert is_closed_by_the_play(run)


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_rescued_host_can_still_be_reached(fleet: Fleet, strategy: str) -> None:
    """Its connection is opened again, and closed with the run."""
    rescue = {"name": "rescued", "ansible.builtin.raw": "cat device-name"}
    run = run_handlers(fleet, [{"block": [MAIN], "rescue": [rescue]}], strategy=strategy)
    assert run.rc == 0
    assert run.stdout_of("rescued") == themselves("pi-0002")
    assert run.stdout_of("handler") == themselves(*fleet.devices)
    assert {c["closed_by"] for c in run.connections} == {"stop"}


@pytest.mark.parametrize("keywords", [{}, {"force_handlers": True}], ids=["plain", "force_handlers"])
def test_failing_handler_leaves_nothing_open(fleet: Fleet, keywords: dict[str, Any]) -> None:
    failing = {"name": "handler", "ansible.builtin.raw": "cat device-name; false"}
    run = run_handlers(fleet, [MAIN], handlers=[failing], **keywords)
    assert run.rc == 2
    assert set(run.status("handler").values()) == {"failed"}
    assert {c["closed_by"] for c in run.connections} == {"stop"}


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_handlers_between_open_and_close(fleet: Fleet, strategy: str) -> None:
    run = run_handlers(fleet, [OPEN, NOTIFY, FAIL, CLOSE], strategy=strategy)
    assert run.rc == 2
    assert run.stdout_of("handler") == WELL
    assert {c["closed_by"] for c in run.connections} == {"stop"}


def test_close_in_an_always_of_the_user(fleet: Fleet) -> None:
    run = run_handlers(fleet, [{"block": [OPEN, FAIL, WHO], "always": [CLOSE]}])
    assert run.rc == 2
    assert run.stdout_of("who") == WELL
    assert is_closed_by_the_play(run)
