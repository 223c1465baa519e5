# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role: what becomes of the hosts of a play, and of their connections."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from conftest import Fleet
from support import WEB

WHO: list[dict[str, Any]] = [{"name": "who", "ansible.builtin.raw": "cat device-name"}]


@pytest.mark.each_api
def test_all_succeed(fleet: Fleet) -> None:
    """Ordinary tasks: facts, a file, a handler; and a later play finds everything closed."""
    fleet.environ["ANSIBLE_PIPELINING"] = "0"
    fleet.write("on_the_devices.yml", """\
        - {name: who, ansible.builtin.command: cat device-name, changed_when: false}
        - name: fact
          ansible.builtin.debug: {msg: "{{ ansible_facts.env.HOME }} {{ remoteit_connection.deviceaddress }}"}
        - name: copy
          ansible.builtin.copy: {content: "of {{ inventory_hostname }}\\n", dest: own.conf}
          notify: restart
        """)  # fmt: skip
    run = fleet.run(f"""\
        - hosts: fleet
          gather_facts: false
          roles:
            - role: remoteit.fleet.remoteit_session
              vars:
                remoteit_session_tasks: on_the_devices.yml
                remoteit_session_gather_facts: true
          handlers:
            - {{name: restart, ansible.builtin.command: touch restarted}}
        - hosts: fleet
          gather_facts: false
          tasks:
            - name: afterwards
              ansible.builtin.uri: {{url: "{fleet.simulator.state["control_url"]}/connections"}}
              delegate_to: localhost
              run_once: true
            - {{name: the fact afterwards, ansible.builtin.debug: {{msg: "{{{{ remoteit_connection | length }}}}"}}}}
        """)
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices}
    for device, service in zip(fleet.devices, fleet.services, strict=True):
        home = fleet.simulator.home(device)
        assert run.result("fact", device)["msg"] == f"{home} {service}"
        assert (home / "own.conf").read_text() == f"of {device}\n"
        assert (home / "restarted").exists()
        assert int(run.result("the fact afterwards", device)["msg"]) == 0
    seen = {c["connectionid"]: c["open"] for c in run.result("afterwards")["json"]}
    assert [seen[c["connectionid"]] for c in run.connections] == [False] * 3
    assert sorted(c["deviceaddress"] for c in run.connections) == fleet.services
    assert {c["closed_by"] for c in run.connections} == {"stop"}
    assert run.recap == "opened 3, closed 3, left open 0"
    assert fleet.ledgers() == []


@pytest.mark.parametrize("failing", [["pi-0002"], ["pi-0001", "pi-0002", "pi-0003"]], ids=["one", "all"])
@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_a_task_fails(fleet: Fleet, failing: list[str], strategy: str) -> None:
    run = fleet.session(
        """\
        - {name: fail, ansible.builtin.raw: "false", when: inventory_hostname in failing}
        - {name: who, ansible.builtin.raw: cat device-name}
        """,
        "-e", str({"failing": failing}),
        play={"strategy": strategy},
    )  # fmt: skip
    assert run.rc == 2
    assert sorted(run.failures()) == failing
    well = [device for device in fleet.devices if device not in failing]
    assert run.stdout_of("who") == {device: device for device in well}
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 3
    assert run.recap == "opened 3, closed 3, left open 0"


@pytest.mark.each_api
@pytest.mark.parametrize("strategy", ["linear", "free"])
@pytest.mark.parametrize("on_failure", ["fail", "skip"])
def test_a_device_is_offline(fleet: Fleet, on_failure: str, strategy: str) -> None:
    fleet.simulator.device("pi-0002", online=False)
    run = fleet.session(
        [*WHO, {"name": "failures", "ansible.builtin.debug": {"msg": "{{ remoteit_session_failures }}"}}],
        play={
            "strategy": strategy,
            "post_tasks": [{"name": "later", "ansible.builtin.debug": {"msg": "{{ ansible_play_hosts }}"}}],
        },
        remoteit_session_on_failure=on_failure,
    )
    assert run.rc == {"fail": 2, "skip": 0}[on_failure]
    assert run.stdout_of("who") == {device: device for device in ("pi-0001", "pi-0003")}
    assert sorted(run.status("later")) == ["pi-0001", "pi-0003"]
    if on_failure == "fail":
        assert list(run.failures()) == ["pi-0002"]
        assert "inactive" in run.failures()["pi-0002"]
        assert fleet.services[1] in run.failures()["pi-0002"]
    if strategy == "linear":
        failures = run.result("failures", "pi-0001")["msg"]
        assert list(failures) == ["pi-0002"]
        assert failures["pi-0002"]["code"] == "offline"
        assert failures["pi-0002"]["deviceaddress"] == fleet.services[1]
        assert "inactive" in failures["pi-0002"]["message"]
    assert len(run.connections) == 2
    if strategy == "linear":
        assert len([request for request in run.requests if request["call"] == "connect"]) == 3


