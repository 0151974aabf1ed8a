# SPDX-License-Identifier: Apache-2.0
"""Golden answers: those of the first run of a model file, and what has changed since.

A row has flipped where its verdict is another one: another class, text, whole number. It has moved
where the verdict is the same and a number behind it is not. Neither counts within the noise of
floats: what the same endpoint gives for the same row in other company, which is measured, and
some units of the last place. Where the two highest scores are as near as that, the verdict is a
matter of chance, and its change no flip.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from gateway.wire.tensor import Tensor, numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.wire.tensor import Array

FLOATS: Final = frozenset({"FP16", "BF16", "FP32", "FP64"})
# Units of the last place that runs may differ by, relative to the largest value of a row: sums of
# thousands of terms in another order differ by some tens of them.
_PLACES: Final = 64.0
_UNIT: Final = {"FP16": 2.0**-10, "BF16": 2.0**-7, "FP32": 2.0**-23, "FP64": 2.0**-52}
# The noise that was measured is the largest of some hundreds of rows, not of all that will come.
_BEYOND: Final = 4.0
_SHOWN: Final = 10


@dataclass(slots=True, eq=False)
class Golden:
    """What a model file with *digest* answered at first, at the time *at*.

    *outputs* are the tensors of all rows. *noise* is, by output, how far two answers to one row
    were apart. *ties* are rows whose verdict is a matter of chance.
    """

    digest: str
    at: float
    outputs: tuple[Tensor, ...]
    noise: dict[str, float] = field(default_factory=dict)
    ties: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.outputs[0].rows if self.outputs else 0

    def pack(self) -> bytes:
        """All of it, to be kept."""
        tensors = [(t.name, t.datatype, t.shape, bytes(t.data)) for t in self.outputs]
        return msgspec.msgpack.encode((self.digest, self.at, tensors, self.noise, self.ties))

    @classmethod
    def unpack(cls, packed: bytes) -> Golden:
        """What `pack` gave; raises ValueError for anything else."""
        try:
            digest, at, tensors, noise, ties = msgspec.msgpack.decode(packed)
            outputs = tuple(
                [
                    Tensor(name, datatype, tuple(shape), data)
                    for name, datatype, shape, data in tensors
                ]
            )
        except (msgspec.DecodeError, TypeError, ValueError) as error:
            raise ValueError(f"no golden answers: {error}") from None
        return cls(digest, at, outputs, noise, tuple(ties))


class Change(msgspec.Struct, frozen=True):
    """What is different from golden answers of *rows* rows.

    *flipped* and *moved* count rows, *first* are the first that flipped or, where none has, that
    moved. *largest* is the greatest distance of a number; null where there are none. *fault* says
    what cannot be compared at all, "" where all can.
    """

    rows: int
    flipped: int = 0
    moved: int = 0
    first: tuple[int, ...] = ()
    largest: float | None = None
    fault: str = ""

    @property
    def same(self) -> bool:
        """Nothing is different."""
        return not (self.flipped or self.moved or self.fault)

    @property
    def wrong(self) -> bool:
        """A verdict is different."""
        return bool(self.flipped or self.fault)


def golden_of(
    digest: str,
    at: float,
    outputs: Sequence[Tensor],
    again: Sequence[Tensor] = (),
    *,
    ties: Sequence[int] = (),
) -> Golden:
    """Golden answers from *outputs*, and those that the same rows got *again*, asked otherwise.

    *ties* are known already. Rows whose verdicts differ between the two are ties too: where these
    are many, the model is not deterministic.
    """
    golden = Golden(digest, at, tuple([tensor.owned() for tensor in outputs]))
    other = {tensor.name: tensor for tensor in again}
    for tensor in golden.outputs:
        twin = other.get(tensor.name)
        if twin is not None and twin.shape == tensor.shape and tensor.datatype in FLOATS:
            gap = _gap(_plain(tensor), _plain(twin))
            finite = gap[np.isfinite(gap)]
            golden.noise[tensor.name] = float(finite.max()) if finite.size else 0.0
    chance = _differing(golden, other)
    for tensor in golden.outputs:
        if _is_scores(tensor):
            chance |= _near(_plain(tensor), _tolerance(golden, tensor))
    golden.ties = tuple(sorted({*ties, *np.flatnonzero(chance).tolist()}))
    return golden


def compare(golden: Golden, outputs: Sequence[Tensor]) -> Change:
    """What is different in *outputs*, which are answers to the same rows."""
    found = {tensor.name: tensor for tensor in outputs}
    if fault := _unlike(golden, found):
        return Change(golden.rows, fault=fault)
    flipped, moved, largest = _changed(golden, found)
    first = np.flatnonzero(flipped if flipped.any() else moved)[:_SHOWN].tolist()
    shown = None if largest is None or not np.isfinite(largest) else largest
    return Change(golden.rows, int(flipped.sum()), int(moved.sum()), tuple(first), shown)


def changed_rows(golden: Golden, outputs: Sequence[Tensor]) -> list[int]:
    """The rows of *outputs* that flipped or moved; none where nothing compares."""
    found = {tensor.name: tensor for tensor in outputs}
    if _unlike(golden, found):
        return []
    flipped, moved, _ = _changed(golden, found)
    rows: list[int] = np.flatnonzero(flipped | moved).tolist()
    return rows


def _changed(golden: Golden, found: Mapping[str, Tensor]) -> tuple[Array, Array, float | None]:
    """Rows that flipped, rows that only moved, both [rows] bool, and the greatest distance."""
    rows = golden.rows
    flipped, moved, ties = (np.zeros(rows, dtype=bool) for _ in range(3))
    largest: float | None = None
    verdicts = False
    for tensor in golden.outputs:
        one, two = _plain(tensor), _plain(found[tensor.name])
        if tensor.datatype not in FLOATS:
            verdicts = True
            flipped |= (one != two).any(axis=1)
            continue
        gap = _gap(one, two)
        if gap.size:
            largest = max(largest or 0.0, float(gap.max()))
        far = (gap > _tolerance(golden, tensor)[:, None]).any(axis=1)
        if _is_scores(tensor):
            verdicts = True
            flipped |= far & (_highest(one) != _highest(two))
        moved |= far
    if verdicts:
        ties[[row for row in golden.ties if row < rows]] = True
        # A verdict by chance may fall otherwise, unless numbers are off with it.
        flipped &= moved | ~ties
    else:
        # Numbers are all that there is.
        flipped = moved.copy()
    return flipped, moved & ~flipped, largest


def _unlike(golden: Golden, found: Mapping[str, Tensor]) -> str:
    """Why nothing can be compared, "" where all can."""
    for tensor in golden.outputs:
        other = found.get(tensor.name)
        if other is None:
            return f"there is no output '{tensor.name}' any more"
        if (other.datatype, other.shape) != (tensor.datatype, tensor.shape):
            return (
                f"output '{tensor.name}' is {other.datatype}{list(other.shape)} now, not "
                f"{tensor.datatype}{list(tensor.shape)}"
            )
    return ""


def _differing(golden: Golden, other: Mapping[str, Tensor]) -> Array:
    """Rows whose verdicts differ in *other*, [rows] bool."""
    differing = np.zeros(golden.rows, dtype=bool)
    for tensor in golden.outputs:
        twin = other.get(tensor.name)
        if twin is None or twin.shape != tensor.shape:
            continue
        one, two = _plain(tensor), _plain(twin)
        if tensor.datatype not in FLOATS:
            differing |= (one != two).any(axis=1)
        elif _is_scores(tensor):
            differing |= _highest(one) != _highest(two)
    return differing


def _is_scores(tensor: Tensor) -> bool:
    return tensor.datatype in FLOATS and len(tensor.shape) == 2 and tensor.shape[1] > 1


def _plain(tensor: Tensor) -> Any:  # noqa: ANN401 - float64, or what it is
    array = numbers(tensor).reshape(tensor.rows, -1)
    return array.astype(np.float64) if tensor.datatype in FLOATS else array


def _highest(scores: Array) -> Array:
    return np.asarray(np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1))


def _gap(one: Array, two: Array) -> Array:
    """Distances of numbers; what is not a number in both is the same, in one is infinitely far."""
    with np.errstate(invalid="ignore"):
        gap = np.abs(one - two)
    same = (one == two) | (np.isnan(one) & np.isnan(two))
    return np.asarray(np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap)))


def _tolerance(golden: Golden, tensor: Tensor) -> Array:
    """How far a number of each row may be off, [rows]."""
    values = np.abs(_plain(tensor))
    values = np.where(np.isfinite(values), values, 0.0)
    size = values.max(axis=1) if values.shape[1] else np.zeros(tensor.rows)
    places = _PLACES * _UNIT[tensor.datatype] * np.maximum(size, 1.0)
    return np.asarray(np.maximum(places, _BEYOND * golden.noise.get(tensor.name, 0.0)))


def _near(scores: Array, tolerance: Array) -> Array:
    """Rows whose two highest *scores* are nearer than both may be off, [rows] bool."""
    ordered = np.partition(np.where(np.isnan(scores), -np.inf, scores), -2, axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(ordered[:, -1] - ordered[:, -2] <= 2 * tolerance)
