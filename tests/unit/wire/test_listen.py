# SPDX-License-Identifier: Apache-2.0
"""Addresses to listen on: how they are written."""

from __future__ import annotations

import pytest

from gateway.wire.listen import split_address


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_splits_host_and_port(address: str, expected: tuple[str, int]) -> None:
    """Brackets belong to the notation, not to the host."""
    assert split_address(address) == expected


@pytest.mark.parametrize(
    "address", ["8000", ":8000", "host:", "host:http", "host:-1", "host:²", ""]
)
def test_refuses_what_is_not_host_and_port(address: str) -> None:
    """The message shows what was given and the form that is right."""
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        split_address(address)


def test_refuses_a_port_beyond_the_last() -> None:
    """65535 is the last port."""
    with pytest.raises(ValueError, match="a port is at most 65535"):
        split_address("127.0.0.1:65536")
