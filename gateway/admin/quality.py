# SPDX-License-Identifier: Apache-2.0
"""``infergate quality``: how right the answers of a running gateway are."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlencode

import typer

from gateway.admin.ask import ADMIN, Admin, AsJson, ask, path, refused

if TYPE_CHECKING:
    from rich.console import RenderableType

quality = typer.Typer(
    help="Look at how right the answers of a running gateway are.", invoke_without_command=True
)
# Seconds between two looks with --watch.
_EVERY: Final = 2.0


@quality.callback()
def show(  # noqa: PLR0917 - the options of a command
    context: typer.Context,
    model: Annotated[str, typer.Option("--model", "-m", help="Every figure of this model.")] = "",
    window: Annotated[
        str, typer.Option(help="1h, 24h, 30d, n:5000 or since_promotion, by prediction.")
    ] = "24h",
    endpoint: Annotated[str, typer.Option(help="Answers of this endpoint alone.")] = "",
    part: Annotated[
        str, typer.Option("--slice", metavar="TAG:VALUE", help="Rows with this tag alone.")
    ] = "",
    role: Annotated[
        str, typer.Option(help="served (what callers got), live, shadow, candidate or probe.")
    ] = "",
    name: Annotated[str, typer.Option(help="The model that is shadow or candidate.")] = "",
    average: Annotated[str, typer.Option(help="macro, micro, weighted, binary or samples.")] = "",
    ci: Annotated[str, typer.Option(help="wilson or clopper_pearson.")] = "",
    level: Annotated[str, typer.Option(help="How sure the intervals are, such as 0.95.")] = "",
    admin: Admin = ADMIN,
    *,
    confusion: Annotated[
        bool, typer.Option("--confusion-matrix", help="With rows by true and predicted class.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every 2 s, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how right the answers are: of all models, or of one in full.

    Every figure comes with its interval, its labelled rows and the share of predictions that have a
    label.
    """
    if context.invoked_subcommand is not None:
        return
    details = {
        "endpoint": endpoint, "slice": part, "role": role, "name": name, "average": average,
        "ci": ci, "level": level,
    }  # fmt: skip
    given = {key: value for key, value in details.items() if value}
    if not model and (given or confusion):
        option = next(iter(given), "confusion-matrix")
        raise refused(f"--{option} is about one model: name it with --model")
    if watch and as_json:
        raise refused("--watch is for people, --json for programs: take one of them")
    query = urlencode({"window": window, **given})
    where = f"{path('quality', model) if model else '/v1/quality'}?{query}"
    if as_json:
        print(json.dumps(ask(admin, "GET", where), indent=2))
        return
    _print(admin, where, watch=watch, confusion=confusion)


def _print(admin: str, where: str, *, watch: bool, confusion: bool) -> None:
    from rich.console import Console, Group

    from gateway.admin.quality_view import details, models

    def seen() -> RenderableType:
        answer: dict[str, Any] = ask(admin, "GET", where)
        shown = models(answer) if "models" in answer else details(answer, confusion=confusion)
        return Group(*shown)

    console = Console()
    if not watch:
        console.print(seen())
        return
    from rich.live import Live

    # Waited for, not raised: an exception may come where Python can only ignore it.
    interrupt = {signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, interrupt)
    try:
        with Live(seen(), console=console, auto_refresh=False, screen=console.is_terminal) as live:
            while signal.sigtimedwait(interrupt, _EVERY) is None:
                live.update(seen(), refresh=True)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
