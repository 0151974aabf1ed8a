# SPDX-License-Identifier: Apache-2.0
"""Preprocess and postprocess steps, by the names that a configuration gives them."""

from typing import Final

from gateway.steps.flow import bind_inputs, bind_outputs, client_info, digest
from gateway.steps.image import Image
from gateway.steps.layout import Reshape
from gateway.steps.numeric import Cast, Clip, Normalize, Scale
from gateway.steps.output import Argmax, Labels, Softmax, TopK
from gateway.steps.step import InputStep, Kernel, OneInput, OneOutput, OutputStep, Step

PREPROCESS: Final[dict[str, type[OneInput]]] = {
    step.kind: step for step in (Scale, Normalize, Clip, Cast, Reshape, Image)
}
POSTPROCESS: Final[dict[str, type[OneOutput]]] = {
    step.kind: step for step in (Argmax, Softmax, TopK, Labels)
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
