# SPDX-License-Identifier: Apache-2.0
"""Rows of a batch, side by side."""

from __future__ import annotations

import threading

import pytest

from gateway.steps.image import rows
from gateway.steps.image.rows import for_each_row


@pytest.fixture(params=[1, 2, 4], autouse=True)
def _cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines of all sizes."""
    monkeypatch.setattr(rows, "cores", lambda: request.param)


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_every_row_is_done_once(count: int) -> None:
    """By whichever thread."""
    done: list[int] = []
    for_each_row(count, done.append)
    assert sorted(done) == list(range(count))


def test_the_first_row_at_fault_is_raised_and_later_ones_are_not_begun() -> None:
    """A bad batch costs no more than it must."""
    begun: list[int] = []

    def act(row: int) -> None:
        begun.append(row)
        if row in {3, 5}:
            raise ValueError(str(row))

    with pytest.raises(ValueError, match=r"^3$"):
        for_each_row(1000, act)

    # Each thread may have had one row under way.
    assert len(begun) <= 4 + 4


def test_batches_at_the_same_time_do_not_wait_for_each_other_for_ever() -> None:
    """More of them than there are helpers: whoever asks works too."""
    done: list[int] = []
    threads = [
        threading.Thread(target=for_each_row, args=(50, done.append), daemon=True) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == 8 * 50
