# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The ledger: a file that records the connections of a run, so that a teardown can close them.

The keeper of a run writes its ledger. It removes the file when every connection is closed. If the keeper is killed, the
next keeper of the run or a teardown reads the file and closes the connections.

The package imports ``_api`` and ``_run``. Start with ``entries.py``, the format of the file. Then read:

- ``writer.py`` to append events to the ledger of this run,
- ``reader.py`` to list the connections in all ledgers of a directory,
- ``files.py`` to open and lock the files,
- ``ended_runs.py`` and ``teardown.py`` to close the connections of runs that have ended,
- ``reconcile.py`` to find connections whose connect call had no response,
- ``other_runs.py`` to judge and update a connection that another run opened,
- ``audit.py`` to append to the audit trail, which is off by default.
"""
