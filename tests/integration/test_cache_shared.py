# SPDX-License-Identifier: Apache-2.0
"""The whole program over a real Redis: what gateways share, and that none needs it."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_cache import ask
from tests.integration.test_operate import infergate
from tests.support import models
from tests.support.redis import RedisServer
from tests.support.serving import Serving

pytestmark = pytest.mark.e2e

SECRET = "s" * 32


def text(
    directory: Path, url: str, *, processes: int = 1, more: str = "", cache: str = "{}"
) -> str:
    """A model that gives its input back, and one that takes as long as it is told."""
    directory.mkdir(exist_ok=True)
    for name, model in (("m", models.identity()), ("slow", models.counting())):
        models.save(model, directory / name)
    return (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s, tenant_header: x-tenant, "
        f"processes: {processes}}}\n"
        f"cache: {{store: '{url}', redis: {{secret: {SECRET}{more}}}}}\nmodels:\n"
    ) + "".join(
        f"  {name}: {{cache: {cache}, backends: [{{worker: {{path: {directory / name}}}}}]}}\n"
        for name in ("m", "slow")
    )


# On a busy machine the budget may be exceeded, which is a miss; sharing is tested without that.
PATIENT = ", timeout: 10s, connect_timeout: 10s"


@pytest.fixture(name="redis")
def _redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


def gateway(directory: Path, url: str, **options: object) -> Serving:
    """A gateway that is up and has heard from Redis what was purged."""
    return Serving(directory, text(directory, url, **options)).ready()  # type: ignore[arg-type]


def known_to_redis(serving: Serving, *rows: float) -> None:
    """Ask until the answer is in Redis for its time: a first question only begins to connect."""
    for _ in range(200):
        ask(serving, *rows)
        if count(serving, "infergate_cache_total", 'layer="redis"', 'result="miss"'):
            break
        ask(serving, *rows, cache_control="no-cache")
    ask(serving, *rows)


def count(serving: Serving, name: str, *labels: str) -> float:
    """The sum of a metric over all samples with *labels*."""
    total = 0.0
    for line in serving.get("/metrics")[1].splitlines():
        found = re.fullmatch(rf"{name}\{{(.*)\}} (\S+)", line)
        if found and all(label in found[1] for label in labels):
            total += float(found[2])
    return total


def test_two_gateways_share_answers(tmp_path: Path, redis: RedisServer) -> None:
    """On one host or two; a batch finds the rows that the other one knows."""
    with (
        gateway(tmp_path / "a", redis.url, more=PATIENT) as one,
        gateway(tmp_path / "b", redis.url, more=PATIENT) as other,
    ):
        known_to_redis(one, 1, 2)
        known_to_redis(other, 9)
        before = count(other, "infergate_attempts_total", 'model="m"')
        values, status = ask(other, 2, 1)
        assert (values, status) == ([2, 1], "infergate; hit; detail=shared")
        assert count(other, "infergate_attempts_total", 'model="m"') == before


def test_redis_holds_nothing_of_what_was_asked(tmp_path: Path, redis: RedisServer) -> None:
    """Neither tenants nor inputs stand in keys; every key has the prefix and ends by itself."""
    with gateway(tmp_path / "a", redis.url, more=PATIENT) as serving:
        known_to_redis(serving, 1)
        for _ in range(3):
            ask(serving, 1, x_tenant="somebody")
        keys = redis.told("KEYS", "*")
        assert len(keys) >= 2
        for key in keys:
            assert key.startswith(b"infergate:")
            assert b"somebody" not in key
            assert 0 < redis.told("PTTL", key) <= 2 * 30 * 86400 * 1000


def test_a_purge_reaches_the_other_gateway(tmp_path: Path, redis: RedisServer) -> None:
    """Within its next look for purges, in memory and in Redis."""
    fast = PATIENT + ", poll: 50ms"
    with (
        gateway(tmp_path / "a", redis.url, more=fast) as one,
        gateway(tmp_path / "b", redis.url, more=fast) as other,
    ):
        for each in (one, other):
            known_to_redis(each, 1)
        assert "hit" in ask(other, 1)[1]
        assert infergate(one, "cache", "purge", "--model", "m") == (0, "purged model m\n", "")
        assert "hit" not in ask(one, 1, cache_control="no-cache")[1]
        runs = count(other, "infergate_attempts_total", 'model="m"')
        while count(other, "infergate_attempts_total", 'model="m"') == runs:
            # Its own memory answers until it has heard of the purge; then Redis has a new answer.
            if "detail=shared" in ask(other, 1)[1]:
                break


async def test_a_thousand_equal_questions_to_two_processes_run_the_model_once(
    tmp_path: Path, redis: RedisServer
) -> None:
    """The lease in Redis is for one of the processes, the fill in each for one of its requests."""
    with gateway(tmp_path / "a", redis.url, processes=2, more=PATIENT) as serving:
        # Both processes have heard from Redis by then.
        while True:
            await asyncio.to_thread(known_to_redis, serving, 1)
            text = (await asyncio.to_thread(serving.get, "/metrics"))[1]
            if 'infergate_cache_breaker{state="closed"} 2.0' in text:
                break
        for number in range(40):
            await asyncio.to_thread(ask, serving, number + 100)
        body = json.dumps(
            {
                "inputs": [
                    {"name": "x", "shape": [1], "datatype": "FP32", "data": [5]},
                    {"name": "steps", "shape": [1], "datatype": "INT64", "data": [500_000]},
                ]
            }
        ).encode()
        statuses = await asked_at_once(serving.http, "/v2/models/slow/infer", body, 1000)
        assert statuses == {200: 1000}
        # The processes post what they have counted once a second.
        slow = 'model="slow"'
        while await asyncio.to_thread(count, serving, "infergate_requests_total", slow) < 1000:
            pass
        assert await asyncio.to_thread(count, serving, "infergate_attempts_total", slow) == 1


async def asked_at_once(http: str, path: str, body: bytes, times: int) -> Counter[int]:
    """The statuses of so many equal requests, all sent before the first is answered."""
    host, port = http.split(":")
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {http}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode()
    statuses: Counter[int] = Counter()

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head + body)
        answer = await reader.read()
        statuses[int(answer.split(b" ", 2)[1])] += 1
        writer.close()

    await asyncio.gather(*(one() for _ in range(times)))
    return statuses


def test_a_redis_that_is_not_there_is_not_needed(tmp_path: Path) -> None:
    """The gateway starts, answers, and keeps what it has in memory."""
    with gateway(tmp_path / "a", "unix:/nowhere/at/all") as serving:
        assert ask(serving, 1) == ([1], "infergate; fwd=uri-miss; stored")
        assert "hit" in ask(serving, 1)[1]
        code, _, error = infergate(serving, "cache", "purge", "--all")
        assert code == 1
        assert "Redis is out of reach" in error
        assert "hit" not in ask(serving, 1)[1]


async def test_a_frozen_redis_fails_no_request_and_is_soon_left_alone(
    tmp_path: Path, redis: RedisServer
) -> None:
    """Requests wait for its budget, a few times; then the breaker is open and none waits."""
    with gateway(tmp_path / "a", redis.url) as serving:
        await asyncio.to_thread(known_to_redis, serving, 1)
        redis.freeze()
        try:
            for number in range(200):
                values, _ = await asyncio.to_thread(ask, serving, number + 1000)
                assert values == [number + 1000]
            errors = await asyncio.to_thread(count, serving, "infergate_cache_errors_total")
            bypassed = await asyncio.to_thread(
                count, serving, "infergate_cache_total", 'layer="redis"', 'result="bypass"'
            )
        finally:
            redis.thaw()
    # Each error is a wait for the budget, 20 ms; all others did not wait.
    assert 0 < errors < 40
    assert bypassed > 100


def test_a_shared_cache_needs_a_secret(tmp_path: Path) -> None:
    """Before anything is started."""
    config = text(tmp_path / "a", "redis://127.0.0.1:1").replace(f"secret: {SECRET}", "prefix: p")
    with Serving(tmp_path, config) as serving:
        code, said = serving.ends()
    assert code == 2
    assert "cache: redis.secret is missing; expected at least 16 characters" in said
