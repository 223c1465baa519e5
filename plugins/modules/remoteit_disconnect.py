#!/usr/bin/python

# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: remoteit_disconnect
short_description: Close remote.it proxy connections
version_added: 1.0.0
author:
  - remoteit.fleet contributors (@remoteit-fleet)
description:
  - Closes one or many proxy connections.
  - A connection that is gone already is no change and no failure. Credentials that the API does not accept are always a
    failure.
extends_documentation_fragment:
  - remoteit.fleet._auth
  - remoteit.fleet._attributes
attributes:
  check_mode:
    support: full
    details:
      - Nothing is closed. Every connection is taken for open.
      - Only O(run_id) and O(all) may send a request. With an access key they ask what became of an opening that got no
        answer.
  idempotent:
    support: full
options:
  deviceaddress:
    description: The service id of the connection. O(connectionid) belongs to it.
    type: str
    aliases: [service_id]
  connectionid:
    description: The connection id, as M(remoteit.fleet.remoteit_connect) returned it.
    type: str
  connections:
    description:
      - What M(remoteit.fleet.remoteit_connect) returned - its registered result, the dictionary RV(ignore:connections)
        of it, or a list of its entries.
      - Entries without a connection id, as check mode returns them, are passed over.
    type: raw
  hosts:
    description:
      - The inventory hosts whose connections to close, if M(remoteit.fleet.remoteit_connect) opened them with the same
        option. No registered result is needed, and a connection that was replaced meanwhile is closed as well.
      - A command that is still running through a connection is waited for.
      - With a strategy that ignores C(run_once), such as P(ansible.builtin.free#strategy), a task handles its own host
        only.
    type: list
    elements: str
    version_added: 1.1.0
  run_id:
    description:
      - Close what this run has left open, according to its ledger on this controller. It is the RV(ignore:run_id) that
        M(remoteit.fleet.remoteit_connect) returned. Or it is what that begins with, which stands for all runs of a CI
        job - E(REMOTEIT_RUN_ID) if it was set, else the id that the CI gave.
      - Use the playbook C(remoteit.fleet.teardown) as the last step of a CI pipeline.
    type: str
  all:
    description: Close what any dead run of this user has left open, according to the ledgers on this controller.
    type: bool
notes:
  - A run that lives is never touched by O(run_id) and O(all). In another container, or on another machine, a run whose
    keeper was killed looks dead.
  - Entries of a ledger that other credentials have opened are named as failures and left. So is a connection of which
    nobody knows whether it was opened, until the time at which the vendor ends it.
  - The API answers alike when it does not know a connection and when it does not accept the developer key. When its
    reason does not tell which, another call with the same credentials is made. If that succeeds, the connection is
    taken for closed, else the task fails.
  - A stop that got no answer, or HTTP 429 or 5xx, is tried up to 5 times with growing pauses.
seealso:
  - module: remoteit.fleet.remoteit_connect
"""

EXAMPLES = r"""
- name: Open a connection
  remoteit.fleet.remoteit_connect:
    deviceaddress: "{{ remoteit_deviceaddress }}"
  register: opened

- name: Close it again
  remoteit.fleet.remoteit_disconnect:
    deviceaddress: "{{ remoteit_deviceaddress }}"
    connectionid: "{{ opened.connectionid }}"

- name: Close everything that a task has opened
  remoteit.fleet.remoteit_disconnect:
    connections: "{{ opened.connections }}"

- name: Close what dead runs have left open
  remoteit.fleet.remoteit_disconnect:
    all: true

- name: Close what the runs of one CI job have left open
  remoteit.fleet.remoteit_disconnect:
    run_id: "4711"
"""

RETURN = r"""
closed:
  description: The connections that this task has closed.
  returned: always
  type: list
  elements: dict
  contains: &named
    deviceaddress:
      description: The service id.
      returned: always
      type: str
    connectionid:
      description: The connection id.
      returned: always
      type: str
  sample:
    - deviceaddress: "80:00:00:00:01:00:40:C5"
      connectionid: 48844999-bbf4-48cf-9a3a-353b7385737a
already_closed:
  description: The connections that were gone before.
  returned: always
  type: list
  elements: dict
  contains: *named
  sample: []
still_used:
  description: The connections that another task of the run got as well and has not closed yet, or another run that
    lives, from the vendor. They stay open.
  returned: always
  type: list
  elements: dict
  contains: *named
  sample: []
failures:
  description: What could not be closed, by service id. It may still be open. Each value has the keys below.
  returned: always
  type: dict
  contains:
    code:
      description: One of the codes that M(remoteit.fleet.remoteit_connect) documents.
      returned: always
      type: str
    message:
      description: What happened, what the API said, and what to do.
      returned: always
      type: str
    connectionid:
      description: The connection id, empty if it is not known.
      returned: always
      type: str
  sample: {}
ansible_facts:
  description: Facts of the host that the task runs for.
  returned: on success
  type: dict
  contains:
    remoteit_connection:
      description: An empty dictionary, so that nobody takes the closed connection for an open one.
      returned: always
      type: dict
failure:
  description: Why the task failed. RV(ignore:msg) says it in one text.
  returned: on failure
  type: dict
  contains:
    code:
      description: One of the codes of RV(failures), or V(options) when the input was refused before any request.
      returned: always
      type: str
    message:
      description: What happened.
      returned: always
      type: str
    details:
      description: More about it, for instance RV(failures).
      returned: always
      type: dict
"""
