# SPDX-License-Identifier: Apache-2.0
"""The commands that measure a model and learn for it: evaluate, golden vectors, fit-preprocess."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.admin.ask import refused

if TYPE_CHECKING:
    from gateway.config import Config, WorkerConfig

_BAD_INPUT: Final = 2

ConfigFile = Annotated[
    str,
    typer.Option("-c", "--config", envvar="INFERGATE_CONFIG", help="Configuration, a YAML file."),
]
Model = Annotated[str, typer.Option("-m", "--model", help="Which of its models.")]


class Protocol(Enum):
    """How `evaluate` speaks to the gateway."""

    V2_BINARY = "v2-binary"
    V2_JSON = "v2-json"
    V1 = "v1"


class Layout(Enum):
    """Where the channels of a picture stand."""

    NCHW = "NCHW"
    NHWC = "NHWC"


def check_golden(config: Config, file: str, model: str) -> None:
    """Hold the steps of *model* to the golden vectors in *file*; ends the command otherwise."""
    from gateway.lab import LabError, golden

    try:
        faults = golden.check(config, file, model, _describe)
    except LabError as error:
        raise refused(str(error)) from None
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        raise typer.Exit(1)
    print(f"{file}: the steps give what it says")


def write_golden(
    config: ConfigFile,
    *,
    data: Annotated[
        str, typer.Option(metavar="FILE.npz", help="Arrays: the inputs by name, as clients send.")
    ],
    to: Annotated[str, typer.Option("-o", "--output", metavar="FILE.npz", help="Written there.")],
    model: Model = "",
    rows: Annotated[int, typer.Option(min=1, help="How many of its first rows.")] = 32,
) -> None:
    """Write golden vectors: inputs, and what the steps of a model make of them today."""
    from gateway.config import load
    from gateway.errors import ConfigError
    from gateway.lab import LabError, golden

    try:
        print(golden.write(load(config), model, _describe, data=data, to=to, rows=rows))
    except (ConfigError, LabError) as error:
        for fault in getattr(error, "faults", None) or [f"infergate golden: {error}"]:
            print(fault, file=sys.stderr)
        raise typer.Exit(_BAD_INPUT) from None


def _describe(model: str, worker: WorkerConfig) -> tuple[Sequence[str], dict[str, str]]:
    from gateway.supervisor.plan import describing_command, surroundings

    return describing_command(worker, model=model), {**os.environ, **surroundings(os.environ)}


def evaluate(
    url: Annotated[str, typer.Argument(help="Of a running gateway: http://HOST:PORT.")],
    *,
    model: Annotated[str, typer.Option("-m", "--model", help="Which of its models.")],
    data: Annotated[
        str, typer.Option(metavar="FILE.npz", help="Arrays: the inputs by name, and labels.")
    ],
    batch: Annotated[int, typer.Option(min=1, help="Rows in a request.")] = 32,
    protocol: Annotated[
        Protocol, typer.Option(help="What is spoken to the gateway.")
    ] = Protocol.V2_BINARY,
    output: Annotated[
        str | None, typer.Option(help="Output that says the class, or has a row of scores.")
    ] = None,
    scores: Annotated[
        str | None, typer.Option(help="Output with a row of scores beside it, for ROC-AUC etc.")
    ] = None,
    report: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the result there.")
    ] = None,
    picture: Annotated[
        str | None,
        typer.Option("--confusion-matrix", metavar="FILE.svg", help="Draw it there."),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at the same time.")] = 4,
    load: Annotated[
        int | None,
        typer.Option(min=1, help="Once more, shuffled, with so many: answers must be the same."),
    ] = None,
    min_accuracy: Annotated[
        float | None, typer.Option(min=0, max=1, help="Exit with 1 where it is below this.")
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(min=2, help="Average over this many classes, not over those that occur."),
    ] = None,
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.95,
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="How long a request may take.")
    ] = "30s",
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Accuracy under noise, blur, brightness and JPEG.")
    ] = False,
    shape: Annotated[
        str, typer.Option(metavar="HxW[xC]", help="Of a picture in a flat row, for --robustness.")
    ] = "",
    layout: Annotated[Layout, typer.Option(help="Of a picture, for --robustness.")] = Layout.NCHW,
    limits: Annotated[
        str,
        typer.Option("--range", metavar="LOW:HIGH", help="Of a picture's values; of the data's."),
    ] = "",
) -> None:
    """Say how right a model is on labelled data, through a running gateway."""
    from gateway.lab.evaluate import run
    from gateway.units import parse_duration

    try:
        seconds = parse_duration(timeout)
    except ValueError as error:
        raise refused(f"--timeout: {error}") from None
    if robustness:
        from gateway.lab import robustness as probes

        raise typer.Exit(
            probes.run(
                url, model, data,
                batch=batch, protocol=protocol.value, output=output, json=report,
                concurrency=concurrency, level=level, timeout=seconds, layout=layout.value,
                shape=shape, limits=limits,
            )
        )  # fmt: skip
    raise typer.Exit(
        run(
            url,
            model,
            data,
            batch=batch,
            protocol=protocol.value,
            output=output,
            scores=scores,
            json=report,
            picture=picture,
            concurrency=concurrency,
            load=load,
            min_accuracy=min_accuracy,
            classes=classes,
            level=level,
            timeout=seconds,
        )
    )


def fit_preprocess(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Training data: .csv, .parquet or .npz.")
    ],
    *,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="In place of the step's 'statistics'."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("-c", "--config", envvar="INFERGATE_CONFIG", help="Configuration."),
    ] = None,
    model: Annotated[str | None, typer.Option("-m", "--model", help="Which of its models.")] = None,
    spec: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A YAML file with the step's options alone."),
    ] = None,
) -> None:
    """Learn what a model's step 'table' needs to know of its training data."""
    from gateway.lab.fit_preprocess import run

    raise typer.Exit(run(data, output=output, config=config, model=model, spec=spec))


