# SPDX-License-Identifier: Apache-2.0
"""Make: one changed model, with all that is known of it: nearness, verdict, size and time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.lab import LabError
from gateway.lab.answers import prediction_of
from gateway.lab.gate import Answers, Verdict, judge
from gateway.lab.quantize.cpu import Cpu, this_cpu
from gateway.lab.quantize.figures import Closeness, answers_of, closeness
from gateway.lab.quantize.recipe import CALIBRATED, Recipe, multipliers, prepare, write
from gateway.lab.quantize.rows import Rows
from gateway.lab.quantize.sensitivity import Noise, Workshop, mixed, noises
from gateway.lab.quantize.session import Session, timed

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.lab.answers import Prediction
    from gateway.lab.quantize.source import Source
    from gateway.wire.tensor import Array

# Of the JSON; it grows when a reader of the old one would misread the new one.
SCHEMA_VERSION: Final = 1
# Rows that are timed at most: time a row does not depend on how many there are.
_TIMED: Final = 256


class Quantised(msgspec.Struct, frozen=True, kw_only=True):
    """A model *model* in another precision. Sizes are bytes of the file, times seconds a row.

    *closeness* and *verdict* are null without data. *noises* ranks operators of a mixed model by
    what each brings alone; *in_float* of all *multipliers* operators kept their floats.
    """

    schema_version: int = SCHEMA_VERSION
    model: str
    recipe: Recipe
    cpu: str
    multipliers: int
    bytes_before: int
    bytes_after: int
    seconds_before: float | None = None
    seconds_after: float | None = None
    calibrated: int = 0
    closeness: Closeness | None = None
    verdict: Verdict | None = None
    noises: list[Noise] = []
    notes: list[str] = []

    @property
    def speed(self) -> float | None:
        """How many times as quick it is."""
        if self.seconds_before is None or not self.seconds_after:
            return None
        return self.seconds_before / self.seconds_after

    def json(self) -> bytes:
        """This as an indented JSON object."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


@dataclass(slots=True)
class Bench:
    """A *source* model beside which changed ones are made and held, all files in *directory*.

    *rows* are None where there is no data. *output* and *scores* name outputs as in `evaluate`.
    """

    source: Source
    directory: Path
    rows: Rows | None
    session: Session
    cpu: Cpu
    output: str | None = None
    scores: str | None = None
    prepared: Path | None = None
    original: dict[str, Array] | None = None

    @classmethod
    def of(
        cls, source: Source, directory: Path, *, rows: Rows | None, session: Session | None = None,
        output: str | None = None, scores: str | None = None,
    ) -> Bench:  # fmt: skip
        """With the processor of this machine."""
        return cls(source, directory, rows, session or Session(source.file), this_cpu(),
                   output, scores)  # fmt: skip

    def make(
        self, recipe: Recipe, to: Path, *, margin: float, alpha: float = 0.05, time: bool = True,
        done: Callable[[int, int], None] | None = None,
    ) -> Quantised:  # fmt: skip
        """Write the model by *recipe* to the file *to*, and say what it is worth.

        *margin* and *alpha* are the gate's; *time*: time both; *done* hears of progress of the
        search for sensitive operators. Raises LabError.
        """
        why = self.source.why_not(recipe.precision)
        if why is not None:
            raise LabError(f"{self.source.file}: {why}")
        if recipe.precision in CALIBRATED and self.rows is None:
            raise LabError(
                f"precision {recipe.precision} is calibrated by rows; give --data FILE.npz"
            )
        if self.prepared is None:
            self.prepared = prepare(self.source, self.directory)
        notes = self._notes(recipe)
        if self.cpu.reduce_range and recipe.precision.startswith("int8"):
            recipe = msgspec.structs.replace(recipe, reduce_range=True)
        ranked: list[Noise] = []
        rows = self.rows
        if recipe.precision == "int8-mixed" and rows is not None:
            shop = Workshop(self.directory, self.prepared, rows.dataset, rows.calibrate,
                            self._prediction(rows))  # fmt: skip
            ranked = noises(shop, recipe, done)
            recipe, _ = mixed(shop, recipe, ranked)
        write(
            recipe, self.prepared, to,
            dataset=None if rows is None else rows.dataset,
            places=None if rows is None else rows.calibrate,
        )  # fmt: skip
        total = len(multipliers(self.prepared))
        if total and len(recipe.in_float) >= total:
            notes.append("every operator stays in floats: nothing was quantised")
        made = Quantised(
            model=self.source.name, recipe=recipe, cpu=self.cpu.name, multipliers=total,
            bytes_before=self.source.bytes, bytes_after=to.stat().st_size, noises=ranked,
            notes=notes, calibrated=0 if rows is None else len(rows.calibrate),
        )  # fmt: skip
        return made if rows is None else self._held(made, to, rows, margin, alpha, time=time)

    def _held(
        self, made: Quantised, to: Path, rows: Rows, margin: float, alpha: float, *, time: bool
    ) -> Quantised:
        """*made* beside the original, on the rows that judge."""
        changed = Session(to)
        prediction = self._prediction(rows)
        if self.original is None:
            self.original = self.session.answers(rows.dataset, rows.judge)
        after = changed.answers(rows.dataset, rows.judge)
        first, second = answers_of(self.original, prediction), answers_of(after, prediction)
        found: dict[str, object] = {
            "closeness": closeness(self.original, after, first, second),
            "verdict": self._judged(first, second, rows, margin, alpha),
        }
        if time:
            before, now = timed([self.session, changed], rows.dataset, rows.judge[:_TIMED])
            found |= {"seconds_before": before, "seconds_after": now}
        return msgspec.structs.replace(made, **found)

    @staticmethod
    def _judged(
        first: Answers, second: Answers, rows: Rows, margin: float, alpha: float
    ) -> Verdict:  # fmt: skip
        return judge(first, second, rows.labels, rows.dataset.task, margin=margin, alpha=alpha)

    def _prediction(self, rows: Rows) -> Prediction:
        return prediction_of(
            self.session.outputs, self.output, bare=rows.dataset.bare,
            task=rows.dataset.task, scores=self.scores,
        )  # fmt: skip

    def _notes(self, recipe: Recipe) -> list[str]:
        notes = []
        if recipe.precision == "fp16" and not self.cpu.halves:
            notes.append(
                f"{self.cpu.name} has no arithmetic on halves: fp16 saves bytes on disk, not time"
            )
        if recipe.precision.startswith("int8") and self.cpu.reduce_range:
            notes.append(
                f"{self.cpu.name} has no VNNI: weights have seven bits, so that no sum overflows"
            )
        if recipe.precision == "int8-dynamic":
            notes.append(
                "dynamic ranges are those of the whole batch: a row's answer depends a little on "
                "its company, and the cache does not look up single rows"
            )
        kept = self.source.kinds.get("Conv", 0)
        if recipe.precision == "int8-dynamic" and kept:
            notes.append(f"{kept} convolutions stay in floats: int8-static quantises them too")
        return notes
