# SPDX-License-Identifier: Apache-2.0
"""The only worker of a shadow is frozen: it keeps what it was given, and answers nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.sampled import Sampled, until

MORE = "quality: {classes: 10}, shadow: {model: twin, sample: 1, timeout: 200ms, concurrency: 4}"


def test_live_answers_are_the_same(tmp_path: Path) -> None:
    """And what waited for the shadow is given up in time, so that nothing piles up."""
    with Sampled(tmp_path, MORE) as house:
        before = [house.ask(1, at=row)[2]["outputs"] for row in range(30)]
        until(lambda: house.shadows() == {"answered": 30})

        worker = house.serving.children()["twin-0"]
        os.kill(worker, signal.SIGSTOP)
        try:
            after = [house.ask(1, at=row) for row in range(30)]
            assert [status for status, _, _ in after] == [200] * 30
            assert [body["outputs"] for _, _, body in after] == before
            until(lambda: sum(house.shadows().values()) == 60)
            results = house.shadows()
            assert results["answered"] == 30
            assert results["timeout"] > 0
            queued = house.serving.metrics("infergate_shadow_queued_rows")
            assert list(queued.values()) == [0.0]
        finally:
            os.kill(worker, signal.SIGCONT)

        until(lambda: house.ask(1)[0] == 200 and house.shadows()["answered"] > 30)
        assert house.samples("samples_lost_total") == {}
