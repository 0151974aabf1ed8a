# SPDX-License-Identifier: Apache-2.0
"""Operations on categories: one-hot and ordinal encoding, feature hashing.

A category is text or a number, as its column is typed: ``"1"`` is not 1. A null is one where the
training data had it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

import msgspec
import numpy as np

from gateway.errors import InvalidRequest
from gateway.steps.murmur import murmur3
from gateway.steps.step import Misfit
from gateway.steps.table.operation import Operation
from gateway.steps.table.plan import Blocks, Place, Plan
from gateway.wire.cell import refusal
from gateway.wire.null import NULL_TEXT
from gateway.wire.tensor import Array

Value: TypeAlias = float | str | None
Key: TypeAlias = float | bytes | None
_INT32: Final = 2**31


class Codes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The *categories* of one column, the *codes* that they get, and the names of new columns.

    One-hot: a code is the place among *names*, -1 for none of them. Ordinal: it is the number
    itself, null for NaN; there are no names. *infrequent* is the code of all rare ones together.
    """

    categories: tuple[Value, ...]
    codes: tuple[float | None, ...]
    names: tuple[str, ...] = ()
    infrequent: int | None = None


class Encoding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The codes of each column."""

    columns: tuple[Codes, ...]


class OneHot(Operation, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column of 0 and 1 for each category, as OneHotEncoder."""

    kind: ClassVar[str] = "one_hot"
    learns: ClassVar[type[msgspec.Struct] | None] = Encoding
    text: ClassVar[bool | None] = True

    unknown: Annotated[
        Literal["error", "ignore", "infrequent", "other"],
        msgspec.Meta(
            description="What an unknown category gets: a refusal, zeros, the column of the "
            "infrequent ones (zeros without one), or a last column of its own."
        ),
    ] = "error"
    drop: Annotated[
        Literal["none", "first", "if_binary"],
        msgspec.Meta(description="Whether a column has none for its first category."),
    ] = "none"
    min_frequency: Annotated[
        int, msgspec.Meta(ge=0, description="Categories with fewer rows are infrequent; 0: none.")
    ] = 0
    max_categories: Annotated[
        int, msgspec.Meta(ge=0, description="The rarest beyond so many are infrequent; 0: none.")
    ] = 0
    categories: Annotated[
        dict[str, tuple[str, ...]],
        msgspec.Meta(description="Those of each text column, in place of learnt ones."),
    ] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.categories and (self.min_frequency or self.max_categories or self.drop != "none"):
            raise ValueError("'categories' excludes what depends on data: frequencies and 'drop'")

    def places(self, plan: Plan) -> list[Place]:
        """Numbers are categories too, where they are named."""
        return plan.chosen(self.columns, text=None if self.columns else True)

    def given(self, count: int) -> Encoding | None:  # noqa: ARG002 - checked when it is bound
        """*categories*."""
        return _given(self.columns, self.categories, names=True)

    def plan(self, plan: Plan, learnt: Any) -> None:  # noqa: ANN401 - Encoding
        """All columns together: one block of zeros with a 1 for each row of each column."""
        places = _matched(self.places(plan), learnt)
        made: list[list[str]] = []
        lookups: list[Callable[[Blocks], list[int | None]]] = []
        width = 0
        for place, codes in zip(places, learnt.columns, strict=True):
            names = list(codes.names)
            if self.unknown == "other":
                names.append(f"{place.name}_other")
            # Zeros are a 1 in a last row, which is cut off.
            table = {
                key: None if code is None or code < 0 else int(code) + width
                for key, code in _table(place, codes).items()
            }
            fallback = {"other": len(names) - 1, "infrequent": codes.infrequent}.get(self.unknown)
            default = None if fallback is None else width + fallback
            lookups.append(_lookup(plan, place, table, default, refuses=self.unknown == "error"))
            made.append(names)
            width += len(names)

        def encode(blocks: Blocks) -> Array:
            rows = [lookup(blocks) for lookup in lookups]
            count = len(rows[0])
            encoded = np.zeros((width + 1, count))
            if count == 1:
                for (row,) in rows:
                    encoded[width if row is None else row, 0] = 1.0
            else:
                flat = [width if row is None else row for row in chain.from_iterable(rows)]
                encoded[flat, np.tile(np.arange(count), len(rows))] = 1.0
            return encoded[:width]

        plan.replace(places, encode, made)


