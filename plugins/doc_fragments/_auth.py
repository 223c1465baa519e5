# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  access_key_id:
    description:
      - The ID of an access key, which you create in the account settings of the remote.it portal. Requires
        O(secret_access_key).
      - An access key uses the GraphQL API and requires no developer key. It also works for accounts with two-factor
        authentication or single sign-on.
      - By default, E(R3_ACCESS_KEY_ID) is used, and then the key of the same name of O(profile) in
        O(credentials_file).
    type: str
  secret_access_key:
    description:
      - The secret of O(access_key_id).
      - By default, E(R3_SECRET_ACCESS_KEY) is used, and then the key of the same name of O(profile) in
        O(credentials_file).
    type: str
  token:
    description:
      - The token of a login, for the REST API. Requires O(developer_key).
      - By default, E(REMOTEIT_TOKEN) is used.
    type: str
  developer_key:
    description:
      - The developer key of the account. The REST API requires it in addition to O(token), or to O(username) and
        O(password).
      - By default, E(REMOTEIT_DEVELOPER_KEY) is used, then E(R3_DEVELOPER_API_KEY), and then the key
        C(R3_DEVELOPER_API_KEY) of O(profile) in O(credentials_file).
    type: str
  username:
    description:
      - The user name (an email address). The collection logs in once per run. Tasks that work on other runs
        log in separately.
      - An account with two-factor authentication or single sign-on cannot log in with a password. Use O(access_key_id)
        instead.
      - By default, E(REMOTEIT_USERNAME) is used.
    type: str
  password:
    description:
      - The password of O(username).
      - By default, E(REMOTEIT_PASSWORD) is used.
    type: str
  profile:
    description:
      - The section of O(credentials_file) to read. An exact match is preferred over a case-insensitive match.
      - By default, E(REMOTEIT_PROFILE) is used, and then V(DEFAULT).
    type: str
  credentials_file:
    description:
      - The path of the vendor's INI file with credentials.
      - By default, E(REMOTEIT_CREDENTIALS_FILE) is used, and then V(~/.remoteit/credentials). The latter file is
        optional.
    type: path
  api_url:
    description:
      - The base URL of the REST API.
      - By default, E(REMOTEIT_API_URL) is used, and then V(https://api.remot3.it/apv/v27).
    type: str
  graphql_url:
    description:
      - The URL of the GraphQL API, which is used with O(access_key_id).
      - By default, E(REMOTEIT_GRAPHQL_URL) is used, and then V(https://api.remote.it/graphql/v1).
    type: str
  concurrency:
    description:
      - The maximum number of API calls at the same time.
      - The limit applies to all tasks of a run that use the same credentials, regardless of C(forks). If tasks set
        different values, the largest value so far applies.
      - If the API responds with HTTP 429, each call is repeated for up to a minute, as C(Retry-After) asks.
    type: int
    default: 16
  timeout:
    description:
      - The limit for an API call in seconds, from connecting to the last byte of the response.
      - At most V(180).
      - With TLS through a proxy whose URL begins with C(https://), it limits the wait for each part of the handshake
        and of the response.
      - A call that opens a connection takes several seconds. The vendor's clients wait for 40 seconds.
    type: int
    default: 60
notes:
  - Credentials are read from the options, then from the environment (of the task, then of the controller's process),
    then from the credentials file. The first source that contains a complete set is used. If it contains two sets, the
    access key is used. Only the developer key can come from a later source.
  - If O(profile) or O(credentials_file) is set, the file is read before the environment, and the access key and the
    developer key of the environment are not used.
  - The task always runs on the controller, with the environment and the files of the controller. You cannot delegate
    it to another host.
requirements:
  - requests (Python library, on the controller)
"""

    PLUGIN = r"""
options:
  access_key_id:
    description:
      - The ID of an access key, which you create in the account settings of the remote.it portal. Requires
        O(secret_access_key).
      - An access key uses the GraphQL API and requires no developer key. It also works for accounts with two-factor
        authentication or single sign-on.
      - By default, E(R3_ACCESS_KEY_ID) is used, and then the key of the same name of O(profile) in
        O(credentials_file).
    type: raw
  secret_access_key:
    description:
      - The secret of O(access_key_id).
      - By default, E(R3_SECRET_ACCESS_KEY) is used, and then the key of the same name of O(profile) in
        O(credentials_file).
    type: raw
  token:
    description:
      - The token of a login, for the REST API. Requires O(developer_key).
      - By default, E(REMOTEIT_TOKEN) is used.
    type: raw
  developer_key:
    description:
      - The developer key of the account. The REST API requires it in addition to O(token), or to O(username) and
        O(password).
      - By default, E(REMOTEIT_DEVELOPER_KEY) is used, then E(R3_DEVELOPER_API_KEY), and then the key
        C(R3_DEVELOPER_API_KEY) of O(profile) in O(credentials_file).
    type: raw
  username:
    description:
      - The user name (an email address) to log in with.
      - An account with two-factor authentication or single sign-on cannot log in with a password. Use O(access_key_id)
        instead.
      - By default, E(REMOTEIT_USERNAME) is used.
    type: raw
  password:
    description:
      - The password of O(username).
      - By default, E(REMOTEIT_PASSWORD) is used.
    type: raw
  profile:
    description:
      - The section of O(credentials_file) to read. An exact match is preferred over a case-insensitive match.
      - By default, V(DEFAULT) is used.
    type: str
    env:
      - name: REMOTEIT_PROFILE
  credentials_file:
    description:
      - The path of the vendor's INI file with credentials.
      - By default, V(~/.remoteit/credentials) is used. This file is optional.
    type: path
    env:
      - name: REMOTEIT_CREDENTIALS_FILE
  api_url:
    description:
      - The base URL of the REST API.
      - By default, V(https://api.remot3.it/apv/v27) is used.
    type: str
    env:
      - name: REMOTEIT_API_URL
  graphql_url:
    description:
      - The URL of the GraphQL API, which is used with O(access_key_id).
      - By default, V(https://api.remote.it/graphql/v1) is used.
    type: str
    env:
      - name: REMOTEIT_GRAPHQL_URL
  timeout:
    description:
      - The limit for an API call in seconds, from connecting to the last byte of the response.
      - At most V(180).
      - With TLS through a proxy whose URL begins with C(https://), it limits the wait for each part of the handshake
        and of the response.
    type: int
    default: 60
notes:
  - Credentials are read from the options, then from the environment, then from the credentials file. The first source
    that contains a complete set is used. If it contains two sets, the access key is used. Only the developer key can
    come from a later source.
  - If the source sets O(profile) or O(credentials_file), the file is read before the environment, and the access key
    and the developer key of the environment are not used.
requirements:
  - requests (Python library, on the controller)
"""
