# SPDX-License-Identifier: Apache-2.0
"""Secrets: what is said where they are not what they must be."""

from __future__ import annotations

import base64

import pytest

from gateway.stores.secrets import encryption_key, shared_secret

KEY = base64.b64encode(b"k" * 32).decode()


def test_a_key_is_base64() -> None:
    """Of 32 bytes."""
    assert encryption_key(KEY, "p") == b"k" * 32


@pytest.mark.parametrize("text", ["not base64!", "c2hvcnQ=", KEY[:-4], KEY + KEY])
def test_a_key_of_another_length_is_refused_without_showing_it(text: str) -> None:
    """It is most of a secret."""
    with pytest.raises(ValueError, match="32 bytes as base64") as raised:
        encryption_key(text, "cache.redis.encryption_keys[0]")
    assert text not in str(raised.value)
    assert str(raised.value).startswith("cache.redis.encryption_keys[0]: ")


def test_a_short_secret_is_refused() -> None:
    """It would be guessed."""
    with pytest.raises(ValueError, match="at least 16"):
        shared_secret("short", "p")
    assert shared_secret(None, "p") == b""
    assert shared_secret("sixteen bytes it", "p") == b"sixteen bytes it"
