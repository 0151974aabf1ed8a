# SPDX-License-Identifier: Apache-2.0
"""What the response cache gains and costs: by hit rate, by model, in memory and in Redis.

    python -m benchmarks.cache [--rounds 3] [--seconds 3] [--output benchmarks/results]

Closed-loop wrk with 32 connections (8 for the large model). Requests repeat from a known set of 64
with the given probability and are new otherwise; each variant is a fresh gateway, and rounds take
the variants in turn. In Redis at 100 % the known set is larger than the memory in front of it and
is asked in turn, so that every answer comes from Redis. The bare hop is HAProxy's, to an nginx that
answers a constant, under the same generator.
"""

import argparse
import contextlib
import http.client
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks import machine, models
from benchmarks.contenders import IMAGES, Place, constant_answer, proxy
from benchmarks.payloads import Payload, binary_rows, expect, json_rows
from benchmarks.processes import ROOT, BenchmarkError, Program, Server, find, free_port, python
from benchmarks.validate import await_ready
from benchmarks.wrk import Load

SCRIPT = Path(__file__).with_name("repeats.lua")
# Seven characters that stand for the digits of a question: as many as FP32 tells apart below 1.
MARKER = "7654321"
RATES = (1.0, 0.9, 0.5, 0.25, 0.0)
KNOWN = 64
# More than a megabyte of memory holds.
MANY = 4096
BATCH = 64


@dataclass(frozen=True)
class Work:
    """A *model*, the one request to it that all others are made of, and who sends it."""

    model: str
    section: str
    payload: Payload
    connections: int


def digits() -> Work:
    """One row of JSON, 64 numbers."""
    with np.load(ROOT / "models" / "digits" / "test.npz") as data:
        row = data["inputs"][:1]
    payload = json_rows("digits", "image", row)
    (body,) = payload.bodies
    head, _, rest = body.decode().partition('"data":[')
    _, _, others = rest.partition(",")
    marked = f'{head}"data":[0.{MARKER},{others}'.encode()
    section = (
        "digits: {backends: [{worker: {path: models/digits}}], batch: {max_rows: 64}, "
        "preprocess: [{scale: {factor: 0.0625}}]"
    )
    return Work("digits", section, Payload(payload.path, payload.headers, (marked,)), 32)


def images() -> Work:
    """One binary picture of 602 kB, for a model that takes about 8 ms."""
    models.build(IMAGES)
    payload = binary_rows("images", "image", models.images(1))
    (body,) = payload.bodies
    marked = body[: -len(MARKER)] + MARKER.encode()
    section = f"images: {{backends: [{{worker: {{path: {IMAGES}, replicas: 2}}}}]"
    return Work("images", section, Payload(payload.path, payload.headers, (marked,)), 8)


def config(work: Work, kind: str, redis: Path) -> str:
    """The configuration of a gateway with a cache of this *kind*: off, memory, redis, far."""
    store = "memory" if kind in {"off", "memory"} else f"unix:{redis}"
    room = "1MiB" if kind == "far" else "256MiB"
    cached = "" if kind == "off" else ", cache: {max_entry_bytes: 1MiB}"
    secret = "" if store == "memory" else f", redis: {{secret: {'s' * 32}}}"
    return (
        'server: {admin: "127.0.0.1:0", log_level: warning, limits: {body: 64MiB}}\n'
        f'cache: {{store: "{store}", max_bytes: {room}{secret}}}\n'
        f"models:\n  {work.section}{cached}}}\n"
    )


@contextlib.contextmanager
def gateway(work: Work, kind: str) -> Iterator[int]:
    """The port of a gateway that is ready."""
    with served(work, kind) as (port, _):
        yield port


