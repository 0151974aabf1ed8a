# SPDX-License-Identifier: Apache-2.0
"""Fit-preprocess: the statistics that a model's `table` step needs, learnt from training data."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from gateway.config import load
from gateway.config.bind import FAILED, Binder
from gateway.config.load import decoded, read_file
from gateway.config.tree import Fault, parse
from gateway.errors import ConfigError, InvalidRequest
from gateway.lab import LabError
from gateway.lab.learn import column_of, learn
from gateway.lab.training_data import read_training_data
from gateway.steps.step import Misfit
from gateway.steps.table import statistics
from gateway.steps.table.entry import entry
from gateway.steps.table.step import TableStep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.steps.table.operation import Operation
    from gateway.steps.table.plan import Blocks, Place, Plan
    from gateway.wire.tensor import Array, Tensor

# Of a column's rows without a value, and of its different texts, from which on it is worth a word.
_MANY_MISSING: Final = 0.3
_MANY_CATEGORIES: Final = 100


class Fitted(NamedTuple):
    """The *statistics*, the columns as they came, and *warnings* about them."""

    statistics: statistics.Statistics
    columns: dict[str, Array]
    warnings: list[str]


def run(
    data: str, *, output: str | None, config: str | None, model: str | None, spec: str | None
) -> int:
    """Learn from the file *data* and write the statistics to *output*; gives the exit code.

    The step is that of *model* in the file *config*, or the file *spec* has its options.
    """
    try:
        step = read_spec(spec) if spec is not None else _configured(config, model)
        target = output or step.statistics
        if not target:
            raise LabError("say with -o where the statistics go; the step names no file")  # noqa: TRY301
        fitted = fit(step, read_training_data(data, step.declared()))
        _write(Path(target), statistics.encode(fitted.statistics))
    except (LabError, Misfit) as error:
        print(f"infergate: {error}", file=sys.stderr)
        return 2
    except ConfigError as error:
        for fault in error.faults:
            print(f"infergate: {fault}", file=sys.stderr)
        return 2
    _show(fitted, step, target)
    for warning in fitted.warnings:
        print(f"infergate: warning: {warning}", file=sys.stderr)
    return 0


def fit(step: TableStep, tensors: tuple[Tensor, ...]) -> Fitted:
    """What the operations of *step* learn of *tensors*, one for each of its columns.

    Each operation learns from what the ones before it have made. Raises LabError, Misfit.
    """
    columns = step.declared()
    enter = entry(columns, {name: each.nan for name, each in step.columns.items()})
    with np.errstate(all="ignore"):
        try:
            blocks = enter(tensors)
        except InvalidRequest as error:
            raise LabError(f"training data: {error}") from None
        seen = _seen(step, blocks)
        found: list[statistics.Learnt] = []
        said: list[str] = []
        done = 0

        def recall(operation: Operation, plan: Plan, places: Sequence[Place]) -> Any:  # noqa: ANN401
            nonlocal done
            try:
                for act in plan.acts[done:]:
                    blocks.append(act(blocks))
            except InvalidRequest as error:
                raise LabError(f"training data, before {operation.kind}: {error}") from None
            done = len(plan.acts)
            given = [_column(plan, place, blocks) for place in places]
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                learnt = learn(operation, places, given)
            said.extend(f"{operation.kind}: {each.message}" for each in caught)
            found.append(
                statistics.Learnt(
                    operation.kind,
                    tuple(place.name for place in places),
                    statistics.settings(operation),
                    msgspec.Raw(msgspec.json.encode(learnt)),
                )
            )
            return learnt

        step.planned(recall)
    if not found:
        raise LabError("no operation of the step learns from data: there is nothing to write")
    rows = tensors[0].shape[0]
    made = statistics.Statistics(
        rows=rows,
        types={column.name: column.datatype for column in columns},
        operations=tuple(found),
    )
    return Fitted(made, seen, [*_suspicious(seen), *said])


def read_spec(path: str) -> TableStep:
    """The step whose options the YAML file *path* has; raises ConfigError."""
    binder = Binder(os.environ, checks={})
    faults: list[Fault] = []
    step: object = FAILED
    try:
        tree, faults = parse(decoded(read_file(path), name=path))
        if tree is None:
            raise Fault(1, "", "is empty; expected columns and operations")  # noqa: TRY301
        step = binder.bind(tree, TableStep, "")
    except Fault as fault:
        faults.append(fault)
    faults += binder.faults
    if faults or not isinstance(step, TableStep):
        raise ConfigError([f"{path}:{each.line}: {each.path}: {each.message}" for each in faults])
    return step


def _configured(path: str | None, model: str | None) -> TableStep:
    if path is None or model is None:
        raise LabError("say which step is meant: with -c FILE and -m MODEL, or with --spec FILE")
    # The file that it names is the one that is to be written.
    models = load(path, files=False).models
    if model not in models:
        raise LabError(f"{path}: there is no model '{model}', only {', '.join(models)}")
    for step in models[model].preprocess:
        if isinstance(step, TableStep):
            return step
    raise LabError(f"{path}: model '{model}' has no step 'table' under preprocess")


def _seen(step: TableStep, blocks: Blocks) -> dict[str, Array]:
    """The columns as they came."""
    plan = msgspec.structs.replace(step, operations=(), statistics="").planned()
    return {place.name: _column(plan, place, blocks) for place in plan.places}


def _column(plan: Plan, place: Place, blocks: Blocks) -> Array:
    if place.text:
        return column_of(blocks[place.block], text=True)
    return column_of(plan.numbers([place])(blocks)[0], text=False)


def _suspicious(columns: dict[str, Array]) -> list[str]:
    """What is odd about *columns*, in words."""
    found = []
    for name, values in columns.items():
        missing, distinct = _missing(values), _distinct(values)
        if distinct <= 1:
            found.append(f"column '{name}' is constant: no model learns from it")
        if missing > _MANY_MISSING * len(values):
            found.append(f"column '{name}' has no value in {missing} of {len(values)} rows")
        if values.dtype == object and distinct > _MANY_CATEGORIES:
            found.append(f"column '{name}' has {distinct} different texts; hashing bounds them")
    return found


def _missing(values: Array) -> int:
    if values.dtype == object:
        return sum(value is None for value in values)
    return int(np.isnan(values).sum())


def _distinct(values: Array) -> int:
    if values.dtype == object:
        return len({value for value in values if value is not None})
    return len(np.unique(values[~np.isnan(values)]))


def _show(fitted: Fitted, step: TableStep, target: str) -> None:
    console = Console()
    table = RichTable("column", "type", title=f"{fitted.statistics.rows} rows")
    for head in ("missing", "different", "least", "mean", "most"):
        table.add_column(head, justify="right")
    for name, values in fitted.columns.items():
        cells = [
            escape(name),
            step.columns[name].type,
            f"{_missing(values)}",
            f"{_distinct(values)}",
        ]
        if values.dtype != object and not np.isnan(values).all():
            known = values[~np.isnan(values)]
            cells += [f"{known.min():.6g}", f"{known.mean():.6g}", f"{known.max():.6g}"]
        table.add_row(*cells)
    console.print(table)
    learnt = RichTable("operation", "columns", "learnt")
    for each in fitted.statistics.operations:
        text = bytes(each.values).decode()
        learnt.add_row(
            each.kind,
            escape(_short(", ".join(each.columns), 40)),
            escape(_short(text, 60)),
        )
    console.print(learnt)
    console.print(f"written: {target}", markup=False, highlight=False)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: a gateway may be reading it."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise LabError(f"{path}: cannot be written: {error.strerror}") from None
