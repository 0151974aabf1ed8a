# SPDX-License-Identifier: Apache-2.0
"""SIGTERM under load: what has been sent is answered."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.integration.test_chaos import CONFIG
from tests.support.direct import digits
from tests.support.load import Load, held_out
from tests.support.serving import Serving


async def end_under_load(serving: Serving, number: signal.Signals) -> Load:
    """Ask the server to end while clients are busy; they go on until nobody listens."""
    rows, _ = held_out("digits")
    load = Load(serving.http, digits(rows))
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        await load.reaches(1000)
        serving.stop(number)
    return load


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_loses_no_request(tmp_path: Path, number: signal.Signals) -> None:
    """Answers go on until the end, and the last of each connection says so."""
    with Serving(tmp_path, CONFIG).ready() as serving:
        load = asyncio.run(end_under_load(serving, number))
        code, said = serving.ends()

    assert code == 0
    assert "draining" in said
    assert load.outcome.answered > 1000
    assert load.outcome.failures() == {}
