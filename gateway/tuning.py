# SPDX-License-Identifier: Apache-2.0
"""The commands that change a deployment for the better: quantize and tune."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from gateway.admin.ask import refused


class Precision(Enum):
    """What a model is written in; auto is int8-static with data and int8-dynamic without."""

    AUTO = "auto"
    FP16 = "fp16"
    INT8_DYNAMIC = "int8-dynamic"
    INT8_STATIC = "int8-static"
    INT8_MIXED = "int8-mixed"


class Ranges(Enum):
    """How the range of a tensor is taken from what calibration sees."""

    MINMAX = "minmax"
    ENTROPY = "entropy"
    PERCENTILE = "percentile"


ModelPath = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model directory (MODEL/1/model.onnx) or file.")
]
MaxDrop = Annotated[
    str,
    typer.Option(
        "--max-accuracy-drop",
        metavar="SHARE",
        help="Of all rows; a model must be shown to lose less, such as 0.5%.",
    ),
]
OutputName = Annotated[
    str | None,
    typer.Option("--output-name", help="Output that says the class, or has a row of scores."),
]


def share_of(text: str, option: str) -> float:
    """The share that *text* says; ends the command with a message on *option* otherwise."""
    from gateway.units import parse_share

    try:
        share = parse_share(text)
    except ValueError as error:
        raise refused(f"{option}: {error}") from None
    if not 0 < share < 1:
        raise refused(f"{option}: expected more than 0 % and less than 100 %, got '{text}'")
    return share


def quantize(
    model: ModelPath,
    *,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="DIR", help="By default MODEL-PRECISION."),
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="auto: int8-static with data, int8-dynamic without.")
    ] = Precision.AUTO,
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE.npz", help="Rows to calibrate with and, labelled, to judge by."),
    ] = None,
    ranges: Annotated[Ranges, typer.Option(help="How calibration finds ranges.")] = Ranges.MINMAX,
    per_channel: Annotated[bool, typer.Option(help="A scale for each channel of weights.")] = True,
    max_drop: MaxDrop = "1%",
    batch: Annotated[int, typer.Option(min=1, help="Rows in a run.")] = 32,
    output_name: OutputName = None,
    scores: Annotated[
        str | None, typer.Option(help="Output with a row of scores beside it, for calibration.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write it even where the accuracy gate refuses.")
    ] = False,
    report: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the result there.")
    ] = None,
) -> None:
    """Write a model in fewer bits, and refuse where that is not shown to be harmless."""
    from gateway.lab.quantize.command import run

    raise typer.Exit(
        run(
            model,
            output=output,
            data=data,
            json=report,
            precision=precision.value,
            ranges=ranges.value,
            per_channel=per_channel,
            margin=share_of(max_drop, "--max-accuracy-drop"),
            batch=batch,
            output_name=output_name,
            scores=scores,
            force=force,
        )
    )


class Protocol(Enum):
    """What the load speaks to the gateway."""

    V2_JSON = "v2-json"
    V2_BINARY = "v2-binary"
    V1 = "v1"


def tune(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A model directory or file; with -c a model's name."),
    ],
    *,
    data: Annotated[
        str, typer.Option(metavar="FILE.npz", help="Inputs for the load, and labels to judge by.")
    ],
    slo: Annotated[str, typer.Option(help="What has to be kept: p99=20ms,errors=0.1%.")],
    max_drop: MaxDrop = "0.5%",
    config: Annotated[
        str | None,
        typer.Option("-c", "--config", metavar="FILE", help="Begin with this configuration."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE.yaml", help="Write the best one there."),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Settings to try at most.")] = 40,
    time: Annotated[str, typer.Option(metavar="TIME", help="To search at most.")] = "15m",
    rounds: Annotated[int, typer.Option(min=2, help="Turns in which the best are compared.")] = 5,
    window: Annotated[str, typer.Option(metavar="TIME", help="Of load at each rate.")] = "2s",
    concurrency: Annotated[
        int, typer.Option(min=1, help="Requests in flight when the capacity is found.")
    ] = 32,
    batch: Annotated[int, typer.Option(min=1, help="Rows in a request.")] = 1,
    protocol: Annotated[Protocol, typer.Option(help="What the load speaks.")] = Protocol.V2_JSON,
    repeat: Annotated[
        str, typer.Option(metavar="SHARE", help="Of requests that were asked before.")
    ] = "0%",
    cores: Annotated[int, typer.Option(min=0, help="That workers may use; 0: all there are.")] = 0,
    max_memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Of all processes, such as 2GiB.")
    ] = None,
    precision: Annotated[
        list[Precision] | None, typer.Option(help="To try besides the model's own; repeatable.")
    ] = None,
    only: Annotated[
        str, typer.Option(metavar="NAME,…", help="Search these alone: layouts,max_rows,….")
    ] = "",
    output_name: OutputName = None,
    seed: Annotated[int, typer.Option(help="Of the search.")] = 1,
    json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the result there.")
    ] = None,
    report: Annotated[
        str | None, typer.Option("--report", metavar="FILE.html", help="Write a report there.")
    ] = None,
) -> None:
    """Search the settings under which a model carries most traffic within its SLO."""
    from gateway.lab.tune.command import run
    from gateway.units import parse_duration, parse_share, parse_size

    try:
        seconds, each = parse_duration(time), parse_duration(window)
        share = parse_share(repeat)
        memory = None if max_memory is None else parse_size(max_memory)
    except ValueError as error:
        raise refused(str(error)) from None
    options = {}
    if precision is not None:
        options["precisions"] = tuple(one.value for one in precision if one != Precision.AUTO)
    raise typer.Exit(
        run(
            model, data=data, config=config, output=output, json=json, report=report,
            slo=slo, margin=share_of(max_drop, "--max-accuracy-drop"), trials=trials,
            seconds=seconds, rounds=rounds, window=each, concurrency=concurrency, batch=batch,
            protocol=protocol.value, repeat=share, cores=cores, memory=memory, seed=seed,
            only=tuple(name.strip() for name in only.split(",") if name.strip()),
            output_name=output_name, **options,
        )
    )  # fmt: skip
