# SPDX-License-Identifier: Apache-2.0
"""Workers are killed at random under load; no client notices."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path
from time import monotonic

from tests.support.direct import digits
from tests.support.load import Load, held_out
from tests.support.serving import Serving

# Seconds of killing; a longer run: INFERGATE_CHAOS_SECONDS=60.
SECONDS = float(os.environ.get("INFERGATE_CHAOS_SECONDS", "10"))
CONFIG = """
server: {http: "127.0.0.1:0", admin: "127.0.0.1:0"}
models:
  digits:
    backends: [{worker: {path: models/digits, replicas: 2}}]
    preprocess: [{scale: {factor: 0.0625}}]
"""


def workers(serving: Serving) -> dict[str, int]:
    """The pids of the workers that live now."""
    return {name: pid for name, pid in serving.children().items() if name.startswith("digits-")}


def metric(text: str, name: str) -> list[float]:
    """The values of all series of *name*."""
    lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return [float(line.rpartition(" ")[2]) for line in lines]


async def ready(serving: Serving) -> None:
    """Wait until both workers have said to the gateway that they are there."""
    while True:
        _, text = await asyncio.to_thread(serving.get, "/metrics")
        states = [line for line in text.splitlines() if "endpoint_state" in line]
        if sum('state="ready"' in line and line.endswith(" 1.0") for line in states) == 2:
            return


async def kill_at_random(serving: Serving, load: Load, *, seconds: float) -> int:
    """Kill one worker after the other, each while it has work to do; gives how many."""
    rng = random.Random(20)
    until = monotonic() + seconds
    killed = 0
    while monotonic() < until:
        # Two deaths within the milliseconds of one retry would make an innocent request a suspect.
        await ready(serving)
        await load.reaches(load.outcome.answered + rng.randrange(50, 1000))
        victim = rng.choice(sorted(workers(serving).values()))
        os.kill(victim, signal.SIGKILL)
        killed += 1
    await ready(serving)
    load.stopped.set()
    return killed


async def under_fire(serving: Serving) -> tuple[Load, int]:
    """Load and killing at the same time."""
    rows, _ = held_out("digits")
    load = Load(serving.http, digits(rows))
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        killing = group.create_task(kill_at_random(serving, load, seconds=SECONDS))
    return load, killing.result()


def test_killed_workers_cost_no_client_an_error(tmp_path: Path) -> None:
    """Every request is answered, rightly, and all gauges return to zero."""
    with Serving(tmp_path, CONFIG).ready() as serving:
        load, killed = asyncio.run(under_fire(serving))
        _, text = serving.get("/metrics")

    assert load.outcome.failures() == {}
    assert killed >= 3
    assert sum(metric(text, "infergate_worker_restarts_total")) == killed
    # Some of the dead had requests: the fault was felt, and mended.
    assert sum(metric(text, "infergate_retries_total")) > 0
    assert set(metric(text, "infergate_pending")) == {0}
    assert set(metric(text, "infergate_queued_rows")) == {0}
