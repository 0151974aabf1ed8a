# SPDX-License-Identifier: Apache-2.0
"""Cohorts: rows of one endpoint and one combination of slice tags, as one small number.

Sums are kept by cohort, and added up over cohorts when somebody reads: a row is counted once,
however many slices it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from gateway.statistics.arrays import Integers, Values

# Beyond so many combinations, rows count together as the cohort OTHERS.
MOST: Final = 1024
OTHERS: Final = 0
ELSEWHERE: Final = "(others)"


class Cohorts:
    """The combinations met so far; number 0 is that of all that came after the *most*."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {(ELSEWHERE, ()): OTHERS}
        self._names: list[tuple[str, dict[str, str]]] = [(ELSEWHERE, {})]
        self.left_out = 0

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<Cohorts {len(self)}>"

    def number(self, endpoint: str, tags: Mapping[str, str]) -> int:
        """The number of a combination, a new one where there is room."""
        key = (endpoint, tuple(sorted(tags.items())))
        found = self._known.get(key)
        if found is not None:
            return found
        if len(self._names) > self._most:
            return OTHERS
        number = self._known[key] = len(self._names)
        self._names.append((endpoint, dict(tags)))
        return number

    def of_rows(
        self,
        endpoints: Sequence[str],
        endpoint: Values,
        slices: Sequence[Mapping[str, str]],
        slice_: Values,
    ) -> Integers:
        """The cohort of each row: *endpoint* and *slice_* [n] are places in the two lists."""
        if not len(endpoint):
            return np.empty(0, dtype=np.int64)
        width = max(len(slices), 1)
        pairs = endpoint.astype(np.int64) * width + slice_.astype(np.int64)
        numbers = np.zeros(max(len(endpoints), 1) * width, dtype=np.int64)
        for pair in np.flatnonzero(np.bincount(pairs, minlength=len(numbers))).tolist():
            tags = slices[pair % width] if slices else {}
            name = endpoints[pair // width] if endpoints else ""
            numbers[pair] = self.number(name, tags)
        found: Integers = numbers[pairs]
        self.left_out += int((found == OTHERS).sum())
        return found

    def chosen(self, endpoint: str | None, tags: Mapping[str, str]) -> list[int] | None:
        """The cohorts of *endpoint* that have all of *tags*; None for all cohorts."""
        if endpoint is None and not tags:
            return None
        return [
            number
            for number, (name, own) in enumerate(self._names)
            if (endpoint is None or name == endpoint)
            and all(own.get(tag) == value for tag, value in tags.items())
        ]

    def endpoints(self) -> list[str]:
        """Every endpoint met, the one of the rest last."""
        names = list(dict.fromkeys(name for name, _ in self._names[1:]))
        return [*names, *([ELSEWHERE] if self.left_out else [])]

    def tags(self) -> dict[str, list[str]]:
        """Every tag met with its values."""
        found: dict[str, list[str]] = {}
        for _, tags in self._names:
            for tag, value in tags.items():
                values = found.setdefault(tag, [])
                if value not in values:
                    values.append(value)
        return found
