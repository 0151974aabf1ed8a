# SPDX-License-Identifier: Apache-2.0
"""From records in JSON to a model's tensor: beside pandas with scikit-learn, and numpy by hand.

``.venv/bin/python -m benchmarks.micro.tabular [--write]`` after ``make bench`` has installed
pandas. All three start with the same bytes and end with the same float32 matrix, which is checked.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import orjson
import pandas as pd
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.machine import commit, facts
from gateway.lab.fit_preprocess import fit
from gateway.steps import bind_inputs, client_info
from gateway.steps.table import OPERATIONS, statistics
from gateway.steps.table.step import ColumnConfig, TableStep
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.predict import decode_predict
from gateway.wire.signature import signature_of
from gateway.wire.tensor import Array, Tensor

ROUNDS: Final = 15
ROWS: Final = (1, 32, 1000)
RESULTS: Final = Path(__file__).parents[1] / "results"

Run = Callable[[bytes], Array]


class Task(NamedTuple):
    """A table, and three ways from the bytes of its records to the model's matrix."""

    name: str
    records: list[dict[str, Any]]
    ways: dict[str, Run]


def cells() -> Task:
    """30 numbers a row, standardised."""
    rng = np.random.default_rng(1)
    names = [f"measurement {at}" for at in range(30)]
    data = rng.lognormal(1, 1, (2000, 30))
    scaler = StandardScaler().fit(pd.DataFrame(data, columns=names))
    mean, scale = scaler.mean_, scaler.scale_
    records = [dict(zip(names, row.tolist(), strict=True)) for row in data]

    def by_hand(body: bytes) -> Array:
        rows = orjson.loads(body)["instances"]
        values = np.array([[row[name] for name in names] for row in rows])
        values -= mean
        values /= scale
        return values.astype(np.float32)

    def pandas(body: bytes) -> Array:
        frame = pd.DataFrame(orjson.loads(body)["instances"])[names]
        return np.asarray(scaler.transform(frame), np.float32)

    step = _learnt({name: {} for name in names}, [("standard", {})],
                   {name: data[:, at] for at, name in enumerate(names)})  # fmt: skip
    ours = _ours(step, 30)
    return Task("30 numbers, standardised", records, _ways(ours, by_hand, pandas))


def customers() -> Task:
    """Six numbers of which one has holes, imputed and standardised; three texts, one-hot."""
    rng = np.random.default_rng(2)
    count = 2000
    numbers = ["age", "income", "debt", "visits", "score", "tenure"]
    texts = {"job": 12, "region": 5, "plan": 4}
    data: dict[str, Any] = {name: rng.lognormal(2, 1, count) for name in numbers}
    data["age"][rng.random(count) < 0.1] = np.nan
    for name, kinds in texts.items():
        words = np.array([f"{name} {at}" for at in range(kinds)], object)
        data[name] = rng.choice(words, count)
    frame = pd.DataFrame(data)
    scaling = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    transformer = ColumnTransformer([
        ("numbers", scaling, numbers), ("texts", encoder, list(texts)),
    ]).fit(frame)  # fmt: skip
    fill = scaling.fit(frame[numbers])[0].statistics_
    mean, scale = scaling[1].mean_, scaling[1].scale_
    categories = {
        name: {word: at for at, word in enumerate(sorted(set(data[name])))} for name in texts
    }
    width = len(numbers) + sum(texts.values())
    records = [
        {name: None if value != value else value for name, value in row.items()}  # noqa: PLR0124
        for row in frame.to_dict("records")
    ]

    def by_hand(body: bytes) -> Array:
        rows = orjson.loads(body)["instances"]
        made = np.zeros((len(rows), width))
        values = np.array([[row[name] for name in numbers] for row in rows], np.float64)
        values = np.where(np.isnan(values), fill, values)
        values -= mean
        values /= scale
        made[:, : len(numbers)] = values
        start = len(numbers)
        for name, places in categories.items():
            for at, row in enumerate(rows):
                place = places.get(row[name])
                if place is not None:
                    made[at, start + place] = 1
            start += len(places)
        return made.astype(np.float32)

    def pandas(body: bytes) -> Array:
        given = pd.DataFrame(orjson.loads(body)["instances"]).astype({"age": float})
        return np.asarray(transformer.transform(given), np.float32)

    columns: dict[str, Any] = {name: {"null": "keep", "nan": "keep"} for name in numbers}
    columns |= {name: {"type": "BYTES"} for name in texts}
    operations = [
        ("impute", {"strategy": "median"}), ("standard", {}), ("one_hot", {"unknown": "ignore"}),
    ]  # fmt: skip
    ours = _ours(_learnt(columns, operations, data), width)
    name = "6 numbers, imputed and standardised; 3 texts, one-hot"
    return Task(name, records, _ways(ours, by_hand, pandas))


