# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One task that connects, on each host and ad hoc: C(remoteit_connect) against C(ansible.builtin.uri), no latency."""

from __future__ import annotations

from benchmarks.fleet import call
from benchmarks.lab import Lab, lab
from benchmarks.report import Report
from benchmarks.usage import Usage

HOSTS, REPEATS, FORKS = 50, 3, 5
CONNECT = {"remoteit.fleet.remoteit_connect": {"deviceaddress": "{{ remoteit_deviceaddress }}"}}


def main(report: Report) -> None:
    with lab(HOSTS) as laboratory:
        laboratory.simulator.settings(latency=0.0)
        measured: dict[str, list[Usage]] = {}
        for _unused in range(REPEATS):
            for name, usage in once(laboratory).items():
                measured.setdefault(name, []).append(usage)
    show(report, measured)


def once(laboratory: Lab) -> dict[str, Usage]:
    """Each of them, side by side. What stays open is closed while nobody measures."""
    uri = call(laboratory.simulator, "/device/connect", {"wait": "true"})
    service = next(iter(laboratory.services.values()))
    options = {**uri["ansible.builtin.uri"], "body": {"deviceaddress": service, "wait": "true"}}
    usages = {
        "empty": laboratory.play(HOSTS, []),
        "connect": laboratory.play(HOSTS, [CONNECT]),
        "uri": laboratory.play(HOSTS, [uri]),
        "connect, ad hoc": laboratory.ad_hoc("remoteit.fleet.remoteit_connect", {"deviceaddress": service}),
        "uri, ad hoc": laboratory.ad_hoc("ansible.builtin.uri", options),
    }
    laboratory.close_what_is_open()
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
        " The keeper's processor time is included, and so are its start and its closing of everything at the end, which"
        " uri does not have.",
        ["", "remoteit_connect", "uri", "ratio"],
        rows,
    )
