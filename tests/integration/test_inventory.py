# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin, as ansible-inventory and ansible-playbook use it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import DEVICES, Fleet, Run, one_line, themselves, who
from documentation import BLOCKS
from support import WEB, Simulator

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "remoteit.fleet.services"
TRAP = "{{ lookup('pipe', 'touch trapped') }}"


class Account:
    """The account as ansible-inventory shows it."""

    def __init__(self, fleet: Fleet) -> None:
        state = fleet.simulator.state
        fleet.inventory = {"all": {"vars": {"ansible_python_interpreter": sys.executable}}}
        self.fleet = fleet
        self.simulator = fleet.simulator
        self.access_key = {
            "R3_ACCESS_KEY_ID": state["access_key_id"],
            "R3_SECRET_ACCESS_KEY": state["secret_access_key"],
        }
        self.keys = "\n".join(f"{name} = {value}" for name, value in self.access_key.items())
        for name in fleet.credentials:
            if not name.endswith("_URL"):
                del fleet.environ[name]
        fleet.environ |= {
            **self.access_key,
            "REMOTEIT_GRAPHQL_URL": state["graphql_url"],
            "ANSIBLE_REMOTE_USER": state["ssh_user"],
            "ANSIBLE_PRIVATE_KEY_FILE": state["ssh_private_key_file"],
        }

    @property
    def trust(self) -> str:
        """The ssh arguments that record the host keys of devices."""
        return self.fleet.host_keys["ansible_ssh_common_args"]

    def source(self, **options: Any) -> Path:
        return self.fleet.write("fleet.remoteit.yml", {"plugin": PLUGIN, **options})

    def sources(self, *all_options: dict[str, Any]) -> tuple[str, ...]:
        """Write a source for each set of options, and return the arguments that name all but the first one.

        In each source, a group named ``source_`` and its number has its hosts.
        """
        arguments: list[str] = []
        for number, options in enumerate(all_options):
            name = f"fleet{number or ''}.remoteit.yml"
            groups = {f"source_{number}": "true", **options.get("groups", {})}
            self.fleet.write(name, {"plugin": PLUGIN, **options, "groups": groups})
            arguments += ["-i", name] if number else []
        return tuple(arguments)

    def ask(self, *arguments: str, without: tuple[str, ...] = (), **environ: str) -> subprocess.CompletedProcess[str]:
        """Run ansible-inventory on the source file."""
        command = [self.fleet.ansible_playbook.replace("ansible-playbook", "ansible-inventory")]
        command += ["-i", "fleet.remoteit.yml", *arguments]
        environment = {**self.fleet.environ, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true", **environ}
        environment = {name: value for name, value in environment.items() if name not in without}
        done = subprocess.run(
            command, cwd=self.fleet.project, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        print(done.stdout, done.stderr)
        assert not self.fleet.secrets_in(done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done

    def listing(self, *arguments: str, without: tuple[str, ...] = (), **environ: str) -> Listing:
        done = self.ask("--list", *arguments, without=without, **environ)
        assert done.returncode == 0
        return Listing(json.loads(done.stdout, object_hook=bare), one_line(done.stderr))

    def refusal(self, *arguments: str, without: tuple[str, ...] = (), **environ: str) -> str:
        done = self.ask("--list", *arguments, without=without, **environ)
        assert done.returncode != 0
        return one_line(done.stderr)

    def play(self, tasks: list[dict[str, Any]], *arguments: str, hosts: str = "all") -> Run:
        """Run tasks of the controller for the hosts of the source file."""
        tasks = [task if "ansible.builtin.meta" in task else {**task, "delegate_to": "localhost"} for task in tasks]
        plays = [{"hosts": hosts, "gather_facts": False, "tasks": tasks}]
        return self.fleet.run(plays, "-i", "fleet.remoteit.yml", *arguments)


def bare(item: dict[str, Any]) -> Any:
    """Return the string in ansible-core's mark for strings that are never templates."""
    return item.get("__ansible_unsafe", item)


class Listing:
    def __init__(self, answer: dict[str, Any], stderr: str) -> None:
        self.variables = answer.pop("_meta")["hostvars"]
        self.groups = {name: set(group.get("hosts", ())) for name, group in answer.items()}
        self.stderr = stderr

    def of(self, device: str) -> dict[str, Any]:
        """The variables of the host that is this device."""
        (found,) = (host for host in self.variables.values() if host["remoteit_device"] == device)
        return found


@pytest.fixture
def account(fleet: Fleet) -> Account:
    return Account(fleet)


# -- groups and variables ----------------------------------------------------------------------------------------------


@pytest.mark.every_engine
def test_source_of_one_line_makes_groups(account: Account) -> None:
    account.simulator.device("pi-0003", online=False)
    account.fleet.write("fleet.remoteit.yml", f"plugin: {PLUGIN}\n")
    graph = account.ask("--graph").stdout
    inactive = graph.partition("@remoteit_state_inactive:")[2].partition("@")[0]
    assert inactive.split() == ["|", "|--pi-0003"]
    for group in ("@remoteit_tag_site_a:", "@remoteit_tag_site_b:", "@remoteit_tag_kiosk:", "@remoteit_state_active:"):
        assert group in graph
    assert graph.count("pi-0003") == 3  # also in remoteit_devices and at site a


@pytest.mark.every_engine
def test_variables_of_a_host(account: Account) -> None:
    account.source()
    host = account.listing().variables["pi-0001"]
    assert host.pop("ansible_connection") == "remoteit.fleet.ssh"
    assert host.pop("ansible_group_priority", 0) == 0
    assert all(name.startswith("remoteit_") for name in host)
    assert host["remoteit_deviceaddress"] == account.fleet.services[0]
    assert host["remoteit_service"] == "pi-0001-ssh"
    assert (host["remoteit_device"], host["remoteit_online"]) == ("pi-0001", True)
    assert host["remoteit_tags"] == ["site-a", "kiosk"]
    assert host["remoteit_attributes"] == {"room": "room 1", "rack": 1, "$remoteit": {"color": 1}}
    assert [service["application"] for service in host["remoteit_services"]] == [28, 7]
    assert host["remoteit_external_address"] == "203.0.113.2"
    assert host["remoteit_external_port"] == 53001
    assert host["remoteit_created"] == "2026-01-01T00:01:00Z"


def test_constructed_groups_and_variables(account: Account) -> None:
    account.source(
        compose={"ansible_user": "'pi'", "where": "remoteit_attributes.room"},
        groups={"third": "remoteit_device is search('3$')"},
        keyed_groups=[{"key": "remoteit_attributes.room", "prefix": "in"}],
        group_by=["state"],
        group_prefix="edge_",
        device=account.fleet.devices,
    )
    listing = account.listing()
    assert listing.variables["pi-0002"]["ansible_user"] == "pi"
    assert listing.variables["pi-0002"]["where"] == "room 2"
    assert listing.groups["third"] == {"pi-0003"}
    assert listing.groups["in_room_2"] == {"pi-0002"}
    assert listing.groups["edge_state_active"] == set(account.fleet.devices)
    assert not any("tag" in group for group in listing.groups)


FILTERS: list[tuple[dict[str, Any], set[int]]] = [
    ({"device": ["pi-0002", "pi-000"]}, {2}),
    ({"service": ["pi-0003-web"]}, {3}),
    ({"tags_any": ["kiosk", "site-b"], "device": ["pi-0001", "pi-0002", "pi-0003"]}, {1, 2}),
    ({"tags_all": ["kiosk", "site-b"], "device": ["pi-0001", "pi-0002", "pi-0004"]}, {4}),
    ({"state": "inactive"}, {5}),
    ({"application": ["http"], "device": ["pi-0006"]}, {6}),
    ({"application": [22]}, set()),
    ({"device": ["pi-0004", "pi-0005"]}, {4, 5}),
    ({"device": ["pi-0004", "pi-0005"], "include_offline": False}, {4}),
]


def test_source_filters_devices(account: Account, subtests: Any) -> None:
    account.simulator.device("pi-0005", online=False)
    listing = account.listing(*account.sources(*[options for options, _unused in FILTERS]))
    assert listing.groups["remoteit_state_inactive"] == {"pi-0005"}
    assert listing.variables["pi-0005"]["remoteit_deviceaddress"] == account.simulator.service("pi-0005")
    for number, (options, devices) in enumerate(FILTERS):
        with subtests.test(str(options)):
            assert listing.groups.get(f"source_{number}", set()) == {f"pi-{device:04}" for device in devices}


def test_source_chooses_the_service(account: Account) -> None:
    address = account.simulator.service
    devices = account.fleet.devices
    account.simulator.device(devices[1], services={address(devices[1]): {"enabled": False}})
    account.simulator.device(devices[2], services={address(devices[2], WEB): {"port": 2222, "application": 28}})
    choices: list[dict[str, Any]] = [
        {},
        {"use_application": ["http", "ssh"]},
        {"use_port": [2222]},
        {"use_application": [], "use_service": ["pi-0001-web"]},
    ]
    used = "remoteit_deviceaddress | default(none)"
    sources = [
        {"device": devices, **choice, "compose": {f"used_{n}": used}, "hostnames": [f"'{n}_' ~ remoteit_device"]}
        for n, choice in enumerate(choices)
    ]
    variables = account.listing(*account.sources(*sources)).variables
    chosen = [[variables[f"{n}_{device}"][f"used_{n}"] or None for device in devices] for n in range(len(choices))]
    assert chosen[0] == [address(devices[0]), None, address(devices[2])]
    assert chosen[1][:2] == [address(device, WEB) for device in devices[:2]]
    assert chosen[2] == [address(devices[0]), None, address(devices[2], WEB)]
    assert chosen[3] == [address(devices[0], WEB), None, None]


# -- names -------------------------------------------------------------------------------------------------------------


def test_devices_of_one_name_get_their_ids(account: Account) -> None:
    for device in ("pi-0001", "pi-0002"):
        account.simulator.device(device, fields={"name": "kiosk"})
    account.source()
    listing = account.listing()
    assert {"kiosk-8000000001000010", "kiosk-8000000001000020"} < set(listing.variables)
    assert "several devices are called 'kiosk'" in listing.stderr
    assert len(listing.variables) == DEVICES


@pytest.mark.every_engine
def test_names_of_devices_are_sanitized(account: Account) -> None:
    names = {
        "pi-0001": None,
        "pi-0002": "-oProxyCommand=touch trapped",
        "pi-0003": "all",
        "pi-0004": "../../a b,c:d&e!f[0]\n*",
        "pi-0005": "localhost",
        "pi-0006": "remoteit_tag_site_a",
        "pi-0007": "...",
    }
    for device, name in names.items():
        account.simulator.device(device, fields={"name": name})
    account.source()
    listing = account.listing()
    assert {
        "80-00-00-00-01-00-00-10",
        "oProxyCommand_touch_trapped",
        "all-8000000001000030",
        "a_b_c_d_e_f_0",
        "localhost-8000000001000050",
        "remoteit_tag_site_a-8000000001000060",
        "80-00-00-00-01-00-00-70",
    } < set(listing.variables)
    assert len(listing.variables) == DEVICES


def test_name_does_not_depend_on_the_state(account: Account) -> None:
    for device, online in (("pi-0001", True), ("pi-0002", False)):
        account.simulator.device(device, fields={"name": "kiosk"}, online=online)
    account.source(include_offline=False)
    listing = account.listing()
    assert "kiosk-8000000001000010" in listing.variables
    assert "kiosk" not in listing.variables
    assert len(listing.variables) == DEVICES - 1


def test_devices_of_one_name_in_two_sources(account: Account) -> None:
    organisation, name = account.simulator.state["organisation"], "hq-0001"
    account.simulator.device("pi-0001", fields={"name": name})
    account.source()
    account.fleet.write("second.remoteit.yml", {"plugin": PLUGIN, "organisation": organisation["name"]})
    listing = account.listing("-i", "second.remoteit.yml")
    assert len([host for host in listing.variables.values() if host["remoteit_device"] == name]) == 2
    assert "another source has a host called" in listing.stderr


def test_server_with_the_name_of_a_device_keeps_it(account: Account) -> None:
    """A task for the server does not run on the device."""
    directory = account.fleet.project / "inventory"
    directory.mkdir()
    server = {"ansible_host": "127.0.0.1", "ansible_port": 1}
    account.fleet.write("inventory/10-servers.yml", {"servers": {"hosts": {"pi-0001": server}}})
    account.source(device=account.fleet.devices).rename(directory / "20-fleet.remoteit.yml")
    run = account.fleet.ad_hoc("servers", "-i", "inventory", "-m", "ping")
    assert run.status("ping") == {"pi-0001": "unreachable"}
    assert not run.connections


def test_option_names_and_aliases(account: Account) -> None:
    known = account.simulator.state["organisation"]
    spellings = ({"organisation": known["name"]}, {"organization": known["name"]}, {"tag_all": ["kiosk"]})
    listing = account.listing(*account.sources(*spellings))
    assert listing.groups["source_0"] == listing.groups["source_1"]
    assert {listing.variables[host]["remoteit_owner"] for host in listing.groups["source_0"]} == {known["email"]}
    assert listing.groups["source_0"] & listing.groups["remoteit_tag_site_a"]
    assert "tag_all is not an option of this inventory plugin" in listing.stderr


def test_device_without_a_service_is_unreachable(account: Account) -> None:
    """With that reason, and not by its name, which another device may have. The others go on."""
    service = account.fleet.services[0]
    account.simulator.device("pi-0001", services={service: {"enabled": False}})
    account.simulator.device("pi-0002", fields={"name": None})
    account.source(device=["pi-0001", "pi-0003"])
    ping = ("all", "-i", "fleet.remoteit.yml", "-m", "ping")
    run = account.fleet.ad_hoc(*ping, f"--ssh-common-args={account.trust}")
    assert run.rc == 4
    assert run.status("ping") == {"pi-0001": "unreachable", "pi-0003": "ok"}
    assert "no service that Ansible may use" in run.result("ping", "pi-0001")["msg"]
    assert [entry["device"] for entry in run.connections] == ["pi-0003"]


def test_group_selects_the_connection_plugin(account: Account) -> None:
    """A task of a play that sets nothing runs on the devices; ``delegate_to`` runs one on the controller."""
    account.source(device=account.fleet.devices, set_connection=False)
    listing = account.listing()
    assert listing.groups["remoteit_devices"] == set(account.fleet.devices)
    assert not any("ansible_connection" in variables for variables in listing.variables.values())
    account.source(device=account.fleet.devices)
    tasks = [
        who(),
        {"name": "here", "ansible.builtin.raw": "printenv HOME", "delegate_to": "localhost"},
    ]
    play = {"hosts": "all", "gather_subset": ["!all"], "tasks": tasks}
    run = account.fleet.run([play], "-i", "fleet.remoteit.yml", f"--ssh-common-args={account.trust}")
    assert run.rc == 0
    assert run.stdout_of("who") == themselves(*account.fleet.devices)
    assert set(run.stdout_of("here").values()) == {str(account.fleet.home)}
    assert run.recap == "opened 3, closed 3, left open 0"


@pytest.mark.every_engine
def test_variables_of_the_user_take_precedence(account: Account) -> None:
    """Of a host, and of any group, whether its name comes before or after that of our group in the alphabet."""
    account.source(device=account.fleet.devices, keyed_groups=[{"key": "remoteit_device", "prefix": "zz"}])
    account.fleet.write("host_vars/pi-0001.yml", {"ansible_connection": "by_host"})
    account.fleet.write("group_vars/zz_pi_0002.yml", {"ansible_connection": "by_late_group"})
    account.fleet.write("group_vars/remoteit_state_active.yml", {"remoteit_hostip": "127.0.0.1"})
    account.fleet.write("early.ini", "[a_group]\npi-0003\n\n[a_group:vars]\nansible_connection=by_early_group\n")
    variables = account.listing("-i", "early.ini").variables
    assert {host: variables[host]["ansible_connection"] for host in account.fleet.devices} == {
        "pi-0001": "by_host",
        "pi-0002": "by_late_group",
        "pi-0003": "by_early_group",
    }
    assert {variables[host]["remoteit_hostip"] for host in account.fleet.devices} == {"127.0.0.1"}


def test_hostnames_are_preferred_in_their_order(account: Account) -> None:
    account.simulator.device("pi-0002", fields={"attributes": {"hostname": "lobby"}})
    account.source(device=account.fleet.devices, hostnames=["remoteit_attributes.hostname", "'___'", "service"])
    assert set(account.listing().variables) == {"pi-0001-ssh", "lobby", "pi-0003-ssh"}


# -- remote strings are data -------------------------------------------------------------------------------------------


@pytest.mark.every_engine
def test_remote_strings_are_never_templated(account: Account) -> None:
    fields = {
        "name": TRAP,
        "tags": [{"name": TRAP}, {"name": "plain"}],
        "attributes": {
            "note": TRAP,
            "deep": [{TRAP: TRAP}],
            "brace": "{",
            "rest": TRAP[1:],
            "words": TRAP[3:-3],
            "key": {TRAP: "x"},
        },
    }
    service = account.fleet.services[0]
    account.simulator.device("pi-0001", fields=fields, services={service: {"name": TRAP}})
    account.source(
        tags_all=["plain"],
        compose={
            "copied": "remoteit_attributes.note",
            "joined": "remoteit_attributes.brace ~ remoteit_attributes.rest",
            "deep": "remoteit_attributes.deep",
            "as_json": "remoteit_attributes | to_json",
            "as_string": "remoteit_attributes.key | string",
        },
        keyed_groups=[{"key": "remoteit_attributes.note", "prefix": "note"}, {"key": "remoteit_tags", "prefix": "t"}],
        groups={"odd": "remoteit_attributes.note"},
        hostnames=["remoteit_attributes.note"],
        cache=True,
        cache_plugin="ansible.builtin.jsonfile",
        cache_connection="cache",
    )
    names = ["remoteit_device", "remoteit_service", "remoteit_tags", "remoteit_attributes", "copied", "joined", "deep"]
    names += ["as_json", "as_string"]
    tasks: list[dict[str, Any]] = [
        {"name": name, "ansible.builtin.debug": {"msg": "{{ lookup('vars', '" + name + "') }}"}} for name in names
    ]
    tasks.append({"name": "used", "ansible.builtin.set_fact": {"fact": "{{ remoteit_attributes.note ~ '!' }}"}})
    tasks.append({"name": "fact", "ansible.builtin.debug": {"msg": "{{ fact }}"}})
    bare = {"when": "{{ remoteit_attributes.words }}", "ignore_errors": True}
    tasks.append({"name": "condition", "ansible.builtin.debug": {"msg": "no"}, **bare})
    for _unused in ("from the API", "from the cache"):
        run = account.play(tasks)
        assert run.rc == 0
        (said,) = {entry["host"] for entry in run.journal}
        assert run.result("remoteit_device")["msg"] == run.result("copied")["msg"] == TRAP
        assert run.result("remoteit_service")["msg"] == run.result("joined")["msg"] == TRAP
        assert run.result("remoteit_tags")["msg"] == [TRAP, "plain"]
        # engines before 2.19 forget what a key is, so such keys are left out there
        assert run.result("deep")["msg"] in ([{TRAP: TRAP}], [{}])
        assert run.result("fact")["msg"] == TRAP + "!"
        assert said == "lookup_pipe_touch_trapped"
    assert not list(account.fleet.directory.rglob("trapped"))


# -- oddities of the API -----------------------------------------------------------------------------------------------


def test_odd_device_does_not_end_the_run(account: Account) -> None:
    odd = {"tags": None, "attributes": None, "services": None, "owner": None, "endpoint": None, "created": "yesterday"}
    account.simulator.device("pi-0001", fields=odd)
    account.simulator.device("pi-0002", fields={"id": "80:nonsense"})
    # a boolean is not a group name in any version of ansible-core
    key = "'none' if remoteit_attributes.rack is undefined else remoteit_attributes.rack == 3 or 'some'"
    account.source(keyed_groups=[{"key": key, "prefix": "rack"}])
    listing = account.listing()
    assert len(listing.variables) == DEVICES - 1
    assert "remoteit_deviceaddress" not in listing.variables["pi-0001"]
    assert listing.groups["rack_none"] == {"pi-0001"}
    assert "skipped a device without a valid ID: 'pi-0002'" in listing.stderr
    assert "host pi-0003 is not in all of its constructed groups: Invalid group name format" in listing.stderr


def test_failed_request_names_the_source(account: Account) -> None:
    account.simulator.inject_fault(call="list", fault="html", status=404)
    account.source()
    refusal = account.refusal()
    assert f"{account.fleet.project}/fleet.remoteit.yml" in refusal
    assert "HTML page" in refusal


def test_source_reads_all_pages(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, engine: Path) -> None:
    """Although a device vanishes between two pages."""
    simulator = Simulator(tmp_path_factory.mktemp("large"), "--devices", "2001")
    try:
        simulator.settings(vanishing_devices=True)
        with tempfile.TemporaryDirectory(prefix="rf-", dir="/tmp") as runtime:
            fleet = Fleet(simulator, tmp_path, Path(runtime), "graphql")
            fleet.ansible_playbook = str(engine)
            account = Account(fleet)
            account.source()
            listing = account.listing()
    finally:
        simulator.end()
    assert set(listing.variables) == {f"pi-{number:04}" for number in range(1, 2002)}


def test_source_without_the_library_requests(account: Account) -> None:
    account.source()
    account.fleet.write("broken/requests.py", "raise ImportError('there is no requests')\n")
    refusal = account.refusal(PYTHONPATH=str(account.fleet.project / "broken"))
    assert "the Python library requests is needed" in refusal


def test_wrong_option_is_reported(account: Account) -> None:
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"application": ["sssh"]}, "unknown application 'sssh'"),
        ({"organisation": ""}, "organisation is empty"),
        ({"state": "inactive", "include_offline": False}, "leave nothing to list"),
        ({"token": "x", "access_key_id": "y", "secret_access_key": "z"}, "mix two sets of credentials"),
        ({"timeout": 0}, "timeout must be at least 1"),
        ({"timeout": 181}, "timeout must be at most 180 seconds"),
        ({"token": "not-a-token", "developer_key": "not-a-key"}, "api key failed validation"),  # before the environment
        ({"organisation": "Nobody's"}, "not a member of an organization"),
        ({"device": ["pi-0001"], "hostnames": ["remoteit_attributes.hostname"], "strict": True}, "attributes.hostname"),
    ]
    state = account.simulator.state
    rest = {"token": state["token"], "developer_key": state["developer_key"]}
    for option in ({"tags_any": ["kiosk"]}, {"organisation": "Somebody"}):
        mistakes.append(({**option, **rest}, "use an access key instead of the token"))
    others = account.sources(*[options for options, _unused in mistakes])
    listing = account.listing(*others, ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="false")
    assert listing.variables == {}
    for _unused, message in mistakes:
        assert message in listing.stderr
    assert listing.stderr.count("use an access key instead of the token") >= 2


