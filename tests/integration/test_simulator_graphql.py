# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GraphQL side of the simulator behaves as the vendor's documents describe, and as the other tests need it."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from graphql import (
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    build_schema,
    get_named_type,
    is_required_argument,
)
from support import SSH, TIMEOUT, Simulator

FOUR = "(request-target) host date content-type"
FIVE = f"{FOUR} content-length"
OTHER = "other@example.com"

CONNECT = """
mutation ($service: String!, $hostIP: String, $type: ProxyType) {
  connect(serviceId: $service, hostIP: $hostIP, type: $type) { id created host port url reverseProxy timeout }
}"""
DISCONNECT = """
mutation ($id: String!, $service: String) { disconnect(connectionId: $id, serviceId: $service) }"""
DEVICES = """
query ($size: Int, $from: Int, $sort: String! = "name", $state: String, $name: String, $id: [String!],
       $application: [Int!], $owner: Boolean, $tag: ListFilter, $platform: [Int!], $hardwareId: String) {
  login { devices(size: $size, from: $from, sort: $sort, state: $state, name: $name, id: $id,
                  application: $application, owner: $owner, tag: $tag, platform: $platform, hardwareId: $hardwareId) {
    total hasMore last
    items { id name state tags { name } services { id name application state } }
  } }
}"""
SESSIONS = """
fragment session on Session {
  id timestamp connected user { id email } target { id name application device { id name } } endpoint { proxy }
}
{ login { id sessions { ...session } } }"""


