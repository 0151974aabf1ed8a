# SPDX-License-Identifier: Apache-2.0
"""Identity: whether a worker that says hello is the one that its address stands for.

An address outlives its worker: another model's may listen there after a restart, a mistake in a
deployment, or because the system gave the port to another program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.wire.model import ModelInfo, TensorSpec


def mistaken(said: ModelInfo, before: ModelInfo | None, others: Iterable[ModelInfo]) -> str:
    """Why the worker of a model that is *said* is not the expected one, "" where it is.

    *before* is the model of the worker that was at the address before: another name is another
    model. *others* are those of the pool's workers that are up: where there are any, they say what
    goes in and comes out. Where there are none, a new version of the same name may have changed.
    """
    if before is not None and said.name != before.name:
        return f"model '{said.name}' is served there now, not '{before.name}'"
    for other in others:
        if difference := differs(other, said):
            return f"its model '{said.name}' is another than that of the pool: {difference}"
    return ""


def differs(ours: ModelInfo, theirs: ModelInfo) -> str:
    """In what the tensors of *theirs* are not those of *ours*, "" where all are alike."""
    return _difference("input", ours.inputs, theirs.inputs) or _difference(
        "output", ours.outputs, theirs.outputs
    )


def _difference(what: str, ours: Sequence[TensorSpec], theirs: Sequence[TensorSpec]) -> str:
    """What is not alike, "" where all is; a dimension that either leaves free is alike."""
    expected = {spec.name: spec for spec in ours}
    found = {spec.name: spec for spec in theirs}
    if expected.keys() != found.keys():
        return f"expected {_listed(what, expected)}, not {_listed(what, found)}"
    for name, spec in expected.items():
        other = found[name]
        if spec.datatype != other.datatype or not _alike(spec.shape, other.shape):
            return f"expected {what} {_told(spec)}, not {_told(other)}"
    return ""


def _alike(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return len(one) == len(other) and all(
        a == b or a < 0 or b < 0 for a, b in zip(one, other, strict=True)
    )


def _listed(what: str, specs: Iterable[str]) -> str:
    return f"{what}s {', '.join(sorted(specs)) or 'none'}"


def _told(spec: TensorSpec) -> str:
    return f"'{spec.name}' {spec.datatype}{list(spec.shape)}"
