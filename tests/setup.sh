#!/bin/sh
# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Prepares .venv with ansible-core, the collection as remoteit.fleet, and the requirements of the tests. Arguments:
#   engines      the versions of ansible-core for the unit and end-to-end tests
#   all-engines  every supported version of ansible-core
#   tools        the programs that check and build a release
#   docs         the programs that build the documentation
set -eu
cd "$(dirname "$0")/.."

# Prints the path of the first Python with one of these versions. Starts each one, because a shim of pyenv may not run.
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

# Creates the venv $1 with the Python $2 and the requirements $3, and installs them with the pip of .venv. Ansible finds
# collections on the path of Python.
make_venv() {
    rm -rf "$1"
    if [ "$1" = .venv ]; then "$2" -m venv "$1"; else "$2" -m venv --without-pip "$1"; fi
    .venv/bin/python -m pip --python "$1/bin/python" install --quiet --quiet --no-compile --disable-pip-version-check \
        --requirement "$3"
    echo "$PWD/.venv/collections" > "$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/collections.pth"
}

# Succeeds if the file $1 is missing, or older than one of the other arguments.
is_older() {
    made=$1
    shift
    [ ! -f "$made" ] || [ -n "$(find "$@" -newer "$made")" ]
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

# The tests of ansible.posix.synchronize need one of the about 100 collections in the package "ansible".
posix=.venv/collections/ansible_collections/ansible/posix
if is_older "$posix/MANIFEST.json" tests/posix.txt; then
    echo "preparing ansible.posix"
    rm -rf .venv/download "$posix"
    .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest .venv/download --requirement tests/posix.txt
    .venv/bin/python - .venv/download/*.whl .venv/collections <<'END'
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    names = [name for name in wheel.namelist() if name.startswith("ansible_collections/ansible/posix/")]
    wheel.extractall(sys.argv[2], names)
END
    rm -rf .venv/download
fi

client=.venv/clients/remoteit_ssh.py
if is_older "$client" tests/clients.txt; then
    echo "preparing remoteit-ssh"
    rm -rf .venv/download
    mkdir -p .venv/clients
    .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: \
        --dest .venv/download --requirement tests/clients.txt
    tar --extract --to-stdout --wildcards --file .venv/download/*.tar.gz '*/remoteit_ssh/client.py' >"$client"
    rm -rf .venv/download
fi

# Prepares, in the background, the venv $1 with the requirements $2, and the first available Python of the versions in the
# other arguments.
prepare() {
    venv=$1 list=$2
    shift 2
    is_older "$venv/prepared" "$(dirname "$list")"/*.txt || return 0 # a file can include others
    if python=$(find_python "$@"); then
        echo "preparing $venv with $("$python" -V)"
        mkdir -p "$(dirname "$venv")"
        {
            make_venv "$venv" "$python" "$list"
            touch "$venv/prepared"
        } &
        jobs="$jobs $!"
    else
        echo "$venv is left out: it needs one of Python $*"
    fi
}

# Prepares the version $1 of ansible-core, with the first available Python of the other arguments.
engine() {
    version=$1
    shift
    prepare ".venv/engines/$version" "tests/engines/$version.txt" "$@"
}

jobs=
for group in "$@"; do
    case $group in
        engines | all-engines) # the oldest, one in the middle and the newest, or all; tests show which are missing
            engine 2.16 3.10 3.11 3.12
            engine 2.19 3.13 3.12 3.11
            engine 2.21 3.13 3.12
            [ "$group" = all-engines ] || continue
            engine 2.17 3.12 3.11 3.10
            engine 2.18 3.11 3.12 3.13
            engine 2.20 3.12 3.13
            ;;
        tools)
            prepare .venv/tools tests/tools.txt 3.13 3.12
            ;;
        docs)
            prepare .venv/docs docs/requirements.txt 3.13 3.12
            ;;
    esac
done
for job in $jobs; do
    wait "$job"
done

# Installs the Debian package $2 for the program $1, if this user is root. policy-rc.d prevents that the package starts its
# service. Tests are skipped if their program is missing.
install_debian() {
    if ! command -v "$1" >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing the Debian package $2"
        policy=/usr/sbin/policy-rc.d made=
        if [ ! -e "$policy" ]; then
            made=$policy
            trap 'rm -f "$made"' EXIT
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod 755 "$policy"
        fi
        { apt-get update --quiet=2 && DEBIAN_FRONTEND=noninteractive \
            apt-get install --quiet=2 --yes --no-install-recommends "$2"; } >/dev/null 2>&1 ||
            echo "the Debian package $2 cannot be installed; the tests that need $1 are skipped"
        [ -z "$made" ] || rm -f "$made"
    fi
}
install_debian rsync rsync
install_debian redis-cli redis-tools
install_debian sshd openssh-server
install_debian sudo sudo
install_debian sshpass sshpass

if ! command -v ssh >/dev/null; then
    echo "an OpenSSH client is needed (the Debian package openssh-client)" >&2
    exit 1
fi
