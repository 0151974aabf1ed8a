# SPDX-License-Identifier: Apache-2.0
"""Secrets: where they are read from, and what is said where they cannot be."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from gateway.stores.secrets import read_key, read_secret, read_shared_secret

KEY = base64.b64encode(b"k" * 32).decode()


def test_a_secret_is_itself_or_in_a_file(tmp_path: Path) -> None:
    """Without the line's end that editors leave."""
    file = tmp_path / "secret"
    file.write_text("from the file, long enough\n")

    assert read_secret(None, "p") == ""
    assert read_secret("itself", "p") == "itself"
    assert read_secret(f"file:{file}", "p") == "from the file, long enough"
    assert read_shared_secret(f"file:{file}", "p") == b"from the file, long enough"
    file.write_text(KEY)
    assert read_key(f"file:{file}", "p") == read_key(KEY, "p") == b"k" * 32


def test_a_file_that_is_not_there_or_empty_is_named(tmp_path: Path) -> None:
    """With the place in the configuration that names it."""
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff")
    for name, why in (("lacks", "No such file"), ("empty", "is empty"), ("binary", "UTF-8")):
        for read in (read_secret, read_key):
            with pytest.raises(ValueError, match=why) as raised:
                read(f"file:{tmp_path / name}", "cache.redis.secret")
            assert str(raised.value).startswith("cache.redis.secret: ")


@pytest.mark.parametrize("text", ["not base64!", "c2hvcnQ=", KEY[:-4], KEY + KEY])
def test_a_key_of_another_length_is_refused_without_showing_it(text: str) -> None:
    """It is most of a secret."""
    with pytest.raises(ValueError, match="32 bytes as base64") as raised:
        read_key(text, "cache.redis.encryption_keys[0]")
    assert text not in str(raised.value)


def test_a_short_secret_is_refused() -> None:
    """It would be guessed."""
    with pytest.raises(ValueError, match="at least 16"):
        read_shared_secret("short", "p")
    assert read_shared_secret(None, "p") == b""
