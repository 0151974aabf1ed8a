# SPDX-License-Identifier: Apache-2.0
"""Desk: answers labels that clients have sent, on a Unix socket of the control process."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.quality.database import Unusable
from gateway.quality.items import BadLabels, Read, Refused, read_csv, read_json, read_lines
from gateway.quality.labels import Result
from gateway.wire.labels import LENGTH, LONGEST, NOBODY, Answered, Posted, packed, posted
from gateway.wire.talks import hold_talks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from gateway.quality.items import Sent

log: Final = logging.getLogger(__name__)

# Reading a larger body takes longer than a turn to a thread, in bytes.
_LARGE: Final = 64 << 10
_LINES: Final = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-lines"}
)
_TABLE: Final = frozenset({"text/csv", "application/csv"})


class Desk:
    """Gives labels that come in at *path* to *label*, and answers what became of each.

    *takes* says whether any model takes labels. *refused* hears of the models of those that were
    not right, "" where they said none.
    """

    def __init__(
        self,
        path: Path,
        label: Callable[[str, Sequence[Sent]], Awaitable[list[Result]]],
        *,
        takes: Callable[[], bool],
        refused: Callable[[str], None],
    ) -> None:
        self._path = path
        self._label = label
        self._takes = takes
        self._refused = refused

    def __repr__(self) -> str:
        return f"<Desk {self._path}>"

    async def run(self) -> None:
        """Listen until cancelled."""
        await hold_talks(self._path, self._talk)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks: set[asyncio.Task[None]] = set()
        try:
            while True:
                (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                if length > LONGEST:
                    log.warning("labels of %d bytes; at most %d are taken", length, LONGEST)
                    return
                message = posted(await reader.readexactly(length))
                task = asyncio.create_task(self._answer(message, writer))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        except asyncio.IncompleteReadError:
            pass  # the process has ended, or will connect again
        except (OSError, ValueError) as error:
            log.warning("labels cannot be read: %s", error)
        finally:
            # What was taken in is written all the same.
            for task in tasks:
                task.cancel()
            writer.close()

    async def _answer(self, message: Posted, writer: asyncio.StreamWriter) -> None:
        try:
            status, document = await self.answer(message)
        except Exception:  # the border of this process towards the gateways
            log.exception("labels could not be taken")
            status, document = 500, {"error": "internal error, see the log of the control process"}
        writer.write(packed(Answered(message.id, status, msgspec.json.encode(document))))

    async def answer(self, message: Posted) -> tuple[int, dict[str, Any]]:
        """Status and document: 200, 207 where some items were refused, 400 where all were."""
        if not self._takes():
            return 404, {"error": NOBODY}
        try:
            if len(message.body) > _LARGE:
                items = await asyncio.to_thread(_items, message)
            else:
                items = _items(message)
        except BadLabels as error:
            return 400, {"error": f"labels: {error}"}
        if not items:
            return 400, {"error": "labels: there are none in the body"}
        sent = [item for item in items if not isinstance(item, Refused)]
        try:
            found = iter(await self._label(message.tenant, sent) if sent else ())
        except Unusable as error:
            return 503, {"error": f"labels cannot be kept now: {error}"}
        results = [
            self._not_right(item, message.model) if isinstance(item, Refused) else next(found)
            for item in items
        ]
        counts = Counter(each.result for each in results)
        status = 200
        if counts["rejected"]:
            status = 400 if counts["rejected"] == len(results) else 207
        return status, {"results": results, "counts": counts}

    def _not_right(self, item: Refused, model: str) -> Result:
        self._refused(model)
        return Result(item.id, item.row, "rejected", reason=item.reason, model=model)


def _items(message: Posted) -> list[Read]:
    kind = message.content_type.partition(";")[0].strip().lower()
    body, model = message.body, message.model
    if kind in _LINES:
        return read_lines(body, model=model)
    if kind in _TABLE:
        return read_csv(body, model=model)
    if kind or body.lstrip()[:1] in {b"{", b"["}:
        return read_json(body, model=model)
    return read_csv(body, model=model)
