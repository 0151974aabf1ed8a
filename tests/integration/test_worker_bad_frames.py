# SPDX-License-Identifier: Apache-2.0
"""Bytes that are not frames: their connection ends, the worker and its other peers go on."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.wire.frames import (
    MAGIC,
    MAX_BODY,
    MAX_HEAD,
    PREFIX,
    Hello,
    InferHead,
    Kind,
    TensorHead,
    encode_heads,
    frame,
)
from gateway.wire.model import ModelInfo
from gateway.wire.tensor import Tensor
from tests.support import models
from tests.support.worker_process import Worker

X = Tensor.of("x", np.ones((1, 2), np.float32))
MODEL = ModelInfo("m", "1", "", "", (), (), batched=False)

BAD = {
    "another protocol": b"GET / HTTP/1.1\r\nHost: worker\r\n\r\n",
    "zeros": bytes(64),
    "unknown kind": PREFIX.pack(MAGIC, 99, 0, 1, 0, 0),
    "reserved bits": PREFIX.pack(MAGIC, Kind.PING, 1, 1, 0, 0),
    "a worker's own frame": frame(Kind.HELLO, 1, Hello("i", 1, MODEL)),
    "a head too large": PREFIX.pack(MAGIC, Kind.INFER, 0, 1, MAX_HEAD + 1, 0),
    "a body too large": PREFIX.pack(MAGIC, Kind.INFER, 0, 1, 0, MAX_BODY + 1),
    "a head that is no head": PREFIX.pack(MAGIC, Kind.INFER, 0, 1, 4, 0) + b"\xc1\xc1\xc1\xc1",
    "a tensor without its bytes": frame(
        Kind.INFER, 1, InferHead(encode_heads([TensorHead("x", "FP32", (1, 2), 8)]))
    ),
    "a shape below zero": frame(
        Kind.INFER, 1, InferHead(encode_heads([TensorHead("x", "FP32", (-1, 0), 0)]))
    ),
    "an unknown datatype": frame(
        Kind.INFER, 1, InferHead(encode_heads([TensorHead("x", "FP8", (0,), 0)]))
    ),
}


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> object:
    """One worker for all: that it serves the last case shows that it survived the first."""
    directory = models.save(models.identity(), tmp_path_factory.mktemp("model") / "m")
    with Worker(directory) as running:
        yield running


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD)
def test_only_the_offender_is_cut_off(worker: Worker, raw: bytes) -> None:
    """A neighbour that was connected before is served after."""
    with worker.connect() as neighbour, worker.connect() as offender:
        offender.socket.sendall(raw)
        assert offender.receive() is None
        assert neighbour.infer(X)["y"].array().tolist() == [[1, 1]]
        with worker.connect() as next_one:
            assert next_one.infer(X)["y"].array().tolist() == [[1, 1]]


def test_a_frame_may_come_byte_by_byte(worker: Worker) -> None:
    """A stream has no borders but those of the frames."""
    with worker.connect() as client:
        for byte in frame(Kind.PING, 5):
            client.socket.send(bytes([byte]))
        assert client.answer().kind is Kind.PONG


def test_a_peer_that_leaves_in_the_middle_of_a_frame_is_forgotten(worker: Worker) -> None:
    """Half a request is none."""
    with worker.connect() as client:
        client.socket.sendall(PREFIX.pack(MAGIC, Kind.INFER, 0, 1, 100, 1 << 20) + bytes(50))
    with worker.connect() as client:
        assert client.infer(X)["y"].shape == (1, 2)
