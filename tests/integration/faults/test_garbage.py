# SPDX-License-Identifier: Apache-2.0
"""A worker that sends what is no frame, or none that a worker sends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from gateway.wire.frames import (
    MAGIC,
    PREFIX,
    Hello,
    Kind,
    ResultHead,
    TensorHead,
    encode_heads,
    frame,
)
from tests.support.faulty import NOISE, FaultyWorker, babble
from tests.support.scenarios import no_client_learns_of, two_attempts_and_an_error
from tests.support.scripted_worker import Received
from tests.support.trial import trial
from tests.support.upstream import MODEL

GARBAGE = {
    "noise": NOISE,
    "zeros": bytes(64),
    "another protocol": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "a second hello": frame(Kind.HELLO, 0, Hello("1", 1, MODEL)),
    "a frame of the gateway's": frame(Kind.PING, 7),
    "a kind that is none": PREFIX.pack(MAGIC, 99, 0, 1, 0, 0),
}
HEADS = {
    "no head": b"\xc1\xc1\xc1\xc1",
    "a head of something else": b"\x93\x01\x02\x03",
}
LIES = {
    "fewer bytes than announced": TensorHead("y", "FP32", (2, 2), 16),
    "a shape below zero": TensorHead("y", "FP32", (-2, -2), 16),
    "a datatype that is none": TensorHead("y", "FP31", (2, 2), 16),
    "another size than the shape's": TensorHead("y", "FP32", (2, 2), 8),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_the_other_worker_answers(tmp_path: Path, garbage: bytes) -> None:
    """The connection is ended at the first byte that makes no sense."""

    def send(received: Received) -> None:
        received.connection.send(garbage)

    await no_client_learns_of(tmp_path, send)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
async def test_a_result_whose_head_is_none_is_garbage(tmp_path: Path, head: bytes) -> None:
    """The id in front of it is right, and does not help."""

    def send(received: Received) -> None:
        prefix = PREFIX.pack(MAGIC, Kind.RESULT, 0, received.id, len(head), 0)
        received.connection.send(prefix + head)

    await no_client_learns_of(tmp_path, send)


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_result_that_contradicts_itself_is_garbage(tmp_path: Path, lie: TensorHead) -> None:
    """Half of what was announced is not half an answer."""
    data = np.ones(2, np.float32).tobytes()

    def send(received: Received) -> None:
        head = frame(Kind.RESULT, received.id, ResultHead(encode_heads([lie]), 1, 1))
        size = len(head) - PREFIX.size
        prefix = PREFIX.pack(MAGIC, Kind.RESULT, 0, received.id, size, len(data))
        received.connection.send(prefix + head[PREFIX.size :] + data)

    await no_client_learns_of(tmp_path, send)


async def test_a_lone_worker_has_two_attempts(tmp_path: Path) -> None:
    """Then the client is told."""
    await two_attempts_and_an_error(tmp_path, babble, code="poison_input")


async def test_another_service_at_the_address_gets_no_request(tmp_path: Path) -> None:
    """It does not say who it is as a worker does; when the worker is back, it is used again."""
    async with (
        FaultyWorker() as gone,
        FaultyWorker() as good,
        trial(tmp_path, gone.address, good.address) as under,
    ):
        visitors: asyncio.Queue[bytes] = asyncio.Queue()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(GARBAGE["another protocol"])
            visitors.put_nowait(await reader.read())
            writer.close()

        gone.stop()
        port = int(gone.address.rpartition(":")[2])
        async with await asyncio.start_server(serve, "127.0.0.1", port):
            for _ in range(2):
                assert await visitors.get() == b""
            assert {reply.code for reply in await under.ask_many(8)} == {"ok"}
            assert under.state(gone.address) == "down"
        await gone.listen()
