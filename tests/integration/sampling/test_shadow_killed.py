# SPDX-License-Identifier: Apache-2.0
"""The only worker of a shadow is killed: nobody but the counters can tell."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.sampled import Sampled, until

MORE = "quality: {classes: 10}, shadow: {model: twin, sample: 1, timeout: 300ms}"


def test_live_answers_go_on_and_pairs_come_back(tmp_path: Path) -> None:
    """What the shadow misses is counted once a request; the worker that comes back is asked."""
    with Sampled(tmp_path, MORE) as house:
        before = [house.ask(1, at=row)[2]["outputs"] for row in range(40)]
        until(lambda: house.shadows() == {"answered": 40})

        os.kill(house.serving.children()["twin-0"], signal.SIGKILL)
        after = [house.ask(1, at=row) for row in range(40)]

        assert [status for status, _, _ in after] == [200] * 40
        assert [body["outputs"] for _, _, body in after] == before
        until(lambda: sum(house.shadows().values()) == 80)

        answered = house.shadows()["answered"]
        asked = 80

        def is_back() -> bool:
            nonlocal asked
            asked += 1
            house.ask(1)
            return house.shadows()["answered"] > answered

        until(is_back)
        until(lambda: sum(house.shadows().values()) == asked)
        until(lambda: house.samples() == {"live": asked, "shadow": house.shadows()["answered"]})
