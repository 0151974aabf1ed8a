# SPDX-License-Identifier: Apache-2.0
"""The spelling of an address; that it is bound right, the integration tests show."""

from __future__ import annotations

import pytest

from backends.address import MAX_UNIX_PATH, Address, parse_address
from backends.errors import StartError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:run/w.sock", Address(path="run/w.sock")),
        ("unix:a:b", Address(path="a:b")),
        ("tcp:127.0.0.1:0", Address(host="127.0.0.1", port=0)),
        ("tcp:example:65535", Address(host="example", port=65535)),
        ("tcp:[::1]:9", Address(host="::1", port=9)),
    ],
)
def test_an_address_reads_as_it_is_written(text: str, address: Address) -> None:
    """Both forms, and back again."""
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", "unix:", "w.sock", "tcp:", "tcp:9", "tcp:host:", "tcp:host:x", "tcp:host:65536",
     "tcp::9", "http://host:9", "tcp:host:-1", "tcp:host:\u0661"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    """The error shows the two forms."""
    with pytest.raises(StartError, match=r"expected unix:PATH or tcp:HOST:PORT"):
        parse_address(text)


def test_a_path_too_long_for_a_socket_is_refused() -> None:
    """The kernel would only say that something is invalid."""
    assert parse_address("unix:" + "p" * MAX_UNIX_PATH).path
    with pytest.raises(StartError, match="107 bytes"):
        parse_address("unix:" + "p" * (MAX_UNIX_PATH + 1))
