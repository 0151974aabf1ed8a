# SPDX-License-Identifier: Apache-2.0
"""What shows that a candidate is not worse, and how often it shows it wrongly."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from scipy import optimize, stats

from gateway.statistics.noninferiority import (
    harm_p_value,
    most_disagreement,
    p_value,
    rows_to_prove,
    score,
)


def test_without_a_differing_row_the_p_value_is_that_of_seeing_none() -> None:
    """At the margin each row differs with that chance: (1 - margin)^n."""
    assert p_value(0, 0, 598, margin=0.005) == pytest.approx(0.995**598, abs=2e-4)
    assert p_value(0, 0, 299, margin=0.01) == pytest.approx(0.99**299, abs=2e-4)
    assert p_value(0, 0, 0, margin=0.01) == 1.0


@pytest.mark.parametrize("margin", [0.01, 0.05])
@pytest.mark.parametrize("share", [0.01, 0.03, 0.08, 0.3, 0.9])
def test_a_candidate_at_the_margin_passes_as_rarely_as_it_says(margin: float, share: float) -> None:
    """All tables of 120 rows, by their probability under the claim: at most alpha are taken."""
    n, alpha, share = 120, 0.05, max(share, margin)
    old, new = (share + margin) / 2, (share - margin) / 2
    wrong = 0.0
    for differ in range(n + 1):
        likely = stats.binom.pmf(differ, n, share)
        if likely < 1e-7:
            continue
        chances = stats.binom.pmf(np.arange(differ + 1), differ, old / (old + new))
        # The p-value grows with what the old model wins: bisect instead of trying each.
        low, high = -1, differ
        while low < high:
            middle = (low + high + 1) // 2
            if p_value(middle, differ - middle, n, margin=margin) <= alpha:
                low = middle
            else:
                high = middle - 1
        wrong += likely * chances[: low + 1].sum()

    assert wrong <= alpha + 1e-6


def test_the_score_is_that_of_the_likelihood_under_the_claim() -> None:
    """Tango's closed form equals the maximum of the restricted likelihood."""
    b, c, n, margin = 9, 4, 300, 0.02

    def loss(share: float) -> float:
        return -float(
            b * np.log(share + margin) + c * np.log(share)
            + (n - b - c) * np.log(1 - 2 * share - margin)
        )  # fmt: skip

    found = optimize.minimize_scalar(loss, bounds=(1e-9, 0.4), method="bounded",
                                     options={"xatol": 1e-12}).x  # fmt: skip
    variance = n * (2 * found + margin * (1 - margin))
    assert float(score(b, c, n, margin=margin)) == pytest.approx(
        (b - c - n * margin) / np.sqrt(variance), rel=1e-6
    )


def test_many_differing_rows_are_judged_by_the_score() -> None:
    """The exact test meets the normal one where it hands over."""
    exact = p_value(205, 190, 5000, margin=0.01)
    normal = stats.norm.cdf(float(score(205, 190, 5000, margin=0.01)))

    assert exact == pytest.approx(normal, abs=0.004)
    assert p_value(250, 240, 6000, margin=0.01) == pytest.approx(
        stats.norm.cdf(float(score(250, 240, 6000, margin=0.01))), rel=1e-9
    )


def test_more_lost_rows_are_weaker_evidence() -> None:
    """Both directions of the order."""
    assert p_value(0, 4, 500, margin=0.01) < p_value(0, 0, 500, margin=0.01)
    assert p_value(0, 0, 500, margin=0.01) < p_value(3, 0, 500, margin=0.01)
    assert p_value(30, 0, 500, margin=0.01) > 0.99


def test_harm_is_shown_by_losses_beyond_the_margin() -> None:
    """Nine rows of nine; not by what the margin allows."""
    assert harm_p_value(9, 0, 9, margin=0.005) < 0.005
    assert harm_p_value(60, 0, 1000, margin=0.01) < 1e-3
    assert harm_p_value(8, 0, 1000, margin=0.01) == 1.0
    assert harm_p_value(14, 0, 1000, margin=0.01) == pytest.approx(
        stats.binom.sf(13, 1000, 0.01), abs=2e-3
    )
    assert harm_p_value(600, 10, 5000, margin=0.05) < 1e-6


def test_disagreement_is_bounded_from_above_exactly() -> None:
    """Clopper and Pearson, one-sided."""
    assert most_disagreement(0, 299) == pytest.approx(1 - 0.05 ** (1 / 299))
    assert most_disagreement(3, 100) == pytest.approx(stats.beta.ppf(0.95, 4, 97))
    assert most_disagreement(0, 0) == most_disagreement(5, 5) == 1.0


def test_it_says_how_many_rows_would_prove_it() -> None:
    """The fewest where nothing differs, by power where something does, never where it has lost."""
    assert rows_to_prove(0, 0, 100, margin=0.005) == 598
    assert rows_to_prove(1, 1, 100, margin=0.01) == pytest.approx(1237, abs=1)
    assert rows_to_prove(2, 0, 100, margin=0.01) == inf
    needed = int(rows_to_prove(0, 0, 0, margin=0.01))
    assert p_value(0, 0, needed, margin=0.01) <= 0.0502


@pytest.mark.parametrize(
    ("counts", "message"),
    [((1, 1, 10, 1.0), "margin 1"), ((9, 9, 10, 0.1), "9 and 9 differing rows of 10")],
)
def test_what_cannot_be_is_refused(counts: tuple[int, int, int, float], message: str) -> None:
    """The message says which value."""
    b, c, n, margin = counts
    with pytest.raises(ValueError, match=message):
        p_value(b, c, n, margin=margin)
