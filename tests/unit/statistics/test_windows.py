# SPDX-License-Identifier: Apache-2.0
"""Windows by prediction time: late labels, corrections and processes change nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from gateway.statistics.confusion import ConfusionMatrix
from gateway.statistics.windows import DAY, HOUR, MINUTE, LastRows, Windows

NOW = 1_700_000_000.0
RANDOM = np.random.default_rng(1)
ROWS = 3000
TIMES = NOW - RANDOM.exponential(5 * DAY, ROWS)
TRUE = RANDOM.integers(0, 3, ROWS)
SAID = np.where(RANDOM.random(ROWS) < 0.8, TRUE, 0)


def windows() -> Windows[Any]:
    """Empty windows."""
    return Windows(lambda: ConfusionMatrix([0, 1, 2]))


def counts(each: Windows[Any], seconds: float, now: float = NOW) -> list[list[int]]:
    """The matrix of a window."""
    matrix: list[list[int]] = each.window(seconds, now).state.matrix().counts.tolist()
    return matrix


def direct(since: float) -> list[list[int]]:
    """The matrix of all rows from *since* on."""
    state = ConfusionMatrix([0, 1, 2])
    state.add(TRUE[since <= TIMES], SAID[since <= TIMES])
    found: list[list[int]] = state.matrix().counts.tolist()
    return found


@pytest.mark.parametrize(
    ("seconds", "width"), [(HOUR, MINUTE), (DAY, HOUR), (30 * DAY, DAY), (5 * MINUTE, MINUTE)]
)
def test_a_window_is_all_rows_from_its_start_on(seconds: float, width: float) -> None:
    """It starts at the bucket that holds its beginning, and says where."""
    each = windows()
    each.add(TIMES, TRUE, SAID, now=NOW)
    window = each.window(seconds, NOW)

    assert window.since == np.floor((NOW - seconds) / width) * width
    assert window.state.matrix().counts.tolist() == direct(window.since)


def test_order_of_arrival_and_folding_in_between_change_nothing() -> None:
    """Rows in any order, in any portions, folded as time goes on, from two processes."""
    at_once = windows()
    at_once.add(TIMES, TRUE, SAID, now=NOW)
    for seed in range(5):
        random = np.random.default_rng(seed)
        order = random.permutation(ROWS)
        pair = windows(), windows()
        for number, part in enumerate(np.array_split(order, 30)):
            clock = NOW - (29 - number) * HOUR
            pair[number % 2].add(TIMES[part], TRUE[part], SAID[part], now=clock)
            pair[number % 2].fold(clock)
        pair[0].merge(pair[1])
        for seconds in (HOUR, DAY, 30 * DAY):
            assert counts(pair[0], seconds) == counts(at_once, seconds)


def test_a_late_correction_amends_its_own_bucket() -> None:
    """The old row goes, the new one comes, and the revision grows."""
    each, wanted = windows(), windows()
    each.add(TIMES, TRUE, SAID, now=NOW)
    before = each.window(DAY, NOW).revision
    each.fold(NOW)
    changed = TRUE.copy()
    changed[:50] = 2 - changed[:50]
    each.add(TIMES[:50], TRUE[:50], SAID[:50], now=NOW, sign=-1)
    each.add(TIMES[:50], changed[:50], SAID[:50], now=NOW)
    wanted.add(TIMES, changed, SAID, now=NOW)

    assert counts(each, 30 * DAY) == counts(wanted, 30 * DAY)
    assert each.window(DAY, NOW).revision > before


def test_what_is_older_than_all_windows_goes_and_is_counted() -> None:
    """Memory is bounded: at most so many buckets, whatever the span."""
    each = windows()
    times = NOW - np.arange(0, 400) * DAY / 4
    dropped = each.add(times, np.zeros(400, int), np.zeros(400, int), now=NOW)
    assert dropped == each.expired > 200
    for later in range(60):
        clock = NOW + later * DAY
        minutes = clock - np.arange(0, 1440) * MINUTE
        each.add(minutes, np.zeros(1440, int), np.zeros(1440, int), now=clock)
        each.fold(clock)

    assert len(list(each)) < 180 + 100 + 40


def test_a_mark_counts_from_its_instant_on() -> None:
    """To the second, within the bucket that it lies in."""
    each = windows()
    each.mark("promotion", NOW - 90.5)
    times = NOW - np.asarray([200.0, 91.0, 90.0, 5.0])
    each.add(times, np.asarray([0, 1, 1, 2]), np.asarray([0, 1, 0, 2]), now=NOW)

    marked = each.since_mark("promotion", NOW)
    assert marked.state.matrix().counts.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 1]]
    with pytest.raises(KeyError):
        each.since_mark("nothing", NOW)
    with pytest.raises(ValueError, match="other marks"):
        each.merge(windows())


def test_packed_windows_go_on_where_they_were() -> None:
    """As in a restart."""
    each = windows()
    each.mark("promotion", NOW - DAY)
    each.add(TIMES, TRUE, SAID, now=NOW)
    data = msgspec.msgpack.decode(msgspec.msgpack.encode(each.pack()))
    same = Windows.unpack(data, lambda: ConfusionMatrix([0, 1, 2]), ConfusionMatrix.unpack)

    assert counts(same, 30 * DAY) == counts(each, 30 * DAY)
    assert (
        same.since_mark("promotion", NOW).state.rows == each.since_mark("promotion", NOW).state.rows
    )


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
def test_the_last_rows_are_the_last_by_prediction(size: int) -> None:
    """Whatever the order and the portions in which labels arrive; a correction replaces."""
    keys = np.arange(ROWS)
    wanted = np.argsort(TIMES)[-size:]
    for seed in range(3):
        rows = LastRows(size)
        order = np.random.default_rng(seed).permutation(ROWS)
        for part in np.array_split(order, 13):
            rows.add(TIMES[part], keys[part], TRUE[part], SAID[part])
        last = int(wanted[-1])
        rows.add(TIMES[[last]], keys[[last]], np.asarray([2]), SAID[[last]])
        true, said = LastRows.unpack(
            msgspec.msgpack.decode(msgspec.msgpack.encode(rows.pack()))
        ).rows()

        assert said.tolist() == SAID[wanted].tolist()
        assert true[:-1].tolist() == TRUE[wanted][:-1].tolist()
        assert true[-1] == 2
