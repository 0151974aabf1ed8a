# SPDX-License-Identifier: Apache-2.0
"""Recorder: the notes of one model, until they are read and handed over as samples."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from gateway.sampling.columns import distance, groups, read, samples
from gateway.wire.samples import Lost, Samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.sampling.columns import Form, Group
    from gateway.sampling.note import Note, Pair
    from gateway.sampling.reading import Read, Reader
    from gateway.sampling.slices import Slices
    from gateway.sampling.target import Witness
    from gateway.telemetry import Telemetry
    from gateway.wire.samples import Role

log: Final = logging.getLogger(__name__)

# Rows that may wait to be read: a tenth of a second of the quickest model takes some thousands.
MOST_ROWS: Final = 65_536
# Pairs of each shadow that may wait; the mirror's own bounds keep them below that by far.
MOST_PAIRS: Final = 16_384
# Bytes of answers that may wait with them, for models whose answers are large.
MOST_BYTES: Final = 64 << 20
# Rows that are read in one turn of the event loop: about a millisecond of ten classes.
AT_ONCE: Final = 4096
# An id that is longer is a text and no id; the header X-Inference-Id carries none of those either.
LONGEST_ID: Final = 256


class Batch(NamedTuple):
    """Notes of one model file that were read together, and what they say."""

    notes: list[Note]
    places: list[int]
    digest: str
    version: str
    read: Read


class Recorder:
    """Takes the notes of *model*, and makes samples of them by *reader*.

    *slices* are the combinations that notes refer to. What is lost is counted by reason.
    """

    def __init__(
        self, model: str, *, reader: Reader | None, slices: Slices, telemetry: Telemetry
    ) -> None:
        self.model = model
        self.reader = reader
        self.slices = slices
        # Whoever notes an answer appends to it and adds to the numbers, while they are in bounds.
        self.notes: list[Note] = []
        self.rows = 0
        self.bytes = 0
        self._pairs: dict[Witness, list[Pair]] = {}
        self._lost: dict[str, int] = {}
        self._warned: set[str] = set()
        self._telemetry = telemetry

    def __repr__(self) -> str:
        return f"<Recorder {self.model} {len(self.notes)} notes, lost {self._lost}>"

    def __bool__(self) -> bool:
        return bool(self.notes or self._pairs or self._lost)

    @property
    def pairs(self) -> int:
        """Pairs that nobody has taken."""
        return sum(map(len, self._pairs.values()))

    def put(self, note: Note) -> None:
        """Keep *note* until it is read, or count it as lost."""
        if len(note.id) > LONGEST_ID:
            self.lose("long_id", note.rows)
            return
        size = note.size if note.row < 0 else 0
        if self.rows >= MOST_ROWS or self.bytes + size > MOST_BYTES:
            self.lose("queue", note.rows)
            return
        self.rows += note.rows
        self.bytes += size
        self.notes.append(note)

    def put_pair(self, witness: Witness, pair: Pair) -> None:
        """Keep what a shadow said beside what the model said, or count it as lost."""
        pairs = self._pairs.setdefault(witness, [])
        if len(pairs) < MOST_PAIRS:
            pairs.append(pair)
        else:
            self.lose("queue", pair.shadow.rows)

    def lose(self, reason: str, rows: int) -> None:
        """Count *rows* that are not handed over."""
        self._lost[reason] = self._lost.get(reason, 0) + rows
        self._telemetry.sampling.samples_lost.cell(self.model, reason).value += rows

    def take(self, most: int) -> list[Samples]:
        """Samples of up to *most* notes, the oldest first.

        Of fewer where they have many rows: at most `AT_ONCE` and those of one note.
        """
        notes = self.notes[:most]
        rows = sum([note.rows for note in notes])
        if rows > AT_ONCE:
            ends = np.cumsum([note.rows for note in notes])
            notes = notes[: int(np.searchsorted(ends, AT_ONCE)) + 1]
            rows = int(ends[len(notes) - 1])
        del self.notes[: len(notes)]
        self.rows -= rows
        if self.bytes:
            self.bytes -= sum([note.size for note in notes])
        made = []
        reader = self.reader
        if notes and reader is not None:
            for (role, name), each in self._by_role(notes).items():
                made += [
                    self._samples(batch, role, name=name) for batch in self.batches(each, reader)
                ]
        return made

    def take_pairs(self, most: int) -> list[Samples]:
        """Samples of up to *most* pairs of each shadow, the oldest first."""
        made = []
        for witness in list(self._pairs):
            pairs = self._pairs.pop(witness)
            if len(pairs) > most:
                self._pairs[witness] = pairs[most:]
            made += self._paired(witness, pairs[:most])
        return made

    def take_lost(self) -> Lost | None:
        """What was lost since the last time; None where nothing was."""
        if not self._lost:
            return None
        lost, self._lost = self._lost, {}
        return Lost(self.model, lost)

    def _by_role(self, notes: list[Note]) -> dict[tuple[Role, str], list[Note]]:
        """*notes* by what who has answered was, and who that was."""
        if not any(note.stand_in or note.probe for note in notes):
            return {("live", self.model): notes}
        roles: dict[tuple[Role, str], list[Note]] = {}
        for note in notes:
            role: tuple[Role, str] = ("probe" if note.probe else "live", self.model)
            if note.stand_in:
                role = ("candidate", note.stand_in)
            roles.setdefault(role, []).append(note)
        return roles

    def return_lost(self, lost: Lost) -> None:
        """*lost* could not be told yet."""
        for reason, rows in lost.counts.items():
            self._lost[reason] = self._lost.get(reason, 0) + rows

    def batches(self, notes: Sequence[Note], reader: Reader, *, counts: bool = True) -> list[Batch]:
        """*notes* that are alike, read together; those that cannot be are lost, and it *counts*."""
        found = []
        for (digest, version, form), group in groups(notes, bare=reader.bare).items():
            rows = sum([note.rows for note in group.notes])
            said, reason = self._read(reader, form, group, rows)
            if said is not None:
                found.append(
                    Batch(group.notes, group.places, digest, version or reader.version, said)
                )
            elif counts:
                self.lose(reason, rows)
        return found

    def _read(self, reader: Reader, form: Form, group: Group, rows: int) -> tuple[Read | None, str]:
        """What *group* says, or None and why."""
        try:
            said = read(reader, form, group, rows)
        except ValueError as error:
            self._warn("unreadable", f"answers cannot be read: {error}")
            return None, "unreadable"
        if said is None:
            # The client asked for other outputs, or the model is not known yet.
            return None, "not_asked"
        if said.predicted.dtype == np.float64 and not np.isfinite(said.predicted).all():
            self._warn("not_finite", "answers are no finite numbers")
            return None, "not_finite"
        return said, ""

    def _warn(self, reason: str, what: str) -> None:
        """Say it once: what follows is counted."""
        if reason not in self._warned:
            self._warned.add(reason)
            log.warning("model %s: %s; such predictions are not kept", self.model, what)

    def _samples(self, batch: Batch, role: Role, *, name: str) -> Samples:
        return samples(
            batch.notes,
            batch.read,
            model=self.model,
            name=name,
            role=role,
            digest=batch.digest,
            version=batch.version,
            slices=self.slices.listed,
        )

    def _paired(self, witness: Witness, pairs: list[Pair]) -> list[Samples]:
        """Samples of a shadow, with what the model said to the same questions."""
        if self.reader is None:
            return []
        made = []
        for live in self.batches([pair.live for pair in pairs], self.reader, counts=False):
            beside = [pairs[place].shadow for place in live.places]
            for batch in self.batches(beside, witness.reader):
                found = self._beside(witness.name, live, batch)
                if found.live is not None and found.live.dtype == np.int32:
                    witness.learn(found.live, found.predicted)
                made.append(found)
        return made

    def _beside(self, shadow: str, live: Batch, batch: Batch) -> Samples:
        """*batch* of *shadow*, whose notes are some of those of *live*."""
        said = live.read
        if len(batch.notes) != len(live.notes):
            ends = np.cumsum([note.rows for note in live.notes])
            rows = np.concatenate([
                np.arange(ends[place] - live.notes[place].rows, ends[place])
                for place in batch.places
            ])  # fmt: skip
            said = said.of(rows)
        found = self._samples(batch, "shadow", name=shadow)
        found.live = said.predicted
        found.live_digest = live.digest
        found.distance = distance(said, batch.read)
        return found
