#!/bin/sh
# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Prepares .venv: ansible-core, the collection importable as remoteit.fleet, and what the tests need.
set -eu
cd "$(dirname "$0")/.."

# A name on PATH may be a shim that does not run, so each candidate has to answer.
find_python() {
    for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3 \
        "$(pyenv root 2>/dev/null || echo "$HOME/.pyenv")"/versions/3.1[123]*/bin/python; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "no Python 3.11, 3.12 or 3.13 with venv was found; set PYTHON to one" >&2
    return 1
}

stamp=.venv/prepared
if [ ! -f "$stamp" ] || [ tests/requirements.txt -nt "$stamp" ] || [ tests/setup.sh -nt "$stamp" ]; then
    python=$(find_python)
    echo "preparing .venv with $("$python" -V)"
    rm -rf .venv
    "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
    mkdir -p .venv/collections/ansible_collections/remoteit
    ln -s "$PWD" .venv/collections/ansible_collections/remoteit/fleet
    # Ansible finds collections on Python's path, so ansible-playbook in .venv needs no setting
    site_packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    echo "$PWD/.venv/collections" > "$site_packages/collections.pth"
    touch "$stamp"
fi

if ! command -v ssh >/dev/null; then
    echo "an OpenSSH client is needed (the Debian package openssh-client)" >&2
    exit 1
fi
