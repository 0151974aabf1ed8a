# SPDX-License-Identifier: Apache-2.0
"""Session: a model in this process, to be compared with another on the same rows and timed."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.lab import LabError
from gateway.lab.quantize.source import needed
from gateway.wire.model import TensorSpec

if TYPE_CHECKING:
    from gateway.lab.dataset import Dataset
    from gateway.wire.tensor import Array

_DATATYPE: Final = {
    "tensor(bool)": "BOOL", "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32", "tensor(uint64)": "UINT64", "tensor(int8)": "INT8",
    "tensor(int16)": "INT16", "tensor(int32)": "INT32", "tensor(int64)": "INT64",
    "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}  # fmt: skip
# Rounds in which models are timed in turn, and how long each round of one lasts at least.
ROUNDS: Final = 5
ROUND_SECONDS: Final = 0.05


class Session:
    """The model in *file*, with one thread as a worker has it by default; raises LabError."""

    def __init__(self, file: Path) -> None:
        onnxruntime = needed("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(file), options, ["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - onnxruntime's classes have no parent of theirs
            words = " ".join(str(error).split())
            raise LabError(f"{file}: not a model that onnxruntime can load: {words}") from None
        self.inputs = [_spec(file, each) for each in self._session.get_inputs()]
        self.outputs = [_spec(file, each) for each in self._session.get_outputs()]

    def answers(self, dataset: Dataset, places: Array) -> dict[str, Array]:
        """The outputs for the rows at *places*, each [rows, ...], by name."""
        parts: list[list[Array]] = []
        for feed, rows in self._feeds(dataset, places):
            made = self._session.run(None, feed)
            parts.append([each[None] if dataset.bare else each for each in made])
            if any(not each.ndim or len(each) != rows for each in parts[-1]):
                raise LabError(f"an output has no row for each of {rows} rows; it cannot be judged")
        return {
            spec.name: np.concatenate([part[place] for part in parts])
            for place, spec in enumerate(self.outputs)
        }

    def seconds_a_row(self, dataset: Dataset, places: Array) -> float:
        """One round of timing: what a row takes, in batches of the dataset's size."""
        feeds = list(self._feeds(dataset, places))
        rows, begun = 0, perf_counter()
        while True:
            for feed, size in feeds:
                self._session.run(None, feed)
                rows += size
                if perf_counter() - begun >= ROUND_SECONDS:
                    return (perf_counter() - begun) / rows

    @staticmethod
    def _feeds(dataset: Dataset, places: Array) -> list[tuple[dict[str, Array], int]]:
        feeds = []
        for start in range(0, len(places), dataset.rows):
            part = places[start : start + dataset.rows]
            feed = {}
            for spec in dataset.specs:
                array = dataset.inputs[spec.name][part]
                if array.dtype.kind in "US":
                    array = array.astype(object)
                feed[spec.name] = array[0] if dataset.bare else array
            feeds.append((feed, len(part)))
        return feeds


def timed(sessions: list[Session], dataset: Dataset, places: Array) -> list[float]:
    """Seconds a row of each, in rounds in turn, so that all meet the same machine.

    The best round of each: others were disturbed by something else.
    """
    for each in sessions:
        each.seconds_a_row(dataset, places[: dataset.rows])
    rounds = [[each.seconds_a_row(dataset, places) for each in sessions] for _ in range(ROUNDS)]
    return [min(each) for each in zip(*rounds, strict=True)]


def _spec(file: Path, node: Any) -> TensorSpec:  # noqa: ANN401 - onnxruntime's
    datatype = _DATATYPE.get(node.type)
    if datatype is None:
        raise LabError(f"{file}: '{node.name}' is a {node.type}; only tensors can be compared")
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return TensorSpec(node.name, datatype, shape)
