# SPDX-License-Identifier: Apache-2.0
"""Operations that derive columns: bins, products, parts of dates, angles of cycles, copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import chain, combinations, combinations_with_replacement
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
import numpy as np

from gateway.errors import InvalidRequest
from gateway.steps.step import Misfit
from gateway.steps.table.operation import Operation, spread, upright
from gateway.steps.table.plan import MAX_COLUMNS, Blocks, Place, Plan, refuse
from gateway.wire.cell import refusal
from gateway.wire.null import NULL_TEXT
from gateway.wire.tensor import Array


class Edges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one bin ends and the next begins, for each column; the outermost are open."""

    edges: tuple[tuple[float, ...], ...]


class Bucketize(Operation, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The number of the bin that a value falls in, as KBinsDiscretizer; refuses NaN."""

    kind: ClassVar[str] = "bucketize"
    learns: ClassVar[type[msgspec.Struct] | None] = Edges

    bins: Annotated[int, msgspec.Meta(ge=2, le=10_000, description="How many are learnt.")] = 5
    strategy: Annotated[
        Literal["quantile", "uniform", "kmeans"],
        msgspec.Meta(description="Bins of equally many rows, of equal width, or around clusters."),
    ] = "quantile"
    encode: Annotated[
        Literal["ordinal", "one_hot"],
        msgspec.Meta(description="The bin's number, or a column of 0 and 1 for each bin."),
    ] = "ordinal"
    edges: Annotated[
        tuple[float, ...],
        msgspec.Meta(
            description="Where bins meet, rising, the same for all columns, in place of learnt "
            "ones; a value on an edge is in the upper bin."
        ),
    ] = ()

    def given(self, count: int) -> Edges | None:
        """*edges*."""
        return Edges((self.edges,) * count) if self.edges else None

    def plan(self, plan: Plan, learnt: Any) -> None:  # noqa: ANN401 - Edges
        """A binary search for each value."""
        places = self.places(plan)
        names = [place.name for place in places]
        if len(learnt.edges) != len(places):
            raise Misfit(f"edges of {len(learnt.edges)} columns for {len(places)} columns")
        edges = [np.array(each, np.float64) for each in learnt.edges]
        if any((np.diff(each) < 0).any() for each in edges):
            raise Misfit("edges must rise")
        take = plan.numbers(places)

        def numbered(blocks: Blocks) -> Array:
            values = take(blocks)
            missing = np.isnan(values)
            if missing.any():
                raise refuse(missing, values, names, "expected a number; impute it before")
            made = np.empty_like(values)
            for row, each in enumerate(edges):
                made[row] = each.searchsorted(values[row], side="right")
            return made

        if self.encode == "ordinal":
            plan.replace(places, numbered)
            return
        heights = [len(each) + 1 for each in edges]
        starts = np.concatenate([[0], np.cumsum(heights)[:-1]]).reshape(-1, 1)

        def one_hot(blocks: Blocks) -> Array:
            rows = (numbered(blocks) + starts).astype(np.intp)
            encoded = np.zeros((sum(heights), rows.shape[1]))
            encoded[rows, np.arange(rows.shape[1])] = 1.0
            return encoded

        made = [
            [f"{name}_{float(at)}" for at in range(height)]
            for name, height in zip(names, heights, strict=True)
        ]
        plan.replace(places, one_hot, made)


class Polynomial(Operation, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All products of the columns up to a degree, in the order of PolynomialFeatures."""

    kind: ClassVar[str] = "polynomial"

    degree: Annotated[int, msgspec.Meta(ge=1, le=8, description="Factors of a product at most.")]
    interaction_only: Annotated[
        bool, msgspec.Meta(description="Whether a column is a factor once at most.")
    ] = False
    include_bias: Annotated[
        bool, msgspec.Meta(description="Whether a column of ones comes first.")
    ] = True

    def plan(self, plan: Plan, learnt: Any) -> None:  # noqa: ANN401, ARG002 - learns nothing
        """Each product is one of a factor less times a column; a degree is one multiplication."""
        places = self.places(plan)
        count = len(places)
        choose = combinations if self.interaction_only else combinations_with_replacement
        degrees = range(0 if self.include_bias else 1, self.degree + 1)
        factors: list[tuple[int, ...]] = []
        for each in chain.from_iterable(choose(range(count), degree) for degree in degrees):
            factors.append(each)
            if len(factors) > MAX_COLUMNS:
                raise Misfit(f"degree {self.degree} of {count} columns makes too many products")
        at = {each: row for row, each in enumerate(factors)}
        bias = int(self.include_bias)
        rounds: list[tuple[slice, Any, Any]] = []
        for degree in range(2, self.degree + 1):
            these = [each for each in factors if len(each) == degree]
            if these:
                first = at[these[0]]
                less, last = [at[each[:-1]] for each in these], [each[-1] for each in these]
                rounds.append((slice(first, first + len(these)), np.array(less), np.array(last)))
        take, height = plan.numbers(places), len(factors)

        def multiply(blocks: Blocks) -> Array:
            values = take(blocks)
            made = np.empty((height, values.shape[1]))
            made[:bias] = 1.0
            made[bias : bias + count] = values
            for rows, less, last in rounds:
                np.multiply(made[less], values[last], out=made[rows])
            return made

        names = [_product([places[each].name for each in which]) for which in factors]
        plan.replace(places, multiply, [names, *([] for _ in places[1:])])


_PARTS: Final[dict[str, Callable[[datetime], float]]] = {
    "year": lambda when: when.year,
    "quarter": lambda when: (when.month + 2) // 3,
    "month": lambda when: when.month,
    "day": lambda when: when.day,
    "day_of_week": lambda when: when.weekday(),
    "day_of_year": lambda when: when.timetuple().tm_yday,
    "week": lambda when: when.isocalendar().week,
    "hour": lambda when: when.hour,
    "minute": lambda when: when.minute,
    "second": lambda when: when.second,
    "is_weekend": lambda when: when.weekday() >= 5,
    "timestamp": lambda when: when.replace(tzinfo=UTC).timestamp(),
}
Part = Literal[
    "year", "quarter", "month", "day", "day_of_week", "day_of_year", "week", "hour", "minute",
    "second", "is_weekend", "timestamp",
]  # fmt: skip
# No date in ISO 8601 is longer.
_LONGEST_DATE: Final = 40


class DateParts(Operation, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers of a date in ISO 8601, as ``Series.dt`` of pandas has them; a null is NaN in each.

    A time with an offset is brought to UTC, one without is taken as it stands.
    """

    kind: ClassVar[str] = "date_parts"
    text: ClassVar[bool | None] = True

    parts: Annotated[
        tuple[Part, ...],
        msgspec.Meta(
            min_length=1,
            description="Which ones, in this order; day_of_week counts from Monday, 0; week is "
            "that of ISO 8601; timestamp is in seconds since 1970.",
        ),
    ]

    def plan(self, plan: Plan, learnt: Any) -> None:  # noqa: ANN401, ARG002 - learns nothing
        """Each date is read once."""
        places = self.places(plan)
        parts = [_PARTS[part] for part in self.parts]
        nothing = [np.nan] * len(parts)

        def read(blocks: Blocks) -> Array:
            made = []
            for place in places:
                dates = [_date(place, row, raw) for row, raw in enumerate(blocks[place.block])]
                rows = [
                    nothing if when is None else [part(when) for part in parts] for when in dates
                ]
                made.append(np.array(rows, np.float64).reshape(len(rows), len(parts)).T)
            return np.concatenate(made) if len(made) > 1 else np.ascontiguousarray(made[0])

        names = [[f"{place.name}_{part}" for part in self.parts] for place in places]
        plan.replace(places, read, names)


class Cyclical(Operation, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sine and cosine of the angle that a value is of its period: 23 h is near to 0 h."""

    kind: ClassVar[str] = "cyclical"

    period: Annotated[
        float | tuple[float, ...],
        msgspec.Meta(description="What is a full circle, above 0; one number or one a column."),
    ]

    def __post_init__(self) -> None:
        if any(not each > 0 for each in spread(self.period, 1)):
            raise ValueError("'period' must be above 0")

    def plan(self, plan: Plan, learnt: Any) -> None:  # noqa: ANN401, ARG002 - learns nothing
        """``sin(2 pi x / period)`` and the same of cos."""
        places = self.places(plan)
        count = len(places)
        period = upright(spread(self.period, count), count, "period")
        take = plan.numbers(places)

        def turn(blocks: Blocks) -> Array:
            angles = (2 * np.pi) * take(blocks) / period
            made = np.empty((2 * count, angles.shape[1]))
            made[::2] = np.sin(angles)
            made[1::2] = np.cos(angles)
            return made

        plan.replace(places, turn, [[f"{p.name}_sin", f"{p.name}_cos"] for p in places])


class Copy(Operation, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The columns once more under other names, for a model that has a column in two forms."""

    kind: ClassVar[str] = "copy"
    text: ClassVar[bool | None] = None

    to: Annotated[
        tuple[str, ...], msgspec.Meta(min_length=1, description="The names, one for each column.")
    ]

    def plan(self, plan: Plan, learnt: Any) -> None:  # noqa: ANN401, ARG002 - learns nothing
        """No byte is copied: another name for the same place."""
        plan.alias(self.places(plan), self.to)


def _date(place: Place, row: int, raw: bytes) -> datetime | None:
    if raw == NULL_TEXT:
        return None
    try:
        text = raw.decode() if len(raw) <= _LONGEST_DATE else ""
        when = datetime.fromisoformat(text.strip())
        return when if when.tzinfo is None else when.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        shown = refusal(raw.decode("utf-8", "replace"))
        raise InvalidRequest(
            f"row {row}, column '{place.name}': {shown} is no date; expected ISO 8601, like "
            "2024-05-31 or 2024-05-31T12:00:00Z"
        ) from None


def _product(names: Sequence[str]) -> str:
    """The name that PolynomialFeatures gives a product."""
    if not names:
        return "1"
    powers = {name: names.count(name) for name in dict.fromkeys(names)}
    return " ".join(name if power == 1 else f"{name}^{power}" for name, power in powers.items())
