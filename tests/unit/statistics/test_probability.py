# SPDX-License-Identifier: Apache-2.0
"""Calibration error, and the parts of the Brier score."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.statistics.probability import Calibration, Losses


def test_calibration_error_is_that_of_its_definition() -> None:
    """15 bins of equal width, each with its upper end."""
    random = np.random.default_rng(1)
    stated = random.random(2000).round(3)
    came = random.random(2000) < stated**2
    weights = random.random(2000)
    state = Calibration()
    state.add(came, stated, weights)

    total = 0.0
    for place in range(15):
        inside = (stated > place / 15) & (stated <= (place + 1) / 15)
        inside |= (place == 0) & (stated == 0)
        weight = weights[inside]
        gap = weight @ came[inside] - weight @ stated[inside]
        total += abs(float(gap))
    assert state.ece() == pytest.approx(total / weights.sum(), abs=1e-12)


def test_parts_add_up_to_the_brier_score() -> None:
    """Exactly, where a bin holds one probability."""
    random = np.random.default_rng(1)
    stated = random.choice([0.1, 0.35, 0.6, 0.95], 500)
    came = random.random(500) < stated
    state, losses = Calibration(), Losses(half=True)
    state.add(came, stated)
    losses.add(came.astype(int), np.column_stack((1 - stated, stated)))
    parts = state.murphy()

    whole = parts.reliability - parts.resolution + parts.uncertainty
    assert whole == pytest.approx(losses.brier()[0], abs=1e-12)


def test_nothing_is_known_of_nothing() -> None:
    """No rows, no figure."""
    assert np.isnan(Calibration().ece())
    assert np.isnan(Calibration().murphy().resolution)
    assert np.isnan(Losses().brier()[0])
