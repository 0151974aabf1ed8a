# SPDX-License-Identifier: Apache-2.0
"""Whether the load generator tells the truth, and what it costs.

    python -m benchmarks.load [--rounds 5] [--seconds 3] [--stall-seconds 30]

Stalls: a server that answers nothing for 200 ms of every second, whose percentiles are known, under
an open loop, a closed loop, and wrk. Cost: the generator and wrk in alternating rounds on one core,
against nginx on the other, which answers the same 200 bytes to everything. Prints Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import machine, wrk
from benchmarks.processes import Program, Server, find, free_port, python
from gateway.lab.load.measure import measure
from gateway.lab.load.run import Plan, Run
from gateway.lab.load.source import templates
from gateway.wire.model import TensorSpec

STALL = 0.2
# Not a whole number a second, so that every second is looked at from other instants.
STALL_RATE = 211.37
QUANTILES = (85.0, 90.0, 95.0, 99.0, 99.9)
# The rate at which the generator's own part of p99 is looked at.
RATE = 5_000.0
CONNECTIONS = 16
WIDTH = 64
_SPEC = TensorSpec("x", "FP32", (-1, WIDTH))
_ANSWER = {
    "model_name": "m",
    "name": "m",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, WIDTH]}],
    "outputs": [{"name": "y", "datatype": "INT64", "shape": [1], "data": [1]}],
}


@dataclass(frozen=True)
class Cost:
    """One round: requests a second and latencies in microseconds."""

    who: str
    rate: float
    p50: float
    p99: float
    lag_p99: float = 0.0
    cpu: float = 0.0

    @property
    def per_cpu_second(self) -> float:
        """Requests in a second of the generator's own CPU time, whoever else had the core."""
        return self.rate / self.cpu if self.cpu else 0.0


def expected(q: float) -> float:
    """The *q*-th percentile in seconds: a share STALL of requests waits evenly from 0 to STALL."""
    return max(0.0, STALL - (1 - q / 100))


