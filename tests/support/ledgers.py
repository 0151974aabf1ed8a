# SPDX-License-Identifier: Apache-2.0
"""Ledgers on disk, hubs over them, made-up predictions, and a listener that adds up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gateway.quality.hub import Hub
from gateway.quality.joined import Joined
from gateway.quality.ledger import Ledger
from gateway.quality.truth import Truth
from gateway.telemetry import Telemetry
from gateway.wire.samples import Role, Samples

TEN = Truth("classification", tuple(str(each) for each in range(10)))


@asynccontextmanager
async def opened(
    directory: Path,
    *,
    url: str = "",
    clock: Callable[[], float] = time.time,
    busy: float = 2.0,
    most: int = 64 << 20,
) -> AsyncIterator[Ledger]:
    """The ledger in *directory*, or the one at *url*."""
    ledger = Ledger(
        url or f"sqlite:///{directory / 'ledger.sqlite3'}",
        telemetry=Telemetry(["m", "n"], process="control"),
        clock=clock,
        busy=busy,
        most=most,
    )
    try:
        yield ledger
    finally:
        await ledger.aclose()


def hub_over(
    ledger: Ledger, *, truths: dict[str, Truth] | None = None, **options: Any
) -> tuple[Hub, Adding]:
    """A hub over *ledger* for the models *truths*, and a listener to it."""
    known = {"m": TEN} if truths is None else truths
    hub = Hub(ledger, known.get, telemetry=ledger.telemetry, **options)
    adding = Adding()
    hub.add(adding)
    return hub, adding


def made(
    ids: Sequence[str],
    predicted: Sequence[float],
    *,
    model: str = "m",
    name: str = "",
    digest: str = "d1",
    role: Role = "live",
    rows: Sequence[int] | None = None,
    times: Sequence[float] | None = None,
    tenant: str = "",
    dtype: Any = np.int32,
    labels: list[Any] | None = None,
    **columns: Any,
) -> Samples:
    """Predictions of *model*; all of now, row 0 of *ids*, where nothing else is said."""
    count = len(ids)
    return Samples(
        model=model,
        name=name or model,
        digest=digest,
        version="1",
        role=role,
        ids=list(ids),
        rows=np.array(rows if rows is not None else [0] * count, np.uint32),
        times=np.array(times if times is not None else [time.time()] * count),
        endpoints=[f"{model}-0"],
        endpoint=np.zeros(count, np.uint16),
        tenants=[tenant],
        tenant=np.zeros(count, np.uint16),
        slices=[{}],
        slice=np.zeros(count, np.uint16),
        flags=np.zeros(count, np.uint8),
        pi=np.ones(count, np.float32),
        question=np.arange(count, dtype=np.uint64),
        predicted=np.array(predicted, dtype),
        labels=labels,
        **columns,
    )


class Adding:
    """A listener that keeps what counts: how often each prediction was told, and each cell.

    A label that comes before its prediction is told, and one that is taken back without being
    there, are faults.
    """

    def __init__(self) -> None:
        self.told: Counter[tuple[str, str, str, str, int]] = Counter()
        # (model, digest, role, predicted, true) -> rows
        self.cells: Counter[tuple[str, str, str, float, float]] = Counter()
        self.keys: dict[int, tuple[float, float]] = {}
        self.messages: list[Joined] = []

    def __repr__(self) -> str:
        return f"<Adding {sum(self.told.values())} {dict(self.cells)}>"

    def predicted(self, samples: Samples) -> None:
        """See Listener."""
        for id_, row in zip(samples.ids, samples.rows.tolist(), strict=True):
            self.told[samples.model, samples.digest, samples.role, id_, row] += 1

    def joined(self, rows: Joined) -> None:
        """See Listener."""
        self.messages.append(rows)
        for key, predicted, true, sign in zip(
            rows.key.tolist(),
            rows.predicted.tolist(),
            rows.true.tolist(),
            rows.sign.tolist(),
            strict=True,
        ):
            if sign > 0:
                assert key not in self.keys, "a second label for one prediction and source"
                self.keys[key] = (predicted, true)
            else:
                assert self.keys.pop(key) == (predicted, true), "what was never there"
            cell = (rows.model, rows.digest, rows.role, predicted, true)
            self.cells[cell] += sign
            if not self.cells[cell]:
                del self.cells[cell]

    def once(self) -> bool:
        """Whether no prediction was told twice."""
        return all(count == 1 for count in self.told.values())