def test_an_offline_device_is_asked_for_once_without_a_common_step(fleet: Fleet) -> None:
    fleet.simulator.device("pi-0002", online=False)
    run = fleet.session(WHO, play={"strategy": "free"})
    asked = [request["deviceaddress"] for request in run.requests if request["call"] == "connect"]
    assert sorted(asked) == fleet.services


def test_all_devices_are_offline(fleet: Fleet) -> None:
    for device in fleet.devices:
        fleet.simulator.device(device, online=False)
    run = fleet.session(WHO)
    assert run.rc == 2
    assert sorted(run.failures()) == fleet.devices
    assert run.connections == []
    skipped = fleet.session(WHO, remoteit_session_on_failure="skip")
    assert skipped.rc == 0
    assert skipped.status("who") == {}


@pytest.mark.every_engine
@pytest.mark.parametrize("keywords", [{}, {"serial": 1}, {"strategy": "free"}], ids=["all", "serial", "free"])
@pytest.mark.parametrize("offline", ["pi-0002", "none"])
def test_open_leaves_out_who_is_offline_and_nobody_else(fleet: Fleet, offline: str, keywords: dict[str, Any]) -> None:
    """In whichever batch; without a session its tasks would run on another device."""
    fleet.inventory["fleet"]["vars"] |= {**fleet.plain_way("pi-0005"), "remoteit_session_on_failure": "skip"}
    fleet.simulator.device("pi-0002", online=offline != "pi-0002")
    tasks = [{"import_role": {"name": "remoteit.fleet.remoteit_session", "tasks_from": "open"}}, *WHO]
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, "tasks": tasks, **keywords}])
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices if device != offline}


@pytest.mark.each_api
def test_two_services_of_a_device_and_a_web_service(fleet: Fleet) -> None:
    """Each host gets its own; that of the web service its URL, which answers over HTTPS while the session is open."""
    fleet.simulator.settings(web_host="127.0.0.1")
    ssh, web = fleet.services[0], fleet.simulator.service("pi-0001", WEB)
    hosts = {"shell": {"remoteit_deviceaddress": ssh}, "site": {"remoteit_deviceaddress": web}}
    fleet.inventory["fleet"]["hosts"] = hosts
    run = fleet.session(
        f"""\
        - {{name: who, ansible.builtin.raw: cat device-name, when: not remoteit_connection.reverse_proxy}}
        - {{name: connection, ansible.builtin.debug: {{msg: "{{{{ remoteit_connection }}}}"}}}}
        - name: get
          ansible.builtin.uri:
            url: "{{{{ remoteit_connection.proxy }}}}"
            ca_path: {fleet.simulator.state["ca_file"]}
            return_content: true
          delegate_to: localhost
          when: remoteit_connection.reverse_proxy
        """
    )
    assert run.rc == 0
    assert run.result("who", "shell")["stdout"].strip() == "pi-0001"
    entry = run.result("connection", "site")["msg"]
    assert (entry["scheme"], entry["restriction"], entry["reverse_proxy"]) == ("https", "public", True)
    assert entry["proxy"].startswith("https://127.0.0.1")
    got = run.result("get", "site")
    assert got["status"] == 200
    assert "pi-0001" in got["content"]
    assert sorted(c["deviceaddress"] for c in run.connections) == sorted([ssh, web])
    with pytest.raises(requests.ConnectionError):
        requests.get(entry["proxy"], verify=fleet.simulator.state["ca_file"], timeout=5)


def test_two_hosts_with_the_same_service_share_its_connection(fleet: Fleet) -> None:
    service = fleet.services[0]
    hosts = {"upper": {"remoteit_deviceaddress": service}, "same": {"remoteit_deviceaddress": service.lower()}}
    fleet.inventory["fleet"]["hosts"] = hosts
    run = fleet.session(WHO)
    assert run.rc == 0
    assert run.stdout_of("who") == {"upper": "pi-0001", "same": "pi-0001"}
    assert len(run.connections) == 1


@pytest.mark.parametrize("strategy", ["linear", "free", "host_pinned"])
def test_each_service_is_asked_for_once(fleet: Fleet, strategy: str) -> None:
    run = fleet.session(WHO, play={"strategy": strategy})
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices}
    asked = [request["deviceaddress"] for request in run.requests if request["call"] == "connect"]
    assert sorted(asked) == fleet.services
    stopped = [request["deviceaddress"] for request in run.requests if request["call"] == "stop"]
    assert sorted(stopped) == fleet.services


