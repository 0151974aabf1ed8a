# SPDX-License-Identifier: Apache-2.0
"""Report: gauges and states follow what there is."""

from __future__ import annotations

import pytest

from gateway.report import STATES, Gauges, states
from gateway.wire.generation import Setting
from tests.support.generations import config, stage
from tests.support.upstream import MODEL, settle


async def test_tells_what_each_endpoint_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the model's version and the generation."""
    async with stage(monkeypatch, config(m="")) as here:
        told = states(here.gateway)
        assert told.generation == 1
        model = told.models["m"]
        assert (model.ready, model.version, model.digest) == (True, MODEL.version, MODEL.digest)
        assert [(each.name, each.state) for each in model.endpoints] == [("m-0", "ready")]


async def test_what_is_kept_out_is_draining_or_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drained endpoint whose worker is dead is not merely draining."""
    async with stage(monkeypatch, config(m="")) as here:
        await here.change(here.config, settings={"m-0": Setting(drained=True)})
        assert states(here.gateway).models["m"].endpoints[0].state == "draining"
        here.peer("m-0").goes_down()
        assert states(here.gateway).models["m"].endpoints[0].state == "down"


async def test_gauges_of_what_has_gone_are_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph ends where its endpoint does."""
    async with stage(monkeypatch, config(m="", n="")) as here:
        gauges = Gauges(here.gateway, here.telemetry)
        gauges.fill()
        telemetry = here.telemetry
        assert telemetry.endpoint_state.cell("n-0", "ready").value == 1
        await here.change(config(m=""))
        await settle()
        gauges.fill()
        assert set(telemetry.endpoint_state.cells) == {("m-0", state) for state in STATES}
        assert set(telemetry.pending.cells) == {("m-0",)}
        assert ("n",) not in telemetry.queued_rows.cells
        assert telemetry.config_generation.cell().value == 2
