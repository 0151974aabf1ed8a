# SPDX-License-Identifier: Apache-2.0
"""Robustness: how right a model stays when its pictures get worse."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gateway.lab import LabError
from gateway.lab.answers import prediction_of
from gateway.lab.client import Client
from gateway.lab.dataset import fit, read_arrays
from gateway.lab.passes import in_order, send
from gateway.statistics.estimate import Estimate
from gateway.statistics.intervals import wilson
from gateway.steps.corruption import CORRUPTIONS, SEVERITIES, MissingLibrary
from gateway.wire.tensor import DATATYPE, Array

if TYPE_CHECKING:
    from gateway.lab.client import Protocol
    from gateway.lab.dataset import Dataset

Layout = Literal["NCHW", "NHWC"]


class Probe(msgspec.Struct, frozen=True):
    """Accuracy under one corruption; *skipped* says why it was not measured."""

    corruption: str
    severity: int
    accuracy: Estimate | None = None
    skipped: str = ""


class Robustness(msgspec.Struct, frozen=True):
    """The probes of a *model*, the first without a corruption."""

    model: str
    data: str
    level: float
    probes: list[Probe]

    def show(self, console: Console) -> None:
        """A row for each corruption and severity."""
        table = Table("corruption", box=SIMPLE_HEAD, title=f"robustness of {self.model}")
        for heading in ("severity", "accuracy", f"{self.level:.0%} interval", "n"):
            table.add_column(heading, justify="right")
        for probe in self.probes:
            found = probe.accuracy
            if found is None:
                table.add_row(probe.corruption, "", probe.skipped, "", "")
                continue
            interval = f"{found.lower:.4f} to {found.upper:.4f}"
            severity = str(probe.severity or "")
            table.add_row(probe.corruption, severity, f"{found.value:.4f}", interval, str(found.n))
        console.print(table)


class Pictures:
    """The pictures in the *rows* of one input [n, ...], and the way back from them.

    *shape* is that of a row that is a flat vector, *limits* are the least and the greatest value.
    Raises LabError where rows are no pictures.
    """

    def __init__(
        self,
        rows: Array,
        *,
        name: str,
        layout: Layout,
        shape: tuple[int, ...] = (),
        limits: tuple[float, ...] = (),
    ) -> None:
        row = shape or rows.shape[1:]
        if int(np.prod(row)) != int(np.prod(rows.shape[1:])) or len(row) not in {2, 3}:
            raise LabError(
                f"a row of input '{name}' is {list(rows.shape[1:])}, which is no picture of "
                f"{list(row)}; say its height and width with --shape, such as 8x8"
            )
        if rows.dtype not in DATATYPE or rows.dtype.kind not in "fiu":
            raise LabError(f"input '{name}' is {rows.dtype}; corruptions are for numbers")
        self._rows = rows
        self._shape = (len(rows), *row)
        self._first = layout == "NCHW" and len(row) == 3
        self._low, self._high = limits or (float(rows.min()), float(rows.max()))
        if not self._low < self._high:
            raise LabError(
                f"values of input '{name}' go from {self._low} to {self._high}; say the range of a "
                "picture with --range, such as 0:255"
            )

    def values(self) -> Array:
        """[n, height, width, channels], from 0 to 1."""
        pictures = self._rows.reshape(self._shape)
        if len(self._shape) == 3:
            pictures = pictures[..., None]
        elif self._first:
            pictures = np.moveaxis(pictures, 1, -1)
        scaled = (pictures.astype(np.float64) - self._low) / (self._high - self._low)
        return np.clip(scaled, 0, 1)

    def rows(self, pictures: Array) -> Array:
        """*pictures* in the form and type of the input."""
        if len(self._shape) == 3:
            pictures = pictures[..., 0]
        elif self._first:
            pictures = np.moveaxis(pictures, -1, 1)
        values = pictures * (self._high - self._low) + self._low
        if self._rows.dtype.kind != "f":
            values = np.rint(values)
        return np.ascontiguousarray(values.reshape(self._rows.shape), self._rows.dtype)


def _numbers(
    text: str, option: str, sign: str, counts: set[int], example: str
) -> tuple[float, ...]:
    """The numbers in *text*, none in an empty one; raises LabError for anything else."""
    if not text:
        return ()
    try:
        numbers = tuple(float(part) for part in text.split(sign))
    except ValueError:
        numbers = ()
    if len(numbers) not in counts or (sign == "x" and min(numbers) < 1):
        raise LabError(f"{option}: expected numbers like {example}, got '{text}'")
    return numbers


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
    level: float = 0.95,
    timeout: float = 30.0,
    layout: Layout = "NCHW",
    shape: str = "",
    limits: str = "",
    seed: int = 0,
) -> int:
    """Send the pictures of *data* in every corruption to *model* at *url*; print accuracies.

    *shape* is that of a picture in a flat row, such as ``8x8``, *limits* the range of its values,
    such as ``0:255``. *json* is a file for the result. *seed* is that of the noise. Returns 0, or
    2 after one line on stderr where something cannot be used.
    """
    try:
        found = asyncio.run(
            _probe(
                url, model, data,
                batch=batch, protocol=protocol, output=output, concurrency=concurrency,
                level=level, timeout=timeout, layout=layout, shape=shape, limits=limits, seed=seed,
            )
        )  # fmt: skip
        if json is not None:
            Path(json).write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    except (LabError, OSError) as error:
        print(f"infergate evaluate: {error}", file=sys.stderr)
        return 2
    found.show(Console())
    return 0


async def _probe(
    url: str,
    model: str,
    data: str,
    *,
    batch: int,
    protocol: Protocol,
    output: str | None,
    concurrency: int,
    level: float,
    timeout: float,
    layout: Layout,
    shape: str,
    limits: str,
    seed: int,
) -> Robustness:
    arrays = read_arrays(data)
    async with Client(
        url, model, protocol=protocol, timeout=timeout, connections=concurrency
    ) as client:
        inputs, outputs = await client.specs()
        dataset = fit(data, arrays, inputs, rows=batch)
        if len(inputs) != 1:
            raise LabError(f"the model has {len(inputs)} inputs; expected one, with pictures")
        name = inputs[0].name
        if dataset.task != "classification":
            raise LabError(f"{data}: labels are not one class a row, and corruptions need that")
        prediction = prediction_of(outputs, output, bare=dataset.bare)
        pictures = Pictures(
            dataset.inputs[name],
            name=name,
            layout=layout,
            shape=tuple(map(int, _numbers(shape, "--shape", "x", {2, 3}, "8x8"))),
            limits=_numbers(limits, "--range", ":", {2}, "0:255"),
        )

        async def right(rows: Dataset) -> Estimate:
            answered = await send(
                client,
                rows,
                prediction,
                parts=in_order(rows),
                concurrency=concurrency,
                done=lambda _: None,
            )
            hits, n = int((answered.predicted == rows.labels).sum()), len(rows)
            return Estimate.of(hits / n, wilson(hits, n, level=level), n, method="wilson")

        probes = [Probe("none", 0, await right(dataset))]
        plan = [(kind, severity) for kind in CORRUPTIONS for severity in SEVERITIES]
        console = Console(stderr=True)
        for kind, severity in track(
            plan, "corruptions", console=console, transient=True, disable=not console.is_terminal
        ):
            if probes[-1].corruption == kind and probes[-1].skipped:
                continue
            try:
                worse = CORRUPTIONS[kind](pictures.values(), severity, seed)
            except (MissingLibrary, ValueError) as error:
                probes.append(Probe(kind, severity, skipped=str(error)))
                continue
            rows = replace(dataset, inputs={name: pictures.rows(worse)})
            probes.append(Probe(kind, severity, await right(rows)))
    return Robustness(model, Path(data).name, level, probes)
