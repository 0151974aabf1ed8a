# SPDX-License-Identifier: Apache-2.0
"""``infergate quality drift`` and ``infergate probes``: what has changed, and where."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.admin.ask import ADMIN, Admin, AsJson, ask, path

if TYPE_CHECKING:
    from rich.table import Table

_NO: Final = 1
_SHOWN: Final = 20

probes = typer.Typer(
    help="Ask sets whose answers must never change, and see what they found.", no_args_is_help=True
)


def drift(
    model: Annotated[str, typer.Option("--model", "-m", help="Its features, one by one.")] = "",
    window: Annotated[str, typer.Option(help="1h or 24h.")] = "1h",
    admin: Admin = ADMIN,
    *,
    as_json: AsJson = False,
) -> None:
    """Show whether what models are asked is still like their reference.

    Exit code 1 where a feature alarms.
    """
    where = f"{path('drift', model)}?window={window}" if model else "/v1/drift"
    answer = ask(admin, "GET", where)
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        from rich.console import Console

        console = Console(soft_wrap=True)
        if model:
            console.print(answer["sentence"])
            if answer.get("features"):
                console.print(_features(answer["features"]))
        else:
            console.print(_models(answer["models"]))
    told = [answer] if model else list(answer["models"].values())
    if any(each["state"] == "alarm" for each in told):
        raise typer.Exit(_NO)


def _models(models: dict[str, Any]) -> Table:
    table = _table("model", "state", "rows", "alarms", "what it means", numbers={"rows"})
    for name, each in models.items():
        alarms = ", ".join(each.get("alarms", [])) or "-"
        table.add_row(name, each["state"], str(each.get("rows", "-")), alarms, each["sentence"])
    return table


def _features(features: list[dict[str, Any]]) -> Table:
    numbers = {"PSI", "by chance", "p", "missing", "harm"}
    table = _table("feature", "", *("PSI", "by chance", "p", "missing", "harm"), numbers=numbers)
    for each in features[:_SHOWN]:
        psi = each["tests"].get("psi")
        table.add_row(
            each["name"],
            "alarm" if each["alarm"] else "",
            "-" if psi is None else f"{psi['distance']:.3f}",
            "-" if psi is None else f"{psi['threshold']:.3f}",
            "-" if psi is None else f"{psi['p']:.2g}",
            f"{each['missing']:.1%}",
            "-" if each["harm"] is None else f"{each['harm']:+.2%}",
        )
    return table


def _table(*columns: str, numbers: set[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left")
    return table


@probes.command("list")
def list_(admin: Admin = ADMIN, *, as_json: AsJson = False) -> None:
    """Show every set with its last round. Exit code 1 where one found wrong answers."""
    answer = ask(admin, "GET", "/v1/probes")
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        from rich.console import Console

        table = _table("model", "file", "last", "what it means", numbers=set())
        for each in answer["probes"]:
            last = each["rounds"][0] if each["rounds"] else None
            table.add_row(
                each["model"],
                each["file"],
                "-" if last is None else last["outcome"],
                "not asked yet" if last is None else last["sentence"],
            )
        Console(soft_wrap=True).print(table)
    if any(each["rounds"] and each["rounds"][0]["outcome"] == "wrong" for each in answer["probes"]):
        raise typer.Exit(_NO)


@probes.command()
def run(
    model: Annotated[str, typer.Argument(help="The model whose endpoints are asked.")],
    file: Annotated[str, typer.Option(help="Which of its sets; the first by default.")] = "",
    admin: Admin = ADMIN,
    *,
    accept: Annotated[
        bool, typer.Option("--accept", help="Take what is answered now for right from now on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a set now, on all of its paths. Exit code 1 where answers are wrong."""
    body = {"model": model, "file": file, "accept": accept}
    answer = ask(admin, "POST", "/v1/probes", body)
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        from rich.console import Console

        console = Console(soft_wrap=True)
        numbers = {"rows", "flipped", "moved", "accuracy"}
        table = _table("path", "endpoint", *sorted(numbers), "error", numbers=numbers)
        for each in answer["series"]:
            change = each["change"]
            accuracy = each["figures"].get("accuracy")
            cells = {
                "rows": str(each["rows"]),
                "flipped": "-" if change is None else str(change["flipped"]),
                "moved": "-" if change is None else str(change["moved"]),
                "accuracy": "-" if accuracy is None else f"{accuracy['value']:.4f}",
            }
            table.add_row(
                each["path"], each["endpoint"], *(cells[name] for name in sorted(numbers)),
                each["error"],
            )  # fmt: skip
        console.print(table)
        console.print(answer["sentence"])
        for what in ("ejected", "returned", "spared"):
            if answer[what]:
                console.print(f"{what}: {', '.join(answer[what])}")
    if answer["outcome"] == "wrong":
        raise typer.Exit(_NO)
