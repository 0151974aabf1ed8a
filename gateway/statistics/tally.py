# SPDX-License-Identifier: Apache-2.0
"""Tally: a state that is one or more tables of sums, with the parameters that give keys a meaning.

Subclasses say what a row adds; here stands what all of them can do.
"""

from __future__ import annotations

from typing import Any, Self

from gateway.statistics.sums import Sums


class Tally:
    """Named `Sums`; *parameters* are the constructor's, and tallies merge where they are equal."""

    def __init__(self, widths: dict[str, int], **parameters: Any) -> None:  # noqa: ANN401 - plain data
        self._parameters = parameters
        self._sums = {name: Sums(width) for name, width in widths.items()}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._parameters}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tally) or type(self) is not type(other):
            return NotImplemented
        return self._parameters == other._parameters and self._sums == other._sums

    __hash__ = None  # type: ignore[assignment]  # it changes

    def merge(self, other: Self, sign: int = 1) -> None:
        """Add what *other* holds; with *sign* -1 take it away. ValueError for other parameters."""
        if self._parameters != other._parameters:
            raise ValueError(f"{self!r} and {other!r} do not merge")
        for name, sums in self._sums.items():
            sums.merge(other._sums[name], sign)

    def copy(self) -> Self:
        """The same sums, apart."""
        same = type(self)(**self._parameters)
        same.merge(self)
        return same

    @classmethod
    def of(cls, sums: dict[str, Sums], **parameters: Any) -> Self:  # noqa: ANN401 - plain data
        """A tally with *parameters* whose tables are *sums*; those not given are empty.

        For states that keep the tables of many tallies side by side and part them when somebody
        asks. Raises ValueError for a table of another width.
        """
        tally = cls(**parameters)
        for name, given in sums.items():
            if given.table.shape[1] != tally._sums[name].table.shape[1]:
                raise ValueError(f"sums '{name}' of width {given.table.shape[1]}")
            tally._sums[name] = given
        return tally

    def pack(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "parameters": self._parameters,
            "sums": {name: sums.pack() for name, sums in self._sums.items()},
        }

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Self:
        """What `pack` gave; raises ValueError where the tables are others."""
        tally = cls(**packed["parameters"])
        sums = {name: Sums.unpack(one) for name, one in packed["sums"].items()}
        widths = {name: one.table.shape[1] for name, one in sums.items()}
        if widths != {name: one.table.shape[1] for name, one in tally._sums.items()}:
            raise ValueError(f"packed sums {widths} are not those of {cls.__name__}")
        tally._sums = sums
        return tally
