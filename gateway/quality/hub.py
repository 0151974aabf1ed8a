# SPDX-License-Identifier: Apache-2.0
"""Hub: where predictions and labels come in, meet, and go out to whoever follows them."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.quality.database import Unusable
from gateway.quality.recording import Event, Recording
from gateway.quality.writer import Job
from gateway.wire.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.quality.items import Sent
    from gateway.quality.joined import Listener
    from gateway.quality.labels import Result
    from gateway.quality.ledger import Ledger
    from gateway.quality.truth import Truth
    from gateway.telemetry import Telemetry
    from gateway.wire.samples import Message

log: Final = logging.getLogger(__name__)

# Labels of one transaction: predictions that wait behind it wait some ten milliseconds.
_AT_ONCE: Final = 2000


class Hub:
    """Gives what comes in to *ledger*, and then to its listeners, all on the event loop.

    *truths* gives how labels of a model are read, None where it takes none. *retention* in seconds
    and *most* in bytes bound what is kept, *early* how many labels wait for their predictions.
    """

    def __init__(
        self,
        ledger: Ledger,
        truths: Callable[[str], Truth | None],
        *,
        telemetry: Telemetry,
        retention: float = 30 * 86400.0,
        most: int = 4 << 30,
        early: int = 100_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.ledger = ledger
        self._telemetry = telemetry
        self._listeners: list[tuple[Listener, bool]] = []
        self._untold = 0
        self._recording = Recording(
            truths,
            telemetry=telemetry,
            kept=retention,
            most=most,
            early=early,
            clock=clock,
            tell=self._replayed,
            untold=lambda: self._untold,
        )
        telemetry.on_collect(self._fill)
        ledger.on_open(self._recording.read)
        ledger.chores.extend(self._recording.chores)

    def __repr__(self) -> str:
        return f"<Hub {self.ledger!r} listeners={[each for each, _ in self._listeners]}>"

    def add(self, listener: Listener, *, replay: bool = True) -> None:
        """Let *listener* hear of all that comes in.

        With *replay* it hears first of all that the ledger holds; without, it has a state of its
        own, which it kept in the ledger. To be called before the ledger is opened.
        """
        self._listeners.append((listener, replay))

    def take(self, message: Message) -> None:
        """Take what a gateway process has sent; never waits."""
        if not isinstance(message, Samples):
            return  # what was lost is counted where it was lost
        size = sum(column.nbytes for _, column in message.all_columns()) + 100 * len(message)
        job = Job(
            partial(self._recording.record, samples=message),
            partial(self._recorded, message.model, len(message)),
            patient=True,
            durable=message.labels is not None,
            size=size,
        )
        if not self.ledger.offer(job):
            self._count(message.model, "dropped", len(message))

    async def label(self, tenant: str, items: Sequence[Sent]) -> list[Result]:
        """Take labels in, which are on disk then; raises Unusable, and some may be."""
        results: list[Result] = []
        for start in range(0, len(items), _AT_ONCE):
            several = items[start : start + _AT_ONCE]
            work = partial(self._recording.label, tenant=tenant, items=several)
            found, _ = await self.ledger.ask(work, size=400 * len(several), told=self._labelled)
            results += found
        return results

    def open(self) -> None:
        """Open the ledger, and tell the listeners what it holds."""
        self.ledger.open()

    def _fill(self) -> None:
        if self.ledger.opened:
            self._telemetry.quality.labels_waiting.cell().value = self._recording.waiting

    def _labelled(self, done: tuple[list[Result], list[Event]]) -> None:
        results, events = done
        self._tell(events)
        self._count_labels(results)

    def _recorded(
        self,
        model: str,
        rows: int,
        done: tuple[list[Result], list[Event]] | None,
        error: Exception | None,
    ) -> None:
        """A message is written; in the thread of the ledger."""
        if done is None:
            kind = "dropped" if isinstance(error, Unusable) else "failed"
            self._soon(self._count, model, kind, rows)
            return
        results, events = done
        self._soon(self._count, model, "written", rows)
        self._soon(self._tell, events)
        if results:
            self._soon(self._count_labels, results)

    def _soon(self, function: Callable[..., None], *arguments: object) -> None:
        """Call *function* on the event loop; from the thread of the ledger, which has one."""
        assert self.ledger.loop is not None  # noqa: S101 - its thread was begun from there
        self.ledger.loop.call_soon_threadsafe(function, *arguments)

    @property
    def caught_up(self) -> bool:
        """Whether listeners have heard of all that the ledger held at the start."""
        return not self.ledger.opened or (self._recording.caught_up and not self._untold)

    def _replayed(self, events: list[Event]) -> None:
        """A part of the ledger is to be told; in the thread of the ledger."""
        self._untold += 1
        self._soon(self._tell_replayed, events)

    def _tell_replayed(self, events: list[Event]) -> None:
        self._untold -= 1
        self._tell(events)

    def _tell(self, events: list[Event]) -> None:
        """Tell the listeners; one that fails does not keep it from the others."""
        for told, audience in events:
            for listener, replay in self._listeners:
                if audience != "all" and replay != (audience == "replayed"):
                    continue
                try:
                    if isinstance(told, Samples):
                        listener.predicted(told)
                    else:
                        listener.joined(told)
                except Exception:  # a border: listeners are apart from each other
                    log.exception("%r cannot follow what it was told", listener)

    def _count(self, model: str, result: str, rows: int) -> None:
        self._telemetry.quality.ledger_predictions.cell(model, result).value += rows

    def _count_labels(self, results: list[Result]) -> None:
        for each in results:
            self._telemetry.quality.labels.cell(each.model, each.result).value += 1
