# SPDX-License-Identifier: Apache-2.0
"""A control process without sockets or disk, whose model m has the candidate c."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import msgspec

from gateway.config.load import read
from gateway.control.candidates import Candidates
from gateway.control.operations import Operations
from gateway.control.publisher import OperationFailed, Publisher
from gateway.quality.database import Unusable
from gateway.quality.events import Event
from gateway.quality.ledger import Ledger
from gateway.quality.records import AuditEntry
from gateway.telemetry import Telemetry
from gateway.telemetry.snapshot import merge
from gateway.wire.generation import Generation, Rollout
from tests.support.pairs import labelled, shadowed

TEXT = """
models:
  m:
    backends: [{address: 'unix:m'}]
    quality: {classes: 2}
    shadow: {model: c, sample: 100%}
    candidate: {model: c, auto: true, hold: 10s, min_rows: 1, stages: [shadow, 50%, 100%], MORE}
  c: {backends: [{address: 'unix:c'}]}
"""


class Publishing:
    """A publisher that only remembers; it *fails* where it is told to."""

    def __init__(self) -> None:
        self.generation = Generation(1, "config")
        self.taken: set[str] = set()
        self.fails = False
        self.log: list[str] = []

    async def publish(self, generation: Generation) -> None:
        """Take it."""
        if self.fails:
            raise OperationFailed(["no"])
        self.generation = generation
        self.log.append(f"share {generation.rollouts['m'].share:g}")


class Book:
    """A ledger in memory, which cannot be used where it is *broken*."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.entries: list[AuditEntry] = []
        self.broken = False
        # The rows that have met a label: tenant, id and row.
        self.labelled: set[tuple[str, str, int]] = set()

    async def decide(self, model: str, candidate: str, outcome: str, evidence: Any) -> int:
        """Write down."""
        self._check()
        self.log.append(f"decided {outcome}")
        msgspec.json.encode(evidence)
        return 1

    async def append(self, action: str, *, model: str, actor: str, detail: Any) -> int:
        """Write down."""
        self._check()
        self.log.append(f"{actor}: {action}")
        self.entries.insert(0, AuditEntry(1, 0.0, action, model, actor, detail))
        return 1

    async def audit(self, model: str, *, before: int = 0, limit: int = 100) -> list[AuditEntry]:
        """What was written."""
        self._check()
        return self.entries[:limit]

    async def decisions(self, model: str, *, limit: int) -> list[Any]:
        """None that is kept."""
        self._check()
        return []

    async def ask(self, work: object) -> set[tuple[str, str, int]]:
        """The rows that have a label."""
        self._check()
        return self.labelled

    def _check(self) -> None:
        if self.broken:
            raise Unusable("full", "the disk is full")


class Scene:
    """The model m and its candidate c, in a control process."""

    def __init__(self, more: str = "horizon: 100s", *, auto: bool = True) -> None:
        text = TEXT.replace("MORE", more).replace("auto: true", f"auto: {str(auto).lower()}")
        self.config = read(text, name="test", files=False)
        self.publisher = Publishing()
        self.telemetry = Telemetry(self.config.models)
        self.log = self.publisher.log
        self.book = Book(self.log)
        self.events: list[Event] = []
        self.now = 1000.0
        self.begin()

    def begin(self) -> None:
        """A control process begins with the generation that there is."""
        self.operations = Operations(
            "config", self.config, cast("Publisher", self.publisher),
            runtime=Path("nowhere"), telemetry=self.telemetry,
        )  # fmt: skip
        self.candidates = Candidates(
            self.operations, cast("Ledger", self.book), notify=self.events.append,
            metrics=lambda: merge([self.telemetry.take()]), telemetry=self.telemetry,
            clock=lambda: self.now,
        )  # fmt: skip

    async def round(self, *, seconds: float = 0.0) -> None:
        """What the loop does once, *seconds* later."""
        self.now += seconds
        await self.candidates._tried(self.candidates._begin())
        await self.candidates._tried(self.candidates._reconcile())
        await self.candidates._tried(self.candidates.look("m"))

    def pairs(self, rows: int = 2000, *, lost: int = 0, **more: Any) -> None:
        """The models answer *rows*, all labelled, of which the candidate loses *lost*."""
        live, said = [0] * rows, [1] * lost + [0] * (rows - lost)
        self.candidates.comparisons.predicted(shadowed(live, said, start=self.now, **more))
        self.candidates.comparisons.joined(labelled(live, said, live, start=self.now, **more))

    def serve(self, *, candidate: str = "ok", requests: int = 300) -> None:
        """Both arms have answered *requests* each."""
        for arm, result in (("live", "ok"), ("candidate", candidate)):
            self.telemetry.candidates.requests.cell("m", arm, result).value += requests
            for _ in range(requests if result == "ok" else 0):
                self.telemetry.candidates.seconds.cell("m", arm).observe(0.001)

    @property
    def rollout(self) -> Rollout:
        """How far it has come."""
        return self.publisher.generation.rollouts["m"]