def test_open_before_roles_of_ones_own_and_nobody_closes(fleet: Fleet) -> None:
    """The shape that most users write. Opened twice, it is opened once."""
    opening = {"include_role": {"name": "remoteit.fleet.remoteit_session", "tasks_from": "open"}, "tags": ["always"]}
    fleet.write("roles/own/tasks/main.yml", [{"name": "role", "ansible.builtin.command": "cat device-name"}])
    run = fleet.run(
        [
            {
                "hosts": "fleet",
                "gather_facts": False,
                "pre_tasks": [opening, opening, {"name": "facts", "ansible.builtin.setup": {"gather_subset": "!all"}}],
                "roles": ["own"],
                "post_tasks": [opening],
            },
            {"hosts": "fleet", "gather_facts": False, "tasks": WHO},
        ]
    )
    assert run.rc == 0
    assert run.stdout_of("role") == run.stdout_of("who") == {device: device for device in fleet.devices}
    assert len(run.connections) == 3
    assert {c["closed_by"] for c in run.connections} == {"stop"}
    assert run.recap == "opened 3, closed 3, left open 0"


@pytest.mark.each_api
def test_open_again_replaces_what_has_died(fleet: Fleet) -> None:
    opening = {"include_role": {"name": "remoteit.fleet.remoteit_session", "tasks_from": "open"}}
    idle = {
        "name": "a long pause",
        "ansible.builtin.uri": {
            "url": fleet.simulator.state["control_url"] + "/clock",
            "method": "POST",
            "body_format": "json",
            "body": {"advance": 30000},
        },
        "delegate_to": "localhost",
        "run_once": True,
    }
    run = fleet.run([{"hosts": "fleet", "gather_facts": False, "tasks": [opening, idle, opening, *WHO]}])
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices}
    assert len(run.connections) == 6
    assert {c["closed_by"] for c in run.connections[:3]} <= {"idle", "expired"}
    assert {c["closed_by"] for c in run.connections[3:]} == {"stop"}


def test_a_host_without_a_service_is_named_before_any_request(fleet: Fleet) -> None:
    fleet.inventory["fleet"]["hosts"]["pi-0002"] = {}
    run = fleet.session(WHO)
    assert run.rc == 2
    assert run.requests == []
    assert any("remoteit_deviceaddress" in reason and "pi-0002" in reason for reason in run.failures().values())
    assert run.status("who") == {}
    fleet.inventory["fleet"]["hosts"]["pi-0002"] = {"remoteit_deviceaddress": "80:00"}
    wrong = fleet.session(WHO)
    assert wrong.requests == []
    assert any("80:00" in reason and "pi-0002" in reason for reason in wrong.failures().values())


@pytest.mark.parametrize("address", [None, "80:00"])
def test_without_a_common_step_a_host_without_a_service_fails_alone(fleet: Fleet, address: str | None) -> None:
    fleet.inventory["fleet"]["hosts"]["pi-0002"] = {"remoteit_deviceaddress": address}
    run = fleet.session(WHO, play={"strategy": "free"})
    assert run.rc == 2
    assert list(run.failures()) == ["pi-0002"]
    assert "remoteit_deviceaddress" in run.failures()["pi-0002"]
    assert run.stdout_of("who") == {device: device for device in ("pi-0001", "pi-0003")}
    assert sorted(r["deviceaddress"] for r in run.requests if r["call"] == "connect") == fleet.services[::2]


def test_a_device_that_accepts_and_never_answers_is_a_failed_host(fleet: Fleet) -> None:
    fleet.simulator.device("pi-0002", hang=True)
    fleet.environ["ANSIBLE_TIMEOUT"] = "5"
    run = fleet.session(WHO, remoteit_session_wait_timeout=10)
    assert run.rc == 2
    assert "unreachable" not in {entry["status"] for entry in run.journal}
    assert list(run.failures()) == ["pi-0002"]
    assert "10 seconds" in run.failures()["pi-0002"]
    assert "remoteit_session_wait_timeout" in run.failures()["pi-0002"]
    assert run.stdout_of("who") == {device: device for device in ("pi-0001", "pi-0003")}
    assert len(run.connections) == 3


