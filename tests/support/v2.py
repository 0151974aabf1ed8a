# SPDX-License-Identifier: Apache-2.0
"""v2 requests in short."""

from __future__ import annotations

import json
from typing import Any


def tensor(**changes: Any) -> dict[str, Any]:
    """An input that fits the default `model()`; ``...`` in *changes* leaves a field out."""
    fields = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2], **changes}
    return {key: value for key, value in fields.items() if value is not ...}


def body(*inputs: dict[str, Any], **fields: Any) -> bytes:
    """A request of *inputs*, one that fits the default `model()` without any."""
    return json.dumps({"inputs": list(inputs) or [tensor()], **fields}).encode()
