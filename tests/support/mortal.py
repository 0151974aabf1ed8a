# SPDX-License-Identifier: Apache-2.0
"""A worker that dies of one value: ``python -m tests.support.mortal SOCKET``.

It doubles FP32 rows of one number, as many as come; at MAGIC it is gone, as after SIGSEGV.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Final

import numpy as np

from gateway.wire.frames import (
    Frame,
    FrameReader,
    Hello,
    InferHead,
    Kind,
    PongHead,
    ResultHead,
    frame,
    heads_of,
    read_head,
    read_tensors,
    tensor_frame,
)
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import Tensor

MAGIC: Final = 666.0
MODEL: Final = ModelInfo(
    name="double",
    version="1",
    platform="onnx_onnxv1",
    digest="0" * 64,
    inputs=(TensorSpec("x", "FP32", (-1, 1)),),
    outputs=(TensorSpec("y", "FP32", (-1, 1)),),
    batched=True,
)


def answer(received: Frame) -> bytes:
    """The frame that answers *received*; does not return if it holds MAGIC."""
    if received.kind is Kind.PING:
        return frame(Kind.PONG, received.id, PongHead(0, 1))
    if received.kind is not Kind.INFER:
        return b""
    (tensor,) = read_tensors(read_head(received.head, InferHead).inputs, received.body)
    values = tensor.array()
    if MAGIC in values:
        os._exit(139)
    doubled = (Tensor.of("y", values * np.float32(2)),)
    head = ResultHead(heads_of(doubled), 1, 1, 0, len(values))
    return b"".join(tensor_frame(Kind.RESULT, received.id, head, doubled))


def main(path: str) -> None:
    """Serve one gateway after the other until killed."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    while True:
        connection, _ = listening.accept()
        connection.sendall(frame(Kind.HELLO, 0, Hello(str(os.getpid()), os.getpid(), MODEL)))
        reader = FrameReader()
        while size := connection.recv_into(reader.get_buffer()):
            for received in reader.buffer_updated(size):
                connection.sendall(answer(received))


if __name__ == "__main__":
    main(sys.argv[1])
