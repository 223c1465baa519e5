# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""A response of the GraphQL API: its data, and what its errors are about."""

from __future__ import annotations

import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import dict_or_empty


class ErrorPath(t.NamedTuple):
    """The fields above an error, and the positions in their lists. An error without a path has neither."""

    names: list[str]
    numbers: list[int]

    def is_about_another_service(self, index: int) -> bool:
        return self.names[:2] == ["login", "service"] and self.numbers[:1] not in ([], [index])

    def is_about_listed_session(self, length: int) -> bool:
        return self.names[:3] == ["login", "service", "sessions"] and any(n < length for n in self.numbers[1:2])


class Reply(t.NamedTuple):
    """A response with a JSON object, and the error for the errors in it if there are any."""

    status: int
    content: dict[str, t.Any]
    error: RemoteItError | None
    date: str | None  # the header

    @property
    def data(self) -> dict[str, t.Any]:
        return dict_or_empty(self.content.get("data"))

    def has_only_errors_about(self, fields: t.Collection[str]) -> bool:
        """Return whether all errors are about these fields of items in a list."""
        paths = error_paths_in(self.content)
        return bool(paths) and all(path.numbers and set(path.names) & set(fields) for path in paths)

    def has_error_about_sessions(self, index: int, length: int) -> bool:
        """Return whether an error shows that the list of sessions of a service may be incomplete.

        That is every error, except one about another service or about an item that is listed.

        :param index: the position of the service in the response.
        :param length: the number of sessions in the list.
        """
        return self.error is not None and not all(
            path.is_about_another_service(index) or path.is_about_listed_session(length)
            for path in error_paths_in(self.content) or [ErrorPath([], [])]
        )


def _errors_in(content: dict[str, t.Any]) -> list[t.Any]:
    """Return the errors of a response. A gateway may send one that is not in a list."""
    errors = content.get("errors") or []
    return errors if isinstance(errors, list) else [errors]


def list_messages(content: dict[str, t.Any]) -> list[str]:
    """Return the different error messages of a response. That of a gateway is not in ``errors``."""
    messages = [dict_or_empty(error).get("message", error) for error in _errors_in(content) or [content]]
    return list(dict.fromkeys(message for message in messages if isinstance(message, str) and message))


def messages_in(content: dict[str, t.Any]) -> str:
    """Return all error messages of a response as one text."""
    return "; ".join(list_messages(content))


def codes_in(content: dict[str, t.Any]) -> list[t.Any]:
    """Return the code of each error of a response, or ``None`` for an error without a code."""
    return [dict_or_empty(dict_or_empty(error).get("extensions")).get("code") for error in _errors_in(content)]


def error_paths_in(content: dict[str, t.Any]) -> list[ErrorPath]:
    """Return the path of each error of a response."""
    paths = [dict_or_empty(error).get("path") for error in _errors_in(content)]
    return [
        ErrorPath([part for part in path if isinstance(part, str)], [part for part in path if isinstance(part, int)])
        for path in (path if isinstance(path, list) else [] for path in paths)
    ]


def fields_with_errors(content: dict[str, t.Any]) -> list[str]:
    """Return the fields that the errors of a response are about."""
    return [".".join(path.names) for path in error_paths_in(content) if path.names]


def is_below_root(content: dict[str, t.Any]) -> bool:
    """Return whether an error of a response is about a field below a root field, which was executed then."""
    return any("." in path for path in fields_with_errors(content))
