# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare a ``remoteit_connect`` task with ``ansible.builtin.uri``, per host and ad hoc, without latency."""

from __future__ import annotations

from benchmarks.fleet import call
from benchmarks.report import Report
from benchmarks.testbed import Testbed, start_testbed
from benchmarks.usage import Usage

HOSTS, REPEATS, FORKS = 50, 3, 5
CONNECT = {"remoteit.fleet.remoteit_connect": {"deviceaddress": "{{ remoteit_deviceaddress }}"}}


def main(report: Report) -> None:
    with start_testbed(HOSTS) as testbed:
        testbed.simulator.settings(latency=0.0)
        measured: dict[str, list[Usage]] = {}
        for _unused in range(REPEATS):
            for name, usage in once(testbed).items():
                measured.setdefault(name, []).append(usage)
    show(report, measured)


def once(testbed: Testbed) -> dict[str, Usage]:
    """Measure each variant once. Connections of uri are closed afterward."""
    uri = call(testbed.simulator, "/device/connect", {"wait": "true"})
    service = next(iter(testbed.services.values()))
    options = {**uri["ansible.builtin.uri"], "body": {"deviceaddress": service, "wait": "true"}}
    usages = {
        "empty": testbed.play(HOSTS, []),
        "connect": testbed.play(HOSTS, [CONNECT]),
        "uri": testbed.play(HOSTS, [uri]),
        "connect, ad hoc": testbed.ad_hoc("remoteit.fleet.remoteit_connect", {"deviceaddress": service}),
        "uri, ad hoc": testbed.ad_hoc("ansible.builtin.uri", options),
    }
    testbed.close_all()
    return usages


def show(report: Report, measured: dict[str, list[Usage]]) -> None:
    def per_task(name: str, what: str) -> list[float]:
        pairs = zip(measured[name], measured["empty"], strict=True)
        return [1000 * (getattr(whole, what) - getattr(empty, what)) / HOSTS for whole, empty in pairs]

    def ratios(what: str) -> list[float]:
        return [ours / theirs for ours, theirs in zip(per_task("connect", what), per_task("uri", what), strict=True)]

    report.goal("one connect task per host ÷ one uri task per host", ratios("seconds"), 0.12)
    rows = [
        [f"{name}, {text}", per_task("connect", what), per_task("uri", what), ratios(what)]
        for name, what, text in (
            ("a task for each of many hosts", "seconds", "ms"),
            ("a task for each of many hosts", "processor", "ms of processor"),
        )
    ]
    for what, text in (("seconds", "ms"), ("processor", "ms of processor"), ("memory", "MB at the peak")):
        factor = 1 if what == "memory" else 1000
        ours, theirs = (
            [factor * getattr(usage, what) for usage in measured[f"{name}, ad hoc"]] for name in ("connect", "uri")
        )
        rows.append([f"one ad-hoc run, {text}", ours, theirs, [a / b for a, b in zip(ours, theirs, strict=True)]])
    report.table(
        "One connect task",
        f"{HOSTS} hosts at {FORKS} forks, the empty play subtracted, and one ad-hoc run; no latency; {REPEATS} repeats."
        " The keeper's processor time is included, until it has closed all connections. uri closes none.",
        ["", "remoteit_connect", "uri", "ratio"],
        rows,
    )
