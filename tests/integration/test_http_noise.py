# SPDX-License-Identifier: Apache-2.0
"""Damaged HTTP: whatever arrives, the connection ends, and no fault of ours is ever answered."""

from __future__ import annotations

import asyncio
import re
from random import Random

import pytest

from tests.support.dataport import WAYS, data_port
from tests.support.http import PATIENCE, chunked, connect, request
from tests.support.v2 import body

INFER = "/v2/models/m/infer"
LIMIT = 4096
SEEDS = [
    request("POST", INFER, body()),
    request("POST", INFER, body(id="a"), {"Inference-Header-Content-Length": "70"}),
    request("POST", INFER, body(), {"Content-Encoding": "gzip", "Expect": "100-continue"}),
    request("POST", INFER, headers={"Transfer-Encoding": "chunked"}) + chunked(body(), b"x"),
    request("POST", "/v1/models/m:predict", {"instances": [[1, 2]]}),
    request("GET", "/v2/models/m/versions/1/ready") + request("GET", "/metrics"),
    request("POST", "/v2/repository/index", b'{"ready":true}'),
]
PIECES = [b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"\t", b"0", b"-1", b"99999999999999999999",
          b"chunked", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"\xff", b"%00",
          b"%2e%2e/", b"{", b"[" * 200, b"HTTP/1.0", b"HTTP/2.0", b"Host: b\r\n"]  # fmt: skip
# What fills up a body that is still awaited, ends a head, and then the connection.
END = b"\r\n" * LIMIT + request("GET", "/v2/health/live", headers={"Connection": "close"})


def damaged(rng: Random) -> bytes:
    """One or two requests with at most two cuts, copies or insertions."""
    raw = b"".join(rng.choices(SEEDS, k=rng.randint(1, 2)))
    for _ in range(rng.randint(0, 2)):
        start = rng.randrange(len(raw) + 1)
        end = min(len(raw), start + rng.randint(0, 12))
        piece = rng.choice([b"", rng.choice(PIECES), rng.randbytes(rng.randint(1, 4)), raw[:end]])
        raw = raw[:start] + piece + raw[end:]
    return raw


async def answered(port: int, raw: bytes) -> bytes:
    """All that comes back for *raw* until the server ends the connection."""
    async with connect(port) as client, asyncio.timeout(PATIENCE):
        try:
            await client.send(raw + END)
            return await client.everything()
        except ConnectionError:
            return b""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(4))
async def test_damage_is_refused_or_survived(way: str, seed: int) -> None:
    """No 500, no hang, and the next client is served."""
    rng = Random(seed)
    async with data_port(way=way, max_body=LIMIT) as port:
        statuses: list[int] = []
        for _ in range(300):
            raw = damaged(rng)
            found = re.findall(rb"HTTP/1\.[01] (\d{3})", await answered(port, raw))
            statuses += [int(status) for status in found]
            # Part of the protocols that is not offered is the only 5xx that a client can cause.
            assert set(statuses) - {501} < set(range(500)), raw
        assert {200, 400, 404} <= set(statuses), "the damage is of no use"
        async with connect(port) as client:
            assert (await client.ask("POST", INFER, body())).status == 200
