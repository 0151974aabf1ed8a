# SPDX-License-Identifier: Apache-2.0
"""Schedule: sets are asked when they are due, as the configuration has them now."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.config import Config
from gateway.config.load import read
from gateway.control.operations import Operations
from gateway.control.probing.rounds import Rounds
from gateway.control.probing.schedule import Schedule, Unknown
from gateway.quality.probes.golden import Change
from gateway.quality.probes.report import Round, Series, outcome_of
from gateway.telemetry import Telemetry
from gateway.wire.generation import Generation, Setting
from gateway.wire.state import EndpointState, GatewayState, ModelState

GOOD, BAD = Change(10), Change(10, flipped=2, first=(3,))


def config(*probes: str) -> Config:
    """Two endpoints of one model, with these sets."""
    text = ", ".join(f"{{file: {name}.npz, every: 100s}}" for name in probes)
    return read(
        "models: {m: {backends: [{address: 'tcp:h:1'}, {address: 'tcp:h:2'}], "
        f"probes: [{text}]}}}}\n",
        name="test",
        files=False,
    )


@dataclass
class Desk:
    """Operations and rounds as far as a schedule knows them."""

    config: Config
    generation: Generation = field(default_factory=lambda: Generation(1, "one"))
    changes: dict[str, Change | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    now: float = 0.0
    reload: bool = False

    async def set_endpoint(self, endpoint: str, change: Any) -> Setting:
        """Take it over at once."""
        setting: Setting = change(self.generation.setting(endpoint))
        settings = {**self.generation.settings, endpoint: setting}
        self.generation = Generation(2, self.generation.config, (), settings)
        return setting

    def states(self) -> dict[str, GatewayState]:
        """All endpoints are ready."""
        endpoints = tuple(EndpointState(name, name, "ready", 0) for name in self.changes)
        return {
            "gateway-0": GatewayState({"m": ModelState(ready=True, queued=0, endpoints=endpoints)})
        }

    async def run(self, target: Any, probe: Any) -> Round:
        """What the test says of each endpoint."""
        self.asked.append(probe.file)
        if self.reload:
            self.generation = Generation(9, "another")
        series = tuple(
            Series(path="direct", endpoint=name, change=change)
            for name, change in self.changes.items()
        )
        return Round(
            model="m", file=probe.file, started=self.now, seconds=0.1,
            outcome=outcome_of(series), sentence="said", series=series,
        )  # fmt: skip


def schedule(desk: Desk, told: list[dict[str, object]] | None = None) -> Schedule:
    """Over *desk*; what operators are told goes to *told*."""
    return Schedule(
        cast("Operations", desk),
        cast("Rounds", desk),
        runtime=Path("nowhere"),
        telemetry=Telemetry(["m"]),
        notify=([] if told is None else told).append,
        clock=lambda: desk.now,
    )


async def test_a_set_is_asked_when_it_is_due() -> None:
    """Soon after the start, and then so long behind the end of each round."""
    desk = Desk(config("a", "b"), changes={"e1": GOOD})
    plan = schedule(desk)
    assert plan.review() == []
    desk.now = 5.0
    due = plan.review()
    assert [probe.file for _, probe in due] == ["a.npz", "b.npz"]
    await plan.ask(*due[0])
    assert [probe.file for _, probe in plan.review()] == ["b.npz"]
    desk.now = 104.0
    assert len(plan.review()) == 1
    desk.now = 105.0
    assert len(plan.review()) == 2


async def test_a_reload_is_followed() -> None:
    """Sets come and go, and keep their time where they stay."""
    desk = Desk(config("a"), changes={"e1": GOOD})
    plan = schedule(desk)
    plan.review()
    desk.config = config("a", "b")
    desk.now = 5.0
    assert [probe.file for _, probe in plan.review()] == ["a.npz"]
    desk.config = config()
    assert plan.review() == []
    with pytest.raises(Unknown, match="no section 'probes'"):
        plan.find("m")
    with pytest.raises(Unknown, match="there are: m"):
        plan.find("n")
    desk.config = config("a")
    with pytest.raises(Unknown, match=r"no probes of 'b'; there are: a\.npz"):
        plan.find("m", "b")


async def test_a_wrong_endpoint_is_ejected_and_told_of_once() -> None:
    """And let back after two good rounds."""
    told: list[dict[str, object]] = []
    desk = Desk(config("a"), changes={"e1": GOOD, "e2": BAD})
    plan = schedule(desk, told)
    plan.review()
    probe = plan.find("m")
    found = await plan.ask("m", probe)
    assert (found.ejected, found.outcome) == (("e2",), "wrong")
    assert desk.generation.setting("e2").wrong
    assert (await plan.ask("m", probe)).ejected == ()
    desk.changes["e2"] = GOOD
    assert (await plan.ask("m", probe)).returned == ()
    assert (await plan.ask("m", probe)).returned == ("e2",)
    assert not desk.generation.setting("e2").wrong
    assert [(each["ejected"], each["returned"]) for each in told] == [(["e2"], []), ([], ["e2"])]
    ((_, _, rounds),) = plan.sets()
    assert [each.outcome for each in rounds] == ["same", "same", "wrong", "wrong"]


async def test_a_change_of_workers_makes_a_round_void() -> None:
    """What was compared is not what runs now."""
    desk = Desk(config("a"), changes={"e1": GOOD, "e2": BAD}, reload=True)
    plan = schedule(desk)
    plan.review()
    found = await plan.ask("m", plan.find("m"))
    assert (found.outcome, found.series, found.ejected) == ("failed", (), ())
    assert not desk.generation.settings
