#!/usr/bin/python

# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: remoteit_connection_info
short_description: List open remote.it connections
version_added: 1.0.0
author:
  - remoteit.fleet contributors (@remoteit-fleet)
description:
  - Lists the open connections of running and ended runs, according to the ledgers on this controller.
  - With an access key, also lists all proxy connections that the account has open, including those that no run has
    opened. Without an access key, no request is sent.
extends_documentation_fragment:
  - remoteit.fleet._auth
  - remoteit.fleet._attributes
attributes:
  check_mode:
    support: full
    details:
      - Does not change anything.
  idempotent:
    support: full
notes:
  - The ledgers are files on the controller. The module does not list the runs of other controllers.
  - E(REMOTEIT_STATE_DIR) and E(REMOTEIT_RUN_ID) are read from the environment of C(ansible-playbook). The task fails if
    its own environment sets other values.
options:
  run_id:
    description:
      - The ID of the run whose connections to list. By default, the connections of all runs are listed.
      - Also accepts a CI job ID, like O(remoteit.fleet.remoteit_disconnect#module:run_id).
    type: str
seealso:
  - module: remoteit.fleet.remoteit_disconnect
"""

EXAMPLES = r"""
- name: List open connections
  remoteit.fleet.remoteit_connection_info:
  register: connections

- name: Show the connections of this account that no run on this controller has opened
  ansible.builtin.debug:
    msg: "{{ connections.sessions | default([], true) | map(attribute='connectionid')
      | difference(connections.connections | map(attribute='connectionid')) }}"

- name: Show the services whose connections were left open by ended runs
  ansible.builtin.debug:
    msg: "{{ connections.connections | rejectattr('alive') | map(attribute='deviceaddress') | list }}"
"""

RETURN = r"""
sessions:
  description:
    - The proxy connections that this account has open, according to the API.
    - V(null) without an access key, because the REST API cannot list them. Also V(null), with a warning, if the API
      does not respond.
  returned: always
  type: list
  elements: dict
  contains:
    connectionid:
      description: The connection ID. Like the other values, V(null) if the API does not return it.
      returned: always
      type: str
    deviceaddress:
      description: The service ID.
      returned: always
      type: str
    opened_at:
      description: The time at which the connection was opened, in UTC.
      returned: always
      type: str
  sample:
    - connectionid: 48844999-bbf4-48cf-9a3a-353b7385737a
      deviceaddress: "80:00:00:00:01:00:40:C5"
      opened_at: "2026-01-15T23:20:00Z"
connections:
  description: The connections that are open, according to the ledgers.
  returned: always
  type: list
  elements: dict
  sample:
    - account: 662b3b9936ca-ccf1ae849bc0
      age: 4200
      alive: false
      api_url: https://api.remot3.it/apv/v27
      connectionid: 48844999-bbf4-48cf-9a3a-353b7385737a
      detached: false
      deviceaddress: "80:00:00:00:01:00:40:C5"
      ends_by_itself_at: "2026-01-16T07:20:00Z"
      inventory_host: kiosk-7
      opened_at: "2026-01-15T23:20:00Z"
      run_id: 4711-09af3c55d2
      time_left: 24600
  contains:
    run_id:
      description: The ID of the run that opened the connection.
      returned: always
      type: str
    alive:
      description: Whether the run is still running.
      returned: always
      type: bool
    inventory_host:
      description:
        - The first inventory host that requested the connection. V(null) for a connection that was opened by its
          service ID.
      returned: always
      type: str
      version_added: 1.1.0
    deviceaddress:
      description: The service ID.
      returned: always
      type: str
    connectionid:
      description:
        - The connection ID. V(null) while the connection is being opened, or if it is not known whether it was opened.
      returned: always
      type: str
    opened_at:
      description: The time at which the connection was opened, or at which the call to open it was sent, in UTC.
      returned: always
      type: str
    age:
      description: The time since RV(connections[].opened_at), in seconds.
      returned: always
      type: int
    ends_by_itself_at:
      description: The latest time at which the connection expires, in UTC.
      returned: always
      type: str
    time_left:
      description: The time until RV(connections[].ends_by_itself_at), in seconds. V(0) if it has passed.
      returned: always
      type: int
    detached:
      description: Whether the connection was opened with O(remoteit.fleet.remoteit_connect#module:detach=true).
      returned: always
      type: bool
    account:
      description: A fingerprint of the credentials that opened the connection. It does not reveal the credentials.
      returned: always
      type: str
    api_url:
      description: The URL of the API that opened the connection.
      returned: always
      type: str
table:
  description:
    - The open connections as lines of text, of at most 69 characters each. The playbook C(remoteit.fleet.status) prints
      them.
    - The connections of each run, then those of the account that no run on this controller has opened.
  returned: always
  type: list
  elements: str
  version_added: 1.1.0
  sample:
    - "DEVICE                                   OPENED (UTC)   ENDS BY (UTC)"
    - "run 4711-09af3c55d2, ended"
    - "  kiosk-7                                01-15 23:20    01-16 07:20"
failure:
  description: The reason why the task failed. RV(ignore:msg) contains it as a text.
  returned: on failure
  type: dict
  contains:
    code:
      description:
        - V(options) if an option is invalid, or another code that M(remoteit.fleet.remoteit_connect) documents.
      returned: always
      type: str
    message:
      description: The reason, as a text.
      returned: always
      type: str
    details:
      description: More information.
      returned: always
      type: dict
"""
