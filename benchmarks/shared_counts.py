# SPDX-License-Identifier: Apache-2.0
"""How uneven two gateway processes load real workers: ``python -m benchmarks.shared_counts``.

Two gateway processes of this commit stand before the same onnxruntime workers, once counting what
is outstanding together and once each for itself, in turn. Requests come at random instants, half of
them to each process; who had how much is put together from when each was sent and answered.
"""

import argparse
import asyncio
import dataclasses
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from statistics import median

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks import machine
from benchmarks.payloads import json_rows
from benchmarks.processes import Program, Server, free_port, python
from gateway.upstream.outstanding import create
from gateway.wire.generation import Generation, write_generation
from gateway.wire.orders import orders_directory
from gateway.wire.runtime import metrics_directory, outstanding_file, state_directory

WIDTH = 64
HIDDEN = 1024
GATEWAYS = 2
CONNECTIONS = 24


@dataclasses.dataclass(frozen=True)
class Sample:
    """One round; times in milliseconds, *imbalance* as in the simulator: rows, at each arrival."""

    shared: bool
    requests: int
    p50_ms: float
    p99_ms: float
    imbalance: float
    beside_idle: float


def model(path: Path, layers: int) -> None:
    """Write a model of small rows and much work: *layers* products with a 1024 x 1024 matrix."""
    rng = np.random.default_rng(1)
    into = rng.standard_normal((WIDTH, HIDDEN)).astype(np.float32)
    square = (rng.standard_normal((HIDDEN, HIDDEN)) / HIDDEN**0.5).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "into"], ["h0"])]
    for layer in range(layers):
        nodes.append(helper.make_node("MatMul", [f"h{layer}", "square"], [f"m{layer}"]))
        nodes.append(helper.make_node("Tanh", [f"m{layer}"], [f"h{layer + 1}"]))
    nodes.append(helper.make_node("ReduceMean", [f"h{layers}"], ["y"], axes=[1], keepdims=1))
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(into, "into"), numpy_helper.from_array(square, "square")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    path.write_bytes(made.SerializeToString())


class Clients:
    """Connections to every gateway, and what came over them."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        rows = np.random.default_rng(2).standard_normal((1, WIDTH)).astype(np.float32)
        (self._request,) = json_rows("m", "x", rows).requests("test")
        self._free: list[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = []
        # When each was sent and answered, and by whom.
        self.done: list[tuple[float, float, str]] = []

    async def connect(self) -> None:
        """Open them all."""
        for port in self._ports:
            made = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
            self._free.append(made)

    async def close(self) -> None:
        """Close them all."""
        for made in self._free:
            for _, writer in made:
                writer.close()
                await writer.wait_closed()

    async def ask(self, gateway: int) -> None:
        """One request to *gateway*."""
        reader, writer = self._free[gateway].pop()
        loop = asyncio.get_running_loop()
        began = loop.time()
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        await reader.readexactly(int(fields["content-length"]))
        if not head.startswith("HTTP/1.1 200"):
            raise RuntimeError(head)
        self.done.append((began, loop.time(), fields["infergate-backend"]))
        self._free[gateway].append((reader, writer))


async def load(clients: Clients, rate: float, seconds: float, rng: Random) -> None:
    """Requests at random instants, *rate* a second, spread over the gateways by chance."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    at = loop.time()
    async with asyncio.TaskGroup() as group:
        while at < end:
            at += rng.expovariate(rate)
            await asyncio.sleep(max(0.0, at - loop.time()))
            group.create_task(clients.ask(rng.randrange(GATEWAYS)))


def judged(done: list[tuple[float, float, str]], workers: int, *, shared: bool) -> Sample:
    """What the times of *done* say; the first tenth is for warming up."""
    done = sorted(done)
    names = sorted({backend for _, _, backend in done})
    if len(names) != workers:
        raise RuntimeError(f"only {names} of {workers} workers have answered")
    counts: Counter[str] = Counter(dict.fromkeys(names, 0))
    events = sorted(
        [(began, 1, backend) for began, _, backend in done]
        + [(ended, -1, backend) for _, ended, backend in done]
    )
    spreads, beside = [], 0
    for _, change, backend in events:
        if change > 0:
            spreads.append(max(counts.values()) - min(counts.values()))
            # A second request for a worker, while another had none.
            beside += counts[backend] > 0 and min(counts.values()) == 0
        counts[backend] += change
    tenth = len(done) // 10
    times = np.array([ended - began for began, ended, _ in done[tenth:]]) * 1e3
    return Sample(
        shared=shared,
        requests=len(done),
        p50_ms=float(np.percentile(times, 50)),
        p99_ms=float(np.percentile(times, 99)),
        imbalance=float(np.mean(spreads)),
        beside_idle=beside / len(done),
    )


