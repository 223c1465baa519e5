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
  - Lists devices and their services by name, tag, state, application and organization. A device must match all options
    that are set. By default, all devices of the account are listed.
  - With a token (REST), you cannot filter by tag or organization. A service whose device is not known is listed as a
    separate device.
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
options:
  device:
    description:
      - The names of the devices to list. Names are case-sensitive.
      - If more than one device has the same name, the task fails and lists them. A name that no device has is ignored.
    type: list
    elements: str
  service:
    description:
      - The names of the services to list, and only devices that have one of them. Names are case-sensitive.
      - If O(device) is set as well and more than one service of a device has the same name, the task fails and lists
        them.
    type: list
    elements: str
  tags_any:
    description: The tags of which a device must have at least one. Requires an access key.
    type: list
    elements: str
  tags_all:
    description: The tags of which a device must have all. Requires an access key.
    type: list
    elements: str
  state:
    description: The state of the devices to list. Only V(active) devices are connected to remote.it.
    type: str
    choices: [active, inactive]
  application:
    description:
      - The application types of the services to list, and only devices that have one of them. Each is a name (for
        example V(ssh) or V(http)) or a remote.it application ID.
    type: list
    elements: str
  organisation:
    description:
      - The organization whose devices to list, instead of those of the account. The account must be a member of it.
      - The name, the ID or the email address of the organization. Requires an access key.
    type: str
    aliases: [organization]
seealso:
  - module: remoteit.fleet.remoteit_connect
  - name: GraphQL API usage
    description: The vendor's documentation of the fields.
    link: https://docs.remote.it/developer-tools/api/usage
"""

EXAMPLES = r"""
- name: Find the SSH services of all devices that are connected
  remoteit.fleet.remoteit_service_info:
    application: ssh
    state: active
  register: found

- name: Open a connection to each service
  remoteit.fleet.remoteit_connect:
    deviceaddress: "{{ found.deviceaddresses }}"
"""

RETURN = r"""
devices:
  description: The devices that match. Names can be V(null). They are never evaluated as templates.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: The device ID. To open a connection, use the ID of one of its services.
      returned: always
      type: str
    name:
      description: The name of the device.
      returned: always
      type: str
    online:
      description: Whether the device is connected to remote.it. The value can be up to 15 minutes old.
      returned: always
      type: bool
    state:
      description: The state of the device as returned by the API, for example V(active) or V(inactive).
      returned: always
      type: str
    tags:
      description: The names of the tags of the device.
      returned: always, empty with a token
      type: list
      elements: str
    attributes:
      description: The attributes that the owner of the device has set.
      returned: always, empty with a token
      type: dict
    platform:
      description: The vendor's ID of the platform.
      returned: always
      type: int
    created:
      description: The time at which the device was registered, in UTC.
      returned: always
      type: str
    last_reported:
      description: The time at which the device was last seen, in UTC.
      returned: always
      type: str
    owner:
      description: The email address of the owner of the device.
      returned: always
      type: str
    external_address:
      description: The address from which the device connects to remote.it.
      returned: always
      type: str
    external_port:
      description: The port of the external address; V(null) over REST.
      returned: always
      type: int
    internal_address:
      description: The address of the device in its local network.
      returned: always
      type: str
    services:
      description: The services of the device that match.
      returned: always
      type: list
      elements: dict
      contains:
        id:
          description: The service ID, for example for O(remoteit.fleet.remoteit_connect#module:deviceaddress).
          returned: always
          type: str
        name:
          description: The name of the service.
          returned: always
          type: str
        application:
          description: The application ID, for example V(28) for SSH.
          returned: always
          type: int
        application_name:
          description: The name of the application, for O(application). V(null) if the collection does not know the ID.
          returned: always
          type: str
        title:
          description: The vendor's title of the application.
          returned: always
          type: str
        port:
          description: The port on the device.
          returned: always
          type: int
        online:
          description: Whether the service is available for connections.
          returned: always
          type: bool
        enabled:
          description: Whether the service is enabled.
          returned: always
          type: bool
deviceaddresses:
  description: The IDs of all services in RV(devices).
  returned: always
  type: list
  elements: str
  sample: ["80:00:00:00:01:00:40:C5"]
failure:
  description: The reason why the task failed. RV(ignore:msg) contains it as a text.
  returned: on failure
  type: dict
  contains:
    code:
      description:
        - V(not_found) if more than one device, or service of a device, has the same name. Otherwise another code that
          M(remoteit.fleet.remoteit_connect) documents.
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
