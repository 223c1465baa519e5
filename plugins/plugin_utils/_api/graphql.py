# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The vendor's GraphQL API: https://docs.remote.it/developer-tools/api/usage

Only fields of the vendor's schema are asked for. Values travel as variables; one that is not set is not declared.
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.connection import Connection, is_connection_id
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import Credentials
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.device_lists import (
    DEVICE_FIELDS,
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
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.http import HttpClient, Response, seconds_until
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.signature import Signature
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import dict_or_empty, sanitize, truthy

#: The largest page that the vendor's documentation allows, and more pages than any account fills.
PAGE_SIZE = 1000
MAX_PAGES = 1000

#: How often a page is read again in an account whose devices vanish all the time.
MAX_REREADS = 3

#: Clocks that differ by less than so many seconds are called equal.
_SAME_TIME = 30

#: What this API may say beyond what REST is known to say; the texts are not documented.
_REASONS: tuple[Reason, ...] = (
    *REASONS,
    (r"^(unauthori[sz]ed|forbidden)\b", AuthError, "check the access key"),
    (r"permission|not authori[sz]ed|access denied", NotSharedError, "this account may not do it"),
    (
        r"\b(service|device|target)\b.*(not found|unknown|not exist)|(unknown|no such|invalid) (service|device|target)",
        NotFoundError,
        "check the service id (it is the service's, not the device's)",
    ),
    (r"time[ds]?[ -]?out", CallTimeoutError, "the API itself waited in vain"),
)

_CONNECTION = "id host port url reverseProxy timeout"
_SESSION = "id timestamp user { id } target { id } endpoint { proxy }"
_MEMBERSHIP = "organization { id name account { id email } }"

#: The type of each variable.
_TYPES = {
    "serviceId": "String!", "hostIP": "String!", "connectionId": "String!", "account": "String!", "size": "Int!",
    "from": "Int!", "name": "String!", "state": "String!", "application": "[Int!]!", "tag": "ListFilter!",
}  # fmt: skip


class GraphQlApi:
    """One account. Any number of threads may use it at once."""

    def __init__(self, credentials: Credentials, http: HttpClient) -> None:
        self._url = credentials.graphql_url
        self._secrets = credentials.secrets()
        self._http = http
        self._signature = Signature(credentials.access_key_id or "", credentials.secret_access_key or "")

    # -- connections -----------------------------------------------------------------------------------------------

    def connect(self, service_id: str, hostip: str | None = None, wait: bool = True) -> Connection:
        """Open a connection. Never sent twice: a lost answer may be the answer of an open connection.

        :param wait: makes no difference, this API always waits.
        :raises BadAnswerError: with the ``connectionid`` if there is something to close.
        """
        variables = _drop_none({"serviceId": service_id, "hostIP": hostip})
        fields = f"connect{_field_arguments(variables)} {{ {_CONNECTION} }}"
        document = f"mutation Connect{_variable_declarations(variables)} {{ {fields} }}"
        data, refusal = self._send(document, variables, retry=False)
        answer = data.get("connect")
        if refusal is not None:
            connectionid = dict_or_empty(answer).get("id")
            if is_connection_id(connectionid):
                refusal.outcome, refusal.connectionid = ConnectOutcome.OPENED, connectionid
            elif refusal.code == RemoteItError.code and not 400 <= refusal.details["http_status"] < 500:
                # for all that is known, it went wrong after the connection had been opened
                refusal.outcome = ConnectOutcome.UNKNOWN
            raise refusal
        if not isinstance(answer, dict):
            raise BadAnswerError("the API's answer has no connection")
        try:
            return Connection.from_graphql(answer, service_id, hostip)
        except BadAnswerError as error:
            raise error.reworded(sanitize(error.message, self._secrets)) from None

    def disconnect(self, service_id: str, connectionid: str) -> bool:
        """Stop a connection; true when this call ended it, false when it was gone already.

        What the API says about an unknown connection is not documented. Whatever it refuses with, the account's
        sessions tell whether the connection is there; they also prove that the credentials are good.

        :raises RemoteItError: it is still there.
        """
        variables = {"connectionId": connectionid, "serviceId": service_id}
        document = (
            f"mutation Disconnect{_variable_declarations(variables)} {{ disconnect{_field_arguments(variables)} }}"
        )
        data, refusal = self._send(document, variables, retry=True)
        said_false = refusal is None
        if refusal is None:
            if data.get("disconnect") is True:
                return True
            if data.get("disconnect") is not False:
                raise BadAnswerError("the API's answer does not tell whether the connection was stopped")
            refusal = RemoteItError("the API did not stop the connection, and gave no reason")
        elif isinstance(refusal, AuthError) or refusal.details["http_status"] >= 500:
            raise refusal
        sessions = self.sessions()
        if sessions is None and said_false:
            return False
        if sessions is None or any(
            session.id is None or session.id.lower() == connectionid.lower() for session in sessions
        ):
            raise refusal
        return False

    def sessions(self) -> list[ApiSession] | None:
        """The connections that are open on everything the account sees, those of other users included.

        None, if the API does not tell.
        """
        login = self._login(f"query Sessions {{ login {{ id sessions {{ {_SESSION} }} }} }}", {}, None)
        items = login.get("sessions")
        if items is None:
            return None
        if not isinstance(items, list):
            raise BadAnswerError("the API's answer has no list of sessions")
        return [session_from_graphql(item, login.get("id")) for item in items]

    # -- devices ---------------------------------------------------------------------------------------------------

    def devices(self, wanted: DeviceFilter, warn: Warn) -> t.Iterator[Device]:
        """The devices that are wanted, page by page while they are consumed.

        A device that vanishes between two pages moves those behind it forward, so the page is read again from as far
        before; what comes twice is dropped.

        :raises NotFoundError, OptionsError: the organisation is not one of the account's, or two are called so.
        :raises BadAnswerError: the API sends no list, or one without end.
        """
        account = self._organisation(wanted.organisation) if wanted.organisation else None
        filters = _filters(wanted)
        seen: set[str] = set()
        start, total, again = 0, None, 0
        for _unused in range(MAX_PAGES):
            page = self._page(account, {**filters, "from": start}, warn)
            known = len(seen)
            for device in filter(None, (device_from_graphql(item, warn) for item in page["items"])):
                if device.id.upper() in seen:
                    continue
                seen.add(device.id.upper())
                chosen = wanted.matches(device)
                if chosen is not None:
                    yield chosen
            before, total = total, page.get("total")
            if isinstance(before, int) and isinstance(total, int) and total < before and again < MAX_REREADS:
                start, again = max(0, start - (before - total)), again + 1
                continue
            if not page["items"] or not truthy(page.get("hasMore")):
                return
            if len(seen) == known and not again:
                break
            start, again = start + len(page["items"]), 0
        raise BadAnswerError(f"the API's list of devices does not end: nothing new comes after {len(seen)} devices")

    def _page(self, account: str | None, filters: dict[str, t.Any], warn: Warn) -> dict[str, t.Any]:
        variables = _drop_none({**filters, "account": account})
        tags = "tags { name }" if account is None else "tags(accountId: $account) { name }"
        fields = (
            f"devices{_field_arguments(_drop_none(filters))} {{ items {{ {DEVICE_FIELDS % tags} }} hasMore total }}"
        )
        if account is not None:
            fields = f"account(id: $account) {{ {fields} }}"
        missing: list[str] = []
        login = self._login(
            f"query Devices{_variable_declarations(variables)} {{ login {{ {fields} }} }}", variables, missing.append
        )
        owner = login if account is None else login.get("account")
        page = dict_or_empty(dict_or_empty(owner).get("devices"))
        if not isinstance(page.get("items"), list):
            raise BadAnswerError("; ".join(["the API's answer has no list of devices", *missing]))
        for message in missing:
            warn(message)
        return page

    def _organisation(self, wanted: str) -> str | None:
        """The account id of an organisation; none if it is the account itself."""
        login = self._login(f"query Organisations {{ login {{ id email membership {{ {_MEMBERSHIP} }} }} }}", {}, None)
        if wanted.lower() in _names(login.get("id"), login.get("email")):
            return None
        found: dict[str, str] = {}
        known: list[str] = []
        memberships = login.get("membership")
        for membership in memberships if isinstance(memberships, list) else []:
            organisation = dict_or_empty(dict_or_empty(membership).get("organization"))
            account = dict_or_empty(organisation.get("account"))
            if not isinstance(account.get("id"), str):
                continue
            name = sanitize(organisation.get("name"), self._secrets) or "without a name"
            label = f"{name} ({sanitize(account.get('email') or account['id'], self._secrets)})"
            known.append(label)
            names = _names(organisation.get("id"), account["id"], account.get("email"))
            if wanted == organisation.get("name") or wanted.lower() in names:
                found[account["id"]] = label
        if not found:
            raise NotFoundError(
                f"this account is not a member of an organisation {wanted!r}; it is one of {', '.join(known) or 'none'}"
            )
        if len(found) > 1:
            raise OptionsError(
                f"several organisations are called {wanted!r}: {', '.join(found.values())}; give the e-mail address"
            )
        return next(iter(found))

    # -- calls -----------------------------------------------------------------------------------------------------

    def _login(self, document: str, variables: dict[str, t.Any], warn: Warn | None) -> dict[str, t.Any]:
        """What the answer has under C(login), when something is missing from it as well."""
        data, error = self._send(document, variables, retry=True)
        login = data.get("login")
        if error is not None and (warn is None or not isinstance(login, dict) or isinstance(error, AuthError)):
            raise error
        if not isinstance(login, dict):
            raise AuthError("the API's answer has no login, as if nobody had signed the request; check the access key")
        if error is not None and warn is not None:
            warn(f"{INCOMPLETE}: {error.message}")
        return login

    def _send(
        self, document: str, variables: dict[str, t.Any], *, retry: bool
    ) -> tuple[dict[str, t.Any], RemoteItError | None]:
        """The data of the answer, and what the API says is wrong with it."""
        body = {"query": document, "variables": variables}
        answer = self._http.request("POST", self._url, headers={}, body=body, retry=retry, auth=self._signature)
        if answer.status in (401, 403):
            raise self._unauthorised(answer)
        content = answer.json_object()
        return dict_or_empty(content.get("data")), self._refusal(answer, content)

    def _refusal(self, answer: Response, content: dict[str, t.Any]) -> RemoteItError | None:
        errors = content.get("errors")
        if answer.ok and not errors:
            return None
        reason = sanitize(_messages(content), self._secrets)
        said = f"the API says: {reason}" if reason else "the API refused and gave no reason"
        for pattern, error, advice in _REASONS:
            if reason and re.search(pattern, reason, re.IGNORECASE):
                clock = _clock(answer) if error is AuthError else ""
                return error(f"{said} ({advice}{clock})", http_status=answer.status)
        return RemoteItError(f"{said} (HTTP {answer.status})", http_status=answer.status)

    def _unauthorised(self, answer: Response) -> AuthError:
        """HTTP 401 and 403 say nothing else about a signature that is refused."""
        reason = sanitize(_messages(dict_or_empty(answer.body)), self._secrets)
        return AuthError(
            f"the API does not accept the signed request (HTTP {answer.status}{': ' + reason if reason else ''}): the"
            " access key is disabled or deleted, or the secret access key is not the one that belongs to it, or this"
            f" machine's clock is wrong{_clock(answer)}",
            http_status=answer.status,
        )


def _drop_none(values: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {name: value for name, value in values.items() if value is not None}


def _variable_declarations(variables: t.Iterable[str]) -> str:
    """The declaration of an operation's variables."""
    return "(" + ", ".join(f"${name}: {_TYPES[name]}" for name in variables) + ")"


def _field_arguments(variables: t.Iterable[str]) -> str:
    """The arguments of a field, which are variables of the same names."""
    return "(" + ", ".join(f"{name}: ${name}" for name in variables) + ")"


def _filters(wanted: DeviceFilter) -> dict[str, t.Any]:
    """What the API can do of the filter. Its C(name) finds any part of a name, so it gets what all have in common."""
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


def _messages(content: dict[str, t.Any]) -> str:
    """Everything that an answer says is wrong; a gateway says it without C(errors)."""
    errors = content.get("errors") or [content]
    messages = [
        dict_or_empty(error).get("message", error) for error in (errors if isinstance(errors, list) else [errors])
    ]
    return "; ".join(dict.fromkeys(message for message in messages if isinstance(message, str) and message))


def _names(*values: t.Any) -> list[str]:
    return [value.lower() for value in values if isinstance(value, str)]


def _clock(answer: Response) -> str:
    """What the answer's date says about this machine's clock."""
    ahead = seconds_until(answer.date)
    if ahead is None:
        return ""
    if abs(ahead) < _SAME_TIME:
        return "; it agrees with the API's"
    return f"; it is {abs(ahead):.0f} seconds {'behind' if ahead > 0 else 'ahead of'} the API's"
