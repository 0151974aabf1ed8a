# SPDX-License-Identifier: Apache-2.0
"""What a look-up in Redis costs, by the store's own line and by redis-py, in one run.

    .venv/bin/python -m benchmarks.redis_line [--seconds 1] [--rounds 3]

A redis-server on a Unix socket holds the answers of a small model. So many callers at once look one
up after another, each of a thousand keys: by the store, frames read and checked, and by redis-py's
asyncio client with a bounded pool, which only fetches the bytes. Printed are look-ups a second and
this process's processor time for one; the server has a core of its own where there are two.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import tempfile
import time
from pathlib import Path
from random import Random
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import redis.asyncio
import uvloop

from gateway.stores.opening import open_store
from gateway.stores.options import CacheConfig, RedisConfig
from gateway.telemetry import Telemetry
from gateway.wire.message import InferResponse
from gateway.wire.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

CALLERS = (1, 16, 64, 256)
KEYS = [b"%016d" % number for number in range(1000)]
PREFIX = "bench"


async def rate(fetch: Callable[[bytes], Awaitable[object]], callers: int, seconds: float) -> Rate:
    """Have so many *callers* look up until the time is over."""
    count = 0
    until = time.perf_counter() + seconds

    async def caller(seed: int) -> None:
        nonlocal count
        choice = Random(seed).choice
        while time.perf_counter() < until:
            if await fetch(choice(KEYS)) is None:
                raise SystemExit("a value is not there")
            count += 1

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*[caller(seed) for seed in range(callers)])
    return Rate(count / (time.perf_counter() - began), (time.process_time() - used) / count)


class Rate:
    """Look-ups a second, and seconds of processor time for each."""

    def __init__(self, per_second: float, cost: float) -> None:
        self.per_second = per_second
        self.cost = cost

    def __repr__(self) -> str:
        return f"{self.per_second:9,.0f}/s {self.cost * 1e6:6.1f} us"


def middle(rates: Sequence[Rate]) -> Rate:
    """The median of several rounds."""
    return Rate(median(r.per_second for r in rates), median(r.cost for r in rates))


async def measure(path: Path, seconds: float, rounds: int) -> None:
    """Print a line for each number of callers."""
    options = RedisConfig(prefix=PREFIX, timeout=1, connect_timeout=1)
    store = open_store(CacheConfig(store=f"unix:{path}", redis=options), telemetry=Telemetry())
    await store.generations.refresh()
    answer = InferResponse((Tensor.of("scores", np.zeros((1, 10), np.float32)),), "1")
    for key in KEYS:
        store.put(key, answer, 40, ttl=3600)
    while store.writes.bytes:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.01)
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        f"unix://{path}", max_connections=64, timeout=60
    )
    client = redis.asyncio.Redis(connection_pool=pool)

    async def plain(key: bytes) -> object:
        return await client.get(PREFIX.encode() + b":" + key)

    contenders: dict[str, Callable[[bytes], Awaitable[object]]] = {
        "store": store.fetch, "redis.asyncio": plain,
    }  # fmt: skip
    for callers in CALLERS:
        found: dict[str, list[Rate]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, fetch in contenders.items():
                found[name].append(await rate(fetch, callers, seconds))
        told = "   ".join(f"{name} {middle(rates)}" for name, rates in found.items())
        print(f"{callers:4} callers   {told}")
    await store.aclose()
    await client.aclose()
    await pool.aclose()


def main() -> None:
    """Start a server, measure, and end it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "s"
        server = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        try:
            while not path.exists():
                time.sleep(0.01)
            uvloop.run(measure(path, asked.seconds, asked.rounds))
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
