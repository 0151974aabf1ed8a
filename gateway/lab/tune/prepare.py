# SPDX-License-Identifier: Apache-2.0
"""Prepare: from a model and a data set to a space of settings and a bench to try them on."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway import __version__
from gateway.lab.client import Client
from gateway.lab.quantize.cpu import this_cpu
from gateway.lab.quantize.rows import Rows, read
from gateway.lab.quantize.session import Session
from gateway.lab.quantize.source import find
from gateway.lab.tune.document import Document
from gateway.lab.tune.gateway_bench import GatewayBench, Pace
from gateway.lab.tune.gateway_process import GatewayProcess
from gateway.lab.tune.precisions import Precisions, precisions
from gateway.lab.tune.setting import Setting, Space

if TYPE_CHECKING:
    from gateway.lab.dataset import Dataset
    from gateway.lab.tune.command import Plan
    from gateway.lab.tune.measured import Objective
    from gateway.wire.model import TensorSpec

# Rows that are answered in every trial at most, drawn once: more would take the time of the load.
MOST_JUDGED: Final = 4000


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a search begins with."""

    document: Document
    start: Setting
    space: Space
    bench: GatewayBench
    precisions: Precisions = field(default_factory=Precisions)

    @property
    def models(self) -> dict[str, str]:
        """The directory of the model in each other precision."""
        return self.precisions.models


def prepare(
    model: str, plan: Plan, objective: Objective, *, data: str, config: str | None, home: Path,
    told: Callable[[str], None],
) -> Prepared:  # fmt: skip
    """Read *model* (or that of the name in *config*) and *data*, and make other precisions.

    Files are made in *home*; *told* hears what is done. Raises LabError.
    """
    if config is None:
        source = find(model)
        document = Document.of_model(source.name, model)
    else:
        document = Document.of_file(config, model)
        source = find(document.path)
    start = document.start()
    searched = "precision" in plan.only or not plan.only
    made = Precisions()
    if document.steps:
        # The rows are what clients send; what the model takes is made of them in the gateway.
        told("reading what clients send")
        rows = read(data, asyncio.run(_specs(document, start)), batch=plan.batch, calibrates=False)
        if searched and plan.precisions:
            why = "rows reach the model through steps; quantise it with infergate quantize."
            made.refusals.update(dict.fromkeys(plan.precisions, why))
    else:
        session = Session(source.file)
        rows = read(data, session.inputs, batch=max(plan.batch, 8), calibrates=searched)
        if searched:
            made = precisions(
                source, session, rows, plan.precisions,
                directory=home, margin=plan.margin, alpha=plan.alpha, output=plan.output_name,
                told=lambda precision: told(f"{source.name} as {precision}"),
            )  # fmt: skip
    space = _space(plan, start, made)
    bench = GatewayBench(
        document,
        objective,
        Pace(
            window=plan.window, concurrency=plan.concurrency, batch=plan.batch,
            protocol=plan.protocol, repeat=plan.repeat, shares=plan.shares,
        ),
        start=start,
        models=made.models,
        dataset=judging(rows),
        labelled=rows.labelled,
        data=data,
        margin=plan.margin,
        alpha=plan.alpha / max(1, len(made.models)),
        output=plan.output_name,
    )  # fmt: skip
    return Prepared(document, start, space, bench, made)


def judging(rows: Rows) -> Dataset:
    """The rows that judge, as a set of their own."""
    places = rows.judge[:MOST_JUDGED]
    whole = rows.dataset
    places = places[: len(places) - len(places) % whole.rows] if whole.fixed else places
    return replace(
        whole,
        inputs={name: array[places] for name, array in whole.inputs.items()},
        labels=whole.labels[places],
        weights=None,
    )


def _space(plan: Plan, start: Setting, made: Precisions) -> Space:
    cores = plan.cores or len(os.sched_getaffinity(0))
    choices: dict[str, Any] = {"precision": ("fp32", *made.models)}
    # Without repeats a cache holds nothing that is asked again.
    choices["cache"] = (False, True) if plan.repeat > 0 else (start.cache,)
    space = Space.on(cores, **choices)
    if plan.only:
        fixed = {
            name: ((start.replicas, start.threads, start.instances),)
            if name == "layouts"
            else (getattr(start, name),)
            for name in space.choices()
            if name not in plan.only
        }
        space = msgspec.structs.replace(space, **fixed)
    return space


async def _specs(document: Document, start: Setting) -> list[TensorSpec]:
    async with (
        GatewayProcess(document.trial(start)) as gateway,
        Client(gateway.url, document.model) as client,
    ):
        inputs, _ = await client.specs()
        return inputs


def about(made: Prepared, plan: Plan, data: str, objective: Objective) -> dict[str, str]:
    """What trials depend on, so that those of something else are not taken for these."""
    file = find(made.document.path).file
    return {
        "model": sha256(file.read_bytes()).hexdigest(),
        "data": sha256(Path(data).read_bytes()).hexdigest(),
        "SLO": f"{objective.slo} {objective.memory}",
        "configuration": sha256(made.document.trial(made.start).encode()).hexdigest(),
        "load": f"{plan.window} {plan.concurrency} {plan.batch} {plan.protocol} {plan.repeat}",
        "accuracy drop": f"{plan.margin}",
        "machine": " ".join(machine().values()),
    }


def machine() -> dict[str, str]:
    """What was measured on."""
    return {
        "processor": this_cpu().name,
        "cores": str(len(os.sched_getaffinity(0))),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "infergate": __version__,
    }
