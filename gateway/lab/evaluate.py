# SPDX-License-Identifier: Apache-2.0
"""Evaluate: how right a model is on a labelled set, as clients see it through the gateway."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from gateway.lab import LabError
from gateway.lab.answers import prediction_of
from gateway.lab.client import Client
from gateway.lab.confusion_picture import svg
from gateway.lab.dataset import fit, read_arrays
from gateway.lab.passes import Pass, difference, in_order, send, shuffled
from gateway.lab.quality import Latency, Quality, Truth, UnderLoad
from gateway.lab.tables import show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.lab.client import Protocol
    from gateway.lab.dataset import Dataset
    from gateway.wire.prediction import Prediction
    from gateway.wire.tensor import Array

# So many rows that changed are named.
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """How to evaluate: what `run` says of its arguments."""

    batch: int = 32
    protocol: Protocol = "v2-binary"
    output: str | None = None
    scores: str | None = None
    concurrency: int = 4
    load: int | None = None
    classes: int | None = None
    level: float = 0.95
    timeout: float = 30.0
    seed: int = 0
    min_accuracy: float | None = None

    def check(self) -> None:
        """Raise LabError for what cannot be."""
        load = 1 if self.load is None else self.load
        if self.batch < 1 or self.concurrency < 1 or load < 1:
            raise LabError(
                f"batch {self.batch}, concurrency {self.concurrency}: expected 1 or more of each"
                if load >= 1
                else f"load {load}: expected 1 or more requests in flight"
            )
        if not 0 < self.level < 1:
            raise LabError(f"level {self.level}: expected a share between 0 and 1, such as 0.95")


def run(
    url: str,
    model: str,
    data: str,
    *,
    json: str | None = None,
    picture: str | None = None,
    **plan: Any,  # noqa: ANN401 - the fields of Plan
) -> int:
    """Send the rows of the file *data* to *model* at *url* and print how right the answers are.

    *json* is a file to write the result to, *picture* an SVG file for the confusion matrix. *plan*
    has the fields of `Plan`: *batch* rows go into a request, *concurrency* requests are in flight;
    with *load* there is a second pass with so
    many in flight, rows shuffled. *classes*: average over the classes 0 to *classes* - 1 instead
    of those that occur. *level* is that of all intervals, and *seed* draws the order of the second
    pass and the intervals without a formula. Returns 0; 1 where the accuracy is below
    *min_accuracy* or rows were answered otherwise under load; or 2 after one line on stderr where
    something cannot be used.
    """
    try:
        chosen = Plan(**plan)
        quality = asyncio.run(_evaluate(url, model, data, chosen))
        if json is not None:
            _write(json, quality.json())
        if picture is not None:
            _write(picture, _drawn(data, quality))
    except LabError as error:
        print(f"infergate evaluate: {error}", file=sys.stderr)
        return 2
    show(quality, Console())
    return _verdict(quality, chosen.min_accuracy)


def _verdict(quality: Quality, min_accuracy: float | None) -> int:
    code = 0
    accuracy = quality.accuracy
    if min_accuracy is not None and accuracy is not None and accuracy.value < min_accuracy:
        print(
            f"infergate evaluate: accuracy {accuracy.value:.4f} is below {min_accuracy}",
            file=sys.stderr,
        )
        code = 1
    if quality.under_load is not None and quality.under_load.changed_rows:
        print(
            f"infergate evaluate: {quality.under_load.changed_rows} of {quality.rows} rows were "
            "answered otherwise under load",
            file=sys.stderr,
        )
        code = 1
    return code


async def _evaluate(url: str, model: str, data: str, plan: Plan) -> Quality:
    plan.check()
    arrays = read_arrays(data)
    connections = max(plan.concurrency, plan.load or 1)
    async with Client(
        url, model, protocol=plan.protocol, timeout=plan.timeout, connections=connections
    ) as client:
        inputs, outputs = await client.specs()
        dataset = fit(data, arrays, inputs, rows=plan.batch)
        if plan.min_accuracy is not None and dataset.task == "regression":
            raise LabError(f"{data}: labels are numbers, of which there is no accuracy to ask for")
        prediction = prediction_of(
            outputs, plan.output, bare=dataset.bare, task=dataset.task, scores=plan.scores
        )
        rest, *more = await _passes(client, model, dataset, prediction, plan)
    truth = _truth(data, dataset, rest, plan)
    try:
        fields = truth.fields()
    except LabError as error:
        raise LabError(f"{data}: {error}") from None
    return Quality(
        model=model,
        url=url,
        protocol=plan.protocol,
        output=prediction.output.name,
        rule=prediction.rule,
        scores=None if prediction.scores is None else prediction.scores.name,
        data=Path(data).name,
        seconds=rest.seconds,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        latency=_latency(rest, plan.concurrency),
        under_load=_under_load(truth, rest, more[0], plan.load or 1) if more else None,
        **fields,
    )


async def _passes(
    client: Client, model: str, dataset: Dataset, prediction: Prediction, plan: Plan
) -> list[Pass]:
    """The pass at rest, and the one under load where it is asked for."""
    console = Console(stderr=True)
    wanted: list[tuple[str, Iterator[Array], int]] = [(model, in_order(dataset), plan.concurrency)]
    if plan.load is not None:
        random = np.random.default_rng(plan.seed)
        wanted.append((f"{model} under load", shuffled(dataset, random), plan.load))
    done = []
    with Progress(
        *Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        for name, parts, concurrency in wanted:
            task = progress.add_task(name, total=len(dataset))
            advance = _advance(progress, task)
            done.append(
                await send(
                    client, dataset, prediction, parts=parts, concurrency=concurrency, done=advance
                )
            )
    return done


def _advance(progress: Progress, task: Any) -> Callable[[int], None]:  # noqa: ANN401 - rich's
    return lambda rows: progress.advance(task, rows)


def _truth(data: str, dataset: Dataset, rest: Pass, plan: Plan) -> Truth:
    labels, predicted = dataset.labels, rest.predicted
    if dataset.task == "classification" and labels.dtype.kind != predicted.dtype.kind:
        raise LabError(
            f"{data}: labels such as {labels[0]!r} cannot be compared with predictions such as "
            f"{predicted[0]!r}; give labels of the same kind, or name another --output"
        )
    return Truth(
        dataset.task, labels, predicted, rest.scores, dataset.weights,
        classes=plan.classes, level=plan.level, seed=plan.seed,
    )  # fmt: skip


def _under_load(truth: Truth, rest: Pass, load: Pass, concurrency: int) -> UnderLoad:
    changed = difference(rest, load)
    again = replace(truth, predicted=load.predicted, scores=load.scores)
    return UnderLoad(
        main=again.main(),
        changed_rows=len(changed.rows),
        first_changed=changed.rows[:_NAMED].tolist(),
        largest_score_change=changed.largest,
        latency=_latency(load, concurrency),
    )


def _latency(each: Pass, concurrency: int) -> Latency:
    return Latency.of(
        each.latencies,
        seconds=each.seconds,
        rows=len(each.predicted),
        concurrency=min(concurrency, len(each.latencies)),
    )


def _drawn(data: str, quality: Quality) -> bytes:
    try:
        return svg(quality).encode()
    except ValueError as error:
        raise LabError(f"{data}: {error}") from None


def _write(path: str, content: bytes) -> None:
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None
