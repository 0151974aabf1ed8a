# SPDX-License-Identifier: Apache-2.0
"""Batch: one takes the place of another over the same pool."""

from __future__ import annotations

import pytest

from gateway.stages.batch import Batch
from gateway.stages.cost import Cost
from tests.support.upstream import Fleet


async def test_a_retired_one_fills_no_gauge_and_hears_nothing() -> None:
    """Another has taken its place over the same pool."""
    fleet = Fleet(1)
    fleet.batch.retire()
    queued = fleet.telemetry.queued_rows.cell("m")
    queued.value = 7
    fleet.telemetry.take()
    assert queued.value == 7
    assert fleet.pool._on_change == []


async def test_begins_with_what_is_known_of_the_runs() -> None:
    """A reload does not have to learn it anew."""
    fleet = Fleet(1)
    cost = Cost()
    cost.observe(4, 0.4)
    batch = Batch(fleet.retry, model="m", pool=fleet.pool, telemetry=fleet.telemetry, cost=cost)
    assert batch.cost.seconds(4) == pytest.approx(0.4)
