# SPDX-License-Identifier: Apache-2.0
"""Notes of answers that nobody has given, for what reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.sampling.meaning import Meaning
from gateway.sampling.note import Note, noted
from gateway.sampling.reading import Reader
from gateway.sampling.recorder import Recorder
from gateway.sampling.slices import Slices
from gateway.telemetry import Telemetry
from gateway.wire.message import InferRequest, InferResponse, Rows, Trace
from gateway.wire.tensor import Tensor
from tests.support.edge import Spec, model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.wire.model import ModelInfo

LABEL: Spec = ("label", "INT64", (-1,))
SCORES: Spec = ("scores", "FP32", (-1, 3))
INFO: ModelInfo = model(outputs=[LABEL, SCORES])
THREE = Meaning(names=("0", "1", "2"))


def reader(info: ModelInfo = INFO, meaning: Meaning = THREE) -> Reader:
    """One that has seen the model, by default of three classes."""
    made = Reader(meaning)
    made.fit(info)
    return made


def recorder(telemetry: Telemetry | None = None, **options: Any) -> Recorder:
    """The recorder of the model "m"."""
    options = {"reader": reader(), "slices": Slices(), **options}
    return Recorder("m", telemetry=telemetry or Telemetry(["m"]), **options)


def outputs(*scores: Sequence[float]) -> tuple[Tensor, ...]:
    """What the model gives for rows with these *scores*."""
    array = np.asarray(scores, np.float32)
    label = Tensor.of("label", array.argmax(axis=1).astype(np.int64))
    return label, Tensor.of("scores", array)


def answer(*scores: Sequence[float]) -> InferResponse:
    """A whole answer."""
    return InferResponse(outputs(*scores), version="1")


def members(*scores: Sequence[float]) -> list[InferResponse]:
    """The answers to requests of a row each that were merged."""
    rows = Rows(outputs(*scores), 20)
    return [InferResponse(None, version="1", rows=rows, row=row) for row in range(len(scores))]


def note(response: InferResponse, id_: str = "a", **fields: Any) -> Note:
    """The note of *response*, to one row by default; *fields* are of the note or its *trace*."""
    trace = fields.pop("trace", None) or Trace(
        endpoint=fields.pop("endpoint", "m-0"),
        digest=fields.pop("digest", "d" * 64),
        age=fields.pop("age", None),
    )
    asked = InferRequest("m", (), inference_id=id_, trace=trace)
    made = noted(asked, response, None, 1, 1.0)
    for name, value in {"time": 1.0, **fields}.items():
        setattr(made, name, value)
    return made
