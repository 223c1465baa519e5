#!/bin/sh
# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Runs "ansible-test sanity" on the given versions of ansible-core, which tests/setup.sh prepared. Prints failures and
# skipped tests only. The variable TEST selects another command, for example TEST="units --venv --requirements".
set -eu
cd "$(dirname "$0")/.."
root=$PWD

# ansible-test resolves links in the path of the collection, and checks all files below it. Therefore, it gets a copy.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
running=''
trap '[ -z "$running" ] || kill "$running"; exit 1' HUP INT TERM
log=$work/log
collection=$work/ansible_collections/remoteit/fleet
mkdir -p "$collection"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --target-directory "$collection"
cd "$collection"

# ansible-test tries each Python on PATH. The shims of pyenv may not run, so the real ones come first.
for directory in "$(pyenv root 2>/dev/null || echo "$HOME/.pyenv")"/versions/3.*/bin; do
    PATH=$directory:$PATH
done

ansible_test() {
    # shellcheck disable=SC2086  # several words; timeout makes a process group, so that a signal ends all processes
    PATH=$root/.venv/engines/$1/bin:$PATH timeout 2h ansible-test ${TEST:-sanity --local} --color no >"$log" 2>&1 &
    running=$!
    wait "$running"
}

# ansible-test downloads a script that installs pip. Without network access, begin_pip.py installs the pip of Python.
begin_without_fetching() {
    script=$(sed -n 's/^The bootstrap script can be manually downloaded and saved to: //p' "$log")
    [ -n "$script" ] && [ ! -e "$script" ] && cp tests/begin_pip.py "$script"
}

failed=0
for engine in "$@"; do
    result=passed
    until ansible_test "$engine"; do
        begin_without_fetching && continue
        cat "$log"
        grep '^ERROR: ' "$log" || true # repeated below the output of pip
        result=failed failed=1
        break
    done
    grep '^WARNING: .*[Ss]kipping' "$log" || true
    echo "ansible-test ${TEST:-sanity} on ansible-core $engine: $result"
done
exit "$failed"
