# SPDX-License-Identifier: Apache-2.0
"""What live figures cost: rows a second, bytes of a bucket, and the time of an answer.

    python -m benchmarks.quality.figures [--rows 200000] [--batch 500] [--predictions 10000000]

Rows come as the ledger tells them, in small batches, of an hour of predictions, two endpoints and
two slices. One thread; seconds are those that this process had a core (wall-clock beside them), as
the machine may be shared. Answers are asked for over the admin API's own HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.control.figures import Figures
from gateway.quality.figures.live import LiveFigures
from gateway.quality.figures.spec import Spec
from gateway.quality.joined import Joined
from gateway.telemetry import Telemetry
from gateway.wire.samples import Samples
from tests.support.labelled_rows import NOON, Clock, digits, joined, parts, samples

HOUR = 3600.0
DAY = 86_400.0


@dataclass(frozen=True)
class Rows:
    """Made rows of one task as columns."""

    spec: Spec
    true: Any
    predicted: Any
    scores: Any
    times: Any

    @classmethod
    def of(cls, task: str, classes: int, count: int) -> Rows:
        """*count* rows of an hour, four of five right."""
        random = np.random.default_rng(classes)
        times = NOON - random.random(count) * HOUR
        if task == "regression":
            values = random.normal(0, 10, count)
            said_values = values + random.normal(0, 1, count)
            return cls(Spec(task="regression"), values, said_values, None, times)
        true = random.integers(0, classes, count)
        said = np.where(random.random(count) < 0.8, true, random.integers(0, classes, count))
        scores = np.full((count, classes), 0.3 / classes, dtype=np.float32)
        scores[np.arange(count), said] += 0.7 * random.random(count).astype(np.float32)
        scores /= scores.sum(axis=1, keepdims=True)
        return cls(digits(classes), true, said, parts(scores), times)

    def _columns(self, part: slice) -> dict[str, Any]:
        place = (np.arange(len(self.true[part])) % 2).astype(np.uint16)
        return {
            "times": self.times[part], "endpoint": place, "slice": place,
            "slices": [{"region": "eu"}, {"region": "us"}],
            "scores": None if self.scores is None else self.scores[part],
        }  # fmt: skip

    def predicted_in(self, part: slice) -> Samples:
        """Some of the rows as predictions."""
        return samples(self.predicted[part], **self._columns(part))

    def joined_in(self, part: slice) -> Joined:
        """Some of the rows with their labels."""
        keys = np.arange(part.start, part.start + len(self.true[part]))
        return joined(self.true[part], self.predicted[part], key=keys, **self._columns(part))


def fed(rows: Rows, batch: int, *, labelled: bool) -> tuple[LiveFigures, float, float]:
    """Figures after *rows* in batches, and rows a second by the core's time and by the wall."""
    clock = Clock()
    live = LiveFigures({"m": rows.spec}, clock=clock)
    live.begin(None)
    count = len(rows.true)
    stretches = [slice(start, min(start + batch, count)) for start in range(0, count, batch)]
    take = rows.joined_in if labelled else rows.predicted_in
    told: list[Samples | Joined] = [take(part) for part in stretches]
    core, wall = time.process_time(), time.perf_counter()
    for each in told:
        # As if they came at 200,000 a second: small batches are put together by time.
        clock.now += len(each) / 200_000
        if isinstance(each, Samples):
            live.predicted(each)
        else:
            live.joined(each)
    live.settle()
    core, wall = time.process_time() - core, time.perf_counter() - wall
    return live, count / core, count / wall


def updates(rows: int, batch: int) -> None:
    """Print rows a second, and bytes of a bucket of a minute."""
    print(f"\n{rows} rows in batches of {batch}, of sixty minutes\n")
    print("| Rows | labelled rows/s | by the wall | predictions/s | bytes a bucket |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for task, classes in (
        ("classification", 2), ("classification", 10), ("classification", 100),
        ("classification", 1000), ("regression", 0),
    ):  # fmt: skip
        some = Rows.of(task, classes, rows if classes < 1000 else rows // 10)
        best = max(
            (fed(some, batch, labelled=True) for _ in range(3)), key=lambda result: result[1]
        )
        live, core, wall = best
        group = next(iter(live.groups.values()))
        cubes = [cube.size for _, _, cube in group.labelled]
        _, seen, _ = fed(some, batch, labelled=False)
        name = f"{classes} classes with all scores" if classes else "regression"
        size = sum(cubes) / len(cubes)
        print(f"| {name} | {core:,.0f} | {wall:,.0f} | {seen:,.0f} | {size:,.0f} |")


class Running:
    """A configuration without models: these figures have their specs given."""

    config: Any = type("Config", (), {"models": {}})()


async def answers(predictions: int) -> None:
    """Print how long answers take with *predictions* of a day and a tenth of them labelled."""
    print(f"\n{predictions:,} predictions of one model over a day, a tenth of them labelled\n")
    print("| Asked for | classes | core ms | median ms | worst ms | bytes |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for classes in (2, 10, 100):
        clock = Clock()
        figures = Figures(Running(), _Closed(), Telemetry(["m"], process="control"))  # type: ignore[arg-type]
        figures.live = LiveFigures({"m": digits(classes)}, clock=clock)
        figures.live.begin(None)
        some = Rows.of("classification", classes, 200_000)
        random = np.random.default_rng(1)
        for _ in range(predictions // len(some.true)):
            object.__setattr__(some, "times", NOON - random.random(len(some.true)) * DAY)
            figures.live.predicted(some.predicted_in(slice(0, len(some.true))))
            tenth = slice(0, len(some.true) // 10)
            figures.live.joined(some.joined_in(tenth))
        figures.live.settle()
        site = web.Application()
        figures.add_to(site)
        async with TestClient(TestServer(site)) as client:
            for path in (
                "/v1/quality", "/v1/quality/m?window=1h", "/v1/quality/m?window=24h",
                "/v1/quality/m?window=30d", "/v1/quality/m?window=24h&slice=region:eu",
                "/v1/quality/m?window=n:5000",
            ):  # fmt: skip
                took, size, core = [], 0, time.process_time()
                for _ in range(15):
                    begun = time.perf_counter()
                    async with client.get(path) as answer:
                        size = len(await answer.read())
                        assert answer.status == 200  # noqa: S101 - a wrong answer is no time
                    took.append((time.perf_counter() - begun) * 1e3)
                core, middle = (time.process_time() - core) / len(took), float(np.median(took))
                times = f"{core * 1e3:.1f} | {middle:.1f} | {max(took):.1f}"
                print(f"| `{path}` | {classes} | {times} | {size:,} |")
        print(f"| memory of all states | {classes} | | | | {figures.live.size:,} |")


class _Closed:
    """A ledger that nobody opened."""

    opened = False


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--predictions", type=int, default=10_000_000)
    asked = parser.parse_args()
    updates(asked.rows, asked.batch)
    asyncio.run(answers(asked.predictions))


if __name__ == "__main__":
    main()
