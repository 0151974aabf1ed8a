# SPDX-License-Identifier: Apache-2.0
"""What a process uses: memory, processor time, descriptors, and how late its event loop runs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.telemetry.cells import HistogramCell
    from gateway.telemetry.families import Telemetry


def report_process(telemetry: Telemetry, process: str, pid: int | None = None) -> None:
    """Fill the ``process_*`` gauges of *process* at every collection from now on.

    *pid* is this process where it is None. The gauges go when the process does.
    """
    proc = Path("/proc") / ("self" if pid is None else str(pid))
    page = os.sysconf("SC_PAGESIZE")
    tick = os.sysconf("SC_CLK_TCK")

    def fill() -> None:
        try:
            resident = int((proc / "statm").read_text().split()[1])
            # The command name may hold blanks and brackets; what follows its bracket does not.
            times = (proc / "stat").read_text().rpartition(")")[2].split()[11:13]
            fds = sum(1 for _ in (proc / "fd").iterdir())
        except (OSError, ValueError, IndexError):
            for family in (telemetry.process_memory, telemetry.process_cpu, telemetry.process_fds):
                family.drop(process)
            return
        telemetry.process_memory.cell(process).value = resident * page
        telemetry.process_cpu.cell(process).value = sum(map(int, times)) / tick
        telemetry.process_fds.cell(process).value = fds

    telemetry.on_collect(fill)


async def sample_loop_lag(
    cell: HistogramCell,
    *,
    also: Callable[[float], None] = lambda _: None,
    interval: float = 0.05,
    clock: Callable[[], float] = perf_counter,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Observe how late a timer of *interval* seconds fires, until cancelled; *also* hears of it."""
    while True:
        due = clock() + interval
        await sleep(interval)
        late = max(0.0, clock() - due)
        cell.observe(late)
        also(late)
