# SPDX-License-Identifier: Apache-2.0
"""Confirm: measure the best settings again, in turns, and undo what makes no difference.

The best of many noisy measurements is too good to be true, so it is measured again, beside the
setting that was there before: round after round each has its turn, and rounds are compared, not
means. Then each knob that differs is put back alone: what is not missed goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, inf, log
from statistics import median
from typing import Final, TypeAlias

import msgspec

from gateway.lab.tune.measured import Bench, Measured, Objective, Trial
from gateway.lab.tune.setting import LAYOUT, Setting
from gateway.statistics.dependence import mean_interval

# A turn of one setting is over; so many of so many.
Progress: TypeAlias = Callable[[Setting, int, int], None]
# A reduced setting may be so much slower as counted, as long as it is not shown to be.
_SLACK: Final = 0.97


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """Throughput of one setting over that of another, with its interval over rounds."""

    value: float
    lower: float
    upper: float

    @property
    def better(self) -> bool:
        """Whether it is shown to be more."""
        return self.lower > 1

    @property
    def worse(self) -> bool:
        """Whether it is shown to be less."""
        return self.upper < 1

    def __str__(self) -> str:
        if self.value == inf:
            return "which did not keep the SLO at all"
        return f"{self.value:.2f} times ({self.lower:.2f} to {self.upper:.2f})"


class Knob(msgspec.Struct, frozen=True, kw_only=True):
    """What putting *names* back to what they were costs: *ratio* of the chosen over that."""

    names: tuple[str, ...]
    before: str
    after: str
    ratio: Ratio
    kept: bool


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """*setting* was chosen; *gain* is its throughput over that of *start*.

    *rounds* has what each finalist gave, round by round; *changed* says whether it is another
    setting than *start*. *knobs* are those that were put back alone.
    """

    start: Setting
    setting: Setting
    changed: bool
    gain: Ratio
    before: Measured
    after: Measured
    knobs: list[Knob] = []
    rounds: list[tuple[Setting, list[Measured]]] = []


def finalists(trials: Sequence[Trial], objective: Objective, *, most: int) -> list[Setting]:
    """The *most* settings of highest throughput that meet *objective*."""
    good = [one for one in trials if one.measured.feasible(objective) and not one.measured.pruned]
    ranked = sorted(good, key=lambda one: one.measured.throughput, reverse=True)
    return [one.setting for one in ranked[:most]]


def interleaved(
    bench: Bench, settings: Sequence[Setting], *, rounds: int, done: Progress | None = None
) -> dict[Setting, list[Measured]]:
    """*rounds* of all *settings* in turn; every second round goes backwards, against drift."""
    found: dict[Setting, list[Measured]] = {each: [] for each in settings}
    total = rounds * len(found)
    count = 0
    for number in range(rounds):
        order = list(found) if number % 2 == 0 else list(reversed(found))
        for each in order:
            found[each].append(bench.measure(each))
            count += 1
            if done is not None:
                done(each, count, total)
    return found


def middle(measured: Sequence[Measured]) -> Measured:
    """The run of median throughput; one that was refused stands for all.

    What could not be measured does not count, unless nothing else is there.
    """
    refused = [one for one in measured if one.refused is not None]
    if refused:
        return refused[0]
    measured = [one for one in measured if one.failed is None] or measured
    ranked = sorted(measured, key=lambda one: one.throughput)
    return msgspec.structs.replace(
        ranked[(len(ranked) - 1) // 2],
        latency=median(one.latency for one in measured),
        memory=round(median(one.memory for one in measured)),
    )


def compare(first: Sequence[Measured], second: Sequence[Measured], level: float = 0.95) -> Ratio:
    """Throughput of *first* over *second*, round by round, by Student's t on logarithms."""
    pairs = [
        (one.throughput, two.throughput)
        for one, two in zip(first, second, strict=True)
        if one.failed is None and two.failed is None
    ]
    if not pairs:
        return Ratio(value=1, lower=0, upper=inf)
    if all(two <= 0 for _, two in pairs):
        good = any(one > 0 for one, _ in pairs)
        return (
            Ratio(value=inf, lower=inf, upper=inf) if good else Ratio(value=1, lower=0, upper=inf)
        )
    if any(one <= 0 for one, _ in pairs):
        failed = all(one <= 0 for one, _ in pairs)
        return Ratio(value=0, lower=0, upper=0 if failed else inf)
    if any(two <= 0 for _, two in pairs):
        # Where one of them failed now and then there is no ratio of rounds.
        return Ratio(value=inf, lower=0, upper=inf)
    logs = [log(one / two) for one, two in pairs]
    interval = mean_interval(logs, level=level)
    return Ratio(
        value=exp(sum(logs) / len(logs)), lower=_exp(interval.lower), upper=_exp(interval.upper)
    )


