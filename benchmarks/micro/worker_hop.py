# SPDX-License-Identifier: Apache-2.0
"""What the hop to a worker costs: frames over a Unix socket beside a bare onnxruntime loop.

    python -m benchmarks.micro.worker_hop models/digits --rows 8 --requests 10000

One client process keeps 1, 2 and 3 requests in flight. The gateway keeps two at an idle worker,
so the second line is the one that counts.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from gateway.wire.frames import (
    Frame,
    FrameReader,
    Hello,
    InferHead,
    Kind,
    heads_of,
    read_head,
    tensor_frame,
)
from gateway.wire.model import ModelInfo
from gateway.wire.process import READY, READY_FD
from gateway.wire.tensor import NUMPY, Array, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPTHS = (1, 2, 3)


class Client:
    """A blocking connection to a worker."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._reader = FrameReader()
        (first,) = self._receive()
        self.model: ModelInfo = read_head(first.head, Hello).model

    def _receive(self) -> list[Frame]:
        while True:
            size = self._socket.recv_into(self._reader.get_buffer())
            if not size:
                raise ConnectionError("the worker closed the connection")
            frames = self._reader.buffer_updated(size)
            if frames:
                return frames

    def closed_loop(self, inputs: tuple[Tensor, ...], depth: int, requests: int) -> list[float]:
        """Answer times in seconds of *requests*, *depth* in flight."""
        begun: dict[int, float] = {}
        times: list[float] = []
        sent = 0

        def ask() -> None:
            nonlocal sent
            sent += 1
            buffers = tensor_frame(Kind.INFER, sent, InferHead(heads_of(inputs)), inputs)
            begun[sent] = perf_counter()
            self._socket.sendall(b"".join(buffers))

        for _ in range(depth):
            ask()
        while len(times) < requests:
            for received in self._receive():
                if received.kind is not Kind.RESULT:
                    raise RuntimeError(f"the worker answered {received!r}")
                times.append(perf_counter() - begun.pop(received.id))
                if sent < requests:
                    ask()
        return times


@contextmanager
def worker(model: str, *options: str) -> Iterator[tuple[int, str, float]]:
    """A worker that serves *model*: its process id, its socket, the seconds that its start took."""
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/w.sock"
        ready, announce = os.pipe()
        started = perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "backends", model, "--listen", f"unix:{path}", *options],
            env={**os.environ, READY_FD: str(announce)},
            pass_fds=(announce,),
        )
        os.close(announce)
        try:
            with os.fdopen(ready, "rb") as pipe:
                if pipe.read() != READY:
                    raise SystemExit("the worker did not start")
            yield process.pid, path, perf_counter() - started
        finally:
            process.terminate()
            process.wait()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def made_up(model: ModelInfo, rows: int) -> dict[str, Array]:
    """Random inputs of *rows* rows; other free dimensions are 1."""
    rng = np.random.default_rng(7)
    return {
        spec.name: rng.random(
            [
                rows if axis == 0 and size < 0 else max(size, 1)
                for axis, size in enumerate(spec.shape)
            ]
        ).astype(NUMPY[spec.datatype])
        for spec in model.inputs
    }


def bare_loop(model: str, inputs: dict[str, Array], requests: int) -> float:
    """Seconds of one run in a loop that does nothing else."""
    path = Path(model)
    file = max(path.glob("*/model.onnx")) if path.is_dir() else path
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options)
    names = [output.name for output in session.get_outputs()]
    for _ in range(10):
        session.run(names, inputs)
    begun = perf_counter()
    for _ in range(requests):
        session.run(names, inputs)
    return (perf_counter() - begun) / requests


def main() -> None:
    """Measure and print one line for each depth."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--requests", type=int, default=10_000)
    options = parser.parse_args()
    with worker(options.model) as (pid, path, start):
        client = Client(path)
        arrays = made_up(client.model, options.rows)
        inputs = tuple(Tensor.of(name, array) for name, array in arrays.items())
        bare = bare_loop(options.model, arrays, options.requests)
        print(f"start to ready {start * 1e3:.0f} ms, bare run {bare * 1e6:.1f} µs")
        print("in flight  requests/s  of bare  worker CPU µs  p50 µs  p99 µs")
        for depth in DEPTHS:
            cpu, begun = cpu_seconds(pid), perf_counter()
            times = client.closed_loop(inputs, depth, options.requests)
            took = (perf_counter() - begun) / options.requests
            cpu = (cpu_seconds(pid) - cpu) / options.requests
            points = quantiles(times, n=100)
            print(
                f"{depth:9}  {1 / took:10.0f}  {bare / took:7.3f}  {cpu * 1e6:13.1f}  "
                f"{points[49] * 1e6:6.0f}  {points[98] * 1e6:6.0f}"
            )


if __name__ == "__main__":
    main()
