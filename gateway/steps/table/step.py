# SPDX-License-Identifier: Apache-2.0
"""The step `table`: records by name to the tensors of a model, through a list of operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, TypeAlias

import msgspec

from gateway.steps.step import Kernel, Misfit, Tensors
from gateway.steps.table import OPERATIONS, statistics
from gateway.steps.table.entry import Policy, entry
from gateway.steps.table.exit import leave
from gateway.steps.table.plan import Plan
from gateway.wire.model import Column, ModelInfo, Table, TensorSpec

if TYPE_CHECKING:
    from gateway.steps.table.operation import Operation
    from gateway.steps.table.plan import Place

# Bytes of columns that operations handle in about a millisecond.
_QUICK: Final = 64 << 10


def _operations() -> dict[str, type[msgspec.Struct]]:
    return dict(OPERATIONS)


# Gives what an operation has learnt; called with it, the plan so far, and its columns there.
Recall: TypeAlias = "Callable[[Operation, Plan, Sequence[Place]], Any]"


class ColumnConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column that clients send by name."""

    type: Annotated[
        Literal["FP64", "FP32", "INT64", "BOOL", "BYTES"],
        msgspec.Meta(description="Its v2 datatype; BYTES is text."),
    ] = "FP64"
    missing: Annotated[
        Policy,
        msgspec.Meta(
            description="What a record without the column gets: a refusal, a null that goes on to "
            "the operations, or 'default'."
        ),
    ] = "error"
    null: Annotated[Policy, msgspec.Meta(description="The same for a record that says null.")] = (
        "error"
    )
    nan: Annotated[
        Policy,
        msgspec.Meta(
            description="The same for NaN, which only binary tensors can carry. Infinity is always "
            "refused."
        ),
    ] = "error"
    default: Annotated[
        float | str | None, msgspec.Meta(description="The value where a policy is default.")
    ] = None
    text_numbers: Annotated[
        bool, msgspec.Meta(description='Whether "41" is taken for 41 in JSON.')
    ] = False

    def __post_init__(self) -> None:
        policies = (self.missing, self.null, self.nan)
        if ("default" in policies) != (self.default is not None):
            raise ValueError("'default' is given where a policy is default, and only then")
        if self.default is not None and isinstance(self.default, str) != (self.type == "BYTES"):
            wanted = "text (in quotes)" if self.type == "BYTES" else "a number"
            raise ValueError(f"'default' must be {wanted}, as the column is {self.type}")
        if self.type == "INT64" and self.default is not None and self.default != int(self.default):
            raise ValueError("'default' must be a whole number, as the column is INT64")
        if self.type == "BOOL" and self.default not in {None, 0, 1}:
            raise ValueError("'default' must be 0 or 1, as the column is BOOL")
        if self.text_numbers and self.type in {"BYTES", "BOOL"}:
            raise ValueError(f"'text_numbers' is for columns of numbers, this one is {self.type}")


class TableStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Takes records by name and gives the model its tensors; stands first.

    Columns go through the operations in order and come out in the order of `output`, or, without
    one, in the order in which they are declared, new ones in the place of the one that they were
    made of.
    """

    kind: ClassVar[str] = "table"
    inline_bytes: ClassVar[int] = _QUICK
    rows_apart: ClassVar[bool] = True

    columns: Annotated[
        dict[str, ColumnConfig],
        msgspec.Meta(
            min_length=1, max_length=4096, description="The columns that clients send, by name."
        ),
    ]
    operations: Annotated[
        tuple[Any, ...],
        msgspec.Meta(
            max_length=256,
            extra={"steps": _operations},
            description="What is done to the columns, in this order.",
        ),
    ] = ()
    statistics: Annotated[
        str,
        msgspec.Meta(
            description="The file in which infergate fit-preprocess has written what the "
            "operations have learnt."
        ),
    ] = ""
    output: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="The columns that the model gets, in order: by name, by the column that "
            "they were made of, or by a pattern with *. All of them by default."
        ),
    ] = ()
    inputs: Annotated[
        dict[str, tuple[str, ...]],
        msgspec.Meta(
            description="For a model with several inputs, the columns of each, named as in "
            "'output'."
        ),
    ] = msgspec.field(default_factory=dict)
    unknown: Annotated[
        Literal["error", "ignore"],
        msgspec.Meta(description="Whether a name that is no column is refused or passed over."),
    ] = "error"

    def __post_init__(self) -> None:
        if self.inputs and self.output:
            raise ValueError("'output' is for a model with one input, 'inputs' for others")

    @cached_property
    def _content(self) -> bytes:
        """The statistics file, read once: what is bound is what the digest is of."""
        return statistics.content(self.statistics) if self.statistics else b""

    def faults(self) -> Iterable[tuple[str, str]]:
        """Field and fault of what is missing or does not fit together."""
        try:
            self.planned()
        except Misfit as error:
            yield "statistics" if self.statistics and not self._readable() else "", str(error)

    def recipe(self) -> bytes:
        """The fields, the operations by kind, and what the statistics file says."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        fields["operations"] = [(each.kind, each) for each in self.operations]
        fields["statistics"] = self._content
        # Columns in their order: it decides that of the inputs.
        fields["columns"] = list(self.columns.items())
        return msgspec.msgpack.encode(fields)

    def before(self, info: ModelInfo) -> ModelInfo:
        """*info* with a column for each input; raises Misfit."""
        if info.table is not None:
            raise Misfit("there is another table behind it; one is enough")
        if not info.batched:
            shapes = ", ".join(f"'{spec.name}' {list(spec.shape)}" for spec in info.inputs)
            raise Misfit(f"rows need a first dimension of -1 in every input, found {shapes}")
        plan = self.planned()
        for spec, names in self._targets(info.inputs):
            leave(plan, plan.picked(names) if names else plan.places, spec)
        columns = self.declared()
        inputs = tuple(TensorSpec(each.name, each.datatype, (-1,)) for each in columns)
        table = Table(columns, info.inputs, ignore_unknown=self.unknown == "ignore")
        return msgspec.structs.replace(info, inputs=inputs, table=table)

    def bind(self, info: ModelInfo) -> Kernel:
        """The kernel for inputs as `before` described them; raises Misfit."""
        if info.table is None:
            raise Misfit("it must be bound to what it takes")
        plan = self.planned()
        enter = entry(info.table.columns, {name: each.nan for name, each in self.columns.items()})
        acts = tuple(plan.acts)
        leaves = [
            leave(plan, plan.picked(names) if names else list(plan.places), spec)
            for spec, names in self._targets(info.table.made)
        ]

        def tabulate(tensors: Tensors) -> Tensors:
            blocks = enter(tensors)
            for act in acts:
                blocks.append(act(blocks))
            rows = tensors[0].shape[0]
            return tuple([each(blocks, rows) for each in leaves])

        return tabulate

    def declared(self) -> tuple[Column, ...]:
        """The columns as a codec needs them."""
        return tuple(
            Column(
                name, each.type, each.missing, each.null, each.default,
                text_numbers=each.text_numbers,
            )
            for name, each in self.columns.items()
        )  # fmt: skip

    def planned(self, recall: Recall | None = None) -> Plan:
        """The operations worked out for the columns; raises Misfit.

        *recall* gives what an operation has learnt where not its own fields do, by default from
        the statistics file.
        """
        plan = Plan()
        plan.given([(name, each.type == "BYTES") for name, each in self.columns.items()])
        recall = recall or self._recall()
        for at, operation in enumerate(self.operations):
            try:
                learnt = None
                if operation.learns is not None:
                    places = operation.places(plan)
                    learnt = operation.given(len(places))
                    if learnt is None:
                        learnt = recall(operation, plan, places)
                operation.plan(plan, learnt)
            except Misfit as error:
                raise Misfit(f"operations[{at}] {operation.kind}: {error}") from None
        return plan

    def _recall(self) -> Recall:
        if not self.statistics:
            return _nothing
        known = statistics.decode(self._content, self.statistics)
        types = {name: each.type for name, each in self.columns.items()}
        for name, datatype in known.types.items():
            if types.get(name, datatype) != datatype:
                raise Misfit(
                    f"statistics file '{self.statistics}' is of column '{name}' as {datatype}, it "
                    f"is {types[name]} here"
                )
        left = iter(known.operations)

        def recall(operation: Operation, _: Plan, places: Sequence[Place]) -> Any:  # noqa: ANN401
            learnt = next(left, None)
            if learnt is None:
                raise Misfit(
                    f"statistics file '{self.statistics}' has nothing for it; write it anew with "
                    "infergate fit-preprocess"
                )
            return statistics.values_of(learnt, operation, [place.name for place in places])

        return recall

    def _targets(self, specs: Sequence[TensorSpec]) -> list[tuple[TensorSpec, tuple[str, ...]]]:
        """Each input of the model and the columns that it is made of, empty for all."""
        if not self.inputs:
            if len(specs) != 1:
                names = ", ".join(f"'{spec.name}'" for spec in specs)
                raise Misfit(f"the model has the inputs {names}; say under 'inputs' what each gets")
            return [(specs[0], self.output)]
        if set(self.inputs) != {spec.name for spec in specs}:
            names = ", ".join(f"'{spec.name}'" for spec in specs)
            raise Misfit(f"'inputs' must name exactly those of the model: {names}")
        return [(spec, self.inputs[spec.name]) for spec in specs]

    def _readable(self) -> bool:
        try:
            return bool(self._content)
        except Misfit:
            return False


def _nothing(*_: object) -> Any:  # noqa: ANN401 - never returns
    raise Misfit(
        "it learns from data: let infergate fit-preprocess write a file and name it under "
        "'statistics'"
    )
