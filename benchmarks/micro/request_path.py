# SPDX-License-Identifier: Apache-2.0
"""What one request costs the gateway's own code.

    python -m benchmarks.micro.request_path --connections 32

The real lane, stack and transport of a configuration run in one process without sockets: each
round, every connection is given one request, and the scripted worker answers what was sent. The
figure is processor time for each request, so that other processes disturb it little.
"""

import argparse
import asyncio
import cProfile
import itertools
import pstats
import statistics
import tempfile
import time
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from benchmarks.cache import MARKER, digits
from benchmarks.contenders import CONFIGS, DIGIT_ROWS
from benchmarks.payloads import json_rows
from benchmarks.processes import ROOT
from gateway.access_log import AccessLog
from gateway.config.load import load
from gateway.config.placement import placed
from gateway.edge.lane import Lane
from gateway.serving import Gateway
from gateway.telemetry import Telemetry
from gateway.upstream import link
from gateway.wire.frames import (
    PREFIX,
    PREFIX_SIZE,
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
from gateway.wire.generation import Generation
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import Tensor

MODEL = ModelInfo(
    "digits", "1", "onnx_onnxv1", "0" * 64,
    (TensorSpec("image", "FP32", (-1, 64)),),
    (TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 10))),
    batched=True,
)  # fmt: skip


_BUSY = attrgetter("busy")


class Client:
    """A client's end of a transport: it counts what it is sent."""

    def __init__(self) -> None:
        self.answers = 0
        self.bytes = 0
        self.last = b""

    def write(self, data: bytes) -> None:
        """One answer."""
        self.answers += 1
        self.bytes += len(data)
        self.last = data

    def is_closing(self) -> bool:
        """Never."""
        return False

    def get_extra_info(self, _name: str) -> Any:  # noqa: ANN401 - as asyncio's
        """An address."""
        return ("127.0.0.1", 1)

    def set_write_buffer_limits(self, high: int) -> None:
        """Nothing waits here."""


class Worker:
    """A worker's end of a transport: frames in, prepared frames out at the next turn."""

    def __init__(self, wire: Any, loop: asyncio.AbstractEventLoop) -> None:  # noqa: ANN401
        self.wire = wire
        self.loop = loop
        self.frames = 0
        self.results: dict[int, tuple[ResultHead, tuple[Tensor, ...]]] = {}
        rng = np.random.default_rng(1)
        # Each row the same: an answer must not depend on the place of its question in a batch.
        self.scores = np.tile(rng.random((1, 10)).astype(np.float32), (64, 1))
        self.labels = np.full(64, 7)

    def write(self, data: bytes) -> None:
        """A request; answered with as many rows as it has."""
        self.frames += 1
        self.loop.call_soon(self.answer, data)

    def answer(self, data: bytes) -> None:
        """Give the wire the result frame, as a socket would."""
        id_, rows = _parse(data)
        if rows not in self.results:
            tensors: tuple[Tensor, ...] = (
                Tensor.of("label", self.labels[:rows]),
                Tensor.of("probabilities", self.scores[:rows]),
            )
            self.results[rows] = (ResultHead(heads_of(tensors), 1, 20, 0, rows), tensors)
        result, tensors = self.results[rows]
        self.feed(b"".join(tensor_frame(Kind.RESULT, id_, result, tensors)))

    def feed(self, data: bytes) -> None:
        """Bytes for the gateway."""
        view = memoryview(data)
        while view:
            buffer = self.wire.get_buffer(len(view))
            count = min(len(buffer), len(view))
            buffer[:count] = view[:count]
            self.wire.buffer_updated(count)
            view = view[count:]

    def is_closing(self) -> bool:
        """Never."""
        return False

    def abort(self) -> None:
        """Nothing to close."""


def _parse(data: bytes) -> tuple[int, int]:
    """The id and the rows of the inference in *data*."""
    _, kind, _, id_, size, _ = PREFIX.unpack_from(data)
    if kind != Kind.INFER:
        raise ValueError(f"frame of kind {kind}")
    middle = PREFIX_SIZE + size
    head = read_head(data[PREFIX_SIZE:middle], InferHead)
    (tensor,) = read_tensors(head.inputs, memoryview(data)[middle:])
    return id_, tensor.rows


