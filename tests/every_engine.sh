#!/bin/sh
# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Tests on each version of ansible-core, and fills in a table meanwhile. Everything runs end to end on the oldest and the
# newest; on the others, what depends on the engine. What the tests say is in tests/output.
set -eu
cd "$(dirname "$0")/.."
tests/setup.sh all-engines
mkdir -p tests/output
running='' failed=''
# shellcheck disable=SC2086  # several processes
trap 'kill $running 2>/dev/null; wait; exit 1' HUP INT TERM

# Starts what fills the cell $1.
start() {
    log=tests/output/$1.log
    shift
    "$@" >"$log" 2>&1 &
    running="$running $!"
}

# Writes the cell $1 as soon as the process $2 has ended: what its log says last, if all is well.
cell() {
    log=tests/output/$1.log
    if wait "$2"; then
        printf ' %s |' "$(sed -n '$s/ in [0-9].*//; $s/^.*: //; $p' "$log")"
    else
        printf ' FAILED |'
        failed="$failed $log"
    fi
}

end_to_end() {
    case $1 in
        2.16) set -- "$1" --ignore-glob '*/test_simulator*.py' ;; # the simulator runs on one Python
        2.21) ;;
        *) set -- "$1" -m every_engine ;;
    esac
    TEST_ENGINES=$1 TEST_ANSIBLE_PLAYBOOK=$PWD/.venv/engines/$1/bin/ansible-playbook
    TEST_PRODUCT=1 # every ending of a run, in every way
    export TEST_ENGINES TEST_ANSIBLE_PLAYBOOK TEST_PRODUCT
    shift
    exec .venv/bin/python -m pytest tests/integration --quiet --numprocesses 4 "$@"
}

echo "| ansible-core | Python | sanity | unit | end to end |"
echo "|---|---|---|---|---|"
for engine in 2.21 2.20 2.19 2.18 2.17 2.16; do
    python=.venv/engines/$engine/bin/python
    [ -x "$python" ] || continue
    printf '| %s | %s |' "$engine" "$("$python" -c 'import platform; print(platform.python_version())')"
    start "$engine-sanity" tests/sanity.sh "$engine"
    sanity=$!
    start "$engine-unit" "$python" -m pytest tests/unit --quiet --numprocesses 2
    unit=$!
    cell "$engine-sanity" "$sanity"
    cell "$engine-unit" "$unit"
    start "$engine-end-to-end" end_to_end "$engine"
    cell "$engine-end-to-end" "$!"
    echo
done
for log in $failed; do
    echo
    echo "== $log"
    cat "$log"
done
[ -z "$failed" ]
