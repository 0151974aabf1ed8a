# SPDX-License-Identifier: Apache-2.0
"""Every step in several settings, each with a model that it fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from gateway.steps import POSTPROCESS, PREPROCESS, InputStep, OutputStep
from gateway.wire.model import ModelInfo, TensorSpec
from tests.support.pictures import exif, image, jpeg, saved

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

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
    """A *step* and a model, as its worker describes it, that the step fits.

    *element* makes an element of a BYTES input that the step can take.
    """

    step: InputStep | OutputStep
    info: ModelInfo
    element: Callable[[np.random.Generator], bytes] | None = None

    def __str__(self) -> str:
        kind, spec = self.step.kind, (self.info.inputs + self.info.outputs)[0]
        return f"{kind} {spec.datatype}{list(spec.shape)}"


def some_jpeg(rng: np.random.Generator) -> bytes:
    """A JPEG of any size and of any way up."""
    height, width = rng.integers(20, 90, 2).tolist()
    return jpeg(rng, height, width, exif=b"Exif\0\0" + exif(int(rng.integers(1, 9))))


def some_png(rng: np.random.Generator) -> bytes:
    """A PNG of any size, half transparent."""
    height, width = rng.integers(5, 40, 2).tolist()
    return saved(image(rng, height, width, "RGBA"))


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
    Case(
        input_step("image", resize={"shorter": 36}, crop=32, normalize="imagenet"),
        takes("FP32", -1, 3, 32, 32),
        some_jpeg,
    ),
    Case(
        input_step(
            "image",
            library="opencv",
            color="bgr",
            alpha="white",
            layout="nhwc",
            resize={"letterbox": [24, 32], "filter": "area"},
            normalize="none",
        ),
        takes("UINT8", -1, 24, 32, 3),
        some_png,
    ),
    Case(
        input_step("image", color="gray", resize={"exact": 8}, normalize="custom", scale=1 / 16),
        takes("FP64", -1, 1, 8, 8),
        some_png,
    ),
    Case(
        input_step("image", resize={"exact": 16}, jpeg_scaling=True, normalize="clip"),
        takes("FP16", -1, 3, 16, 16),
        some_jpeg,
    ),
]
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
]
