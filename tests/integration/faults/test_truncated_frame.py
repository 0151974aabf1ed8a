# SPDX-License-Identifier: Apache-2.0
"""A worker whose connection ends in the middle of an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.wire.frames import PREFIX_SIZE
from tests.support.faulty import output, truncate
from tests.support.scenarios import no_client_learns_of, two_attempts_and_an_error
from tests.support.scripted_worker import Received

# Bytes of the answer that still come: none of a part, some of it, all of it.
ENDS = {
    "in the prefix": PREFIX_SIZE - 7,
    "behind the prefix": PREFIX_SIZE,
    "in the head": PREFIX_SIZE + 9,
    "in the body": -3,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_the_other_worker_answers(tmp_path: Path, end: int) -> None:
    """Half an answer is none, wherever it ends."""

    def cut_off(received: Received) -> None:
        received.connection.send(received.result(output(received))[:end])
        received.connection.close()

    await no_client_learns_of(tmp_path, cut_off)


async def test_a_lone_worker_has_two_attempts(tmp_path: Path) -> None:
    """Then the client is told."""
    await two_attempts_and_an_error(tmp_path, truncate, code="poison_input")
