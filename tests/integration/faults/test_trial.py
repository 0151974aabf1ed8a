# SPDX-License-Identifier: Apache-2.0
"""The trial itself: each of its invariants fails where it should."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest

from gateway.wire.tensor import Tensor
from tests.support.scenarios import one_worker
from tests.support.scripted_worker import Received
from tests.support.trial import Level

BRIEF = 0.05


async def test_a_leaked_task_is_found() -> None:
    """By its name."""
    level = Level()
    leak = asyncio.get_running_loop().create_task(asyncio.Event().wait(), name="the leak")
    with pytest.raises(AssertionError, match=r"leaked.*the leak"):
        await level.is_back(patience=BRIEF)
    leak.cancel()
    await level.is_back()


async def test_a_leaked_descriptor_is_found() -> None:
    """By what it leads to."""
    level = Level()
    ends = os.pipe()
    with pytest.raises(AssertionError, match=r"leaked.*pipe"):
        await level.is_back(patience=BRIEF)
    for end in ends:
        os.close(end)
    await level.is_back()


async def test_another_requests_answer_is_found(tmp_path: Path) -> None:
    """By the numbers in it."""

    def mix_up(received: Received) -> None:
        received.respond(Tensor.of("y", received.inputs[0].array() + np.float32(1)))

    async with one_worker(tmp_path) as (under, worker):
        worker.manner = mix_up
        with pytest.raises(AssertionError, match="2"):
            await under.ask()


async def test_a_lost_request_is_found(tmp_path: Path) -> None:
    """A number that was given out and never accounted for."""
    async with one_worker(tmp_path) as (under, _):
        under.number()
        with pytest.raises(AssertionError, match="not accounted for"):
            await under.settles()
        under.left_early += 1
        await under.settles()


async def test_an_unexplained_departure_is_found(tmp_path: Path) -> None:
    """The gateway's own books are compared with the clients'."""
    async with one_worker(tmp_path) as (under, _):
        under.number()
        under.left += 1
        with pytest.raises(AssertionError, match="the gateway has counted"):
            await under.settles()
        under.left, under.left_early = 0, 1
        await under.settles()