def confirm(
    bench: Bench, start: Setting, trials: Sequence[Trial], objective: Objective, *,
    most: int = 3, rounds: int = 5, done: Progress | None = None,
) -> Choice:  # fmt: skip
    """Choose among the *most* best of *trials* and *start*, by *rounds* in turns.

    *start* stays where nothing is shown to be better; a knob stays where putting it back is shown
    to cost throughput.
    """
    best = [each for each in finalists(trials, objective, most=most) if each != start]
    found = interleaved(bench, [start, *best], rounds=rounds, done=done)
    ranked = [each for each in best if middle(found[each]).feasible(objective)]
    if not ranked:
        return _choice(start, start, found, [])
    winner = max(ranked, key=lambda each: middle(found[each]).throughput)
    first_feasible = middle(found[start]).feasible(objective)
    if first_feasible and not compare(found[winner], found[start]).better:
        return _choice(start, start, found, [])
    knobs, reduced = _needed(bench, start, winner, rounds=rounds, done=done)
    if reduced not in {winner, start}:
        again = interleaved(bench, [start, winner, reduced], rounds=rounds, done=done)
        ratio = compare(again[reduced], again[winner])
        good = middle(again[reduced]).feasible(objective)
        if good and not ratio.worse and ratio.value >= _SLACK:
            return _choice(start, reduced, found | again, knobs)
        knobs = [msgspec.structs.replace(one, kept=True) for one in knobs]
    return _choice(start, winner, found, knobs)


def _needed(
    bench: Bench, start: Setting, winner: Setting, *, rounds: int, done: Progress | None
) -> tuple[list[Knob], Setting]:
    """Each knob of *winner* put back alone, and what is left with those that are missed."""
    groups = _groups(winner.changed(start))
    if len(groups) < 2:
        # One knob has been compared already: it is the whole difference.
        return [], winner
    variants = {
        names: winner.put(**{name: getattr(start, name) for name in names}) for names in groups
    }
    found = interleaved(bench, [winner, *variants.values()], rounds=rounds, done=done)
    knobs = []
    reduced = winner
    for names, variant in variants.items():
        ratio = compare(found[winner], found[variant])
        knobs.append(
            Knob(
                names=names,
                before=_words(start, names),
                after=_words(winner, names),
                ratio=ratio,
                kept=ratio.better,
            )
        )
        if not ratio.better:
            reduced = reduced.put(**{name: getattr(start, name) for name in names})
    if not any(one.kept for one in knobs):
        # None is missed alone: they stand in for each other, and all of them stay.
        return [msgspec.structs.replace(one, kept=True) for one in knobs], winner
    return knobs, reduced


def _groups(names: list[str]) -> list[tuple[str, ...]]:
    layout = tuple(name for name in names if name in LAYOUT)
    groups: list[tuple[str, ...]] = [layout] if layout else []
    return groups + [(name,) for name in names if name not in LAYOUT]


def _words(setting: Setting, names: tuple[str, ...]) -> str:
    values = (getattr(setting, name) for name in names)
    words = ({True: "on", False: "off"}[one] if isinstance(one, bool) else one for one in values)
    return ", ".join(f"{name} {word}" for name, word in zip(names, words, strict=True))


def _choice(
    start: Setting, setting: Setting, found: dict[Setting, list[Measured]], knobs: list[Knob]
) -> Choice:
    same = setting == start
    gain = Ratio(value=1, lower=1, upper=1) if same else compare(found[setting], found[start])
    return Choice(
        start=start,
        setting=setting,
        changed=not same,
        gain=gain,
        before=middle(found[start]),
        after=middle(found[setting]),
        knobs=knobs,
        rounds=list(found.items()),
    )


def _exp(value: float) -> float:
    return 0.0 if value == -inf else inf if value > 700 else exp(value)
