#!/bin/sh
# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Runs ansible-lint. It finds the modules of the collection through the collection path.
set -eu
cd "$(dirname "$0")/.."
ANSIBLE_COLLECTIONS_PATH=$PWD/.venv/collections
PATH=$PWD/.venv/bin:$PATH
export ANSIBLE_COLLECTIONS_PATH PATH
exec ansible-lint --offline "$@"
