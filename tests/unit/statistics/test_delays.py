# SPDX-License-Identifier: Apache-2.0
"""Delays: rows that still wait are no proof of quick labels."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from gateway.statistics.arrays import Floats
from gateway.statistics.delays import BINS, delay_bins, delay_quantile, settled_after


def counts(delays: list[float]) -> Floats:
    """How many delays each bin has."""
    return np.bincount(delay_bins(np.asarray(delays)), minlength=BINS).astype(float)


def test_quantiles_are_within_a_bin() -> None:
    """Half of the labels are there after the median, to within 9 %."""
    random = np.random.default_rng(1)
    delays = random.exponential(600, 5000)
    found = delay_quantile(counts(delays.tolist()), 0.5)
    assert found == pytest.approx(float(np.median(delays)), rel=0.09)
    assert isnan(delay_quantile(np.zeros(BINS), 0.5))


def test_rows_that_wait_make_labels_late() -> None:
    """Young rows without a label are taken into account, as Kaplan and Meier do."""
    random = np.random.default_rng(2)
    delays, ages = random.exponential(600, 20_000), random.uniform(0, 3000, 20_000)
    came = delays <= ages
    seen = settled_after(counts(delays[came].tolist()), counts(ages[~came].tolist()))
    naive = float(np.quantile(delays[came], 0.95))
    truth = float(np.quantile(delays, 0.95))
    assert seen == pytest.approx(truth, rel=0.15)
    assert naive < 0.85 * truth


def test_most_rows_may_never_get_a_label() -> None:
    """Where a tenth is labelled at all, settled is when these are."""
    found = settled_after(counts([60.0] * 100), counts([1e6] * 900))
    assert found == pytest.approx(60, rel=0.1)
    assert isnan(settled_after(np.zeros(BINS), counts([5.0])))
