# SPDX-License-Identifier: Apache-2.0
"""Truth: what a label means for a model, whatever way it is written.

``"1"``, ``1``, ``1.0`` and ``True`` are one class, and so is its name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import numpy as np

Task: TypeAlias = Literal["classification", "multilabel", "regression"]
Conflict: TypeAlias = Literal["last_wins", "first_wins", "reject"]

_DTYPES: Final = {"classification": np.int32, "multilabel": np.uint64, "regression": np.float64}
_SHOWN: Final = 8


@dataclass(frozen=True)
class Truth:
    """How labels of one model are read.

    *names* are those of its classes, in the order of its scores; none for a regression. Where two
    labels disagree, *conflict* says which one counts. A label may come *wait* seconds before its
    prediction, and *reach* seconds behind it.
    """

    task: Task = "classification"
    names: tuple[str, ...] = ()
    conflict: Conflict = "last_wins"
    wait: float = 7 * 86400.0
    reach: float = 30 * 86400.0
    _places: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict)
    _numbered: bool = field(init=False, repr=False, compare=False, default=False)

    def __post_init__(self) -> None:
        self._places.update((name, place) for place, name in enumerate(self.names))
        # Where names are numbers, a number is one of them and no place.
        numbered = any(_number(name) is not None for name in self.names)
        object.__setattr__(self, "_numbered", numbered)

    @property
    def dtype(self) -> Any:  # noqa: ANN401 - a type of numpy
        """What a column of labels is made of."""
        return _DTYPES[self.task]

    def read(self, value: object) -> int | float:
        """The place of a class, the bits of a set of labels, or a number.

        Raises ValueError, which says what would be right.
        """
        if self.task == "regression":
            return self._value(value)
        if self.task == "multilabel":
            bits = 0
            for each in value if isinstance(value, list | tuple) else [value]:
                bits |= 1 << self._place(each)
            return bits
        if isinstance(value, list | tuple):
            raise ValueError("is a list; expected one class")  # noqa: TRY004 - a value is at fault
        return self._place(value)

    def _place(self, value: object) -> int:
        if isinstance(value, str):
            text = value.strip()
            place = self._places.get(text)
            if place is not None:
                return place
            if text.lower() in {"true", "false"}:
                number: float | None = float(text.lower() == "true")
            else:
                number = _number(text)
        elif isinstance(value, bool):
            # Classes may be called so.
            place = self._places.get(str(value), self._places.get(str(value).lower()))
            if place is not None:
                return place
            number = float(value)
        elif isinstance(value, int | float):
            number = float(value)
        else:
            raise ValueError(f"is {_kind(value)}; expected a class")  # noqa: TRY004 - as above
        if number is not None and math.isfinite(number) and number == int(number):
            whole = int(number)
            place = self._places.get(str(whole))
            if place is not None:
                return place
            if not self._numbered and 0 <= whole < len(self.names):
                return whole
        raise ValueError(f"'{str(value)[:64]}' is no class of this model; expected {self._there()}")

    def _value(self, value: object) -> float:
        if isinstance(value, str):
            number = _number(value.strip())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value)
        else:
            number = None
        if number is None:
            raise ValueError(f"'{str(value)[:64]}' is no number; expected one")
        if not math.isfinite(number):
            raise ValueError(f"is {number}; expected a finite number")
        return number

    def _there(self) -> str:
        names = [f"'{name}'" for name in self.names[:_SHOWN]]
        more = len(self.names) - len(names)
        return "one of " + ", ".join(names) + (f" and {more} more" if more else "")


def _number(text: str) -> float | None:
    # Python's own spellings, such as 1_000, are not those of data.
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return "a mapping" if isinstance(value, dict) else f"a {type(value).__name__}"
