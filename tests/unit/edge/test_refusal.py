# SPDX-License-Identifier: Apache-2.0
"""Errors as answers."""

from __future__ import annotations

import pytest

from gateway.edge.refusal import refusal
from gateway.errors import GatewayError, InvalidRequest, MethodNotAllowed, Shed, UnsupportedEncoding


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (MethodNotAllowed("no", allow="GET, HEAD"), ("Allow", "GET, HEAD")),
        (UnsupportedEncoding("no"), ("Accept-Encoding", "gzip, deflate")),
        (Shed("full"), ("Retry-After", "1")),
        (Shed("full", retry_after=0.01), ("Retry-After", "1")),
        (Shed("full", retry_after=2.1), ("Retry-After", "3")),
    ],
)
def test_an_error_brings_the_header_of_its_status(
    error: GatewayError, header: tuple[str, str]
) -> None:
    """What the client needs to do better next time."""
    answer = refusal(error)

    assert answer.headers == [("Content-Type", "application/json"), header]
    assert (answer.status, answer.error) == (error.status, error.code)


def test_other_errors_bring_none() -> None:
    """The body says it all."""
    assert refusal(InvalidRequest("x")).headers == [("Content-Type", "application/json")]