def test_a_device_that_appears_while_the_role_waits(fleet: Fleet) -> None:
    """Dropped at first; it comes back when the test sees the first attempt arrive."""
    fleet.simulator.device("pi-0002", drop=True)

    def come_back() -> None:
        if any(entry["uses"] for entry in fleet.simulator.connections(fleet.services[1])[-1:]):
            fleet.simulator.device("pi-0002", drop=False)

    before = len(fleet.simulator.connections(fleet.services[1]))
    fleet.write("on_the_devices.yml", WHO)
    role = {"role": "remoteit.fleet.remoteit_session", "vars": {"remoteit_session_tasks": "on_the_devices.yml"}}
    run = fleet.run(
        [{"hosts": "fleet", "gather_facts": False, "roles": [role]}],
        while_running=lambda: come_back() if len(fleet.simulator.connections(fleet.services[1])) > before else None,
    )
    assert run.rc == 0
    assert run.stdout_of("who") == {device: device for device in fleet.devices}


def test_a_wait_of_zero_seconds_does_not_ask(fleet: Fleet) -> None:
    fleet.record_ssh()
    run = fleet.session([{"name": "nothing", "ansible.builtin.debug": {"msg": ""}}], remoteit_session_wait_timeout=0)
    assert run.rc == 0
    assert run.ssh_calls == []


@pytest.mark.each_api
def test_a_connection_that_cannot_be_closed_makes_the_run_red(fleet: Fleet) -> None:
    fleet.simulator.fault(fleet.services[1], call="stop", fault="http", status=500, times="always")
    run = fleet.session(WHO, leaves_open=1)
    assert run.rc == 2
    assert run.stdout_of("who") == {device: device for device in fleet.devices}
    (still,) = (c for c in run.connections if c["open"])
    assert any(still["connectionid"] in reason for reason in run.failures().values())
    assert still["connectionid"] in run.stderr
    assert run.recap == "opened 3, closed 2, left open 1"
    assert len(fleet.ledgers()) == 1


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_a_connection_that_cannot_be_closed_makes_the_run_red_even_if_errors_are_ignored(
    fleet: Fleet, strategy: str
) -> None:
    fleet.simulator.fault(fleet.services[1], call="stop", fault="http", status=500, times="always")
    run = fleet.session(WHO, play={"ignore_errors": True, "strategy": strategy}, leaves_open=1)
    assert run.rc == 2
    assert any("could not be closed" in reason for reason in run.failures().values())


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_a_time_limit_for_the_tasks_of_the_play_is_none_for_the_session(fleet: Fleet, strategy: str) -> None:
    fleet.simulator.settings(latency=2.5, stop_latency=2.5)
    slow = [{"name": "slow", "ansible.builtin.raw": "sleep 30"}]
    run = fleet.session([*WHO, *slow], play={"timeout": 2, "strategy": strategy})
    assert run.rc == 2
    assert run.stdout_of("who") == {device: device for device in fleet.devices}
    assert set(run.status("slow").values()) == {"failed"}
    assert [c["closed_by"] for c in run.connections] == ["stop"] * 3


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_public_proxies_are_warned_of_once(fleet: Fleet, strategy: str) -> None:
    fleet.simulator.settings(web_host="127.0.0.1")
    web = {"remoteit_deviceaddress": fleet.simulator.service("pi-0001", WEB), "remoteit_session_hostip": "127.0.0.1"}
    more = {"remoteit_deviceaddress": fleet.simulator.service("pi-0002", WEB), "remoteit_session_hostip": "127.0.0.1"}
    fleet.inventory["fleet"]["hosts"] |= {"site": web, "more": more}
    public = {"remoteit_session_hostip": "0.0.0.0", "remoteit_session_wait_timeout": 0}
    fleet.inventory["fleet"]["vars"] |= public
    run = fleet.session([{"name": "nothing", "ansible.builtin.debug": {"msg": ""}}], play={"strategy": strategy})
    assert run.rc == 0
    assert run.text.count("remoteit_session_hostip 0.0.0.0 opens the proxy to everyone") == 1
    assert run.text.count("remoteit_session_hostip does not protect a reverse proxy") == 1


@pytest.mark.each_api
def test_public_and_other_addresses_are_sent(fleet: Fleet, subtests: Any) -> None:
    for hostip, restriction in {"0.0.0.0": "public", "255.255.255.255": "latching", "127.0.0.1": "address"}.items():
        with subtests.test(hostip):
            run = fleet.session(
                [{"name": "fact", "ansible.builtin.debug": {"msg": "{{ remoteit_connection.restriction }}"}}, *WHO],
                remoteit_session_hostip=hostip,
            )
            assert run.rc == 0
            assert {request["hostip"] for request in run.requests if request["call"] == "connect"} == {hostip}
            assert {result["msg"] for result in run.results("fact").values()} == {restriction}
            assert run.stdout_of("who") == {device: device for device in fleet.devices}
    refused = fleet.session(WHO, remoteit_session_hostip="255.255.255.25")
    assert refused.rc == 2
    assert refused.requests == []
