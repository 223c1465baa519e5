# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  token:
    description:
      - The token of a login, for the REST API. It is used together with O(developer_key).
      - If it is not given, the environment variable E(REMOTEIT_TOKEN) is used.
    type: str
  developer_key:
    description:
      - The developer key of the account, which the REST API asks for in addition to O(token), or O(username) and
        O(password).
      - If it is not given, these are used, in this order - the environment variables E(REMOTEIT_DEVELOPER_KEY) and
        E(R3_DEVELOPER_API_KEY), and the key C(R3_DEVELOPER_API_KEY) of O(profile) in O(credentials_file).
    type: str
  username:
    description:
      - The user name (an e-mail address) to log in with, once for the whole run.
      - An account with two-factor authentication or single sign-on cannot log in so. Give O(token) instead.
      - If it is not given, the environment variable E(REMOTEIT_USERNAME) is used.
    type: str
  password:
    description:
      - The password that belongs to O(username).
      - If it is not given, the environment variable E(REMOTEIT_PASSWORD) is used.
    type: str
  profile:
    description:
      - The section of O(credentials_file) to read. The name's exact form comes first, then its form in any case.
      - If it is not given, the environment variable E(REMOTEIT_PROFILE) is used, and then V(DEFAULT).
    type: str
  credentials_file:
    description:
      - The vendor's INI file with credentials.
      - If it is not given, the environment variable E(REMOTEIT_CREDENTIALS_FILE) is used, and then
        V(~/.remoteit/credentials), which need not exist.
    type: path
  api_url:
    description:
      - The base URL of the REST API.
      - If it is not given, the environment variable E(REMOTEIT_API_URL) is used, and then
        V(https://api.remot3.it/apv/v27).
    type: str
  concurrency:
    description:
      - How many calls may be under way at once.
      - On the controller the bound holds for all tasks of a run that use the same credentials, whatever C(forks) is.
    type: int
    default: 16
  timeout:
    description:
      - How long to wait for the answer to a call, in seconds.
      - Opening a connection takes the API several seconds. The vendor's own clients wait for 40.
    type: int
    default: 60
notes:
  - Credentials are looked for in the options, then in the environment (of the task, then of the process), then in the
    credentials file. The first of these that holds a complete set is used. The developer key alone may come from a
    later one.
  - The task runs on the controller, and uses the controller's environment and files, without C(delegate_to). Delegated
    to another host, the call is made from there, with the credentials that were found on the controller; that host
    needs the Python library C(requests).
requirements:
  - requests (Python library, on the controller)
"""
