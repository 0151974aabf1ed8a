# SPDX-License-Identifier: Apache-2.0
"""Every step in several settings, each with a model that it fits."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from gateway.steps import POSTPROCESS, PREPROCESS, InputStep, OutputStep
from gateway.wire.model import ModelInfo, TensorSpec

LABELS = ("a", "b", "c", "d", "e", "f")


def model(
    *,
    inputs: tuple[TensorSpec, ...] = (TensorSpec("x", "FP32", (-1, 6)),),
    outputs: tuple[TensorSpec, ...] = (TensorSpec("y", "FP32", (-1, 6)),),
    batched: bool = True,
    labels: dict[str, tuple[str, ...]] | None = None,
) -> ModelInfo:
    """A model as a worker would describe it."""
    return ModelInfo(
        "m", "1", "onnxruntime", "0" * 64, inputs, outputs, batched=batched, labels=labels or {}
    )


def takes(datatype: str, *shape: int) -> ModelInfo:
    """A model with the one input ``x``."""
    return model(inputs=(TensorSpec("x", datatype, shape),), batched=shape[0] == -1)


def gives(datatype: str, *shape: int, labels: tuple[str, ...] = ()) -> ModelInfo:
    """A model with the one output ``y``."""
    return model(
        outputs=(TensorSpec("y", datatype, shape),),
        batched=shape[0] == -1,
        labels={"y": labels} if labels else {},
    )


def input_step(name: str, /, **fields: Any) -> InputStep:
    """A preprocess step as a configuration makes it."""
    step: InputStep = msgspec.convert(fields, PREPROCESS[name])
    return step


def output_step(name: str, /, **fields: Any) -> OutputStep:
    """A postprocess step as a configuration makes it."""
    step: OutputStep = msgspec.convert(fields, POSTPROCESS[name])
    return step


class Case(NamedTuple):
    """A *step* and a model, as its worker describes it, that the step fits."""

    step: InputStep | OutputStep
    info: ModelInfo

    def __str__(self) -> str:
        kind, spec = self.step.kind, (self.info.inputs + self.info.outputs)[0]
        return f"{kind} {spec.datatype}{list(spec.shape)}"


_IMAGE = (-1, 3, 2, 2)
INPUT_CASES = [
    Case(input_step("scale", factor=0.0625), takes("FP32", -1, 6)),
    Case(input_step("scale", factor=2, offset=-1.5), takes("FP64", -1, 2, 3)),
    Case(input_step("scale", factor=0.5, offset=1), takes("FP16", -1, 6)),
    Case(input_step("scale", factor=0.5), takes("FP32", 6)),
    Case(input_step("normalize", mean=0.5, std=0.25), takes("FP32", -1, 6)),
    Case(
        input_step("normalize", mean=[0.1, 0.2, 0.3], std=[1, 2, 4], axis=1),
        takes("FP32", *_IMAGE),
    ),
    Case(input_step("normalize", mean=[1, 2, 3, 4, 5, 6], std=2), takes("FP64", -1, 6)),
    Case(input_step("normalize", mean=[1, 2, 3], std=[2, 4, 8]), takes("FP16", -1, 2, 3)),
    Case(input_step("clip", min=-1, max=1), takes("FP32", -1, 6)),
    Case(input_step("clip", max=100), takes("UINT8", -1, 6)),
    Case(input_step("clip", min=-5), takes("INT64", -1, 6)),
    Case(input_step("cast", **{"from": "UINT8", "to": "FP32"}), takes("FP32", -1, 6)),
    Case(input_step("cast", **{"from": "FP64", "to": "FP32"}), takes("FP32", -1, 6)),
    Case(input_step("cast", **{"from": "INT64", "to": "INT8"}), takes("INT8", -1, 6)),
    Case(input_step("cast", **{"from": "FP32", "to": "BOOL"}), takes("BOOL", -1, 6)),
    Case(input_step("reshape", **{"from": [-1, 2, 3], "shape": [-1, 6]}), takes("FP32", -1, 6)),
    Case(input_step("reshape", **{"from": [6], "shape": [2, 3]}), takes("INT16", 2, 3)),
]
BOXES = model(
    outputs=(TensorSpec("b", "FP32", (-1, 8, 4)), TensorSpec("s", "FP32", (-1, 8, 3))),
    labels={"s": ("cat", "dog", "bird")},
)
OUTPUT_CASES = [
    Case(output_step("argmax"), gives("FP32", -1, 6, labels=LABELS)),
    Case(output_step("argmax", name="best", axis=1), gives("FP16", *_IMAGE)),
    Case(output_step("argmax"), gives("FP64", 6)),
    Case(output_step("softmax"), gives("FP32", -1, 6)),
    Case(output_step("softmax", axis=1), gives("FP32", *_IMAGE)),
    Case(output_step("softmax"), gives("FP16", -1, 11)),
    Case(output_step("softmax"), gives("FP64", -1, 3, 2)),
    Case(output_step("top_k", k=3), gives("FP32", -1, 6, labels=LABELS)),
    Case(output_step("top_k", k=1, indices="which"), gives("FP64", -1, 2, 3)),
    Case(output_step("labels"), gives("INT64", -1, labels=LABELS)),
    Case(output_step("labels", names=["no", "yes"], name="word"), gives("UINT8", -1, 2)),
    Case(output_step("labels", names=["no", "yes"], padding="none"), gives("INT64", -1, 2)),
    Case(output_step("sigmoid"), gives("FP32", -1, 6)),
    Case(output_step("sigmoid", name="p"), gives("FP16", -1)),
    Case(output_step("threshold", at=0.5), gives("FP32", -1, 6)),
    Case(output_step("threshold", at=[0, 0.5, 1], name="yes"), gives("FP16", -1, 3)),
    Case(output_step("threshold", at=0.25, column=1), gives("FP64", -1, 2)),
    Case(output_step("calibrate", temperature=1.5), gives("FP32", -1, 6)),
    Case(output_step("calibrate", temperature=0.5, name="p"), gives("FP16", -1, 3)),
    Case(output_step("inverse_scale", mean=3, scale=[1, 2, 4]), gives("FP32", -1, 3)),
    Case(output_step("inverse_scale", scale=0.5, log="log1p", name="euro"), gives("FP64", -1)),
    Case(output_step("detections", boxes="b", scores="s", max=3, min_score=0, iou=0.1), BOXES),
    Case(
        output_step("detections", boxes="y", form="cxcywh", max=4, min_score=0),
        gives("FP32", -1, 9, 7),
    ),
    Case(
        output_step(
            "detections",
            boxes="y",
            form="xywh",
            transposed=True,
            objectness=True,
            max=2,
            min_score=0,
            per_class=False,
            candidates=5,
        ),
        gives("FP16", -1, 7, 9),
    ),
    Case(output_step("select", outputs=["s"]), BOXES),
    Case(output_step("rename", outputs={"b": "boxes", "s": "b"}), BOXES),
]
