# SPDX-License-Identifier: Apache-2.0
"""Judge: how far each feature of a window is from the reference, and which of that is an alarm.

An alarm is more than chance, over all features together, and more than what matters. One look is
one of many at the same feature, so p-values would add up to alarms: they become e-values, which
may be looked at again and again far more freely, and e-BH bounds the share of false ones among the
features that alarm.
"""

from __future__ import annotations

from itertools import pairwise
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from gateway.statistics.betting import benjamini_hochberg
from gateway.statistics.drift import Drift, chi_square, jensen_shannon, kolmogorov_smirnov, psi

if TYPE_CHECKING:
    from gateway.quality.drift.counts import Counts
    from gateway.quality.drift.reference import Feature, Reference
    from gateway.statistics.arrays import Floats

# Rows below which nothing is said: ten bins of some 20 rows each.
ENOUGH: Final = 200
_HIGHEST: Final = 1e12


class Distance(msgspec.Struct, frozen=True):
    """One measure: *distance*, the *threshold* that it would alarm above, and *p* of chance."""

    distance: float
    threshold: float
    p: float


class FeatureDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One feature of a window beside the reference.

    *tests* are by name: psi, js, chi_square, and ks where bins are in an order. *missing* is the
    share of values that are no number, or of names that the reference did not list, and
    *missing_before* the same of the reference. *harm* is how much less of the answers is expected
    to be right for this shift alone, by the confidence that the model had in each bin; null where
    it gives none. *evidence* is the e-value against chance.
    """

    name: str
    kind: str
    rows: int
    alarm: bool
    tests: dict[str, Distance]
    missing: float
    missing_before: float
    harm: float | None
    evidence: float
    reference: list[float]
    current: list[float]
    bins: list[str]


class Expected(msgspec.Struct, frozen=True):
    """The accuracy that the model's own confidence promises, before and in the window.

    It assumes that confidence is calibrated and that the same inputs still have the same labels.
    """

    before: float
    now: float
    lower: float
    upper: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A window: *rows* that were looked at of those since *since*, the *features* that alarm first.

    *state* is ``insufficient`` where there are too few rows, ``alarm`` or ``calm``.
    """

    model: str
    window: str
    since: float
    until: float
    rows: int
    reference_rows: int
    state: str
    sentence: str
    features: list[FeatureDrift]
    expected: Expected | None = None


def judge(
    reference: Reference,
    counts: Counts,
    *,
    window: str,
    since: float,
    until: float,
    floor: float = 0.1,
    alpha: float = 0.05,
    source: str = "",
) -> Verdict:
    """The verdict on *counts* of the time from *since* to *until*.

    *floor* is the population stability index that matters, *alpha* bounds the share of false
    alarms among those that there are.
    """
    rows = int(counts.sums[0])
    found: list[FeatureDrift] = []
    if rows >= ENOUGH and reference.rows:
        drafts = [
            _feature(
                feature,
                counts.table[place, : feature.profile.bins].astype(np.float64),
                floor,
                alpha,
            )
            for place, feature in enumerate(reference.features)
        ]
        evidence = np.asarray([each.evidence for each in drafts])
        rejected = set(benjamini_hochberg(evidence, alpha=alpha)) if drafts else set()
        for place, draft in enumerate(drafts):
            far = (
                "psi" in draft.tests and draft.tests["psi"].distance > draft.tests["psi"].threshold
            )
            found.append(msgspec.structs.replace(draft, alarm=place in rejected and far))
        found.sort(key=_rank)
    alarms = [each for each in found if each.alarm]
    state = "insufficient" if rows < ENOUGH else "alarm" if alarms else "calm"
    expected = _expected(reference, counts)
    return Verdict(
        model=reference.model,
        window=window,
        since=since,
        until=until,
        rows=rows,
        reference_rows=reference.rows,
        state=state,
        sentence=_sentence(
            state,
            rows,
            alarms,
            expected=expected,
            window=window,
            source=source or reference.source,
        ),
        features=found,
        expected=expected,
    )


def _rank(each: FeatureDrift) -> tuple[bool, float, float]:
    """Alarms first, the most harmful first, then the farthest."""
    harm = each.harm if each.harm is not None else 0.0
    distance = each.tests["psi"].distance if "psi" in each.tests else 0.0
    return (not each.alarm, -harm, -distance)


