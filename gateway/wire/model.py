# SPDX-License-Identifier: Apache-2.0
"""What is known of a model: the tensors it takes and gives, its version, digest and labels."""

from __future__ import annotations

import msgspec


class TensorSpec(msgspec.Struct, frozen=True, array_like=True):
    """One input or output; a dimension of -1 is free."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Column(msgspec.Struct, frozen=True, array_like=True):
    """A column of a table by name, and what becomes of a row that has no value for it.

    *missing* is for a record without the name, *null* for one that has it with null: ``error``,
    ``keep`` (as a null) or ``default``, which is the value *default*. *text_numbers*: a number may
    come as text.
    """

    name: str
    datatype: str
    missing: str = "error"
    null: str = "error"
    default: float | str | None = None
    text_numbers: bool = False

    @property
    def nullable(self) -> bool:
        """Whether the column's tensor may hold nulls."""
        return "keep" in {self.missing, self.null}


class Table(msgspec.Struct, frozen=True, array_like=True):
    """The *columns* that clients send by name, and the inputs that a step makes of them, *made*.

    *ignore_unknown*: a name that is no column is passed over; it is refused otherwise.
    """

    columns: tuple[Column, ...]
    made: tuple[TensorSpec, ...]
    ignore_unknown: bool = False


class ModelInfo(msgspec.Struct, frozen=True, array_like=True):
    """A model as its worker describes it, or as clients see it once the steps are added.

    *batched*: the first dimension of every input and output is the free batch dimension, so that
    requests may be merged along it. *digest*: SHA-256 of the model file, in hex. *labels*: class
    names by output name. *parallelism*: inferences that the worker runs at the same time.
    *coupling*: what makes the answer to a row depend on the other rows of its batch, "" where
    nothing was found to, None where nobody has tried.
    *table*: the inputs are the columns of a table, one tensor ``[n]`` each.
    """

    name: str
    version: str
    platform: str
    digest: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batched: bool
    labels: dict[str, tuple[str, ...]] = {}
    parallelism: int = 1
    coupling: str | None = None
    table: Table | None = None
