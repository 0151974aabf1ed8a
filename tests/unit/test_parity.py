# SPDX-License-Identifier: Apache-2.0
"""Parity: a verdict for each model, found out beside the loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from gateway.parity import Parity
from tests.support.steps import input_step, takes

if TYPE_CHECKING:
    from pathlib import Path

INFO = takes("FP32", -1, 3)


@pytest.fixture(name="file")
def fixture_file(tmp_path: Path) -> Path:
    """Vectors that a factor of a half gives."""
    file = tmp_path / "g.npz"
    ones = np.ones((1, 3), np.float32)
    save: Any = np.savez
    save(file, **{"input.x": ones, "tensor.x": ones / 2})
    return file


def parity(file: Path, factor: float, told: asyncio.Event) -> Parity:
    """That of a scale step."""
    return Parity(
        str(file),
        preprocess=[input_step("scale", factor=factor)],
        postprocess=[],
        rtol=1e-6,
        atol=1e-6,
        told=told.set,
    )


@pytest.mark.parametrize(("factor", "count"), [(0.5, 0), (0.25, 1)])
async def test_a_verdict_comes_later_and_stays(file: Path, factor: float, count: int) -> None:
    """Equal models, as a restarted worker describes them, have the one there is."""
    told = asyncio.Event()
    under_test = parity(file, factor, told)

    assert under_test.verdict(INFO) is None
    await told.wait()

    verdict = under_test.verdict(INFO)
    assert verdict is not None
    assert len(verdict) == count
    assert under_test.verdict(msgspec.structs.replace(INFO)) is verdict


async def test_another_model_is_looked_at_anew(file: Path) -> None:
    """Its inputs may be others; what was begun for the one before is dropped."""
    told = asyncio.Event()
    under_test = parity(file, 0.5, told)
    under_test.verdict(INFO)

    assert under_test.verdict(takes("FP32", -1, 4)) is None
    await told.wait()

    (fault,) = under_test.verdict(takes("FP32", -1, 4)) or []
    assert str(file) in fault


async def test_a_file_that_is_gone_is_a_fault(tmp_path: Path) -> None:
    """Nothing was proved."""
    told = asyncio.Event()
    under_test = parity(tmp_path / "gone.npz", 0.5, told)
    under_test.verdict(INFO)
    await told.wait()

    (fault,) = under_test.verdict(INFO) or []
    assert "No such file" in fault
