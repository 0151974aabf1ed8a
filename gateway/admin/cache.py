# SPDX-License-Identifier: Apache-2.0
"""``infergate cache stats|purge``: what the response cache does, and how to empty it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gateway.admin.ask import ADMIN, Admin, AsJson, ask

Model = Annotated[str, typer.Option("--model", "-m", help="Of this model alone.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Of this tenant alone.")]

cache = typer.Typer(
    help="Look at and empty the response cache of a running gateway.", no_args_is_help=True
)


@cache.command()
def stats(admin: Admin = ADMIN, *, as_json: AsJson = False) -> None:
    """Show what each tier had of each model since the start, and what that saved."""
    answer = ask(admin, "GET", "/v1/cache")
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "tier", "hits", "stale", "partial", "misses", "bypassed", "hit rate"):
        table.add_column(column, justify="left" if column in {"model", "tier"} else "right")
    for name, model in answer["models"].items():
        for tier, counts in model["tiers"].items():
            found = counts["hit"] + counts["stale"]
            asked = found + counts["partial"] + counts["miss"]
            table.add_row(
                name,
                tier,
                *(str(counts[kind]) for kind in ("hit", "stale", "partial", "miss", "bypass")),
                f"{found / asked:.1%}" if asked else "-",
            )
    console = Console(soft_wrap=True)
    console.print(table)
    for name, model in answer["models"].items():
        console.print(
            f"{name}: {model['collapsed']} answered by an equal one's run, "
            f"{model['saved_seconds']:.1f} s of the model's time saved, "
            f"{model['verified']['mismatch']} of {sum(model['verified'].values())} checks differed"
        )
    for tier, size in answer["bytes"].items():
        console.print(f"{tier}: {size} bytes")


@cache.command()
def purge(
    model: Model = "",
    tenant: Tenant = "",
    admin: Admin = ADMIN,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Of all models and tenants.")] = False,
) -> None:
    """Let no answer that is stored now be given again.

    Name a model, a tenant, or both, or say --all.
    """
    body: dict[str, str | bool] = {}
    if model:
        body["model"] = model
    if tenant:
        body["tenant"] = tenant
    if everything:
        body["all"] = True
    answer = ask(admin, "POST", "/v1/cache/purge", body)
    print(f"purged {answer['purged']}")
