# SPDX-License-Identifier: Apache-2.0
"""Sensitivity: which operators lose most in bytes, and which of them stay in floats.

Each group of operators is quantised alone, and the noise that it brings to the outputs is measured
on the rows that calibrate. The noisiest are kept in floats until the outputs are near enough; how
good the result is, other rows judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.lab.quantize.figures import Closeness, answers_of, closeness
from gateway.lab.quantize.recipe import Recipe, multipliers, write
from gateway.lab.quantize.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.lab.answers import Prediction
    from gateway.lab.dataset import Dataset
    from gateway.wire.tensor import Array

# Groups are tried one by one: a model of more operators has larger groups, of neighbours.
MOST_GROUPS: Final = 24
# Enough for a mixed model: every calibrating row keeps its prediction, and the noise is a hundredth
# of the power of the outputs.
ENOUGH_DB: Final = 20.0
# Beyond this share in floats nothing much is gained by the rest.
MOST_IN_FLOAT: Final = 0.5


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """What a group of operators, quantised alone, does to the outputs."""

    operators: tuple[str, ...]
    sqnr_db: float
    agreement: float


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where models are tried: a *directory* for files, the *prepared* model, and rows to try on."""

    directory: Path
    prepared: Path
    dataset: Dataset
    places: Array
    prediction: Prediction

    @property
    def ranges(self) -> Path:
        """What calibration found; it is the same for every choice of operators."""
        return self.directory / "ranges.json"

    def near(self, recipe: Recipe, only: tuple[str, ...] | None = None) -> Closeness:
        """How near a model by *recipe* is to the prepared one on the calibrating rows."""
        file = self.directory / "trial.onnx"
        write(recipe, self.prepared, file, dataset=self.dataset, places=self.places,
              ranges_file=self.ranges, only=only)  # fmt: skip
        before = Session(self.prepared).answers(self.dataset, self.places)
        after = Session(file).answers(self.dataset, self.places)
        first, second = answers_of(before, self.prediction), answers_of(after, self.prediction)
        return closeness(before, after, first, second)


def noises(
    shop: Workshop, recipe: Recipe, done: Callable[[int, int], None] | None = None
) -> list[Noise]:
    """Every group by the noise it brings, the noisiest first; *done* hears of progress."""
    names = [name for name, _ in multipliers(shop.prepared)]
    size = ceil(len(names) / MOST_GROUPS) if names else 1
    groups = [tuple(names[start : start + size]) for start in range(0, len(names), size)]
    found = []
    for place, group in enumerate(groups):
        near = shop.near(recipe, only=group)
        found.append(Noise(operators=group, sqnr_db=near.sqnr_db, agreement=near.agreement))
        if done is not None:
            done(place + 1, len(groups))
    return sorted(found, key=lambda one: one.sqnr_db)


def mixed(shop: Workshop, recipe: Recipe, ranked: list[Noise]) -> tuple[Recipe, Closeness]:
    """*recipe* with the fewest of the noisiest groups in floats that is near enough.

    With half of them in floats and still not near enough, that one.
    """
    most = max(1, int(len(ranked) * MOST_IN_FLOAT))
    kept = 0
    while True:
        names = tuple(name for one in ranked[:kept] for name in one.operators)
        chosen = msgspec.structs.replace(recipe, in_float=names)
        near = shop.near(chosen)
        if (near.sqnr_db >= ENOUGH_DB and near.agreement == 1) or kept >= most:
            return chosen, near
        kept = min(max(1, kept * 2), most)
