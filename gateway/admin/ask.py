# SPDX-License-Identifier: Apache-2.0
"""How the commands reach the admin port of a running gateway."""

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
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ADMIN: Final = "127.0.0.1:8002"


def path(kind: str, name: str) -> str:
    """Where *name* of a *kind* is."""
    return f"/v1/{kind}/{quote(name, safe='')}"


def ask(admin: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
    """The JSON answer of the admin port; ends the command where it is no success."""
    try:
        host, port = split_address(parse_address(admin))
    except ValueError as error:
        raise refused(f"--admin: {error}") from None
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
        raise refused(f"no gateway at {admin}: {why}; give its admin port with --admin") from None
    except ValueError:
        raise refused(f"{admin} is no admin port: its answer is no JSON") from None
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


def refused(message: str) -> typer.Exit:
    """What to raise where a command was given something wrong; *message* is printed."""
    print(f"infergate: {message}", file=sys.stderr)
    return typer.Exit(_BAD_INPUT)
