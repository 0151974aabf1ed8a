# SPDX-License-Identifier: Apache-2.0
"""Evaluate: how right a model is on a labelled set, as clients see it through the gateway."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from gateway.lab import LabError
from gateway.lab.client import Client
from gateway.lab.dataset import fit, read_arrays
from gateway.lab.metrics import confusion_matrix, seen_classes
from gateway.lab.quality import Quality

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.lab.client import Protocol
    from gateway.lab.dataset import Dataset
    from gateway.wire.model import TensorSpec
    from gateway.wire.tensor import Array

_WHOLE = frozenset({"BOOL", "BYTES", "INT8", "INT16", "INT32", "INT64",
                    "UINT8", "UINT16", "UINT32", "UINT64"})  # fmt: skip
Rule = Literal["class", "argmax"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Which output says the class, and how: it is the class, or its highest column is."""

    output: TensorSpec
    rule: Rule


def prediction_of(outputs: Sequence[TensorSpec], name: str | None, *, bare: bool) -> Prediction:
    """Where the predicted class is found among *outputs*.

    The output *name*, else the first one with one whole number or text a row, else the first one
    with a row of two or more floats. Raises LabError where there is none.
    """
    shown = ", ".join(f"{one.name} {one.datatype} {list(one.shape)}" for one in outputs)
    if name is not None:
        outputs = [one for one in outputs if one.name == name]
        if not outputs:
            raise LabError(f"no output '{name}'; the model has: {shown}")
    for rule in ("class", "argmax"):
        for one in outputs:
            if _rule(one, bare=bare) == rule:
                return Prediction(one, rule)
    raise LabError(
        "no output says a class: expected one whole number or text a row, or a row of two or more "
        f"floats; the model has: {shown}"
    )


def _rule(spec: TensorSpec, *, bare: bool) -> Rule | None:
    row = spec.shape if bare else spec.shape[1:]
    if spec.datatype in _WHOLE:
        return "class" if all(size in {1, -1} for size in row) else None
    return "argmax" if len(row) == 1 and row[0] != 1 else None


def classes_of(array: Array, prediction: Prediction, rows: int) -> Array:
    """The predicted class of each of *rows* rows, [rows]; raises LabError on another shape."""
    name, shape = prediction.output.name, list(array.shape)
    if not array.ndim or array.shape[0] != rows:
        raise LabError(f"output '{name}' has shape {shape} for {rows} rows")
    if prediction.rule == "argmax":
        if array.ndim != 2 or array.shape[1] < 2:
            raise LabError(f"output '{name}' has shape {shape}; expected [{rows}, classes]")
        if prediction.output.datatype == "BF16":
            array = (array.astype("<u4") << 16).view("<f4")
        if np.isnan(array).any():
            raise LabError(f"output '{name}' holds values that are not numbers")
        best: Array = array.argmax(axis=1).astype(np.int64)
        return best
    if array.size != rows:
        raise LabError(f"output '{name}' has shape {shape}; expected one class a row")
    if array.dtype == object:
        return np.asarray([item.decode("utf-8", "replace") for item in array.ravel()])
    return array.reshape(rows).astype(np.int64)


async def predict(
    client: Client,
    dataset: Dataset,
    prediction: Prediction,
    *,
    concurrency: int,
    done: Callable[[int], None],
) -> Array:
    """The predicted class of every row of *dataset*, with *concurrency* requests in flight."""
    parts = list(dataset.slices())
    classes: list[Array | None] = [None] * len(parts)
    waiting = iter(enumerate(parts))

    async def work() -> None:
        for number, part in waiting:
            rows = part.stop - part.start
            tensors = dataset.tensors(part)
            array = await client.predict(tensors, prediction.output, bare=dataset.bare)
            classes[number] = classes_of(array, prediction, rows)
            done(rows)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(parts))):
                group.create_task(work())
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
        if isinstance(first, LabError):
            raise first from None
        raise
    return np.concatenate([part for part in classes if part is not None])


def run(
    url: str,
    model: str,
    data: str,
    *,
    batch: int = 32,
    protocol: Protocol = "v2-binary",
    output: str | None = None,
    json: str | None = None,
    concurrency: int = 4,
    min_accuracy: float | None = None,
    classes: int | None = None,
    level: float = 0.95,
    timeout: float = 30.0,
) -> int:
    """Send the rows of the file *data* to *model* at *url* and print how right the answers are.

    *batch* rows go into a request. *json* is a file to write the result to. *classes*: average
    over the classes 0 to *classes* - 1 instead of those that occur. *level* is that of all
    intervals. Returns 0, 1 where the accuracy is below *min_accuracy*, or 2 after one line on
    stderr where something cannot be used.
    """
    try:
        quality = asyncio.run(
            _evaluate(
                url, model, data,
                batch=batch, protocol=protocol, output=output, concurrency=concurrency,
                classes=classes, level=level, timeout=timeout,
            )
        )  # fmt: skip
        if json is not None:
            _write(json, quality)
    except LabError as error:
        print(f"infergate evaluate: {error}", file=sys.stderr)
        return 2
    quality.show(Console())
    if min_accuracy is not None and quality.accuracy.value < min_accuracy:
        print(
            f"infergate evaluate: accuracy {quality.accuracy.value:.4f} is below {min_accuracy}",
            file=sys.stderr,
        )
        return 1
    return 0


async def _evaluate(
    url: str,
    model: str,
    data: str,
    *,
    batch: int,
    protocol: Protocol,
    output: str | None,
    concurrency: int,
    classes: int | None,
    level: float,
    timeout: float,
) -> Quality:
    if batch < 1 or concurrency < 1:
        raise LabError(f"batch {batch}, concurrency {concurrency}: expected 1 or more of each")
    if not 0 < level < 1:
        raise LabError(f"level {level}: expected a share between 0 and 1, such as 0.95")
    arrays = read_arrays(data)
    console = Console(stderr=True)
    async with Client(
        url, model, protocol=protocol, timeout=timeout, connections=concurrency
    ) as client:
        inputs, outputs = await client.specs()
        dataset = fit(data, arrays, inputs, rows=batch)
        prediction = prediction_of(outputs, output, bare=dataset.bare)
        begun = perf_counter()
        with Progress(
            *Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        ) as progress:  # fmt: skip
            task = progress.add_task(model, total=len(dataset))
            predicted = await predict(
                client, dataset, prediction,
                concurrency=concurrency, done=lambda rows: progress.advance(task, rows),
            )  # fmt: skip
        seconds = perf_counter() - begun
    truth = dataset.labels
    if truth.dtype.kind != predicted.dtype.kind:
        raise LabError(
            f"{data}: labels such as {truth[0]!r} cannot be compared with predictions such as "
            f"{predicted[0]!r}; give labels of the same kind, or name another --output"
        )
    known = seen_classes(truth, predicted) if classes is None else np.arange(classes)
    try:
        matrix = confusion_matrix(truth, predicted, known)
    except ValueError as error:
        raise LabError(f"{data}: {error}") from None
    return Quality.of(
        matrix,
        known,
        level=level,
        model=model,
        url=url,
        protocol=protocol,
        output=prediction.output.name,
        rule=prediction.rule,
        data=Path(data).name,
        classes_from="seen" if classes is None else "given",
        seconds=seconds,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _write(path: str, quality: Quality) -> None:
    try:
        Path(path).write_bytes(quality.json())
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None
