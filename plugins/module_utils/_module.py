# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""What the modules have in common when they run as modules, which is on another host than the controller."""

from __future__ import annotations

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.remoteit.fleet.plugins.module_utils._errors import RemoteItError
from ansible_collections.remoteit.fleet.plugins.module_utils._fleet import Direct
from ansible_collections.remoteit.fleet.plugins.module_utils._results import failed


def run_module(module: AnsibleModule, work: t.Callable[..., dict[str, t.Any]]) -> t.NoReturn:
    """Do the work from this process and leave with its result."""
    try:
        result = work(module.params, os.environ, Direct(), check_mode=module.check_mode)
    except RemoteItError as error:
        result = failed(error)
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)