@pytest.mark.every_engine
def test_template_that_is_not_evaluated_is_refused(account: Account, subtests: Any) -> None:
    """Before the first request. It would be a filter that matches no device."""
    template = "{{ lookup('ansible.builtin.env', 'HOME') }}"
    for name in ("device", "service", "application", "tags_any", "tags_all", "use_service", "hostnames"):
        with subtests.test(name):
            account.source(**{name: [template]})
            assert f"the option {name} contains a template" in account.refusal()
    for name in ("organization", "group_prefix", "cache_connection", "credentials_file"):
        with subtests.test(name):
            account.source(**{name: template})
            assert f"the option {name} contains a template" in account.refusal()
    assert not account.simulator.requests()


# -- credentials -------------------------------------------------------------------------------------------------------

KEYS = ("R3_ACCESS_KEY_ID", "R3_SECRET_ACCESS_KEY")
#: In a credentials file.
ANOTHERS_KEYS = "R3_ACCESS_KEY_ID = another\nR3_SECRET_ACCESS_KEY = c2VjcmV0\n"


def test_source_uses_rest_credentials(account: Account) -> None:
    """They are those of a login."""
    names = {
        "REMOTEIT_USERNAME": "username",
        "REMOTEIT_PASSWORD": "password",
        "REMOTEIT_DEVELOPER_KEY": "developer_key",
    }
    account.source()
    listing = account.listing(without=KEYS, **{name: account.simulator.state[key] for name, key in names.items()})
    assert listing.variables["pi-0001"]["remoteit_deviceaddress"] == account.fleet.services[0]
    assert len(listing.groups["remoteit_state_active"]) == len(listing.variables) == DEVICES
    assert not any("tag" in group for group in listing.groups)


