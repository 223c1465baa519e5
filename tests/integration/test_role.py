# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role ``remoteit_session``: which hosts run their tasks, and which connections are open when.

Most tests use the role in several ways, in one play each, and with another strategy in each play.
"""

from __future__ import annotations

from typing import Any

import pytest
from conftest import CLOSE, OPEN, ROLE, Fleet, Run, play, raw, role_play, task, themselves, who

NOTIFY = raw("notify", "true", changed_when=True, notify="handler")
HANDLER = who("handler")
FAIL = raw("fail", "false", when="inventory_hostname == 'pi-0002'")
FREE = {"strategy": "free"}
PINNED = {"strategy": "host_pinned", "serial": 1}


def plays_of(*tasks: dict[str, Any], **keywords: Any) -> list[dict[str, Any]]:
    """Return a play for each way to use the role around these tasks, which have to be in the tasks file too."""
    call = {"name": ROLE}, {"remoteit_session_tasks": "on_the_devices.yml"}
    return [
        role_play(**keywords),
        play({"import_role": call[0], "vars": call[1]}, **FREE, **keywords),
        play({"include_role": call[0], "vars": call[1], "tags": ["always"]}, **PINNED, **keywords),
        play(*tasks, serial=2, pre_tasks=[OPEN], post_tasks=[CLOSE], **keywords),
    ]


def look(fleet: Fleet, name: str = "look") -> dict[str, Any]:
    return play(fleet.look(name), hosts="localhost")


def outputs(run: Run, name: str) -> list[tuple[str, str]]:
    """Return each host on which the task has run, with its output, sorted."""
    return sorted((entry["host"], entry["result"].get("stdout", "").strip()) for entry in run.entries(name))


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
    handlers = [task("restart", **{"ansible.builtin.command": "touch restarted"})]
    run = fleet.run([role_play(gather_facts=True, handlers=handlers), look(fleet)])
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*fleet.devices)
    for device in fleet.devices:
        home = fleet.simulator.home(device)
        assert (home / "own.conf").read_text() == f"of {device} in {home}"
        assert (home / "restarted").exists()
    assert run.open_at() == []
    assert run.calls("connect") == run.calls("stop") == fleet.services
    assert run.recap == "opened 3, closed 3, left open 0"
    assert fleet.ledgers() == []


def test_role_calls_each_service_once(fleet: Fleet) -> None:
    fleet.write("on_the_devices.yml", [who()])
    plays = plays_of(who())
    looks = [look(fleet, f"look {number}") for number in range(len(plays))]
    run = fleet.run([play for pair in zip(plays, looks, strict=True) for play in pair])
    assert run.rc == 0
    assert outputs(run, "who") == sorted([(device, device) for device in fleet.devices] * len(plays))
    assert all(run.open_at(f"look {number}") == [] for number in range(len(plays)))
    assert run.calls("connect") == run.calls("stop") == sorted(fleet.services * len(plays))


def test_serial_stays_below_the_limit_of_the_account(fleet: Fleet) -> None:
    """Each batch is opened and closed."""
    fleet.simulator.settings(max_connections=2)
    run = fleet.session([who()], play={"serial": 2})
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*fleet.devices)
    sent = [(request["call"], request["deviceaddress"]) for request in run.requests]
    first, second = sent[:4], sent[4:]
    assert sorted(first) == sorted((call, service) for call in ("connect", "stop") for service in fleet.services[:2])
    assert second == [("connect", fleet.services[2]), ("stop", fleet.services[2])]


def test_role_opens_the_hosts_of_limit(fleet: Fleet) -> None:
    fleet.write("on_the_devices.yml", [who()])
    run = fleet.run([role_play()] * 2, "--limit", "pi-0002")
    assert run.rc == 0
    assert outputs(run, "who") == [("pi-0002", "pi-0002")] * 2
    assert run.calls("connect") == [fleet.services[1]] * 2
    assert run.recap == "opened 2, closed 2, left open 0"


def test_hosts_of_one_service_share_its_connection(fleet: Fleet) -> None:
    service = fleet.services[0]
    hosts = {"upper": {"remoteit_deviceaddress": service}, "lower": {"remoteit_deviceaddress": service.lower()}}
    fleet.inventory["fleet"]["hosts"] = hosts
    run = fleet.session([who()])
    assert run.rc == 0
    assert run.stdout_of("who") == {"upper": "pi-0001", "lower": "pi-0001"}
    assert [c["closed_by"] for c in run.connections] == ["stop"]


def test_open_twice_opens_once(fleet: Fleet) -> None:
    """Without ``close``, the connections last for the plays that follow."""
    fleet.write("roles/own/tasks/main.yml", [who("role")])
    first = {"hosts": "fleet", "gather_facts": False, "pre_tasks": [OPEN, OPEN], "roles": ["own"], "post_tasks": [OPEN]}
    run = fleet.run([first, look(fleet), play(who())])
    assert run.rc == 0
    assert run.stdout_of("role") == run.stdout_of("who") == themselves(*fleet.devices)
    assert len(run.open_at()) == 3
    assert run.calls("connect") == run.calls("stop") == fleet.services
    assert run.recap == "opened 3, closed 3, left open 0"


def test_role_opens_hosts_with_their_own_variables(fleet: Fleet) -> None:
    """Their ``hostip`` is sent, and the warning about a public proxy appears once."""
    hostips = ["0.0.0.0", "255.255.255.255", "127.0.0.1"]
    for host, hostip in zip(fleet.inventory["fleet"]["hosts"].values(), hostips, strict=True):
        host["remoteit_hostip"] = hostip
    run = fleet.session([who()])
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*fleet.devices)
    assert {c["deviceaddress"]: c["hostip"] for c in run.connections} == dict(zip(fleet.services, hostips, strict=True))
    assert run.text.count("opens the proxy to everyone") == 1


# -- hosts without a connection ----------------------------------------------------------------------------------------


def test_fail_makes_an_offline_host_unreachable(fleet: Fleet) -> None:
    """Each play has another device that is offline."""
    fleet.write("on_the_devices.yml", [who()])
    offline = [f"pi-{number:04}" for number in range(2, 6)]
    fleet.inventory["fleet"]["hosts"] |= {
        device: {"remoteit_deviceaddress": fleet.simulator.service(device)} for device in offline
    }
    for device in offline:
        fleet.simulator.device(device, online=False)
    plays = [
        {**play, "hosts": f"pi-0001:{device}", "serial": 2}  # a batch without any host left would end the run
        for play, device in zip(plays_of(who()), offline, strict=True)
    ]
    run = fleet.run(plays)
    assert run.rc == 4
    assert sorted((entry["host"], entry["status"]) for entry in run.entries("who")) == [
        *[("pi-0001", "changed")] * 4, *[(device, "unreachable") for device in offline],
    ]  # fmt: skip
    assert "inactive" in run.message("who", "pi-0002")
    assert len(run.calls("connect")) == 8
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 4


def test_skip_leaves_an_offline_host_out(fleet: Fleet) -> None:
    """The host is named, its handlers do not run, and the run succeeds."""
    fleet.simulator.device("pi-0002", online=False)
    fleet.inventory["fleet"]["vars"]["remoteit_session_on_failure"] = "skip"
    fleet.write("on_the_devices.yml", [who(), NOTIFY])
    plays = [{**play, "hosts": "pi-0001:pi-0002"} for play in plays_of(who(), NOTIFY, handlers=[HANDLER])]
    run = fleet.run(plays)
    assert run.rc == 0
    for name in ("who", "handler"):
        assert outputs(run, name) == [("pi-0001", "pi-0001")] * len(plays)
    reports = [entry for entry in run.entries("Report a skipped host") if entry["status"] == "ok"]
    assert [entry["host"] for entry in reports] == ["pi-0002"] * len(plays)
    assert all("inactive" in entry["result"]["msg"] for entry in reports)
    assert [c["closed_by"] for c in run.connections] == ["stop"] * len(plays)


def test_skip_succeeds_when_all_devices_are_offline(fleet: Fleet) -> None:
    for device in fleet.devices:
        fleet.simulator.device(device, online=False)
    run = fleet.session([who()], remoteit_session_on_failure="skip")
    assert run.rc == 0
    assert run.status("who") == {}
    assert run.connections == []


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_skip_reports_mistakes_and_silence_as_unreachable(fleet: Fleet, strategy: str) -> None:
    """The API has refused nothing. A host has no ID, an incomplete one, an empty one, or does not respond."""
    fleet.inventory["fleet"]["hosts"] |= {
        "none": {"remoteit_deviceaddress": None},
        "incomplete": {"remoteit_deviceaddress": "80:00"},
        "empty": {"remoteit_deviceaddress": ""},
    }
    fleet.simulator.device("pi-0002", hang=True)
    fleet.environ["ANSIBLE_TIMEOUT"] = "2"
    fleet.inventory["fleet"]["vars"]["remoteit_wait_timeout"] = 1
    run = fleet.session([who()], play={"strategy": strategy}, remoteit_session_on_failure="skip")
    assert run.rc == 4
    unreachable = {host for host, status in run.status("who").items() if status == "unreachable"}
    assert unreachable == {"none", "incomplete", "empty", "pi-0002"}
    assert {host: run.stdout_of("who")[host] for host in ("pi-0001", "pi-0003")} == themselves("pi-0001", "pi-0003")
    for host in ("none", "incomplete", "empty"):
        assert "remoteit_deviceaddress" in run.message("who", host)
    assert run.calls("connect") == fleet.services
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 3


def test_role_without_credentials_fails(fleet: Fleet) -> None:
    for name in fleet.credentials:
        del fleet.environ[name]
    run = fleet.session([who()], remoteit_session_on_failure="skip")
    assert run.rc == 2
    assert run.failures()
    assert all("REMOTEIT_TOKEN" in reason for reason in run.failures().values())
    assert run.status("who") == {}


def test_role_without_a_keeper_fails(fleet: Fleet) -> None:
    fleet.environ["REMOTEIT_STATE_DIR"] = f"{fleet.write('file', '')}/state"
    run = fleet.session([who()], remoteit_session_on_failure="skip")
    assert run.rc == 2
    assert run.failures()
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
    fleet.write("on_the_devices.yml", [who()])
    run = fleet.run([role_play() if entry_point == "main" else play(OPEN, who(), strategy=strategy)])
    assert run.rc == 2
    (reason,) = run.failures().values()
    assert "remoteit.fleet.ssh" in reason
    assert "pi-0002" in reason
    if strategy == "linear":  # without lockstep, each host runs the task for itself
        assert run.requests == []
        assert run.status("who") == {}
    assert fleet.services[1] not in run.calls("connect")


def test_role_accepts_the_connection_keyword(fleet: Fleet) -> None:
    """An inventory that sets no connection is enough, if the play does."""
    del fleet.inventory["fleet"]["vars"]["ansible_connection"]
    run = fleet.session([who()], play={"connection": "remoteit.fleet.ssh"})
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*fleet.devices)


def test_role_refuses_credentials_of_module_defaults(fleet: Fleet) -> None:
    """Each host has its own account, in its variables."""
    defaults = {"group/remoteit.fleet.remoteit": {"token": "of-somebody"}}
    run = fleet.session([who()], play={"module_defaults": defaults})
    assert run.rc == 2
    assert any("remoteit_token" in reason for reason in run.failures().values())
    assert run.requests == []


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_failed_task_leaves_nothing_open(fleet: Fleet, strategy: str) -> None:
    fleet.write("on_the_devices.yml", [FAIL, who()])
    run = fleet.run([role_play(strategy=strategy), look(fleet)])
    assert run.rc == 2
    assert sorted(run.failures()) == ["pi-0002"]
    assert {host: out for host, out in run.stdout_of("who").items() if out} == themselves("pi-0001", "pi-0003")
    assert run.open_at() == []
    assert run.recap == "opened 3, closed 3, left open 0"


@pytest.mark.parametrize("shape", ["role", "open and close"])
@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_failed_stop_fails_the_role(fleet: Fleet, shape: str, strategy: str) -> None:
    fleet.simulator.inject_fault(fleet.services[1], call="stop", fault="http", status=500, times="always")
    fleet.write("on_the_devices.yml", [who()])
    keywords = {"strategy": strategy, "ignore_errors": True}
    plays = [role_play(**keywords) if shape == "role" else play(OPEN, who(), CLOSE, **keywords)]
    run = fleet.run(plays, leaves_open=1)
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
    run = fleet.session([who(), raw("slow", "sleep 30")], play={"timeout": 2, "strategy": strategy})
    assert run.rc == 2
    assert run.stdout_of("who") == themselves(*fleet.devices)
    assert set(run.status("slow").values()) == {"failed"}
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 3


# -- keywords and arguments --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_failure", ["fail", "skip"])
@pytest.mark.parametrize("strategy", ["linear", "free", "host_pinned"])
def test_check_mode_opens_and_changes_nothing(fleet: Fleet, strategy: str, on_failure: str) -> None:
    if on_failure == "fail" and strategy != "linear":
        pytest.skip("the same as with skip")
    changed = task("restart", **{"ansible.builtin.command": "touch checked.txt"})
    run = fleet.session(
        """\
        - {name: copy, ansible.builtin.copy: {content: new, dest: checked.txt}, notify: restart}
        - {name: command, ansible.builtin.command: touch checked.txt}
        - {name: read, ansible.builtin.raw: cat device-name, check_mode: false, changed_when: false}
        """,
        "--check",
        play={"strategy": strategy, "handlers": [changed]},
        remoteit_session_on_failure=on_failure,
    )
    assert run.rc == 0
    assert set(run.status("copy").values()) == {"changed"}
    assert run.stdout_of("read") == themselves(*fleet.devices)
    assert [(fleet.simulator.home(device) / "checked.txt").exists() for device in fleet.devices] == [False] * 3
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 3


@pytest.mark.parametrize(
    ("arguments", "chosen", "on_failure"),
    [
        (("--tags", "one"), {"one", "always"}, "fail"),
        (("--skip-tags", "one"), {"untagged", "always"}, "skip"),
        (("--tags", "nothing"), {"always"}, "skip"),
    ],
    ids=["tags", "skip-tags", "no-tags"],
)
def test_tags_choose_among_the_tasks_of_the_user(
    fleet: Fleet, arguments: tuple[str, ...], chosen: set[str], on_failure: str
) -> None:
    """The connections are open in any case."""
    names = ("one", "untagged", "always")
    tasks = [who(name, tags=[] if name == "untagged" else [name]) for name in names]
    fleet.write("on_the_devices.yml", tasks)
    fleet.inventory["fleet"]["hosts"] = {"pi-0001": fleet.inventory["fleet"]["hosts"]["pi-0001"]}
    fleet.inventory["fleet"]["vars"]["remoteit_session_on_failure"] = on_failure
    run = fleet.run(plays_of(*tasks), *arguments)
    assert run.rc == 0
    counts = {name: len([e for e in run.entries(name) if e["status"] == "changed"]) for name in names}
    assert counts == {name: 4 if name in chosen else 0 for name in names}
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 4


# -- handlers ----------------------------------------------------------------------------------------------------------


def run_handlers(fleet: Fleet, tasks: list[dict[str, Any]], *arguments: str, **keywords: Any) -> Run:
    """Run a play whose tasks notify a handler, and look at the vendor's connections afterward."""
    fleet.write("on_the_devices.yml", [NOTIFY, FAIL])
    return fleet.run([play(*tasks, **{"handlers": [HANDLER], **keywords}), look(fleet)], *arguments)


