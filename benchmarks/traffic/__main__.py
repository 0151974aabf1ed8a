# SPDX-License-Identifier: Apache-2.0
"""Overload, and one slow worker of four: python -m benchmarks.traffic [--seconds 60]."""

import argparse
import asyncio
import contextlib
import datetime as dt
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

import aiohttp

from benchmarks import machine
from benchmarks.processes import BenchmarkError, Program, Server, free_port, python
from benchmarks.traffic import contenders
from benchmarks.traffic.load import Client, Load, session

RESULTS = Path(__file__).parents[1] / "results"
WORKERS = 4
SERVICE_MS = 20.0
SLO = 0.25
SETTLE = 2.0
MOST_LAG = 0.05


@contextlib.asynccontextmanager
async def running(name: str) -> AsyncIterator[tuple[Client, list[int], aiohttp.ClientSession]]:
    """A contender before fresh workers, ready to be asked."""
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        directory = Path(made)
        ports = [free_port() for _ in range(WORKERS)]
        port = free_port()
        before = [
            Program(python("-m", "benchmarks.traffic.worker", str(each), str(SERVICE_MS)))
            for each in ports
        ]
        async with session() as http:
            with Server(before, log=directory / "workers.log") as workers:
                for each in ports:
                    await ready(http, f"http://127.0.0.1:{each}/v2/health/ready", workers)
                argv = contenders.programs(name, directory, port, ports, SLO)
                with Server(argv, log=directory / "log") as server:
                    url = f"http://127.0.0.1:{port}"
                    await ready(http, f"{url}/v2/health/ready", server)
                    yield Client(url, http, timeout=SLO), ports, http
                    server.check()


async def ready(http: aiohttp.ClientSession, url: str, server: Server) -> None:
    """Wait until *url* is answered with 200."""
    for _ in range(200):
        server.check()
        with contextlib.suppress(aiohttp.ClientError):
            async with http.get(url) as response:
                if response.status == 200:
                    return
        await asyncio.sleep(0.1)
    raise BenchmarkError(f"{url} did not get ready:\n{server.log_text()[-2000:]}")


def checked(load: Load) -> Load:
    """*load*, unless the generator fell behind or an answer belonged to another request."""
    if load.lag > MOST_LAG:
        print(f"  the generator was late by {load.lag * 1000:.0f} ms", file=sys.stderr)
    if load.statuses().get(-1):
        raise BenchmarkError("an answer reached another request")
    return load


async def overload(name: str, seconds: float) -> dict[str, float]:
    """Twice what it can do, for *seconds*; then half of it."""
    async with running(name) as (client, _, _):
        await client.closed(8, 2.0)
        peak = await client.closed(8, 5.0)
        load = checked(await client.open(2 * peak, seconds))
        after = checked(await client.open(peak / 2, 6.0, seed=2))
        goodput = load.good(SLO) / seconds
        slow = [each for each in after.outcomes if each.status != 200 or each.seconds > SLO]
        recovered = max((each.due - after.began for each in slow), default=0.0)
        return {
            "peak": peak,
            "goodput": goodput,
            "goodput over peak": goodput / peak,
            "accepted p99 ms": load.percentile(0.99, accepted=True) * 1000,
            "refused p50 ms": load.percentile(0.5, accepted=False) * 1000,
            "refused p99 ms": load.percentile(0.99, accepted=False) * 1000,
            "recovered after s": recovered,
            "generator late ms": max(load.lag, after.lag) * 1000,
        }


async def one_slow(name: str, seconds: float) -> dict[str, float]:
    """Half of the healthy capacity, with four healthy workers, then with one 20 times slower."""
    async with running(name) as (client, ports, http):
        rate = 0.5 * WORKERS * 1000 / SERVICE_MS
        healthy = checked(await client.open(rate, seconds))
        async with http.post(f"http://127.0.0.1:{ports[0]}/slow?factor=20") as response:
            response.raise_for_status()
        slow = checked(await client.open(rate, seconds + SETTLE, seed=2))
        before = healthy.percentile(0.99, accepted=True)
        behind = slow.percentile(0.99, accepted=True, start=SETTLE)
        late = [each for each in slow.outcomes if each.due - slow.began >= SETTLE]
        failed = sum(each.status != 200 for each in late) / len(late)
        return {
            "healthy p99 ms": before * 1000,
            "one slow p99 ms": behind * 1000,
            "ratio": behind / before,
            "not answered %": failed * 100,
            "generator late ms": max(healthy.lag, slow.lag) * 1000,
        }


def table(title: str, found: dict[str, list[dict[str, float]]]) -> str:
    """The medians over the rounds, as Markdown."""
    columns = list(next(iter(found.values()))[0])
    lines = [
        f"## {title}",
        "",
        "|  | " + " | ".join(columns) + " |",
        "| --- " * (len(columns) + 1) + "|",
    ]
    for name, rounds in found.items():
        cells = [f"{median(each[column] for each in rounds):.2f}" for column in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line, measure in alternating rounds, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload (60)")
    parser.add_argument("--slow-seconds", type=float, default=15.0, help="with a slow worker (15)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=contenders.NAMES, action="append")
    parser.add_argument("--output", type=Path, help="directory to write to")
    options = parser.parse_args()
    names = options.only or contenders.NAMES
    over: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    slow: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(options.rounds):
        shift = number % len(names)
        for name in [*names[shift:], *names[:shift]]:
            over[name].append(asyncio.run(overload(name, options.seconds)))
            slow[name].append(asyncio.run(one_slow(name, options.slow_seconds)))
            print(name, json.dumps([over[name][-1], slow[name][-1]]), flush=True)
    commit, dirty = machine.commit()
    today = dt.datetime.now(dt.UTC).date().isoformat()
    facts = "\n".join(f"- {key}: {value}" for key, value in machine.facts().items())
    method = (
        f"{WORKERS} servers of one row at a time, {SERVICE_MS:.0f} ms a row (slept); an answer is "
        f"good within {SLO * 1000:.0f} ms. {options.rounds} alternating rounds, medians."
    )
    text = "\n\n".join((
        f"# Traffic of {today}, commit {commit}{' with changes' if dirty else ''}",
        facts,
        method,
        table(f"Twice the peak, open loop, {options.seconds:.0f} s", over),
        table("One of four servers 20 times slower, at half of the capacity", slow),
    ))  # fmt: skip
    print(text)
    if options.output is not None:
        (options.output / f"traffic-{today}-{commit}.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
