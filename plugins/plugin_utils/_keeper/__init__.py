# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The keeper: a process that opens the connections of a run, and closes them when the run ends.

It imports ``_api``, ``_ledger``, ``_run`` and ``_ssh``. Start with ``client.py``, the side of the workers. Its
requests, defined in ``protocol.py``, go to ``server.py`` and from there to ``keeper.py``, which hands out connections.
``lifecycle.py`` opens and closes each one, and ``managed_connection.py`` has its states.
"""
