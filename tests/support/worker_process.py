# SPDX-License-Identifier: Apache-2.0
"""A real worker process and a blocking client that speaks frames with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from gateway.wire.frames import (
    ErrorHead,
    Frame,
    FrameReader,
    Hello,
    InferHead,
    Kind,
    ResultHead,
    frame,
    heads_of,
    read_head,
    read_tensors,
    tensor_frame,
)
from gateway.wire.process import PARENT, READY, READY_FD
from gateway.wire.tensor import Tensor

if TYPE_CHECKING:
    from types import TracebackType

# Nothing here takes this long; a test that waits for it has failed.
PATIENCE = 30.0
# Steps of the counting model that no test could wait for.
FOREVER = 10**15


def command(model: Path | str, *options: str, listen: str) -> list[str]:
    """The command line of a worker."""
    return [sys.executable, "-m", "backends", str(model), "--listen", listen, *options]


class Worker(AbstractContextManager["Worker"]):
    """A worker that serves *model* and has said ready; killed at the end if it still runs."""

    def __init__(self, model: Path | str, *options: str, listen: str = "") -> None:
        self._directory = tempfile.TemporaryDirectory()
        self.socket = Path(self._directory.name) / "worker.sock"
        ready, announce = os.pipe()
        self.process = subprocess.Popen(
            command(model, *options, listen=listen or f"unix:{self.socket}"),
            # Started from a terminal or a test, no supervisor is its parent.
            env={**{k: v for k, v in os.environ.items() if k != PARENT}, READY_FD: str(announce)},
            stderr=subprocess.PIPE,
            pass_fds=(announce,),
            text=True,
        )
        os.close(announce)
        with os.fdopen(ready, "rb") as pipe:
            said = pipe.read()
        if said != READY:
            raise AssertionError(f"the worker did not start: {self.process.communicate()[1]}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.communicate()
        self._directory.cleanup()

    def connect(self) -> Client:
        """A connection that has heard hello."""
        return Client.to_unix(self.socket)

    def terminate(self) -> None:
        """Ask it to drain."""
        self.process.send_signal(signal.SIGTERM)

    def ends(self) -> tuple[int, str]:
        """Wait for the end: exit code and what it wrote to stderr."""
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


class Client(AbstractContextManager["Client"]):
    """One connection to a worker, blocking; frames are received in the order of arrival."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.socket.settimeout(PATIENCE)
        self._reader = FrameReader()
        self._frames: list[Frame] = []
        self._ids = count(1)
        first = self.receive()
        assert first is not None
        assert first.kind is Kind.HELLO
        self.hello: Hello = read_head(first.head, Hello)

    @classmethod
    def to_unix(cls, path: Path) -> Self:
        """Connect to the socket file *path*."""
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.connect(str(path))
        except OSError:
            connected.close()
            raise
        return cls(connected)

    @classmethod
    def to_tcp(cls, host: str, port: int) -> Self:
        """Connect to a worker on TCP."""
        return cls(socket.create_connection((host, port)))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def receive(self) -> Frame | None:
        """The next frame, None at the end of the connection."""
        while not self._frames:
            try:
                size = self.socket.recv_into(self._reader.get_buffer())
            except ConnectionResetError:
                return None
            if not size:
                return None
            self._frames = self._reader.buffer_updated(size)
        return self._frames.pop(0)

    def ask(self, *inputs: Tensor, outputs: tuple[str, ...] = (), budget: int = 0) -> int:
        """Send a request; returns its id."""
        id_ = next(self._ids)
        head = InferHead(heads_of(inputs), list(outputs), budget)
        self.socket.sendall(b"".join(map(bytes, tensor_frame(Kind.INFER, id_, head, inputs))))
        return id_

    def count(self, steps: int, *, budget: int = 0) -> int:
        """Ask the counting model to count from 0 to *steps*; returns the id."""
        return self.ask(
            Tensor.of("x", np.zeros(1, np.float32)),
            Tensor.of("steps", np.array([steps], np.int64)),
            budget=budget,
        )

    def ping(self) -> int:
        """Send a ping; returns its id."""
        id_ = next(self._ids)
        self.socket.sendall(frame(Kind.PING, id_))
        return id_

    def cancel(self, id_: int) -> None:
        """Say that nobody waits for *id_*."""
        self.socket.sendall(frame(Kind.CANCEL, id_))

    def answer(self) -> Frame:
        """The next frame, which must come."""
        received = self.receive()
        assert received is not None, "the connection ended"
        return received

    def error(self) -> tuple[int, ErrorHead]:
        """The next frame, which must be an error: its id and head."""
        received = self.answer()
        assert received.kind is Kind.ERROR, received
        return received.id, read_head(received.head, ErrorHead)

    def result(self) -> tuple[int, ResultHead, dict[str, Tensor]]:
        """The next frame, which must be a result: its id, head and outputs by name."""
        received = self.answer()
        if received.kind is Kind.ERROR:
            raise AssertionError(read_head(received.head, ErrorHead))
        assert received.kind is Kind.RESULT, received
        head = read_head(received.head, ResultHead)
        return received.id, head, {t.name: t for t in read_tensors(head.outputs, received.body)}

    def infer(self, *inputs: Tensor, outputs: tuple[str, ...] = ()) -> dict[str, Tensor]:
        """Ask and wait for the outputs."""
        id_ = self.ask(*inputs, outputs=outputs)
        answered, _, tensors = self.result()
        assert answered == id_
        return tensors
