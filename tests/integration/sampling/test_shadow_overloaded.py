# SPDX-License-Identifier: Apache-2.0
"""A shadow that is too slow for its share drops what it cannot take, the newest first."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.sampled import Sampled, until

MORE = (
    "quality: {classes: 10}, "
    "shadow: {model: twin, sample: 1, timeout: 20s, concurrency: 1, queue_rows: 8}"
)


def test_more_than_its_queue_holds_is_dropped(tmp_path: Path) -> None:
    """Live requests are all answered, and all of the others are once the shadow goes on."""
    with Sampled(tmp_path, MORE) as house:
        worker = house.serving.children()["twin-0"]
        os.kill(worker, signal.SIGSTOP)
        try:
            assert [house.ask(2)[0] for _ in range(20)] == [200] * 20
            # Four requests of two rows fill it.
            assert house.shadows() == {"dropped": 16}
            queued = house.serving.metrics("infergate_shadow_queued_rows")
            assert list(queued.values()) == [8.0]
        finally:
            os.kill(worker, signal.SIGCONT)

        until(lambda: sum(house.shadows().values()) == 20)
        assert house.shadows()["dropped"] == 16
        until(lambda: house.samples()["live"] == 40)
