# SPDX-License-Identifier: Apache-2.0
"""The commands that look at and change a running gateway, through its admin port.

``infergate reload`` and ``infergate backends list|drain|undrain|weight|restart``.
"""

from __future__ import annotations

import json
import sys
from http.client import HTTPConnection, HTTPException
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from gateway.units import parse_address
from gateway.wire.listen import split_address

_NO: Final = 1
_BAD_INPUT: Final = 2
# A rolling restart answers when the last worker has been replaced.
_PATIENCE: Final = 600.0

Admin = Annotated[
    str,
    typer.Option(
        "--admin",
        metavar="HOST:PORT",
        envvar="INFERGATE_ADMIN",
        help="Admin port of the running gateway.",
    ),
]
Endpoint = Annotated[str, typer.Argument(help="Its name, as `infergate backends list` shows it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ADMIN: Final = "127.0.0.1:8002"

backends = typer.Typer(
    help="Look at and operate the endpoints of a running gateway.", no_args_is_help=True
)


def reload(admin: Admin = ADMIN) -> None:
    """Put the configuration file of a running gateway into effect, as SIGHUP does.

    Exit code 0 where it is in effect, 2 where the file has faults (each on a line of its own), 1
    where a model could not be loaded. Then everything is as it was.
    """
    answer = _ask(admin, "POST", "/v1/config/reload", {})
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
    answer = _ask(admin, "GET", "/v1/backends")
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
    _ask(admin, "POST", _path("backends", endpoint), {"drained": True, "force": force})
    print(f"{endpoint} is drained")


@backends.command()
def undrain(endpoint: Endpoint, admin: Admin = ADMIN) -> None:
    """Let a drained endpoint take its part of the load again."""
    _ask(admin, "POST", _path("backends", endpoint), {"drained": False})
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
            raise _refused(f"weight {value}: expected a number or 'default'") from None
    _ask(admin, "POST", _path("backends", endpoint), {"weight": share})
    print(f"{endpoint} has weight {value}")


@backends.command()
def restart(
    model: Annotated[str, typer.Argument(help="The model whose workers are replaced.")],
    admin: Admin = ADMIN,
) -> None:
    """Replace the workers of a model one by one, without losing a request.

    Each new one is loaded and warmed before its predecessor is drained and ended.
    """
    answer = _ask(admin, "POST", _path("models", model) + "/restart", {})
    for pair in answer["replaced"]:
        print(f"{pair['from']} replaced by {pair['to']}")


def _path(kind: str, name: str) -> str:
    return f"/v1/{kind}/{quote(name, safe='')}"


def _state(endpoint: dict[str, Any]) -> str:
    """The state, told apart by process where they do not agree."""
    if endpoint["state"] != "mixed":
        return str(endpoint["state"])
    return ", ".join(f"{process}: {state}" for process, state in endpoint["states"].items())


def _ask(admin: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
    """The JSON answer of the admin port; ends the command where it is no success."""
    try:
        host, port = split_address(parse_address(admin))
    except ValueError as error:
        raise _refused(f"--admin: {error}") from None
    connection = HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        connection.request(
            method,
            path,
            None if body is None else json.dumps(body),
            {"Content-Type": "application/json", "Connection": "close"},
        )
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise _refused(f"no gateway at {admin}: {why}; give its admin port with --admin") from None
    except ValueError:
        raise _refused(f"{admin} is no admin port: its answer is no JSON") from None
    finally:
        connection.close()
    if response.status < 400:
        return answer
    faults = answer.get("faults", [])
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"infergate: {answer.get('error', response.reason)}", file=sys.stderr)
    # A conflict is an answer: what was asked for is right, and did not work.
    raise typer.Exit(_NO if response.status in {409, 500, 503} else _BAD_INPUT)


def _refused(message: str) -> typer.Exit:
    print(f"infergate: {message}", file=sys.stderr)
    return typer.Exit(_BAD_INPUT)
