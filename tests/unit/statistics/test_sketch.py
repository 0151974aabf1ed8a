# SPDX-License-Identifier: Apache-2.0
"""Quantiles to a relative error, from any numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.statistics.sketch import QuantileSketch


@given(
    st.lists(st.floats(-1e9, 1e9).map(lambda x: 0.0 if abs(x) < 1e-9 else x), min_size=1),
    st.floats(0, 1),
    st.sampled_from([0.005, 0.01, 0.1]),
)
@settings(max_examples=300, deadline=None)
def test_every_quantile_is_within_its_error(
    values: list[float], share: float, error: float
) -> None:
    """Negative, zero and positive, over 18 powers of ten."""
    sketch = QuantileSketch(error=error)
    sketch.add(np.asarray(values))

    # Where share * n is a whole number but for rounding, either neighbour is a quantile.
    ends = [np.quantile(values, max(0, min(1, share + slack)), method="inverted_cdf")
            for slack in (-1e-9, 1e-9)]  # fmt: skip
    actual = sketch.quantile(share)
    assert any(abs(actual - end) <= error * abs(end) * (1 + 1e-9) for end in ends)


def test_weights_count_as_rows() -> None:
    """A row of weight 3 is three rows."""
    heavy, many = QuantileSketch(), QuantileSketch()
    heavy.add(np.asarray([1.0, 5.0]), np.asarray([3.0, 1.0]))
    many.add(np.asarray([1.0, 1.0, 1.0, 5.0]))

    assert [heavy.quantile(q) for q in (0.5, 0.75, 0.8)] == [
        many.quantile(q) for q in (0.5, 0.75, 0.8)
    ]
    assert heavy.total == many.total == 4


def test_the_interval_covers_the_quantile() -> None:
    """600 sets of 200 exponential errors, at their 90 % quantile."""
    random = np.random.default_rng(3)
    real, covered = np.log(10), 0
    for _ in range(600):
        sketch = QuantileSketch()
        sketch.add(random.exponential(size=200))
        interval = sketch.interval(0.9)
        covered += interval.lower * 0.99 <= real <= interval.upper * 1.01

    assert 0.92 <= covered / 600 <= 0.99


def test_an_empty_sketch_and_a_bad_error_say_so() -> None:
    """Nothing of nothing."""
    assert np.isnan(QuantileSketch().quantile(0.5))
    assert np.isnan(QuantileSketch().interval(0.5).lower)
    with pytest.raises(ValueError, match="expected a share from"):
        QuantileSketch(error=0)
