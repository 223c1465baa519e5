# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""OpenSSH: the target of its arguments, the meaning of its errors, and its control masters.

The package imports ``_api`` and ``_run``. Start with ``destination.py``, which checks that ssh connects to the proxy of
a host. ``errors.py`` interprets the messages of ssh. ``control_masters.py`` stops the shared connections of a run.
"""
