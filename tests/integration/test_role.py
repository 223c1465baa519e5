# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role ``remoteit_session``: which hosts run their tasks, and which connections are open when.

Most tests use the role in several ways, in one play each, and with another strategy in each play.
"""

from __future__ import annotations

from typing import Any

import pytest
from conftest import CLOSE, OPEN, ROLE, Fleet, Run, one_line, play, raw, role_play, task, themselves, who

NOTIFY = raw("notify", "true", changed_when=True, notify="handler")
HANDLER = who("handler")
FAIL = raw("fail", "false", when="inventory_hostname == fails")
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
    fleet.write(
        "on_the_devices.yml",
        """\
        - {name: who, ansible.builtin.command: cat device-name, changed_when: true, notify: restart}
        """,
    )
    handlers = [raw("restart", "touch restarted")]
    run = fleet.run([role_play(handlers=handlers), look(fleet)])
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*fleet.devices)
    assert all((fleet.simulator.home(device) / "restarted").exists() for device in fleet.devices)
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
    """Their ``hostip`` is sent, with one warning about a public proxy. Hosts of one service share its connection."""
    hostips = ["0.0.0.0", "255.255.255.255", "127.0.0.1"]
    hosts = fleet.inventory["fleet"]["hosts"]
    for host, hostip in zip(hosts.values(), hostips, strict=True):
        host["remoteit_hostip"] = hostip
    shared = fleet.simulator.service("pi-0004")
    hosts |= {"upper": {"remoteit_deviceaddress": shared}, "lower": {"remoteit_deviceaddress": shared.lower()}}
    run = fleet.session([who()])
    assert run.rc == 0
    assert run.stdout_of("who") == {**themselves(*fleet.devices), "upper": "pi-0004", "lower": "pi-0004"}
    sent = {**dict(zip(fleet.services, hostips, strict=True)), shared: None}
    assert {
        request["deviceaddress"].upper(): request["hostip"] for request in run.requests if request["call"] == "connect"
    } == sent
    assert len(run.connections) == 4
    assert run.text.count("opens the proxy to everyone") == 1


# -- hosts without a connection ----------------------------------------------------------------------------------------


def test_offline_host_fails_or_is_skipped(fleet: Fleet) -> None:
    """Each host chooses. A skipped one is named. Without a connection, no handler runs.

    Each play has another host that fails, because it is unreachable in the plays that follow.
    """
    fleet.write("on_the_devices.yml", [who(), NOTIFY])
    failed = [f"pi-{number:04}" for number in range(3, 7)]
    hosts = fleet.inventory["fleet"]["hosts"]
    hosts |= {device: {"remoteit_deviceaddress": fleet.simulator.service(device)} for device in failed}
    hosts["pi-0002"]["remoteit_session_on_failure"] = "skip"
    for device in ("pi-0002", *failed):
        fleet.simulator.device(device, online=False)
    plays = [
        {**play, "hosts": f"pi-0001:pi-0002:{device}", "serial": 3}  # a batch without any host left would end the run
        for play, device in zip(plays_of(who(), NOTIFY, handlers=[HANDLER]), failed, strict=True)
    ]
    run = fleet.run(plays)
    assert run.rc == 4
    assert sorted((entry["host"], entry["status"]) for entry in run.entries("who")) == [
        *[("pi-0001", "changed")] * 4, *[(device, "unreachable") for device in failed],
    ]  # fmt: skip
    assert "inactive" in run.message("who", failed[0])
    assert outputs(run, "handler") == [("pi-0001", "pi-0001")] * 4
    reports = [entry for entry in run.entries("Report a skipped host") if entry["status"] == "ok"]
    assert [entry["host"] for entry in reports] == ["pi-0002"] * 4
    assert all("inactive" in entry["result"]["msg"] for entry in reports)
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 4


def test_skip_succeeds_when_all_devices_are_offline(fleet: Fleet) -> None:
    for device in fleet.devices:
        fleet.simulator.device(device, online=False)
    run = fleet.session([who()], remoteit_session_on_failure="skip")
    assert run.rc == 0
    assert run.status("who") == {}
    assert run.connections == []


@pytest.mark.every_engine
def test_skip_fails_if_the_api_fails(fleet: Fleet) -> None:
    fleet.environ["REMOTEIT_API_URL"] = "http://127.0.0.1:9"
    run = fleet.session([who()], remoteit_session_on_failure="skip")
    assert run.rc == 2
    assert "no response from http://127.0.0.1:9" in run.text
    assert not run.results("who")


def test_skip_fails_if_the_api_fails_beside_an_offline_device(fleet: Fleet) -> None:
    """The lookup of a device that is offline does not need the part of the API that opens connections."""
    fleet.simulator.device(fleet.devices[0], online=False)
    for service in fleet.services[1:]:
        fleet.simulator.inject_fault(service, call="connect", fault="http", status=503, times="always")
    run = fleet.session([who()], remoteit_session_on_failure="skip")
    assert run.rc == 2
    assert "503" in run.text
    assert not run.results("who")


@pytest.mark.every_engine
@pytest.mark.parametrize("entry_point", ["main", "open"])
def test_skip_fails_if_the_api_fails_for_later_hosts(fleet: Fleet, entry_point: str) -> None:
    """Each host has its own value, and the first one, which would report the reason, runs no task."""
    fleet.environ["REMOTEIT_API_URL"] = fleet.environ["REMOTEIT_GRAPHQL_URL"] = "http://127.0.0.1:9"
    for host, variables in fleet.inventory["fleet"]["hosts"].items():
        variables["remoteit_session_on_failure"] = "fail" if host == fleet.devices[0] else "skip"
    tasks = [who(when=f"inventory_hostname != '{fleet.devices[0]}'")]
    fleet.write("on_the_devices.yml", tasks)
    run = fleet.run([role_play() if entry_point == "main" else play(OPEN, *tasks, CLOSE)])
    assert run.rc == 2
    assert "no response from http://127.0.0.1:9" in run.text


@pytest.mark.parametrize(("keywords", "rc"), [({}, 2), ({"strategy": "free"}, 0), ({"serial": 1}, 0)])
def test_skip_fails_if_the_account_has_no_device(fleet: Fleet, keywords: dict[str, Any], rc: int) -> None:
    """If each host opens its own connection, it does not know of the others."""
    for number, variables in enumerate(fleet.inventory["fleet"]["hosts"].values(), 1):
        variables["remoteit_deviceaddress"] = f"80:00:00:00:01:00:00:{number:02}"
    run = fleet.session([who()], play=keywords, remoteit_session_on_failure="skip")
    assert run.rc == rc
    assert not run.results("who")
    assert rc == 0 or "No host has a connection. pi-0001: " in one_line(run.text)


def test_skip_fails_if_the_account_has_no_other_device(fleet: Fleet) -> None:
    """A host that has left the play does not need a connection."""
    for variables in fleet.inventory["fleet"]["hosts"].values():
        variables["remoteit_deviceaddress"] = "80:00:00:00:01:00:00:01"
    end = task("end", meta="end_host", when=f"inventory_hostname == '{fleet.devices[0]}'")
    run = fleet.session([who()], play={"pre_tasks": [end]}, remoteit_session_on_failure="skip")
    assert run.rc == 2
    assert "No host has a connection" in one_line(run.text)


@pytest.mark.parametrize("entry_point", ["main", "open"])
@pytest.mark.parametrize("api", ["rest"])
def test_skip_skips_no_host_whose_connection_may_be_open(fleet: Fleet, entry_point: str) -> None:
    """The call is not repeated, because each call may open another connection."""
    fleet.simulator.inject_fault(fleet.services[0], call="connect", fault="lost")
    fleet.write("on_the_devices.yml", [who()])
    one = role_play() if entry_point == "main" else plays_of(who())[-1]
    run = fleet.run([{**one, "vars": {"remoteit_session_on_failure": "skip"}}], leaves_open=1)
    assert run.rc == 4
    assert run.status("who")[fleet.devices[0]] == "unreachable"
    assert run.calls("connect").count(fleet.services[0]) == 1


@pytest.mark.every_engine
@pytest.mark.parametrize("on_failure", ["fail", "skip"])
@pytest.mark.parametrize("entry_point", ["main", "open"])
def test_condition_that_excludes_the_first_host_fails(fleet: Fleet, entry_point: str, on_failure: str) -> None:
    """A static role passes its condition on to its tasks, also to those that run once for all hosts."""
    role = {
        "import_role": {"name": ROLE, "tasks_from": entry_point},
        "when": f"inventory_hostname != '{fleet.devices[0]}'",
        "vars": {"remoteit_session_tasks": "on_the_devices.yml", "remoteit_session_on_failure": on_failure},
    }
    fleet.write("on_the_devices.yml", [who()])
    run = fleet.run([play(role)])
    assert run.rc == 2
    assert run.failures().keys() == set(fleet.devices[1:])
    assert "include_role" in run.text
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
    """An inventory that sets no connection is enough, if the play does. Only the hosts of ``--limit`` are opened."""
    del fleet.inventory["fleet"]["vars"]["ansible_connection"]
    run = fleet.session([who()], "--limit", "pi-0002", play={"connection": "remoteit.fleet.ssh"})
    assert run.rc == 0
    assert run.stdout_of("who") == themselves("pi-0002")
    assert run.calls("connect") == [fleet.services[1]]


def test_role_refuses_credentials_of_module_defaults(fleet: Fleet) -> None:
    """Each host has its own account, in its variables."""
    defaults = {"group/remoteit.fleet.remoteit": {"token": "of-another"}}
    run = fleet.session([who()], play={"module_defaults": defaults})
    assert run.rc == 2
    assert any("remoteit_token" in reason for reason in run.failures().values())
    assert run.requests == []


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_failed_stop_fails_the_role(fleet: Fleet, strategy: str) -> None:
    """Here with tasks between its two parts. ``test_termination.py`` has the same with its main entry point."""
    fleet.simulator.inject_fault(fleet.services[1], call="stop", fault="http", status=500, times="always")
    plays = [play(OPEN, who(), CLOSE, strategy=strategy, ignore_errors=True)]
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


@pytest.mark.parametrize("strategy", ["linear", "free", "host_pinned"])
def test_check_mode_opens_and_changes_nothing(fleet: Fleet, strategy: str) -> None:
    fleet.use_devices(2)
    fleet.inventory["fleet"]["hosts"]["pi-0002"]["remoteit_session_on_failure"] = "skip"
    tasks = [
        task("command", **{"ansible.builtin.command": "touch checked.txt"}, changed_when=True, notify="restart"),
        who("read", check_mode=False),
    ]
    fleet.write("on_the_devices.yml", tasks)
    handlers = [task("restart", **{"ansible.builtin.command": "touch checked.txt"})]
    run = fleet.run([role_play(strategy=strategy, handlers=handlers), look(fleet)], "--check")
    assert run.rc == 0
    assert set(run.status("command").values()) == {"skipped"}
    assert run.stdout_of("read") == themselves(*fleet.devices)
    assert [(fleet.simulator.home(device) / "checked.txt").exists() for device in fleet.devices] == [False] * 2
    assert run.open_at() == []  # what the plugin had opened would be open until the end of the run
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 2


@pytest.mark.parametrize(
    ("arguments", "chosen", "on_failure"),
    [
        (("--tags", "one"), {"one", "always"}, "fail"),
        (("--skip-tags", "one"), {"untagged", "always"}, "skip"),
    ],
    ids=["tags", "skip-tags"],
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

MAIN = plays_of()[2]["tasks"][0]
VALID, *FAILED = (f"pi-{number:04}" for number in range(1, 8))
HANDLER_PLAYS: dict[str, dict[str, Any]] = {
    "not forced": play(MAIN),
    "forced": play(MAIN, force_handlers=True, **FREE),
    "rescue": play({"block": [MAIN], "rescue": [who("rescued")]}),
    "open and close": play(OPEN, NOTIFY, FAIL, CLOSE, **FREE),
    "always": play({"block": [OPEN, FAIL, who("always")], "always": [CLOSE]}),
    "the handler fails": play(MAIN, force_handlers=True),
}


def test_handlers_run_before_the_role_closes(fleet: Fleet, subtests: Any) -> None:
    """In each play another host fails. Its handlers run only with ``force_handlers`` or after a rescue, once each.

    A host that runs a task after the role has closed is opened again, and closed with the run.
    """
    fleet.write("on_the_devices.yml", [NOTIFY, FAIL])
    plays: list[dict[str, Any]] = []
    failed = dict(zip(HANDLER_PLAYS, FAILED, strict=True))
    for name, device in failed.items():
        fleet.inventory["fleet"]["hosts"][device] = {"remoteit_deviceaddress": fleet.simulator.service(device)}
        handler = raw(name, f"cat device-name; {'false' if name == 'the handler fails' else 'true'}", listen="handler")
        plays += [
            {**HANDLER_PLAYS[name], "hosts": f"{VALID}:{device}", "vars": {"fails": device}, "handlers": [handler]},
            look(fleet, f"look after {name}"),
        ]
    run = fleet.run(plays)
    assert run.rc == 2
    assert run.stdout_of("rescued") == themselves(failed["rescue"])
    for name, device in failed.items():
        with subtests.test(name):
            also_failed = name in ("forced", "rescue", "the handler fails")
            assert outputs(run, name) == [(host, host) for host in (VALID, *([device] * also_failed))]
    for name in ("not forced", "always"):
        opened = {c["connectionid"] for c in run.connections if c["device"] in (VALID, failed[name])}
        assert not opened & set(run.open_at(f"look after {name}"))
    assert {c["closed_by"] for c in run.connections} == {"stop"}
