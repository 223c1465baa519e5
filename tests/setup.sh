#!/bin/sh
# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Prepares .venv: ansible-core, the collection importable as remoteit.fleet, and what the tests need.
# With the word "engines" also .venv/engines: the versions of ansible-core that the end-to-end tests run on.
set -eu
cd "$(dirname "$0")/.."

# The first Python of these versions; a name on PATH may be a shim that does not run, so each has to answer.
find_python() {
    for version in "$@"; do
        for candidate in ${PYTHON:-} "python$version" python3 \
            "$(pyenv root 2>/dev/null || echo "$HOME/.pyenv")/versions/$version".*/bin/python; do
            check="import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != tuple(map(int, '$version'.split('.'))))"
            if "$candidate" -c "$check" 2>/dev/null; then
                command -v "$candidate"
                return
            fi
        done
    done
    return 1
}

# Ansible finds collections on Python's path, so the ansible-playbook in a venv needs no setting.
make_venv() {
    rm -rf "$1"
    "$2" -m venv "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$3"
    echo "$PWD/.venv/collections" > "$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/collections.pth"
}

is_older() {
    [ ! -f "$1" ] || [ "$2" -nt "$1" ]
}

if is_older .venv/prepared tests/requirements.txt; then
    python=$(find_python 3.13 3.12 3.11) || {
        echo "no Python 3.11, 3.12 or 3.13 with venv was found; set PYTHON to one" >&2
        exit 1
    }
    echo "preparing .venv with $("$python" -V)"
    make_venv .venv "$python" tests/requirements.txt
    mkdir -p .venv/collections/ansible_collections/remoteit
    ln -s "$PWD" .venv/collections/ansible_collections/remoteit/fleet
    touch .venv/prepared
fi

if [ "${1:-}" = engines ]; then
    # each with the newest Python that it supports; one for which there is none is left out, and the tests say so
    while read -r engine pythons; do
        list=tests/engines/$engine.txt
        if is_older ".venv/engines/$engine/prepared" "$list"; then
            # shellcheck disable=SC2086
            if python=$(find_python $pythons); then
                echo "preparing ansible-core $engine with $("$python" -V)"
                mkdir -p .venv/engines
                make_venv ".venv/engines/$engine" "$python" "$list"
                touch ".venv/engines/$engine/prepared"
            else
                echo "ansible-core $engine is left out: it needs one of Python $pythons"
            fi
        fi
    done <<END
2.16 3.10 3.11 3.12
2.19 3.13 3.12 3.11
2.21 3.13 3.12
END
fi

if ! command -v ssh >/dev/null; then
    echo "an OpenSSH client is needed (the Debian package openssh-client)" >&2
    exit 1
fi
