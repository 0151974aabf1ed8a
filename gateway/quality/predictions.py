# SPDX-License-Identifier: Apache-2.0
"""Predictions: how they are written to the ledger in blocks, and found again by their ids.

All of it runs in the thread of the ledger, within a transaction.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from sqlalchemy import func, select, update

from gateway.quality.block import ROWS, Kind, kind, pack, part, together, unpack
from gateway.quality.keys import Ids, dense, key_of, keys_of, place_of, places_of
from gateway.quality.statements import VALUES, blocks_at, insert_many, rows_of
from gateway.quality.tables import BLOCKS, PLACES
from gateway.wire.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection

# A block with fewer rows than this is filled up when more come: with little traffic blocks would
# be many and tiny, and with much of it every block would be written several times.
_SMALL: Final = 128
# Blocks that are held in memory, the most recently used: a label mostly comes soon. With ten
# classes each takes some 30 kB, and twice that where ids are no UUIDs.
_HELD: Final = 1024
_ENDS: Final = select(func.min(BLOCKS.c.id), func.max(BLOCKS.c.id))
_DATA: Final = select(BLOCKS.c.id, BLOCKS.c.data).where(BLOCKS.c.id.in_(VALUES))


class Asked(NamedTuple):
    """What a label says of its prediction; *model* "" for any."""

    tenant: str
    id: str
    row: int
    model: str = ""


class Found(NamedTuple):
    """A prediction: its block, and its place there."""

    block: int
    position: int


class Written(NamedTuple):
    """Rows that were written: their *block*, the place of the first one there, and their keys."""

    block: int
    position: int
    samples: Samples
    keys: list[int]

    def row(self, offset: int) -> tuple[str, str, int]:
        """Tenant, id and row of the one at *offset*."""
        samples = self.samples
        tenant = samples.tenants[samples.tenant[offset]]
        return tenant, samples.ids[offset], int(samples.rows[offset])


class Held:
    """A block in memory, and where in it which id is."""

    __slots__ = ("_index", "samples")

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        # By their keys where ids are bytes, as writing them out takes longer than all else.
        self._index: dict[int | str, list[int]] | None = None

    def __repr__(self) -> str:
        return f"<Held {len(self.samples)} rows>"

    def place(self, asked: Asked, key: int) -> int | None:
        """Where it is; the newest where an id was used again."""
        samples = self.samples
        keyed = isinstance(samples.ids, Ids)
        if self._index is None:
            self._index = {}
            names = keys_of(samples.ids).tolist() if keyed else samples.ids
            for position, each in enumerate(names):
                self._index.setdefault(each, []).append(position)
        for position in reversed(self._index.get(key if keyed else asked.id, ())):
            if (
                samples.rows[position] == asked.row
                and samples.ids[position] == asked.id
                and samples.tenants[samples.tenant[position]] == asked.tenant
            ):
                return position
        return None


class Predictions:
    """The blocks of one ledger."""

    def __init__(self) -> None:
        self._first = 1
        self._last = 0
        # The blocks that may be filled up, by what their rows have in common.
        self._open: dict[Kind, int] = {}
        self._held: OrderedDict[int, Held] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Predictions last={self._last} held={len(self._held)}>"

    @property
    def last(self) -> int:
        """The number of the newest block."""
        return self._last

    def read(self, connection: Connection) -> None:
        """Begin with what is in the database."""
        first, last = connection.execute(_ENDS).one()
        self._first, self._last = first or 1, last or 0
        self._open.clear()
        self._held.clear()

    def add(self, connection: Connection, samples: Samples) -> list[Written]:
        """Write *samples*."""
        samples = replace(samples, ids=cast("list[str]", dense(samples.ids)))
        group = kind(samples)
        written = []
        start, count = 0, len(samples)
        keys = keys_of(samples.ids).tolist()
        blocks: list[tuple[Any, ...]] = []
        places: set[tuple[int, int]] = set()
        while start < count:
            number = self._open.get(group)
            held = None if number is None else self._block(connection, number)
            room = ROWS if held is None else ROWS - len(held.samples)
            rows = part(samples, slice(start, start + room))
            end = start + len(rows)
            if number is None or held is None:
                self._last = number = self._last + 1
                position, block = 0, rows
                blocks.append((
                    number, rows.model, rows.name, rows.digest, rows.role,
                    float(rows.times.max()), len(rows), pack(rows),
                ))  # fmt: skip
            else:
                position, block = len(held.samples), together([held.samples, rows])
                connection.execute(
                    update(BLOCKS)
                    .where(BLOCKS.c.id == number)
                    .values(last=float(block.times.max()), rows=len(block), data=pack(block))
                )
            self._hold(number, Held(block))
            if len(block) < _SMALL:
                self._open[group] = number
            else:
                self._open.pop(group, None)
            places.update((place_of(key, number), number) for key in keys[start:end])
            written.append(Written(number, position, rows, keys[start:end]))
            start = end
        insert_many(connection, BLOCKS, blocks)
        # In order, as the tree that they go into is.
        insert_many(connection, PLACES, sorted(places))
        return written

    def find(self, connection: Connection, asked: Iterable[Asked]) -> dict[Asked, list[Found]]:
        """Where each of *asked* is: the newest of each model, file's model and role.

        Those that are nowhere are left out.
        """
        keys = {each: key_of(each.id) for each in asked}
        blocks = self._blocks_of(connection, set(keys.values()))
        self._load(connection, {each for several in blocks.values() for each in several})
        found: dict[Asked, list[Found]] = {}
        for each, key in keys.items():
            several = blocks.get(key, ())
            places = [
                Found(block, position)
                for block in (several if len(several) < 2 else sorted(several))
                if (position := self._place(block, each, key)) is not None
            ]
            if len(places) > 1:
                # The last of each kind is the newest.
                places = list({self._kind(place): place for place in places}.values())
            if places:
                found[each] = places
        return found

    def _blocks_of(self, connection: Connection, keys: set[int]) -> dict[int, list[int]]:
        """The blocks that each of *keys* is in, by its key."""
        places: dict[int, list[int]] = {}
        for key in keys:
            for place in places_of(key, self._first, self._last):
                places.setdefault(place, []).append(key)
        blocks: dict[int, list[int]] = {}
        for place, block in blocks_at(connection, places):
            for key in places[place]:
                blocks.setdefault(key, []).append(block)
        return blocks

    def _place(self, block: int, asked: Asked, key: int) -> int | None:
        held = self._held.get(block)
        if held is None or (asked.model and held.samples.model != asked.model):
            return None
        return held.place(asked, key)

    def _kind(self, place: Found) -> tuple[str, str, str]:
        samples = self._held[place.block].samples
        return samples.model, samples.name, samples.role

    def blocks_of(self, connection: Connection, id_: str) -> list[int]:
        """The blocks that *id_* may be in."""
        key = key_of(id_)
        return self._blocks_of(connection, {key}).get(key, [])

    def block(self, number: int) -> Samples:
        """A block that `find` has just found something in."""
        return self._held[number].samples

    def blocks(self, connection: Connection, numbers: Iterable[int]) -> dict[int, Samples]:
        """The blocks of *numbers* that are there."""
        wanted = set(numbers)
        self._load(connection, wanted)
        return {each: self._held[each].samples for each in wanted if each in self._held}

    def forget(self, numbers: Iterable[int]) -> None:
        """Those blocks are gone."""
        gone = set(numbers)
        # The oldest go first.
        self._first = max(self._first, max(gone, default=0) + 1)
        for number in gone:
            self._held.pop(number, None)
        self._open = {group: each for group, each in self._open.items() if each not in gone}

    def trim(self) -> None:
        """Give up what was not used for longest; between jobs, as a job needs what it loaded."""
        while len(self._held) > _HELD:
            self._held.popitem(last=False)

    def _block(self, connection: Connection, number: int) -> Held | None:
        self._load(connection, {number})
        return self._held.get(number)

    def _load(self, connection: Connection, numbers: set[int]) -> None:
        for number in numbers & self._held.keys():
            self._held.move_to_end(number)
        for number, data in _stored(connection, numbers - self._held.keys()):
            self._hold(number, Held(unpack(data)))

    def _hold(self, number: int, held: Held) -> None:
        self._held[number] = held
        self._held.move_to_end(number)


def _stored(connection: Connection, numbers: set[int]) -> Iterator[tuple[int, bytes]]:
    for number, data in rows_of(connection, _DATA, sorted(numbers)):
        yield number, bytes(data)


def places_in(samples: Samples, block: int) -> list[int]:
    """Under which numbers the index has what is in *samples*, the content of *block*."""
    return sorted({place_of(key, block) for key in keys_of(samples.ids).tolist()})
