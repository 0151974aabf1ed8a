# SPDX-License-Identifier: Apache-2.0
"""Replay: what the ledger holds, told once more from the oldest to the newest after a start.

New predictions and labels go on meanwhile. What concerns a prediction that is still to be told is
left to its turn, so that each comes once, before any of its labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select

from gateway.quality.block import together, unpack
from gateway.quality.cells import gathered
from gateway.quality.labels import Cell, Label
from gateway.quality.predictions import Found
from gateway.quality.tables import BLOCKS, JOINS, LABELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from gateway.quality.block import Kind
    from gateway.quality.joined import Joined
    from gateway.quality.truth import Truth
    from gateway.wire.samples import Samples

# Blocks of one step: some milliseconds, in which nothing else is written.
_STEP: Final = 16
_BLOCKS: Final = (
    select(BLOCKS.c.id, BLOCKS.c.data)
    .where(BLOCKS.c.id > bindparam("after"), BLOCKS.c.id <= bindparam("upto"))
    .order_by(BLOCKS.c.id)
    .limit(_STEP)
)
_HOLDING: Final = (
    select(JOINS.c.block, JOINS.c.position, LABELS)
    .join_from(JOINS, LABELS, JOINS.c.seq == LABELS.c.seq)
    .where(JOINS.c.block >= bindparam("first"), JOINS.c.block <= bindparam("last"))
    .order_by(JOINS.c.seq)
)


class Replay:
    """The blocks up to *upto*, one step after the other."""

    def __init__(self, upto: int) -> None:
        self._upto = upto
        self._told = 0

    def __repr__(self) -> str:
        return f"<Replay {self._told}/{self._upto}>"

    @property
    def over(self) -> bool:
        """Whether all is told."""
        return self._told >= self._upto

    def is_ahead(self, block: int) -> bool:
        """Whether *block* is still to be told."""
        return self._told < block <= self._upto

    def step(
        self,
        connection: Connection,
        kinds: Callable[[Samples], Kind],
        truths: Callable[[str], Truth | None],
    ) -> list[Samples | Joined]:
        """What comes next: predictions, those of one of *kinds* together, then their labels."""
        rows = connection.execute(_BLOCKS, {"after": self._told, "upto": self._upto}).all()
        blocks = {number: unpack(bytes(data)) for number, data in rows}
        if not blocks:
            self._told = self._upto
            return []
        first, self._told = min(blocks), max(blocks)
        groups: dict[Kind, list[Samples]] = {}
        for samples in blocks.values():
            groups.setdefault(kinds(samples), []).append(samples)
        events: list[Samples | Joined] = [together(several) for several in groups.values()]
        held = connection.execute(_HOLDING, {"first": first, "last": self._told})
        cells = []
        for block, position, *label in held:
            found = Label(*label)
            truth = truths(blocks[block].model) if block in blocks else None
            if truth is not None:
                try:
                    true = truth.read(found.content)
                except ValueError:
                    continue  # the model's classes are others by now
                cells.append(Cell(Found(block, position), true, found, 1))
        events += gathered(cells, blocks, truths)
        return events
