# SPDX-License-Identifier: Apache-2.0
"""The models behind mosec, with its dynamic batching and its msgspec typed requests."""

import os
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
from mosec import Server, Worker
from numpy.typing import NDArray

MODEL = os.environ["BENCH_MODEL"]
SCALE = np.float32(os.environ["BENCH_SCALE"])
ROUTE = os.environ["BENCH_ROUTE"]
WORKERS = int(os.environ["BENCH_WORKERS"])
MAX_BATCH = int(os.environ["BENCH_MAX_BATCH"])
MAX_WAIT_MS = int(os.environ["BENCH_MAX_WAIT_MS"])


class InputTensor(msgspec.Struct):
    """One row of pixels, 0..16."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class InferRequest(msgspec.Struct):
    """What the other contenders get too."""

    inputs: list[InputTensor]


class OnnxWorker(Worker):
    """One onnxruntime session; one run a batch."""

    def __init__(self) -> None:
        super().__init__()
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(MODEL, options)
        self.input = self.session.get_inputs()[0].name

    def run(self, batch: NDArray[np.float32]) -> list[tuple[Any, Any]]:
        """Run *batch*, FP32 [rows, ...], and give each row's label and scores."""
        labels, scores = self.session.run(None, {self.input: batch})
        return list(zip(labels, scores, strict=True))

    def serialize(self, data: tuple[Any, Any]) -> bytes:
        """Write one row's outputs as the other contenders do."""
        label, scores = data
        outputs = [
            {"name": "label", "datatype": "INT64", "shape": [1], "data": [int(label)]},
            {
                "name": "probabilities",
                "datatype": "FP32",
                "shape": [1, len(scores)],
                "data": scores.tolist(),
            },
        ]
        return msgspec.json.encode({"model_name": "model", "outputs": outputs})


class RowsWorker(OnnxWorker):
    """One JSON row of pixels a request, scaled in the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = msgspec.json.Decoder(InferRequest)

    def deserialize(self, data: bytes) -> list[float]:
        """Read one row."""
        return self.decoder.decode(data).inputs[0].data

    def forward(self, data: list[list[float]]) -> list[tuple[Any, Any]]:
        """Scale and run."""
        return self.run(np.array(data, np.float32) * SCALE)


class ImagesWorker(OnnxWorker):
    """One raw FP32 image of 3 x 224 x 224 a request: mosec shows a worker no headers."""

    def deserialize(self, data: bytes) -> NDArray[np.float32]:
        """Read one image."""
        return np.frombuffer(data, np.float32).reshape(3, 224, 224)

    def forward(self, data: list[NDArray[np.float32]]) -> list[tuple[Any, Any]]:
        """Stack and run."""
        return self.run(np.stack(data))


if __name__ == "__main__":
    worker = {"rows": RowsWorker, "images": ImagesWorker}[os.environ["BENCH_INPUT"]]
    server = Server()
    server.append_worker(
        worker, num=WORKERS, max_batch_size=MAX_BATCH, max_wait_time=MAX_WAIT_MS, route=ROUTE
    )
    server.run()