def test_refused_login_is_not_repeated(account: Account) -> None:
    """Neither for another source, nor by ``auto``, which runs the plugin again. Another password is another login."""
    state = account.simulator.state
    wrong = {"username": state["username"], "password": "wrong", "developer_key": state["developer_key"]}
    others = account.sources(wrong, wrong, {**wrong, "password": "wrong too"})
    settings = {"ANSIBLE_INVENTORY_ENABLED": f"{PLUGIN},auto,yaml", "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "false"}
    assert not account.listing(*others, **settings).variables
    assert len(account.simulator.requests("login")) == 2


@pytest.mark.every_engine
def test_source_templates_credentials(account: Account) -> None:
    lookup = "{{ lookup('ansible.builtin.env', "
    account.source(access_key_id=f"{lookup}name_of_it) }}}}", secret_access_key=f"{lookup}'ELSEWHERE') }}}}")
    values = dict(zip(("THE_ID", "ELSEWHERE"), account.access_key.values(), strict=True))
    assert len(account.listing("-e", "name_of_it=THE_ID", without=KEYS, **values).variables) == DEVICES


# -- cache -------------------------------------------------------------------------------------------------------------

CACHE = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": "cache"}


@pytest.mark.every_engine
def test_cache_needs_no_api_until_it_is_flushed(account: Account) -> None:
    account.source(**CACHE)
    before = account.listing()
    account.simulator.device("pi-0002", gone=True)
    sent = len(account.simulator.requests())
    account.fleet.write("broken/requests.py", "raise ImportError('there is no requests')\n")
    after = account.listing(without=KEYS, PYTHONPATH=str(account.fleet.project / "broken"))
    assert (after.groups, after.variables) == (before.groups, before.variables)
    assert len(account.simulator.requests()) == sent
    show = [{"name": "hosts", "ansible.builtin.debug": {"msg": "{{ groups.all }}"}, "run_once": True}]
    assert "pi-0002" not in account.play(show, "--flush-cache").result("hosts")["msg"]
    assert "pi-0002" not in account.listing(without=KEYS).variables


def test_refresh_inventory_ignores_the_cache(account: Account) -> None:
    account.source(**CACHE, device=account.fleet.devices)
    account.listing()
    run = account.play(
        [
            {"name": "before", "ansible.builtin.debug": {"msg": "{{ groups.all | sort }}"}, "run_once": True},
            account.fleet.post("gone", "devices", {"name": "pi-0002", "gone": True}),
            {"ansible.builtin.meta": "refresh_inventory"},
            {"name": "after", "ansible.builtin.debug": {"msg": "{{ groups.all | sort }}"}, "run_once": True},
        ]
    )
    assert run.result("before")["msg"] == account.fleet.devices
    assert run.result("after")["msg"] == ["pi-0001", "pi-0003"]


def test_cache_repeats_warnings(account: Account) -> None:
    """Of a device that cannot be used. An incomplete listing is not kept."""
    account.simulator.device("pi-0002", fields={"id": "80:nonsense"})
    account.source(**CACHE)
    path = ["login", "devices", "items", 0, "tags"]
    incomplete = {"errors": [{"message": "half of it is missing", "path": path}]}
    account.simulator.inject_fault(call="list", fault="body", override=incomplete)
    stderr = [account.listing().stderr for _unused in range(3)]
    assert all("without a valid ID: 'pi-0002'" in text for text in stderr)
    assert ["half of it is missing" in text for text in stderr] == [True, False, False]
    assert len(account.simulator.requests("list")) == 2


def test_cache_depends_on_filters_and_has_no_secret(account: Account) -> None:
    account.source(**CACHE)
    assert len(account.listing().variables) == DEVICES
    account.source(**CACHE, device=["pi-0001"])
    assert set(account.listing().variables) == {"pi-0001"}
    account.source(**CACHE, device=["pi-0001"], hostnames=["id"])  # changes nothing of what is fetched
    assert set(account.listing(without=KEYS).variables) == {"80_00_00_00_01_00_00_10"}
    other = {"R3_ACCESS_KEY_ID": "another-users"}
    assert "signed request" in account.refusal(**other)
    files = list((account.fleet.project / "cache").iterdir())
    assert len(files) == 2
    for path in files:
        found = [value for value in account.access_key.values() if value in path.name + path.read_text()]
        assert not found


@pytest.mark.every_engine
def test_cache_of_something_else_is_ignored(account: Account) -> None:
    """Before ansible-core 2.19 a title that is no text was a traceback."""
    account.source(**CACHE)
    account.listing()
    (path,) = (account.fleet.project / "cache").iterdir()
    title, count = re.subn(r'(\\+")SSH(\\+")', r"[\1SSH\2]", path.read_text())
    assert count
    damaged = (title[: len(title) // 2], "")
    for text in (json.dumps("[1, 2, 3]"), title, *damaged):
        path.write_text(text)
        assert len(account.listing().variables) == DEVICES
    assert len(account.simulator.requests("list")) == 5


def test_cache_depends_on_the_account(account: Account) -> None:
    """Credentials of a file, with another developer key in the environment, and of a profile whose name is templated.

    A source with credentials that are templated, and valid once, is read from the cache.
    """
    path = account.fleet.write("credentials", f"[DEFAULT]\n{account.keys}\n[ours]\n{account.keys}\n")
    file = {**CACHE, "credentials_file": str(path)}
    profile = {**file, "profile": "{{ lookup('ansible.builtin.env', 'CUSTOMER') }}"}
    options = {
        name.lower().removeprefix("r3_"): f"{{{{ lookup('ansible.builtin.env', 'MY_{name}') }}}}" for name in KEYS
    }
    others = account.sources(file, profile, {**CACHE, **options})
    mine = {f"MY_{name}": value for name, value in account.access_key.items()}
    first = account.listing(*others, without=KEYS, CUSTOMER="ours", R3_DEVELOPER_API_KEY="a-developer-key", **mine)
    assert len(first.groups["source_2"]) == DEVICES
    path.write_text(f"[DEFAULT]\n{ANOTHERS_KEYS}[theirs]\n{ANOTHERS_KEYS}")
    unparsed = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "false"}
    second = account.listing(
        *others, without=KEYS, CUSTOMER="theirs", R3_DEVELOPER_API_KEY="a-developer-key", **unparsed
    )
    assert {name: len(hosts) for name, hosts in second.groups.items() if name.startswith("source")} == {
        "source_2": DEVICES
    }
    assert second.stderr.count("signed request") >= 2  # ansible-core 2.21 repeats it


# -- the documentation -------------------------------------------------------------------------------------------------


def sources(text: str) -> dict[str, dict[str, Any]]:
    """The source files in a plugin's examples, by their names."""
    found = re.findall(r"^# (\w+\.remoteit\.yml)(.*?)(?=^---|\"\"\")", text, re.DOTALL | re.MULTILINE)
    return {name: yaml.safe_load(f"#{content}") for name, content in found}


PLUGINS_FILE = ROOT / "plugins" / "inventory" / "services.py"
EXAMPLES: dict[tuple[str, str], dict[str, Any]] = {
    **{("plugin", name): options for name, options in sources(PLUGINS_FILE.read_text()).items()},
    **{
        (block.page, block.title): block.data
        for block in BLOCKS
        if not block.name and str(block.title).endswith("remoteit.yml")
    },
}


def test_examples_of_sources(account: Account) -> None:
    for options in EXAMPLES.values():
        if "organisation" in options:
            options["organisation"] = account.simulator.state["organisation"]["name"]
    listing = account.listing(*account.sources(*EXAMPLES.values()))
    assert {f"source_{number}" for number in range(len(EXAMPLES))} <= set(listing.groups)
    assert "WARNING" not in listing.stderr


def test_documentation_has_no_other_source() -> None:
    texts = [PLUGINS_FILE.read_text(), *(block.code for block in BLOCKS if not block.name)]
    assert sum(len(re.findall(rf"^plugin: {PLUGIN}$", text, re.MULTILINE)) for text in texts) == len(EXAMPLES)
