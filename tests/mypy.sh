#!/bin/sh
# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Checks the types. mypy runs in the directory from which ansible_collections.remoteit.fleet can be imported.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root/.venv/collections"
exec "$root/.venv/bin/mypy" --config-file "$root/pyproject.toml" --cache-dir "$root/.mypy_cache" \
    --package ansible_collections.remoteit.fleet.plugins
