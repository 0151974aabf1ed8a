# SPDX-License-Identifier: Apache-2.0
"""What is known of a model: the tensors it takes and gives, its version, digest and labels."""

from __future__ import annotations

import msgspec


class TensorSpec(msgspec.Struct, frozen=True, array_like=True):
    """One input or output; a dimension of -1 is free."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelInfo(msgspec.Struct, frozen=True, array_like=True):
    """A model as its worker describes it, or as clients see it once the steps are added.

    *batched*: the first dimension of every input and output is the free batch dimension, so that
    requests may be merged along it. *digest*: SHA-256 of the model file, in hex. *labels*: class
    names by output name. *parallelism*: inferences that the worker runs at the same time.
    *coupling*: what makes the answer to a row depend on the other rows of its batch, "" where
    nothing was found to, None where nobody has tried.
    """

    name: str
    version: str
    platform: str
    digest: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batched: bool
    labels: dict[str, tuple[str, ...]] = {}
    parallelism: int = 1
    coupling: str | None = None
