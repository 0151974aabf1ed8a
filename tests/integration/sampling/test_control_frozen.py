# SPDX-License-Identifier: Apache-2.0
"""The control process is frozen or killed: predictions wait for it, and requests do not."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.sampled import Sampled, until

MORE = "quality: {classes: 10}"


def test_what_a_frozen_control_process_missed_it_gets_later(tmp_path: Path) -> None:
    """Up to what may wait."""
    with Sampled(tmp_path, MORE) as house:
        until(lambda: house.ask(1)[0] == 200 and house.samples().get("live", 0) > 0)
        control = house.serving.children()["gateway.control"]
        os.kill(control, signal.SIGSTOP)
        try:
            assert [house.ask(5, labels=True)[0] for _ in range(20)] == [200] * 20
        finally:
            os.kill(control, signal.SIGCONT)

        until(lambda: bool(house.quality()["rows"]["labelled"] == 100))
        assert house.samples("samples_lost_total") == {}


def test_a_killed_control_process_costs_no_request(tmp_path: Path) -> None:
    """The one that takes its place gets what was answered in between."""
    with Sampled(tmp_path, MORE) as house:
        house.ask(5, labels=True)
        until(lambda: bool(house.quality()["rows"]["labelled"] == 5))

        killed = house.serving.children()["gateway.control"]
        os.kill(killed, signal.SIGKILL)
        # What the kernel has taken for a process that dies is lost with it.
        until(lambda: house.serving.children().get("gateway.control") != killed)
        assert [house.ask(5, labels=True)[0] for _ in range(20)] == [200] * 20

        def is_back() -> bool:
            try:
                found: bool = house.quality()["rows"]["labelled"] == 105
            except OSError:
                return False
            return found

        until(is_back)
        assert house.samples("samples_lost_total") == {}
