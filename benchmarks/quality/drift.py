# SPDX-License-Identifier: Apache-2.0
"""What the watch for drift costs, how often it alarms for nothing, and what it sees.

    python -m benchmarks.quality.drift [--rounds 7] [--windows 1000] [--days 5]
    python -m benchmarks.quality.drift --serve [--rounds 7] [--seconds 3]

One thread; costs are seconds that this process had a core, since the machine may be shared, as
medians over the rounds with the lowest and the highest. With and without the stage are measured in
turn within a round. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from gateway.profiler import observed
from gateway.quality.drift.counts import Counts
from gateway.quality.drift.features import Features
from gateway.quality.drift.judge import judge
from gateway.quality.drift.reference import Reference
from gateway.quality.drift.watch import Watch, joined
from gateway.stages.profile import Draw, Drawn, Profile, features_drawn
from gateway.wire.message import InferRequest, InferResponse
from gateway.wire.samples import LENGTH, Observed, decode, encode
from gateway.wire.tensor import Tensor
from tests.support.serving import Serving
from tests.support.tree import ROOT

NOW = 1_700_000_000.0
# Rows of one look at the default of 500 rows a second.
ROWS = 250
NAMES = [f"x[{place}]" for place in range(12)]


def digits(rng: np.random.Generator) -> tuple[tuple[Tensor, ...], InferResponse]:
    """64 numbers in, ten scores out."""
    scores = rng.random((1, 10)).astype(np.float32)
    x = Tensor.of("x", rng.normal(size=(1, 64)).astype(np.float32))
    return (x,), InferResponse((Tensor.of("y", scores / scores.sum()),))


def picture(rng: np.random.Generator) -> tuple[tuple[Tensor, ...], InferResponse]:
    """A picture of 3 x 64 x 64 in, a label out."""
    x = Tensor.of("x", rng.random((1, 3, 64, 64)).astype(np.float32))
    return (x,), InferResponse((Tensor.of("y", np.asarray([1])),))


def table(rng: np.random.Generator) -> tuple[tuple[Tensor, ...], InferResponse]:
    """Eight columns, two of them texts, in, one number out."""
    numbers = [Tensor.of(f"n{place}", rng.normal(size=1)) for place in range(6)]
    texts = [Tensor.of(f"t{place}", np.asarray([f"kind {rng.integers(5)}"])) for place in range(2)]
    return (*numbers, *texts), InferResponse((Tensor.of("y", rng.normal(size=1)),))


KINDS: dict[str, Callable[[np.random.Generator], tuple[tuple[Tensor, ...], InferResponse]]] = {
    "64 numbers, 10 scores": digits,
    "a picture of 3 x 64 x 64": picture,
    "6 numbers, 2 texts": table,
}


def told(values: list[float], unit: str) -> str:
    """The median, with the lowest and the highest."""
    return f"{statistics.median(values):.3g} {unit} ({min(values):.3g} to {max(values):.3g})"


def cpu(work: Callable[[], Any]) -> float:
    """Seconds of a core that *work* takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def stage_costs(rounds: int, requests: int = 50_000) -> list[float]:
    """Nanoseconds that the stage adds to a request, by round."""
    rng = np.random.default_rng(0)
    inputs, response = digits(rng)
    request = InferRequest("m", inputs)

    async def inner(_: InferRequest) -> InferResponse:
        return response

    def drive(service: Callable[[InferRequest], Any]) -> None:
        for _ in range(requests):
            with suppress(StopIteration):
                service(request).send(None)

    costs = []
    for _ in range(rounds):
        draw = Draw(ROWS, rng=Random(0))
        stage = Profile(inner, draw=draw)
        bare = cpu(lambda: drive(inner))
        noted = cpu(lambda stage=stage: drive(stage))  # type: ignore[misc]  # bound now
        costs.append((noted - bare) / requests * 1e9)
    return costs


