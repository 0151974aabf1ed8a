# SPDX-License-Identifier: Apache-2.0
"""Metadata: a ModelInfo as each of the protocols describes a model."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Final

from gateway import __version__
from gateway.wire.tensor import ITEM_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.wire.model import ModelInfo, TensorSpec

# Only what is there; order as other servers list them.
EXTENSIONS: Final = ["classification", "model_configuration", "binary_tensor_data", "parameters"]

_TENSORFLOW: Final = {
    "BOOL": "DT_BOOL", "UINT8": "DT_UINT8", "UINT16": "DT_UINT16", "UINT32": "DT_UINT32",
    "UINT64": "DT_UINT64", "INT8": "DT_INT8", "INT16": "DT_INT16", "INT32": "DT_INT32",
    "INT64": "DT_INT64", "FP16": "DT_HALF", "BF16": "DT_BFLOAT16", "FP32": "DT_FLOAT",
    "FP64": "DT_DOUBLE", "BYTES": "DT_STRING",
}  # fmt: skip


def server() -> dict[str, Any]:
    """``GET /v2``."""
    return {"name": "infergate", "version": __version__, "extensions": EXTENSIONS}


def v2_model(name: str, info: ModelInfo) -> dict[str, Any]:
    """``GET /v2/models/{name}``."""
    return {
        "name": name,
        "versions": [info.version] if info.version else [],
        "platform": info.platform,
        "inputs": _v2_tensors(info.inputs),
        "outputs": _v2_tensors(info.outputs),
        "properties": {"digest": info.digest},
    }


def v2_config(name: str, info: ModelInfo, *, max_body: int) -> dict[str, Any]:
    """``GET /v2/models/{name}/config``: the parts of a ModelConfig that hold for this server.

    The largest batch is what a body of *max_body* bytes can carry; nothing else limits it.
    """
    rows = max(1, max_body // _row_size(info)) if info.batched else 0
    return {
        "name": name,
        "platform": info.platform,
        "backend": "onnxruntime",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": rows,
        "input": _config_tensors(info.inputs, info),
        "output": _config_tensors(info.outputs, info),
    }


def v1_status(name: str, info: ModelInfo | None, *, ready: bool) -> dict[str, Any]:
    """``GET /v1/models/{name}`` in both dialects at once: KServe's and TensorFlow Serving's."""
    version = info.version if info is not None else ""
    status = {"error_code": "OK", "error_message": ""}
    if not ready:
        status = {"error_code": "UNAVAILABLE", "error_message": "no worker is ready"}
    return {
        "name": name,
        "ready": ready,
        "model_version_status": [
            {
                "version": version,
                "state": "AVAILABLE" if ready else "LOADING" if info is None else "UNKNOWN",
                "status": status,
            }
        ],
    }


def v1_model(name: str, info: ModelInfo) -> dict[str, Any]:
    """``GET /v1/models/{name}/metadata`` in TensorFlow Serving's form."""
    signature = {
        "inputs": _v1_tensors(info.inputs),
        "outputs": _v1_tensors(info.outputs),
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": info.version},
        "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
    }


def _v2_tensors(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    return [
        {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)} for spec in specs
    ]


def _config_tensors(specs: Sequence[TensorSpec], info: ModelInfo) -> list[dict[str, Any]]:
    """A batched model's first dimension is told by ``max_batch_size`` instead."""
    return [
        {
            "name": spec.name,
            "data_type": "TYPE_STRING" if spec.datatype == "BYTES" else f"TYPE_{spec.datatype}",
            "dims": list(spec.shape[1:] if info.batched else spec.shape),
        }
        for spec in specs
    ]


def _v1_tensors(specs: Sequence[TensorSpec]) -> dict[str, Any]:
    return {
        spec.name: {
            "dtype": _TENSORFLOW[spec.datatype],
            "tensor_shape": {
                "dim": [{"size": str(extent), "name": ""} for extent in spec.shape],
                "unknown_rank": False,
            },
            "name": spec.name,
        }
        for spec in specs
    }


def _row_size(info: ModelInfo) -> int:
    """The fewest bytes that a row can take; a string is at least its length."""
    return (
        sum(
            prod(max(extent, 1) for extent in spec.shape[1:]) * (ITEM_SIZE[spec.datatype] or 4)
            for spec in info.inputs
        )
        or 1
    )
