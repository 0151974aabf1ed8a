# SPDX-License-Identifier: Apache-2.0
"""What a process uses is read at collection; the loop's lag is what a timer is late by."""

import asyncio
import os
import subprocess
import sys

import pytest

from gateway.telemetry import HistogramCell, Telemetry, report_process, sample_loop_lag


def test_this_process_reports_what_it_uses() -> None:
    """Memory and processor time are positive, and an opened file shows."""
    telemetry = Telemetry()
    report_process(telemetry, "gateway-0")
    telemetry.take()
    before = telemetry.process_fds.cell("gateway-0").value
    reading, writing = os.pipe()

    telemetry.take()

    os.close(reading)
    os.close(writing)
    assert telemetry.process_fds.cell("gateway-0").value == before + 2
    assert telemetry.process_memory.cell("gateway-0").value > 1 << 20
    assert telemetry.process_cpu.cell("gateway-0").value > 0


def test_another_process_is_reported_until_it_ends() -> None:
    """The figures of a process that is gone vanish instead of standing still."""
    telemetry = Telemetry()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        report_process(telemetry, "worker", child.pid)
        telemetry.take()
        assert ("worker",) in telemetry.process_memory.cells
        child.communicate(b"\n")

    telemetry.take()

    assert telemetry.process_memory.cells == {}
    assert telemetry.process_cpu.cells == {}


async def test_lag_is_how_late_the_timer_fires() -> None:
    """A loop that was held up for 50 ms shows as 50 ms; one that is early shows as none."""
    heard: list[float] = []
    cell = HistogramCell((0.01, 0.1))
    times = iter([0.0, 0.15, 10.0, 10.09])
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await sample_loop_lag(
            cell, also=heard.append, interval=0.1, clock=lambda: next(times, 0.0), sleep=sleep
        )

    assert slept == [0.1, 0.1, 0.1]
    assert cell.counts == [1, 1, 0]
    assert cell.sum == pytest.approx(0.05)
    assert heard == pytest.approx([0.05, 0.0])
