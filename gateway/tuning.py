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
