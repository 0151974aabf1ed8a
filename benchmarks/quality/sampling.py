# SPDX-License-Identifier: Apache-2.0
"""What keeping every prediction and a shadow cost live traffic, side by side.

    python -m benchmarks.quality.sampling [--rounds 7] [--seconds 4] [--output benchmarks/results]

Closed-loop wrk with 32 connections and one-row JSON requests to digits, the first case of
`make bench`. Three gateways stand all the time, each with one worker: one without quality, one that
keeps all predictions in a ledger, one that asks a shadow of the same file 10 % of them besides.
Rounds take them in turn, in another order each; ratios are those of one round, and the figures are
their medians with the lowest and the highest. Processor time is that of each process in a round, by
what it is.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks import machine, wrk
from benchmarks.payloads import Payload, json_rows
from benchmarks.processes import (
    ROOT,
    Program,
    Server,
    descendants,
    free_port,
    machine_busy_seconds,
    python,
    usage,
)
from benchmarks.validate import await_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS: Final = 32
WORKER: Final = (
    "backends: [{worker: {path: models/digits}}], batch: {max_rows: 64}, "
    "preprocess: [{scale: {factor: 0.0625}}]"
)
KEPT: Final = "quality: {classes: 10}"
ARMS: Final = {
    "off": f"digits: {{{WORKER}}}",
    "kept": f"digits: {{{WORKER}, {KEPT}}}",
    "shadowed": f"digits: {{{WORKER}, {KEPT}, shadow: {{model: twin, sample: 10%}}}}\n"
    f"  twin: {{{WORKER}}}",
}
PARTS: Final = ("gateway", "control", "digits", "twin")


@dataclass(frozen=True)
class Round:
    """What one run of one arm gave; *cpu* is microseconds for each answer, by process."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu: dict[str, float]
    others: float


@dataclass
class Arm:
    """A gateway of one configuration, at *port*."""

    name: str
    port: int
    server: Server
    requests: Path
    count: int
    rounds: list[Round] = field(default_factory=list)

    def parts(self) -> dict[str, list[int]]:
        """The processes by what they are."""
        found: dict[str, list[int]] = {part: [] for part in PARTS}
        for pid in descendants(process.pid for process in self.server.processes):
            command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            if "gateway.process" in command:
                found["gateway"].append(pid)
            elif "gateway.control" in command:
                found["control"].append(pid)
            elif "backends" in command:
                found["twin" if "twin-0" in command else "digits"].append(pid)
        return found

    def measure(self, seconds: float) -> None:
        """One round."""
        parts = self.parts()
        before = {part: usage(pids).cpu_seconds for part, pids in parts.items()}
        busy = machine_busy_seconds()
        own = usage(self.server.tree()).cpu_seconds
        load = wrk.run(
            f"http://127.0.0.1:{self.port}",
            self.requests,
            self.count,
            connections=CONNECTIONS,
            seconds=seconds,
        )
        used = {part: usage(pids).cpu_seconds - before[part] for part, pids in parts.items()}
        tree = usage(self.server.tree()).cpu_seconds - own
        self.server.check()
        self.rounds.append(
            Round(
                load.rate,
                load.p50_ms,
                load.p99_ms,
                {part: spent / load.requests * 1e6 for part, spent in used.items()},
                (machine_busy_seconds() - busy - tree) / load.seconds,
            )
        )


@contextlib.contextmanager
def arm(name: str, payload: Payload) -> Iterator[Arm]:
    """A gateway that is ready."""
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        directory = Path(made)
        port = free_port()
        (directory / "config.yaml").write_text(
            'server: {admin: "127.0.0.1:0", log_level: warning}\n'
            f"ledger: {{url: 'sqlite:///{directory}/ledger.sqlite3'}}\n"
            f"models:\n  {ARMS[name]}\n"
        )
        count = payload.write(directory / "requests", f"127.0.0.1:{port}")
        argv = python("-m", "gateway", "serve", "-c", str(directory / "config.yaml"))
        program = Program([*argv, "--http", f"127.0.0.1:{port}"])
        with Server([program], log=directory / "log") as server:
            await_ready(server, port, payload)
            yield Arm(name, port, server, directory / "requests", count)


def ratios(one: Arm, other: Arm) -> dict[str, list[float]]:
    """*one* over *other*, by round."""
    pairs = list(zip(one.rounds, other.rounds, strict=True))
    return {
        "throughput": [a.rate / b.rate for a, b in pairs],
        "p50": [a.p50_ms / b.p50_ms for a, b in pairs],
        "p99": [a.p99_ms / b.p99_ms for a, b in pairs],
    }


def report(arms: dict[str, Arm]) -> str:
    """A Markdown page of what was measured."""
    columns = ["answers/s", "p50 ms", "p99 ms", *(f"{part} µs" for part in PARTS), "others' cores"]
    lines = ["| | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    for each in arms.values():
        rounds = each.rounds
        cells = [
            f"{median(r.rate for r in rounds):,.0f}",
            f"{median(r.p50_ms for r in rounds):.2f}",
            f"{median(r.p99_ms for r in rounds):.2f}",
            *(f"{median(r.cpu[part] for r in rounds):.1f}" for part in PARTS),
            f"{median(r.others for r in rounds):.2f}",
        ]
        lines.append(f"| {each.name} | " + " | ".join(cells) + " |")
    lines += ["", "| against off | throughput | p50 | p99 |", "| --- | ---: | ---: | ---: |"]
    for name in ("kept", "shadowed"):
        cells = [
            f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
            for values in ratios(arms[name], arms["off"]).values()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    model = median(r.cpu["twin"] / sum(r.cpu.values()) for r in arms["shadowed"].rounds)
    lines += ["", f"The shadow's own model took {model:.1%} of the processor time of its gateway."]
    return "\n".join(lines)


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.sampling")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with np.load(ROOT / "models" / "digits" / "test.npz") as data:
        payload = json_rows("digits", "image", data["inputs"][:256])
    rng = Random(1)
    with contextlib.ExitStack() as stack:
        arms = {name: stack.enter_context(arm(name, payload)) for name in ARMS}
        for number in range(options.rounds + 1):
            order = list(arms.values())
            rng.shuffle(order)
            for each in order:
                each.measure(options.seconds if number else 2.0)
                if not number:
                    # Warm by now.
                    each.rounds.clear()
            sys.stderr.write(f"round {number} of {options.rounds}\n")
    page = report(arms)
    sys.stdout.write(page + "\n")
    if options.output is not None:
        write(options.output, page, arms, f"--rounds {options.rounds} --seconds {options.seconds}")
    return 0


def write(directory: Path, page: str, arms: dict[str, Arm], how: str) -> None:
    """The *page* and every round, as files of today in *directory*."""
    facts = "\n".join(f"- {name}: {value}" for name, value in machine.facts().items())
    path = directory / f"sampling-{datetime.now(UTC):%Y-%m-%d}.md"
    path.write_text(
        "# The cost of keeping predictions and of a shadow\n\n"
        f"`python -m benchmarks.quality.sampling {how}`: one-row JSON requests to digits, 32 "
        f"connections, rounds in turn.\n\n{page}\n\n{facts}\n"
    )
    raw = {name: [vars(each) for each in found.rounds] for name, found in arms.items()}
    path.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