@contextlib.contextmanager
def served(work: Work, kind: str) -> Iterator[tuple[int, Server]]:
    """The port of a gateway that is ready, and its processes, a Redis first if it has one."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        port, redis = free_port(), directory / "redis"
        (directory / "config.yaml").write_text(config(work, kind, redis))
        listen = f"127.0.0.1:{port}"
        programs = []
        if kind in {"redis", "far"}:
            server = [find("redis-server"), "--port", "0", "--unixsocket", str(redis)]
            programs.append(Program([*server, "--save", "", "--appendonly", "no"]))
        argv = python("-m", "gateway", "serve", "-c", str(directory / "config.yaml"))
        programs.append(Program([*argv, "--http", listen], after=redis if programs else None))
        with Server(programs, log=directory / "log") as running:
            await_ready(running, port, work.payload)
            yield port, running
            running.check()


@contextlib.contextmanager
def bare_hop(work: Work) -> Iterator[int]:
    """The port of HAProxy before an nginx that answers a constant."""
    rows = np.zeros((1, 64), np.float32)
    truth = expect(ROOT / "models" / "digits" / "1" / "model.onnx", rows)
    contender = proxy("haproxy", work.payload, constant_answer(truth[0]), threads=1)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        port = free_port()
        programs, environment = contender.plan(Place(port, Path(name)))
        with Server(programs, environment, log=Path(name) / "log") as running:
            await_ready(running, port, work.payload)
            yield port


class Generator:
    """Sends requests like those of *work* to *port*; no two runs send the same new questions."""

    def __init__(self, work: Work, port: int, directory: Path) -> None:
        self._work = work
        self._url = f"http://127.0.0.1:{port}"
        self._file = directory / f"request-{port}"
        (whole,) = work.payload.requests(f"127.0.0.1:{port}")
        self._file.write_bytes(whole)
        self._first = 0

    def run(self, share: float, seconds: float, *, known: int = KNOWN, turns: bool = False) -> Load:
        """Repeat with the probability *share*, or ask all *known* in turn."""
        self._first += 400_000
        command = [find("wrk"), "--threads", "1", "--connections", str(self._work.connections)]
        command += ["--duration", f"{max(1, round(seconds))}s", "--timeout", "30s"]
        command += ["--script", str(SCRIPT), self._url, "--", str(self._file), MARKER]
        command += [str(share), str(known), str(self._first), "yes" if turns else "no"]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds + 60
        )
        if done.returncode:
            raise BenchmarkError(f"wrk: {done.stderr or done.stdout}")
        load = Load.parse(done.stdout)
        if load.faults or not load.requests:
            raise BenchmarkError(f"{self._url}: {load.requests} answers, faults {load.faults}")
        return load


@dataclass
class Figures:
    """Requests a second by model, variant and hit rate, one number a round."""

    rates: dict[tuple[str, str, float], list[float]] = field(default_factory=dict)

    def add(self, model: str, kind: str, share: float, load: Load) -> None:
        """One more round."""
        self.rates.setdefault((model, kind, share), []).append(load.rate)
        print(f"{model:8} {kind:8} {share:5.0%} {load.rate:10,.0f}/s", file=sys.stderr)

    def median(self, model: str, kind: str, share: float) -> float:
        """The median of all rounds."""
        return statistics.median(self.rates[model, kind, share])


def one_round(work: Work, figures: Figures, seconds: float, directory: Path) -> None:
    """Every variant once."""
    for kind in ("off", "memory", "redis"):
        with gateway(work, kind) as port:
            generator = Generator(work, port, directory)
            generator.run(1.0, 1)
            for share in RATES:
                # A second of the same before: the cache has to see what it is asked.
                generator.run(share, 1)
                figures.add(work.model, kind, share, generator.run(share, seconds))
    if work.model == "digits":
        with gateway(work, "far") as port:
            generator = Generator(work, port, directory)
            # Twice through the known set: what is asked for again is stored for its time.
            generator.run(1.0, 4, known=MANY, turns=True)
            load = generator.run(1.0, seconds, known=MANY, turns=True)
            figures.add(work.model, "far", 1.0, load)
        with bare_hop(work) as port:
            generator = Generator(work, port, directory)
            generator.run(1.0, 1)
            figures.add(work.model, "haproxy", 1.0, generator.run(1.0, seconds))


def batches(work: Work) -> tuple[float, float]:
    """Seconds for a batch of new rows, and for one of which all but one row are known."""
    with gateway(work, "memory") as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        rows = models.images(BATCH)

        def ask() -> float:
            tensor = {
                "name": "image", "shape": list(rows.shape), "datatype": "FP32",
                "parameters": {"binary_data_size": rows.nbytes},
            }  # fmt: skip
            head = json.dumps({"inputs": [tensor]}).encode()
            headers = {"Inference-Header-Content-Length": str(len(head))}
            body = head + rows.tobytes()
            began = time.perf_counter()
            connection.request("POST", work.payload.path, body, headers)
            response = connection.getresponse()
            answer = response.read()
            seconds = time.perf_counter() - began
            if response.status != 200:
                raise BenchmarkError(f"a batch: {response.status} {answer[:200]!r}")
            return seconds

        full, partial = [], []
        for turn in range(5):
            rows += 1.0
            full.append(ask())
            rows[turn] += 1.0
            partial.append(ask())
        connection.close()
    return statistics.median(full), statistics.median(partial)


def frozen(work: Work) -> tuple[float, float, float]:
    """Seconds for a new question: usually, at most when Redis has just frozen, and a while later.

    One client asks one question after the other; "a while later" is the median of the last half.
    """
    with served(work, "redis") as (port, server):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        (body,) = work.payload.bodies
        headers = dict(work.payload.headers)

        def ask(number: int) -> float:
            asked = body.replace(MARKER.encode(), b"%07d" % number)
            began = time.perf_counter()
            connection.request("POST", work.payload.path, asked, headers)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise BenchmarkError(f"beside a frozen Redis: {response.status}")
            return time.perf_counter() - began

        usual = [ask(number) for number in range(1000)]
        redis = server.processes[0]
        redis.send_signal(signal.SIGSTOP)
        try:
            beside = [ask(number) for number in range(1000, 2000)]
        finally:
            redis.send_signal(signal.SIGCONT)
        connection.close()
    return statistics.median(usual[500:]), max(beside[:50]), statistics.median(beside[500:])


def report(
    figures: Figures,
    batch: tuple[float, float],
    stopped: tuple[float, float, float],
    options: argparse.Namespace,
) -> str:
    """The page of results."""
    full, partial = batch
    rounds, seconds = options.rounds, options.seconds
    usual, first, later = (each * 1e3 for each in stopped)
    name, dirty = machine.commit()
    lines = ["# The response cache", "", f"Commit {name}{' and changes' if dirty else ''}.", ""]
    lines += [f"- {key}: {value}" for key, value in machine.facts().items()]
    lines += ["", f"`python -m benchmarks.cache --rounds {rounds} --seconds {seconds:g}`:",
              "requests a second, medians of all rounds; see the program for the method.", "",
              "| model | hit rate | off | memory | to off | Redis | to off |",
              "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for model in ("digits", "images"):
        for share in RATES:
            off, memory, redis = (
                figures.median(model, kind, share) for kind in ("off", "memory", "redis")
            )
            lines.append(
                f"| {model} | {share:.0%} | {off:,.0f} | {memory:,.0f} | {memory / off:.2f} "
                f"| {redis:,.0f} | {redis / off:.2f} |"
            )
    hop, far = figures.median("digits", "haproxy", 1.0), figures.median("digits", "far", 1.0)
    hits = figures.median("digits", "memory", 1.0) / hop
    lines += ["", f"- HAProxy's bare hop under the same generator: {hop:,.0f}/s."]
    lines += [f"- All hits in memory: {hits:.2f} of that (aim 1.5)."]
    lines += [f"- Every answer from Redis: {far:,.0f}/s (aim 10,000)."]
    one_new = f"{partial * 1e3:.0f} ms with one new row, {partial / full:.2f} of it (aim 0.15)"
    lines += [f"- A batch of {BATCH} pictures: {full * 1e3:.0f} ms, {one_new}."]
    aims = "aims: 25 ms more, then 1 ms more"
    told = f"{usual:.2f} ms; when Redis has just frozen at most {first:.1f}, later {later:.2f}"
    lines += [f"- A new question to digits: {told} ({aims}).", ""]
    return "\n".join(lines)


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.cache")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for _ in range(options.rounds):
            for work in (digits(), images()):
                one_round(work, figures, options.seconds, Path(name))
    page = report(figures, batches(images()), frozen(digits()), options)
    print(page)
    if options.output is not None:
        commit, _ = machine.commit()
        day = datetime.now(UTC).date().isoformat()
        (options.output / f"cache-{day}-{commit}.md").write_text(page)


if __name__ == "__main__":
    main()
