#!/usr/bin/python

# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: remoteit_session
short_description: Part of the role remoteit_session
version_added: 1.0.0
author:
  - remoteit.fleet contributors (!UNKNOWN)
description:
  - Does what the role P(remoteit.fleet.remoteit_session#role) cannot say in YAML. Use the role. This module may change
    in any release.
extends_documentation_fragment:
  - remoteit.fleet._auth
  - remoteit.fleet._attributes
attributes:
  check_mode:
    support: none
    details:
      - In check mode it does what it does without it, because a proxy is no change to a device.
  idempotent:
    support: full
options:
  phase:
    description:
      - V(find) finds the tasks file; V(open) opens the connections of the hosts in one call; V(ready) makes sure that a
        host is reached through its proxy and waits until it answers; V(close) closes the connections again.
    type: str
    choices: [find, open, ready, close]
    required: true
  alone:
    description:
      - Whether to speak for this host instead of the whole batch, as it has to be where a strategy runs
        C(run_once) tasks on every host.
    type: bool
    default: false
  tasks:
    description: The tasks file to find, and to be the same for all hosts.
    type: str
  main:
    description: Whether this is part of the role as a whole, whose V(close) ends only what its own V(open) has opened.
    type: bool
    default: false
  wait_timeout:
    description: How long to wait until the device answers, in seconds. V(0) does not wait.
    type: int
    default: 60
  gather_facts:
    description: Whether to gather facts once the device has answered.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Open the connections of the whole batch
  remoteit.fleet.remoteit_session:
    phase: open
  run_once: true
"""

RETURN = r"""
in_step:
  description: Whether a C(run_once) task speaks for the whole batch under the strategy of the play.
  returned: for the phases V(open) and V(close)
  type: bool
path:
  description: The absolute path of the tasks file, V(null) for a session without one.
  returned: for the phase V(find), and for the phase V(open) with O(alone=true)
  type: str
force_handlers:
  description: Whether the handlers of a host run although it has failed.
  returned: for the phase V(find)
  type: bool
hosts:
  description: What to set for the hosts whose connection is open.
  returned: for the phase V(open)
  type: list
  elements: dict
others:
  description: What to set for the other hosts.
  returned: for the phase V(open)
  type: list
  elements: dict
failures:
  description: The hosts or services that failed, with C(code) and C(message).
  returned: for the phases V(open) and V(close)
  type: dict
restore:
  description: The hosts whose session has ended.
  returned: for the phase V(close)
  type: list
  elements: dict
variables:
  description: The variables to set again.
  returned: for the phase V(close)
  type: list
  elements: dict
stay:
  description: The hosts that are in a session around this one, which goes on.
  returned: for the phase V(close)
  type: list
  elements: dict
problem:
  description: Why connections may still be open, V(null) if all are closed.
  returned: for the phase V(close)
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.remoteit.fleet.plugins.module_utils._session_spec import ARGUMENT_SPEC


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC)
    module.fail_json(msg="remoteit_session works on the controller only, as part of the role remoteit_session")


if __name__ == "__main__":
    main()
