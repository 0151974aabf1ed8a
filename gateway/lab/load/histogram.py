# SPDX-License-Identifier: Apache-2.0
"""Histogram: durations at three significant digits, in the bins of HdrHistogram.

Bins, counts and the stored form are those of HdrHistogram (unit 1 ns, 3 digits), so that its tools
read what is written here; recording and percentiles work on whole arrays. Histograms of parts are
merged by adding counts: percentiles are never averaged.
"""

from __future__ import annotations

from math import ceil, inf
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from gateway.statistics.special import beta_cdf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.wire.tensor import Array

# Bins below 2048 ns are one nanosecond wide; each further bucket doubles the width of its 1024.
_HALF_BITS: Final = 10
_HALF: Final = 1 << _HALF_BITS
# Longer ones count as an hour: no request is waited for so long.
HIGHEST: Final = 3_600_000_000_000
_DIGITS: Final = 3
NANOSECONDS: Final = 1e9


def _places(values: Array) -> Array:
    """The bin of each of *values*, whole nanoseconds from 0."""
    # The exponent of a float is the bit length of the whole number, exactly, below 2^53.
    bits = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    bucket = np.maximum(bits - (_HALF_BITS + 1), 0)
    return (bucket << _HALF_BITS) + (values >> bucket)


def _edges(places: Array) -> tuple[Array, Array]:
    """The lowest value of each bin, and the highest."""
    bucket = np.maximum((places >> _HALF_BITS) - 1, 0)
    lowest = (places - (bucket << _HALF_BITS)) << bucket
    return lowest, lowest + (1 << bucket) - 1


_BINS: Final = int(_places(np.asarray([HIGHEST], dtype=np.int64))[0]) + 1
_LOWEST, _HIGHEST = _edges(np.arange(_BINS, dtype=np.int64))


