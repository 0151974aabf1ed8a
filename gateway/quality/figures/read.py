# SPDX-License-Identifier: Apache-2.0
"""Read: answers to queries, from the states of `LiveFigures`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf, isnan
from typing import Final

from gateway.quality.figures.answer import (
    Alarm,
    Answer,
    Figure,
    LabelDelay,
    Overview,
    RowCounts,
    Target,
    WindowSpan,
)
from gateway.quality.figures.breakdown import Rows, files_of, parts_of
from gateway.quality.figures.group import Group
from gateway.quality.figures.live import Key, LiveFigures
from gateway.quality.figures.matrices import main_figure, plain_averages
from gateway.quality.figures.query import Query
from gateway.quality.figures.score import scores_of
from gateway.quality.figures.spec import Spec
from gateway.quality.figures.unlabelled import (
    coverage,
    post_stratified,
    powered,
    without_labels,
)
from gateway.quality.figures.view import View, view_of
from gateway.quality.figures.words import sentence_of, whole_sentence
from gateway.statistics.estimate import Estimate

# Figures that are better when they are smaller, so that their target is an upper bound.
ERRORS: Final = frozenset({
    "mae", "rmse", "error_p50", "error_p90", "error_p99", "wape", "smape", "brier", "log_loss",
    "ece", "hamming_loss",
})  # fmt: skip

# A file that has answered nothing for so many seconds, while others do, was replaced.
_REPLACED: Final = 3600.0


def answer(live: LiveFigures, model: str, query: Query) -> Answer:
    """All that is known of *model*, which has a spec; raises ValueError for a wrong *query*."""
    spec, now = live.specs[model], live.now
    live.settle()
    groups = live.chosen(model, query.role, name=query.name, digest=query.digest)
    view = view_of(list(groups.values()), spec, query, now)
    scores = scores_of(view, query)
    level = query.level or spec.level
    known = _coverage(view)
    figures = {
        name: _figure(
            name, one, spec, level=level, known=known, baseline=scores.baselines.get(name)
        )
        for name, one in scores.figures.items()
    }
    by_class, by_confidence = coverage(view)
    names = list(dict.fromkeys(key[2] for key in groups))
    rows = _rows_by_part(groups, query, view)
    worth = view.effective / view.kish if view.kish else 1.0
    return Answer(
        model=model,
        task=spec.task,
        role=query.role,
        name=names[0] if names else query.name or model,
        digests=[key[3] for key in groups],
        endpoint=query.endpoint,
        slice=dict(query.tags),
        level=level,
        ci=query.ci,
        average=scores.average,
        classes_from="configured" if spec.classes else "none",
        window=WindowSpan(query.window, view.since, view.until, view.revision),
        rows=_rows(view, groups.values()),
        delay=_delay(view),
        sentence=whole_sentence(view, scores, level=level),
        figures=figures,
        averages=scores.averages,
        classes=scores.classes,
        confusion=scores.confusion,
        baseline=scores.baseline,
        by_question=_by_question(view, level),
        post_stratified=post_stratified(view, level=level),
        without_labels=without_labels(view, level=level),
        prediction_powered=powered(view, level=level),
        coverage_by_class=by_class,
        coverage_by_confidence=by_confidence,
        endpoints=parts_of(rows.values(), spec, level=level, worth=worth, kind="endpoints"),
        slices=parts_of(rows.values(), spec, level=level, worth=worth, kind="slices"),
        files=files_of(
            [(key[3], one) for key, one in rows.items()], spec, level=level, worth=worth
        ),
        alarm=alarm_of(groups.values()),
        notes=scores.notes,
    )


def overview(live: LiveFigures, query: Query) -> list[Overview]:
    """The first figure of every model, in the order of the configuration."""
    live.settle()
    found = []
    for model, spec in live.specs.items():
        roles = list(dict.fromkeys(key[1] for key in live.groups if key[0] == model))
        groups = live.chosen(model, query.role)
        view = view_of(list(groups.values()), spec, query, live.now, brief=True)
        level = query.level or spec.level
        name, first = main_figure(view, level=level)
        found.append(
            Overview(
                model=model,
                task=spec.task,
                metric=name,
                figure=_figure(name, first, spec, level=level, known=_coverage(view)),
                f1=f1_of(view),
                rows=_rows(view, groups.values()),
                delay=_delay(view),
                alarm=alarm_of(groups.values()),
                roles=roles,
            )
        )
    return found


def f1_of(view: View) -> float | None:
    """F1 without its interval: of the class meant, or the mean of all classes."""
    means = plain_averages(view)
    if means is None:
        return None
    return means["binary" if view.spec.binary else "macro"][2]


def alarm_of(groups: Iterable[Group]) -> Alarm | None:
    """The alarm of the files that answer now; those that were replaced do not alarm any more."""
    watched = [group for group in groups if group.detector is not None]
    if not watched:
        return None
    newest = max(group.last for group in watched)
    watched = [group for group in watched if group.last >= newest - _REPLACED]
    detector = max(watched, key=lambda one: one.last).detector
    assert detector is not None  # noqa: S101 - those without one were left out
    return Alarm(
        on=any(one.detector is not None and one.detector.alarm for one in watched),
        target=detector.target,
        evidence=detector.evidence,
        threshold=detector.threshold,
    )


def _figure(
    name: str,
    one: Estimate,
    spec: Spec,
    *,
    level: float,
    known: float | None,
    baseline: float | None = None,
) -> Figure:
    wanted = _target(name, one, spec)
    status = "ok"
    if not one.sufficient(level):
        status = "insufficient"
    elif wanted is not None and wanted.outside_bounds:
        status = "below target" if wanted.upper_bound is None else "above target"
    return Figure(
        value=one.value,
        lower=one.lower,
        upper=one.upper,
        n=one.n,
        effective=one.effective,
        method=one.method,
        always=one.always,
        coverage=known,
        status=status,
        sentence=sentence_of(name, one, level=level, baseline=baseline, target=wanted),
        baseline=baseline,
        target=wanted,
    )


def _target(name: str, one: Estimate, spec: Spec) -> Target | None:
    bound = spec.targets.get(name)
    if bound is None:
        return None
    if name in ERRORS:
        return Target(upper_bound=bound, outside_bounds=one.lower > bound)
    return Target(lower_bound=bound, outside_bounds=one.upper < bound)


def _coverage(view: View) -> float | None:
    """The share of predictions that have a label, weighted as they are."""
    made = float(view.stream.total("strata")[0])
    return min(1.0, view.rows / made) if made else None


def _rows(view: View, groups: Iterable[Group]) -> RowCounts:
    mine = list(groups)
    return RowCounts(
        predictions=round(float(view.stream.total("strata")[0])),
        labelled=view.rows,
        coverage=_coverage(view),
        effective=view.effective,
        questions=view.worth.questions,
        left_out=sum(group.cohorts.left_out for group in mine),
        expired=sum(group.expired for group in mine),
    )


def _rows_by_part(groups: Mapping[Key, Group], query: Query, view: View) -> dict[Key, Rows]:
    """Sums by cohort of each group, none for the last rows, which have no buckets."""
    if query.last is not None:
        return {}
    found = {}
    for key, group in groups.items():
        cohorts = group.cohorts.chosen(query.endpoint, query.tags)
        if cohorts != []:
            until = view.until if query.settled else inf
            found[key] = Rows.of(group, cohorts, view.since, until)
    return found


def _delay(view: View) -> LabelDelay:
    delays = view.delays
    return LabelDelay(delays.median, delays.p95, delays.settled, delays.mature)


def _by_question(view: View, level: float) -> Estimate | None:
    """The accuracy over different questions, each counted once however often it was asked."""
    if view.spec.task == "regression" or not view.rows or isnan(view.worth.mean):
        return None
    worth = min(view.worth.questions, view.worth.followed)
    return Estimate.share(view.worth.mean, round(view.worth.questions), worth, level=level)