def send_labels(
    url: Annotated[str, typer.Argument(help="Of a running gateway: http://HOST:PORT.")],
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="CSV, NDJSON, JSON or npz; - is standard input.")
    ],
    *,
    model: Annotated[str, typer.Option("-m", "--model", help="The model they are for.")] = "",
    batch: Annotated[int, typer.Option(min=1, max=100_000, help="Labels in a request.")] = 2000,
    id_column: Annotated[
        str, typer.Option("--id", metavar="NAME", help="The column with the ids, if not id.")
    ] = "",
    label_column: Annotated[
        str, typer.Option("--label", metavar="NAME", help="The one with labels, if not label.")
    ] = "",
    header: Annotated[
        list[str] | None,
        typer.Option("-H", "--header", metavar="NAME: VALUE", help="Sent along; any number."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")] = False,
) -> None:
    """Send labels for predictions that were made, and say what became of them.

    Sending a file again does no harm: what arrived counts once.
    Exit code 1: some labels were refused, or are for predictions that are not kept.
    """
    import json

    from gateway.lab import LabError
    from gateway.lab.label_files import LabelFile
    from gateway.lab.send_labels import Sender, Tally, progress

    rename = {name: field for name, field in ((id_column, "id"), (label_column, "label")) if name}
    tally = Tally()
    try:
        headers = dict(_header(each) for each in header or ())
        labels = LabelFile(file, rename)
        with Sender(url, model=model, headers=headers) as sender, progress(labels.size) as done:
            for items, place in labels.batches(batch):
                tally.add(sender.send(items))
                done(place)
    except LabError as error:
        if tally.counts:
            print("until then:", *tally.lines(), sep="\n", file=sys.stderr)
        raise refused(str(error)) from None
    if as_json:
        print(json.dumps({"counts": tally.counts, "reasons": tally.reasons}, indent=2))
    else:
        print(*tally.lines(), sep="\n")
    if tally.counts["rejected"] or tally.counts["expired"]:
        raise typer.Exit(1)


def _header(text: str) -> tuple[str, str]:
    name, separator, value = text.partition(":")
    if not separator or not name.strip():
        raise refused(f"--header '{text}': expected NAME: VALUE")
    return name.strip(), value.strip()


def fit_reference(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="npz, CSV or Parquet: rows as clients send them.")
    ],
    *,
    to: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="Written there.")],
    model: Annotated[str, typer.Option("-m", "--model", help="Which of the gateway's models.")],
    url: Annotated[
        str, typer.Option(help="Of a running gateway, which is asked for the answers.")
    ] = "http://127.0.0.1:8000",
    feature: Annotated[
        list[str] | None, typer.Option(help="Watch this one; again for others. The first 64.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Rows in a request.")] = 64,
) -> None:
    """Make a reference for `drift`: how inputs and answers of known data are distributed."""
    from gateway.lab import LabError
    from gateway.lab import fit_reference as fitting

    try:
        print(fitting.run(url, model, data, to=to, batch=batch, features=feature or ()))
    except LabError as error:
        raise refused(str(error).removeprefix("infergate: ")) from None
