#!/bin/sh
# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Checks a tarball as Galaxy does when it is published. Fails on warnings too.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/tools/bin:$PATH
GALAXY_IMPORTER_CONFIG=$PWD/tests/galaxy-importer.cfg
export PATH GALAXY_IMPORTER_CONFIG
tarball=$(realpath "$1")
cd build # the importer writes its result into the current directory
status=0
python -m galaxy_importer.main "$tarball" >importer.log 2>&1 || status=$?
cat importer.log
! grep -q -E '^(WARNING|ERROR|CRITICAL)|Traceback' importer.log || status=1
exit $status