class Histogram:
    """Counts of durations. Whole nanoseconds go in; seconds come out."""

    __slots__ = ("_count", "_counts", "_max", "_min")

    def __init__(self) -> None:
        self._counts: Array = np.zeros(0, dtype=np.int64)
        self._count = 0
        self._max = 0
        self._min = HIGHEST

    def __repr__(self) -> str:
        return f"<Histogram {self._count} values, p50 {self.percentile(50):.6f} s>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return self._count == other._count and np.array_equal(self._grown(), other._grown())

    def __hash__(self) -> int:
        return id(self)

    def __len__(self) -> int:
        return self._count

    def record(self, values: Array) -> None:
        """Count *values*, whole nanoseconds; what is negative counts as 0."""
        if not len(values):
            return
        values = np.clip(values, 0, HIGHEST)
        places = np.bincount(_places(values))
        self._grow(len(places))
        self._counts[: len(places)] += places
        self._count += len(values)
        self._max = max(self._max, int(values.max()))
        self._min = min(self._min, int(values.min()))

    def record_seconds(self, seconds: float, times: int = 1) -> None:
        """Count one duration, *times* times."""
        self.record(np.full(times, round(seconds * NANOSECONDS), dtype=np.int64))

    def add(self, other: Histogram) -> None:
        """Merge *other* into this one."""
        self._grow(len(other._counts))
        self._counts[: len(other._counts)] += other._counts
        self._count += other._count
        self._max = max(self._max, other._max)
        self._min = min(self._min, other._min)

    def __or__(self, other: Histogram) -> Histogram:
        both = Histogram()
        both.add(self)
        both.add(other)
        return both

    @property
    def maximum(self) -> float:
        """The longest, in seconds; 0 where there is none."""
        return self._max / NANOSECONDS

    @property
    def minimum(self) -> float:
        """The shortest, in seconds; 0 where there is none."""
        return self._min / NANOSECONDS if self._count else 0.0

    @property
    def mean(self) -> float:
        """The mean in seconds, to three digits; 0 where there is none."""
        if not self._count:
            return 0.0
        size = len(self._counts)
        middle = (_LOWEST[:size] + _HIGHEST[:size]) / 2
        return float(middle @ self._counts) / self._count / NANOSECONDS

    def value_at(self, rank: int) -> float:
        """The value of the *rank*-th shortest, counted from 1, in seconds: the top of its bin."""
        if not self._count:
            return 0.0
        rank = min(max(rank, 1), self._count)
        place = int(np.searchsorted(np.cumsum(self._counts), rank))
        return min(int(_HIGHEST[place]), self._max) / NANOSECONDS

    def percentile(self, q: float) -> float:
        """The *q*-th percentile, 0 to 100, in seconds: so many do not take longer."""
        # 99 % of 100 is the 99th, in spite of rounding.
        return self.value_at(ceil(round(self._count * q / 100, 9)))

    def interval(self, q: float, level: float = 0.95) -> tuple[float, float]:
        """Where the true *q*-th percentile lies at *level*, whatever the distribution.

        By ranks, for independent values: the lower bound is 0 and the upper one inf where so few
        values prove none. Source: G. J. Hahn and W. Q. Meeker, "Statistical Intervals", 1991.
        """
        low, high = ranks(self._count, q, level)
        return (
            self.value_at(low) if low >= 1 else 0.0,
            self.value_at(high) if high <= self._count else inf,
        )

    def above(self, seconds: float) -> int:
        """How many take longer than *seconds*, to the bin."""
        place = int(_places(np.asarray([min(round(seconds * NANOSECONDS), HIGHEST)]))[0])
        return int(self._counts[place + 1 :].sum())

    def moments(self, most: float) -> tuple[float, float]:
        """The sum of the values and of their squares, in seconds, each cut at *most*."""
        places = np.flatnonzero(self._counts)
        counts = self._counts[places]
        tops = np.minimum(_HIGHEST[places] / NANOSECONDS, most)
        return float((tops * counts).sum()), float((tops * tops * counts).sum())

    def bins(self) -> Iterator[tuple[float, int]]:
        """The bins that hold something: their top in seconds, and their count."""
        for place in np.flatnonzero(self._counts):
            yield int(_HIGHEST[place]) / NANOSECONDS, int(self._counts[place])

    def encode(self) -> str:
        """The stored form: HdrHistogram's V2, compressed, as base64. It needs the extra `lab`."""
        from hdrh.histogram import HdrHistogram  # noqa: PLC0415 - an extra

        hdr = HdrHistogram(1, HIGHEST, _DIGITS)
        for place in np.flatnonzero(self._counts):
            hdr.record_value(int(_LOWEST[place]), int(self._counts[place]))
        # Their extremes stand for whole bins, as in any HdrHistogram that was stored.
        return bytes(hdr.encode()).decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        """What `encode` gave; ValueError for anything else."""
        from hdrh.histogram import HdrHistogram  # noqa: PLC0415 - an extra

        try:
            hdr = HdrHistogram.decode(text.encode())
            made = cls()
            for item in hdr.get_recorded_iterator():
                value, times = item.value_iterated_to, item.count_added_in_this_iter_step
                made._record(value, times)
        except Exception as error:  # noqa: BLE001 - whatever a foreign decoder raises
            raise ValueError(f"not a histogram in the form of HdrHistogram: {error}") from None
        return made

    def pack(self) -> tuple[bytes, bytes, int, int]:
        """Places and counts of the bins that hold something, and the extremes: to be sent."""
        places = np.flatnonzero(self._counts)
        return (
            places.astype("<i4").tobytes(),
            self._counts[places].astype("<i8").tobytes(),
            self._min,
            self._max,
        )

    @classmethod
    def unpack(cls, packed: tuple[bytes, bytes, int, int]) -> Self:
        """What `pack` gave; ValueError for anything else."""
        places, counts, low, high = packed
        made = cls()
        where = np.frombuffer(places, "<i4").astype(np.int64)
        if len(where):
            if where.min() < 0 or where.max() >= _BINS:
                raise ValueError("a histogram with bins that do not exist")
            made._grow(int(where.max()) + 1)
            made._counts[where] = np.frombuffer(counts, "<i8")
            made._count = int(made._counts.sum())
            made._min, made._max = low, high
        return made

    def _record(self, value: int, times: int) -> None:
        one = np.asarray([min(value, HIGHEST)], dtype=np.int64)
        place = int(_places(one)[0])
        self._grow(place + 1)
        self._counts[place] += times
        self._count += times
        self._max = max(self._max, int(_HIGHEST[place]))
        self._min = min(self._min, int(_LOWEST[place]))

    def _grow(self, size: int) -> None:
        if size > len(self._counts):
            grown = np.zeros(size, dtype=np.int64)
            grown[: len(self._counts)] = self._counts
            self._counts = grown

    def _grown(self) -> Array:
        return np.pad(self._counts, (0, _BINS - len(self._counts)))


def ranks(n: int, q: float, level: float) -> tuple[int, int]:
    """The ranks, from 1, between which the *q*-th percentile of *n* values lies at *level*.

    The lower is the binomial quantile at (1 - level)/2, the upper that of the other tail plus one;
    0 and *n* + 1 stand for no bound.
    """
    tail = (1 - level) / 2
    share = q / 100
    return _quantile(tail, n, share), _quantile(1 - tail, n, share) + 1


def _quantile(tail: float, n: int, share: float) -> int:
    """The least k with P(X <= k) >= *tail*, for X binomial with *n* and *share*."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        # P(X <= k) is the share of Beta(n - k, k + 1) below 1 - share.
        if beta_cdf(1 - share, n - middle, middle + 1) >= tail:
            high = middle
        else:
            low = middle + 1
    return low
