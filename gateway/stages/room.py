# SPDX-License-Identifier: Apache-2.0
"""Room: who may still join the queue, and who has to give way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import Shed
from gateway.stages.lines import DEFAULT_LEVEL

if TYPE_CHECKING:
    from gateway.stages.drain_rate import DrainRate
    from gateway.stages.entry import Entry
    from gateway.stages.lines import Lines
    from gateway.telemetry import Telemetry
    from gateway.wire.tensor import Buffer

# The part of its time that an answer may be expected to take. In a standing overload the queue is
# as long as this allows, and an answer that is as likely late as not is work for nothing.
_IN_TIME: Final = 0.85


class Room:
    """What *lines*, which drain at *rate*, have for more: *queue_rows* and *queue_bytes* in all.

    *upstream* is how many seconds a batch takes from leaving to its answer. Whoever waits longer
    than *newest_first_after* seconds is no obstacle: then the newest goes first.
    """

    def __init__(
        self,
        lines: Lines,
        rate: DrainRate,
        *,
        model: str,
        telemetry: Telemetry,
        queue_rows: int,
        queue_bytes: int,
        newest_first_after: float,
    ) -> None:
        self._lines = lines
        self._rate = rate
        self._model = model
        self._queue_rows = queue_rows
        self._queue_bytes = queue_bytes
        self._newest_first_after = newest_first_after
        self.upstream = 0.0
        self._rejected = {
            reason: (
                telemetry.queue_seconds.cell(model, f"rejected_{reason}"),
                telemetry.shed.cell(model, f"queue_{reason}"),
            )
            for reason in ("full", "predicted")
        }

    def __repr__(self) -> str:
        return f"<Room for {self._queue_rows} rows, {self._queue_bytes} bytes>"

    def turn_away(self, body: Buffer) -> None:
        """Raise Shed where a request with *body* finds the queue full, before it is decoded.

        One that may have a priority is decoded first, and then judged by it.
        """
        lines = self._lines
        if lines.rows < self._queue_rows and lines.bytes < self._queue_bytes:
            return
        if not lines or lines.lowest > DEFAULT_LEVEL:
            return
        text = bytes(body)
        # An escape may hide the word.
        if b"priority" not in text and b"\\" not in text:
            raise self._full()

    def judge(self, entry: Entry) -> None:
        """Raise Shed where *entry* has no room, or would not be served in time."""
        lines, request = self._lines, entry.request
        ahead = lines.ahead_of(request)
        if not self._has_room(entry) and (
            lines.last_below(request) is None
            # Nothing is dropped for what finds no room even then.
            or (ahead and ahead + entry.rows > self._queue_rows)
        ):
            raise self._full()
        wait = self._rate.seconds(ahead)
        left = request.deadline - entry.queued_at
        # Behind a longer wait the newest go first, and this is the newest.
        if wait + self.upstream > _IN_TIME * left and wait < self._newest_first_after:
            raise self._refusal(
                "predicted",
                f"{ahead} rows wait for model '{self._model}', which takes about {wait:.3f} s; "
                f"the request has {left:.3f} s",
                wait,
            )
        while lines.rows and not self._has_room(entry):
            full, lesser = self._full(), lines.last_below(request)
            if lesser is None:
                raise full
            lines.remove(lesser)
            lesser.fail(full)

    def _full(self) -> Shed:
        lines = self._lines
        return self._refusal(
            "full",
            f"the queue of model '{self._model}' is full ({lines.rows} rows, "
            f"{lines.bytes} bytes); its limits are {self._queue_rows} rows and "
            f"{self._queue_bytes} bytes",
            self._rate.seconds(lines.rows),
        )

    def _has_room(self, entry: Entry) -> bool:
        lines = self._lines
        rows, size = lines.rows + (entry.rows or 1), lines.bytes + entry.nbytes
        return rows <= self._queue_rows and size <= self._queue_bytes

    def _refusal(self, reason: str, message: str, wait: float) -> Shed:
        waited, shed = self._rejected[reason]
        waited.observe(0.0)
        shed.value += 1
        return Shed(message, retry_after=max(1.0, wait))
