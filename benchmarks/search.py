# SPDX-License-Identifier: Apache-2.0
"""The search for the highest rate, on servers whose capacity is known: ``python -m
benchmarks.search``.

An M/D/1 queue (Poisson arrivals, constant service) has a formula for its tail, so the rate at which
exactly 99 % of the requests keep an SLO is known. Ten searches in virtual time, whose seeds differ,
say how far the found rate is from it and whether the two ends that are claimed hold it; with
``--real SECONDS`` one search more goes to `benchmarks.load.server` over a socket, in real time.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean, stdev

import msgspec

from gateway.lab.account.account import Watch
from gateway.lab.bench.answering import Answering
from gateway.lab.bench.questions import Questions
from gateway.lab.load.fleet import Fleet
from gateway.lab.load.measure import measure
from gateway.lab.load.run import Plan, Run
from gateway.lab.report.document import Report
from gateway.lab.report.reading import answers
from gateway.lab.search.limit import Limit, Method, Progress, find
from gateway.lab.search.probe import Probe, Timing
from gateway.lab.search.slo import Slo
from tests.support.md1 import Md1, capacity

SERVICE = 0.001
SLO = Slo.parse("p99=20ms")
REPEATS = 10


async def virtual(longest: float, resolution: float) -> list[tuple[Limit, float]]:
    """Searches with the virtual seconds that each took."""
    found = []
    for repeat in range(REPEATS):
        server = Md1(SERVICE)
        method = Method(
            start=100.0, seed=1 + 1_000_000 * repeat, timing=Timing(5.0, longest),
            resolution=resolution,
        )  # fmt: skip
        found.append((await find(server, SLO, method), server.seconds))
    return found


def table(found: list[tuple[Limit, float]], known: float) -> str:
    """One line for each search, and the spread."""
    lines = [
        "| search | found/s | off by | proven too much/s | the two hold it | probes | virtual s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for number, (limit, seconds) in enumerate(found, start=1):
        upper = limit.upper or float("inf")
        lines.append(
            f"| {number} | {limit.rate:.1f} | {(limit.rate / known - 1) * 100:+.2f} % | "
            f"{upper:.1f} | {'yes' if limit.rate <= known <= upper else 'NO'} | "
            f"{len(limit.probes)} | {seconds:.0f} |"
        )
    rates = [limit.rate for limit, _ in found]
    held = sum(limit.rate <= known <= (limit.upper or float("inf")) for limit, _ in found)
    worst = max(abs(rate / known - 1) for rate in rates)
    lines += [
        "",
        (
            f"Known capacity {known:.1f}/s; found {fmean(rates):.1f} ± {stdev(rates):.1f}/s "
            f"(standard deviation), at worst {worst * 100:.2f} % off; the two ends hold it in "
            f"{held} of {len(found)}."
        ),
    ]
    return "\n".join(lines)


class Said(Progress):
    """Prints each probe as it ends."""

    def probed(self, found: Probe) -> None:
        """One line."""
        why = "; ".join(found.point.reasons) or found.judgement.reason
        print(f"{found.rate:8.1f}/s {found.outcome:<9} {found.point.seconds:.0f} s, {why}",
              file=sys.stderr)  # fmt: skip


async def real(url: str, longest: float) -> Report:
    """One search over sockets, of the server at *url*."""
    plan = Plan(url=url, model="m", rate=1.0, processes=1, warmup=2.0, duration=20.0)
    asked = Questions(slo=SLO, seeks_limit=True, longest_probe=longest, resolution=0.03)
    async with Fleet() as fleet:

        async def load(one: Plan) -> Run:
            return await measure(one, fleet=fleet)

        async def watch(one: Plan) -> Watch:
            return await Watch.begin(one.url)

        async def rows(_: float) -> int:
            return 1

        answering = Answering(plan, asked, load, payload_rows=rows, watch=watch, progress=Said())
        return await answering.report()


def served(longest: float) -> Report:
    """The same, with the server started and ended."""
    command = [sys.executable, "-m", "benchmarks.load.server", "--service", str(SERVICE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None  # noqa: S101 - a pipe was asked for
            port = int(server.stdout.readline())
            return asyncio.run(real(f"http://127.0.0.1:{port}", longest))
        finally:
            server.kill()


def main() -> None:
    """Print both tables; with --output, to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--longest", type=float, default=640.0, help="virtual seconds of a probe")
    parser.add_argument("--resolution", type=float, default=0.01)
    parser.add_argument("--real", type=float, default=0.0, help="seconds of a probe, over sockets")
    parser.add_argument("--output", default="", help="a file for the text")
    chosen = parser.parse_args()
    known = capacity(SERVICE, SLO.within, SLO.bounds[0].share)
    began = time.perf_counter()
    text = (
        f"# The search for the highest rate\n\nM/D/1, {SERVICE * 1e3:g} ms a request, {SLO}, "
        f"{Method(start=1).confidence * 100:g} % confidence; a probe takes 5 to "
        f"{chosen.longest:g} s, resolution {chosen.resolution * 100:g} %.\n\n"
        "## In virtual time\n\n"
        + table(asyncio.run(virtual(chosen.longest, chosen.resolution)), known)
        + f"\n\nComputed in {time.perf_counter() - began:.0f} s.\n"
    )
    if chosen.real:
        report = served(chosen.real)
        limit = report.limit
        assert limit is not None  # noqa: S101 - it was asked for
        text += (
            f"\n## Over sockets\n\nOne search of benchmarks/load/server.py, probes of 5 to "
            f"{chosen.real:g} s: found {limit.rate:.1f}/s ({(limit.rate / known - 1) * 100:+.2f} "
            f"%), proven too much {limit.upper}, {limit.ending}, {report.verdict}.\n\n"
            + "".join(f"- {sentence}\n" for _, sentence in answers(report))
        )
        if chosen.output:
            kept = msgspec.structs.replace(report, name="search")
            Path(chosen.output).with_suffix(".json").write_bytes(kept.json())
    print(text)
    if chosen.output:
        Path(chosen.output).write_text(text)


if __name__ == "__main__":
    main()
