# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""A connection, its proxy, and how both are read from the response of a connect call.

Host, port and ID of a connection are passed to ssh and become parts of file names. They are checked here, once.
The responses: https://docs.remote.it/api-reference/devices/connect (REST) and
https://docs.remote.it/developer-tools/api/usage (GraphQL).
"""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import re
import socket
import typing as t
from urllib.parse import SplitResult, parse_qs, urlsplit

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import BadAnswerError, OtherServiceError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import (
    describe,
    dict_or_empty,
    format_utc,
    truthy,
    utc_now,
)

#: A service ID: eight octets. The vendor's clients ignore its case.
SERVICE_ID = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){7}")
#: A connection ID: a UUID today, 40 hexadecimal digits in the past. The pattern excludes options and paths.
CONNECTION_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.:-]{0,127}")

LATCHING = "255.255.255.255"
PUBLIC = "0.0.0.0"

#: Seconds after which the vendor closes a connection that is not used.
IDLE_SECONDS = 900
#: Seconds after which the vendor closes every connection.
MAX_SECONDS = 28800

#: Proxies that are tested at the same time. One that is gone can take two seconds, so a few thousand are tested before
#: the next keepalive probes are due.
MAX_PROXY_TESTS = 32

_HOST_LABEL = re.compile(r"[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?")
_PROXY_URL = re.compile(r"https?://[!-~]{1,500}", re.IGNORECASE)


def host_key_alias(service_id: str) -> str:
    """Return the name of a service in ``known_hosts``. Host and port of its proxy change with each connection."""
    return f"remoteit-{service_id.lower().replace(':', '-')}"


def restriction_of(hostip: str | None) -> str:
    """Return which clients may use a port proxy that was requested with this ``hostip``."""
    return {None: "caller", LATCHING: "latching", PUBLIC: "public"}.get(hostip, "address")


class ProxyEndpoint(t.NamedTuple):
    """The address of a proxy."""

    proxy: str  # a URL
    host: str
    port: int
    scheme: str  # ``tcp``, or ``http`` or ``https`` for a reverse proxy


class PortProxy(t.NamedTuple):
    """The address of a proxy with a separate port, and which clients may use it."""

    host: str
    port: int
    restriction: str

    def is_open(self, timeout: float = 2.0) -> bool:
        """Return whether a TCP connection to the proxy can be opened within ``timeout`` seconds."""
        try:
            socket.create_connection((self.host, self.port), timeout).close()
        except OSError:
            return False
        return True


@dataclasses.dataclass(frozen=True)
class Connection:
    """An open proxy connection. Times are in seconds."""

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
    overrode: bool = False  # the API closed an older connection of this service for it

    def as_result(self) -> dict[str, t.Any]:
        """Return the entry of a result, as documented in the module ``remoteit_connect``."""
        entry = dataclasses.asdict(self)
        del entry["overrode"]
        return {**entry, "host_key_alias": host_key_alias(self.deviceaddress)}

    @classmethod
    def from_result(cls, entry: t.Mapping[str, t.Any]) -> Connection:
        """Return the connection of a result, or of an event of the keeper. Unknown keys are ignored."""
        return cls(**{field.name: entry[field.name] for field in dataclasses.fields(cls) if field.name in entry})

    @property
    def port_proxy(self) -> PortProxy | None:
        """The address of its proxy, unless it is a reverse proxy or not known."""
        return None if self.reverse_proxy or not self.host else PortProxy(self.host, self.port, self.restriction)

    @classmethod
    def unusable(
        cls, service_id: str, connectionid: str, expires_at: str | None = None, proxy: PortProxy | None = None
    ) -> Connection:
        """Return a placeholder for a connection that can only be closed.

        :param proxy: the address of its proxy, if it is known.
        """
        host, port, restriction = proxy or ("", 0, "")
        return cls(service_id, connectionid, "", host, port, "", proxy is None, restriction, expires_at=expires_at)

    @classmethod
    def from_rest(cls, content: t.Mapping[str, t.Any], service_id: str, hostip: str | None) -> Connection:
        """Read the response of ``/device/connect``.

        :raises BadAnswerError: with the ``connectionid`` if there is one, so that it can be closed.
        """
        body = dict_or_empty(content.get("connection"))
        connectionid = find_connection_id(content)
        try:
            address = _field(body, "deviceaddress")
            if address is not None and (not isinstance(address, str) or address.lower() != service_id.lower()):
                raise OtherServiceError("the API's response is about another service")
            endpoint = parse_proxy(body)
        except BadAnswerError as error:
            raise type(error)(error.message, connectionid=connectionid) from None
        seconds = _parse_seconds(body.get("expirationsec", body.get("proxyExpirationSec")))
        overrode = truthy(body.get("connectionOverridden"))
        return cls._from_response(service_id, connectionid, endpoint, hostip, seconds, overrode)

    @classmethod
    def from_graphql(cls, content: t.Mapping[str, t.Any], service_id: str, hostip: str | None) -> Connection:
        """Read the field ``connect`` of a response. Without a ``hostip``, GraphQL latches to the first client.

        :raises BadAnswerError: with the ``connectionid`` if there is one, so that it can be closed.
        """
        connectionid = content["id"] if is_connection_id(content.get("id")) else None
        try:
            if truthy(content.get("reverseProxy")):
                url = content.get("url") or f"https://{_parse_host(content.get('host'))}"
                endpoint = parse_proxy({"proxy": url, "reverseProxy": True})
            else:
                host, port = _parse_host(content.get("host")), _parse_port(content.get("port"))
                url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
                endpoint = ProxyEndpoint(url, host, port, "tcp")
        except BadAnswerError as error:
            raise BadAnswerError(error.message, connectionid=connectionid) from None
        seconds = _parse_seconds(content.get("timeout"))
        return cls._from_response(service_id, connectionid, endpoint, hostip or LATCHING, seconds)

    @classmethod
    def _from_response(
        cls,
        service_id: str,
        connectionid: str | None,
        endpoint: ProxyEndpoint,
        hostip: str | None,
        seconds: int | None,
        overrode: bool = False,
    ) -> Connection:
        if connectionid is None:
            raise BadAnswerError(
                "the API's response has no connectionid, so the connection that it opened cannot be closed"
                + (f"; it expires at {_expiry(seconds)}" if seconds is not None else "")
            )
        is_reverse_proxy = endpoint.scheme != "tcp"
        return cls(
            deviceaddress=service_id,
            connectionid=connectionid,
            proxy=endpoint.proxy,
            host=endpoint.host,
            port=endpoint.port,
            scheme=endpoint.scheme,
            reverse_proxy=is_reverse_proxy,
            restriction="public" if is_reverse_proxy else restriction_of(hostip),
            expirationsec=seconds,
            expires_at=_expiry(seconds),
            overrode=overrode,
        )


def find_connection_id(content: t.Mapping[str, t.Any]) -> str | None:
    """Return the connection ID of a REST response. It is inside ``connection``, beside it, or missing."""
    for container in (dict_or_empty(content.get("connection")), content):
        value = container.get("connectionid")
        if is_connection_id(value):
            return value
    return None


def is_connection_id(value: t.Any) -> bool:
    """Return whether the value is a text that can be a connection ID."""
    return isinstance(value, str) and CONNECTION_ID.fullmatch(value) is not None


def parse_proxy(body: t.Mapping[str, t.Any]) -> ProxyEndpoint:
    """Return the address of the proxy in a REST response.

    A reverse proxy is a URL without a port. Its ``proxyserver`` and ``proxyport`` are wrong. All other proxies are port
    proxies: their ``http://`` has no meaning, and the port is in a separate field, in the URL, or in the URL's query.

    :raises BadAnswerError: host or port are missing or invalid.
    """
    proxy: t.Any = body.get("proxy")
    url = _parse_url(proxy)
    try:
        # ``proxyURL`` has no scheme
        short = urlsplit(f"//{body['proxyURL']}" if isinstance(body.get("proxyURL"), str) else "")
        ports = [_field(body, "proxyServerPort"), _field(body, "proxyport"), url.port, short.port]
    except ValueError:
        raise BadAnswerError(f"the proxyURL in the API's response is not a URL: {describe(body['proxyURL'])}") from None
    ports.append(parse_qs(url.query).get("port", [None])[0])

    if truthy(body.get("reverseProxy")) or all(port is None for port in ports):
        scheme = url.scheme.lower()
        port = {"https": 443, "http": 80}[scheme] if url.port is None else url.port
        return ProxyEndpoint(proxy, _parse_host(url.hostname), _parse_port(port), scheme)
    port = next(port for port in ports if port is not None)
    return ProxyEndpoint(proxy, _parse_host(_field(body, "proxyserver") or url.hostname), _parse_port(port), "tcp")


def _parse_url(proxy: t.Any) -> SplitResult:
    """Parse the URL of the proxy. It must have a valid host even if another field has the host to use."""
    if not isinstance(proxy, str) or not _PROXY_URL.fullmatch(proxy):
        raise BadAnswerError(f"the proxy in the API's response is not a URL: {describe(proxy)}")
    try:
        url = urlsplit(proxy)
        _unused = url.port
    except ValueError:
        raise BadAnswerError(f"the proxy in the API's response is not a URL: {describe(proxy)}") from None
    if url.username is not None or url.password is not None:
        raise BadAnswerError(f"the proxy in the API's response has a user or password: {describe(url.hostname)}")
    _parse_host(url.hostname)
    return url


def _field(body: t.Mapping[str, t.Any], name: str) -> t.Any:
    """Return a field of the response. The API sends absent values as null, ``[null]`` or an empty text."""
    value = body.get(name)
    return None if value in (None, "", [None], []) else value


def _parse_host(value: t.Any) -> str:
    text = value if isinstance(value, str) and "%" not in value else ""  # an IPv6 scope may contain any character
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if len(text) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in text.split(".")):
        raise BadAnswerError(f"the proxy's host in the API's response is not a host name: {describe(value)}")
    return text


def _parse_port(value: t.Any) -> int:
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise BadAnswerError(f"the proxy's port in the API's response is not a port: {describe(value)}")
    return int(text)


def _parse_seconds(value: t.Any) -> int | None:
    """Return the number of seconds, or ``None`` if it is not plausible. See ``MAX_SECONDS``."""
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,6}", text) else None


def _expiry(seconds: int | None) -> str | None:
    return None if seconds is None else format_utc(utc_now() + datetime.timedelta(seconds=seconds))
