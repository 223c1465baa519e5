#!/bin/sh
# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Runs the tests on each supported version of ansible-core, and prints a table. All end-to-end tests run on the oldest and
# the newest version. Tests marked every_engine run on the others. The output of each test run is in tests/output.
set -eu
cd "$(dirname "$0")/.."
tests/setup.sh all-engines
mkdir -p tests/output
running='' failed=''
# shellcheck disable=SC2086  # a list of process IDs
trap 'kill $running 2>/dev/null; wait; exit 1' HUP INT TERM

# Starts a test run for the cell $1, with its output in a log.
start() {
    log=tests/output/$1.log
    shift
    "$@" >"$log" 2>&1 &
    running="$running $!"
}

# Waits for the process $2, and prints the cell $1: the summary in the last line of its log, or FAILED.
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
        2.16) set -- "$1" --ignore-glob '*/test_simulator*.py' ;; # one Python is enough for the simulator
        2.21) ;;
        *) set -- "$1" -m every_engine ;;
    esac
    TEST_ENGINES=$1 TEST_ANSIBLE_PLAYBOOK=$PWD/.venv/engines/$1/bin/ansible-playbook
    TEST_PRODUCT=1 # all combinations of endings and variants
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
