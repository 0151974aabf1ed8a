# SPDX-License-Identifier: Apache-2.0
"""Refusal: a GatewayError as the answer that v1 and v2 share, ``{"error": message}``."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from gateway.errors import MethodNotAllowed, UnsupportedEncoding
from gateway.exchange import JSON, Answer
from gateway.wire.oip_answer import error_body

if TYPE_CHECKING:
    from gateway.errors import GatewayError


def refusal(error: GatewayError) -> Answer:
    """The answer that tells of *error*, with the headers that its status asks for."""
    headers = [JSON]
    if isinstance(error, MethodNotAllowed):
        headers.append(("Allow", error.allow))
    elif isinstance(error, UnsupportedEncoding):
        headers.append(("Accept-Encoding", "gzip, deflate"))
    if error.retry_after is not None:
        # Whole seconds, and never 0: that would invite the client back at once.
        headers.append(("Retry-After", str(max(1, ceil(error.retry_after)))))
    return Answer(error.status, error_body(error.message), headers, error=error.code)
