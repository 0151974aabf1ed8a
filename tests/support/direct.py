# SPDX-License-Identifier: Apache-2.0
"""Direct: what onnxruntime says without any gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from tests.support.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(model: str, inputs: np.ndarray[Any, Any]) -> Sequence[np.ndarray[Any, Any]]:
    """All outputs of the newest *model* of ours for *inputs*, which it gets as they are."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(ROOT / "models" / model / "1" / "model.onnx"),
        options,
        providers=["CPUExecutionProvider"],
    )
    outputs: Sequence[np.ndarray[Any, Any]] = session.run(
        None, {session.get_inputs()[0].name: inputs}
    )
    return outputs


def digits(pixels: np.ndarray[Any, Any]) -> list[int]:
    """The labels of *pixels* from 0 to 16, scaled as in the quickstart's configuration."""
    labels: list[int] = run("digits", pixels * np.float32(0.0625))[0].tolist()
    return labels
