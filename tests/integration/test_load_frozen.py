# SPDX-License-Identifier: Apache-2.0
"""A frozen server, or a frozen generator, under an open loop."""

import asyncio
import os
import signal

import pytest

from gateway.lab.load.fleet import Fleet
from gateway.lab.load.measure import Progress, measure
from gateway.lab.load.run import Plan, Run
from tests.support.scripted_target import ScriptedTarget

FREEZE = 2.0


def plan(target: ScriptedTarget, **fields: object) -> Plan:
    """Five seconds of 200 requests a second."""
    given: dict[str, object] = {
        "url": target.url, "model": "m", "rate": 200.0, "duration": 5.0, "warmup": 0.5,
        "processes": 1, "timeout": 10.0,
    }  # fmt: skip
    return Plan(**{**given, **fields})  # type: ignore[arg-type]


async def freezing(target: ScriptedTarget, made: Plan) -> Run:
    """The run of *made*, in whose window the server does not answer for two seconds."""
    measuring = asyncio.Event()

    def told(progress: Progress) -> None:
        if progress.phase == "measure" and progress.elapsed > 1:
            measuring.set()

    async def freeze() -> None:
        await measuring.wait()
        target.freeze()
        # The fault itself lasts so long.
        await asyncio.sleep(FREEZE)
        target.thaw()

    run, _ = await asyncio.gather(measure(made, on_progress=told), freeze())
    return run


async def test_a_frozen_server_shows_in_the_percentiles() -> None:
    """Of five seconds two are frozen: p50 to p99 are those of an even wait, nothing is left out."""
    with ScriptedTarget() as target:
        run = await freezing(target, plan(target))

    assert run.ok == run.offered == len(run.response)
    assert run.offered == pytest.approx(1000, rel=0.15)
    # 40 % of requests wait for 0 to 2 s: 1 % of all wait for more than 1.95 s.
    assert run.percentile(99) == pytest.approx(1.95, abs=0.15)
    assert run.percentile(80) == pytest.approx(1.0, abs=0.2)
    # The seconds of the freeze stand in the timeline as such.
    assert max(second.p99 for second in run.timeline) > 1.5
    assert min(second.p99 for second in run.timeline) < 0.5


async def test_a_closed_loop_hides_the_same_freeze() -> None:
    """Four requests wait, and nobody asks for the others: the reason for the open loop."""
    with ScriptedTarget() as target:
        run = await freezing(target, plan(target, schedule="closed", rate=0.0, concurrency=4))

    assert run.percentile(99) < 0.5
    assert run.response.maximum > 1.5
    assert any("closed loop" in note for note in run.notes)


async def test_a_frozen_generator_makes_the_run_invalid() -> None:
    """What it measured then is itself; the reason is named."""
    measuring = asyncio.Event()

    def told(progress: Progress) -> None:
        if progress.phase == "measure":
            measuring.set()

    async def freeze(fleet: Fleet) -> None:
        await measuring.wait()
        (pid,) = fleet.pids
        os.kill(pid, signal.SIGSTOP)
        # The fault itself lasts so long.
        await asyncio.sleep(0.5)
        os.kill(pid, signal.SIGCONT)

    with ScriptedTarget() as target:
        async with Fleet() as fleet:
            made = plan(target, duration=3.0)
            run, _ = await asyncio.gather(
                measure(made, on_progress=told, fleet=fleet), freeze(fleet)
            )

    assert not run.valid
    assert any(reason.startswith("the generator sent late: p99") for reason in run.reasons)
    assert any("were sent late, by 10 ms" in reason for reason in run.reasons)
    # Its own lateness is in the response time, and not blamed on the server.
    assert run.percentile(99) > 0.2
    assert run.service.percentile(90) < 0.2
