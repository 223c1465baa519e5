# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The client of the vendor's API: accounts, connections, devices and errors.

This package does not import Ansible or another package of the collection, but only itself and ``requests``. Start with
``account.py``: an ``Account`` returns an ``Api``, which is implemented in ``rest.py`` and ``graphql.py``. Both send
their requests with ``http.py``. ``connection.py`` parses the response of a connect call, ``device_lists.py`` the lists
of devices. ``connect_outcome.py`` decides what a failed connect call has left open. ``bulk.py`` opens and closes many
connections at once.
"""
