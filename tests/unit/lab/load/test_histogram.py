# SPDX-License-Identifier: Apache-2.0
"""Histograms have the bins of HdrHistogram, and percentiles with their intervals."""

from math import inf

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from gateway.lab.load.histogram import HIGHEST, Histogram, ranks


def durations(number: int, seed: int = 1) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Durations around 2 ms, in nanoseconds, with a few from 0 to beyond an hour."""
    random = np.random.default_rng(seed)
    values = random.exponential(2e6, number).astype(np.int64)
    return np.concatenate([values, [0, 1, 2047, 2048, 4095, 4096, HIGHEST - 1, HIGHEST]])


def filled(values: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Histogram:
    """A histogram of *values*."""
    histogram = Histogram()
    histogram.record(values)
    return histogram


def test_every_percentile_is_that_of_hdrhistogram() -> None:
    """The package's own recording is the oracle, for ranks that are whole: it rounds others."""
    values = durations(4_992)
    histogram = filled(values)
    oracle = HdrHistogram(1, HIGHEST, 3)
    for value in values:
        oracle.record_value(int(value))

    for q in (1, 25, 50, 75, 90, 99, 99.9):
        assert round(histogram.percentile(q) * 1e9) == oracle.get_value_at_percentile(q)
    assert histogram.mean == pytest.approx(oracle.get_mean_value() / 1e9, rel=1e-6)
    assert histogram.encode() == oracle.encode().decode()


def test_three_digits_are_kept() -> None:
    """A percentile is within one in a thousand of the value itself."""
    values = np.sort(durations(20_000))
    histogram = filled(values)

    for q in (50, 90, 99, 99.9):
        exact = values[int(np.ceil(len(values) * q / 100)) - 1] / 1e9
        assert histogram.percentile(q) == pytest.approx(exact, rel=1e-3)
    assert histogram.maximum == HIGHEST / 1e9
    assert histogram.minimum == 0


def test_a_stored_histogram_is_the_same() -> None:
    """What was measured can be merged and read again later."""
    histogram = filled(durations(1_000))

    again = Histogram.decode(histogram.encode())

    assert again == histogram
    assert again.percentile(99) == histogram.percentile(99)
    assert len(again) == len(histogram)


@pytest.mark.parametrize(
    "text", ["", "x", "HISTFAAAAB4nJNpmSzMwMDAygABzFCaEURcm7yEwf4DRKDX48AsHgBv"]
)
def test_what_is_no_histogram_is_refused(text: str) -> None:
    """One kind of error, whatever the decoder trips over."""
    with pytest.raises(ValueError, match="not a histogram"):
        Histogram.decode(text)


def test_merging_is_recording_together() -> None:
    """Percentiles of parts are never averaged."""
    first, second = durations(3_000), durations(500, seed=2) * 3

    merged = filled(first) | filled(second)

    assert merged == filled(np.concatenate([first, second]))


def test_above_counts_what_takes_longer() -> None:
    """To the bin: a value in the bin of the bound itself is not above it."""
    histogram = filled(np.asarray([1_000_000, 2_000_000, 3_000_000]))

    assert histogram.above(0.0005) == 3
    assert histogram.above(0.002) == 1
    assert histogram.above(0.1) == 0


def test_an_empty_one_has_no_percentile() -> None:
    """Nothing measured is 0 with no upper bound."""
    assert Histogram().percentile(99) == 0
    assert Histogram().interval(99) == (0, inf)
    assert Histogram().mean == 0


@pytest.mark.parametrize(
    ("q", "n", "expected"),
    [
        (99, 1_000, (983, 997)),
        (99, 10_000, (9_880, 9_920)),
        (99.9, 10_000, (9_983, 9_997)),
        (99, 150, (146, 151)),
    ],
)
def test_ranks_are_distribution_free(q: float, n: int, expected: tuple[int, int]) -> None:
    """At 95 %; of 150 values none is an upper bound of the 99th percentile."""
    assert ranks(n, q, 0.95) == expected


def test_an_interval_covers_the_true_percentile() -> None:
    """At its level or above, over many samples of a distribution that is known."""
    random = np.random.default_rng(7)
    truth = 2e-3 * np.log(20)
    covered = 0
    for _ in range(300):
        low, high = filled(random.exponential(2e6, 400).astype(np.int64)).interval(95)
        covered += low <= truth <= high

    assert covered >= 0.93 * 300
    low, high = filled(durations(142)).interval(99)
    assert high == inf
