#!/bin/sh
# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Builds the documentation site into docs/build/html. A warning is an error.
set -eu
cd "$(dirname "$0")"
ANSIBLE_COLLECTIONS_PATH=$(cd .. && pwd)/.venv/collections
PATH=$(cd .. && pwd)/.venv/docs/bin:$PATH
export ANSIBLE_COLLECTIONS_PATH PATH

rm -rf build
mkdir -p build/rst
chmod og-w build/rst # antsibull-docs refuses a directory that others can write to
antsibull-docs --config-file site/antsibull-docs.cfg collection --use-current --squash-hierarchy --fail-on-error \
    --dest-dir build/rst remoteit.fleet
cp -R docsite/rst/images build/rst/docsite/ # antsibull-docs copies pages, not pictures
sphinx-build -M html build/rst build -c site --fail-on-warning --keep-going --quiet