MAIN = plays_of()[2]["tasks"][0]
VALID = themselves("pi-0001", "pi-0003")


@pytest.mark.parametrize("forced", ["play", "command line", "no"])
@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_handlers_run_before_the_role_closes(fleet: Fleet, forced: str, strategy: str) -> None:
    """Those of the failed host run only with ``force_handlers``, once each."""
    arguments = ["--force-handlers"] if forced == "command line" else []
    keywords = {"force_handlers": True} if forced == "play" else {}
    run = run_handlers(fleet, [MAIN], *arguments, strategy=strategy, **keywords)
    assert run.rc == 2
    assert run.stdout_of("handler") == (VALID if forced == "no" else themselves(*fleet.devices))
    assert len(run.entries("handler")) == (2 if forced == "no" else 3)
    assert list(run.failures()) == ["pi-0002"]
    assert run.recap is not None
    assert run.recap.endswith("left open 0")
    if forced == "no":
        assert run.open_at() == []


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_rescued_host_can_still_be_reached(fleet: Fleet, strategy: str) -> None:
    """Its connection is opened again, and closed with the run."""
    run = run_handlers(fleet, [{"block": [MAIN], "rescue": [who("rescued")]}], strategy=strategy)
    assert run.rc == 0
    assert run.stdout_of("rescued") == themselves("pi-0002")
    assert run.stdout_of("handler") == themselves(*fleet.devices)
    assert {c["closed_by"] for c in run.connections} == {"stop"}


def test_failing_forced_handler_leaves_nothing_open(fleet: Fleet) -> None:
    failing = raw("handler", "cat device-name; false")
    run = run_handlers(fleet, [MAIN], handlers=[failing], force_handlers=True)
    assert run.rc == 2
    assert set(run.status("handler").values()) == {"failed"}
    assert {c["closed_by"] for c in run.connections} == {"stop"}


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_handlers_between_open_and_close(fleet: Fleet, strategy: str) -> None:
    run = run_handlers(fleet, [OPEN, NOTIFY, FAIL, CLOSE], strategy=strategy)
    assert run.rc == 2
    assert run.stdout_of("handler") == VALID
    assert {c["closed_by"] for c in run.connections} == {"stop"}


def test_close_in_an_always_of_the_user(fleet: Fleet) -> None:
    run = run_handlers(fleet, [{"block": [OPEN, FAIL, who()], "always": [CLOSE]}])
    assert run.rc == 2
    assert run.stdout_of("who") == VALID
    assert run.open_at() == []
