# SPDX-License-Identifier: Apache-2.0
"""Test-time augmentation through the whole program, on digits that are shifted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.augment import half_shifted
from gateway.lab.evaluate import run
from tests.support.serving import Serving
from tests.support.tree import ROOT

VIEWS = "views: [{identity: {}}, {shift: {x: -1}}], shape: [8, 8], fill: 0"
NOISE = "views: [{noise: {std: 0.2, seed: request}}, {noise: {std: 0.2, seed: request}}]"
CONFIG = "server: {http: 127.0.0.1:0, admin: 127.0.0.1:0}\nmodels:\n" + "".join(
    f"""  {name}:
    backends: [{{worker: {{path: {ROOT / "models" / "digits"}}}}}]
    preprocess: [{{scale: {{factor: 0.0625}}}}]
    {section}
"""
    for name, section in {
        "plain": "",
        "back": f"augment: {{{VIEWS}}}\n    postprocess: [{{argmax: {{name: best}}}}]",
        "noisy": f"augment: {{{NOISE}}}",
    }.items()
)


@pytest.mark.e2e
def test_views_that_undo_a_shift_raise_the_accuracy(tmp_path: Path) -> None:
    """Half of the digits are shifted by a pixel; steps behind see the merged answer."""
    data = half_shifted()
    file = tmp_path / "shifted.npz"
    np.savez(file, inputs=data["inputs"], labels=data["labels"])
    found = {}
    with Serving(tmp_path, CONFIG) as serving:
        serving.ready()
        for model, output in (("plain", "label"), ("back", "label"), ("back", "best")):
            report = tmp_path / f"{model}-{output}.json"
            assert run(f"http://{serving.http}", model, str(file), output=output,
                       json=str(report)) == 0  # fmt: skip
            found[model, output] = json.loads(report.read_bytes())["accuracy"]
        rows = serving.metrics("infergate_augment_rows_total")
        body = {
            "id": "7",
            "inputs": [
                {"name": "image", "datatype": "FP32", "shape": [1, 64],
                 "data": data["inputs"][0].tolist()}
            ],
        }  # fmt: skip
        answers = [
            serving.post("/v2/models/noisy/infer", {**body, "id": id_}) for id_ in ("7", "7", "8")
        ]

    # The intervals do not even touch: 0.72 beside 0.89 of 450 rows.
    assert found["plain", "label"]["upper"] < found["back", "label"]["lower"]
    # The label is that of the merged probabilities.
    assert found["back", "label"] == found["back", "best"]
    assert rows['{kind="extra",model="back"}'] == 2 * 450
    outputs = [answer["outputs"] for status, answer in answers if status == 200]
    assert outputs[0] == outputs[1]
    assert outputs[0] != outputs[2]
