# SPDX-License-Identifier: Apache-2.0
"""GatewayProcess: what it makes of how it was started."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from gateway.config.load import read
from gateway.process import GatewayProcess
from gateway.stages.overload import MEMORY
from gateway.upstream.outstanding import create
from gateway.wire.generation import Generation
from gateway.wire.runtime import metrics_directory, outstanding_file, state_directory


def memory_in_use(directory: Path, started: int) -> float:
    """The share of its memory that one of so many gateway processes sees in use."""
    directory.mkdir()
    for needed in (metrics_directory(directory), state_directory(directory)):
        needed.mkdir()
    if started > 1:
        create(outstanding_file(directory), started)
    config = read(
        "server: {processes: 4}\nmodels: {m: {backends: [{address: 'unix:x'}]}}",
        name="test",
        files=False,
    )
    process = GatewayProcess(
        config, Generation(1, "test"), cast("Any", None), runtime=directory, index=0
    )
    (memory,) = [each for each in process._guard._watched if each.reason == MEMORY]
    return memory.read()


async def test_memory_is_shared_by_the_processes_that_were_started(tmp_path: Path) -> None:
    """``serve --processes`` says how many, whatever the configuration has."""
    alone = memory_in_use(tmp_path / "one", 1)
    for started in (2, 8):
        share = memory_in_use(tmp_path / str(started), started)
        assert share == pytest.approx(started * alone, rel=0.2)
