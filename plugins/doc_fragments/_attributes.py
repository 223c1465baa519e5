# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # Every module of the collection is in the action group.
    DOCUMENTATION = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/remoteit.fleet.remoteit) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - remoteit.fleet.remoteit
  async:
    description: Supports the C(async) keyword.
    support: none
  check_mode:
    description: Can run in C(check_mode) and predict the changed status without modifying anything.
  diff_mode:
    description: Returns details on what has changed, or possibly needs changing, in diff mode.
    support: none
  idempotent:
    description: Returns C(changed=false) when run a second time with the same arguments.
  platform:
    description: The platform of the controller, where the task runs.
    support: full
    platforms: posix
"""
