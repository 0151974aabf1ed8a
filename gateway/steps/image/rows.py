# SPDX-License-Identifier: Apache-2.0
"""Rows: the pictures of a batch, decoded side by side on as many threads as there are cores.

The thread that asks does its part, so it never waits for a place, and a batch of one costs no
exchange of threads.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count
from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


@cache
def _helpers() -> ThreadPoolExecutor:
    # Made by the first batch, in the process that has it: threads do not survive a fork.
    return ThreadPoolExecutor(max(1, cores() - 1), thread_name_prefix="pictures")


def for_each_row(rows: int, act: Callable[[int], None]) -> None:
    """Call ``act(row)`` for every row, in any order; raises what the first row at fault raised.

    Rows behind one that failed are not begun, so a bad batch costs no more than it must.
    """
    if rows <= 1 or cores() == 1:
        for row in range(rows):
            act(row)
        return
    numbers = count()
    failed = Event()
    faults: dict[int, BaseException] = {}

    def work() -> None:
        while not failed.is_set() and (row := next(numbers)) < rows:
            try:
                act(row)
            except BaseException as error:  # noqa: BLE001 - raised again by the thread that asked
                faults[row] = error
                failed.set()

    helpers = [_helpers().submit(work) for _ in range(min(rows, cores()) - 1)]
    try:
        work()
    finally:
        for helper in helpers:
            # One that has not begun has nothing left to do.
            if not helper.cancel():
                helper.result()
    if faults:
        # Rows are begun in order, so the first at fault is always among them.
        raise faults[min(faults)]
