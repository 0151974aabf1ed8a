# SPDX-License-Identifier: Apache-2.0
"""Supply: which input each request has, as bytes that are ready to be sent.

A request is made from a template: whole bytes with blanks in them, each with a table of the texts
that may stand there, all of one width. So a new input costs a lookup a blank, in any protocol.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Inputs are numbered within so many: as far as a salt is drawn from.
SALTS: Final = 1 << 40


class Blank(msgspec.Struct, frozen=True):
    """At *offset* of a template stands one of *table*, all of one width; the first is the data."""

    offset: int
    table: tuple[bytes, ...]


class Template(msgspec.Struct, frozen=True):
    """One request: *body* as it is in the data, and for each row of it the *blanks* to vary.

    *head* comes before it on the wire. A template without blanks has one input only.
    """

    head: bytes
    body: bytes
    rows: tuple[tuple[Blank, ...], ...] = ()
    # Rows in the request, varied or not.
    count: int = 1

    @property
    def variants(self) -> int:
        """How many different inputs it can give; in none of them are two rows alike."""
        if not self.rows or not all(self.rows):
            return 1
        fewest = min(_product(row) for row in self.rows)
        return max(1, fewest // len(self.rows))


def _product(blanks: Sequence[Blank]) -> int:
    product = 1
    for blank in blanks:
        product *= len(blank.table)
    return product


class _Mould:
    """A template taken apart, to be filled quickly."""

    def __init__(self, template: Template) -> None:
        self.variants = template.variants
        self._rows = len(template.rows)
        whole = template.head + template.body
        self.plain = whole
        places = sorted(
            (blank.offset + len(template.head), row, order)
            for row, blanks in enumerate(template.rows)
            for order, blank in enumerate(blanks)
        )
        self._parts: list[bytes] = []
        # Where in the parts the text of each blank goes, row by row.
        self._into: list[list[tuple[int, tuple[bytes, ...]]]] = [
            [(0, blank.table) for blank in blanks] for blanks in template.rows
        ]
        at = 0
        for offset, row, order in places:
            table = template.rows[row][order].table
            self._parts += [whole[at:offset], table[0]]
            self._into[row][order] = (len(self._parts) - 1, table)
            at = offset + len(table[0])
        self._parts.append(whole[at:])

    def fill(self, variant: int) -> bytes:
        """The request with input *variant*, of which there are `variants`."""
        if self.variants == 1:
            return self.plain
        parts = self._parts
        number = variant * self._rows
        for row, blanks in enumerate(self._into):
            digits = number + row
            for place, table in blanks:
                digits, digit = divmod(digits, len(table))
                parts[place] = table[digit]
        return b"".join(parts)


class Supply:
    """The requests of share *share* of *shares*, from *templates*.

    *repeat* is the share of requests whose input was sent before; None sends the data as it is,
    over and over. Repeated inputs are *repeated* different ones, which `primes` sends beforehand.
    Numbering begins at *salt*, so that runs with different salts share hardly an input.
    """

    def __init__(
        self,
        templates: Sequence[Template],
        *,
        repeat: float | None = None,
        repeated: int = 64,
        salt: int = 1,
        seed: int = 1,
        share: int = 0,
        shares: int = 1,
    ) -> None:
        self._moulds = [_Mould(template) for template in templates]
        self._templates = len(templates)
        # So many different inputs there are, the fewest of any template deciding.
        self.inputs = self._templates * min(mould.variants for mould in self._moulds)
        self._repeat = repeat
        self._repeated = min(repeated, max(1, self.inputs // 2)) if repeat else 0
        self._salt = salt
        self._fresh = max(1, self.inputs - self._repeated)
        self._random = Random(f"{seed}/{share}").random
        self._next = share
        self._step = shares

    def __repr__(self) -> str:
        return f"<Supply {self._templates} templates, {self.inputs} inputs>"

    def primes(self) -> Iterator[int]:
        """The inputs that will be repeated."""
        return iter(range(self._repeated))

    def next(self) -> tuple[int, bool]:
        """The number of the next input, to be filled in, and whether it was sent before."""
        index = self._next
        self._next = index + self._step
        repeat = self._repeat
        if repeat is None:
            return index % self._templates, index >= self._templates
        if repeat and self._random() < repeat:
            return int(self._random() * self._repeated), True
        return self._repeated + index % self._fresh, index >= self._fresh

    def fill(self, number: int) -> bytes:
        """The request with input *number*."""
        if self._repeat is None:
            return self._moulds[number].plain
        # Where numbering begins turns in a circle: every number still is an input of its own.
        variant, place = divmod((number + self._salt) % self.inputs, self._templates)
        return self._moulds[place].fill(variant)