async def measure(
    options: argparse.Namespace, sockets: list[str], round_: int, *, shared: bool
) -> Sample:
    """One round with gateways of its own before the workers at *sockets*."""
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        root = Path(made)
        ports = [free_port() for _ in range(GATEWAYS)]
        programs = []
        if shared:
            create(root / "outstanding", GATEWAYS)
        for index, port in enumerate(ports):
            # Each has a directory of its own, as its configuration has another port.
            runtime = root / str(index)
            for directory in (metrics_directory, state_directory, orders_directory):
                directory(runtime).mkdir(parents=True)
            if shared:
                outstanding_file(runtime).hardlink_to(root / "outstanding")
            config = runtime / "config.json"
            backends = [{"address": f"unix:{path}"} for path in sockets]
            whole = {
                "server": {"http": f"127.0.0.1:{port}", "processes": GATEWAYS},
                "models": {"m": {"backends": backends, "batch": {"max_rows": 1}}},
            }
            config.write_text(json.dumps(whole))
            write_generation(runtime, Generation(1, str(config)))
            arguments = ("--runtime", str(runtime), "--index", str(index))
            programs.append(Program(python("-m", "gateway.process", *arguments)))
        with Server(programs, log=root / "log") as server:
            await listening(ports, server)
            clients = Clients(ports)
            await clients.connect()
            rng = Random(options.seed * 1000 + round_)
            await load(clients, options.rate, 1.0, rng)
            clients.done.clear()
            await load(clients, options.rate, options.seconds, rng)
            await clients.close()
            return judged(clients.done, len(sockets), shared=shared)


async def listening(ports: list[int], server: Server) -> None:
    """Wait until somebody answers on each of *ports*."""
    for port in ports:
        for _ in range(300):
            server.check()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            break


def run(options: argparse.Namespace) -> list[Sample]:
    """All rounds, with and without shared counts in turn."""
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        path = Path(made) / "m.onnx"
        model(path, options.layers)
        sockets = [f"{made}/{index}.sock" for index in range(options.workers)]
        programs = [
            Program(python("-m", "backends", str(path), "--listen", f"unix:{each}"))
            for each in sockets
        ]
        samples = []
        with Server(programs, log=Path(made) / "log") as server:
            for each in sockets:
                server._await(Path(each))  # noqa: SLF001 - what Program.after does
            for number in range(options.rounds):
                for shared in (True, False) if number % 2 else (False, True):
                    sample = asyncio.run(measure(options, sockets, number, shared=shared))
                    print(sample, file=sys.stderr, flush=True)
                    samples.append(sample)
        return samples


def report(options: argparse.Namespace, samples: list[Sample]) -> str:
    """The medians of all rounds, and the extremes."""
    commit, modified = machine.commit()
    lines = [
        f"# Shared counts, commit {commit}{' with changes' if modified else ''}",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in machine.facts().items()),
        f"| Rounds | {options.rounds} of {options.seconds:g} s each, in turn |",
        f"| Requests | {options.rate:g}/s at random instants, half to each gateway of {GATEWAYS} |",
        f"| Workers | {options.workers} of onnxruntime, {options.layers} products of 1024 x 1024 |",
        "",
        "Medians over the rounds, with the lowest and the highest.",
        "",
        "| | p50 ms | p99 ms | imbalance, rows | sent to a busy worker beside an idle one |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for shared in (False, True):
        rows = [each for each in samples if each.shared is shared]
        cells = [
            _spread([each.p50_ms for each in rows]),
            _spread([each.p99_ms for each in rows]),
            _spread([each.imbalance for each in rows]),
            _spread([100 * each.beside_idle for each in rows], " %"),
        ]
        lines.append(f"| {'together' if shared else 'each alone'} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _spread(values: list[float], unit: str = "") -> str:
    return f"{median(values):.2f}{unit} ({min(values):.2f} to {max(values):.2f})"


def main() -> int:
    """Measure and print the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_counts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rate", type=float, default=120.0, help="requests a second")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(report(options, run(options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
