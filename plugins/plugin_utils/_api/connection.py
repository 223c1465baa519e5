# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The connection value: what an opening call answered, read with suspicion.

What the API sends ends up on ssh's command line, so nothing is taken over that does not look as it must.
Facts about the answers: https://docs.remote.it/api-reference/devices/connect (REST) and
https://docs.remote.it/developer-tools/api/usage (GraphQL).
"""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import re
import typing as t
from urllib.parse import SplitResult, parse_qs, urlsplit

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import BadAnswerError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import (
    describe,
    dict_or_empty,
    format_utc,
    parse_utc,
    truthy,
    utc_now,
)

#: A service id: eight octets. The vendor's own clients compare it without regard to case.
SERVICE_ID = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){7}")
#: A connection id: a UUID today, forty hex digits once; opaque to us, but never an option or a path.
CONNECTION_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.:-]{0,127}")

LATCHING = "255.255.255.255"
PUBLIC = "0.0.0.0"

#: The vendor closes a connection that nobody has used for so many seconds.
IDLE_SECONDS = 900

_HOST_LABEL = re.compile(r"[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?")
_PROXY_URL = re.compile(r"https?://[!-~]{1,500}", re.IGNORECASE)


def host_key_alias(service_id: str) -> str:
    """Return the name under which known_hosts has the host key of a service. A proxy's host and port change."""
    return f"remoteit-{service_id.lower().replace(':', '-')}"


def restriction_of(hostip: str | None) -> str:
    """Who may use a port proxy that was asked for with this C(hostip)."""
    return {None: "caller", LATCHING: "latching", PUBLIC: "public"}.get(hostip, "address")


@dataclasses.dataclass(frozen=True)
class Connection:
    """One open proxy connection. Times in seconds."""

    deviceaddress: str
    connectionid: str
    proxy: str
    host: str
    port: int
    scheme: str
    reverse_proxy: bool
    restriction: str
    expirationsec: int | None = None
    expires_at: str | None = None
    name: str | None = None
    reused: bool = False
    overrode: bool = False  # the API ended an older connection of this service for it

    def as_result(self) -> dict[str, t.Any]:
        """The entry that users get, documented in the module C(remoteit_connect)."""
        entry = dataclasses.asdict(self)
        del entry["overrode"]
        return {**entry, "host_key_alias": host_key_alias(self.deviceaddress)}

    @classmethod
    def from_result(cls, entry: t.Mapping[str, t.Any]) -> Connection:
        """The opposite of C(as_result). The entry may come from another host, which is trusted as little as the API.

        :raises BadAnswerError: it is no such entry.
        """
        try:
            connection = cls(
                **{field.name: entry[field.name] for field in dataclasses.fields(cls) if field.name in entry}
            )
            well = (
                SERVICE_ID.fullmatch(connection.deviceaddress)
                and CONNECTION_ID.fullmatch(connection.connectionid)
                and isinstance(connection.port, int)
                and not isinstance(connection.port, bool)
                and connection.scheme in ("tcp", "http", "https")
                and connection.reverse_proxy is (connection.scheme != "tcp")
                and connection.restriction in ("caller", "latching", "address", "public")
                and connection.expirationsec == _seconds(connection.expirationsec)
                and (connection.expires_at is None or parse_utc(connection.expires_at))
                and isinstance(connection.name, (str, type(None)))
                and isinstance(connection.reused, bool)
                and isinstance(connection.overrode, bool)
            )
        except (TypeError, ValueError):
            well = None
        if not well:
            raise BadAnswerError("this is not the connection that another host should have described")
        _proxy_url(connection.proxy)
        _host(connection.host)
        _port(connection.port)
        return connection

    @classmethod
    def unusable(cls, service_id: str, connectionid: str) -> Connection:
        """One of which nothing is known but how to stop it."""
        return cls(service_id, connectionid, "", "", 0, "", True, "")

    @classmethod
    def from_rest(cls, answer: t.Mapping[str, t.Any], service_id: str, hostip: str | None) -> Connection:
        """Read the answer of C(/device/connect).

        :raises BadAnswerError: with the ``connectionid`` if there is one, so that it can be closed.
        """
        body = dict_or_empty(answer.get("connection"))
        connectionid = find_connection_id(answer)
        try:
            address = _field(body, "deviceaddress")
            if address is not None and (not isinstance(address, str) or address.lower() != service_id.lower()):
                raise BadAnswerError("the answer is about another service")
            way = parse_proxy(body)
        except BadAnswerError as error:
            raise BadAnswerError(error.message, connectionid=connectionid) from None
        seconds = _seconds(body.get("expirationsec", body.get("proxyExpirationSec")))
        overrode = truthy(body.get("connectionOverridden"))
        return cls._from_answer(service_id, connectionid, way, hostip, seconds, overrode)

    @classmethod
    def from_graphql(cls, answer: t.Mapping[str, t.Any], service_id: str, hostip: str | None) -> Connection:
        """Read what C(connect) answered, into the same form.

        Where nobody is named, this API lets the first comer in.

        :raises BadAnswerError: with the ``connectionid`` if there is one, so that it can be closed.
        """
        connectionid = answer["id"] if is_connection_id(answer.get("id")) else None
        try:
            if truthy(answer.get("reverseProxy")):
                url = answer.get("url") or f"https://{_host(answer.get('host'))}"
                way = parse_proxy({"proxy": url, "reverseProxy": True})
            else:
                host, port = _host(answer.get("host")), _port(answer.get("port"))
                way = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", host, port, "tcp"
        except BadAnswerError as error:
            raise BadAnswerError(error.message, connectionid=connectionid) from None
        return cls._from_answer(service_id, connectionid, way, hostip or LATCHING, _seconds(answer.get("timeout")))

    @classmethod
    def _from_answer(
        cls,
        service_id: str,
        connectionid: str | None,
        way: tuple[str, str, int, str],
        hostip: str | None,
        seconds: int | None,
        overrode: bool = False,
    ) -> Connection:
        if connectionid is None:
            raise BadAnswerError(
                "the answer has no connectionid, so the connection that it opened cannot be stopped"
                + (f"; it ends at the latest at {_end(seconds)}" if seconds is not None else "")
            )
        proxy, host, port, scheme = way
        return cls(
            deviceaddress=service_id,
            connectionid=connectionid,
            proxy=proxy,
            host=host,
            port=port,
            scheme=scheme,
            reverse_proxy=scheme != "tcp",
            restriction="public" if scheme != "tcp" else restriction_of(hostip),
            expirationsec=seconds,
            expires_at=_end(seconds),
            overrode=overrode,
        )


