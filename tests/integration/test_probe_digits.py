# SPDX-License-Identifier: Apache-2.0
"""Probes on real data: an unchanged model flips nothing, one changed weight is a fault at once."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.integration.test_probe_ejection import kill, probe
from tests.support.serving import Serving
from tests.support.tree import ROOT

pytestmark = pytest.mark.e2e

ROWS = 120


def config(directory: Path) -> str:
    """Two workers of a copy of the digits, with their test set as the probe."""
    shutil.copytree(ROOT / "models" / "digits", directory / "digits")
    return (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', reload: {watch: false}}\n"
        f"ledger: {{url: 'sqlite:///{directory}/ledger.sqlite3'}}\n"
        f"models: {{digits: {{backends: [{{worker: {{path: {directory}/digits, replicas: 2}}}}], "
        "preprocess: [{scale: {factor: 0.0625}}], cache: {}, "
        f"probes: [{{file: {ROOT}/models/digits/test.npz, rows: {ROWS}, every: 1h, share: 100%}}]"
        "}}\n"
    )


def change_one_class(path: Path) -> None:
    """Move the bias of one class, as somebody who patches a file would."""
    model = onnx.load(path)
    for initializer in model.graph.initializer:
        if initializer.name == "output.bias":
            bias = numpy_helper.to_array(initializer).copy()
            bias[3] -= 100
            initializer.CopyFrom(numpy_helper.from_array(bias, initializer.name))
    draft = path.with_suffix(".draft")
    draft.write_bytes(model.SerializeToString())
    draft.replace(path)


async def test_a_patched_file_is_told_by_the_rows_that_it_spoils(tmp_path: Path) -> None:
    """Exactly the threes flip; accuracy is that of the labels on every path, before and after."""
    labels = np.load(ROOT / "models" / "digits" / "test.npz")["labels"][:ROWS]
    with Serving(tmp_path, config(tmp_path)).ready() as serving:
        first = await probe(serving, model="digits")
        assert first["outcome"] == "first", first
        paths = [each["path"] for each in first["series"]]
        assert paths == ["direct", "direct", "uncached", "cached"]
        right = {each["figures"]["accuracy"]["value"] for each in first["series"]}
        assert len(right) == 1
        (accuracy,) = right
        assert accuracy > 0.9
        figures = first["series"][0]["figures"]
        assert figures["accuracy"]["lower"] < accuracy < figures["accuracy"]["upper"]
        assert {"macro_precision", "macro_recall", "macro_f1"} < set(figures)
        for _ in range(2):
            calm = await probe(serving, model="digits")
            assert calm["outcome"] == "same", calm
            changed = [each["change"] for each in calm["series"]]
            assert [(each["flipped"], each["moved"]) for each in changed] == [(0, 0)] * 4
        change_one_class(tmp_path / "digits" / "1" / "model.onnx")
        await asyncio.to_thread(kill, serving, "digits-1")
        found = await probe(serving, model="digits")
        assert found["outcome"] == "wrong", found
        one, two = found["series"][:2]
        assert (one["endpoint"], one["change"]["flipped"]) == ("digits-0", 0)
        assert two["stranger"]
        # Those that were said to be a three, and no other one.
        threes = int((labels == 3).sum())
        assert abs(two["change"]["flipped"] - threes) <= (1 - accuracy) * ROWS
        assert two["figures"]["accuracy"]["value"] < accuracy
        # Until the gateways see the worker again, there is nobody to eject; then it is.
        while "digits-1" not in found["ejected"]:
            found = await probe(serving, model="digits")
        state = json.loads(serving.get("/v1/backends", admin=True)[1])["models"]["digits"]
        assert [each["wrong"] for each in state["endpoints"]] == [False, True]
