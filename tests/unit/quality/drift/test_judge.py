# SPDX-License-Identifier: Apache-2.0
"""Judge: no alarm while nothing changes, one that names the feature when it does."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.quality.drift.counts import Counts
from gateway.quality.drift.features import Features
from gateway.quality.drift.judge import Verdict, judge
from gateway.quality.drift.reference import Reference

NAMES = tuple(f"x[{place}]" for place in range(12))


def features(
    rng: np.random.Generator, rows: int, *, shift: float = 0.0, confidence: bool = True
) -> Features:
    """Twelve normal columns, the third one shifted, and a confidence that falls with it."""
    values = rng.normal(size=(rows, len(NAMES)))
    values[:, 2] += shift
    sure = 1 / (1 + np.exp(values[:, 2] - 3))
    found = Features(rows, {name: values[:, place] for place, name in enumerate(NAMES)})
    found.texts["colour"] = rng.choice(["red", "green", "blue"], rows, p=[0.5, 0.3, 0.2]).tolist()
    found.confidence = sure.astype(np.float32) if confidence else None
    return found


def fitted(rows: int = 10_000, *, confidence: bool = True) -> Reference:
    """A reference of normal columns."""
    found = features(np.random.default_rng(1), rows, confidence=confidence)
    return Reference.fit("m", found, source="training", made=0.0)


def judged(reference: Reference, found: Features) -> Verdict:
    """The verdict on *found*."""
    counts = Counts(len(reference.features), reference.width)
    confidence = found.confidence
    if confidence is None:
        confidence = np.full(found.rows, np.nan)
    counts.add(reference.places(found), confidence)
    return judge(reference, counts, window="1h", since=0.0, until=3600.0)


@pytest.mark.parametrize("rows", [300, 1000, 10_000])
def test_stationary_traffic_alarms_next_to_never(rows: int) -> None:
    """In 60 windows of 13 features there is none (benchmarks/quality has thousands of them)."""
    reference = fitted()
    rng = np.random.default_rng(rows)
    alarms = classic = 0
    for _ in range(60):
        verdict = judged(reference, features(rng, rows))
        alarms += verdict.state == "alarm"
        classic += sum(each.tests["psi"].p < 0.05 for each in verdict.features)
    assert alarms == 0
    # The null distribution is what it says: one in twenty is beyond its own 95 % quantile.
    assert classic / (60 * 13) == pytest.approx(0.05, abs=0.03)


def test_shifted_traffic_alarms_and_names_the_feature() -> None:
    """First of all, with the bin that moved and what it costs by the model's confidence."""
    verdict = judged(fitted(), features(np.random.default_rng(2), 2000, shift=0.8))
    assert verdict.state == "alarm"
    first = verdict.features[0]
    assert (first.name, first.alarm) == ("x[2]", True)
    assert not any(each.alarm for each in verdict.features[1:])
    assert first.harm is not None
    assert first.harm > 0.02
    assert set(first.tests) == {"psi", "js", "chi_square", "ks"}
    assert verdict.sentence.startswith("x[2] of the 2000 rows of the last 1h differs from training")
    assert "if confidence is calibrated" in verdict.sentence
    assert verdict.expected is not None
    assert verdict.expected.upper < verdict.expected.before


def test_harm_is_the_accuracy_that_is_lost() -> None:
    """By the confidence of each bin; close to what the model itself says of the shifted rows."""
    verdict = judged(fitted(), features(np.random.default_rng(3), 20_000, shift=0.8))
    first = verdict.features[0]
    assert verdict.expected is not None
    assert first.harm == pytest.approx(verdict.expected.before - verdict.expected.now, abs=0.02)


def test_alarms_come_by_their_harm() -> None:
    """A shift to where the model is sure comes behind one to where it is not, however far."""
    found = features(np.random.default_rng(4), 3000, shift=0.7)
    found.numbers["x[5]"] = found.numbers["x[5]"] + 3
    names = [each.name for each in judged(fitted(), found).features if each.alarm]
    assert names == ["x[2]", "x[5]"]


def test_without_confidence_there_is_no_harm() -> None:
    """Nothing is made up."""
    reference = fitted(confidence=False)
    shifted = features(np.random.default_rng(5), 2000, shift=1.0, confidence=False)
    verdict = judged(reference, shifted)
    assert verdict.state == "alarm"
    assert verdict.features[0].harm is None
    assert verdict.expected is None


def test_a_certain_difference_that_does_not_matter_is_no_alarm() -> None:
    """With a million rows nearly everything differs."""
    reference = fitted(200_000)
    verdict = judged(reference, features(np.random.default_rng(6), 400_000, shift=0.05))
    (third,) = [each for each in verdict.features if each.name == "x[2]"]
    assert third.tests["chi_square"].p < 1e-9
    assert verdict.state == "calm"


def test_missing_values_and_new_names_are_seen() -> None:
    """As bins of their own."""
    found = features(np.random.default_rng(7), 2000)
    found.numbers["x[0]"] = np.where(np.arange(2000) % 4 == 0, np.nan, found.numbers["x[0]"])
    found.texts["colour"] = ["mauve"] * 600 + found.texts["colour"][600:]
    verdict = judged(fitted(), found)
    alarms = {each.name: each for each in verdict.features if each.alarm}
    assert set(alarms) == {"x[0]", "colour"}
    assert alarms["x[0]"].missing == pytest.approx(0.25)
    assert alarms["colour"].missing == pytest.approx(0.3)
    assert alarms["colour"].bins[-1] == "other"
    assert "'no number' was 0.0% of rows and is 25.0%" in verdict.sentence or "'other'" in (
        verdict.sentence
    )


def test_few_rows_say_nothing() -> None:
    """Below 200 there is no verdict."""
    verdict = judged(fitted(), features(np.random.default_rng(8), 199, shift=5.0))
    assert (verdict.state, verdict.features) == ("insufficient", [])
    assert "199 rows" in verdict.sentence
