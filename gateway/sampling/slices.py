# SPDX-License-Identifier: Apache-2.0
"""Slices: the tags by which figures of a model are told apart, and their values so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OTHER: Final = "other"
NONE: Final = "none"
# A value is a part of tables and of metric labels.
_LONGEST: Final = 128
# Combinations of values; several tags of many values have more than anybody looks at.
MOST: Final = 4096


class Tag(NamedTuple):
    """One tag: *header* in lower case or *parameter* has its value.

    *values* are those that are told apart, in place of the *most* first ones.
    """

    name: str
    header: str = ""
    parameter: str = ""
    values: frozenset[str] = frozenset()
    most: int = 32


class Slices:
    """Combinations of values of *tags* by their places; place 0 is that of no tags at all.

    A value that is not told apart is `OTHER`, one that is missing `NONE`.
    """

    def __init__(self, tags: Sequence[Tag] = ()) -> None:
        self.tags = tuple(tags)
        self.listed: list[dict[str, str]] = [{}]
        self._places: dict[tuple[str, ...], int] = {(): 0}
        self._seen: list[set[str]] = [set(tag.values) for tag in self.tags]

    def __repr__(self) -> str:
        return f"<Slices {', '.join(tag.name for tag in self.tags)} {len(self.listed)} listed>"

    def place(self, headers: Mapping[str, str], parameters: Mapping[str, Any] | None) -> int:
        """The place in *listed* of what a request says."""
        said = tuple([
            headers.get(tag.header, "") if tag.header
            else str(parameters.get(tag.parameter, "")) if parameters
            else ""
            for tag in self.tags
        ])  # fmt: skip
        known = self._places.get(said)
        return self._learn(said) if known is None else known

    def _learn(self, said: tuple[str, ...]) -> int:
        values = tuple([self._value(at, value) for at, value in enumerate(said)])
        known = self._places.get(values)
        if known is None and len(self.listed) >= MOST:
            values = (OTHER,) * len(values)
            known = self._places.get(values)
        if known is None:
            known = self._places[values] = len(self.listed)
            named = zip(self.tags, values, strict=True)
            self.listed.append({tag.name: value for tag, value in named})
        return known

    def _value(self, at: int, value: str) -> str:
        if not value:
            return NONE
        tag, seen = self.tags[at], self._seen[at]
        value = value[:_LONGEST]
        if value in seen:
            return value
        if tag.values or len(seen) >= tag.most or not value.isprintable():
            return OTHER
        seen.add(value)
        return value
