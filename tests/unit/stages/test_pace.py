# SPDX-License-Identifier: Apache-2.0
"""Pace: where a kernel may run, by what it has cost."""

from __future__ import annotations

import pytest

from gateway.stages.pace import BUDGET, DEFERRED_BYTES, INLINE_BYTES, Pace


def learnt(per_byte: float, fixed: float = 0.0, **options: int) -> Pace:
    """What is known after runs of two sizes."""
    pace = Pace(**options)
    for size in (1000, 20_000) * 20:
        pace.observe(size, fixed + per_byte * size)
    return pace


@pytest.mark.parametrize("per_byte", [1e-7, 1e-8, 3e-9])
def test_no_more_bytes_stay_on_the_loop_than_fit_into_a_millisecond(per_byte: float) -> None:
    """As a line through what was measured says."""
    assert learnt(per_byte).within == pytest.approx(BUDGET / per_byte, rel=0.01)
    assert learnt(per_byte, 0.0004).within == pytest.approx(0.0006 / per_byte, rel=0.01)


def test_a_kernel_that_takes_longer_by_itself_never_runs_there() -> None:
    """Whatever it is given."""
    pace = learnt(1e-9, 0.002)
    assert (pace.within, pace.deferrable) == (0, 0)


def test_a_quick_kernel_has_its_bounds() -> None:
    """A measurement may be wrong."""
    pace = learnt(1e-11)
    assert (pace.within, pace.deferrable) == (INLINE_BYTES, DEFERRED_BYTES)


def test_a_whole_batch_of_what_is_left_to_it_fits_into_a_millisecond() -> None:
    """Its rows come from as many requests."""
    pace = learnt(1e-8, rows=32)
    assert pace.deferrable == pytest.approx(BUDGET / 1e-8 / 32, rel=0.01)


def test_nothing_is_known_at_first() -> None:
    """A small input may be tried; of strings nothing is left to a batch before one was measured."""
    pace = Pace()
    assert (pace.within, pace.deferrable) == (DEFERRED_BYTES, DEFERRED_BYTES)
    pace.distrust()
    assert pace.deferrable == 0
    pace.observe(1000, 1e-6)
    assert pace.deferrable > 0


def test_a_slow_kernel_that_becomes_quick_comes_back() -> None:
    """The first run may have loaded a library."""
    pace = Pace()
    pace.observe(1000, 0.05)
    assert pace.within < 1000
    for _ in range(200):
        pace.observe(1000, 1e-5)
    assert pace.within > 1000


def test_what_is_known_well_is_measured_now_and_then() -> None:
    """Looking at the clock costs as well."""
    pace = Pace()
    due = [pace.due() for _ in range(1000)]

    assert all(due[:32])
    assert 100 < sum(due[32:]) < 140
