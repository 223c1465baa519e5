# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The ledger: which connections a run has opened, on disk, in case its keeper is killed.

It imports ``_api`` and ``_run``. Start with ``ledger.py``, which the keeper writes. ``teardown.py`` closes what the
ledgers of ended runs list.
"""
