# SPDX-License-Identifier: Apache-2.0
"""What the ledger costs: predictions and labels a second, processor time and bytes a row.

    python -m benchmarks.quality.ledger [--rows 200000] [--labels 50000] [--rounds 3] [--http]

Beside it, in the same rounds, a plain SQLite table with a row and an index entry a prediction.
Processor time is that of this process, so that it holds on a busy machine too; with ``--http`` the
whole program is started, and labels go through the data port. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import numpy as np

from gateway.edge.ids import new_id
from gateway.quality.hub import Hub
from gateway.quality.items import Sent
from gateway.quality.joined import Joined
from gateway.quality.ledger import Ledger
from gateway.quality.truth import Truth
from gateway.telemetry import Telemetry
from gateway.wire.samples import Samples, decode, encode
from tests.support.labelling import hand_over, serving
from tests.support.ledgers import made

MESSAGE = 7500  # what a quarter of a second brings at 30,000 predictions a second
CLASSES = 10
TRUTH = Truth("classification", tuple(str(each) for each in range(CLASSES)))


class Counting:
    """A listener that only counts."""

    def __init__(self) -> None:
        self.rows = 0
        self.labels = 0

    def predicted(self, samples: Samples) -> None:
        """See Listener."""
        self.rows += len(samples)

    def joined(self, rows: Joined) -> None:
        """See Listener."""
        self.labels += len(rows)


def messages(count: int, make: Callable[[], str]) -> list[Samples]:
    """*count* predictions of ten classes with all scores, as gateway processes send them."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(0, count, MESSAGE):
        samples = made([make() for _ in range(MESSAGE)], rng.integers(0, CLASSES, MESSAGE).tolist())
        samples.times = time.time() + np.linspace(0, 0.25, MESSAGE)
        samples.scores = rng.integers(0, 65_535, (MESSAGE, CLASSES)).astype(np.uint16)
        samples.question = rng.integers(0, 2**62, MESSAGE).astype(np.uint64)
        found.append(samples)
    return found


def hub_at(directory: Path) -> tuple[Ledger, Hub, Counting]:
    """A hub over a new ledger in *directory*."""
    telemetry = Telemetry(["m"], process="control")
    ledger = Ledger(f"sqlite:///{directory / 'ledger.sqlite3'}", telemetry=telemetry)
    hub = Hub(ledger, {"m": TRUTH}.get, telemetry=telemetry)
    counting = Counting()
    hub.add(counting)
    hub.open()
    return ledger, hub, counting


async def room(ledger: Ledger) -> None:
    """Wait until there is some: a benchmark hands over faster than any gateway."""
    while ledger.status["waiting_bytes"] > 32 << 20:  # noqa: ASYNC110 - a look now and then
        await asyncio.sleep(0.005)


def size_of(directory: Path) -> int:
    """Bytes of the databases in *directory*."""
    return sum(each.stat().st_size for each in directory.glob("*.sqlite3"))


async def written(directory: Path, sent: list[Samples]) -> tuple[float, float, float]:
    """Rows a second, microseconds of processor time a row, and bytes a row."""
    ledger, hub, _ = hub_at(directory)
    await ledger.kept("")
    bodies = [encode(each)[4:] for each in sent]
    rows = sum(len(each) for each in sent)
    used, began = time.process_time(), time.perf_counter()
    for body in bodies:
        hub.take(decode(body))
        await room(ledger)
    await ledger.kept("")
    took, used = time.perf_counter() - began, time.process_time() - used
    await ledger.aclose()
    return rows / took, used / rows * 1e6, size_of(directory) / rows


def plain(directory: Path, sent: list[Samples]) -> tuple[float, float, float]:
    """The same for a table with a row a prediction."""
    connection = sqlite3.connect(directory / "plain.sqlite3", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA cache_size=-65536")
    connection.execute(
        "CREATE TABLE predictions (id TEXT, row INT, model TEXT, digest TEXT, time REAL, "
        "endpoint INT, pi REAL, question INT, predicted INT, scores BLOB)"
    )
    connection.execute("CREATE INDEX by_id ON predictions (id, row)")
    bodies = [encode(each)[4:] for each in sent]
    rows = sum(len(each) for each in sent)
    used, began = time.process_time(), time.perf_counter()
    for body in bodies:
        samples = decode(body)
        if not isinstance(samples, Samples) or samples.scores is None:
            raise TypeError("not what was sent")
        count = len(samples)
        columns = (
            samples.ids, samples.rows.tolist(), [samples.model] * count, [samples.digest] * count,
            samples.times.tolist(), samples.endpoint.tolist(), samples.pi.tolist(),
            samples.question.tolist(), samples.predicted.tolist(),
            [each.tobytes() for each in samples.scores],
        )  # fmt: skip
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO predictions VALUES (?,?,?,?,?,?,?,?,?,?)", zip(*columns, strict=True)
        )
        connection.execute("COMMIT")
    took, used = time.perf_counter() - began, time.process_time() - used
    connection.close()
    return rows / took, used / rows * 1e6, (directory / "plain.sqlite3").stat().st_size / rows


async def labelled(
    directory: Path, sent: list[Samples], ids: list[str], batch: int
) -> tuple[float, float]:
    """Labels a second, and microseconds of processor time a label."""
    ledger, hub, counting = hub_at(directory)
    for samples in sent:
        hub.take(samples)
        await room(ledger)
    await ledger.kept("")
    used, began = time.process_time(), time.perf_counter()
    for start in range(0, len(ids), batch):
        await hub.label("", [Sent(each, 0, 3) for each in ids[start : start + batch]])
    took, used = time.perf_counter() - began, time.process_time() - used
    checked(counting.labels, len(ids))
    await ledger.aclose()
    return len(ids) / took, used / len(ids) * 1e6


