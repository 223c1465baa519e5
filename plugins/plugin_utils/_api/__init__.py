# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The vendor's API: accounts, connections, devices, and the errors that the API gives.

It knows nothing of Ansible and imports nothing but itself and ``requests``. Start with ``account.py``: an ``Account``
returns an ``Api``, which ``rest.py`` and ``graphql.py`` implement. ``connection.py`` parses the response of a connect
call, and ``device_lists.py`` the lists of devices.
"""
