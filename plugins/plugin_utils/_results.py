# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Build the results of tasks that fail."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import RemoteItError

#: The explanation at the end of a reason.
_EXPLANATION = re.compile(r" \([^()]*\)$")
#: The services that a message names.
MAX_LISTED = 10


def failed(error: RemoteItError) -> dict[str, t.Any]:
    """Return the result of a task that raised this error."""
    details = error.details
    failure = {**error.as_failure(), "details": details}
    return {"failed": True, "changed": False, "msg": error.message, "failure": failure}


def with_warnings(result: dict[str, t.Any], warnings: t.Sequence[str]) -> dict[str, t.Any]:
    """Return the result with the warnings, if there are any."""
    return {**result, "warnings": warnings} if warnings else result


def failed_for(failures: t.Mapping[str, t.Mapping[str, t.Any]], msg: str) -> dict[str, t.Any]:
    """Return the keys of a result with failed services. Its ``failure.code`` is that of the first failure."""
    code = next(iter(failures.values()))["code"]
    return {"failed": True, "msg": msg, "failure": {"code": code, "message": msg, "details": failures}}


def list_failures(failures: t.Sequence[tuple[str, str]]) -> str:
    """Return the first failed services and why they failed, as one text.

    A reason that several share is there once, and so is an explanation at the end of different reasons.
    """
    by_reason: dict[str, list[str]] = {}
    for service, reason in failures[:MAX_LISTED]:
        by_reason.setdefault(reason, []).append(service)
    listed, known = [], set()
    for reason, services in by_reason.items():
        explanation = _EXPLANATION.search(reason)
        shown = reason[: explanation.start()] if explanation and explanation[0] in known else reason
        known.add(explanation[0] if explanation else "")
        listed.append(f"{', '.join(services)}: {shown}")
    if len(failures) > MAX_LISTED:
        listed.append(f"and {len(failures) - MAX_LISTED} more, see failures")
    return "; ".join(listed)
