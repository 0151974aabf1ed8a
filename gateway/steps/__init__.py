# SPDX-License-Identifier: Apache-2.0
"""Preprocess and postprocess steps, by the names that a configuration gives them."""

from typing import Any, Final

from gateway.steps.calibration import Calibrate
from gateway.steps.clean_text import CleanText
from gateway.steps.detection import Detections
from gateway.steps.flow import bind_inputs, bind_outputs, carried, client_info, digest
from gateway.steps.image import Image
from gateway.steps.inverse import InverseScale
from gateway.steps.layout import Reshape
from gateway.steps.numeric import Cast, Clip, Normalize, Scale
from gateway.steps.onnx_graph import OnnxGraph
from gateway.steps.output import Argmax, Labels, Softmax, TopK
from gateway.steps.pooling import L2Normalize, Pool
from gateway.steps.probability import Sigmoid, Threshold
from gateway.steps.resample import Resample
from gateway.steps.row_scale import NormalizeRow
from gateway.steps.selection import Rename, Select
from gateway.steps.spectrum import FftMagnitude, LogMel
from gateway.steps.step import InputStep, Kernel, OutputStep, Rewiring, Step
from gateway.steps.table.step import TableStep
from gateway.steps.tokenize import Tokenize
from gateway.steps.vectorize import Vectorize
from gateway.steps.windows import Rolling, Window

# Structs that are an InputStep or a Rewiring each.
_INPUT_STEPS: Final[tuple[Any, ...]] = (
    Scale, Normalize, Clip, Cast, Reshape,
    CleanText, Tokenize, Vectorize, OnnxGraph,
    Window, Rolling, Resample, FftMagnitude, LogMel, NormalizeRow,
    TableStep, Image,
)  # fmt: skip
PREPROCESS: Final[dict[str, Any]] = {step.kind: step for step in _INPUT_STEPS}
# Structs that are an OutputStep each.
_OUTPUT_STEPS: Final[tuple[Any, ...]] = (
    Argmax, Softmax, Sigmoid, Threshold, Calibrate, InverseScale, TopK, Labels,
    Pool, L2Normalize, Detections, Select, Rename,
)  # fmt: skip
POSTPROCESS: Final[dict[str, Any]] = {step.kind: step for step in _OUTPUT_STEPS}

__all__ = [
    "POSTPROCESS",
    "PREPROCESS",
    "InputStep",
    "Kernel",
    "OutputStep",
    "Rewiring",
    "Step",
    "bind_inputs",
    "bind_outputs",
    "carried",
    "client_info",
    "digest",
]
