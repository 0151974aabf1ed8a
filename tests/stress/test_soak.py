# SPDX-License-Identifier: Apache-2.0
"""The soak, for a moment: `tests/stress/soak.py` runs it for as long as one likes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.stress.soak import soak

# A longer run within the suite: INFERGATE_SOAK_SECONDS=60.
SECONDS = float(os.environ.get("INFERGATE_SOAK_SECONDS", "8"))


@pytest.mark.e2e
async def test_mixed_faults_cost_no_client_an_unexplained_error(tmp_path: Path) -> None:
    """Every answer is right, every error was asked for, and all workers are back at the end."""
    run = await soak(tmp_path, seconds=SECONDS, seed=1)
    assert run.faults() == [], run.report()
    # The faults were felt, and mended.
    assert run.made.total() >= 3
    assert run.metric("attempts_total", result="upstream_failed") > 0
