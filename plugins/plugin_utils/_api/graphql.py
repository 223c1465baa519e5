# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The vendor's GraphQL API: https://docs.remote.it/developer-tools/api/usage

The queries contain only fields of the vendor's schema. Values are sent as variables. Unset variables are not declared.
"""

from __future__ import annotations

import datetime
import os
import re
import time
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connect_outcome import (
    find_reason,
    is_known_refusal,
    is_refusal_by_gateway,
    is_refused_by_status,
    outcome_of_response,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection, is_connection_id
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.device_lists import (
    DEVICE_FIELDS,
    OPTIONAL_FIELDS,
    device_from_graphql,
    session_from_graphql,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.devices import (
    INCOMPLETE,
    ApiSession,
    Device,
    DeviceFilter,
    Warn,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    REASONS,
    UNKNOWN_SERVICE_HELP,
    AuthError,
    BadAnswerError,
    CallTimeoutError,
    ConnectOutcome,
    NotFoundError,
    NotSharedError,
    OptionsError,
    Reason,
    RemoteItError,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.graphql_reply import (
    Reply,
    codes_in,
    fields_with_errors,
    is_below_root,
    list_messages,
    messages_in,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.http import HttpClient, Response, seconds_until
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.signature import Signature
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import (
    dict_or_empty,
    sanitize,
    truthy,
    utc_now,
)

#: The largest page that the vendor's documentation allows.
PAGE_SIZE = 1000
#: More pages than any account has.
MAX_PAGES = 1000
#: Services whose sessions are requested with one query.
MAX_SERVICES_PER_QUERY = 100
#: How often a page is read again, if devices vanish from the account while it is listed.
MAX_REREADS = 3

#: Clocks that differ by fewer seconds count as equal.
_CLOCK_TOLERANCE_SECONDS = 30
#: Seconds by which a session may seem to start before its connect call. The date of a response has no fractions.
_SESSION_TOLERANCE_SECONDS = 5

_TARGET = "(service|device|target)"
#: Reasons that this API may have in addition to those of REST. Their texts are not documented.
_REASONS: tuple[Reason, ...] = (
    *REASONS,
    (r"permission|forbidden|(un|not )authori[sz]ed|access denied", NotSharedError, "this account may not do it"),
    (
        rf"\b{_TARGET}\b.* (not found|is unknown|not exist)|\b(unknown|no such|invalid) {_TARGET}\b(?! error)",
        NotFoundError,
        UNKNOWN_SERVICE_HELP,
    ),
)

_TIMEOUT = re.compile(r"time[ds]?[ -]?out", re.IGNORECASE)

#: Errors of the validation, as graphql-js writes them. They come with HTTP 200 or 400, and nothing was executed.
_VALIDATION_ERROR = re.compile(
    r"^Cannot query field|^Unknown (argument|directive|field|fragment|operation|type)\b|^Syntax Error|^Expected type\b"
    r"|^Variable \"?\$|^Field \"[^\"]*\" (argument|must|of type)|^Argument \"[^\"]*\" |^Must provide\b"
    r"|^Value \"[^\"]*\" does not exist in\b|^There can be only one\b"
    r"|^Schema is not configured to execute|^PersistedQueryOnly\b|^This operation has been blocked as a"
    # rules of graphql-depth-limit, graphql-cost-analysis and graphql-query-complexity, also as NestJS documents it
    r"|exceeds maximum operation depth of|exceeds the maximum (cost|complexity) of|^Query is too complex"
)
#: The codes of such errors, as Apollo Server writes them: https://www.apollographql.com/docs/apollo-server/data/errors
_VALIDATION_CODES = (
    "GRAPHQL_VALIDATION_FAILED",
    "GRAPHQL_PARSE_FAILED",
    "OPERATION_RESOLUTION_FAILURE",
    "PERSISTED_QUERY_NOT_FOUND",
    "PERSISTED_QUERY_NOT_SUPPORTED",
    "QUERY_NOT_IN_SAFELIST",
)

#: Errors about the rights of the account. In a response with data they are about a part of the request. Some servers
#: put the status of another server before them.
_UNAUTHORIZED = re.compile(r"^(401: )?unauthori[sz]ed\b(?! field)", re.IGNORECASE)
_FORBIDDEN = re.compile(r"^(40[13]: )?(forbidden|unauthori[sz]ed|not authori[sz]ed|access denied)\b", re.IGNORECASE)

_CONNECTION = "id host port url reverseProxy timeout"
_SESSION = "id timestamp user { id } target { id } endpoint { proxy }"
_MEMBERSHIP = "organization { id name account { id email } }"

#: The type of each variable.
_TYPES = {
    "serviceId": "String!", "hostIP": "String!", "connectionId": "String!", "account": "String!", "size": "Int!",
    "from": "Int!", "name": "String!", "state": "String!", "application": "[Int!]!", "tag": "ListFilter!",
    "id": "[String!]!",
}  # fmt: skip


class GraphQlApi:
    """The GraphQL API for one account. It can be used by any number of threads."""

    def __init__(self, credentials: Credentials, http: HttpClient) -> None:
        self._credentials = credentials
        self._url = credentials.graphql_url
        self._secrets = credentials.secrets()
        self._http = http
        self._signature = Signature(credentials.access_key_id or "", credentials.secret_access_key or "")

    def log_in(self) -> None:
        """Do nothing: each request is signed."""

    # -- connections ---------------------------------------------------------------------------------------------------

    def connect(self, service_id: str, hostip: str | None = None, wait: bool = True) -> Connection:
        """Open a connection. Only HTTP 429 lets the call be repeated: a lost response may be that of an open one.

        :param wait: ignored, because this API always waits.
        :raises BadAnswerError: with the ``connectionid`` if there is a connection to close.
        """
        start = time.monotonic()
        variables = _drop_none({"serviceId": service_id, "hostIP": hostip})
        fields = f"connect{_field_arguments(variables)} {{ {_CONNECTION} }}"
        document = f"mutation Connect{_variable_declarations(variables)} {{ {fields} }}"
        reply = self._send(document, variables, retry=False)
        content = reply.data.get("connect")
        if reply.error is not None:
            connectionid = dict_or_empty(content).get("id")
            if is_connection_id(connectionid):
                reply.error.outcome, reply.error.connectionid = ConnectOutcome.OPENED, connectionid
            elif reply.error.outcome is None:
                reply.error.outcome = _outcome_of_refusal(reply)
                if reply.error.outcome is ConnectOutcome.REFUSED and self._may_have_opened(service_id, reply, start):
                    reply.error.outcome = ConnectOutcome.UNCLEAR
            raise reply.error
        if not isinstance(content, dict):
            raise BadAnswerError("the API's response has no connection")
        try:
            return Connection.from_graphql(content, service_id, hostip)
        except BadAnswerError as error:
            raise error.reworded(sanitize(error.message, self._secrets)) from None

    def _may_have_opened(self, service_id: str, refusal: Reply, start: float) -> bool:
        """Return whether a connect call may have opened a connection although the API has refused it.

        An error can hide a connection. The sessions of the service show it. Without an answer about the service, the
        refusal must be about the access key or the service.

        :param start: when the call began, by the monotonic clock.
        """
        if is_refused_by_status(refusal.status) or not refusal.content.get("errors"):
            return False  # the API has not executed the call
        seconds = time.monotonic() - start + _SESSION_TOLERANCE_SECONDS
        earliest = (_api_time(refusal.date) - datetime.timedelta(seconds=seconds)).replace(microsecond=0)
        try:
            sessions, is_missing = self._find_sessions(service_id)
        except RemoteItError as error:
            return not (isinstance(error, AuthError) and isinstance(refusal.error, AuthError))
        if sessions is None:
            is_about_it = isinstance(refusal.error, (AuthError, NotFoundError, NotSharedError))
            return not (is_about_it and is_missing)
        return any(session.may_be_ours_since(earliest) for session in sessions)

    def disconnect(self, service_id: str, connectionid: str) -> bool:
        """Close a connection. Return true if this call closed it, false if it was closed before.

        The response for an unknown connection is not documented. If the API refuses, the sessions of the service show
        whether the connection is open, and that the credentials are valid.

        :raises RemoteItError: the connection is still open, or may be.
        """
        variables = {"connectionId": connectionid, "serviceId": service_id}
        document = (
            f"mutation Disconnect{_variable_declarations(variables)} {{ disconnect{_field_arguments(variables)} }}"
        )
        reply = self._send(document, variables, retry=True)
        is_closed, refusal = reply.data.get("disconnect"), reply.error
        if refusal is None and not isinstance(is_closed, bool):
            raise BadAnswerError("the API's response does not show whether the connection was closed")
        if refusal is None and is_closed:
            return True
        if refusal is not None and (isinstance(refusal, AuthError) or refusal.details["http_status"] >= 500):
            raise refusal
        sessions, is_missing = self._find_sessions(service_id)
        if is_missing:
            raise NotFoundError("the account does not have the service any more, so it cannot close its connections")
        if sessions is None or any(
            session.id is None or session.id.lower() == connectionid.lower() for session in sessions
        ):
            raise refusal or RemoteItError("the API did not close the connection and gave no reason")
        return False

    def sessions(self) -> list[ApiSession] | None:
        """Return the open connections to the account's services, including those of other users.

        The list may lack connections to the services of organizations; ``sessions_of`` has these. Return ``None`` if
        the response has no list.
        """
        document = f"query Sessions {{ login {{ id sessions {{ {_SESSION} }} }} }}"
        login = self._login_of(self._send(document, {}, retry=True), None)
        items = login.get("sessions")
        if items is None:
            return None
        if not isinstance(items, list):
            raise BadAnswerError("the API's response has no list of sessions")
        return [session_from_graphql(item, login.get("id")) for item in items]

    def sessions_of(self, service_ids: t.Collection[str]) -> dict[str, list[ApiSession] | None]:
        """Return the open connections to each service, including those of other users.

        Like the vendor's app, this asks each service, because the list of the account may lack the services of its
        organizations. A service without a complete list in the response has ``None``.
        """
        ids = sorted({service_id.upper() for service_id in service_ids})
        by_id: dict[str, list[ApiSession] | None] = {}
        for start in range(0, len(ids), MAX_SERVICES_PER_QUERY):
            by_id |= self._sessions_in(self._ask_for_sessions(ids[start : start + MAX_SERVICES_PER_QUERY]))
        return {service_id: by_id.get(service_id.upper()) for service_id in service_ids}

    def _find_sessions(self, service_id: str) -> tuple[list[ApiSession] | None, bool]:
        """Return the open connections to a service, and whether the response shows that the account does not have it.

        Without a complete list in the response, the first is ``None``.
        """
        reply = self._ask_for_sessions([service_id.upper()])
        sessions = self._sessions_in(reply).get(service_id.upper())
        return sessions, reply.error is None and dict_or_empty(reply.data.get("login")).get("service") == []

    def _ask_for_sessions(self, service_ids: list[str]) -> Reply:
        variables = {"id": service_ids}
        fields = f"service{_field_arguments(variables)} {{ id owner {{ id }} sessions {{ {_SESSION} }} }}"
        document = f"query ServiceSessions{_variable_declarations(variables)} {{ login {{ id {fields} }} }}"
        return self._send(document, variables, retry=True)

    def _sessions_in(self, reply: Reply) -> dict[str, list[ApiSession] | None]:
        """Return the sessions of the services in a response, by their IDs in capitals. Without a list, ``None``."""
        login = self._login_of(reply, lambda warning: None)  # a missing list is not an empty one
        services = login.get("service")
        found: dict[str, list[ApiSession] | None] = {}
        for index, service in enumerate(map(dict_or_empty, services if isinstance(services, list) else [])):
            service_id, items = service.get("id"), service.get("sessions")
            if not isinstance(service_id, str):
                continue
            known = found.setdefault(service_id.upper(), [])
            if known is None or not isinstance(items, list) or reply.has_error_about_sessions(index, len(items)):
                found[service_id.upper()] = None  # even if another entry of the service has a list
                continue
            owner_id = dict_or_empty(service.get("owner")).get("id")
            sessions = [session_from_graphql(item, login.get("id"), owner_id) for item in items]
            known += [
                session if session.service_id else session._replace(service_id=service_id) for session in sessions
            ]
        return found

    # -- devices -------------------------------------------------------------------------------------------------------

    def devices(self, wanted: DeviceFilter, warn: Warn) -> t.Iterator[Device]:
        """Yield the devices that match. Pages are fetched while they are consumed. Duplicates are dropped.

        :raises NotFoundError: the account is not a member of the organization.
        :raises OptionsError: several organizations have the name.
        :raises BadAnswerError: the response has no list, or the list does not end.
        """
        account = self._find_organization(wanted.organisation) if wanted.organisation else None
        filters = _filters(wanted)
        position = _Position()
        seen: set[str] = set()
        for _unused in range(MAX_PAGES):
            page = self._query_devices(account, {**filters, "from": position.start}, warn)
            known = len(seen)
            for device in filter(None, (device_from_graphql(item, warn) for item in page["items"])):
                if device.id.upper() not in seen:
                    seen.add(device.id.upper())
                    match = wanted.matches(device)
                    if match is not None:
                        yield match
            if not position.advance(page, found_new=len(seen) > known):
                return
        raise BadAnswerError(_ENDLESS_LIST)

    def _query_devices(self, account: str | None, filters: dict[str, t.Any], warn: Warn) -> dict[str, t.Any]:
        """Return one page of devices.

        :param account: the account of an organization; by default the user's own.
        """
        variables = _drop_none({**filters, "account": account})
        tags = "tags { name }" if account is None else "tags(accountId: $account) { name }"
        fields = (
            f"devices{_field_arguments(_drop_none(filters))} {{ items {{ {DEVICE_FIELDS % tags} }} hasMore total }}"
        )
        if account is not None:
            fields = f"account(id: $account) {{ {fields} }}"
        document = f"query Devices{_variable_declarations(variables)} {{ login {{ {fields} }} }}"
        warnings: list[str] = []
        reply = self._send(document, variables, retry=True)
        optional = OPTIONAL_FIELDS if filters["tag"] else (*OPTIONAL_FIELDS, "tags")
        if reply.error is not None and not reply.has_only_errors_about(optional):
            raise reply.error  # a device or a service may be missing
        login = self._login_of(reply, warnings.append)
        owner = login if account is None else login.get("account")
        page = dict_or_empty(dict_or_empty(owner).get("devices"))
        if not isinstance(page.get("items"), list):
            raise BadAnswerError("; ".join(["the API's response has no list of devices", *warnings]))
        if reply.error is not None and None in page["items"]:  # the error of a field has replaced the device
            raise reply.error
        for warning in warnings:
            warn(warning)
        return page

    # -- organizations -------------------------------------------------------------------------------------------------

    def _find_organization(self, wanted: str) -> str | None:
        """Return the account ID of an organization, or ``None`` if it is the user's own account.

        :raises NotFoundError: the account is not a member of the organization. The message lists those that it is in.
        :raises OptionsError: several organizations have the name.
        """
        document = f"query Organizations {{ login {{ id email membership {{ {_MEMBERSHIP} }} }} }}"
        reply = self._send(document, {}, retry=True)
        login = self._login_of(reply, lambda warning: None)  # an error about another organization does no harm
        if wanted.lower() in _lower_texts(login.get("id"), login.get("email")):
            return None
        found: dict[str, str] = {}
        known: list[str] = []
        memberships = login.get("membership")
        for membership in memberships if isinstance(memberships, list) else []:
            organization = dict_or_empty(dict_or_empty(membership).get("organization"))
            account = dict_or_empty(organization.get("account"))
            if not isinstance(account.get("id"), str):
                continue
            name = sanitize(organization.get("name"), self._secrets) or "without a name"
            label = f"{name} ({sanitize(account.get('email') or account['id'], self._secrets)})"
            known.append(label)
            identifiers = _lower_texts(organization.get("id"), account["id"], account.get("email"))
            if wanted == organization.get("name") or wanted.lower() in identifiers:
                found[account["id"]] = label
        if not found:
            if reply.error is not None:
                raise reply.error
            raise NotFoundError(
                f"this account is not a member of an organization {wanted!r}; its organizations:"
                f" {', '.join(known) or 'none'}"
            )
        if len(found) > 1:
            raise OptionsError(
                f"several organizations are named {wanted!r}: {', '.join(found.values())}; give the email address"
            )
        return next(iter(found))

    # -- requests ------------------------------------------------------------------------------------------------------

    def _login_of(self, reply: Reply, warn: Warn | None) -> dict[str, t.Any]:
        """Return the field ``login`` of a response.

        :param warn: reports errors in a response that has a ``login`` nevertheless. By default, they are raised.
        """
        login, error = reply.data.get("login"), reply.error
        if error is not None and (warn is None or not isinstance(login, dict) or isinstance(error, AuthError)):
            raise error
        if not isinstance(login, dict):
            message = "the API's response has no login, as for an unsigned request; check the access key"
            raise AuthError(self._credentials.explain(message))
        if error is not None and warn is not None:
            warn(f"{INCOMPLETE}: {error.message}")
        return login

    def _send(self, document: str, variables: dict[str, t.Any], *, retry: bool) -> Reply:
        body = {"query": document, "variables": variables}
        response = self._http.request("POST", self._url, headers={}, body=body, retry=retry, auth=self._signature)
        if response.status in (401, 403) and "data" not in dict_or_empty(response.body) and not response.is_html:
            error = self._signature_error(response)
            raise error.reworded(self._credentials.explain(error.message))
        content = response.json_object()
        refusal = self._refusal(response, content, document)
        if isinstance(refusal, AuthError):
            refusal = refusal.reworded(self._credentials.explain(refusal.message))
        return Reply(response.status, content, refusal, response.date)

    def _refusal(self, response: Response, content: dict[str, t.Any], document: str) -> RemoteItError | None:
        """Return the error for the errors in a response, or ``None`` if there are no errors."""
        if response.ok and not content.get("errors"):
            return None
        reason = sanitize(messages_in(content), self._secrets)
        if any(map(_FORBIDDEN.search, list_messages(content))):
            return self._forbidden(response, content, document, reason)
        about = f", about: {self._fields_with_errors(content)}" if is_below_root(content) else ""
        # a response to a request that was executed has data, or null (https://spec.graphql.org, "Response Format");
        # Mercurius sends null for the others, too, but their errors have no path
        is_invalid = _VALIDATION_ERROR.search(reason) or any(code in _VALIDATION_CODES for code in codes_in(content))
        if is_invalid and content.get("data") is None and not fields_with_errors(content):
            return RemoteItError(
                f"the API says: {reason} (it did not execute the request)",
                outcome=ConnectOutcome.REFUSED,
                http_status=response.status,
            )
        known = find_reason(_REASONS, response.status, reason)
        if known is not None:
            _unused, error_class, advice = known
            clock = _clock_difference(response, "it") if "clock" in advice else ""
            return error_class(f"the API says: {reason}{about} ({advice}{clock})", http_status=response.status)
        if _TIMEOUT.search(reason):
            return CallTimeoutError(
                f"the API says: {reason}{about} (a timeout inside the API)", http_status=response.status
            )
        message = f"the API says: {reason}{about}" if reason else "the API refused the request without a reason"
        return RemoteItError(f"{message} (HTTP {response.status})", http_status=response.status)

    def _forbidden(
        self, response: Response, content: dict[str, t.Any], document: str, reason: str
    ) -> AuthError | NotSharedError:
        """Return the error for a message that begins with "forbidden" or "unauthorized". It names the refused part.

        The reason of a wrong access key is never "forbidden", and its response has neither data nor an error below a
        root field.
        """
        about = self._fields_with_errors(content) or document.split("{")[0].split("(")[0].strip()
        message = f"the API says: {reason}, about: {about}"
        has_data = any(value is not None for value in dict_or_empty(content.get("data")).values())
        if has_data or is_below_root(content) or not all(map(_UNAUTHORIZED.search, list_messages(content))):
            return NotSharedError(
                f"{message} (the account of the access key may not do it)", http_status=response.status
            )
        clock = _clock_difference(response, "the clock of this machine")
        return AuthError(f"{message} (check the access key{clock})", http_status=response.status)

    def _fields_with_errors(self, content: dict[str, t.Any]) -> str:
        return sanitize(", ".join(fields_with_errors(content)), self._secrets)

    def _signature_error(self, response: Response) -> AuthError:
        """Return the error for HTTP 401 and 403, which this API sends only for a wrong signature."""
        reason = sanitize(messages_in(dict_or_empty(response.body)), self._secrets)
        return AuthError(
            f"the API does not accept the signed request (HTTP {response.status}{': ' + reason if reason else ''}): the"
            " access key is disabled or deleted, or the secret access key does not belong to it, or the clock of this"
            f" machine is wrong{_clock_difference(response, 'it')}{response.proxy_hint}",
            http_status=response.status,
        )


_ENDLESS_LIST = "the API's list of devices does not end"


class _Position:
    """The position in a list of devices from which devices can vanish while it is read."""

    def __init__(self) -> None:
        self.start = 0
        self._total: t.Any = None
        self._rereads = 0

    def advance(self, page: dict[str, t.Any], *, found_new: bool) -> bool:
        """Go to the next page and return whether there is one.

        A device that vanishes moves those behind it forward, past the start of the next page. Then go back that far.

        :raises BadAnswerError: the list does not end.
        """
        before, self._total = self._total, page.get("total")
        vanished = before - self._total if isinstance(before, int) and isinstance(self._total, int) else 0
        if vanished > 0 and self._rereads < MAX_REREADS:
            self.start = max(0, self.start - vanished)
            self._rereads += 1
            return True
        if not page["items"] or not truthy(page.get("hasMore")):
            return False
        if not found_new and not self._rereads:
            raise BadAnswerError(_ENDLESS_LIST)
        self.start += len(page["items"])
        self._rereads = 0
        return True


def _drop_none(values: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {name: value for name, value in values.items() if value is not None}


def _variable_declarations(variables: t.Iterable[str]) -> str:
    """Return the declarations of an operation's variables."""
    return "(" + ", ".join(f"${name}: {_TYPES[name]}" for name in variables) + ")"


