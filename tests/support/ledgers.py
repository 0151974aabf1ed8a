# SPDX-License-Identifier: Apache-2.0
"""Ledgers on disk, for the length of a block."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.quality.ledger import Ledger
from gateway.telemetry import Telemetry


@asynccontextmanager
async def opened(
    directory: Path, *, url: str = "", clock: Callable[[], float] = time.time, busy: float = 2.0
) -> AsyncIterator[Ledger]:
    """The ledger in *directory*, or the one at *url*."""
    ledger = Ledger(
        url or f"sqlite:///{directory / 'ledger.sqlite3'}",
        telemetry=Telemetry(process="control"),
        clock=clock,
        busy=busy,
    )
    try:
        yield ledger
    finally:
        await ledger.aclose()
