# SPDX-License-Identifier: Apache-2.0
"""Reading: what a report says, in the order in which a reader wants it; every view uses it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from gateway.lab.load.histogram import Histogram
from gateway.lab.report.document import Report
from gateway.lab.search.point import Point
from gateway.statistics.tails import hits_needed


def points_of(report: Report) -> list[Point]:
    """Every point, each repeat of a run as one of its own."""
    points = [
        Point.of_runs("run", number + 1, [run], slo=report.held.slo if report.held else None)
        for number, run in enumerate(report.runs)
    ]
    if report.limit is not None:
        points += [one.point for one in report.limit.probes]
        points += [
            msgspec.structs.replace(one, name="winner")
            for each in report.limit.confirmations
            for one in each.points
        ]
    if report.sweep is not None:
        points += report.sweep.points
    if report.comparison is not None:
        for first, other in report.comparison.rounds:
            points += [
                msgspec.structs.replace(first, name=f"{report.comparison.first} round"),
                msgspec.structs.replace(other, name=f"{report.comparison.other} round"),
            ]
    if report.overload is not None:
        points += [report.overload.at_limit, report.overload.beyond]
    return points


def response_of(report: Report) -> Histogram:
    """The response times of all runs together."""
    merged = Histogram()
    for run in report.runs:
        merged.add(run.response)
    return merged


def service_of(report: Report) -> Histogram:
    """The service times of all runs together."""
    merged = Histogram()
    for run in report.runs:
        merged.add(run.service)
    return merged


def answers(report: Report) -> Iterator[tuple[bool | None, str]]:
    """Each answer in a sentence, with whether it is yes, no, or neither."""
    if report.limit is not None:
        yield bool(report.limit.rate), _limit(report)
        if report.limit.rate:
            low, high = report.limit.operating
            waiting = report.limit.waiting(high)
            saved = "" if waiting is None else (
                f", where requests wait {waiting * 100:.0f} % as long as at the limit"
            )  # fmt: skip
            yield None, f"plan with {rate(low)} to {rate(high)}/s{saved}"
    if report.knees is not None:
        yield from ((None, line) for line in _knees(report))
    if report.held is not None:
        yield from _held(report)
    if report.overload is not None:
        yield report.overload.passed, report.overload.sentence
    if report.burst is not None:
        yield report.burst.recovery is not None, report.burst.sentence
    if report.comparison is not None:
        yield None, report.comparison.sentence
    if report.gate is not None:
        yield report.gate.passed, report.gate.sentence
    if report.front is not None:
        yield from ((None, line) for line in report.front.reason.splitlines())
    if report.account is not None and report.account.sentence:
        yield None, report.account.sentence


def rate(value: float) -> str:
    """A number for a person: three digits, and thousands apart."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def milliseconds(seconds: float) -> str:
    """A time in milliseconds: three digits."""
    return f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:,.0f}"


def _limit(report: Report) -> str:
    limit = report.limit
    if limit is None:
        return ""
    if limit.rate:
        confirmed = limit.confirmed
        proof = "" if confirmed is None else (
            f", run {len(confirmed.points)} times and proven at "
            f"{confirmed.judgement.confidence * 100:g} % confidence over "
            f"{confirmed.judgement.conditions[0].requests:,} requests"
        )  # fmt: skip
        above = (
            f"; {rate(limit.upper)}/s is proven to be too much"
            if limit.upper is not None
            else "; the load generator reached its own limit above, not the server"
            if limit.ending == "generator"
            else ""
        )
        about = "" if limit.estimate is None else f"; it breaks at about {rate(limit.estimate)}/s"
        return f"{rate(limit.rate)} requests/s keep {limit.slo}{proof}{about}{above}"
    why = {
        "nothing": "no rate keeps it: a single client is too much, or none was confirmed",
        "generator": "the load generator could not keep its schedule",
        "stopped": "ended before an answer was proven",
        "probes": "no more probes were allowed",
    }.get(limit.ending, "no rate was proven to keep it")
    return f"no rate for {limit.slo}: {why}"


def _knees(report: Report) -> Iterator[str]:
    knees = report.knees
    if knees is None:
        return
    if knees.bend is not None:
        yield f"latency bends up at about {rate(knees.bend)}/s (Kneedle)"
    if knees.scaling is not None and knees.scaling.best < 1e6:
        best = knees.scaling.best
        yield (
            f"throughput is highest with {best:.0f} requests in flight, "
            f"{rate(knees.scaling.throughput(best))}/s (universal scalability law)"
        )


def _held(report: Report) -> Iterator[tuple[bool | None, str]]:
    held = report.held
    if held is None:
        return
    judged = held.judgement
    if judged is None:
        yield False, f"{held.slo}: {held.reason}"
    elif judged.verdict == "pass":
        yield True, f"{held.slo} is kept, at {judged.confidence * 100:g} % confidence"
    elif judged.verdict == "fail":
        yield False, f"{held.slo} is broken: {judged.reason}"
    else:
        word = "kept" if judged.met else "broken"
        least = max(hits_needed(0, 1 - one.allowed) for one in judged.conditions)
        needed = f"a proof takes {least:,} independent requests at the least"
        counted = f"{held.slo} is {word} as counted, not proven"
        yield judged.met, f"{counted}: {judged.reason}; {needed}"
