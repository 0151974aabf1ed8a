# SPDX-License-Identifier: Apache-2.0
"""A worker that resets its connection instead of answering."""

from __future__ import annotations

from pathlib import Path

from tests.support.faulty import reset
from tests.support.scenarios import no_client_learns_of, two_attempts_and_an_error


async def test_the_other_worker_answers(tmp_path: Path) -> None:
    """No client learns of it."""
    await no_client_learns_of(tmp_path, reset)


async def test_a_lone_worker_has_two_attempts(tmp_path: Path) -> None:
    """A request that a worker went away with twice is not tried a third time."""
    await two_attempts_and_an_error(tmp_path, reset, code="poison_input")
