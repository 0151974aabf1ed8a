# SPDX-License-Identifier: Apache-2.0
"""``infergate reload`` and ``infergate backends list|drain|undrain|weight|restart``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from gateway.admin.ask import ADMIN, Admin, AsJson, ask, path, refused

Endpoint = Annotated[str, typer.Argument(help="Its name, as `infergate backends list` shows it.")]

backends = typer.Typer(
    help="Look at and operate the endpoints of a running gateway.", no_args_is_help=True
)


def reload(admin: Admin = ADMIN) -> None:
    """Put the configuration file of a running gateway into effect, as SIGHUP does.

    Exit code 0 where it is in effect, 2 where the file has faults (each on a line of its own), 1
    where a model could not be loaded. Then everything is as it was.
    """
    answer = ask(admin, "POST", "/v1/config/reload", {})
    if answer["result"] == "unchanged":
        print(f"unchanged, generation {answer['generation']}")
    else:
        print(f"generation {answer['generation']} is in effect")
    for line in answer["changes"]:
        print(f"  {line}")
    for line in answer["restart"]:
        print(f"  needs a restart: {line}")


@backends.command("list")
def list_(admin: Admin = ADMIN, *, as_json: AsJson = False) -> None:
    """Show every model with its endpoints."""
    answer = ask(admin, "GET", "/v1/backends")
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "version", "endpoint", "state", "pending", "weight", "attempts"):
        number = column in {"pending", "weight", "attempts"}
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for name, model in answer["models"].items():
        for endpoint in model["endpoints"]:
            table.add_row(
                name,
                model["version"] or "?",
                endpoint["name"],
                _state(endpoint),
                str(endpoint["pending"]),
                f"{endpoint['weight']:g}",
                str(endpoint["attempts"]),
            )
    Console(soft_wrap=True).print(table)


@backends.command()
def drain(
    endpoint: Endpoint,
    admin: Admin = ADMIN,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even if it is the last one of its model.")
    ] = False,
) -> None:
    """Send an endpoint nothing more; what it has it finishes. Its worker stays up."""
    ask(admin, "POST", path("backends", endpoint), {"drained": True, "force": force})
    print(f"{endpoint} is drained")


@backends.command()
def undrain(endpoint: Endpoint, admin: Admin = ADMIN) -> None:
    """Let a drained endpoint take its part of the load again."""
    ask(admin, "POST", path("backends", endpoint), {"drained": False})
    print(f"{endpoint} takes requests")


@backends.command()
def weight(
    endpoint: Endpoint,
    value: Annotated[str, typer.Argument(help="Its share; 'default' is what the file says.")],
    admin: Admin = ADMIN,
) -> None:
    """Change the share of the load that an endpoint gets."""
    share: float | None = None
    if value != "default":
        try:
            share = float(value)
        except ValueError:
            raise refused(f"weight {value}: expected a number or 'default'") from None
    ask(admin, "POST", path("backends", endpoint), {"weight": share})
    print(f"{endpoint} has weight {value}")


@backends.command()
def restart(
    model: Annotated[str, typer.Argument(help="The model whose workers are replaced.")],
    admin: Admin = ADMIN,
) -> None:
    """Replace the workers of a model one by one, without losing a request.

    Each new one is loaded and warmed before its predecessor is drained and ended.
    """
    answer = ask(admin, "POST", path("models", model) + "/restart", {})
    for pair in answer["replaced"]:
        print(f"{pair['from']} replaced by {pair['to']}")


def _state(endpoint: dict[str, Any]) -> str:
    """The state, told apart by process where they do not agree."""
    if endpoint["state"] != "mixed":
        return str(endpoint["state"])
    return ", ".join(f"{process}: {state}" for process, state in endpoint["states"].items())
