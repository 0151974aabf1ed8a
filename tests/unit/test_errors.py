# SPDX-License-Identifier: Apache-2.0
"""Errors: what they say fits on one line, whatever it quotes."""

from __future__ import annotations

import pytest

from gateway.errors import GatewayError, InvalidRequest


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("plain", "plain"),
        ("na\u00efve \U0001f642", "na\u00efve \U0001f642"),
        ("a\r\nb", r"a\r\nb"),
        ("\x1b[31m\0", r"\x1b[31m\x00"),
        ("\u2028\x85\ud800", r"\u2028\x85\ud800"),
    ],
)
@pytest.mark.parametrize("kind", [GatewayError, InvalidRequest])
def test_a_message_is_one_line_of_text(kind: type[GatewayError], given: str, message: str) -> None:
    """A name that a client chose must neither forge a line of the log nor colour a terminal."""
    error = kind(given)
    assert error.message == str(error) == message
