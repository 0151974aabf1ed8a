# SPDX-License-Identifier: Apache-2.0
"""How many joined rows a second the states of quality take in.

    python -m benchmarks.quality [--rows 1000000] [--batch 10000] [--rounds 5]

One thread; medians over the rounds, with the lowest and the highest. A batch is what one message of
labels brings. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.quality.stream import Stream
from gateway.statistics.classifier import Classifier
from gateway.statistics.confusion import ConfusionMatrix
from gateway.statistics.profile import NumberProfile
from gateway.statistics.regression import Regression
from gateway.statistics.sketch import QuantileSketch
from gateway.statistics.windows import Windows

CLASSES = 10


def feeds(stream: Stream) -> dict[str, Callable[[], Callable[[slice], Any]]]:
    """By name: what makes an empty state and gives what adds a part of *stream* to it."""
    now = float(stream.times[-1])
    classes = list(range(CLASSES))
    numbers = stream.scores[:, 0] * 100

    def confusion() -> Callable[[slice], Any]:
        state = ConfusionMatrix(classes)
        return lambda part: state.add(stream.true[part], stream.predicted[part])

    def windows() -> Callable[[slice], Any]:
        state = Windows(lambda: ConfusionMatrix(classes))
        return lambda part: state.add(
            stream.times[part], stream.true[part], stream.predicted[part], now=now
        )

    def classifier() -> Callable[[slice], Any]:
        state = Classifier(classes, scores=True)
        return lambda part: state.add(
            stream.true[part], stream.predicted[part], stream.scores[part]
        )

    def regression() -> Callable[[slice], Any]:
        state = Regression()
        return lambda part: state.add(numbers[part], numbers[part] + stream.scores[part, 1])

    def sketch() -> Callable[[slice], Any]:
        state = QuantileSketch()
        return lambda part: state.add(numbers[part])

    def profile() -> Callable[[slice], Any]:
        state = NumberProfile.fit(numbers[:1000])
        return lambda part: state.add(numbers[part])

    return {
        "confusion matrix, 10 classes": confusion,
        "the same in windows by prediction time": windows,
        "classifier with scores of 10 classes": classifier,
        "regression": regression,
        "quantile sketch": sketch,
        "profile of a column": profile,
    }


def rate(add: Callable[[slice], Any], rows: int, batch: int) -> float:
    """Rows a second."""
    begun = time.perf_counter()
    for start in range(0, rows, batch):
        add(slice(start, min(start + batch, rows)))
    return rows / (time.perf_counter() - begun)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    stream = Stream.of(asked.rows, CLASSES, seed=1)
    found: dict[str, list[float]] = {}
    for _ in range(asked.rounds):
        for name, make in feeds(stream).items():
            found.setdefault(name, []).append(rate(make(), asked.rows, asked.batch))
    print(f"{asked.rows} rows in batches of {asked.batch}, NumPy {np.__version__}\n")
    print("| State | rows/s | lowest | highest |\n| --- | ---: | ---: | ---: |")
    for name, rates in found.items():
        figures = (statistics.median(rates), min(rates), max(rates))
        print(f"| {name} | " + " | ".join(f"{one:,.0f}" for one in figures) + " |")


if __name__ == "__main__":
    main()
