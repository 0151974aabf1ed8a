# SPDX-License-Identifier: Apache-2.0
"""One measurement: a contender alone on the machine, checked, warmed up, then loaded."""

import contextlib
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import wrk
from benchmarks.contenders import Contender, Loop, Place
from benchmarks.plan import Case
from benchmarks.processes import (
    ROOT,
    BenchmarkError,
    Server,
    free_port,
    machine_busy_seconds,
    python,
)
from benchmarks.summary import Sample
from benchmarks.validate import await_ready, validate

WARM_UP_SECONDS = 1.0
MIB = 1024 * 1024


@dataclass(frozen=True)
class Running:
    """A contender that has started and answered every request rightly."""

    contender: Contender
    server: Server
    port: int
    requests: Path
    count: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def load(self, connections: int, seconds: float) -> wrk.Load:
        """Send it its requests over *connections* for *seconds*."""
        return wrk.run(
            self.url, self.requests, self.count, connections=connections, seconds=seconds
        )


@contextlib.contextmanager
def started(contender: Contender) -> Iterator[Running]:
    """Start *contender*, check its answer to every request, end it afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        port = free_port()
        programs, environment = contender.plan(Place(port, directory))
        with Server(programs, environment, log=directory / "log") as server:
            await_ready(server, port, contender.payload)
            validate(port, contender.payload, contender.judge)
            count = contender.payload.write(directory / "requests", f"127.0.0.1:{port}")
            yield Running(contender, server, port, directory / "requests", count)
            server.check()


@dataclass(frozen=True)
class Quiet:
    """The wish for a machine of *cpus* that others use less than *limit* (a share) of.

    It is given up after *patience* seconds, with the least disturbed sample.
    """

    cpus: int
    limit: float
    patience: float

    def wait(self) -> None:
        """Return once the machine is quiet, or when patience is at its end."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            meter = Meter(self.cpus)
            time.sleep(0.5)
            if meter.foreign(0.0) <= self.limit:
                return

    def keep(self, measure: Callable[[], Sample]) -> Sample:
        """Measure on a quiet machine, anew while it was not quiet meanwhile.

        What is kept is decided by the disturbance alone, never by the result.
        """
        deadline = time.monotonic() + self.patience
        found: list[Sample] = []
        while True:
            self.wait()
            found.append(measure())
            if found[-1].foreign <= self.limit or time.monotonic() > deadline:
                return min(found, key=lambda sample: sample.foreign)


class Meter:
    """What the machine of *cpus* did since this was made."""

    def __init__(self, cpus: int) -> None:
        self._cpus = cpus
        self._busy = machine_busy_seconds()
        self._start = time.monotonic()

    def foreign(self, own_seconds: float) -> float:
        """The share of the machine used beyond *own_seconds* of CPU time."""
        busy = machine_busy_seconds() - self._busy - own_seconds
        return max(0.0, busy) / ((time.monotonic() - self._start) * self._cpus)


def sample(running: Running, case: Case, number: int, seconds: float, quiet: Quiet) -> Sample:
    """Warm up, then measure *running* under *case* for *seconds*."""
    running.load(case.connections, WARM_UP_SECONDS)

    def once() -> Sample:
        clients, before, meter = _clients_seconds(), running.server.usage(), Meter(quiet.cpus)
        load = running.load(case.connections, seconds)
        after = running.server.usage()
        used = after.cpu_seconds - before.cpu_seconds
        return Sample(
            round=number,
            case=case.name,
            contender=running.contender.name,
            rate=load.rate,
            p50_ms=load.p50_ms,
            p99_ms=load.p99_ms,
            max_ms=load.max_ms,
            cpu_ms=1000 * used / load.requests,
            rss_mib=after.rss_bytes / MIB,
            foreign=meter.foreign(used + _clients_seconds() - clients),
        )

    return quiet.keep(once)


def loop(contender: Loop, case: Case, number: int, seconds: float, quiet: Quiet) -> Sample:
    """Run the bare loop in all its processes at once for *seconds*."""

    def once() -> Sample:
        results, foreign = _loop(contender, seconds, quiet.cpus)
        return Sample(
            round=number,
            case=case.name,
            contender=contender.name,
            rate=sum(result["runs"] / result["seconds"] for result in results),
            p50_ms=1000 * max(result["p50"] for result in results),
            p99_ms=1000 * max(result["p99"] for result in results),
            max_ms=1000 * max(result["max"] for result in results),
            cpu_ms=1000 * sum(r["cpu_seconds"] for r in results) / sum(r["runs"] for r in results),
            rss_mib=sum(result["rss_bytes"] for result in results) / MIB,
            foreign=foreign,
        )

    return quiet.keep(once)


def _loop(contender: Loop, seconds: float, cpus: int) -> tuple[list[dict[str, float]], float]:
    """What each process of the loop says, and what others used of the machine meanwhile."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        rows = Path(name) / "rows.npy"
        np.save(rows, contender.rows)
        argv = python("-m", "benchmarks.rivals.onnx_loop")
        argv += [str(contender.model), str(rows), str(seconds)]
        processes = [
            subprocess.Popen(
                argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(contender.processes)
        ]
        try:
            for process in processes:
                if process.stdout is None or process.stdout.readline() != "ready\n":
                    raise BenchmarkError("the bare loop did not start")
            meter = Meter(cpus)
            for process in processes:
                if process.stdin is not None:
                    process.stdin.write("go\n")
                    process.stdin.flush()
            results = [json.loads(process.communicate(timeout=600)[0]) for process in processes]
            return results, meter.foreign(sum(result["cpu_seconds"] for result in results))
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _clients_seconds() -> float:
    """CPU seconds of the programs this one ran and awaited: of the load generator."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
