# SPDX-License-Identifier: Apache-2.0
"""Tables: the figures of a report as rows of text, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from gateway.lab.report.document import Report
from gateway.lab.report.reading import milliseconds, points_of, rate
from gateway.lab.search.evidence import Judgement
from gateway.lab.search.point import Point
from gateway.units import format_duration


@dataclass(frozen=True, slots=True)
class Table:
    """*rows* below *heads*; the columns *texts* hold words, all others numbers."""

    title: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    texts: frozenset[str] = frozenset()


def points_table(report: Report) -> Table:
    """Every run, probe and round."""
    heads = (
        "run", "offered/s", "answered/s", "goodput/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms",
        "max ms", "errors", "",
    )  # fmt: skip
    outcomes = {}
    if report.limit is not None:
        outcomes = {id(one.point): one.outcome for one in report.limit.probes}
    rows = [
        (*_figures(one), outcomes.get(id(one), "" if one.valid else "INVALID"))
        for one in points_of(report)
    ]
    return Table("Runs", heads, rows)


def _figures(one: Point) -> tuple[str, ...]:
    times = (one.p50, one.p90, one.p99, one.p999, one.maximum)
    return (
        f"{one.name} {rate(one.value)}",
        *(rate(value) for value in (one.offered, one.answered, one.goodput)),
        *(milliseconds(value) for value in times),
        f"{one.errors * 100:.3g} %",
    )


def conditions_table(report: Report) -> Table | None:
    """The conditions of the SLO, with the evidence for each; None without one."""
    judged: list[tuple[str, Judgement]] = []
    if report.limit is not None:
        judged += [(f"at {rate(one.rate)}/s", one.judgement) for one in report.limit.confirmations]
    if report.held is not None and report.held.judgement is not None:
        judged.append(("", report.held.judgement))
    if not judged:
        return None
    rows = [
        (
            one.name, where, f"{one.misses:,}", f"{one.requests:,}", f"{one.share * 100:.3g} %",
            f"{one.allowed * 100:.3g} %", f"{one.worth:.3g}", one.verdict,
        )
        for where, judgement in judged
        for one in judgement.conditions
    ]  # fmt: skip
    heads = ("condition", "", "misses", "requests", "missed", "allowed", "alike", "verdict")
    return Table("Evidence for the SLO", heads, rows)


def ratios_table(report: Report) -> Table | None:
    """Two deployments, or a result and a stored one; None for neither."""
    if report.comparison is not None:
        rows = [
            (
                one.figure, _shown(one.figure, one.first), _shown(one.figure, one.other),
                f"{one.ratio:.3f}", _interval(one.lower, one.upper), one.says,
            )
            for one in report.comparison.ratios
        ]  # fmt: skip
        heads = ("figure", report.comparison.first, report.comparison.other, "ratio",
                 f"{report.comparison.level * 100:g} % interval", "")  # fmt: skip
        return Table("Comparison", heads, rows)
    if report.gate is not None:
        checks = [
            (
                one.figure, _shown(one.figure, one.then), _shown(one.figure, one.now),
                f"{one.ratio:.3f}", _interval(one.lower, one.upper),
                "regressed" if one.regressed else "",
            )
            for one in report.gate.checks
        ]  # fmt: skip
        heads = ("figure", report.gate.baseline, "now", "ratio",
                 f"{report.gate.level * 100:g} % interval", "")  # fmt: skip
        return Table("Against the baseline", heads, checks)
    return None


def _shown(figure: str, value: float) -> str:
    if figure == "answered":
        return f"{value * 100:.4g} %"
    return f"{rate(value)}/s" if figure == "throughput" else f"{milliseconds(value)} ms"


def _interval(lower: float, upper: float) -> str:
    return f"{lower:.3f} to {upper:.3f}" if isfinite(upper) else f"{lower:.3f} and more"


def processes_table(report: Report) -> Table | None:
    """What each process used; None where it is not known."""
    account = report.account
    if account is None or not account.processes:
        return None
    rows = [
        (
            one.name, str(one.pid), f"{one.cores:.2f}",
            f"{one.memory / 2**20:,.0f} MiB" if one.memory else "",
        )
        for one in account.processes
    ]  # fmt: skip
    if account.machine is not None:
        busy = account.machine.busy * account.machine.cores
        rows.append(("whole machine", "", f"{busy:.2f} of {account.machine.cores}", ""))
    return Table("Processes", ("process", "pid", "cores", "memory"), rows)


def method_of(report: Report) -> list[tuple[str, str]]:
    """How it was measured, as names and values."""
    if not report.runs:
        return _search_of(report)
    run = report.runs[0]
    plan = run.plan
    load = (
        f"closed loop, {plan.concurrency} requests in flight"
        if not plan.is_open
        else f"open loop, {plan.schedule}, {rate(plan.rate)}/s"
    )
    found = [
        ("load", load),
        ("latency", "from the intended send" if plan.is_open else "from the send: a closed loop "
                    "waits for its server, and flatters it"),
        ("protocol", f"{plan.protocol}, {plan.batch} rows in a request"),
        ("duration", (f"{run.seconds:g} s after {run.warmup:g} s of warm-up, {len(report.runs)} "
                     f"{'run' if len(report.runs) == 1 else 'runs'}")),
        ("connections", f"{plan.connection_limit}, "
                        + ("a new one for each request" if plan.new_connections else "kept open")),
        ("timeout", f"{format_duration(plan.timeout)}, counted as so long"),
        ("inputs", f"{run.duplicates * 100:.3g} % sent before"),
        ("cache", ", ".join(f"{name} {count:,}" for name, count in run.cache.items())
                  or "the server says nothing of one"),
        ("seed", str(plan.seed)),
        ("generator", ", ".join(f"{one.host or 'here'} {one.cpu:.2f} cores" for one in run.health)
                      + f"; 99 % of sends at most {milliseconds(run.lag.percentile(99))} ms late"),
    ]  # fmt: skip
    return found + [("note", note) for note in run.notes] + _search_of(report)


def _search_of(report: Report) -> list[tuple[str, str]]:
    if report.limit is None:
        return []
    method = report.limit.method
    return [
        ("search", (f"from {rate(method.start)}/s by x {method.growth:g}, then bisection to "
                   f"{method.resolution * 100:g} %, the winner run {method.confirmations} times")),
        ("proof", (f"early stopping at {method.confidence * 100:g} %, with as many independent "
                  f"requests as those are worth; a probe takes {method.timing.first:g} to "
                  f"{method.timing.longest:g} s")),
    ]  # fmt: skip


def environment_of(report: Report) -> list[tuple[str, str]]:
    """On what it was measured, as names and values."""
    if not report.runs:
        return []
    found = report.runs[0].environment
    pairs = [("server", f"{found.server} {found.server_version}".strip())]
    pairs += [("model digest", found.model_digest), *found.machine.items(), *found.versions.items()]
    if found.backends:
        shares = ", ".join(f"{name} {count:,}" for name, count in found.backends.items())
        pairs.append(("answers by backend", shares))
    return [(name, value) for name, value in pairs if value]
