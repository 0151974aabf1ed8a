# SPDX-License-Identifier: Apache-2.0
"""Quality end to end: real models answer, labels come, and every surface tells what is true."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from tests.support.labelling import until
from tests.support.serving import Serving
from tests.support.tree import ROOT

CONFIG = f"""
server: {{http: 127.0.0.1:0, admin: 127.0.0.1:0}}
models:
  digits:
    backends: [{{worker: {{path: {ROOT}/models/digits, replicas: 2}}}}]
    cache: {{ttl: 10m}}
    quality:
      classes: 10
      targets: {{accuracy: 0.5}}
      slices: [{{name: half, parameter: half}}]
  breast-cancer:
    backends: [{{worker: {{path: {ROOT}/models/breast-cancer}}}}]
    quality: {{classes: [malignant, benign], positive: malignant}}
"""
PARTS = ("precision", "recall", "f1")


def quality(serving: Serving, path: str) -> dict[str, Any]:
    """What the admin port tells."""
    status, text = serving.get(f"/v1/quality{path}", admin=True)
    assert status == 200, text
    told: dict[str, Any] = json.loads(text)
    return told


def asked(serving: Serving, model: str, name: str, rows: Any) -> Any:
    """The class that *model* answers to each of *rows*, asked for in requests of several rows."""
    answers = []
    for start in range(0, len(rows), 50):
        part = rows[start : start + 50]
        body = {
            "id": f"{model}-{start}",
            "inputs": [
                {"name": name, "shape": list(part.shape), "datatype": "FP32",
                 "data": part.ravel().tolist()}
            ],
            "parameters": {"half": "first" if start < len(rows) / 2 else "second"},
        }  # fmt: skip
        status, answer = serving.post(f"/v2/models/{model}/infer", body)
        assert status == 200, answer
        (said,) = (each["data"] for each in answer["outputs"] if len(each["shape"]) == 1)
        answers += said
    return np.asarray(answers)


def labelled(serving: Serving, model: str, labels: list[Any]) -> None:
    """Send a label for every row."""
    items = [
        {"id": f"{model}-{place // 50 * 50}", "row": place % 50, "label": label}
        for place, label in enumerate(labels)
    ]
    status, answer = serving.post("/v1/labels", items)
    assert status == 200, answer


@pytest.mark.e2e
def test_figures_are_right(tmp_path: Path) -> None:
    """Over HTTP, as JSON, as metrics and in the terminal; and again after a kill."""
    digits = np.load(ROOT / "models" / "digits" / "test.npz")
    cancer = np.load(ROOT / "models" / "breast-cancer" / "test.npz")
    with Serving(tmp_path, CONFIG) as serving:
        serving.ready()
        said = asked(serving, "digits", "image", digits["inputs"])
        wrong = digits["labels"].copy()
        wrong[::7] = (wrong[::7] + 1) % 10
        labelled(serving, "digits", wrong.tolist())
        diagnosis = asked(serving, "breast-cancer", "features", cancer["inputs"])
        names = ["malignant", "benign"]
        labelled(serving, "breast-cancer", [names[each] for each in cancer["labels"]])

        def both() -> bool:
            models = quality(serving, "?window=1h")["models"]
            return [one["rows"]["labelled"] for one in models] == [len(said), len(diagnosis)]

        until(both)
        check(quality(serving, "/digits?window=1h"), wrong, said, "macro")
        two = quality(serving, "/breast-cancer?window=1h")
        check(two, cancer["labels"], diagnosis, "binary")
        assert two["without_labels"]["rows"] == len(diagnosis)
        told = quality(serving, "/digits?window=1h&slice=half:first")
        first = np.arange(len(said)) // 50 * 50 < len(said) / 2
        expected = metrics.accuracy_score(wrong[first], said[first])
        assert told["figures"]["accuracy"]["value"] == expected
        wanted = metrics.accuracy_score(wrong, said)

        def shown_as_metric() -> bool:
            gauges = serving.metrics("infergate_accuracy", admin=True)
            (value,) = [
                value
                for labels, value in gauges.items()
                if 'model="digits"' in labels and 'backend="all"' in labels and '"1h"' in labels
            ] or [-1.0]
            return bool(abs(value - wanted) < 1e-12)

        until(shown_as_metric)
        shown = subprocess.run(
            [sys.executable, "-m", "gateway", "quality", "--admin", serving.admin, "-m", "digits",
             "--window", "1h", "--confusion-matrix"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert "true \\ predicted" in shown
        assert max(map(len, shown.splitlines())) <= 80
        before = quality(serving, "/digits?window=1h")
        os.kill(serving.children()["gateway.control"], signal.SIGKILL)

        def again() -> bool:
            try:
                return both()
            except (OSError, AssertionError):
                return False

        until(again)
        after = quality(serving, "/digits?window=1h")
        # Sums of logarithms differ in the last digit with the order of the rows.
        for figure, one in before["figures"].items():
            assert after["figures"][figure]["value"] == pytest.approx(one["value"], rel=1e-12)
            assert after["figures"][figure]["n"] == one["n"]
        assert after["confusion"] == before["confusion"]


def check(told: dict[str, Any], true: Any, said: Any, average: str) -> None:
    """Every figure is scikit-learn's of the joined rows."""
    assert told["rows"]["coverage"] == 1.0
    figures = {name: one["value"] for name, one in told["figures"].items()}
    assert figures["accuracy"] == metrics.accuracy_score(true, said)
    keywords: dict[str, Any] = {"average": average, "zero_division": 0.0}
    if average == "binary":
        keywords["pos_label"] = 0
    expected = metrics.precision_recall_fscore_support(true, said, **keywords)[:3]
    assert [figures[part] for part in PARTS] == pytest.approx(expected, rel=1e-12)
    assert figures["kappa"] == pytest.approx(metrics.cohen_kappa_score(true, said), rel=1e-12)
