# SPDX-License-Identifier: Apache-2.0
"""CacheConfig: what it takes, and what it shows."""

from __future__ import annotations

import pytest

from gateway.stores import options
from gateway.stores.options import CacheConfig, RedisConfig, parse_store

SECRET = "a-secret-of-somebody"


def test_a_store_is_memory_or_a_url() -> None:
    """Whatever else it is, it is a fault."""
    for text in ("memory", "redis://h", "unix:/s", "redis+sentinel://h/s", "rediss+cluster://h"):
        assert parse_store(text) == text
    with pytest.raises(ValueError, match="expected memory, or redis"):
        parse_store("disk")


def test_no_text_shows_a_secret() -> None:
    """A section is logged as a whole."""
    config = CacheConfig(
        store=f"redis://user:{SECRET}@h",
        redis=RedisConfig(
            secret=SECRET, password=SECRET, username="u", encryption_keys=(SECRET,),
            sentinel_password=SECRET,
        ),
    )  # fmt: skip
    assert SECRET not in repr(config) + repr(config.redis)


def test_a_package_that_lacks_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the configuration is checked, and only where it is needed."""
    monkeypatch.setattr(options, "find_spec", lambda name: None)
    CacheConfig()
    with pytest.raises(ValueError, match=r"hiredis.*infergate\[redis\]"):
        CacheConfig(store="redis://h")
    with pytest.raises(ValueError, match=r"infergate\[encryption\]"):
        RedisConfig(encryption_keys=("k",))


@pytest.mark.parametrize("half", [{"username": "u"}, {"sentinel_username": "u"}])
def test_half_a_login_is_a_fault(half: dict[str, str]) -> None:
    """A name without a password is a mistake."""
    with pytest.raises(ValueError, match="expected both"):
        RedisConfig(**half)  # type: ignore[arg-type]