class Rig:
    """A gateway of *config* with *connections* clients and one scripted worker."""

    def __init__(self, config: str, connections: int) -> None:
        loop = asyncio.get_running_loop()
        telemetry = Telemetry(models=["digits"])
        settings = load(str(CONFIGS / config))
        self.runtime = tempfile.TemporaryDirectory(prefix="bench-")
        self.gateway = Gateway(
            settings,
            Generation(1, str(CONFIGS / config), placed(settings)),
            runtime=Path(self.runtime.name),
            telemetry=telemetry,
            access_log=AccessLog(telemetry=telemetry),
        )
        (endpoint,) = self.gateway.models["digits"].pool.endpoints
        # There is no socket to make it by.
        wire = link._Wire(endpoint.transport, loop)  # type: ignore[arg-type]  # noqa: SLF001
        self.worker = Worker(wire, loop)
        wire.connection_made(self.worker)  # type: ignore[arg-type]
        self.worker.feed(frame(Kind.HELLO, 0, Hello("1", 1, MODEL)))
        lane = Lane(self.gateway.service, fallback=asyncio.Protocol)
        self.clients = [Client() for _ in range(connections)]
        self.lanes = [lane() for _ in self.clients]
        for connection, client in zip(self.lanes, self.clients, strict=True):
            connection.connection_made(client)  # type: ignore[arg-type]
        self.telemetry = telemetry

    async def round(self, requests: list[bytes], start: int) -> None:
        """One request on each connection; returns when all are answered."""
        count = len(requests)
        for number, connection in enumerate(self.lanes):
            connection.data_received(requests[(start + number) % count])
        while any(map(_BUSY, self.lanes)):  # noqa: ASYNC110 - the loop's turns are counted too
            await asyncio.sleep(0)


async def measure(options: argparse.Namespace) -> None:
    """Rounds of rounds; prints the median and the spread."""
    with np.load(ROOT / "models" / "digits" / "test.npz") as data:
        rows = data["inputs"][:DIGIT_ROWS]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        count = json_rows("digits", "image", rows).write(directory, "127.0.0.1:8000")
        requests = [(directory / str(number)).read_bytes() for number in range(count)]
    rig = Rig(options.config, options.connections)
    every = options.connections
    fresh = itertools.count()
    (marked,) = digits().payload.requests("127.0.0.1:8000")

    def batch(rounds: int) -> list[bytes]:
        """What is sent in so many rounds: the same requests again, or such as were never sent."""
        if not options.unique:
            return requests
        return [
            marked.replace(MARKER.encode(), b"%07d" % next(fresh)) for _ in range(rounds * every)
        ]

    async def run(rounds: int, sent: list[bytes]) -> None:
        for number in range(rounds):
            await rig.round(sent, number * every)

    await run(options.rounds // 4, batch(options.rounds // 4))
    if not rig.clients[0].last.startswith(b"HTTP/1.1 200"):
        raise ValueError(f"answered {rig.clients[0].last!r}")
    if options.profile:
        profile = cProfile.Profile()
        sent = batch(options.rounds)
        profile.enable()
        await run(options.rounds, sent)
        profile.disable()
        stats = pstats.Stats(profile)
        stats.sort_stats("tottime").print_stats(options.profile)
        calls = stats.total_calls / (options.rounds * every)  # type: ignore[attr-defined]
        print(f"{calls:.1f} calls a request")
        return
    figures = []
    for _ in range(options.repeat):
        sent = batch(options.rounds)
        began = time.process_time()
        await run(options.rounds, sent)
        figures.append((time.process_time() - began) * 1e6 / (options.rounds * every))
        rig.telemetry.take()
    print(
        f"{options.config}, {every} connections: {statistics.median(figures):.2f} us a request "
        f"({min(figures):.2f} to {max(figures):.2f}), "
        f"{(options.rounds * every) / max(1, options.rounds):.0f} requests a round"
    )


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="digits.yaml", help="one of benchmarks/configs")
    parser.add_argument("--unique", action="store_true", help="ask nothing twice")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--profile", type=int, metavar="LINES", help="print a profile instead")
    uvloop.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
