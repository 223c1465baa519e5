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
  - If a connection is already closed, the task reports no change and does not fail. If the API does not accept the
    credentials, the task always fails.
extends_documentation_fragment:
  - remoteit.fleet._auth
  - remoteit.fleet._attributes
attributes:
  check_mode:
    support: full
    details:
      - Does not close anything. Reports every connection as if it were open.
      - Only O(run_id) and O(all) can send a request. With an access key, they query the result of a connect call that
        got no response.
  idempotent:
    support: full
options:
  deviceaddress:
    description: The service ID of the connection. Requires O(connectionid).
    type: str
    aliases: [service_id]
  connectionid:
    description: The connection ID that M(remoteit.fleet.remoteit_connect) returned. Requires O(deviceaddress).
    type: str
  connections:
    description:
      - The connections that M(remoteit.fleet.remoteit_connect) returned. Accepts its registered result, the dictionary
        RV(ignore:connections) of it, or a list of the entries of this dictionary.
      - Entries without a connection ID are skipped. Check mode returns such entries.
    type: raw
  hosts:
    description:
      - The inventory hosts whose connections to close, if M(remoteit.fleet.remoteit_connect) opened them with O(hosts).
        The name of a group is an error.
        No registered result is needed. If a connection was replaced in the meantime, its replacement is closed.
      - The task waits for commands that are still running through a connection. An empty list closes nothing.
      - With a strategy that ignores C(run_once), such as P(ansible.builtin.free#strategy), a task handles only the host
        that it runs for.
    type: list
    elements: str
    version_added: 1.1.0
  run_id:
    description:
      - The ID of the ended run whose connections to close, according to its ledger on this controller.
        M(remoteit.fleet.remoteit_connect) returns it as RV(ignore:run_id).
      - Also accepts a CI job ID (the value of E(REMOTEIT_RUN_ID), or the ID that the CI system sets). In that case, the
        connections of all ended runs of the job are closed.
      - Use the playbook C(remoteit.fleet.teardown) as the last step of a CI pipeline.
    type: str
  all:
    description:
      - Whether to close the connections of all ended runs of this user, according to the ledgers on this controller.
    type: bool
notes:
  - With O(run_id) and O(all), E(REMOTEIT_STATE_DIR) and E(REMOTEIT_RUN_ID) are read from the environment of
    C(ansible-playbook). The task fails if its own environment sets other values.
  - With O(run_id) and O(all), the connections of a running run are never closed. If its keeper was killed, a run in
    another container or on another machine counts as ended.
  - Connections in a ledger that were opened with other credentials are not closed and are returned in RV(failures). The
    same applies to a connection that may have been opened, until the time at which it expires.
  - The API returns the same error for an unknown connection and for a wrong developer key. If the reason of the API is
    ambiguous, another call is made with the same credentials. If it succeeds, the connection counts as closed.
    Otherwise the task fails.
  - The API may not know a connection that another login opened. For a connection that this run did not open, the
    ledgers on this controller are read. The task fails if a ledger shows another login, or if its proxy still responds.
    If no ledger lists the connection, it is returned in RV(already_closed) with a warning.
  - A call to close a connection is tried up to 5 times, with increasing delays, if the API does not respond or returns
    HTTP 5xx.
seealso:
  - module: remoteit.fleet.remoteit_connect
"""

EXAMPLES = r"""
- name: Open a connection
  remoteit.fleet.remoteit_connect:
    deviceaddress: "{{ remoteit_deviceaddress }}"
  register: opened

- name: Close the connection
  remoteit.fleet.remoteit_disconnect:
    deviceaddress: "{{ remoteit_deviceaddress }}"
    connectionid: "{{ opened.connectionid }}"

- name: Close all connections that a task has opened
  remoteit.fleet.remoteit_disconnect:
    connections: "{{ opened.connections }}"

- name: Close the connections that ended runs left open
  remoteit.fleet.remoteit_disconnect:
    all: true

- name: Close the connections that the runs of one CI job left open
  remoteit.fleet.remoteit_disconnect:
    run_id: "4711"
"""

RETURN = r"""
closed:
  description: The connections that this task closed.
  returned: always
  type: list
  elements: dict
  contains: &named
    deviceaddress:
      description: The service ID.
      returned: always
      type: str
    connectionid:
      description: The connection ID.
      returned: always
      type: str
  sample:
    - deviceaddress: "80:00:00:00:01:00:40:C5"
      connectionid: 48844999-bbf4-48cf-9a3a-353b7385737a
already_closed:
  description:
    - The connections that were already closed, or that the API does not know. A warning names those that another login
      may have opened.
  returned: always
  type: list
  elements: dict
  contains: *named
  sample: []
still_used:
  description:
    - The connections that stay open, because another task of this run also uses them and has not closed them yet.
    - Also connections that another running run uses, because the vendor returned the same connection to both runs.
  returned: always
  type: list
  elements: dict
  contains: *named
  sample: []
failures:
  description: The connections that could not be closed, by service ID. They may still be open.
  returned: always
  type: dict
  contains:
    code:
      description: The reason, as a code that M(remoteit.fleet.remoteit_connect) documents.
      returned: always
      type: str
    message:
      description: The reason, as a text, with the reason of the API and the next step.
      returned: always
      type: str
    connectionid:
      description: The connection ID. Empty if it is not known.
      returned: always
      type: str
  sample: {}
ansible_facts:
  description: The facts of the host that the task runs for. With C(run_once), ansible-core sets them for all hosts of
    the play.
  returned: if the task closed the connection in the fact, or it was already closed
  type: dict
  contains:
    remoteit_connection:
      description: An empty dictionary. It replaces the fact that M(remoteit.fleet.remoteit_connect) set.
      returned: always
      type: dict
failure:
  description: The reason why the task failed. RV(ignore:msg) contains it as a text.
  returned: on failure
  type: dict
  contains:
    code:
      description: A code of RV(failures), or V(options) if an option is invalid. No API request was sent in that case.
      returned: always
      type: str
    message:
      description: The reason, as a text.
      returned: always
      type: str
    details:
      description: More information, for example RV(failures).
      returned: always
      type: dict
"""