def _feature(feature: Feature, current: Floats, floor: float, alpha: float) -> FeatureDrift:
    before, now = feature.counts, current
    tests: dict[str, Distance] = {}
    evidence = 0.0
    rows = int(now.sum())
    if rows >= ENOUGH and before.sum():
        tests["psi"] = _told(psi(before, now, alpha=alpha, floor=floor))
        tests["js"] = _told(jensen_shannon(before, now, alpha=alpha))
        chi = chi_square(before, now, alpha=alpha)
        tests["chi_square"] = _told(chi)
        if (ordered := feature.ordered) and before[:ordered].sum() and now[:ordered].sum():
            tests["ks"] = _told(kolmogorov_smirnov(before[:ordered], now[:ordered], alpha=alpha))
        # Calibrated to a bet: V. Vovk, R. Wang, "E-values: calibration, combination and
        # applications", 2021, kappa = 1/2.
        evidence = min(_HIGHEST, 0.5 / sqrt(chi.p)) if chi.p > 0 else _HIGHEST
    return FeatureDrift(
        name=feature.name,
        kind=feature.kind,
        rows=rows,
        alarm=False,
        tests=tests,
        missing=_share(now),
        missing_before=_share(before),
        harm=_harm(feature, now),
        evidence=evidence,
        reference=[round(share, 6) for share in _shares(before).tolist()],
        current=[round(share, 6) for share in _shares(now).tolist()],
        bins=_labels(feature),
    )


def _told(drift: Drift) -> Distance:
    return Distance(drift.distance, drift.threshold, drift.p)


def _shares(counts: Floats) -> Floats:
    total = float(counts.sum())
    return counts / total if total else counts


def _share(counts: Floats) -> float:
    return float(_shares(counts)[-1]) if len(counts) else 0.0


def _harm(feature: Feature, now: Floats) -> float | None:
    """Expected accuracy that is lost as bins are hit more or less often than before.

    What the reference has no row of counts as the average does.
    """
    confidence, before = feature.confidence, feature.counts
    if confidence is None or not before.sum() or not now.sum():
        return None
    mean = float(confidence.sum() / before.sum())
    by_bin = np.where(before > 0, confidence / np.maximum(before, 1), mean)
    return float(((_shares(before) - _shares(now)) * by_bin).sum())


def _expected(reference: Reference, counts: Counts) -> Expected | None:
    known, total, variance = counts.sums[1:].tolist()
    feature = next((each for each in reference.features if each.confidence is not None), None)
    if feature is None or feature.confidence is None or known < ENOUGH or not feature.counts.sum():
        return None
    before = float(feature.confidence.sum() / feature.counts.sum())
    now = total / known
    half = 1.96 * sqrt(max(variance, 0.0)) / known
    return Expected(before, now, max(0.0, now - half), min(1.0, now + half))


def _labels(feature: Feature) -> list[str]:
    parameters = feature.profile.pack()["parameters"]
    if feature.kind == "name":
        return [*(str(each) for each in parameters["known"]), "other"]
    edges = [f"{edge:.6g}" for edge in parameters["edges"]]
    if not edges:
        return ["any number", "no number"]
    between = [f"{low} to {high}" for low, high in pairwise(edges)]
    return [f"up to {edges[0]}", *between, f"above {edges[-1]}", "no number"]


def _sentence(
    state: str,
    rows: int,
    alarms: list[FeatureDrift],
    *,
    expected: Expected | None,
    window: str,
    source: str,
) -> str:
    if state == "insufficient":
        return (
            f"{rows} rows were looked at in the last {window}; below {ENOUGH} nothing can be said."
        )
    if not alarms:
        return (
            f"The {rows} rows of the last {window} look like {source}: nothing differs by more "
            "than chance and by more than matters."
        )
    first = alarms[0]
    others = f" and {len(alarms) - 1} more" if len(alarms) > 1 else ""
    said = (
        f"{first.name}{others} of the {rows} rows of the last {window} differs from {source} "
        f"(PSI {first.tests['psi'].distance:.3f}, by chance it would be below "
        f"{first.tests['psi'].threshold:.3f}): {_moved(first)}."
    )
    if first.harm is not None and isfinite(first.harm):
        if first.harm > 0:
            said += (
                f" By the model's confidence this alone costs {first.harm:.1%} of accuracy, if "
                "confidence is calibrated and labels of equal inputs have not changed."
            )
        else:
            said += " By the model's confidence this alone costs no accuracy."
    if expected is not None:
        said += (
            f" Of all answers it expects {expected.now:.1%} to be right, and before "
            f"{expected.before:.1%}."
        )
    return said


def _moved(each: FeatureDrift) -> str:
    """The bin whose share changed most, in words."""
    gaps = np.asarray(each.current) - np.asarray(each.reference)
    place = int(np.abs(gaps).argmax())
    return (
        f"'{each.bins[place]}' was {each.reference[place]:.1%} of rows and is "
        f"{each.current[place]:.1%}"
    )
