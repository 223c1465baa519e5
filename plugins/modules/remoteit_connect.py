#!/usr/bin/python

# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: remoteit_connect
short_description: Open remote.it proxy connections
version_added: 1.0.0
author:
  - remoteit.fleet contributors (@remoteit-fleet)
description:
  - Opens one or many temporary proxy connections to services of devices that are registered with remote.it, and returns
    where each proxy is.
  - One task opens thousands of connections, a bounded number at a time. A service that cannot be opened does not lose
    the others.
  - From 20 services on it shows on standard error how far it is. On a terminal that is a line which is rewritten. In a
    log it is a line with each tenth, but not more than one in 10 seconds. Standard output stays as it is.
  - A connection lives until it is stopped, until nobody has used it for 15 minutes, or for about 8 hours. What a run
    has opened is closed when the run ends, however it ends, unless O(detach=true).
extends_documentation_fragment:
  - remoteit.fleet._auth
  - remoteit.fleet._attributes
attributes:
  check_mode:
    support: full
    details:
      - Nothing is opened. The entries of RV(connections) have V(null) where only the answer to that tells the value.
  idempotent:
    support: partial
    details:
      - With O(reuse=true), a connection that the same run has opened is returned again with C(changed=false).
options:
  deviceaddress:
    description:
      - The service ids to connect to, for instance V(80:00:00:00:01:00:40:C5). It is the id of the service, not of its
        device.
      - An id that is given twice is opened once.
      - One of O(deviceaddress), O(services) and O(hosts) is required.
    type: list
    elements: str
    aliases: [service_id, service_ids]
  services:
    description:
      - The services to connect to by name. One query finds all of them.
      - Names are compared to the letter. A name that no device or several devices have is a failure of its own,
        V(not_found), which lists what there is.
      - In RV(connections) and RV(failures) the key of such a service is C(DEVICE/SERVICE), or C(DEVICE/APPLICATION).
    type: list
    elements: dict
    suboptions:
      device:
        description: The name of the device.
        type: str
        required: true
      service:
        description: The name of the service. Give either this or O(services[].application).
        type: str
      application:
        description: What the service is, by name, for instance V(ssh) or V(http), or by the vendor's number for it.
        type: str
  hosts:
    description:
      - The inventory hosts to connect to. The service, the restriction and the account of each host come from its
        variables, exactly as the connection plugin P(remoteit.fleet.ssh#connection) reads them.
      - The keys of RV(connections) and RV(failures) are the names of the hosts.
      - The connections stay open until M(remoteit.fleet.remoteit_disconnect) with the same hosts, and the tasks of the
        hosts use them.
      - With a strategy that ignores C(run_once), such as P(ansible.builtin.free#strategy), a task handles its own host
        only.
      - Options for credentials cannot be combined with it, and the environment of the task is not read. The number of
        calls at a time and the timeout come from the variables of the hosts.
    type: list
    elements: str
    version_added: 1.1.0
  hostip:
    description:
      - Who may use a port proxy, and what RV(connections.restriction) says then.
      - Not given, with a token (REST) - the address from which the API was called, V(caller). Give an address when SSH
        leaves by another one than HTTP does.
      - Not given, with an access key (GraphQL) - the first address that uses it, V(latching).
      - An IPv4 address - only that one, V(address).
      - V(255.255.255.255) - the first address that uses it, V(latching).
      - V(0.0.0.0) - everyone, V(public), which is dangerous and gives a warning.
      - To let another machine use the proxy, set its public address. The task always runs on the controller.
      - It has no effect on the reverse proxy of a web service, whose URL is always open to everyone.
    type: str
  wait:
    description:
      - Whether the API answers only when the connection is ready. V(false) gives a warning, because the vendor does not
        document what it answers then. It makes no difference with an access key (GraphQL).
    type: bool
    default: true
  reuse:
    description:
      - Whether a connection that this run has opened for the same account, service and O(hostip) is returned again if
        it still answers and is not near its end. It has to be closed as often as it was returned.
    type: bool
    default: true
  detach:
    description:
      - Whether the connection outlives the run. Only M(remoteit.fleet.remoteit_disconnect), the playbook
        C(remoteit.fleet.teardown) or the vendor's own limits end it then. Nothing keeps it from idling.
    type: bool
    default: false
  fail_on:
    description:
      - Whether the task fails if V(any) service could not be opened, if V(all) of them could not be opened, or for
        V(none) of these reasons.
      - Missing or refused credentials always fail the task. What was opened is returned in any case.
    type: str
    choices: [any, all, none]
    default: any
seealso:
  - module: remoteit.fleet.remoteit_disconnect
  - name: Connecting to a device
    description: The vendor's page about the call.
    link: https://docs.remote.it/api-reference/devices/connect
"""

EXAMPLES = r"""
# Credentials come from the environment: R3_ACCESS_KEY_ID and R3_SECRET_ACCESS_KEY, or REMOTEIT_TOKEN and
# REMOTEIT_DEVELOPER_KEY
- name: Open a connection
  remoteit.fleet.remoteit_connect:
    deviceaddress: "{{ remoteit_deviceaddress }}"
  register: opened

- name: Show where the proxy is
  ansible.builtin.debug:
    msg: "ssh -p {{ opened.port }} {{ opened.host }}"

- name: Open a connection to each of several services in one call, and go on with those that could be opened
  remoteit.fleet.remoteit_connect:
    deviceaddress: "{{ groups['kiosks'] | map('extract', hostvars, 'remoteit_deviceaddress') | list }}"
    hostip: 255.255.255.255
    concurrency: 32
    fail_on: all
  register: kiosks
  run_once: true

- name: Show those that could not be opened
  ansible.builtin.debug:
    var: kiosks.failures
  run_once: true

- name: Open a connection to a service that is known by its names
  remoteit.fleet.remoteit_connect:
    services:
      - device: "{{ remoteit_device }}"
        application: ssh
"""

RETURN = r"""
connections:
  description:
    - What was opened, by service id as it was given, or by the names as O(services) says. Each value has the keys
      below.
    - In check mode all values but RV(connections.deviceaddress), RV(connections.name) and RV(connections.reused) are
      V(null).
  returned: always, also when the task failed because of some services
  type: dict
  sample:
    "80:00:00:00:01:00:40:C5":
      connectionid: 48844999-bbf4-48cf-9a3a-353b7385737a
      deviceaddress: "80:00:00:00:01:00:40:C5"
      expirationsec: 28800
      expires_at: "2026-01-16T07:20:00Z"
      host: proxy40.rt3.io
      host_key_alias: remoteit-80-00-00-00-01-00-40-c5
      name:
      port: 34168
      proxy: http://proxy40.rt3.io:34168
      restriction: caller
      reused: false
      reverse_proxy: false
      scheme: tcp
  contains:
    deviceaddress:
      description: The service id as it was given.
      returned: always
      type: str
    name:
      description: The name of the service, V(null) where the API does not tell.
      returned: always
      type: str
    connectionid:
      description: What stops the connection again.
      returned: always
      type: str
    proxy:
      description: Where the proxy is, as the API says it. The C(http) of a port proxy means nothing.
      returned: always
      type: str
    host:
      description: The host of the proxy.
      returned: always
      type: str
    port:
      description: The port of the proxy.
      returned: always
      type: int
    host_key_alias:
      description: The name for the C(HostKeyAlias) of ssh. It stays the same although the host and the port change.
      returned: always
      type: str
      version_added: 1.1.0
    scheme:
      description: V(https) or V(http) for a reverse proxy, else V(tcp).
      returned: always
      type: str
    reverse_proxy:
      description: Whether it is a reverse proxy, which serves a web service under a URL that everyone can open.
      returned: always
      type: bool
    expirationsec:
      description: How long the connection lives at most, in seconds, V(null) if the API does not tell.
      returned: always
      type: int
    expires_at:
      description: When the connection ends at the latest, in UTC, V(null) if the API does not tell.
      returned: always
      type: str
    restriction:
      description:
        - Who may use the proxy - V(caller), the address that called the API; V(latching), the first comer;
          V(address), the one of O(hostip); V(public), everyone.
      returned: always
      type: str
    reused:
      description: Whether the run had opened it before.
      returned: always
      type: bool
failures:
  description: What could not be opened, by the keys that RV(connections) would have. Each value has the keys below.
  returned: always, empty when all could be opened
  type: dict
  sample:
    "80:00:00:00:01:00:40:C6":
      code: offline
      message: "the API says: inactive (the device is not connected to remote.it)"
  contains:
    code:
      description:
        - V(auth), the credentials are not accepted; V(not_found), the API does not know the service; V(not_shared),
          this account may not connect to it; V(offline), the device is not connected; V(throttled), the API asks for
          fewer requests; V(timeout) and V(network), no answer, so that a connection may be open all the same;
          V(bad_answer), the answer cannot be used; V(api), anything else that the API refused; with O(hosts) also
          V(options), a variable of the host is missing or invalid.
      returned: always
      type: str
    message:
      description: What happened, what the API said, and what to do.
      returned: always
      type: str
    connectionid:
      description: The connection that was opened, could not be used and could not be stopped. The end of the run, or a
        teardown, tries again.
      returned: when there is one
      type: str
    may_be_open:
      description: V(true); nobody knows whether a connection was opened. If so, it ends by itself 15 minutes after its
        last use.
      returned: when nobody knows
      type: bool
proxy:
  description: The value of this name in RV(connections).
  returned: for exactly one service
  type: str
  sample: http://proxy40.rt3.io:34168
connectionid:
  description: The value of this name in RV(connections).
  returned: for exactly one service
  type: str
  sample: 48844999-bbf4-48cf-9a3a-353b7385737a
host:
  description: The value of this name in RV(connections).
  returned: for exactly one service
  type: str
  sample: proxy40.rt3.io
port:
  description: The value of this name in RV(connections).
  returned: for exactly one service
  type: int
  sample: 34168
expirationsec:
  description: The value of this name in RV(connections).
  returned: for exactly one service
  type: int
  sample: 28800
run_id:
  description: The run under which the connection is recorded.
  returned: always, unless the task failed before it asked for any service
  type: str
  sample: 4711-09af3c55d2
ansible_facts:
  description: Facts of the host that the task runs for.
  returned: for exactly one service
  type: dict
  contains:
    remoteit_connection:
      description: The entry of RV(connections).
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
