# SPDX-License-Identifier: Apache-2.0
"""Passes: a labelled set sent once through the gateway, at rest or under load, and timed.

At rest rows go in their order. Under load many requests are in flight, with rows in a random order
and in batches of random sizes: what a row is answered must not depend on its company.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.lab import LabError
from gateway.lab.answers import predicted_of, scores_of

if TYPE_CHECKING:
    from gateway.lab.client import Client
    from gateway.lab.dataset import Dataset
    from gateway.wire.prediction import Prediction
    from gateway.wire.tensor import Array

# Scores of one row differ with the batch it is in by rounding, and by far less than this.
NOISE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Pass:
    """What every row was answered, in the order of the set, and how long that took.

    *predicted* is [n] or [n, labels], *scores* [n, C] or None; *latencies* are seconds, one a
    request, and *seconds* those of the whole pass.
    """

    predicted: Array
    scores: Array | None
    latencies: Array
    seconds: float


def in_order(dataset: Dataset) -> Iterator[Array]:
    """The places of the rows of each request, in the order of the set."""
    for part in dataset.slices():
        yield np.arange(part.start, part.stop)


def shuffled(dataset: Dataset, random: np.random.Generator) -> Iterator[Array]:
    """The places of the rows of each request, at random and in batches of random sizes."""
    order = random.permutation(len(dataset))
    start = 0
    while start < len(order):
        rows = dataset.rows if dataset.fixed else int(random.integers(1, dataset.rows + 1))
        yield order[start : start + rows]
        start += rows


async def send(
    client: Client,
    dataset: Dataset,
    prediction: Prediction,
    *,
    parts: Iterator[Array],
    concurrency: int,
    done: Callable[[int], None],
) -> Pass:
    """Send the rows at the places of *parts*, with *concurrency* requests in flight.

    *done* hears of finished rows. Raises LabError for the first request that fails.
    """
    requests = list(parts)
    answers: list[tuple[Array, Array | None] | None] = [None] * len(requests)
    latencies = np.zeros(len(requests))
    waiting = iter(enumerate(requests))

    async def work() -> None:
        for number, places in waiting:
            tensors = dataset.tensors(places)
            begun = perf_counter()
            arrays = await client.predict(tensors, prediction.outputs, bare=dataset.bare)
            latencies[number] = perf_counter() - begun
            rows = len(places)
            answers[number] = (
                predicted_of(arrays[0], prediction, rows),
                scores_of(arrays[-1], prediction, rows),
            )
            done(rows)

    begun = perf_counter()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(requests))):
                group.create_task(work())
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
        if isinstance(first, LabError):
            raise first from None
        raise
    seconds = perf_counter() - begun
    finished = [one for one in answers if one is not None]
    back = np.argsort(np.concatenate(requests), kind="stable")
    scored = [scores for _, scores in finished if scores is not None]
    if len({one.shape[1] for one in scored}) > 1:
        raise LabError(f"output '{prediction.output.name}' has rows of different lengths")
    return Pass(
        np.concatenate([said for said, _ in finished])[back],
        np.concatenate(scored)[back] if scored else None,
        latencies,
        seconds,
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """Rows that were answered otherwise in another pass, and the largest change of a score."""

    rows: Array
    largest: float | None


def difference(first: Pass, second: Pass) -> Difference:
    """Where two passes over one set differ: another prediction, or a score beyond rounding."""
    other = first.predicted != second.predicted
    if first.predicted.dtype.kind == "f":
        scale = np.maximum(np.abs(first.predicted), 1.0)
        other = np.abs(first.predicted - second.predicted) > NOISE * scale
    if other.ndim == 2:
        other = other.any(axis=1)
    largest = None
    if first.scores is not None and second.scores is not None:
        change = np.abs(first.scores - second.scores).max(axis=1)
        spread = max(1.0, float(np.abs(first.scores).max()))
        other = other | (change > NOISE * spread)
        largest = float(change.max())
    elif first.predicted.dtype.kind == "f":
        largest = float(np.abs(first.predicted - second.predicted).max())
    return Difference(np.flatnonzero(other), largest)