def signed(keyid: str, secret: str, url: str, body: bytes, date: str, names: str = FOUR) -> dict[str, str]:
    """Return the headers of a POST, as https://docs.remote.it/developer-tools/authentication describes them."""
    place = urlsplit(url)
    values = {
        "(request-target)": f"post {place.path}",
        "host": place.netloc,
        "date": date,
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    text = "\n".join(f"{name}: {values[name]}" for name in names.split())
    signature = base64.b64encode(hmac.digest(base64.b64decode(secret), text.encode(), "sha256")).decode()
    parameters = f'keyId="{keyid}",algorithm="hmac-sha256",headers="{names}",signature="{signature}"'
    return {"Date": date, "Content-Type": "application/json", "Authorization": f"Signature {parameters}"}


class Client(Simulator):
    """Sends queries of GraphQL with the access key of the account."""

    def headers(self, url: str, body: bytes, names: str = FOUR, ago: float = 0, zone: str = "GMT") -> dict[str, str]:
        date = formatdate(time.time() - ago, usegmt=True).replace("GMT", zone)
        return signed(self.state["access_key_id"], self.state["secret_access_key"], url, body, date, names)

    def post(self, query: str, variables: dict[str, Any] | None = None, **form: Any) -> requests.Response:
        url = self.state["graphql_url"]
        body = json.dumps({"query": query, "variables": variables}).encode()
        return requests.post(url, data=body, headers=self.headers(url, body, **form), timeout=30)

    def query(self, query: str, **variables: Any) -> dict[str, Any]:
        """Return the data of a response that has to be a success."""
        response = self.post(query, variables).json()
        assert "errors" not in response, response
        return response["data"]

    def error(self, query: str, **variables: Any) -> str:
        """Return the message of a response that has to be a failure, without data."""
        response = self.post(query, variables)
        assert response.status_code == 200
        assert response.json().get("data") is None
        return response.json()["errors"][0]["message"]

    def devices(self, **filters: Any) -> dict[str, Any]:
        return self.query(DEVICES, **filters)["login"]["devices"]

    def names(self, **filters: Any) -> list[str | None]:
        return [device["name"] for device in self.devices(**filters)["items"]]

    def opened(self, service: str, **more: Any) -> dict[str, Any]:
        return self.query(CONNECT, service=service, **more)["connect"]

    def rest(self, path: str, body: dict[str, Any], **changes: str | None) -> requests.Response:
        """Send a signed request of REST."""
        url = self.state["api_url"] + path
        data = json.dumps(body).encode()
        headers = {**self.headers(url, data), "developerkey": self.state["developer_key"], **changes}
        return requests.post(url, data=data, headers=headers, timeout=30)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    client = Client(tmp_path_factory.mktemp("sim"), "--devices", "23")
    yield client
    client.end()


@pytest.fixture
def sim(shared: Client) -> Client:
    shared.reset()
    return shared


# -- signatures --------------------------------------------------------------------------------------------------------


def test_signature_is_accepted(sim: Client) -> None:
    login = {"id": sim.state["account_id"], "email": sim.state["username"]}
    for zone in ("GMT", "UTC"):
        for names in (FOUR, FIVE, "date", "content-type date"):
            assert sim.post("{ login { id email } }", names=names, zone=zone).json() == {"data": {"login": login}}
    for zone in ("CEST", "+0200", ""):
        response = sim.post("{ login { id } }", zone=zone)
        assert (response.status_code, response.json()["code"]) == (401, "INVALID_AUTH")


def replace(old: str, new: str) -> Callable[[Client, dict[str, str]], None]:
    """Return a function that changes the header with the signature."""
    return lambda sim, headers: headers.update(Authorization=headers["Authorization"].replace(old, new))


def sign(**form: Any) -> Callable[[Client, dict[str, str]], None]:
    """Return a function that signs in another way."""
    return lambda sim, headers: headers.update(sim.headers(sim.state["graphql_url"], b"", **form))


INVALID: dict[str, Callable[[Client, dict[str, str]], Any]] = {
    "no signature": lambda sim, headers: headers.pop("Authorization"),
    "another key": replace("keyId=", "keyId=X"),
    "another signature": replace('signature="', 'signature="A'),
    "another algorithm": replace("hmac-sha256", "rsa-sha256"),
    "another content type": lambda sim, headers: headers.update({"Content-Type": "text/plain"}),
    "another host": lambda sim, headers: headers.update(Host="other.example.com"),
    "another path": lambda sim, headers: headers.update(sim.headers(sim.state["graphql_url"] + "x", b"")),
    "date is not signed": sign(names="host content-type"),
    "too old": sign(ago=310),
    "too new": sign(ago=-310),
    "disabled": lambda sim, headers: sim.settings(access_key=False),
    "only a token": lambda sim, headers: headers.update(Authorization="", token=sim.state["token"]),
}


def test_signature_is_refused(sim: Client, subtests: Any) -> None:
    url, body = sim.state["graphql_url"], b'{"query": "{ login { id } }"}'
    for name, change in INVALID.items():
        with subtests.test(name):
            sim.settings(access_key=True)
            headers = sim.headers(url, body)
            change(sim, headers)
            response = requests.post(url, data=body, headers=headers, timeout=30)
            assert (response.status_code, response.text) == (403, "Forbidden")


def test_dates_are_compared_with_real_time(sim: Client) -> None:
    sim.advance(100_000)
    assert sim.post("{ login { id } }", ago=290).status_code == 200
    sim.settings(signature_window=60)
    assert sim.post("{ login { id } }", ago=90).status_code == 403
    for skew in (-3600, 3600):
        sim.settings(clock_skew=skew)
        response = sim.post("{ login { id } }")
        assert response.status_code == 403
        date = parsedate_to_datetime(response.headers["Date"]).timestamp()
        assert date == pytest.approx(time.time() + skew, abs=TIMEOUT)
        assert sim.post("{ login { id } }", ago=-skew).status_code == 200


def test_rest_accepts_the_same_signature(sim: Client) -> None:
    service = {"deviceaddress": sim.service("pi-0001")}
    assert sim.rest("/device/connect", service).json()["status"] == "true"
    assert sim.rest("/device/connect", service, developerkey=None).json()["reason"] == "api key failed validation"
    sim.settings(access_key=False)
    response = sim.rest("/device/connect", service)
    assert (response.status_code, response.json()["status"]) == (403, "false")
    sim.settings(access_key=True, clock_skew=9000)
    assert sim.rest("/device/connect", service).status_code == 403
    assert len(sim.open_connections()) == 1


# -- the language ------------------------------------------------------------------------------------------------------


UNKNOWN_QUERIES: list[tuple[str, dict[str, Any], str]] = [
    ("{ login { id colour } }", {}, "colour"),
    ("{ login { devices { items { device } } } }", {}, "device"),
    ("mutation { reboot(serviceId: 1) }", {}, "reboot"),
    ("{ login { devices(sise: 3) { total } } }", {}, "sise"),
    ("query ($size: Int) { login { devices(size: $size) { total } } }", {"size": "many"}, "size"),
    ("query ($id: [String!]!) { login { service(id: $id) { id } } }", {}, "id"),
    ("mutation { connect(serviceId: null) { id } }", {}, "String!"),
    ("query a { login { id } } query b { login { id } }", {}, "operations"),
    ("{ login {", {}, "Syntax Error"),
    ("", {}, "Syntax Error"),
]


def test_unknown_query_is_refused(sim: Client, subtests: Any) -> None:
    for query, variables, word in UNKNOWN_QUERIES:
        with subtests.test(str(query)):
            sim.reset()
            assert word in sim.error(query, **variables)
            assert sim.requests()[0]["call"] == "unknown"


# -- connections -------------------------------------------------------------------------------------------------------


def test_both_apis_have_the_same_connections(sim: Client) -> None:
    service = sim.service("pi-0001")
    connection = sim.opened(service)
    body = {"deviceaddress": service, "connectionid": connection["id"]}
    assert sim.rest("/device/connect/stop", body).json()["status"] == "true"
    entry = sim.connect("pi-0001")
    assert sim.query(DISCONNECT, id=entry["connectionid"]) == {"disconnect": True}
    assert sim.open_connections() == []
    sim.settings(second_connect="reuse")
    assert sim.connect("pi-0001")["connectionid"] == sim.opened(service)["id"]
    sim.settings(second_connect="override")
    assert sim.opened(service)["id"] == sim.open_connections()[0]["connectionid"]
    assert len(sim.open_connections()) == 1


# -- the log -----------------------------------------------------------------------------------------------------------


def test_graphql_request_log_contains_no_secret(sim: Client) -> None:
    service = sim.service("pi-0001")
    connection = sim.opened(service)
    sim.query(DISCONNECT, id=connection["id"], service=service)
    sim.devices(size=1)
    sim.query(SESSIONS)
    sim.query("{ login { account(email: null) { devices { total } } } }")
    sim.query("{ login { membership { role } } }")
    log = sim.requests()
    assert [entry["call"] for entry in log] == ["connect", "stop", "list", "sessions", "list", "account"]
    assert {(entry["api"], entry["method"], entry["status"]) for entry in log} == {("graphql", "POST", 200)}
    assert (log[0]["deviceaddress"], log[0]["hostip"], log[0]["variables"]) == (service, None, {"service": service})
    assert (log[0]["query"], log[1]["connectionid"]) == (CONNECT, connection["id"])
    assert log[0]["secrets"]["authorization"]
    assert not any(secret in json.dumps(log) for secret in sim.secrets.values())


# -- devices -----------------------------------------------------------------------------------------------------------


FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({"state": "inactive"}, [22, 23]),
    ({"name": "I-000"}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ({"id": ["80:00:00:00:01:00:00:a0", "80:00:00:00:01:00:00:10"]}, [1, 10]),
    ({"id": []}, []),
    ({"sort": "-name", "name": "-002"}, [23, 22, 21, 20]),
    ({"sort": "state,-name", "name": "-002"}, [21, 20, 23, 22]),
    ({"tag": {"values": ["kiosk"]}}, [1, 4, 7, 13, 16, 19, 22]),
    ({"tag": {"values": ["kiosk", "site-b"], "operator": "ALL"}}, [4, 16, 22]),
    ({"tag": {"values": ["nothing", "kiosk"], "operator": "ANY"}, "name": "-001"}, [13, 16, 19]),
    ({"platform": [1200]}, [3, 6, 9, 12, 15, 18, 21]),
    ({"hardwareId": "HW-01-000007"}, [7]),
    ({"owner": False}, [2]),
    ({"owner": True, "name": "000"}, [1, 3, 4, 5, 6, 7, 8, 9]),
    ({"application": [22]}, []),
]


def test_filters(sim: Client, subtests: Any) -> None:
    for filters, numbers in FILTERS:
        with subtests.test(str(filters)):
            sim.reset()
            for name in ("pi-0022", "pi-0023"):
                sim.device(name, online=False)
            sim.device("pi-0002", fields={"owner": {"id": "1", "email": OTHER}})
            expected = [f"pi-{number:04}" for number in numbers]
            page = sim.devices(**filters)
            assert ([device["name"] for device in page["items"]], page["total"]) == (expected, len(numbers))


def selection(of_type: GraphQLObjectType, depth: int) -> str:
    """Return a selection of all fields without required arguments, down to a depth."""
    names = []
    for name, field in of_type.fields.items():
        below = get_named_type(field.type)
        if any(map(is_required_argument, field.args.values())):
            continue
        if not isinstance(below, GraphQLObjectType):
            names.append(name)
        elif depth > 1:
            names.append(f"{name} {selection(below, depth - 1)}")
    return f"{{ {' '.join(names)} }}"


def missing(of_type: GraphQLOutputType, value: Any, place: str) -> list[str]:
    """Return the required values that a response lacks."""
    if isinstance(of_type, GraphQLNonNull):
        return [place] if value is None else missing(of_type.of_type, value, place)
    if isinstance(of_type, GraphQLList):
        return [each for item in value or [] for each in missing(of_type.of_type, item, place)]
    if not isinstance(of_type, GraphQLObjectType):
        return []
    fields = of_type.fields
    return [each for name in value or {} for each in missing(fields[name].type, value[name], f"{place}.{name}")]


def test_required_fields_have_values(sim: Client) -> None:
    sim.connect("pi-0001")
    schema = build_schema((Path(__file__).parents[1] / "simulator/schema.graphql").read_text())
    assert schema.query_type is not None
    data = sim.query(selection(schema.query_type, 6))
    assert data["login"]["sessions"][0]["user"]["devices"]["total"]
    assert set(missing(schema.query_type, data, "query")) == set()


def test_organization(sim: Client) -> None:
    mine = sim.state["organisation"]
    query = "{ login { membership { role customRole { name } organization { id name account { id email } } } } }"
    known, former = [each["organization"] for each in sim.query(query)["login"]["membership"]]
    account = {"id": mine["account_id"], "email": mine["email"]}
    assert known == {"id": mine["id"], "name": mine["name"], "account": account}
    query = """query ($id: String, $email: String, $tags: String) { login { account(id: $id, email: $email) { id
        devices { total items { name owner { email } tags(accountId: $tags) { name } services { id } } }
    } } }"""
    devices = sim.query(query, id=account["id"], tags=account["id"])["login"]["account"]["devices"]
    assert [device["name"] for device in devices["items"]] == ["hq-0001", "hq-0002", "hq-0003"]
    assert {device["owner"]["email"] for device in devices["items"]} == {mine["email"]}
    assert devices["items"][0]["tags"][0] == {"name": "site-a"}
    untagged = sim.query(query, email=account["email"])["login"]["account"]["devices"]["items"]
    assert [device["tags"] for device in untagged] == [[], [], []]
    for unknown in ({"id": former["account"]["id"]}, {"id": "nobody"}, {"email": OTHER}):
        assert sim.query(query, **unknown)["login"] == {"account": None}
    assert sim.names(name="hq") == []
    service = mine["services"][0]["deviceaddress"]
    found = sim.query("query ($id: [String!]!) { login { service(id: $id) { id } } }", id=[service])["login"]["service"]
    assert found == [{"id": service}]
    assert sim.query("{ login { account { id } } }")["login"]["account"]["id"] == sim.state["account_id"]
    assert sim.connection(sim.opened(service)["id"])["device"] == "hq-0001"


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_sessions(sim: Client) -> None:
    service = sim.service("pi-0001")
    assert sim.query(SESSIONS)["login"]["sessions"] == []
    mine = sim.connect("pi-0001")["connectionid"]
    foreign = sim.session_of(OTHER, service)
    assert (foreign["user"], foreign["caller"]) == (OTHER, "203.0.113.9")
    response = sim.query(SESSIONS)["login"]
    assert [(each["id"], each["user"]["email"]) for each in response["sessions"]] == [
        (mine, sim.state["username"]),
        (foreign["connectionid"], OTHER),
    ]
    session = response["sessions"][0]
    assert session["user"]["id"] == response["id"] != response["sessions"][1]["user"]["id"]
    assert session["target"] == {
        "id": service,
        "name": "pi-0001-ssh",
        "application": SSH,
        "device": {"id": "80:00:00:00:01:00:00:10", "name": "pi-0001"},
    }
    assert (session["endpoint"], session["connected"]) == ({"proxy": True}, True)
    assert datetime.fromisoformat(session["timestamp"]).timestamp() == pytest.approx(
        sim.connection(mine)["opened_at"], abs=0.01
    )
    query = "query ($id: [String!]!) { login { service(id: $id) { sessions { id } device { sessions { id } } } } }"
    (both,) = sim.query(query, id=[service])["login"]["service"]
    assert both["sessions"] == both["device"]["sessions"] == [{"id": mine}, {"id": foreign["connectionid"]}]
    (none,) = sim.query(query, id=[sim.service("pi-0002")])["login"]["service"]
    assert none == {"sessions": [], "device": {"sessions": []}}
    sim.settings(session_ids_match=False)
    assert sim.query(SESSIONS)["login"]["sessions"][0]["id"] not in {mine, foreign["connectionid"]}
    sim.reset()
    assert sim.query(SESSIONS)["login"]["sessions"] == []
    assert not sim.connection(foreign["connectionid"])["open"]


def test_sessions_of_the_organization(sim: Client) -> None:
    organisation = sim.state["organisation"]
    service = organisation["services"][0]["deviceaddress"]
    mine, foreign = sim.opened(service)["id"], sim.session_of(OTHER, service)["connectionid"]
    sim.opened(sim.service("pi-0001"))
    query = f'{{ login {{ sessions {{ id }} account(id: "{organisation["account_id"]}") {{ sessions {{ id }} }} }} }}'
    login = sim.query(query)["login"]
    assert [each["id"] for each in login["account"]["sessions"]] == [mine, foreign]
    assert not {mine, foreign} & {each["id"] for each in login["sessions"]}
    sim.settings(account_sessions="all")
    listed = {each["id"] for each in sim.query(query)["login"]["sessions"]}
    assert mine in listed
    assert foreign not in listed