def _field_arguments(variables: t.Iterable[str]) -> str:
    """Return the arguments of a field, which are variables of the same names."""
    return "(" + ", ".join(f"{name}: ${name}" for name in variables) + ")"


def _filters(wanted: DeviceFilter) -> dict[str, t.Any]:
    """Return the part of the filter that the API supports. Its ``name`` matches any part of a name.

    For several names, that is their common prefix. The API takes one tag filter.
    """
    tags = {"operator": "ALL", "values": sorted(wanted.tags_all)} if wanted.tags_all else None
    if wanted.tags_any and not tags:
        tags = {"operator": "ANY", "values": sorted(wanted.tags_any)}
    return {
        "size": PAGE_SIZE,
        "name": os.path.commonprefix(list(wanted.devices)) or None,  # noqa: RUF071 (no path)
        "state": wanted.state,
        "application": sorted(wanted.applications) or None,
        "tag": tags,
    }


def _outcome_of_refusal(reply: Reply) -> ConnectOutcome:
    """Return the outcome of a connect call with an error.

    An error below the mutation, or its result, shows that it was executed. Other errors of the API prove with a known
    reason that nothing was opened.
    """
    reason = messages_in(reply.content)
    has_result = isinstance(reply.data.get("connect"), dict) or (reply.status >= 400 and "connect" in reply.data)
    if has_result or is_below_root(reply.content):
        return outcome_of_response(reply.status, reason, is_refusal=False)
    if reply.status < 400 or reply.content.get("errors"):
        is_refusal = reply.status < 500 and is_known_refusal(reason)
    else:
        is_refusal = is_refusal_by_gateway(reply.status, reason)
    return outcome_of_response(reply.status, reason, is_refusal=is_refusal or None)


def _api_time(date: str | None) -> datetime.datetime:
    """Return the time by the clock of the API, or by that of this machine without a plausible date.

    :param date: the header of a response that has just arrived.
    """
    ahead = seconds_until(date) or 0
    return utc_now() + datetime.timedelta(seconds=ahead if abs(ahead) < 86400 else 0)


def _lower_texts(*values: t.Any) -> list[str]:
    return [value.lower() for value in values if isinstance(value, str)]


def _clock_difference(response: Response, clock: str) -> str:
    """Return how the clock of this machine differs from the date of a response, as the end of a sentence."""
    ahead = seconds_until(response.date)
    if ahead is None:
        return ""
    if abs(ahead) < _CLOCK_TOLERANCE_SECONDS:
        return f"; {clock} agrees with the API's"
    return f"; {clock} is {abs(ahead):.0f} seconds {'behind' if ahead > 0 else 'ahead of'} the API's"