def find_connection_id(answer: t.Mapping[str, t.Any]) -> str | None:
    """The connection id, which the API has put inside C(connection), beside it, or nowhere."""
    for place in (dict_or_empty(answer.get("connection")), answer):
        value = place.get("connectionid")
        if is_connection_id(value):
            return value
    return None


def is_connection_id(value: t.Any) -> bool:
    return isinstance(value, str) and CONNECTION_ID.fullmatch(value) is not None


def parse_proxy(body: t.Mapping[str, t.Any]) -> tuple[str, str, int, str]:
    """Where the proxy is: C((proxy, host, port, scheme)).

    A reverse proxy is a URL without a port; its C(proxyserver) and C(proxyport) mislead. Everything else is a port
    proxy, whose C(http://) says nothing, and whose port stands in a field of its own, in a URL, or in its query.

    :raises BadAnswerError: no decent host and port can be found.
    """
    proxy: t.Any = body.get("proxy")
    url = _proxy_url(proxy)
    try:
        short = urlsplit(f"//{body['proxyURL']}" if isinstance(body.get("proxyURL"), str) else "")  # without its scheme
        ports = [_field(body, "proxyServerPort"), _field(body, "proxyport"), url.port, short.port]
    except ValueError:
        raise BadAnswerError(f"the answer's proxyURL is not a URL: {describe(body['proxyURL'])}") from None
    ports.append(parse_qs(url.query).get("port", [None])[0])

    if truthy(body.get("reverseProxy")) or all(port is None for port in ports):
        scheme = url.scheme.lower()
        port = {"https": 443, "http": 80}[scheme] if url.port is None else url.port
        return proxy, _host(url.hostname), _port(port), scheme
    port = next(port for port in ports if port is not None)
    return proxy, _host(_field(body, "proxyserver") or url.hostname), _port(port), "tcp"


def _proxy_url(proxy: t.Any) -> SplitResult:
    """The proxy's URL, which begins with its host even where another field names the one to use."""
    if not isinstance(proxy, str) or not _PROXY_URL.fullmatch(proxy):
        raise BadAnswerError(f"the answer has no usable proxy: {describe(proxy)}")
    try:
        url = urlsplit(proxy)
        _unused = url.port
    except ValueError:
        raise BadAnswerError(f"the answer's proxy is not a URL: {describe(proxy)}") from None
    if url.username is not None or url.password is not None:
        raise BadAnswerError(f"the answer's proxy is not a plain URL: {describe(url.hostname)}")
    _host(url.hostname)
    return url


def _field(body: t.Mapping[str, t.Any], name: str) -> t.Any:
    """A value of the answer; the API writes an absent one as null, as C([null]), or as nothing."""
    value = body.get(name)
    return None if value in (None, "", [None], []) else value


def _host(value: t.Any) -> str:
    text = value if isinstance(value, str) and "%" not in value else ""  # an address's scope may hold anything
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if len(text) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in text.split(".")):
        raise BadAnswerError(f"the answer's proxy host is not a host name: {describe(value)}")
    return text


def _port(value: t.Any) -> int:
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise BadAnswerError(f"the answer's proxy port is not a port: {describe(value)}")
    return int(text)


def _seconds(value: t.Any) -> int | None:
    """A number of seconds, if it is one of the plausible (the vendor's maximum is 28800)."""
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    return int(text) if re.fullmatch(r"[0-9]{1,7}", text) else None


def _end(seconds: int | None) -> str | None:
    return None if seconds is None else format_utc(utc_now() + datetime.timedelta(seconds=seconds))
