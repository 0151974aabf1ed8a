# SPDX-License-Identifier: Apache-2.0
"""Answers of the admin API: always JSON, never from a cache."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import orjson
from aiohttp import web

# What an operator sees is true now or not at all.
NO_STORE: Final = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}


class Refused(Exception):
    """A request that cannot be answered, with its *status* and why."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        self.status = status
        super().__init__(message)


def refusal(status: HTTPStatus, message: str) -> Refused:
    """The exception that is answered with *status* and *message*."""
    return Refused(status, message)


def as_json(
    value: object, *, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> web.Response:
    """*value* as an answer for people and programs."""
    return web.Response(
        body=orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
        status=status,
        content_type="application/json",
        headers={**NO_STORE, **(headers or {})},
    )
