# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""The run: the controller process that it belongs to, and its private directories and files.

The package imports nothing else of the collection. Start with ``identity.py``, which names the run and its directories.
``processes.py`` identifies a process and finds out whether it is running. ``private_files.py`` creates directories and
files that no other user can change.
"""