def _ways(ours: Run, by_hand: Run, pandas: Run) -> dict[str, Run]:
    return {"table step": ours, "numpy by hand": by_hand, "pandas and scikit-learn": pandas}


def _learnt(
    columns: dict[str, Any], operations: list[tuple[str, dict[str, Any]]], data: dict[str, Any]
) -> TableStep:
    step = TableStep(
        columns={name: msgspec.convert(each, ColumnConfig) for name, each in columns.items()},
        operations=tuple(msgspec.convert(each, OPERATIONS[kind]) for kind, each in operations),
    )
    tensors = tuple(Tensor.of(name, values) for name, values in data.items())
    with tempfile.NamedTemporaryFile(suffix=".json", delete=False) as file:
        file.write(statistics.encode(fit(step, tensors).statistics))
    made = msgspec.structs.replace(step, statistics=file.name)
    made.recipe()  # reads the file, which can go then
    Path(file.name).unlink()
    return made


def _ours(step: TableStep, width: int) -> Run:
    inputs = (TensorSpec("x", "FP32", (-1, width)),)
    info = ModelInfo("m", "1", "", "", inputs, inputs, batched=True)
    seen = client_info(info, [step])
    kernel, signature = bind_inputs(info, [step]), signature_of(seen)

    def ours(body: bytes) -> Array:
        tensors, _ = decode_predict(body, signature)
        return kernel(tensors)[0].array()

    return ours


def measure(task: Task, rows: int) -> dict[str, float]:
    """Microseconds of each way for *rows* records: the least of `ROUNDS`, taken in turn."""
    body = json.dumps({"instances": task.records[:rows]}).encode()
    wanted = task.ways["pandas and scikit-learn"](body)
    least = dict.fromkeys(task.ways, float("inf"))
    for run in task.ways.values():
        np.testing.assert_allclose(run(body), wanted, atol=1e-6)
    for _ in range(ROUNDS):
        for name, run in task.ways.items():
            repeats = max(1, (20 if name.startswith("pandas") else 200) // rows)
            started = perf_counter()
            for _ in range(repeats):
                run(body)
            least[name] = min(least[name], (perf_counter() - started) / repeats * 1e6)
    return least


def report() -> str:
    """A Markdown table of every task and number of rows."""
    lines = [
        "| Table | Rows | Table step | numpy by hand | pandas and scikit-learn | Times faster |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for task in (cells(), customers()):
        for rows in ROWS:
            found = measure(task, rows)
            ours, hand, pandas = found.values()
            lines.append(
                f"| {task.name} | {rows:,} | {ours:,.1f} µs | {hand:,.1f} µs | {pandas:,.1f} µs "
                f"| {pandas / ours:.1f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table; with ``--write`` put it among the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    table = report()
    print(table)
    if write:
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        (RESULTS / f"{today}-tabular.md").write_text(_page(table), "utf-8")


def _page(table: str) -> str:
    told = "".join(f"| {name} | {value} |\n" for name, value in facts().items())
    return f"""# From records to a tensor, commit {commit()[0]}

| | |
| --- | --- |
{told}| pandas, scikit-learn | {pd.__version__}, {sklearn.__version__} |
| Rounds | {ROUNDS}, in turn; the least is shown |

{table}
## Method

`python -m benchmarks.micro.tabular --write`, in one process.
Each way starts with the JSON of a v1 request and ends with the model's float32 matrix.
The matrices are equal to 1e-6, which is checked.
By hand, nothing is checked: no type, no unknown or missing name, no range.
"""


if __name__ == "__main__":
    main()
