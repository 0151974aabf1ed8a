# SPDX-License-Identifier: Apache-2.0
"""Recording: predictions and labels as one transaction takes them, and the upkeep of the ledger.

All of it runs in the thread of the ledger. What listeners are to hear comes back as events, to be
told once the transaction is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from gateway.quality import retention
from gateway.quality.block import kind
from gateway.quality.cells import gathered
from gateway.quality.items import Sent
from gateway.quality.joining import Joining
from gateway.quality.predictions import Predictions
from gateway.quality.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from gateway.quality.joined import Joined
    from gateway.quality.labels import Cell, Result
    from gateway.quality.truth import Truth
    from gateway.telemetry import Telemetry
    from gateway.wire.samples import Samples

# Who is to hear: all, those who were not there before, those who began with a state of their own.
Audience = Literal["all", "replayed", "live"]

# Seconds between two looks.
_ORPHANS_EVERY: Final = 5.0
_OLD_EVERY: Final = 10.0
# Between two steps where there is more to do, so that what comes in goes first.
_SOON: Final = 0.02
# How many events of a replay may wait to be told.
_MOST_UNTOLD: Final = 64


class Event(NamedTuple):
    """What listeners are to hear."""

    told: Samples | Joined
    audience: Audience = "all"


class Recording:
    """The ledger's content; *truths* gives how a model's labels are read.

    Predictions are kept for *kept* seconds and within *most* bytes; *early* labels may wait.
    *clock* is wall-clock time. *tell* is given what a replay tells, *untold* how much of it waits.
    """

    def __init__(
        self,
        truths: Callable[[str], Truth | None],
        *,
        telemetry: Telemetry,
        kept: float,
        most: int,
        early: int,
        clock: Callable[[], float],
        tell: Callable[[list[Event]], None],
        untold: Callable[[], int],
    ) -> None:
        self._truths = truths
        self._telemetry = telemetry
        self._kept = kept
        self._most = most
        self._clock = clock
        self._tell = tell
        self._untold = untold
        self._predictions = Predictions()
        self._joining = Joining(self._predictions, truths, early=early, retention=kept)
        self._replay: Replay | None = None
        self._removed = telemetry.quality.ledger_removed

    def __repr__(self) -> str:
        return f"<Recording {self._predictions!r} {self._joining!r} {self._replay!r}>"

    @property
    def chores(self) -> list[Callable[[Connection], float]]:
        """What is to be done now and then."""
        return [self.replay, self.expire, self.retain]

    @property
    def waiting(self) -> int:
        """How many labels wait for their predictions."""
        return self._joining.waiting

    def read(self, connection: Connection) -> None:
        """Begin, or begin again, with what is in the database."""
        self._predictions.read(connection)
        self._joining.read(connection)
        if self._replay is None:
            # Only the first time: whoever listens has not forgotten.
            self._replay = Replay(self._predictions.last)

    def record(self, connection: Connection, samples: Samples) -> tuple[list[Result], list[Event]]:
        """Write *samples* and the labels that came with them, and join what waits for them."""
        written = self._predictions.add(connection, samples)
        results, cells = self._joining.arrived(connection, written)
        events = [Event(samples), *self._events(connection, cells)]
        for tenant, items in _inline(samples).items():
            more, events_of_labels = self.label(connection, tenant, items)
            results += more
            events += events_of_labels
        self._predictions.trim()
        return results, events

    def label(
        self, connection: Connection, tenant: str, items: Sequence[Sent]
    ) -> tuple[list[Result], list[Event]]:
        """Take labels in; gives what became of each, and what listeners are to hear."""
        results, cells = self._joining.take(connection, tenant, items, self._clock())
        events = self._events(connection, cells)
        self._predictions.trim()
        return results, events

    @property
    def caught_up(self) -> bool:
        """Whether all that was there at the start has been given out to be told."""
        return self._replay is not None and self._replay.over

    def replay(self, connection: Connection) -> float:
        """Tell a part of what was there at the start."""
        replay = self._replay
        if replay is None or replay.over:
            return float("inf")
        if self._untold() < _MOST_UNTOLD:
            events = replay.step(connection, kind, self._truths)
            self._tell([Event(each, "replayed") for each in events])
            return 0.0
        return _SOON

    def expire(self, connection: Connection) -> float:
        """Give labels up whose predictions have not come."""
        models = self._joining.expire(connection, self._clock())
        for model in models:
            self._telemetry.quality.labels.cell(model, "orphan_expired").value += 1
        return _SOON if models else _ORPHANS_EVERY

    def retain(self, connection: Connection) -> float:
        """Take out what is too old or too much."""
        now = self._clock()
        step, reason = retention.too_old(connection, now - self._kept), "age"
        size = retention.size(connection)
        if not step and size > self._most:
            step, reason = retention.too_much(connection), "size"
        self._telemetry.quality.ledger_bytes.cell().value = size
        self._predictions.forget(step.blocks)
        self._removed.cell("prediction", reason).value += step.rows
        self._removed.cell("label", reason).value += step.labels
        return _SOON if step else _OLD_EVERY

    def _events(self, connection: Connection, cells: list[Cell]) -> list[Event]:
        if not cells:
            return []
        blocks = self._predictions.blocks(connection, {cell.found.block for cell in cells})
        replay = self._replay
        ahead: list[Cell] = []
        if replay is not None and not replay.over:
            ahead = [cell for cell in cells if replay.is_ahead(cell.found.block)]
            cells = [cell for cell in cells if not replay.is_ahead(cell.found.block)]
        return [
            *(Event(rows) for rows in gathered(cells, blocks, self._truths)),
            *(Event(rows, "live") for rows in gathered(ahead, blocks, self._truths)),
        ]


def _inline(samples: Samples) -> dict[str, list[Sent]]:
    """The labels that came with *samples*, by tenant."""
    found: dict[str, list[Sent]] = {}
    for position, value in enumerate(samples.labels or ()):
        if value is not None:
            tenant = samples.tenants[samples.tenant[position]]
            sent = Sent(
                id=samples.ids[position],
                row=int(samples.rows[position]),
                value=value,
                model=samples.model,
            )
            found.setdefault(tenant, []).append(sent)
    return found
