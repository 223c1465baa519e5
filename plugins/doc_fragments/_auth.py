# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  access_key_id:
    description:
      - The id of an access key, which the vendor's portal makes under its account settings. It is used together with
        O(secret_access_key), speaks the GraphQL API, and needs nothing else. It works with two-factor authentication
        and single sign-on as well.
      - If it is not given, these are used, in this order - the environment variable E(R3_ACCESS_KEY_ID), and the key of
        the same name of O(profile) in O(credentials_file).
    type: str
  secret_access_key:
    description:
      - The secret that belongs to O(access_key_id).
      - If it is not given, these are used, in this order - the environment variable E(R3_SECRET_ACCESS_KEY), and the
        key of the same name of O(profile) in O(credentials_file).
    type: str
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
      - The user name (an e-mail address) to log in with, once for the whole run. Until the run has opened something,
        each task that only looks or closes logs in for itself.
      - An account with two-factor authentication or single sign-on cannot log in so. Give O(access_key_id) instead.
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
  graphql_url:
    description:
      - The URL of the GraphQL API, which O(access_key_id) speaks.
      - If it is not given, the environment variable E(REMOTEIT_GRAPHQL_URL) is used, and then
        V(https://api.remote.it/graphql/v1).
    type: str
  concurrency:
    description:
      - How many calls may be under way at once.
      - On the controller the bound holds for all tasks of a run that use the same credentials, whatever C(forks) is. If
        tasks ask for different ones, the largest so far counts.
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
    credentials file. The first of these that holds a complete set is used, and if it holds two, the access key. The
    developer key alone may come from a later one.
  - The task always runs on the controller, and uses the controller's environment and files. It cannot be delegated to
    another host.
requirements:
  - requests (Python library, on the controller)
"""

    PLUGIN = r"""
options:
  access_key_id:
    description:
      - The id of an access key, which the vendor's portal makes under its account settings. It is used together with
        O(secret_access_key), speaks the GraphQL API, and needs nothing else.
      - The profile in O(credentials_file) may hold it as C(R3_ACCESS_KEY_ID).
      - If it is not set, the environment variable E(R3_ACCESS_KEY_ID) is used.
    type: raw
  secret_access_key:
    description:
      - The secret that belongs to O(access_key_id).
      - The profile in O(credentials_file) may hold it as C(R3_SECRET_ACCESS_KEY).
      - If it is not set, the environment variable E(R3_SECRET_ACCESS_KEY) is used.
    type: raw
  token:
    description:
      - The token of a login, for the REST API. It is used together with O(developer_key).
      - If it is not set, the environment variable E(REMOTEIT_TOKEN) is used.
    type: raw
  developer_key:
    description:
      - The developer key of the account, which the REST API asks for in addition to O(token), or O(username) and
        O(password).
      - The profile in O(credentials_file) may hold it as C(R3_DEVELOPER_API_KEY).
      - If it is not set, the environment variables E(REMOTEIT_DEVELOPER_KEY), and then E(R3_DEVELOPER_API_KEY) are
        used.
    type: raw
  username:
    description:
      - The user name (an e-mail address) to log in with.
      - An account with two-factor authentication or single sign-on cannot log in so. Give O(access_key_id) instead.
      - If it is not set, the environment variable E(REMOTEIT_USERNAME) is used.
    type: raw
  password:
    description:
      - The password that belongs to O(username).
      - If it is not set, the environment variable E(REMOTEIT_PASSWORD) is used.
    type: raw
  profile:
    description:
      - The section of O(credentials_file) to read, V(DEFAULT) if it is not given. The name's exact form comes first,
        then its form in any case.
    type: str
    env:
      - name: REMOTEIT_PROFILE
  credentials_file:
    description:
      - The vendor's INI file with credentials. If it is not given, it is V(~/.remoteit/credentials), which need not
        exist.
    type: path
    env:
      - name: REMOTEIT_CREDENTIALS_FILE
  api_url:
    description:
      - The base URL of the REST API, V(https://api.remot3.it/apv/v27) if it is not given.
    type: str
    env:
      - name: REMOTEIT_API_URL
  graphql_url:
    description:
      - The URL of the GraphQL API, V(https://api.remote.it/graphql/v1) if it is not given.
    type: str
    env:
      - name: REMOTEIT_GRAPHQL_URL
  timeout:
    description:
      - How long to wait for the answer to a call, in seconds.
    type: int
    default: 60
notes:
  - Credentials are looked for in the options, then in the environment, then in the credentials file. The first of these
    that holds a complete set is used, and if it holds two, the access key. The developer key alone may come from a
    later one.
requirements:
  - requests (Python library, on the controller)
"""