def look_costs(rounds: int) -> dict[str, tuple[list[float], list[float], int]]:
    """Milliseconds of a look in the gateway and in the control process, and bytes, by kind."""
    found = {}
    for name, make in KINDS.items():
        rng = np.random.default_rng(1)
        draw = Draw(ROWS)
        for _ in range(ROWS):
            inputs, response = make(rng)
            draw.seen += 1
            draw.fill(draw.reserve(inputs, 1), inputs, response)
        rows, seen = draw.take(ROWS)
        gateway: list[float] = []
        control: list[float] = []

        def look(rows: list[Drawn] = rows, seen: int = seen) -> bytes:
            features = joined([part for part in features_drawn(rows) if part is not None])
            return encode(observed("m", features, seen=seen, at=NOW))

        message = look()
        watch = Watch("m", learn_rows=ROWS)

        def take(message: bytes = message, watch: Watch = watch) -> None:
            got = decode(message[LENGTH.size :])
            assert isinstance(got, Observed)  # noqa: S101 - it was sent as one
            watch.take(got, now=NOW)

        take()
        for _ in range(rounds):
            gateway.append(cpu(lambda look=look: [look() for _ in range(10)]) * 100)  # type: ignore[misc]
            control.append(cpu(lambda take=take: [take() for _ in range(10)]) * 100)  # type: ignore[misc]
        found[name] = gateway, control, len(message)
    return found


def normal(rng: np.random.Generator, rows: int, shift: float = 0.0) -> Features:
    """Twelve columns, the third shifted by so many standard deviations."""
    values = rng.normal(size=(rows, len(NAMES)))
    values[:, 2] += shift
    return Features(rows, {name: values[:, place] for place, name in enumerate(NAMES)})


def counted(reference: Reference, found: Features) -> Counts:
    """*found* in the bins of *reference*."""
    counts = Counts(len(reference.features), reference.width)
    counts.add(reference.places(found), np.full(found.rows, np.nan))
    return counts


def alarms(
    reference: Reference, rows: int, windows: int, shift: float = 0.0
) -> tuple[float, float, float]:
    """Shares of windows that alarm, with any p below 0.05, and with any PSI above 0.1."""
    rng = np.random.default_rng(rows + int(shift * 1000))
    alarmed = chance = classic = 0
    for _ in range(windows):
        counts = counted(reference, normal(rng, rows, shift))
        verdict = judge(reference, counts, window="1h", since=0.0, until=0.0)
        alarmed += verdict.state == "alarm"
        tests = [each.tests["psi"] for each in verdict.features]
        chance += any(each.p < 0.05 for each in tests)
        classic += any(each.distance > 0.1 for each in tests)
    return alarmed / windows, chance / windows, classic / windows


def peeking(reference: Reference, days: int, rows_per_minute: int) -> tuple[int, int]:
    """Alarms of days of steady traffic that are looked at every minute, and how many looks."""
    rng = np.random.default_rng(days)
    alarmed = looks = 0
    for _ in range(days):
        minutes: list[Counts] = []
        for _ in range(24 * 60):
            minutes.append(counted(reference, normal(rng, rows_per_minute)))
            hour = Counts(len(reference.features), reference.width)
            for each in minutes[-60:]:
                hour.merge(each)
            verdict = judge(reference, hour, window="1h", since=0.0, until=0.0)
            looks += verdict.state != "insufficient"
            alarmed += verdict.state == "alarm"
    return alarmed, looks


