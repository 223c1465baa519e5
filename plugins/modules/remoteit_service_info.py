#!/usr/bin/python

# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: remoteit_service_info
short_description: Find devices and services of a remote.it account
version_added: 1.0.0
author:
  - remoteit.fleet contributors (@remoteit-fleet)
description:
  - Lists devices and their services by name, tag, state, application and organisation. All options that are given have
    to fit; without any, everything that the account sees is listed.
  - With a token (REST) tags and organisations cannot be asked for, and a service whose device the API does not tell is
    listed as a device of its own.
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
options:
  device:
    description:
      - The names of devices, compared to the letter.
      - A name that several devices have is an error that lists them. A name that none has finds nothing.
    type: list
    elements: str
  service:
    description:
      - The names of services, compared to the letter. Only these services are listed, and only devices that have one.
      - Together with O(device), a name that several services of a device have is an error.
    type: list
    elements: str
  tags_any:
    description: Devices that have at least one of these tags. Needs an access key.
    type: list
    elements: str
  tags_all:
    description: Devices that have all of these tags. Needs an access key.
    type: list
    elements: str
  state:
    description: Devices that are connected to remote.it (V(active)), or that are not (V(inactive)).
    type: str
    choices: [active, inactive]
  application:
    description:
      - What the services are, by name, for instance V(ssh) or V(http), or by the vendor's number. Only these services
        are listed, and only devices that have one.
    type: list
    elements: str
  organisation:
    description:
      - List the devices of this organisation, of which the account is a member, in place of the account's own. Give its
        name, its id or its e-mail address. Needs an access key.
    type: str
    aliases: [organization]
seealso:
  - module: remoteit.fleet.remoteit_connect
  - name: GraphQL API usage
    description: The vendor's page about the fields.
    link: https://docs.remote.it/developer-tools/api/usage
"""

EXAMPLES = r"""
- name: Find the SSH services of all devices that are connected
  remoteit.fleet.remoteit_service_info:
    application: ssh
    state: active
  register: found

- name: Open a connection to each
  remoteit.fleet.remoteit_connect:
    deviceaddress: "{{ found.deviceaddresses }}"
"""

RETURN = r"""
devices:
  description: The devices. Names may be V(null), and are no templates.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: The device id. Nothing can connect to it; connect to one of the services.
      returned: always
      type: str
    name:
      description: The name.
      returned: always
      type: str
    online:
      description: Whether the device is connected to remote.it. The vendor notices up to 15 minutes late.
      returned: always
      type: bool
    state:
      description: What the API says its state is, for instance V(active) or V(inactive).
      returned: always
      type: str
    tags:
      description: The names of its tags.
      returned: always, empty with a token
      type: list
      elements: str
    attributes:
      description: The attributes that its owner has set.
      returned: always, empty with a token
      type: dict
    platform:
      description: The vendor's number for the kind of machine.
      returned: always
      type: int
    created:
      description: When it was registered, in UTC.
      returned: always
      type: str
    last_reported:
      description: When it was seen last, in UTC.
      returned: always
      type: str
    owner:
      description: The e-mail address of its owner.
      returned: always
      type: str
    external_address:
      description: The address from which it reaches the vendor.
      returned: always
      type: str
    internal_address:
      description: Its address in its own network.
      returned: always
      type: str
    services:
      description: Its services, or those of them that were asked for.
      returned: always
      type: list
      elements: dict
      contains:
        id:
          description: The service id, which O(remoteit.fleet.remoteit_connect#module:deviceaddress) takes.
          returned: always
          type: str
        name:
          description: The name.
          returned: always
          type: str
        application:
          description: The vendor's number for the application, for instance 28 for SSH.
          returned: always
          type: int
        application_name:
          description: The application's name, as O(application) takes it. V(null) if the number is not known.
          returned: always
          type: str
        title:
          description: What the vendor calls the application.
          returned: always
          type: str
        port:
          description: The port on the device.
          returned: always
          type: int
        online:
          description: Whether the service can be connected to at this moment.
          returned: always
          type: bool
        enabled:
          description: Whether its owner has it switched on.
          returned: always
          type: bool
deviceaddresses:
  description: The ids of all services in RV(devices).
  returned: always
  type: list
  elements: str
  sample: ["80:00:00:00:01:00:40:C5"]
failure:
  description: Why the task failed. RV(ignore:msg) says it in one text.
  returned: on failure
  type: dict
  contains:
    code:
      description:
        - V(not_found) if several devices, or services of a device, have a name, or another of the codes of
          M(remoteit.fleet.remoteit_connect).
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
