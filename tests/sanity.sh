#!/bin/sh
# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Runs "ansible-test sanity" on the versions of ansible-core that are named, which tests/setup.sh has prepared. It is
# quiet about what is well, but for what was skipped. TEST is what else is to run, as TEST="units --venv --requirements".
set -eu
cd "$(dirname "$0")/.."
root=$PWD

# ansible-test looks at the real path of the collection, and at whatever is below it.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
running=''
trap '[ -z "$running" ] || kill "$running"; exit 1' HUP INT TERM
log=$work/log
collection=$work/ansible_collections/remoteit/fleet
mkdir -p "$collection"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --target-directory "$collection"
cd "$collection"

# It tries each Python on PATH; those that pyenv puts there may be shims that do not run.
for folder in "$(pyenv root 2>/dev/null || echo "$HOME/.pyenv")"/versions/3.*/bin; do
    PATH=$folder:$PATH
done

ansible_test() {
    # shellcheck disable=SC2086  # several words; with a time-out it is a group of processes, which end together
    PATH=$root/.venv/engines/$1/bin:$PATH timeout 2h ansible-test ${TEST:-sanity --local} --color no >"$log" 2>&1 &
    running=$!
    wait "$running"
}

# It fetches the script that begins its virtual environments. Where it cannot, pip comes from Python itself.
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
        grep '^ERROR: ' "$log" || true # once more, below what pip has said
        result=failed failed=1
        break
    done
    grep '^WARNING: .*[Ss]kipping' "$log" || true
    echo "ansible-test ${TEST:-sanity} on ansible-core $engine: $result"
done
exit "$failed"