class Ordinal(Operation, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The number of each category, as OrdinalEncoder."""

    kind: ClassVar[str] = "ordinal"
    learns: ClassVar[type[msgspec.Struct] | None] = Encoding
    text: ClassVar[bool | None] = True

    unknown: Annotated[
        Literal["error", "value"],
        msgspec.Meta(description="What an unknown category gets: a refusal or 'unknown_value'."),
    ] = "error"
    unknown_value: Annotated[
        int | None, msgspec.Meta(description="The number of unknown categories; null is NaN.")
    ] = -1
    missing_value: Annotated[
        float | None,
        msgspec.Meta(description="The number of nulls that training data had; null is NaN."),
    ] = None
    categories: Annotated[
        dict[str, tuple[str, ...]],
        msgspec.Meta(description="Those of each text column in order, in place of learnt ones."),
    ] = msgspec.field(default_factory=dict)

    def places(self, plan: Plan) -> list[Place]:
        """Numbers are categories too, where they are named."""
        return plan.chosen(self.columns, text=None if self.columns else True)

    def given(self, count: int) -> Encoding | None:  # noqa: ARG002 - checked when it is bound
        """*categories*."""
        return _given(self.columns, self.categories, names=False)

    def plan(self, plan: Plan, learnt: Any) -> None:  # noqa: ANN401 - Encoding
        """A look-up for each value."""
        places = _matched(self.places(plan), learnt)
        refuses = self.unknown == "error"
        default = np.nan if self.unknown_value is None else float(self.unknown_value)
        lookups = [
            _lookup(
                plan,
                place,
                {k: np.nan if c is None else c for k, c in _table(place, codes).items()},
                default,
                refuses=refuses,
            )
            for place, codes in zip(places, learnt.columns, strict=True)
        ]
        plan.replace(
            places,
            lambda blocks: np.array([lookup(blocks) for lookup in lookups], np.float64),
        )


class Hashing(Operation, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Categories hashed to a fixed number of columns, as FeatureHasher does with ``{name: text}``.

    A null adds nothing.
    """

    kind: ClassVar[str] = "hashing"
    text: ClassVar[bool | None] = True

    features: Annotated[
        int, msgspec.Meta(ge=1, le=65_536, description="How many columns come out, for all.")
    ]
    alternate_sign: Annotated[
        bool, msgspec.Meta(description="Whether a value adds 1 or takes it off, by its hash.")
    ] = True
    with_name: Annotated[
        bool,
        msgspec.Meta(
            description="Whether 'name=text' is hashed; false hashes the text alone, as for "
            "input_type='string'."
        ),
    ] = True

    def plan(self, plan: Plan, learnt: Any) -> None:  # noqa: ANN401, ARG002 - learns nothing
        """A hash for each value, remembered for the ones seen last."""
        places = self.places(plan)
        features, alternate = self.features, self.alternate_sign
        prefixes = [f"{place.name}=".encode() if self.with_name else b"" for place in places]

        @lru_cache(maxsize=4096)
        def hashed(value: bytes) -> tuple[int, float]:
            code = murmur3(value)
            # What FeatureHasher takes for the remainder of the one number without an opposite.
            at = (_INT32 - 1 - (features - 1)) if code == -_INT32 else abs(code)
            return at % features, -1.0 if alternate and code < 0 else 1.0

        def encode(blocks: Blocks) -> Array:
            encoded = np.zeros((features, len(blocks[places[0].block])))
            for place, prefix in zip(places, prefixes, strict=True):
                for row, value in enumerate(blocks[place.block]):
                    if value != NULL_TEXT:
                        whole = prefix + value
                        # A long text is not kept.
                        at, sign = hashed(whole) if len(whole) <= 64 else hashed.__wrapped__(whole)
                        encoded[at, row] += sign
            return encoded

        name = f"{places[0].name}_hash"
        made = [[f"{name}{at}" for at in range(features)], *([] for _ in places[1:])]
        plan.replace(places, encode, made)


def _matched(places: list[Place], learnt: Encoding) -> list[Place]:
    if len(places) != len(learnt.columns):
        raise Misfit(f"categories of {len(learnt.columns)} columns for {len(places)} columns")
    return places


def _given(
    columns: Sequence[str], categories: Mapping[str, tuple[str, ...]], *, names: bool
) -> Encoding | None:
    if not categories:
        return None
    wanted = columns or tuple(categories)
    if set(wanted) != set(categories):
        raise Misfit("'categories' must name exactly the columns of 'columns'")
    return Encoding(
        tuple(
            Codes(
                categories[name],
                tuple(map(float, range(len(categories[name])))),
                tuple(f"{name}_{value}" for value in categories[name]) if names else (),
            )
            for name in wanted
        )
    )


def _table(place: Place, codes: Codes) -> dict[Key, float | None]:
    """The codes by category as the column has it."""
    if len(codes.categories) != len(codes.codes):
        raise Misfit(f"column '{place.name}': as many codes as categories are needed")
    table: dict[Key, float | None] = {}
    for value, code in zip(codes.categories, codes.codes, strict=True):
        if value is not None and isinstance(value, str) != place.text:
            raise Misfit(
                f"column '{place.name}' is {'text' if place.text else 'a number'}, "
                f"category {value!r} is not"
            )
        if place.text:
            table[NULL_TEXT if value is None else str(value).encode()] = code
        else:
            table[value if value is None else float(value)] = code
    return table


def _lookup(
    plan: Plan,
    place: Place,
    table: Mapping[Key, Any],
    default: Any,  # noqa: ANN401 - a code
    *,
    refuses: bool,
) -> Callable[[Blocks], list[Any]]:
    """The codes of a column's values; *default* for unknown ones, unless it *refuses* them."""
    values = _keys(plan, place)
    if not refuses:
        return lambda blocks: [table.get(key, default) for key in values(blocks)]

    def strict(blocks: Blocks) -> list[Any]:
        keys = values(blocks)
        try:
            return [table[key] for key in keys]
        except KeyError:
            row = next(row for row, key in enumerate(keys) if key not in table)
            raise InvalidRequest(
                f"row {row}, column '{place.name}': {_shown(keys[row])} is no known category; "
                f"expected {_some(table)}"
            ) from None

    return strict


def _keys(plan: Plan, place: Place) -> Callable[[Blocks], list[Key]]:
    if place.text:
        return lambda blocks: blocks[place.block]
    take = plan.numbers([place])

    def keys(blocks: Blocks) -> list[Key]:
        # A NaN is not equal to itself, so no look-up would find it.
        return [value if value == value else None for value in take(blocks)[0].tolist()]  # noqa: PLR0124

    return keys


def _shown(key: Key) -> str:
    if key is None or key == NULL_TEXT:
        return "null"
    return refusal(key.decode("utf-8", "replace") if isinstance(key, bytes) else key)


def _some(table: Mapping[Key, Any]) -> str:
    shown = [_shown(key) for key in list(table)[:8]]
    return ", ".join(shown) + (f" or {len(table) - 8} more" if len(table) > 8 else "")
