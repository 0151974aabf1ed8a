# SPDX-License-Identifier: Apache-2.0
"""Operation: one thing that is done to columns of a table; its fields are its section.

An operation that needs statistics of the training data either has them in its fields or gets them
from the statistics file, where they stand in the form that `learns` names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

import msgspec
import numpy as np

from gateway.steps.step import Misfit

if TYPE_CHECKING:
    from gateway.steps.table.plan import Place, Plan
    from gateway.wire.tensor import Array

# From float64 [columns, rows] to another array of that form; writes to nothing that it was given.
Change: TypeAlias = "Callable[[Array], Array]"

Names = Annotated[
    tuple[str, ...],
    msgspec.Meta(
        description="The columns that it is done to; without it all that are of a fitting type "
        "at this point."
    ),
]


class Operation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all operations have in common; *kind* is the name in a configuration."""

    kind: ClassVar[str]
    # The form of what must be learnt from data, and whether the columns are text; None for both.
    learns: ClassVar[type[msgspec.Struct] | None] = None
    text: ClassVar[bool | None] = False

    columns: Names = ()

    def places(self, plan: Plan) -> list[Place]:
        """The columns of *plan* that it is done to; raises Misfit."""
        return plan.chosen(self.columns, text=self.text)

    def faults(self) -> tuple[tuple[str, str], ...]:
        """None: what an operation has learnt is looked for by its step."""
        return ()

    def given(self, count: int) -> Any:  # noqa: ANN401, ARG002 - as `learns` says
        """What the fields say of *count* columns in place of learnt statistics, else None."""
        return None

    def plan(self, plan: Plan, learnt: Any) -> None:  # noqa: ANN401 - as `learns` says
        """Add what is to be done to *plan*; raises Misfit."""
        raise NotImplementedError


class Elementwise(Operation, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operation that makes one number of each, and keeps the columns' names."""

    def plan(self, plan: Plan, learnt: Any) -> None:  # noqa: ANN401 - as `learns` says
        """One new block in the place of the columns."""
        places = self.places(plan)
        take = plan.numbers(places)
        change = self.change(places, learnt)
        plan.replace(places, lambda blocks: change(take(blocks)))

    def change(self, places: Sequence[Place], learnt: Any) -> Change:  # noqa: ANN401 - as above
        """The function for those columns; raises Misfit."""
        raise NotImplementedError


def upright(values: Sequence[float], count: int, what: str) -> Array:
    """*values*, one for each of *count* columns, as ``[columns, 1]``; raises Misfit."""
    if len(values) != count:
        raise Misfit(f"{what} has {len(values)} numbers for {count} columns")
    return np.array(values, np.float64).reshape(count, 1)


def spread(value: float | tuple[float, ...], count: int) -> tuple[float, ...]:
    """One number for each of *count* columns."""
    return value if isinstance(value, tuple) else (value,) * count
