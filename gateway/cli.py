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
from typing import Annotated, Final

import typer

from gateway import __version__, admin

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


@app.command()
def check(config: ConfigFile) -> None:
    """Check a configuration: exit code 0, or 2 after a line for every fault."""
    from gateway.config import load
    from gateway.errors import ConfigError

    try:
        loaded = load(config)
    except ConfigError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        raise typer.Exit(_BAD_INPUT) from None
    backends = [each for model in loaded.models.values() for each in model.backends]
    workers = sum(each.worker.replicas for each in backends if each.worker is not None)
    elsewhere = sum(each.worker is None for each in backends)
    words = [_count(len(loaded.models), "model"), _count(workers, "worker")]
    if elsewhere:
        words.append(f"{elsewhere} elsewhere")
    print(f"{config}: good: {', '.join(words)}")


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
) -> None:
    """Say how right a model is on labelled data, through a running gateway."""
    from gateway.lab.evaluate import run
    from gateway.units import parse_duration

    try:
        seconds = parse_duration(timeout)
    except ValueError as error:
        raise _refusal(f"--timeout: {error}") from None
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