def spent(pid: int) -> float:
    """Seconds of a core that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serving(rounds: int, seconds: float) -> list[tuple[float, float]]:
    """Microseconds of the gateway process a request, and p99, with ``drift`` over without.

    By round, of digits: both are models of one gateway with the same file, asked in turn.
    """
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        models = "".join(
            f"  {model}: {{backends: [{{worker: {{path: {ROOT}/models/digits}}}}]{more}}}\n"
            for model, more in (("without", ""), ("with", ", drift: {}"))
        )
        ports = "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0'}\n"
        ledger = f"ledger: {{url: 'sqlite:///{directory}/ledger.sqlite3'}}\n"
        found = []
        with Serving(directory, f"{ports}{ledger}models:\n{models}").ready() as gateway:
            rng = np.random.default_rng(0)
            pid = gateway.children()["gateway.process"]
            for round_ in range(rounds):
                loads = {}
                order = ("without", "with") if round_ % 2 else ("with", "without")
                for model in order:
                    body = json.dumps({"inputs": [
                        {"name": "image", "datatype": "FP32", "shape": [1, 64],
                         "data": rng.integers(0, 17, 64).tolist()}
                    ]})  # fmt: skip
                    before = spent(pid)
                    rate, p99 = load(gateway.http, model, body, directory, seconds)
                    loads[model] = (spent(pid) - before) / (rate * seconds) * 1e6, p99
                found.append(
                    (loads["with"][0] / loads["without"][0], loads["with"][1] / loads["without"][1])
                )
    return found


def load(http: str, model: str, body: str, directory: Path, seconds: float) -> tuple[float, float]:
    """Answers a second and p99 in milliseconds of 32 connections that ask all the time."""
    script = directory / "wrk.lua"
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = '{body}'\n"
        "wrk.headers['Content-Type'] = 'application/json'\n"
        "function done(summary, latency)\n"
        "  local bad = summary.errors.status + summary.errors.read + summary.errors.timeout\n"
        "  io.write(string.format('result %f %f %d\\n', "
        "summary.requests / summary.duration * 1e6, latency:percentile(99) / 1e3, bad))\n"
        "end\n"
    )
    done = subprocess.run(
        ["wrk", "-t1", "-c32", f"-d{seconds:g}s", "-s", str(script),
         f"http://{http}/v2/models/{model}/infer"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search(r"result (\S+) (\S+) (\d+)", done.stdout)
    if found is None or int(found[3]):
        raise SystemExit(f"wrk failed: {done.stdout}{done.stderr}")
    return float(found[1]), float(found[2])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--windows", type=int, default=1000)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--serve", action="store_true", help="the ratio of a whole gateway alone")
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    if options.serve:
        ratios = serving(options.rounds, options.seconds)
        print("| with `drift` over without | |\n| --- | ---: |")
        print(f"| gateway process, CPU a request | {told([cost for cost, _ in ratios], '')} |")
        print(f"| p99 | {told([p99 for _, p99 in ratios], '')} |")
        return
    print("| cost | |\n| --- | ---: |")
    print(f"| stage, a request | {told(stage_costs(options.rounds), 'ns')} |")
    for name, (gateway, control, size) in look_costs(options.rounds).items():
        print(f"| look at {ROWS} rows of {name}, gateway process | {told(gateway, 'ms')} |")
        print(f"| the same, control process | {told(control, 'ms')} |")
        print(f"| the same, message | {size / 1024:.1f} KiB |")
    reference = Reference.fit("m", normal(np.random.default_rng(9), 10_000), source="", made=0.0)
    watch = Watch("m", reference=reference)
    features = normal(np.random.default_rng(8), ROWS)
    for at in np.arange(NOW, NOW + 7200, 60).tolist():
        watch.take(observed("m", features, seen=ROWS, at=at), now=at)
    verdicts = [
        cpu(lambda: watch.verdict("24h", now=NOW + 7200)) * 1e3 for _ in range(options.rounds)
    ]
    print(f"| verdict on 24 h, {len(NAMES)} features | {told(verdicts, 'ms')} |")
    print("\n| rows of a window | shift | alarms | any p < 0.05 | any PSI > 0.1 |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for rows in (200, 1000, 10_000):
        for shift in (0.0, 0.2, 0.4, 0.6, 0.8):
            windows = options.windows if not shift else options.windows // 5
            shares = alarms(reference, rows, windows, shift)
            shown = " | ".join(f"{share:.2%}" for share in shares)
            print(f"| {rows} | {shift} | {shown} |")
    alarmed, looks = peeking(reference, options.days, 20)
    print(f"\n{looks} looks at the last hour, one a minute, 1,200 rows each: {alarmed} alarms.")


if __name__ == "__main__":
    main()
