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
  - Opens temporary proxy connections to services of devices that are registered with remote.it, and returns the address
    of each proxy.
  - One task can open thousands of connections, with a limited number of API calls at the same time. If a service cannot
    be opened, the task continues with the others.
  - For 20 or more services, the task shows its progress on standard error. A terminal shows one line that is updated. A
    log gets a new line after each tenth of the services, but at most one in 10 seconds. Standard output is not changed.
  - A connection stays open until it is closed, until it has been idle for 15 minutes, or for about 8 hours. When the
    run ends, for whatever reason, its connections are closed, except those opened with O(detach=true).
extends_documentation_fragment:
  - remoteit.fleet._auth
  - remoteit.fleet._attributes
attributes:
  check_mode:
    support: full
    details:
      - Does not open anything. Values of RV(connections) that only the API knows are V(null).
  idempotent:
    support: partial
    details:
      - With O(reuse=true), a connection that the same run has opened is returned again with C(changed=false).
options:
  deviceaddress:
    description:
      - The service IDs to connect to, for example V(80:00:00:00:01:00:40:C5). Use the ID of a service, not of a device.
      - A repeated ID is opened once.
      - One of O(deviceaddress), O(services) and O(hosts) is required.
    type: list
    elements: str
    aliases: [service_id, service_ids]
  services:
    description:
      - The services to connect to, by name. One request finds all of them.
      - Names are case-sensitive. If no device or more than one device has the name, the entry fails with V(not_found)
        and lists the candidates.
      - Only the devices of the account itself are found by name. Use O(deviceaddress) for a device of an organization.
      - The key of such a service in RV(connections) and RV(failures) is C(DEVICE/SERVICE) or C(DEVICE/APPLICATION).
    type: list
    elements: dict
    suboptions:
      device:
        description: The name of the device.
        type: str
        required: true
      service:
        description: The name of the service. Required unless O(services[].application) is set.
        type: str
      application:
        description:
          - The application type of the service, as a name (for example V(ssh) or V(http)) or a remote.it application
            ID. Required unless O(services[].service) is set.
        type: str
  hosts:
    description:
      - The inventory hosts to connect to. The service, the restriction and the account of each host are read from its
        variables, as the connection plugin P(remoteit.fleet.ssh#connection) does.
      - The keys of RV(connections) and RV(failures) are the names of the hosts.
      - An empty list opens nothing. An empty list in O(deviceaddress) or O(services) is an error.
      - The connections stay open until M(remoteit.fleet.remoteit_disconnect) closes those of the same hosts. The tasks
        of the hosts use them.
      - With a strategy that ignores C(run_once), such as P(ansible.builtin.free#strategy), a task handles only the host
        that it runs for.
      - Cannot be combined with the options for credentials, and the environment of the task is not read. The variables
        of the hosts also set the concurrency and the timeout.
    type: list
    elements: str
    version_added: 1.1.0
  hostip:
    description:
      - The IPv4 address that may use the proxy of a TCP service. RV(connections.restriction) returns the result.
      - By default, with a token (REST), only the address from which the API was called can use the proxy, V(caller).
        Set an address if SSH and HTTP leave your network from different addresses.
      - By default, with an access key (GraphQL), only the first client can use the proxy, V(latching).
      - An IPv4 address restricts the proxy to this address, V(address).
      - V(255.255.255.255) restricts the proxy to the first client, V(latching).
      - V(0.0.0.0) opens the proxy to everyone, V(public). This is dangerous and gives a warning.
      - To let another machine use the proxy, set the public address of that machine. The task always runs on the
        controller.
      - Has no effect on the reverse proxy of a web service, whose URL is always public.
    type: str
  wait:
    description:
      - Whether the API responds only after the connection is ready. V(false) gives a warning, because the vendor does
        not document the response in that case. Has no effect with an access key (GraphQL).
    type: bool
    default: true
  reuse:
    description:
      - Whether to return a connection that this run has already opened for the same account, service and O(hostip), if
        it still responds and does not expire soon. Close it as often as it was returned.
    type: bool
    default: true
  detach:
    description:
      - Whether to keep the connection open when the run ends. M(remoteit.fleet.remoteit_disconnect) or the playbook
        C(remoteit.fleet.teardown) closes it, otherwise the vendor does when it is idle or expires. Nothing prevents it
        from becoming idle.
      - If the API returns the same connection to another run that connects to the service, that run closes it as well.
    type: bool
    default: false
  fail_on:
    description:
      - The condition under which the task fails. V(any) fails if any service could not be opened, and V(all) only if no
        service could be opened. V(none) does not fail for these reasons.
      - Missing or refused credentials always fail the task. Connections that were opened are always returned.
    type: str
    choices: [any, all, none]
    default: any
notes:
  - A fact cache keeps the fact C(remoteit_connection) of an earlier run, although its connection is closed. With such a
    cache, use the registered result of the task instead.
seealso:
  - module: remoteit.fleet.remoteit_disconnect
  - name: Connecting to a device
    description: The vendor's documentation of the API call.
    link: https://docs.remote.it/api-reference/devices/connect
"""

EXAMPLES = r"""
# The credentials are in the environment: R3_ACCESS_KEY_ID and R3_SECRET_ACCESS_KEY, or REMOTEIT_TOKEN and
# REMOTEIT_DEVELOPER_KEY
- name: Open a connection
  remoteit.fleet.remoteit_connect:
    deviceaddress: "{{ remoteit_deviceaddress }}"
  register: opened

- name: Show the address of the proxy
  ansible.builtin.debug:
    msg: "ssh -p {{ opened.port }} {{ opened.host }}"

- name: Open connections to several services, and fail only if none can be opened
  remoteit.fleet.remoteit_connect:
    deviceaddress: "{{ groups['kiosks'] | map('extract', hostvars, 'remoteit_deviceaddress') | list }}"
    hostip: 255.255.255.255
    concurrency: 32
    fail_on: all
  register: kiosks
  run_once: true

- name: Show the services that could not be opened
  ansible.builtin.debug:
    var: kiosks.failures
  run_once: true

- name: Open a connection to a service by name
  remoteit.fleet.remoteit_connect:
    services:
      - device: "{{ remoteit_device }}"
        application: ssh
"""

RETURN = r"""
connections:
  description:
    - The open connections. The keys are the values of O(deviceaddress), the names as described in O(services), or
      O(hosts).
    - In check mode, all values are V(null) except RV(connections.deviceaddress), RV(connections.host_key_alias),
      RV(connections.name) and RV(connections.reused).
  returned: always, even if the task failed because of some services
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
      description: The service ID, as specified in the task.
      returned: always
      type: str
    name:
      description: The name of the service. V(null) if it is not known.
      returned: always
      type: str
    connectionid:
      description: The connection ID, which closes the connection.
      returned: always
      type: str
    proxy:
      description:
        - The address of the proxy, as returned by the API. Ignore its C(http) if RV(connections.scheme) is V(tcp).
      returned: always
      type: str
    host:
      description: The host name of the proxy.
      returned: always
      type: str
    port:
      description: The port of the proxy.
      returned: always
      type: int
    host_key_alias:
      description: The value for the SSH option C(HostKeyAlias). It does not change when the host and the port change.
      returned: always
      type: str
      version_added: 1.1.0
    scheme:
      description: The scheme, V(https) or V(http) for a reverse proxy, otherwise V(tcp).
      returned: always
      type: str
    reverse_proxy:
      description: Whether the proxy is a reverse proxy, which serves a web service at a public URL.
      returned: always
      type: bool
    expirationsec:
      description: The maximum lifetime of the connection, in seconds. V(null) if it is not known.
      returned: always
      type: int
    expires_at:
      description: The latest time at which the connection expires, in UTC. V(null) if it is not known.
      returned: always
      type: str
    restriction:
      description:
        - The clients that can use the proxy.
        - V(caller) is the address from which the API was called.
        - V(latching) is the first client.
        - V(address) is the address of O(hostip).
        - V(public) is everyone.
      returned: always
      type: str
    reused:
      description: Whether the run had already opened the connection.
      returned: always
      type: bool
failures:
  description: The services that could not be opened. The keys are those that RV(connections) would have.
  returned: always, empty if all services could be opened
  type: dict
  sample:
    "80:00:00:00:01:00:40:C6":
      code: offline
      message: "the API says: inactive (the device is not connected to remote.it)"
  contains:
    code:
      description:
        - The reason, as a code.
        - V(auth) - the API does not accept the credentials.
        - V(not_found) - the API does not know the service.
        - V(not_shared) - this account may not connect to the service.
        - V(offline) - the device is not connected to remote.it.
        - V(throttled) - the API limits the rate of requests.
        - V(timeout) and V(network) - the API did not respond. A connection may have been opened.
        - V(bad_answer) - the response of the API is not valid.
        - V(api) - the API refused for another reason.
        - V(options) - a variable of the host is missing or invalid. Only with O(hosts).
      returned: always
      type: str
    message:
      description: The reason, as a text, with the reason of the API and the next step.
      returned: always
      type: str
    connectionid:
      description:
        - The ID of a connection that was opened, cannot be used and could not be closed. The end of the run or a
          teardown tries again.
      returned: if there is such a connection
      type: str
    may_be_open:
      description:
        - Whether a connection may have been opened. It is always V(true). Such a connection expires 15 minutes after
          its last use.
      returned: if it is not known whether a connection was opened
      type: bool
proxy:
  description: The value of the same name in RV(connections).
  returned: for exactly one service
  type: str
  sample: http://proxy40.rt3.io:34168
connectionid:
  description: The value of the same name in RV(connections).
  returned: for exactly one service
  type: str
  sample: 48844999-bbf4-48cf-9a3a-353b7385737a
host:
  description: The value of the same name in RV(connections).
  returned: for exactly one service
  type: str
  sample: proxy40.rt3.io
port:
  description: The value of the same name in RV(connections).
  returned: for exactly one service
  type: int
  sample: 34168
expirationsec:
  description: The value of the same name in RV(connections).
  returned: for exactly one service
  type: int
  sample: 28800
run_id:
  description: The ID of the run whose ledger records the connections.
  returned: always, unless the task failed before the first API request
  type: str
  sample: 4711-09af3c55d2
ansible_facts:
  description: The facts of the host that the task runs for. With C(run_once), ansible-core sets them for all hosts of
    the play.
  returned: for exactly one service
  type: dict
  contains:
    remoteit_connection:
      description: The entry in RV(connections).
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
