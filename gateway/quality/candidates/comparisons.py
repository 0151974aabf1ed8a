# SPDX-License-Identifier: Apache-2.0
"""Comparisons: the pairs of each model and its candidate, and what they prove by now."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.quality.candidates.label_requests import LabelRequests
from gateway.quality.candidates.pairing import Pairing
from gateway.statistics.comparison import Pairs, decide_weighted, differs_at_most, mcnemar_exact
from gateway.statistics.confidence_sequences import share_sequence
from gateway.statistics.special import z_value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from gateway.quality.joined import Joined
    from gateway.statistics.comparison import Decision
    from gateway.statistics.intervals import Interval
    from gateway.wire.samples import Column, Samples

# Pairs of files of one model that are counted at a time: in a rolling restart there are two.
MOST_PAIRINGS: Final = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What *candidate* must prove beside a model; see the section ``candidate``.

    *sample* is the share of the requests that it is a shadow of, whatever else rules add: what was
    more likely to be here weighs less, in proportion.
    """

    candidate: str
    margin: float = 0.01
    alpha: float = 0.05
    min_rows: int = 300
    labels_at_random: bool = False
    sample: float = 1.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of *candidate*, the digest of its file, beside *model*, that of the model's.

    *harm* is the e-value against "at no time was it worse by more than the margin". *at_most*
    bounds the share of rows on which they differ, at all times. *rows_needed* is about how many
    pairs it takes at this disagreement to tell a loss of the margin, by the formula for one look at
    5 % and a power of 80 %; None where nothing differs. *noise* is how often the model differed
    from itself, where a shadow runs the same file: rows, differing ones, and an interval.
    """

    model: str
    candidate: str
    decision: Decision
    harm: float
    at_most: float
    mcnemar_p: float
    since: float
    last: float
    rows_needed: int | None
    noise: tuple[int, int, Interval] | None = None


class Comparisons:
    """Listens to pairs of live and shadow answers; *random* chooses the sample for labels."""

    def __init__(self, *, random: Random) -> None:
        self._random = random
        self._plans: dict[str, Plan] = {}
        self._since: dict[str, float] = {}
        # By model, then by the digests of its file and the candidate's.
        self._pairings: dict[str, dict[tuple[str, str], Pairing]] = {}
        self._noise: dict[str, tuple[int, int]] = {}
        self.requests: dict[str, LabelRequests] = {}

    def __repr__(self) -> str:
        return f"<Comparisons {self._pairings}>"

    def follow(self, plans: Mapping[str, Plan], since: Mapping[str, float]) -> None:
        """Follow *plans*, by model, with rows *since* that time; what does not change goes on."""
        for model in [*self._pairings]:
            if model not in plans or plans[model].candidate != self._plans[model].candidate:
                self._forget(model)
        for model, plan in plans.items():
            if self._since.get(model) != since.get(model, 0.0):
                self._forget(model)
            self._since[model] = since.get(model, 0.0)
            self._pairings.setdefault(model, {})
            self.requests.setdefault(model, LabelRequests(model, random=self._random))
            self._plans[model] = plan

    def _forget(self, model: str) -> None:
        self._pairings.pop(model, None)
        self.requests.pop(model, None)

    def predicted(self, samples: Samples) -> None:
        """Count the pairs of *samples*, where it has some."""
        plan = self._plans.get(samples.model)
        if plan is None or samples.role != "shadow" or samples.live is None or not len(samples):
            return
        if samples.name not in {plan.candidate, samples.model}:
            if samples.digest == samples.live_digest:
                self._hear_noise(samples.model, samples.live != samples.predicted)
            return
        live, candidate, files = _sides(samples, plan)
        last = float(samples.times.max())
        pairing = self._pairing(samples.model, files, last)
        pairing.add(live, candidate, samples.times, _weights(samples.pi, plan))
        self.requests[samples.model].offer(samples, live, candidate, since=pairing.since)

    def joined(self, rows: Joined) -> None:
        """Count the labels of pairs."""
        plan = self._plans.get(rows.model)
        if plan is None or rows.role != "shadow" or rows.live is None or not len(rows):
            return
        if rows.name not in {plan.candidate, rows.model}:
            return
        live, candidate, files = _sides(rows, plan)
        pairing = self._pairings[rows.model].get(files)
        if pairing is None:
            return
        if pairing.source is None:
            # One voice for each row: a second annotator's label is of a row that has one.
            pairing.source = rows.sources[int(rows.source[0])]
        mine = np.isin(
            rows.source,
            [place for place, source in enumerate(rows.sources) if source == pairing.source],
        )
        pairing.label(
            live[mine],
            candidate[mine],
            true=rows.true[mine],
            signs=rows.sign[mine],
            times=rows.times[mine],
            weights=_weights(rows.pi[mine], plan),
        )

    def evidence(self, model: str) -> Evidence | None:
        """What is known of the candidate of *model*; None without a pair."""
        pairings = self._pairings.get(model)
        if not pairings:
            return None
        plan = self._plans[model]
        # Of several files the ones that answered last; both processes may lag behind each other.
        pairing = max(pairings.values(), key=lambda each: each.last)
        strata = pairing.strata
        decision = decide_weighted(
            strata,
            margin=plan.margin,
            alpha=plan.alpha,
            least=plan.min_rows,
            labels_at_random=plan.labels_at_random,
        )
        pairs = decision.pairs
        noise = self._noise.get(model)
        return Evidence(
            model=pairing.model,
            candidate=pairing.candidate,
            decision=decision,
            harm=pairing.harm(margin=plan.margin),
            at_most=differs_at_most(strata, alpha=plan.alpha),
            mcnemar_p=mcnemar_exact(pairs.live, pairs.candidate),
            since=self._since[model],
            last=pairing.last,
            rows_needed=rows_needed(pairs, plan.margin),
            noise=None
            if noise is None
            else (*noise, share_sequence(noise[1], noise[0], level=1 - plan.alpha)),
        )

    def _pairing(self, model: str, files: tuple[str, str], last: float) -> Pairing:
        pairings = self._pairings[model]
        pairing = pairings.get(files)
        if pairing is None:
            pairing = pairings[files] = Pairing(*files, since=self._since[model])
        pairing.last = max(pairing.last, last)
        if len(pairings) > MOST_PAIRINGS:
            oldest = min(pairings, key=lambda each: pairings[each].last)
            del pairings[oldest]
        return pairing

    def _hear_noise(self, model: str, differs: Column) -> None:
        rows, different = self._noise.get(model, (0, 0))
        self._noise[model] = (rows + len(differs), different + int(differs.sum()))


def rows_needed(pairs: Pairs, margin: float) -> int | None:
    """(z_a + z_b)^2 times the disagreement over margin^2, one-sided at 5 % with a power of 80 %."""
    if not pairs.differ:
        return None
    z = z_value(0.9) + z_value(0.6)
    return ceil(z * z * pairs.differ / pairs.rows / margin**2)


def _sides(rows: Samples | Joined, plan: Plan) -> tuple[Column, Column, tuple[str, str]]:
    """What the model and the candidate said to *rows*, and the digests of their files.

    Where the candidate answers clients, the model is its shadow.
    """
    assert rows.live is not None  # noqa: S101 - looked at by the caller
    if rows.name == plan.candidate:
        return rows.live, rows.predicted, (rows.live_digest, rows.digest)
    return rows.predicted, rows.live, (rows.digest, rows.live_digest)


def _weights(pi: Column, plan: Plan) -> Column:
    """What rows stand for, beside those that nothing but the plain share has chosen."""
    share = np.maximum(pi.astype(np.float64), 1e-6)
    return np.minimum(plan.sample / share, 1.0)
