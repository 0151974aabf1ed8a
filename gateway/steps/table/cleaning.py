# SPDX-License-Identifier: Apache-2.0
"""Operations that clean: fill what is missing, bound what is far off, round to another type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np

from gateway.steps.step import Misfit
from gateway.steps.table.operation import Change, Elementwise, Operation, spread, upright
from gateway.steps.table.plan import Blocks, Place, Plan, Text, refuse
from gateway.wire.null import NULL_TEXT
from gateway.wire.tensor import Array

if TYPE_CHECKING:
    from gateway.steps.table.scaling import Numbers
else:
    Numbers = float | tuple[float, ...]


class Fills(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each column is filled with, and which of them had something missing."""

    values: tuple[float | str, ...]
    indicators: tuple[bool, ...]


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lowest and the highest value of each column."""

    low: tuple[float, ...]
    high: tuple[float, ...]


class Impute(Operation, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fills what is null or NaN, as SimpleImputer."""

    kind: ClassVar[str] = "impute"
    learns: ClassVar[type[msgspec.Struct] | None] = Fills

    strategy: Annotated[
        Literal["mean", "median", "most_frequent", "constant"],
        msgspec.Meta(description="What it is filled with; mean and median are of numbers."),
    ] = "mean"
    value: Annotated[
        float | str | None, msgspec.Meta(description="The value for the strategy constant.")
    ] = None
    indicator: Annotated[
        bool,
        msgspec.Meta(
            description="Whether a column of 0 and 1 is added behind the last one for each column "
            "that had something missing in training."
        ),
    ] = False

    def __post_init__(self) -> None:
        if (self.strategy == "constant") != (self.value is not None):
            raise ValueError("'value' is given with strategy constant, and only then")

    def places(self, plan: Plan) -> list[Place]:
        """Text has no mean."""
        text = None if self.strategy in {"most_frequent", "constant"} else False
        return plan.chosen(self.columns, text=text)

    def given(self, count: int) -> Fills | None:
        """The constant, where no indicator depends on data."""
        if self.value is None or self.indicator:
            return None
        return Fills((self.value,) * count, (False,) * count)

    def plan(self, plan: Plan, learnt: Any) -> None:  # noqa: ANN401 - Fills
        """Numbers are filled together, each column of text by itself."""
        places = self.places(plan)
        count = len(places)
        if len(learnt.values) != count or len(learnt.indicators) != count:
            raise Misfit(f"{len(learnt.values)} values were learnt for {count} columns")
        # Before the columns are filled: the indicators look at what was missing.
        marked = [
            place for place, had in zip(places, learnt.indicators, strict=True)
            if had and self.indicator
        ]  # fmt: skip
        for place in marked:
            plan.replace(
                [place], _indicator(plan, place), [[f"missingindicator_{place.name}"]], keep=True
            )
        numbers = [
            (place, value) for place, value in zip(places, learnt.values, strict=True)
            if not place.text
        ]  # fmt: skip
        for place, value in zip(places, learnt.values, strict=True):
            if isinstance(value, str) != place.text:
                wanted = "text" if place.text else "a number"
                raise Misfit(f"column '{place.name}' is filled with {value!r}, expected {wanted}")
            if place.text:
                plan.replace([place], _filled_text(place, str(value).encode()), text=True)
        if numbers:
            filled = [place for place, _ in numbers]
            values = upright([float(value) for _, value in numbers], len(filled), "values")
            take = plan.numbers(filled)
            plan.replace(filled, lambda blocks: _filled(take(blocks), values))


class Clip(Elementwise, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values below *min* become *min*, values above *max* become *max*; NaN stays."""

    kind: ClassVar[str] = "clip"

    min: Annotated[
        Numbers | None, msgspec.Meta(description="The lowest value, or one for each column.")
    ] = None
    max: Annotated[
        Numbers | None, msgspec.Meta(description="The highest value, or one for each column.")
    ] = None

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ValueError("clip needs 'min', 'max' or both")

    def change(self, places: Sequence[Place], learnt: Any) -> Change:  # noqa: ANN401, ARG002
        """One or two comparisons."""
        count = len(places)
        low = None if self.min is None else upright(spread(self.min, count), count, "min")
        high = None if self.max is None else upright(spread(self.max, count), count, "max")
        return lambda values: np.clip(values, low, high)


class Winsorize(Elementwise, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values beyond two quantiles of the training data become those; NaN stays."""

    kind: ClassVar[str] = "winsorize"
    learns: ClassVar[type[msgspec.Struct] | None] = Bounds

    lower: Annotated[
        float, msgspec.Meta(ge=0, le=1, description="The low quantile, from 0 to 1.")
    ] = 0.01
    upper: Annotated[
        float, msgspec.Meta(ge=0, le=1, description="The high quantile, from 0 to 1.")
    ] = 0.99

    def __post_init__(self) -> None:
        if self.lower >= self.upper:
            raise ValueError("'lower' must be below 'upper'")

    def change(self, places: Sequence[Place], learnt: Any) -> Change:  # noqa: ANN401 - Bounds
        """Two comparisons."""
        low = upright(learnt.low, len(places), "low")
        high = upright(learnt.high, len(places), "high")
        return lambda values: np.clip(values, low, high)


class Cast(Elementwise, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rounds to what another datatype holds: floats to the nearest, whole numbers towards 0.

    Integers are checked for their range. BOOL is whether the value is another one than 0.
    """

    kind: ClassVar[str] = "cast"

    to: Annotated[
        Literal["FP16", "FP32", "INT8", "INT16", "INT32", "INT64", "BOOL"],
        msgspec.Meta(description="The datatype whose values it may have then."),
    ]

    def change(self, places: Sequence[Place], learnt: Any) -> Change:  # noqa: ANN401, ARG002
        """There and back again, since all numbers of a table are float64."""
        if self.to == "BOOL":
            return _keeping_nan(lambda values: (values != 0).astype(np.float64))
        if self.to in {"FP16", "FP32"}:
            dtype = np.float16 if self.to == "FP16" else np.float32
            return lambda values: values.astype(dtype).astype(np.float64)
        limits = np.iinfo(self.to.lower())
        # The first whole number above, which float64 has exactly where it has not the highest.
        low, high = float(limits.min), float(limits.max + 1)
        names = [place.name for place in places]

        def whole(values: Array) -> Array:
            made: Array = np.trunc(values)
            outside = (made < low) | (made >= high)
            if outside.any():
                raise refuse(outside, values, names, f"expected what {self.to} can hold")
            return made

        return whole


def _filled(values: Array, fills: Array) -> Array:
    missing = np.isnan(values)
    if not missing.any():
        return values
    filled: Array = np.where(missing, fills, values)
    return filled


def _filled_text(place: Place, fill: bytes) -> Callable[[Blocks], Text]:
    def fill_in(blocks: Blocks) -> Text:
        values: Text = blocks[place.block]
        if NULL_TEXT not in values:
            return values
        return [fill if value == NULL_TEXT else value for value in values]

    return fill_in


def _indicator(plan: Plan, place: Place) -> Callable[[Blocks], Array]:
    if place.text:
        return lambda blocks: np.array(
            [[value == NULL_TEXT for value in blocks[place.block]]], np.float64
        )
    take = plan.numbers([place])
    return lambda blocks: np.isnan(take(blocks)).astype(np.float64)


def _keeping_nan(change: Change) -> Change:
    def kept(values: Array) -> Array:
        missing = np.isnan(values)
        made = change(values)
        if missing.any():
            made[missing] = np.nan
        return made

    return kept
