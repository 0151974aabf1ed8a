# SPDX-License-Identifier: Apache-2.0
"""The commands that look at past load tests: bench history list, show and compare."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.admin.ask import refused
from gateway.bench import CsvFile, HgrmFile, MarkdownFile, ReportFile

history = typer.Typer(
    help="Results of past load tests, kept for comparison.", no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


def _with_extra() -> None:
    """Refuse where the extra is missing, before anything of it is imported."""
    from gateway.lab import LabError
    from gateway.lab.load.command import check_extra
    from gateway.lab.load.run import Plan

    try:
        check_extra(Plan(url="", model=""))
    except LabError as error:
        raise refused(str(error)) from None


@history.command("list")
def history_list() -> None:
    """List what is kept, the oldest first."""
    _with_extra()
    from gateway.lab.bench.history import list_kept

    raise typer.Exit(list_kept())


@history.command("show")
def history_show(
    name: Annotated[str, typer.Argument(help="Of a kept result, or a file.")],
    *,
    json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the result there.")
    ] = None,
    report: ReportFile = None,
    csv: CsvFile = None,
    hgrm: HgrmFile = None,
    markdown: MarkdownFile = None,
) -> None:
    """Print a past result again, or write it in another form."""
    _with_extra()
    from gateway.lab.bench.history import show_kept
    from gateway.lab.bench.outputs import Outputs

    outputs = Outputs(json=json, report=report, csv=csv, hgrm=hgrm, markdown=markdown)
    raise typer.Exit(show_kept(name, outputs))


@history.command("compare")
def history_compare(
    first: Annotated[str, typer.Argument(help="What was before: a kept result, or a file.")],
    other: Annotated[str, typer.Argument(help="What came after.")],
    *,
    tolerance: Annotated[
        str, typer.Option(metavar="SHARE", help="By which it may be worse.")
    ] = "10%",
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.95,
) -> None:
    """Compare two past results; exit code 1 where the second is worse."""
    _with_extra()
    from gateway.lab import LabError
    from gateway.lab.bench.history import compare_kept
    from gateway.lab.load import options

    try:
        options.check_level(level)
        share = options.share("--tolerance", tolerance)
    except LabError as error:
        raise refused(str(error)) from None
    raise typer.Exit(compare_kept(first, other, tolerance=share, level=level))
