# SPDX-License-Identifier: Apache-2.0
"""Whether the load generator tells the truth, and what it costs.

    python -m benchmarks.load [--rounds 5] [--seconds 1] [--stall-rounds 3] [--stall-seconds 10]

Stalls: a server that answers nothing for 200 ms of every second, whose percentiles are known, under
an open loop, a closed loop, wrk and hey. Cost: the generator and wrk in alternating rounds on one
core, against nginx on the other, which answers the same bytes to everything. Prints Markdown.

On a machine that others use, ``--first`` (as root) has the kernel run generator, wrk and servers
alike before other programs: by the weight of their sessions, and what is idle most of the time
(open loops, wrk with one connection, the scripted server) by round robin of real time. Best rounds
are told beside medians. Of the rounds with stalls the one whose generator was least late is told.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import hey, machine, wrk
from benchmarks.load.targets import CORES, Turns, nginx, scripted
from gateway.lab.load.fleet import Fleet
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
_SPEC = TensorSpec("x", "FP32", (-1, 64))
_STALL_SPEC = TensorSpec("x", "FP32", (-1, 8))
CLOSED = f"closed loop, {CONNECTIONS} in flight, different inputs"
OPEN = f"open loop, Poisson {RATE:g}/s"
EVEN = f"open loop, constant {RATE:g}/s"


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


def plan(url: str, **fields: object) -> Plan:
    """A plan of one process."""
    given: dict[str, object] = {"url": url, "model": "m", "warmup": 1.0, "processes": 1}
    return Plan(**{**given, **fields})  # type: ignore[arg-type]


def request(url: str, directory: Path, spec: TensorSpec) -> Path:
    """A directory with the very request that the generator sends, for wrk."""
    made = directory / "requests"
    made.mkdir()
    (template, *_) = templates(plan(url, repeat=None), None, [spec])
    (made / "0").write_bytes(template.head + template.body)
    return made


def _body(requests: Path) -> Path:
    """The body of the request in *requests*, in a file of its own."""
    made = requests.with_name("body")
    made.write_bytes((requests / "0").read_bytes().partition(b"\r\n\r\n")[2])
    return made


async def stalls(fleet: Fleet, rounds: int, seconds: float, turns: Turns) -> list[str]:
    """The table of percentiles under stalls."""
    names: dict[str, dict[str, object]] = {
        "open, constant": {"schedule": "constant", "rate": STALL_RATE},
        "open, Poisson": {"rate": STALL_RATE},
        "closed, 4 in flight": {"schedule": "closed", "concurrency": 4},
    }
    runs: dict[str, list[Run]] = {name: [] for name in names}
    with scripted("--stall", str(STALL)) as (url, pid), tempfile.TemporaryDirectory() as made:
        for _ in range(rounds):
            for name, fields in names.items():
                idle = () if name.startswith("closed") else (pid, *fleet.pids)
                with turns.idle_mostly(*idle):
                    run = await measure(plan(url, duration=seconds, **fields), fleet=fleet)
                print(name, run.lag.percentile(99), run.percentile(90), file=sys.stderr)
                runs[name].append(run)
        requests = request(url, Path(made), _STALL_SPEC)
        load = wrk.run(url, requests, 1, connections=4, seconds=seconds)
        target = (requests / "0").read_bytes().split(b" ", 2)[1].decode()
        times = hey.run(url + target, _body(requests), connections=4, seconds=seconds)
    lines = [
        "| ms | " + " | ".join(f"p{q:g}" for q in QUANTILES) + " | send lag p99 |",
        "| --- |" + " ---: |" * (len(QUANTILES) + 1),
        "| analytic | " + " | ".join(f"{expected(q) * 1e3:.1f}" for q in QUANTILES) + " | |",
    ]
    chosen = {
        name: min(mine, key=lambda run: run.lag.percentile(99)) for name, mine in runs.items()
    }
    for name, run in chosen.items():
        cells = [_cell(run, q) for q in QUANTILES]
        cells.append(f"{run.lag.percentile(99) * 1e3:.2f}" if run.plan.is_open else "")
        verdict = "valid" if run.valid else "INVALID"
        lines.append(f"| {name}, {verdict}, n {run.ok} | " + " | ".join(cells) + " |")
    wrk_cells = ["", "", "", f"{load.p99_ms:.1f}", "", ""]
    lines.append(f"| wrk, 4 connections, n {load.requests} | " + " | ".join(wrk_cells) + " |")
    hey_cells = [f"{np.percentile(times, q) * 1e3:.1f}" for q in QUANTILES]
    lines.append(f"| hey, 4 connections, n {len(times)} | " + " | ".join(hey_cells) + " | |")
    even = chosen["open, constant"]
    worst = max(abs(even.percentile(q) / expected(q) - 1) for q in QUANTILES)
    every = [
        max(abs(run.percentile(q) / expected(q) - 1) for q in QUANTILES)
        for run in runs["open, constant"]
    ]
    shown = ", ".join(f"{each:.2%}" for each in every)
    words = "Largest difference of the open loop at equal distances from the analytic percentiles"
    return [*lines, "", f"{words}: {worst:.2%}; in each round: {shown}."]


def _cell(run: Run, q: float) -> str:
    cell = f"{run.percentile(q) * 1e3:.1f}"
    if run.plan.schedule == "constant":
        cell += f" ({(run.percentile(q) / expected(q) - 1) * 100:+.1f} %)"
    if run.plan.schedule == "poisson":
        low, high = run.percentile_interval(q)
        cell += f" [{low * 1e3:.0f}, {high * 1e3:.0f}]"
    return cell


async def ours(fleet: Fleet, url: str, who: str, seconds: float, **fields: object) -> Cost:
    """One round of the generator."""
    run = await measure(plan(url, duration=seconds, **fields), fleet=fleet)
    if run.errors:
        raise RuntimeError(f"{who}: {run.errors}")
    p50, p99 = run.percentile(50) * 1e6, run.percentile(99) * 1e6
    lag = run.lag.percentile(99) * 1e6 if run.plan.is_open else 0.0
    return Cost(who, run.throughput, p50, p99, lag, run.health[0].cpu)


def theirs(url: str, requests: Path, connections: int, seconds: float) -> Cost:
    """One round of wrk."""
    load = wrk.run(url, requests, 1, connections=connections, seconds=seconds)
    who = f"wrk, closed loop of {connections}"
    return Cost(who, load.rate, load.p50_ms * 1e3, load.p99_ms * 1e3)


async def cost(fleet: Fleet, rounds: int, seconds: float, turns: Turns) -> list[str]:
    """The table of what generating costs."""
    samples: list[Cost] = []
    with (
        tempfile.TemporaryDirectory() as made,
        nginx(Path(made), turns) as server,
    ):
        url = f"http://127.0.0.1:{(Path(made) / 'port').read_text()}"
        requests = request(url, Path(made), _SPEC)
        for number in range(rounds):
            closed = {"schedule": "closed", "concurrency": CONNECTIONS}
            even = {"schedule": "constant", "rate": RATE}
            made_round = [
                await ours(fleet, url, CLOSED, seconds, **closed),
                theirs(url, requests, CONNECTIONS, seconds),
            ]
            with turns.idle_mostly(*fleet.pids, *server.tree()):
                made_round += [
                    await ours(fleet, url, OPEN, seconds, rate=RATE),
                    await ours(fleet, url, EVEN, seconds, **even),
                    theirs(url, requests, 1, seconds),
                ]
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
        rates, work = [s.rate for s in mine], [s.per_cpu_second for s in mine]
        cells = [f"{max(rates):,.0f} ({median(rates):,.0f})"]
        cells += [
            f"{min(values):.0f} ({median(values):.0f})" if any(values) else ""
            for values in ([s.p50 for s in mine], [s.p99 for s in mine], [s.lag_p99 for s in mine])
        ]
        cells.append(f"{max(work):,.0f} ({median(work):,.0f})" if any(work) else "")
        lines.append(f"| {who} | " + " | ".join(cells) + " |")
    added = best[OPEN] - best["wrk, closed loop of 1"]
    words = "p99 of the open loop at 5000/s less that of wrk with one connection, best rounds"
    return [*lines, "", f"{words}: {added / 1e3:.3f} ms."]


async def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--stall-rounds", type=int, default=2)
    parser.add_argument("--stall-seconds", type=float, default=10.0)
    parser.add_argument("--first", action="store_true")
    options = parser.parse_args()
    commit, changed = machine.commit()
    print(f"# The load generator, commit {commit}{' and changes' if changed else ''}\n")
    print("| | |", "| --- | --- |", sep="\n")
    print(*(f"| {name} | {text} |" for name, text in machine.facts().items()), sep="\n")
    busy = os.getloadavg()[0]
    print(f"| Runnable processes over the last minute, before | {busy:.1f} on {len(CORES)} cores |")
    # What is started from here, the generator and wrk, runs on the first core.
    if len(CORES) > 1:
        os.sched_setaffinity(0, {CORES[0]})
    async with Fleet() as fleet:
        await fleet.grow(1)
        turns = Turns(wanted=options.first)
        turns.weigh(os.getpid(), *fleet.pids)
        told = await stalls(fleet, options.stall_rounds, options.stall_seconds, turns)
        print("\n## Stalls of 200 ms each second\n", *told, sep="\n")
        told = await cost(fleet, options.rounds, options.seconds, turns)
        print("\n## What generating costs\n", *told, sep="\n")


if __name__ == "__main__":
    asyncio.run(main())
