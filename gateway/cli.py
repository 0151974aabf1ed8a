# SPDX-License-Identifier: Apache-2.0
"""The command line: ``infergate``, also ``python -m gateway``.

Exit codes: 0 done, 1 the answer is no, 2 bad input, with one clear line on stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from gateway import __version__, admin, bench, history, measures, tuning
from gateway.admin.ask import refused

_BAD_INPUT: Final = 2
_INTERRUPTED: Final = 130
# What typer raises for wrong arguments, of which it makes only some classes public.
_ClickError: Final[type[typer.BadParameter]] = typer.BadParameter.__mro__[2]


class _Commands(TyperGroup):
    """Knows commands of two words, such as `bench history` beside `bench URL`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - typer's own
        """The command that *args* begin with, and the rest of them."""
        name = " ".join(args[:2])
        if len(args) > 1 and name in self.commands:
            return name, self.commands[name], args[2:]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="infergate",
    cls=_Commands,
    help="A reverse-proxy inference gateway for ONNX models.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    config: measures.ConfigFile,
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
            raise refused(f"--http: {error}") from None
    from gateway import supervisor

    raise typer.Exit(supervisor.run(config, http=http, processes=processes))


app.command()(admin.reload)
app.add_typer(admin.backends, name="backends")
app.add_typer(admin.cache, name="cache")
app.add_typer(admin.candidates, name="candidates")
admin.quality.command()(admin.drift)
admin.quality.command("fit")(measures.fit_reference)
app.add_typer(admin.quality, name="quality")
app.add_typer(admin.probes, name="probes")
app.command()(measures.evaluate)
app.command()(bench.bench)
app.add_typer(history.history, name="bench history")
app.command()(bench.bench_agent)
app.command("labels")(measures.send_labels)
app.command("golden")(measures.write_golden)
app.command("fit-preprocess")(measures.fit_preprocess)
app.command()(tuning.quantize)
app.command()(tuning.tune)


@app.command()
def check(
    config: measures.ConfigFile,
    *,
    golden: Annotated[
        str | None,
        typer.Option(metavar="FILE.npz", help="Hold a model's steps to these golden vectors."),
    ] = None,
    model: measures.Model = "",
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
        measures.check_golden(loaded, golden, model)
    backends = [each for section in loaded.models.values() for each in section.backends]
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
