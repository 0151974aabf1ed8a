# SPDX-License-Identifier: Apache-2.0
"""``infergate candidates``: where candidates stand, why, and what is to become of them."""

from __future__ import annotations

import getpass
import json
from typing import Annotated, Any, Final

import typer

from gateway.admin.ask import ADMIN, Admin, AsJson, ask, path, refused
from gateway.units import parse_share

Model = Annotated[str, typer.Argument(help="The model whose candidate it is.")]
candidates = typer.Typer(
    help="Look at and move what may take a model's place.", no_args_is_help=True
)
_PAIRS: Final = (
    ("rows", "rows that both have answered"),
    ("differ", "rows on which they differ"),
    ("labelled", "rows with a label"),
    ("b", "the model alone is right"),
    ("c", "the candidate alone is right"),
)


@candidates.command("list")
def list_(admin: Admin = ADMIN, *, as_json: AsJson = False) -> None:
    """Show every candidate and how far it has come."""
    answer = ask(admin, "GET", "/v1/candidates")
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "candidate", "share", "state", "outcome", "because"):
        table.add_column(column, justify="right" if column == "share" else "left")
    for each in answer["candidates"]:
        table.add_row(
            each["model"],
            each["candidate"],
            f"{each['share']:.4g}",
            _state(each),
            each["outcome"],
            each["sentence"],
        )
    Console(soft_wrap=True).print(table)


@candidates.command()
def decision(model: Model, admin: Admin = ADMIN, *, as_json: AsJson = False) -> None:
    """Show what is decided of a candidate now, and the evidence."""
    answer = ask(admin, "GET", path("candidates", model) + "/decision")
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    print(f"{answer['candidate']} for {model}: {answer['outcome']}")
    print(answer["sentence"])
    print(f"share {answer['share']:.4g}, {_state(answer)}. {answer['reason']}".rstrip())
    if answer["evidence"] is not None:
        _print_evidence(answer)
    for each in answer["decisions"] or []:
        print(f"decided before, number {each['seq']}: {each['outcome']}")


def _print_evidence(answer: dict[str, Any]) -> None:
    evidence = answer["evidence"]
    decided = evidence["decision"]
    for name, words in _PAIRS:
        print(f"  {decided['pairs'][name]:>12}  {words}")
    needed = 1 / answer["alpha"]
    print(
        f"  {decided['not_worse']:>12.4g}  e-value that it loses less than {answer['margin']:.4g}"
    )
    print(f"  {decided['worse']:>12.4g}  e-value that it loses more; {needed:.4g} decides")
    print(f"  {evidence['harm']:>12.4g}  e-value that it has lost more at some time")
    print(f"  {evidence['at_most']:>12.4g}  the share of rows on which they differ is below this")


@candidates.command()
def promote(
    model: Model,
    admin: Admin = ADMIN,
    *,
    share: Annotated[
        str, typer.Option("--share", help="Of the live requests, such as 10%; all by default.")
    ] = "100%",
    force: Annotated[
        bool, typer.Option("--force", help="Even if the evidence is not enough.")
    ] = False,
) -> None:
    """Have the candidate answer live requests, all or a share."""
    try:
        part = parse_share(share)
    except ValueError as error:
        raise refused(f"--share: {error}") from None
    if not part:
        raise refused("--share: expected more than 0; `rollback` takes it back")
    body = {"share": part, "force": force, "actor": _actor()}
    answer = ask(admin, "POST", path("candidates", model) + "/promote", body)
    print(f"{answer['candidate']} answers {answer['share']:.4g} of the requests to {model}")


@candidates.command()
def rollback(model: Model, admin: Admin = ADMIN) -> None:
    """Have the model itself answer all requests again, at once."""
    ask(admin, "POST", path("candidates", model) + "/rollback", {"actor": _actor()})
    print(f"{model} answers all requests itself")


@candidates.command()
def hold(
    model: Model,
    admin: Admin = ADMIN,
    *,
    release: Annotated[
        bool, typer.Option("--release", help="Let it be moved by the evidence again.")
    ] = False,
) -> None:
    """Keep the candidate where it is, whatever the evidence says."""
    body = {"held": not release, "actor": _actor()}
    answer = ask(admin, "POST", path("candidates", model) + "/hold", body)
    print(f"{answer['candidate']} for {model}: {_state(answer)}")


def _state(row: dict[str, Any]) -> str:
    return f"{row['state']}, held" if row["held"] else str(row["state"])


def _actor() -> str:
    """Who runs this, for the audit log."""
    try:
        return getpass.getuser()[:128]
    except (KeyError, OSError):
        return "operator"