async def replayed(directory: Path, rows: int) -> float:
    """Rows a second that listeners are told of *rows* after a restart."""
    telemetry = Telemetry(["m"], process="control")
    ledger = Ledger(f"sqlite:///{directory / 'ledger.sqlite3'}", telemetry=telemetry)
    hub = Hub(ledger, {"m": TRUTH}.get, telemetry=telemetry)
    counting = Counting()
    hub.add(counting)
    began = time.perf_counter()
    hub.open()
    while counting.rows < rows:  # noqa: ASYNC110 - a look now and then
        await asyncio.sleep(0.01)
    took = time.perf_counter() - began
    await ledger.aclose()
    return rows / took


def over_http(directory: Path, labels: int, batch: int, clients: int) -> dict[str, float]:
    """Labels a second through the data port, and the processor time of both processes a label."""
    with serving(directory, directory / "ledger.sqlite3").ready() as program:
        sent = []
        for _ in range(0, labels, MESSAGE):
            samples = made([new_id() for _ in range(MESSAGE)], [2.0] * MESSAGE, dtype=np.float64)
            hand_over(program, samples)
            sent.append(samples)
        ids = [each for samples in sent for each in samples.ids][:labels]
        bodies = [
            json.dumps([{"id": each, "value": 2.0} for each in ids[start : start + batch]]).encode()
            for start in range(0, labels, batch)
        ]

        def written_rows() -> float:
            found = program.metrics("infergate_ledger_predictions_total", admin=True)
            return found.get('{model="m",result="written"}', 0.0)

        while written_rows() < labels:
            time.sleep(0.05)
        pids = {name: program.children()[f"gateway.{name}"] for name in ("control", "process")}
        before = {name: cpu(pid) for name, pid in pids.items()}
        joined: list[int] = []

        def send(mine: list[bytes]) -> None:
            connection = HTTPConnection(program.http)
            for body in mine:
                connection.request("POST", "/v1/labels", body)
                joined.append(json.loads(connection.getresponse().read())["counts"]["joined"])

        threads = [
            threading.Thread(target=send, args=(bodies[each::clients],)) for each in range(clients)
        ]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - began
        used = {name: cpu(pid) - before[name] for name, pid in pids.items()}
        checked(sum(joined), labels)
        return {"rate": labels / took} | {name: each / labels * 1e6 for name, each in used.items()}


def checked(found: int, wanted: int) -> None:
    """Raise RuntimeError where not all labels were joined: what was measured is something else."""
    if found != wanted:
        raise RuntimeError(f"{found} of {wanted} labels were joined")


def cpu(pid: int) -> float:
    """Seconds of processor time that *pid* has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shown(values: list[float], digits: int = 0) -> str:
    """The median, with the lowest and the highest."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--labels", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--http", action="store_true", help="start the whole program too")
    options = parser.parse_args()
    rng = random.Random(1)
    kinds: dict[str, Callable[[], str]] = {
        "UUIDv7": new_id,
        "a client's ids": lambda: f"order-{rng.getrandbits(48):012x}",
    }
    print("| Predictions | rows/s | processor time a row, us | bytes a row |")
    print("| --- | ---: | ---: | ---: |")
    for name, make in kinds.items():
        ledger: list[tuple[float, float, float]] = []
        table: list[tuple[float, float, float]] = []
        for _ in range(options.rounds):
            sent = messages(options.rows, make)
            with tempfile.TemporaryDirectory() as directory:
                ledger.append(asyncio.run(written(Path(directory), sent)))
            with tempfile.TemporaryDirectory() as directory:
                table.append(plain(Path(directory), sent))
        for what, found in ((f"ledger, {name}", ledger), (f"plain table, {name}", table)):
            rate, used, size = (list(each) for each in zip(*found, strict=True))
            print(f"| {what} | {shown(rate)} | {shown(used, 2)} | {shown(size, 1)} |", flush=True)
    print("\n| Labels, in batches | labels/s | processor time a label, us |")
    print("| --- | ---: | ---: |")
    sent = messages(options.rows, new_id)
    ids = [each for samples in sent for each in samples.ids]
    for name, order in (
        ("in the order of the predictions", ids[: options.labels]),
        ("in any order", rng.sample(ids, options.labels)),
    ):
        joined: list[tuple[float, float]] = []
        told: list[float] = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as directory:
                joined.append(asyncio.run(labelled(Path(directory), sent, order, options.batch)))
                told.append(asyncio.run(replayed(Path(directory), len(ids))))
        rates, used = (list(each) for each in zip(*joined, strict=True))
        print(f"| {name} | {shown(rates)} | {shown(used, 1)} |", flush=True)
        print(f"| {name}, told again after a restart, rows/s | {shown(told)} | |", flush=True)
    if options.http:
        with tempfile.TemporaryDirectory() as directory:
            over = over_http(Path(directory), options.labels, options.batch, 4)
        print(
            f"\nThrough the data port, 4 clients: {over['rate']:,.0f} labels/s; processor time a "
            f"label: gateway process {over['process']:.1f} us, control process "
            f"{over['control']:.1f} us."
        )


if __name__ == "__main__":
    main()
