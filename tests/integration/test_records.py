# SPDX-License-Identifier: Apache-2.0
"""A model trained on standardised columns, asked with raw records by name through the program."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from tests.support.serving import Serving

DATA = load_breast_cancer()
NAMES = [str(name) for name in DATA.feature_names]


class Trained:
    """A gateway with the classifier of *pipeline* behind a `table` step; *rows* are held out."""

    def __init__(self, directory: Path) -> None:
        train, self.rows, classes, _ = train_test_split(
            DATA.data, DATA.target, test_size=0.25, random_state=7, stratify=DATA.target
        )
        self.pipeline = make_pipeline(StandardScaler(), LogisticRegression())
        with threadpool_limits(limits=1):
            self.pipeline.fit(train, classes)
        classifier = self.pipeline[-1]
        graph = to_onnx(
            classifier,
            initial_types=[("features", FloatTensorType([None, len(NAMES)]))],
            options={id(classifier): {"zipmap": False}},
            target_opset={"": 17, "ai.onnx.ml": 3},
        )
        (directory / "model.onnx").write_bytes(graph.SerializeToString())
        lines = [",".join(NAMES), *(",".join(map(repr, row.tolist())) for row in train)]
        (directory / "train.csv").write_text("\n".join(lines))
        self.statistics = directory / "statistics.json"
        step = {
            "columns": {name: {} for name in NAMES},
            "operations": [{"standard": {}}],
            "statistics": str(self.statistics),
        }
        model = {
            "backends": [{"worker": {"path": str(directory / "model.onnx"), "replicas": 1}}],
            "preprocess": [{"table": step}],
            "cache": {"ttl": "10m"},
        }
        # JSON is YAML.
        self.config = json.dumps({
            "server": {"http": "127.0.0.1:0", "admin": "127.0.0.1:0"}, "models": {"cells": model},
        })  # fmt: skip
        self.serving: Serving
        self.cache = ""

    def ask(self, path: str, body: Any, method: str = "POST") -> tuple[int, Any]:
        """Status and JSON of an answer; *body* is JSON, or bytes as they are.

        *cache* is then what its header says of the cache.
        """
        host, _, port = self.serving.http.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, sent)
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        self.cache = response.headers.get("Cache-Status", "")
        connection.close()
        return answer


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """Statistics learnt by the command, and the program that uses them."""
    directory = tmp_path_factory.mktemp("records")
    made = Trained(directory)
    config = directory / "learn.yaml"
    config.write_text(made.config)
    command = [sys.executable, "-m", "gateway", "fit-preprocess", str(directory / "train.csv")]
    done = subprocess.run(
        [*command, "-c", str(config), "-m", "cells"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "426 rows" in done.stdout
    with Serving(directory, made.config) as serving:
        made.serving = serving.ready()
        yield made


def records(rows: Any) -> list[dict[str, float]]:
    """Rows by name, the names in another order in each."""
    return [
        dict(sorted(zip(NAMES, row.tolist(), strict=True), key=lambda pair: hash((at, pair[0]))))
        for at, row in enumerate(rows)
    ]


def same(trained: Trained, labels: Any, scores: Any) -> None:
    """Every held-out row is answered as the pipeline answers it, to the precision of FP32."""
    wanted = trained.pipeline.predict_proba(trained.rows)
    np.testing.assert_array_equal(labels, trained.pipeline.predict(trained.rows))
    np.testing.assert_allclose(np.reshape(scores, wanted.shape), wanted, atol=1e-6)


def test_records_are_answered_as_by_the_pipeline(trained: Trained) -> None:
    """v1, in one request and row by row."""
    status, answer = trained.ask("/v1/models/cells:predict", {"instances": records(trained.rows)})
    predictions = answer["predictions"]
    singly = [
        trained.ask("/v1/models/cells:predict", {"instances": record})[1]["predictions"][0]
        for record in records(trained.rows[:20])
    ]

    assert status == 200
    same(trained, [p["label"] for p in predictions], [p["probabilities"] for p in predictions])
    # onnxruntime's own results differ in their last bits by the size of the batch.
    assert [p["label"] for p in singly] == [p["label"] for p in predictions[:20]]
    np.testing.assert_allclose(
        [p["probabilities"] for p in singly],
        [p["probabilities"] for p in predictions[:20]],
        atol=1e-6,
    )


def test_columns_are_answered_as_by_the_pipeline(trained: Trained) -> None:
    """v1 by column."""
    columns = {name: trained.rows[:, at].tolist() for at, name in enumerate(NAMES)}
    status, answer = trained.ask("/v1/models/cells:predict", {"inputs": columns})

    assert status == 200
    same(trained, answer["outputs"]["label"], answer["outputs"]["probabilities"])


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_v2_inputs_are_answered_as_by_the_pipeline(trained: Trained, shape: tuple[int]) -> None:
    """One input a column, as the metadata say, in any order."""
    count = len(trained.rows)
    inputs = [
        {
            "name": name,
            "datatype": "FP64",
            "shape": [count, *shape[1:]],
            "data": trained.rows[:, at].tolist(),
        }
        for at, name in reversed(list(enumerate(NAMES)))
    ]
    status, answer = trained.ask("/v2/models/cells/infer", {"inputs": inputs})
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}

    assert status == 200
    same(trained, outputs["label"], outputs["probabilities"])


def test_records_and_columns_are_one_question_to_the_cache(trained: Trained) -> None:
    """What is the same after decoding is not computed twice."""
    record = one(mean_area=12.5)
    trained.ask("/v1/models/cells:predict", {"instances": [record]})
    columns = {name: [value] for name, value in reversed(record.items())}
    trained.ask("/v1/models/cells:predict", {"inputs": columns})

    assert "hit" in trained.cache


def test_clients_see_an_input_for_each_column(trained: Trained) -> None:
    """Names, datatypes and shapes of what may be sent."""
    _, metadata = trained.ask("/v2/models/cells", b"", "GET")

    assert metadata["inputs"] == [
        {"name": name, "datatype": "FP64", "shape": [-1]} for name in NAMES
    ]


def one(**changes: Any) -> dict[str, Any]:
    """A good record but for *changes*, whose underscores are blanks; ``...`` leaves a name out."""
    record: dict[str, Any] = dict.fromkeys(NAMES, 1.0)
    record |= {name.replace("_", " "): value for name, value in changes.items()}
    return {name: value for name, value in record.items() if value is not ...}


BAD = [
    ([one(), one(mean_area="1")], "row 1, column 'mean area': expected a number, got the text '1'"),
    ([one(mean_area=True)], "row 0, column 'mean area': expected a number, got true"),
    ([one(mean_area=None)], "row 0, column 'mean area' is null; expected a number"),
    ([one(mean_area=...)], "row 0, column 'mean area' is missing; expected a number"),
    ([one(mean_aera=1)], "row 0, column 'mean aera' is unknown; did you mean 'mean area'?"),
    ([one(mean_area=[1])], "row 0, column 'mean area': expected a number, got a list"),
    ([one(mean_area={"a": 1})], "row 0, column 'mean area': expected a number, got an object"),
    ([one(mean_area="x" * 100_000)], "got the text 'xxxxxxxx"),
    ([one(), 5], "row 1: expected an object with a value for each column, got the number 5"),
    ([one(mean_area=10**400)], "row 0, column 'mean area': a very large number is out of range"),
    ([one(mean_area=1e300)], "row 0, column 'mean area': becomes 3.06356e+297, out of"),
    (5, "row 0: expected an object"),
    ("text", "row 0: expected an object"),
]


@pytest.mark.parametrize(("instances", "says"), BAD, ids=[says[:40] for _, says in BAD])
def test_bad_records_are_refused_by_row_and_column(
    trained: Trained, instances: Any, says: str
) -> None:
    """400, in few words, whatever came."""
    status, answer = trained.ask("/v1/models/cells:predict", {"instances": instances})

    assert status == 400
    assert says in answer["error"]
    assert len(answer["error"]) < 1000


WHOLE = json.dumps({"instances": [one()]})
RAW = [
    (WHOLE.replace('"mean area": 1.0', '"mean area": 1.0, "mean area": 2.0'), "stands twice"),
    (WHOLE.replace('"mean area": 1.0', '"mean area": 1e999'), "'mean area': a very large number"),
    (WHOLE.replace('"mean area": 1.0', '"mean area": NaN'), "NaN and infinities have no JSON form"),
    (WHOLE.replace('"mean area": 1.0', '"mean area": "\\ud800"'), "malformed JSON"),
    (WHOLE.replace('"mean area": 1.0', '"mean area": ' + "[" * 9999 + "]" * 9999), "nested"),
    (WHOLE.replace('"mean area": 1.0', '"mean area": ' + "9" * 10_000), "out of range"),
    ('{"instances": {}}', "'mean radius' is missing"),
    ('{"inputs": {}}', "'mean radius' is missing"),
    ('{"inputs": {"mean area": [1], "mean radius": [1, 2]}}', "columns need equally many rows"),
    ('{"inputs": {"mean area": [1], "mean area": [2]}}', "stands twice"),
]


@pytest.mark.parametrize(("body", "says"), RAW, ids=[says for _, says in RAW])
def test_bad_json_is_refused(trained: Trained, body: str, says: str) -> None:
    """What only bytes can say: names twice, numbers that no number type has, deep nesting."""
    status, answer = trained.ask("/v1/models/cells:predict", body.encode())

    assert status == 400
    assert says in answer["error"]
    assert len(answer["error"]) < 1000
