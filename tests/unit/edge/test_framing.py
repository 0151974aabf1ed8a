# SPDX-License-Identifier: Apache-2.0
"""Framing: which hosts are hosts; the rest needs a parser and is tested over sockets."""

from __future__ import annotations

import pytest

from gateway.edge.framing import is_host


@pytest.mark.parametrize(
    "value",
    ["", "a", "a.b-c_d:8000", "127.0.0.1:80", "[::1]", "[::1]:8000", "a:", "%41", "a,b", "A!$&'()"],
)
def test_a_name_and_a_port_are_a_host(value: str) -> None:
    """As RFC 3986 writes them, the empty name included."""
    assert is_host(value)


@pytest.mark.parametrize(
    "value",
    ["a b", "a, b", "a@b", "u:p@b", "a/b", "a?b", "a#b", "a:x", "a:1:2", "[::1", "::1", "%4", "é",
     "a\n", "a:\u0661"],
)  # fmt: skip
def test_anything_else_is_not(value: str) -> None:
    """Servers that read on to a port or a path would find different hosts in it."""
    assert not is_host(value)
