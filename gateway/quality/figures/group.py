# SPDX-License-Identifier: Apache-2.0
"""Group: what is kept of one model file in one role: windows, the last rows, and the alarm."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.quality.figures.cohorts import Cohorts
from gateway.quality.figures.columns import Labelled, labelled_columns, stream_columns
from gateway.quality.figures.cube import Cube, Layout, add_to_all
from gateway.quality.figures.layouts import labelled_layout, stream_layout
from gateway.quality.figures.spec import MOST_KEPT, Spec
from gateway.statistics.arrays import Values
from gateway.statistics.detector import Detector
from gateway.statistics.windows import MINUTE, LastRows, Windows

if TYPE_CHECKING:
    from gateway.quality.joined import Joined
    from gateway.wire.samples import Samples

# The most rows that a reader may ask for as "the last n".
MOST_LAST: Final = 10_000
# On average no more than one false alarm in thirty days, while accuracy is just at its target.
RARELY: Final = 30 * 24 * 60.0
# So many rows are put together before they are counted, or what comes in a fifth of a second.
COALESCED_ROWS: Final = 32_768
COALESCED_SECONDS: Final = 0.2
# Of scores: as floats, which sums are made of, they are four times as large.
COALESCED_BYTES: Final = 8 << 20
PROMOTION: Final = "promotion"


class Group:
    """Rows of one model file in one role, under *spec*.

    *detector* watches the accuracy of new rows, None for no alarm.
    """

    def __init__(self, spec: Spec, *, detector: Detector | None = None) -> None:
        self.spec = spec
        self.cohorts = Cohorts()
        self.detector = detector
        # When the first and the last prediction were made, 0 before there is one.
        self.first = self.last = 0.0
        self.revision = 0
        self._start(0.0)
        self.stream: Windows[Cube] = Windows(_maker(self.stream_layout))
        self.last_rows = LastRows(MOST_LAST)
        self._keeps_scores: bool | None = None
        self._waiting: list[Joined] = []
        self._stream: list[Samples] = []
        self._rows = 0
        self._bytes = 0
        self._since = 0.0
        self._heaviest = 1.0
        self._watched_from = 0.0

    def __repr__(self) -> str:
        return f"<Group of {self.spec.task}, {len(self.cohorts)} cohorts>"

    def _start(self, centre: float) -> None:
        """Make empty windows of labelled rows; moments of a regression are about *centre*."""
        self.centre = centre
        self.layout: Layout = labelled_layout(self.spec, centre=centre)
        self.stream_layout: Layout = stream_layout(self.spec)
        self.labelled: Windows[Cube] = Windows(_maker(self.layout))

    @property
    def expired(self) -> int:
        """How many predictions were too old to be counted."""
        return self.stream.expired

    @property
    def size(self) -> int:
        """What the tables take, in bytes."""
        return sum(cube.size for each in (self.labelled, self.stream) for _, _, cube in each)

    def predicted(self, samples: Samples, now: float) -> None:
        """Take predictions in."""
        self._stream.append(samples)
        self._taken(samples, now)

    def joined(self, rows: Joined, now: float, *, watched_from: float = 0.0) -> None:
        """Take labelled rows in; labels of before *watched_from* are no news to the alarm."""
        self._watched_from = watched_from
        self._waiting.append(rows)
        self._taken(rows, now)

    def _taken(self, rows: Joined | Samples, now: float) -> None:
        if not self._rows:
            self._since = now
        self._rows += len(rows)
        self._bytes += 0 if rows.scores is None else rows.scores.nbytes
        many = self._rows >= COALESCED_ROWS or self._bytes >= COALESCED_BYTES
        if many or not 0 <= now - self._since < COALESCED_SECONDS:
            self.settle(now)

    def settle(self, now: float) -> None:
        """Count all that has been taken in."""
        if not self._rows:
            return
        waiting, stream = self._waiting, self._stream
        self._waiting, self._stream, self._rows, self._bytes = [], [], 0, 0
        self.revision += 1
        if stream:
            times, columns = stream_columns(stream, self.spec, self.cohorts)
            _add(self.stream, times, columns, now=now)
            self.first = min(self.first or np.inf, float(times.min()))
            self.last = max(self.last, float(times.max()))
        if waiting:
            self._count(labelled_columns(waiting, self.spec, self.cohorts), now)

    def _count(self, rows: Labelled, now: float) -> None:
        if self.spec.task == "regression":
            # Sums of powers need finite numbers; a model may answer something else.
            finite = np.isfinite(rows.true) & np.isfinite(rows.predicted)
            if not finite.all():
                rows = rows.take(np.flatnonzero(finite))
            if not len(rows):
                return
            if self.centre == 0.0 and next(iter(self.labelled), None) is None:
                self._start(float(np.median(rows.true)))
        for sign in (1, -1):
            part = np.flatnonzero(rows.sign == sign)
            if len(part):
                some = rows if len(part) == len(rows) else rows.take(part)
                _add(self.labelled, some.times, some.counted, now=now, sign=sign)
        self._remember(rows)
        if self.detector is not None:
            self._watch(rows, now)

    def _remember(self, rows: Labelled) -> None:
        """Keep the last rows: of each key what came last, or nothing where it was taken back."""
        if self._keeps_scores is None:
            self._keeps_scores = rows.scores is not None and self.spec.size <= MOST_KEPT
        _, first = np.unique(rows.key[::-1], return_index=True)
        latest = rows.take(np.sort(len(rows) - 1 - first))
        gone = latest.sign < 0
        if gone.any():
            self.last_rows.discard(latest.key[gone])
            latest = latest.take(np.flatnonzero(~gone))
        if not len(latest):
            return
        if self._keeps_scores and latest.scores is None:
            # There were scores before and there are none now: it begins anew, without them.
            self.last_rows, self._keeps_scores = LastRows(MOST_LAST), False
        columns = latest.counted if self._keeps_scores else latest.counted[:-1]
        kept = [column for column in columns if column is not None]
        self.last_rows.add(latest.times, latest.key, *kept)

    def _watch(self, rows: Labelled, now: float) -> None:
        """Show the alarm the rows that are new; a correction is no new row."""
        fresh = (rows.sign > 0) & (rows.labelled >= self._watched_from)
        if not fresh.all():
            fresh &= ~np.isin(rows.key, rows.key[rows.sign < 0])
        if not fresh.any() or self.detector is None:
            return
        right = (rows.true == rows.predicted)[fresh]
        if self.spec.task == "classification":
            right &= rows.true[fresh] >= 0
        weight = rows.weight[fresh]
        # Weights of at most 1: in parts of the heaviest row so far.
        self._heaviest = max(self._heaviest, float(weight.max()))
        self.detector.add(right, int(now // MINUTE), weight / self._heaviest)

    def mark(self, instant: float) -> None:
        """Start to count what is predicted from *instant* on as "since promotion"."""
        self.labelled.mark(PROMOTION, instant)
        self.stream.mark(PROMOTION, instant)
        self.revision += 1

    def recent(self, cohorts: list[int] | None) -> tuple[Values, list[Values | None]]:
        """The times of the last rows of *cohorts*, in order, and the columns that a cube takes."""
        times, columns = self.last_rows.timed_rows()
        chosen: list[Values | None] = list(columns)
        if not self._keeps_scores:
            chosen.append(None)
        if cohorts is None or not len(times):
            return times, chosen
        part = np.flatnonzero(np.isin(columns[0], cohorts))
        return times[part], [None if each is None else each[part] for each in chosen]


def _add(
    windows: Windows[Cube],
    times: Values,
    columns: tuple[Values | None, ...],
    *,
    now: float,
    sign: int = 1,
) -> None:
    """Count rows in the buckets of their *times* [n], and since a promotion where one is marked."""
    cubes, which = windows.sort_in(times, now=now, sign=sign)
    parts = [(cubes, which, which >= 0)]
    mark = windows.marked(PROMOTION)
    if mark is not None:
        parts.append(([mark[1]], np.zeros(len(times), dtype=np.int64), times >= mark[0]))
    for states, places, kept in parts:
        if kept.all():
            some, counted = places, columns
        else:
            some = places[kept]
            counted = tuple(None if each is None else each[kept] for each in columns)
        if len(some):
            add_to_all(states, some, *counted, sign=sign)  # type: ignore[arg-type]  # the cohort is there


def _maker(layout: Layout) -> Callable[[], Cube]:
    return lambda: Cube(layout)
