# SPDX-License-Identifier: Apache-2.0
"""Opening: what of a configuration cannot be used is said with its place, before the first call."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from gateway.stores.opening import open_store
from gateway.stores.options import CacheConfig, RedisConfig
from gateway.telemetry import Telemetry
from gateway.tls import TlsConfig
from tests.support.redis import response
from tests.support.upstream import settle

KEY = base64.b64encode(b"k" * 32).decode()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (RedisConfig(secret="short"), "cache.redis.secret: has 5 bytes"),
        (RedisConfig(encryption_keys=(KEY, "no")), r"cache.redis.encryption_keys\[1\]: is not 32"),
        (RedisConfig(encryption_keys=(KEY, KEY)), "cache.redis.encryption_keys: .* twice"),
        (RedisConfig(tls=TlsConfig(ca="/lacks.pem")), "cache.redis.tls.ca: /lacks.pem"),
        (RedisConfig(tls=TlsConfig(cert="/lacks.pem")), "cache.redis.tls.cert: /lacks.pem"),
    ],
)
@pytest.mark.parametrize("kind", ["rediss", "rediss+cluster"])
def test_what_cannot_be_used_is_named(kind: str, options: RedisConfig, fault: str) -> None:
    """By its path and file, and never with a secret."""
    with pytest.raises(ValueError, match=fault) as raised:
        open_store(CacheConfig(store=f"{kind}://h", redis=options), telemetry=Telemetry())
    assert KEY not in str(raised.value)


async def test_nothing_is_done_before_the_first_use(tmp_path: Path) -> None:
    """A configuration is opened where no loop runs, and where no Redis is."""
    telemetry = Telemetry()
    store = open_store(CacheConfig(store=f"unix:{tmp_path}/none"), telemetry=telemetry)
    assert store.state == "closed"
    assert await store.fetch(b"k") is None
    await store.aclose()
    assert await store.fetch(b"k") is None
    assert not store.put(b"k", response(), 4, ttl=1)
    assert await store.lease(b"k", 1) == b""


async def test_what_happens_is_counted(tmp_path: Path) -> None:
    """Errors by reason, the breaker's state, and each number once however often it is read."""
    telemetry = Telemetry()
    store = open_store(CacheConfig(store=f"unix:{tmp_path}/none"), telemetry=telemetry)
    for _ in range(9):
        assert not await store.generations.refresh()
    store.refused["corrupt"] += 2
    store.writes.dropped["queue"] += 3
    for _ in range(3):
        telemetry.take()

    assert telemetry.cache_breaker.cell("open").value == 1
    assert telemetry.cache_breaker.cell("closed").value == 0
    assert telemetry.cache_errors.cell("redis", "connection").value == 5
    assert telemetry.cache_errors.cell("redis", "open").value == 4
    assert telemetry.cache_refused.cell("redis", "corrupt").value == 2
    assert telemetry.cache_evictions.cell("redis", "queue").value == 3
    await store.aclose()
    await settle()
