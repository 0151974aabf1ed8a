# SPDX-License-Identifier: Apache-2.0
"""The command line: ``infergate``, also ``python -m gateway``.

Exit codes: 0 done, 1 the answer is no, 2 bad input, with one clear line on stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway import __version__, admin

if TYPE_CHECKING:
    from gateway.config import Config, WorkerConfig

_BAD_INPUT: Final = 2
_INTERRUPTED: Final = 130
# What typer raises for wrong arguments, of which it makes only some classes public.
_ClickError: Final[type[typer.BadParameter]] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="infergate",
    help="A reverse-proxy inference gateway for ONNX models.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigFile = Annotated[
    str,
    typer.Option("-c", "--config", envvar="INFERGATE_CONFIG", help="Configuration, a YAML file."),
]


class Protocol(Enum):
    """How `evaluate` speaks to the gateway."""

    V2_BINARY = "v2-binary"
    V2_JSON = "v2-json"
    V1 = "v1"


class Layout(Enum):
    """Where the channels of a picture stand."""

    NCHW = "NCHW"
    NHWC = "NHWC"


def _version(asked: bool) -> None:  # noqa: FBT001 - typer's callback
    if asked:
        print(f"infergate {__version__}")
        raise typer.Exit


@app.callback()
def infergate(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - its callback answers it
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """A reverse-proxy inference gateway for ONNX models."""
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(_BAD_INPUT)


@app.command()
def serve(
    config: ConfigFile,
    *,
    http: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="In place of server.http.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, max=256, help="In place of server.processes.")
    ] = None,
) -> None:
    """Serve what a configuration says until SIGTERM or Ctrl-C."""
    from gateway.units import parse_address

    if http is not None:
        try:
            parse_address(http)
        except ValueError as error:
            raise _refusal(f"--http: {error}") from None
    from gateway import supervisor

    raise typer.Exit(supervisor.run(config, http=http, processes=processes))


app.command()(admin.reload)
app.add_typer(admin.backends, name="backends")
app.add_typer(admin.cache, name="cache")


Model = Annotated[str, typer.Option("-m", "--model", help="Which of its models.")]


@app.command()
def check(
    config: ConfigFile,
    *,
    golden: Annotated[
        str | None,
        typer.Option(metavar="FILE.npz", help="Hold a model's steps to these golden vectors."),
    ] = None,
    model: Model = "",
) -> None:
    """Check a configuration: exit code 0, or 2 after a line for every fault.

    With --golden also 1, where the steps of the model give something else.
    """
    from gateway.config import load
    from gateway.errors import ConfigError

    try:
        loaded = load(config)
    except ConfigError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        raise typer.Exit(_BAD_INPUT) from None
    if golden is not None:
        _check_golden(loaded, golden, model)
    backends = [each for section in loaded.models.values() for each in section.backends]
    workers = sum(each.worker.replicas for each in backends if each.worker is not None)
    elsewhere = sum(each.worker is None for each in backends)
    words = [_count(len(loaded.models), "model"), _count(workers, "worker")]
    if elsewhere:
        words.append(f"{elsewhere} elsewhere")
    print(f"{config}: good: {', '.join(words)}")


def _check_golden(config: Config, file: str, model: str) -> None:
    from gateway.lab import LabError, golden

    try:
        faults = golden.check(config, file, model, _describe)
    except LabError as error:
        raise _refusal(str(error)) from None
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        raise typer.Exit(1)
    print(f"{file}: the steps give what it says")


@app.command("golden")
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


@app.command()
def schema() -> None:
    """Print the JSON Schema of a configuration, for editors."""
    from gateway.config.schema import schema as configuration_schema

    print(json.dumps(configuration_schema(), indent=2, ensure_ascii=False))


@app.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": [],
    }
)
def worker(
    context: typer.Context,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL_DIR --listen unix:PATH|tcp:HOST:PORT", help="See infergate worker -h."
        ),
    ] = None,
) -> None:
    """Run one model worker alone, for gateways on this machine or elsewhere."""
    from gateway.supervisor.plan import python, surroundings

    command = python("backends", *(arguments or []), *context.args)
    # Replaced, not called: the worker shares no memory with the command line.
    os.execve(  # noqa: S606 - no shell, our own program
        command[0], command, {**os.environ, **surroundings(os.environ)}
    )


@app.command()
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
        raise _refusal(f"--timeout: {error}") from None
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
            concurrency=concurrency,
            load=load,
            min_accuracy=min_accuracy,
            classes=classes,
            level=level,
            timeout=seconds,
        )
    )


@app.command("fit-preprocess")
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


def _refusal(message: str) -> typer.Exit:
    print(f"infergate: {message}", file=sys.stderr)
    return typer.Exit(_BAD_INPUT)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run *arguments*, by default those of the program; gives the exit code."""
    try:
        code = app(arguments, prog_name="infergate", standalone_mode=False)
    except _ClickError as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "infergate"
        words = " ".join(error.format_message().split()).rstrip(".")
        print(f"{command}: {words[:1].lower()}{words[1:]}; see {command} --help", file=sys.stderr)
        return _BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough, as in `infergate schema | head`; so has the interpreter.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0
