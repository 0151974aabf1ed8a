# SPDX-License-Identifier: Apache-2.0
"""Reasons: why this setting, in words, each with the figures behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.lab.tune.confirm import Choice, Ratio
from gateway.lab.tune.measured import Measured, Objective, Trial

_MEANS: Final = {
    "precision": "the model in fewer bits",
    "max_rows": "rows of a batch",
    "optimization": "how far onnxruntime rewrites the model",
    "arena": "whether workers keep the memory of past inferences",
    "spinning": "whether idle threads wait busily",
    "max_concurrency": "batches that a worker is sent at the same time",
    "cache": "answers kept in memory",
}
_MIB: Final = 1 << 20


def reasons(
    choice: Choice, trials: Sequence[Trial], objective: Objective, refusals: dict[str, str]
) -> list[str]:
    """Sentences, the most important first. *refusals* says why each other precision is out."""
    said = [_headline(choice, objective)]
    if choice.changed and not choice.knobs:
        differs = choice.setting.changed(choice.start)
        changes = ", ".join(
            f"{name} {getattr(choice.setting, name)} instead of {getattr(choice.start, name)}"
            for name in differs
        )
        said.append(f"{changes}: that is the whole difference.")
    for one in choice.knobs:
        meaning = "how workers share the cores" if len(one.names) > 1 else _MEANS.get(one.names[0])
        what = f"{one.after} instead of {one.before}" + (f" ({meaning})" if meaning else "")
        if one.kept and one.ratio.better:
            said.append(f"{what}: {_times(one.ratio)} the throughput of the same without it.")
        elif one.kept:
            said.append(f"{what}: not missed alone, but together with the others.")
        else:
            said.append(f"{what}: put back, it makes no difference ({one.ratio}).")
    said += [f"{precision} is out: {why}" for precision, why in refusals.items()]
    said += _refused(trials, refusals)
    said += _search(trials, objective)
    return said


def _headline(choice: Choice, objective: Objective) -> str:
    before, after = choice.before, choice.after
    if not after.feasible(objective):
        if choice.changed:
            return f"No setting keeps {objective.slo}."
        return (
            f"No setting keeps {objective.slo}, as it is now it takes {_ms(before.latency)} at "
            f"{after.capacity * 0.5:,.0f} requests/s; more or faster machines, or a looser bound."
        )
    if not choice.changed:
        return (
            f"The setting stays as it is: nothing is shown to carry more than its "
            f"{before.throughput:,.0f} requests/s within {objective.slo}."
        )
    if not before.feasible(objective):
        why = before.refused or f"does not keep {objective.slo} at any rate"
        return f"{_figures(after)} within {objective.slo}; the setting of before {why}."
    return (
        f"{_figures(after)} within {objective.slo}, {_times(choice.gain)} as much as before "
        f"({_figures(before)})."
    )


def _figures(measured: Measured) -> str:
    words = f"{measured.throughput:,.0f} requests/s at {_ms(measured.latency)}"
    return f"{words}, {measured.memory / _MIB:,.0f} MiB"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"


def _times(ratio: Ratio) -> str:
    return str(ratio)


def _refused(trials: Sequence[Trial], refusals: dict[str, str]) -> list[str]:
    """Settings that the gate refused though their precision had passed."""
    found: dict[str, tuple[int, str]] = {}
    for one in trials:
        precision = one.setting.precision
        if one.measured.refused is not None and precision not in refusals:
            count, _ = found.get(precision, (0, ""))
            found[precision] = (count + 1, one.measured.refused)
    return [
        f"{count} settings in {precision} were refused for their answers: {why}"
        for precision, (count, why) in found.items()
    ]


def _search(trials: Sequence[Trial], objective: Objective) -> list[str]:
    pruned = sum(one.measured.pruned for one in trials)
    failed = [one.measured.failed for one in trials if one.measured.failed is not None]
    missed = sum(
        one.measured.refused is None
        and one.measured.failed is None
        and not one.measured.feasible(objective)
        for one in trials
    )
    words = [f"{len(trials)} settings were tried"]
    if pruned:
        words.append(f"{pruned} given up early, below the median of the others")
    if missed:
        words.append(f"{missed} did not meet the objective")
    if failed:
        words.append(f"{len(failed)} could not be measured, the last because {failed[-1]}")
    return ["; ".join(words) + "."]
