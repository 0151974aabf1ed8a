# SPDX-License-Identifier: Apache-2.0
"""Preprocess and postprocess steps, by the names that a configuration gives them."""

from typing import Final, TypeAlias

from gateway.steps.calibration import Calibrate
from gateway.steps.detection import Detections
from gateway.steps.flow import bind_inputs, bind_outputs, client_info, digest
from gateway.steps.inverse import InverseScale
from gateway.steps.layout import Reshape
from gateway.steps.numeric import Cast, Clip, Normalize, Scale
from gateway.steps.output import Argmax, Labels, Softmax, TopK
from gateway.steps.probability import Sigmoid, Threshold
from gateway.steps.selection import Rename, Select
from gateway.steps.step import InputStep, Kernel, OneInput, OneOutput, OutputStep, Step

PREPROCESS: Final[dict[str, type[OneInput]]] = {
    step.kind: step for step in (Scale, Normalize, Clip, Cast, Reshape)
}
AnyOutput: TypeAlias = type[OneOutput] | type[Select] | type[Rename] | type[Detections]
POSTPROCESS: Final[dict[str, AnyOutput]] = {
    step.kind: step
    for step in (
        *(Argmax, Softmax, Sigmoid, Threshold, Calibrate, InverseScale, TopK, Labels),
        *(Detections, Select, Rename),
    )
}

__all__ = [
    "POSTPROCESS",
    "PREPROCESS",
    "InputStep",
    "Kernel",
    "OutputStep",
    "Step",
    "bind_inputs",
    "bind_outputs",
    "client_info",
    "digest",
]
