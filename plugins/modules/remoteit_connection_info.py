#!/usr/bin/python

# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: remoteit_connection_info
short_description: List the remote.it connections that runs have left open
version_added: 1.0.0
author:
  - remoteit.fleet contributors (@remoteit-fleet)
description:
  - Lists what is open according to the ledgers on this controller, of runs that live and of runs that are dead.
  - With an access key it also lists the account's own proxy connections that are open at this moment, whoever opened
    them. Without one no request is sent.
extends_documentation_fragment:
  - remoteit.fleet._auth
  - remoteit.fleet._attributes
attributes:
  check_mode:
    support: full
    details:
      - It changes nothing.
  idempotent:
    support: full
notes:
  - It runs on the controller, where the ledgers are.
options:
  run_id:
    description:
      - List only what this run has opened, or the runs of this CI job, as
        O(remoteit.fleet.remoteit_disconnect#module:run_id) takes it.
    type: str
seealso:
  - module: remoteit.fleet.remoteit_disconnect
"""

EXAMPLES = r"""
- name: List what is open
  remoteit.fleet.remoteit_connection_info:
  register: connections

- name: Name the connections of this account that no run on this controller has opened
  ansible.builtin.debug:
    msg: "{{ connections.sessions | default([], true) | map(attribute='connectionid')
      | difference(connections.connections | map(attribute='connectionid')) }}"

- name: Name the services whose connections a dead run has left open
  ansible.builtin.debug:
    msg: "{{ connections.connections | rejectattr('alive') | map(attribute='deviceaddress') | list }}"
"""

RETURN = r"""
sessions:
  description:
    - The proxy connections that this account has open, according to the API. V(null) without an access key, because the
      REST API cannot tell, and if the API does not answer, which gives a warning.
  returned: always
  type: list
  elements: dict
  contains:
    connectionid:
      description: The connection id. V(null), as the others are, if the API does not tell it.
      returned: always
      type: str
    deviceaddress:
      description: The service id.
      returned: always
      type: str
    opened_at:
      description: When it was opened, in UTC.
      returned: always
      type: str
  sample:
    - connectionid: 48844999-bbf4-48cf-9a3a-353b7385737a
      deviceaddress: "80:00:00:00:01:00:40:C5"
      opened_at: "2026-01-15T23:20:00Z"
connections:
  description: The connections that are not closed, according to the ledgers.
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
      opened_at: "2026-01-15T23:20:00Z"
      run_id: 4711-09af3c55d2
      time_left: 24600
  contains:
    run_id:
      description: The run that opened it.
      returned: always
      type: str
    alive:
      description: Whether the run still lives.
      returned: always
      type: bool
    deviceaddress:
      description: The service id.
      returned: always
      type: str
    connectionid:
      description:
        - The connection id. V(null) while the connection is being opened, or when nobody knows whether it was opened.
      returned: always
      type: str
    opened_at:
      description: When it was opened, or when the call that was to open it was sent, in UTC.
      returned: always
      type: str
    age:
      description: How long ago that was, in seconds.
      returned: always
      type: int
    ends_by_itself_at:
      description: When the vendor ends it at the latest, in UTC.
      returned: always
      type: str
    time_left:
      description: How long that is from now, in seconds, V(0) if the time has passed.
      returned: always
      type: int
    detached:
      description: Whether it was opened to outlive its run.
      returned: always
      type: bool
    account:
      description: A fingerprint of the credentials that opened it, from which they cannot be read.
      returned: always
      type: str
    api_url:
      description: The API that opened it.
      returned: always
      type: str
failure:
  description: Why the task failed. RV(ignore:msg) says it in one text.
  returned: on failure
  type: dict
  contains:
    code:
      description:
        - V(options) when the input was refused, or another of the codes of M(remoteit.fleet.remoteit_connect).
      returned: always
      type: str
    message:
      description: What happened.
      returned: always
      type: str
    details:
      description: More about it.
      returned: always
      type: dict
"""