@contextmanager
def scripted(*arguments: str) -> Iterator[str]:
    """The URL of the scripted server, on the second core."""
    command = [*pinned(1), *python("-m", "benchmarks.load.server", *arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            yield f"http://127.0.0.1:{int(line)}"
        finally:
            process.kill()


@contextmanager
def nginx(directory: Path) -> Iterator[str]:
    """The URL of an nginx with one worker that answers at once, on the second core."""
    port = free_port()
    template = Path(__file__).parents[1] / "rivals" / "nginx-upstream.conf"
    config = directory / "nginx.conf"
    config.write_text(
        template.read_text().format(
            directory=directory, upstream_port=port, body=json.dumps(_ANSWER)
        )
    )
    argv = [*pinned(1), find("nginx"), "-c", str(config), "-p", str(directory)]
    with Server([Program(argv)], log=directory / "log") as server:
        server._await(directory / "upstream.pid")  # noqa: SLF001 - what Program.after does
        yield f"http://127.0.0.1:{port}"


# As they were before any of them was chosen.
CORES = sorted(os.sched_getaffinity(0))


def pinned(core: int) -> list[str]:
    """What runs a command on one core, where there are two."""
    cores = CORES
    return ["taskset", "--cpu-list", str(cores[core])] if len(cores) > 1 else []


def plan(url: str, **fields: object) -> Plan:
    """A plan of one process."""
    given: dict[str, object] = {"url": url, "model": "m", "warmup": 1.0, "processes": 1}
    return Plan(**{**given, **fields})  # type: ignore[arg-type]


def request(url: str, directory: Path, spec: TensorSpec) -> Path:
    """A directory with the request that is sent, for wrk."""
    made = directory / "requests"
    made.mkdir()
    (template, *_) = templates(plan(url, repeat=None), None, [spec])
    (made / "0").write_bytes(template.head + template.body)
    return made


def stalls(seconds: float) -> list[str]:
    """The table of percentiles under stalls."""
    with scripted("--stall", str(STALL)) as url, tempfile.TemporaryDirectory() as made:
        runs = {
            "open, constant": asyncio.run(
                measure(plan(url, schedule="constant", rate=STALL_RATE, duration=seconds))
            ),
            "open, Poisson": asyncio.run(measure(plan(url, rate=STALL_RATE, duration=seconds))),
            "closed, 4 in flight": asyncio.run(
                measure(plan(url, schedule="closed", concurrency=4, duration=seconds))
            ),
        }
        spec = TensorSpec("x", "FP32", (-1, 8))
        load = wrk.run(url, request(url, Path(made), spec), 1, connections=4, seconds=seconds)
    head = "| ms | " + " | ".join(f"p{q:g}" for q in QUANTILES) + " |"
    lines = [head, "| --- |" + " ---: |" * len(QUANTILES)]
    lines.append("| analytic | " + " | ".join(f"{expected(q) * 1e3:.1f}" for q in QUANTILES) + " |")
    for name, run in runs.items():
        cells = []
        for q in QUANTILES:
            low, high = run.percentile_interval(q)
            cell = f"{run.percentile(q) * 1e3:.1f}"
            if run.plan.is_open:
                cell += f" ({(run.percentile(q) / expected(q) - 1) * 100:+.1f} %)"
            if run.plan.schedule == "poisson":
                cell += f" [{low * 1e3:.0f}, {high * 1e3:.0f}]"
            cells.append(cell)
        verdict = "" if run.valid else " (INVALID)"
        lines.append(f"| {name}{verdict}, n {run.ok} | " + " | ".join(cells) + " |")
    cells = ["", "", "", f"{load.p99_ms:.1f}", ""]
    lines.append(f"| wrk, 4 connections, n {load.requests} | " + " | ".join(cells) + " |")
    worst = max(abs(runs["open, constant"].percentile(q) / expected(q) - 1) for q in QUANTILES)
    lines += ["", f"Largest difference of the open loop at equal distances: {worst:.2%}."]
    return lines


def ours(url: str, who: str, seconds: float, **fields: object) -> Cost:
    """One round of the generator; the coordinator draws nothing, and its process is pinned."""
    run: Run = asyncio.run(measure(plan(url, duration=seconds, **fields)))
    if run.errors:
        raise RuntimeError(f"{who}: {run.errors}")
    p50, p99 = run.percentile(50) * 1e6, run.percentile(99) * 1e6
    return Cost(who, run.throughput, p50, p99, run.lag.percentile(99) * 1e6, run.health[0].cpu)


def cost(rounds: int, seconds: float) -> list[str]:
    """The table of what generating costs."""
    samples: list[Cost] = []
    with tempfile.TemporaryDirectory() as made, nginx(Path(made)) as url:
        requests = request(url, Path(made), _SPEC)
        for number in range(rounds):
            made_round = [
                ours(url, "closed loop, 16 in flight, different inputs", seconds,
                     schedule="closed", concurrency=CONNECTIONS),
                ours(url, "open loop, Poisson 5000/s", seconds, rate=RATE),
                ours(url, "open loop, constant 5000/s", seconds, schedule="constant", rate=RATE),
            ]  # fmt: skip
            for connections in (1, CONNECTIONS):
                load = wrk.run(url, requests, 1, connections=connections, seconds=seconds)
                made_round.append(
                    Cost(f"wrk, closed loop of {connections}", load.rate, load.p50_ms * 1e3,
                         load.p99_ms * 1e3)
                )  # fmt: skip
            samples += made_round
            print(number, *made_round, sep="\n  ", file=sys.stderr)
    lines = [
        (
            "| best (median) | requests/s | p50 us | p99 us | send lag p99 us "
            "| requests a second of its CPU |"
        ),
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    best: dict[str, float] = {}
    for who in dict.fromkeys(sample.who for sample in samples):
        mine = [sample for sample in samples if sample.who == who]
        best[who] = min(sample.p99 for sample in mine)
        cells = [f"{max(s.rate for s in mine):,.0f} ({median(s.rate for s in mine):,.0f})"]
        cells += [
            f"{min(values):.0f} ({median(values):.0f})"
            for values in ([s.p50 for s in mine], [s.p99 for s in mine])
        ]
        lag = [s.lag_p99 for s in mine]
        cells.append(f"{min(lag):.0f} ({median(lag):.0f})" if any(lag) else "")
        work = [s.per_cpu_second for s in mine]
        cells.append(f"{max(work):,.0f} ({median(work):,.0f})" if any(work) else "")
        lines.append(f"| {who} | " + " | ".join(cells) + " |")
    added = best["open loop, Poisson 5000/s"] - best["wrk, closed loop of 1"]
    words = "p99 of the open loop at 5000/s less that of wrk with one connection, best rounds"
    lines += ["", f"{words}: {added / 1e3:.3f} ms."]
    return lines


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--stall-seconds", type=float, default=30.0)
    options = parser.parse_args()
    # What is started from here generates on the first core; servers are moved to the second.
    cores = sorted(os.sched_getaffinity(0))
    commit, changed = machine.commit()
    facts = [f"| {name} | {text} |" for name, text in machine.facts().items()]
    print(f"# The load generator, commit {commit}{' and changes' if changed else ''}\n")
    print("| | |", "| --- | --- |", *facts, sep="\n")
    load = os.getloadavg()[0]
    print(f"| Runnable processes over the last minute, before | {load:.1f} on {len(cores)} cores |")
    print("\n## Stalls of 200 ms each second\n", *stalls(options.stall_seconds), sep="\n")
    print("\n## What generating costs\n", *pinned_cost(options), sep="\n")


def pinned_cost(options: argparse.Namespace) -> list[str]:
    """`cost`, with this process and what it starts on the first core."""
    cores = os.sched_getaffinity(0)
    second = cores - {min(cores)}
    lines: list[str] = []
    try:
        if second:
            os.sched_setaffinity(0, {min(cores)})
        lines = cost(options.rounds, options.seconds)
    finally:
        os.sched_setaffinity(0, cores)
    return lines


if __name__ == "__main__":
    main()
